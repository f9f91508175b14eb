#include "server/script/busy.h"

#include <unistd.h>

#include "core/base/logger.h"
#include "core/base/mem.h"
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

/* A copy for other threads, made when a run turns out to be long. */
struct script_told {
    enum script_kind kind;
    uint64_t started_us;
    size_t bytes;
    struct slice name;
    int argc;
    struct slice argv[];
};

static struct slice copy_to(uint8_t **at, struct slice s)
{
    struct slice copy = slice_of(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.p, s.len);
    *at += s.len;
    return copy;
}

static struct script_told *tell(const struct run *r)
{
    const struct call *c = r->call;
    size_t bytes = sizeof(struct script_told) + sizeof(struct slice) * (size_t)c->argc + r->what->name.len;
    for (int i = 0; i < c->argc; i++)
        bytes += c->argv[i].len;
    struct script_told *t = mem_alloc(bytes);
    *t = (struct script_told){.kind = r->what->kind, .started_us = r->started_us, .bytes = bytes, .argc = c->argc};
    uint8_t *at = (uint8_t *)(t->argv + c->argc);
    t->name = copy_to(&at, r->what->name);
    for (int i = 0; i < c->argc; i++)
        t->argv[i] = copy_to(&at, c->argv[i]);
    return t;
}

static void replace_told(struct shard *s, struct script_told *t)
{
    pthread_mutex_lock(&s->script_told_lock);
    struct script_told *old = s->script_told;
    s->script_told = t;
    pthread_mutex_unlock(&s->script_told_lock);
    if (old != NULL)
        mem_free(old, old->bytes);
}

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
    if (unlikely(r->busy)) {
        replace_told(s, NULL);
        shard_busy_end(s);
    }
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
        replace_told(s, tell(r));
        logger_line(s->server->logger, LOG_WARNING,
                    "Slow script detected: still in execution after %llu milliseconds. You can try killing the script "
                    "using the %s KILL command. Script name is: %.*s.",
                    (unsigned long long)(now - r->started_us) / 1000,
                    r->what->kind == SCRIPT_EVAL ? "SCRIPT" : "FUNCTION", (int)r->what->name.len,
                    (const char *)r->what->name.p);
        shard_busy_begin(s, r->call->client, r->call->held);
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

/* --- what others are told --- */

static void reply_told(struct call *c, const struct script_told *t)
{
    reply_map(c, 3);
    reply_bulk_str(c, "name");
    reply_bulk(c, t->name);
    reply_bulk_str(c, "command");
    reply_array(c, (size_t)t->argc);
    for (int i = 0; i < t->argc; i++)
        reply_bulk(c, t->argv[i]);
    reply_bulk_str(c, "duration_ms");
    reply_int(c, (int64_t)(clock_mono_us(c->server->clock) - t->started_us) / 1000);
}

void script_reply_running(struct call *c, enum script_kind kind)
{
    bool found = false;
    for (unsigned i = 0; i < c->server->nshards && !found; i++) {
        struct shard *s = c->server->shards[i];
        pthread_mutex_lock(&s->script_told_lock);
        found = s->script_told != NULL && s->script_told->kind == kind;
        if (found)
            reply_told(c, s->script_told);
        pthread_mutex_unlock(&s->script_told_lock);
    }
    if (!found)
        reply_null(c);
}
