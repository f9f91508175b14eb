#include "server/script/busy.h"

#include <unistd.h>

#include "core/base/logger.h"
#include "server/dispatch.h"
#include "server/reply.h"
#include "server/server.h"

enum { WORD_NONE, WORD_RUNNING, WORD_WROTE, WORD_KILLED };

static uint64_t word(uint64_t id, enum script_kind kind, unsigned state)
{
    return id << 3 | (uint64_t)kind << 2 | state;
}
static unsigned state_of(uint64_t w) { return w & 3; }
static enum script_kind kind_of(uint64_t w) { return (enum script_kind)(w >> 2 & 1); }

void busy_begin(struct run *r)
{
    struct shard *s = r->call->shard;
    r->id = ++s->script_runs;
    s->script_run = r;
    atomic_store_explicit(&s->script_word, word(r->id, r->what->kind, WORD_RUNNING), memory_order_release);
}

void busy_end(struct run *r)
{
    struct shard *s = r->call->shard;
    atomic_store_explicit(&s->script_word, 0, memory_order_release);
    s->script_run = NULL;
    if (unlikely(r->busy))
        shard_busy_end(s);
}

bool busy_wrote(struct run *r)
{
    uint64_t running = word(r->id, r->what->kind, WORD_RUNNING);
    r->wrote =
        atomic_compare_exchange_strong(&r->call->shard->script_word, &running, word(r->id, r->what->kind, WORD_WROTE));
    return r->wrote;
}

static bool killed(const struct run *r)
{
    return state_of(atomic_load_explicit(&r->call->shard->script_word, memory_order_acquire)) == WORD_KILLED;
}

/* --- looking --- */

/* The server is to end and the script does not. What it has changed is logged by nobody, so a restart shows nothing of
 * it; but this process must not bring it to flash any more. */
static enum stop end_for_shutdown(struct run *r)
{
    struct server *server = r->call->server;
    if (!r->changed)
        return STOP_KILLED;
    logger_line(server->logger, LOG_WARNING,
                "A script that has written is cut off by the shutdown: nothing of it stays");
    _exit(atomic_load(&server->exit_code));
}

static enum stop look_at_run(struct run *r, uint64_t now)
{
    struct shard *s = r->call->shard;
    uint64_t threshold = (uint64_t)s->server->config->busy_reply_threshold * 1000;
    if (killed(r))
        return STOP_KILLED;
    if (likely(now - r->started_us < threshold) || threshold == 0)
        return STOP_NOT;
    if (!r->busy) {
        r->busy = true;
        logger_line(s->server->logger, LOG_WARNING,
                    "Slow script detected: still in execution after %llu milliseconds. You can try killing the script "
                    "using the %s KILL command. Script name is: %.*s.",
                    (unsigned long long)(now - r->started_us) / 1000,
                    r->what->kind == SCRIPT_EVAL ? "SCRIPT" : "FUNCTION", (int)r->what->name.len,
                    (const char *)r->what->name.p);
        shard_busy_begin(s, r->call->client, r->call->held ? s->server->holds.held : 1ull << s->index);
    }
    shard_busy_serve(s);
    if (atomic_load_explicit(&s->server->shutdown_asked, memory_order_acquire))
        return end_for_shutdown(r);
    return killed(r) ? STOP_KILLED : STOP_NOT;
}

enum stop busy_look(struct script_env *env)
{
    uint64_t now = clock_mono_us(env->server->clock);
    if (env->run != NULL)
        return look_at_run(env->run, now);
    return env->load_until_us > 0 && now > env->load_until_us ? STOP_TIMEOUT : STOP_NOT;
}

/* --- the commands --- */

const char *script_busy_error(const struct server *server)
{
    for (unsigned i = 0; i < server->nshards; i++) {
        uint64_t w = atomic_load_explicit(&server->shards[i]->script_word, memory_order_acquire);
        if (state_of(w) != WORD_NONE && kind_of(w) == SCRIPT_FUNCTION)
            return "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    }
    return "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
}

enum killing { KILL_NOTHING, KILL_OTHER_KIND, KILL_WROTE, KILL_DONE };

static enum killing kill_one(struct shard *s, enum script_kind kind)
{
    uint64_t w = atomic_load_explicit(&s->script_word, memory_order_acquire);
    if (state_of(w) == WORD_NONE)
        return KILL_NOTHING;
    if (kind_of(w) != kind)
        return KILL_OTHER_KIND;
    if (state_of(w) == WORD_RUNNING)
        atomic_compare_exchange_strong(&s->script_word, &w, word(w >> 3, kind, WORD_KILLED));
    w = atomic_load_explicit(&s->script_word, memory_order_acquire);
    return state_of(w) == WORD_WROTE ? KILL_WROTE : KILL_DONE;
}

void script_kill(struct call *c, enum script_kind kind)
{
    enum killing most = KILL_NOTHING;
    for (unsigned i = 0; i < c->server->nshards; i++) {
        enum killing k = kill_one(c->server->shards[i], kind);
        most = k > most ? k : most;
    }
    if (most == KILL_NOTHING)
        reply_error(c, "NOTBUSY No scripts in execution right now.");
    else if (most == KILL_OTHER_KIND)
        reply_error(c, script_busy_error(c->server));
    else if (most == KILL_WROTE)
        reply_error(c, "UNKILLABLE Sorry the script already executed write commands against the dataset. You can "
                       "either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE "
                       "command.");
    else
        reply_ok(c);
}

bool script_running(const struct shard *s, enum script_kind kind, struct script_running *out)
{
    const struct run *r = s->script_run;
    if (r == NULL || r->what->kind != kind)
        return false;
    out->name = r->what->name;
    out->argv = r->call->argv;
    out->argc = r->call->argc;
    out->ms = (clock_mono_us(s->server->clock) - r->started_us) / 1000;
    return true;
}
