/* A command inside a script: may it run, can it run now, and the run. Errors are replies in env->reply, whose text the
 * script gets; only a run that has to start again raises. */
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/monitor.h"
#include "server/reply.h"
#include "server/script/busy.h"
#include "server/script/env.h"
#include "server/server.h"

/* --- which command --- */

static bool plain_name(const struct command *cmd, struct slice name)
{
    return cmd != NULL && cmd->parent == NULL && cmd->subcommands == NULL && name.len <= NAME_MAX_LEN;
}

/* Lua keeps one copy of each string, so a name that a script spells has one address for as long as it lives. */
const struct command *nested_command(struct script_env *env, struct slice *argv, int argc)
{
    struct slice name = argv[0];
    struct command_name *seen = &env->names[(uintptr_t)name.p / 16 % NAMES];
    const struct command *parent;
    if (likely(seen->len == name.len && name.len > 0 && memcmp(seen->name, name.p, name.len) == 0))
        return seen->cmd;
    const struct command *cmd = command_find(argv, argc, &parent);
    if (parent != NULL && cmd == NULL && argc == 1)
        return parent;
    if (plain_name(cmd, name)) {
        seen->cmd = cmd;
        seen->len = (uint8_t)name.len;
        memcpy(seen->name, name.p, name.len);
    }
    return cmd;
}

/* --- whether it may --- */

static bool read_only(const struct run *r) { return r->what->read_only || (r->what->flags & SCRIPT_NO_WRITES); }

/* After DEBUG SET-DISABLE-DENY-SCRIPTS: commands that suites call in scripts, and that leave all as it is. */
static bool let_through(const struct run *r, const struct command *cmd)
{
    static const char *const names[] = {"debug|sleep", "debug|protocol", "client|list", "client|id", "client|info"};
    if (likely(!r->call->server->config->scripts_unguarded))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(cmd->full_name, names[i]) == 0)
            return true;
    return false;
}

/* NULL, or the error. */
static const char *forbidden(const struct run *r, const struct command *cmd, int argc)
{
    if (cmd == NULL)
        return "ERR Unknown Redis command called from script";
    if (cmd->subcommands != NULL && cmd->run == NULL)
        return "ERR Wrong number of args calling Redis command from script";
    if (!command_arity_ok(cmd, argc))
        return "ERR Wrong number of args calling Redis command from script";
    if ((cmd->flags & CMD_NOSCRIPT) && !let_through(r, cmd))
        return "ERR This Redis command is not allowed from script";
    if ((cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) && read_only(r))
        return "ERR Write commands are not allowed from read-only scripts.";
    return NULL;
}

/* Keys of shards that are neither this one nor held, or of slots that were not declared. Messages find their way. */
static bool out_of_reach(const struct run *r, const struct call *q)
{
    if (likely(q->server->nshards == 1) || q->cmd->route == ROUTE_CHANNEL)
        return false;
    return request_owners(q->server, q->cmd, q->argv, q->argc) & ~r->reach;
}

/* --- the run --- */

/* A script's SELECT is about what it does itself. */
static bool selects(struct run *r, struct call *q)
{
    static const struct command *select; /* the same for all threads */
    const struct command *known = __atomic_load_n(&select, __ATOMIC_RELAXED);
    if (known == NULL) {
        const struct command *parent;
        known = command_find(&SLICE_LIT("select"), 1, &parent);
        __atomic_store_n(&select, known, __ATOMIC_RELAXED);
    }
    if (q->cmd != known)
        return false;
    uint64_t now = timing_now(&q->server->timing);
    if (arg_db(q, q->argv[1], &r->db))
        reply_ok(q);
    q->db = r->db;
    if (monitor_wanted(q))
        monitor_after(q);
    timing_book(q, now, timing_now(&q->server->timing));
    return true;
}

static void nested_init(struct call *q, struct run *r, const struct command *cmd, struct slice *argv, int argc)
{
    struct call *outer = r->call;
    struct request request = {.client = outer->client, .cmd = cmd, .argv = argv, .argc = argc};
    call_init(q, outer->shard, &request);
    q->origin = outer->origin;
    q->db = r->db;
    q->proto = r->resp;
    q->now_ms = outer->now_ms;
    q->script_us = &r->time_us;
    q->no_touch = outer->no_touch;
    q->track = outer->track;
    q->held = outer->held;
    q->in_exec = true;
    q->in_script = true;
    q->out = &r->env->reply;
}

/* SCAN sees the keyspace of its cursor's shard, which is held. */
static void find_shard(struct call *q)
{
    if (q->cmd->route != ROUTE_ANY || !q->held)
        return;
    uint64_t mask = request_owners(q->server, q->cmd, q->argv, q->argc);
    if (mask != 0)
        q->shard = q->server->shards[__builtin_ctzll(mask)];
    q->held = false;
}

static enum admit admit_now(struct run *r, struct call *q)
{
    struct nested_admission n = {
        .waiter = r->changed ? NULL : r->call->waiter,
        .wrote = r->wrote || r->changed,
        .allow_oom = r->what->flags & SCRIPT_ALLOW_OOM,
        .overdrawn = &r->overdrawn,
    };
    return admit_nested(q, &n);
}

static void run_admitted(struct run *r, struct call *q)
{
    struct shard *here = r->call->shard;
    unsigned effects = here->stage.group;
    find_shard(q);
    call_run(q);
    r->call->always |= q->always;
    r->call->changes += q->changes;
    r->changed |= q->changes > 0 || here->stage.group != effects || (q->cmd->flags & CMD_MAY_REPLICATE);
}

static void count_refused(const struct call *q)
{
    if (q->cmd != NULL)
        stat_add(&q->shard->commands[q->cmd->id].rejected, 1);
}

static void refuse(struct call *q, const char *error)
{
    reply_error(q, error);
    count_refused(q);
}

void nested_run(lua_State *L, struct run *r, const struct command *cmd, struct slice *argv, int argc)
{
    struct call q;
    const char *error = forbidden(r, cmd, argc);
    buf_clear(&r->env->reply);
    nested_init(&q, r, cmd, argv, argc);
    if (error != NULL) {
        refuse(&q, error);
        return;
    }
    if (selects(r, &q))
        return;
    if (unlikely(out_of_reach(r, &q))) {
        refuse(&q, "ERR Script attempted to access a non local key in a cluster node");
        return;
    }
    enum admit a = admit_now(r, &q);
    if (unlikely(a == ADMIT_WAIT))
        script_stop(L, r->env, STOP_AGAIN);
    if (a != ADMIT_RUN) {
        count_refused(&q);
        return;
    }
    if ((cmd->flags & CMD_WRITE) && !r->wrote && !busy_wrote(r))
        script_stop(L, r->env, STOP_KILLED);
    run_admitted(r, &q);
}
