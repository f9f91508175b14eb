/* One run: from an admitted call to its reply. */
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/monitor.h"
#include "server/reply.h"
#include "server/script/busy.h"
#include "server/script/env.h"
#include "server/server.h"

uint32_t script_flag_named(struct slice name)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {
        {"no-writes", SCRIPT_NO_WRITES},
        {"allow-oom", SCRIPT_ALLOW_OOM},
        {"allow-stale", SCRIPT_ALLOW_STALE},
        {"no-cluster", SCRIPT_NO_CLUSTER},
        {"allow-cross-slot-keys", SCRIPT_CROSS_SLOT},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (slice_eq(name, slice_str(flags[i].name)))
            return flags[i].flag;
    return 0;
}

bool script_has_all(const struct call *c)
{
    return c->server->nshards == 1 || (c->held && c->server->holds.held == server_all_shards(c->server));
}

static bool any_key(const struct server *server, uint32_t flags, bool keyless)
{
    return (flags & SCRIPT_CROSS_SLOT) ||
           (((flags & SCRIPT_UNDECLARED) || keyless) && server->config->script_undeclared_keys);
}

enum command_route script_route(const struct server *server, uint32_t flags, const struct slice *argv)
{
    int64_t keys;
    bool keyless = num_parse_i64(argv[2], &keys) && keys == 0;
    return any_key(server, flags, keyless) ? ROUTE_ALL : ROUTE_KEYS;
}

/* --- before --- */

/* What its flags rule out: said before it runs. Scripts without a first line are looked at command by command. */
static bool refused(struct call *c, const struct script_run *what)
{
    if (what->flags & SCRIPT_UNDECLARED)
        return false;
    if (what->read_only && !(what->flags & SCRIPT_NO_WRITES)) {
        reply_error(c, "ERR Can not execute a script with write flag using *_ro command.");
        return true;
    }
    if ((what->flags & (SCRIPT_NO_WRITES | SCRIPT_ALLOW_OOM)) == 0 && memory_refuses(c)) {
        reply_error(c, "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'");
        return true;
    }
    return false;
}

static uint64_t shards_in_reach(const struct call *c, const struct script_run *what)
{
    uint64_t mask = 0;
    if (script_has_all(c) && (c->server->nshards == 1 || any_key(c->server, what->flags, what->keys == 0)))
        return ~0ull;
    for (int i = 0; i < what->keys; i++)
        mask |= 1ull << shard_of(c->server, c->argv[what->first_key + i])->index;
    return mask;
}

/* --- the body, inside lua_cpcall --- */

static void push_strings(lua_State *L, const struct slice *argv, int n)
{
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushlstring(L, (const char *)argv[i].p, argv[i].len);
        lua_rawseti(L, -2, i + 1);
    }
}

static int push_arguments(lua_State *L, const struct run *r)
{
    const struct script_run *what = r->what;
    const struct slice *argv = r->call->argv;
    int first = what->first_key + what->keys;
    push_strings(L, argv + what->first_key, what->keys);
    if (what->kind == SCRIPT_EVAL)
        sandbox_set_global(L, "KEYS");
    push_strings(L, argv + first, r->call->argc - first);
    if (what->kind == SCRIPT_EVAL)
        sandbox_set_global(L, "ARGV");
    return what->kind == SCRIPT_EVAL ? 0 : 2;
}

/* The text of an error: that of a table with `err`, or what it is as a string, behind ERR. */
static void note_error(lua_State *L, struct run *r)
{
    struct buf *out = &r->env->text;
    buf_clear(out);
    if (lua_istable(L, -1)) {
        r->counted = counted_error(L, -1);
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
        if (!lua_isstring(L, -1)) {
            buf_append_str(out, "ERR unknown error");
            return;
        }
    } else {
        buf_append_str(out, "ERR ");
    }
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (text != NULL)
        buf_append(out, text, len);
    else
        buf_append_str(out, lua_isnil(L, -1) ? "nil" : luaL_typename(L, -1));
}

static int body(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    struct script_env *env = r->env;
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, env->handler);
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->what->ref);
    int n = push_arguments(L, r);
    int status = lua_pcall(L, n, 1, 1);
    if (status == 0 && env->stop == STOP_NOT) {
        lua_to_reply(L, r->call, r->resp, env->limit);
        return 0;
    }
    r->failed = true;
    if (status == 0)
        push_stop_error(L, env); /* its last instruction was the one that caught it */
    if (env->stop != STOP_AGAIN)
        note_error(L, r);
    return 0;
}

/* --- after --- */

static void error_reply(struct run *r)
{
    const struct slice text = buf_slice(&r->env->text);
    struct buf *out = r->call->out;
    r->call->failed = true;
    if (!r->counted)
        timing_error(r->call->shard, text);
    buf_append_byte(out, '-');
    size_t from = out->len;
    buf_append_slice(out, text);
    if (r->line > 0)
        buf_printf(out, " script: %.*s, on %s:%d.", (int)r->what->name.len, (const char *)r->what->name.p, r->source,
                   r->line);
    for (size_t i = from; i < out->len; i++)
        if (out->p[i] == '\r' || out->p[i] == '\n')
            out->p[i] = ' ';
    buf_append(out, "\r\n", 2);
}

static void finish(struct run *r, int status, size_t out_start)
{
    struct script_env *env = r->env;
    struct call *c = r->call;
    if (env->stop == STOP_AGAIN) {
        c->out->len = out_start;
        c->again = true;
        return;
    }
    if (status != 0) { /* the arguments, or the reply, did not fit */
        c->out->len = out_start;
        r->failed = true;
        r->line = 0;
        note_error(env->L, r);
    }
    if (r->failed)
        error_reply(r);
}

/* What it called shows in MONITOR and in the slow log if it has completed. */
static void note_end(struct call *c)
{
    if (c->again) {
        monitor_forget(c);
        slowlog_script_again(c);
    } else {
        slowlog_script_done(c);
    }
}

void script_run(struct call *c, const struct script_run *what)
{
    struct script_env *env = script_env_of(c->shard, what->kind);
    struct run r = {.what = what, .call = c, .env = env, .db = c->db, .resp = 2};
    size_t out_start = c->out->len;
    if (refused(c, what))
        return;
    if (env == NULL) {
        reply_error(c, "ERR not enough memory to run scripts (script-memory-limit)");
        return;
    }
    ensure(env->run == NULL);
    monitor_before(c);
    script_env_limit(env);
    r.reach = shards_in_reach(c, what);
    r.started_us = clock_mono_us(c->server->clock);
    env->run = &r;
    busy_begin(&r);
    int status = script_protected(env, body, &r);
    finish(&r, status, out_start);
    note_end(c);
    busy_end(&r);
    script_env_rest(env);
}
