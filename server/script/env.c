#include "server/script/env.h"

#include <luajit-2.1/luajit.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/script/busy.h"
#include "server/server.h"

#define LIMIT_MIN (8 * MIB)
#define C_STACK_MAX ((ptrdiff_t)(4 * MIB)) /* of SHARD_STACK: beyond it only what one Lua stack can nest */

#define LARGE_VALUE MIB

/* --- memory --- */

static void large_value(struct script_env *env);

static void *allocate(void *arg, void *p, size_t old, size_t size)
{
    struct script_env *env = arg;
    if (unlikely(size >= LARGE_VALUE) && !env->large)
        large_value(env);
    if (size > old && env->used + (size - old) > env->limit)
        return NULL;
    env->used = env->used - old + size;
    if (size == 0) {
        mem_free(p, old);
        return NULL;
    }
    return p == NULL ? mem_alloc(size) : mem_realloc(p, old, size);
}

struct script_env *script_env_at(lua_State *L)
{
    void *env;
    lua_getallocf(L, &env);
    return env;
}

/* No more than a quarter of the process's memory, however little that is. */
static size_t limit_of(const struct server *server)
{
    uint64_t most = server->config->maxmemory > 0 ? max_u64(server->config->maxmemory / 4, LIMIT_MIN) : UINT64_MAX;
    return (size_t)min_u64(server->config->script_memory_limit, most);
}

static void publish_memory(const struct script_env *env)
{
    if (env->shard != NULL)
        atomic_store_explicit(&env->shard->script_bytes[env->kind], env->used, memory_order_relaxed);
}

uint64_t script_memory(const struct server *server, enum script_kind kind)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit(&server->shards[i]->script_bytes[kind], memory_order_relaxed);
    return sum;
}

/* LuaJIT collects when what is in use has doubled. Above half the limit that would be too late. */
static void collect_near_limit(lua_State *L, struct script_env *env)
{
    if (env->used < env->limit / 2 || env->used < env->collected + env->limit / 8)
        return;
    lua_gc(L, LUA_GCCOLLECT, 0);
    env->collected = env->used;
}

/* Between runs: what one has left behind is in the way of the next one. */
static void collect_rest(struct script_env *env)
{
    if (unlikely(env->used > env->limit / 4 && env->used > env->kept + env->limit / 8)) {
        lua_gc(env->L, LUA_GCCOLLECT, 0);
        env->kept = env->used;
    }
    env->collected = env->kept;
}

void script_env_limit(struct script_env *env)
{
    size_t limit = limit_of(env->server);
    bool lower = limit < env->limit;
    env->limit = limit;
    if (unlikely(lower)) {
        env->kept = 0;
        collect_rest(env);
    }
}

bool script_crowded(struct script_env *env) { return env->used > env->limit - env->limit / 4; }

void text_append(lua_State *L, struct script_env *env, const void *p, size_t n)
{
    if (unlikely(n > env->limit || env->text.len + n > env->limit))
        luaL_error(L, "not enough memory");
    if (unlikely((env->text.len ^ (env->text.len + n)) / MIB > 0))
        script_tick(L, env); /* what builds it is one instruction, however long it takes */
    buf_append(&env->text, p, n);
}

/* --- ends --- */

static void hook(lua_State *L, lua_Debug *ar);
static void set_hook(struct script_env *env, int count) { lua_sethook(env->L, hook, LUA_MASKCOUNT, count); }

static void set_tick(struct script_env *env, int tick)
{
    if (tick == env->tick)
        return;
    env->tick = tick;
    set_hook(env, tick);
}

static void large_value(struct script_env *env)
{
    if (env->run == NULL || env->stop != STOP_NOT)
        return;
    env->large = true;
    if (env->tick > TICK_LARGE)
        set_tick(env, TICK_LARGE);
}

static void adapt_tick(struct script_env *env, uint64_t now)
{
    uint64_t since = env->run != NULL ? max_u64(env->ticked_us, env->run->started_us) : now;
    uint64_t took = now > since ? now - since : 0;
    int most = env->large ? TICK_LARGE : TICK_MOST, tick = env->tick;
    if (took > 2 * TICK_US)
        tick = (int)max_u64((uint64_t)tick * TICK_US / took, 1);
    else if (took < TICK_US / 2)
        tick = 2 * tick < most ? 2 * tick : most;
    set_tick(env, tick);
}

static void hook(lua_State *L, lua_Debug *ar)
{
    struct script_env *env = script_env_at(L);
    uint64_t now = clock_mono_us(env->server->clock);
    (void)ar;
    script_tick(L, env);
    adapt_tick(env, now);
    env->ticked_us = clock_mono_us(env->server->clock);
}

static const char *stop_text(const struct script_env *env)
{
    switch (env->stop) {
    case STOP_KILLED:
        return "ERR Script killed by user with SCRIPT KILL..."; /* so Redis says for both kinds */
    case STOP_TIMEOUT:
        return "ERR FUNCTION LOAD timeout";
    default:
        return "ERR the script is run again";
    }
}

void push_stop_error(lua_State *L, const struct script_env *env) { push_error(L, slice_str(stop_text(env))); }

static int raise_stop(lua_State *L, const struct script_env *env)
{
    push_stop_error(L, env);
    return lua_error(L);
}

int script_stop(lua_State *L, struct script_env *env, enum stop why)
{
    if (env->stop == STOP_NOT)
        set_hook(env, 1);
    env->stop = why;
    raise_stop(L, env);
    __builtin_unreachable();
}

void script_tick(lua_State *L, struct script_env *env)
{
    if (unlikely(env->stop != STOP_NOT))
        raise_stop(L, env);
    collect_near_limit(L, env);
    enum stop why = busy_look(env);
    if (unlikely(why != STOP_NOT))
        script_stop(L, env, why);
}

/* --- life --- */

static int panicked(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    panic("an error outside of any script: %s", text ? text : "?");
}

/* Runs body(arg); whatever it raises is left on the stack, with a status as lua_pcall's. */
int script_protected(struct script_env *env, lua_CFunction body, void *arg)
{
    lua_State *L = env->L;
    lua_settop(L, 0);
    env->stack = __builtin_frame_address(0);
    return lua_cpcall(L, body, arg);
}

void script_check_stack(lua_State *L)
{
    const char *here = __builtin_frame_address(0);
    if (unlikely(script_env_at(L)->stack - here > C_STACK_MAX))
        luaL_error(L, "C stack overflow");
}

static int open_all(lua_State *L)
{
    struct script_env *env = script_env_at(L);
    sandbox_open(L);
    lua_pushcfunction(L, on_error);
    env->handler = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_gc(L, LUA_GCSETPAUSE, 150);
    set_tick(env, TICK_FIRST);
    return 0;
}

struct script_env *script_env_new(struct server *server, enum script_kind kind)
{
    struct script_env *env = mem_zalloc(sizeof(*env));
    env->server = server;
    env->kind = kind;
    env->limit = limit_of(server);
    env->L = lua_newstate(allocate, env);
    if (env->L != NULL) {
        lua_atpanic(env->L, panicked);
        luaJIT_setmode(env->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
        if (script_protected(env, open_all, NULL) == 0)
            return env;
    }
    script_env_free(env);
    return NULL;
}

void script_env_free(struct script_env *env)
{
    if (env == NULL)
        return;
    ensure(env->run == NULL);
    if (env->L != NULL)
        lua_close(env->L);
    ensure(env->used == 0);
    buf_free(&env->reply);
    buf_free(&env->text);
    mem_free(env, sizeof(*env));
}

void script_env_set(struct shard *s, enum script_kind kind, struct script_env *env)
{
    script_env_free(s->scripts[kind]);
    s->scripts[kind] = env;
    atomic_store_explicit(&s->script_bytes[kind], 0, memory_order_relaxed);
    if (env != NULL) {
        env->shard = s;
        publish_memory(env);
    }
}

struct script_env *script_env_of(struct shard *s, enum script_kind kind)
{
    if (unlikely(s->scripts[kind] == NULL))
        script_env_set(s, kind, script_env_new(s->server, kind));
    return s->scripts[kind];
}

/* --- code --- */

struct compile {
    struct slice text;
    const char *chunk;
    struct slice changed; /* the same, see keep_frames; empty: as it is */
    int ref;
};

static int compile_body(lua_State *L)
{
    struct compile *job = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, (const char *)job->text.p, job->text.len, job->chunk, "t") != 0)
        return lua_error(L);
    if (job->changed.len > 0 &&
        luaL_loadbufferx(L, (const char *)job->changed.p, job->changed.len, job->chunk, "t") != 0)
        lua_pop(L, 1);
    job->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void append_error(lua_State *L, struct buf *error)
{
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    buf_append(error, text ? text : "?", text ? len : 1);
    lua_settop(L, 0);
}

int script_compile(struct script_env *env, struct slice text, const char *chunk, struct buf *error)
{
    struct buf own = {0}, changed = {0};
    if (as_lua51(text, &own))
        text = buf_slice(&own);
    struct compile job = {text, chunk, {NULL, 0}, -1};
    if (keep_frames(text, &changed))
        job.changed = buf_slice(&changed);
    script_env_limit(env);
    if (script_protected(env, compile_body, &job) != 0)
        append_error(env->L, error);
    buf_free(&changed);
    buf_free(&own);
    publish_memory(env);
    return job.ref;
}

void script_unref(struct script_env *env, int ref)
{
    luaL_unref(env->L, LUA_REGISTRYINDEX, ref);
    env->kept = 0; /* there may be more to collect */
}

/* --- between runs --- */

void script_env_rest(struct script_env *env)
{
    env->run = NULL;
    lua_settop(env->L, 0);
    if (unlikely(env->stop != STOP_NOT)) {
        env->stop = STOP_NOT;
        env->tick = 0;
    }
    env->large = false;
    set_tick(env, TICK_FIRST);
    collect_rest(env);
    buf_reset(&env->reply, 64 * KIB);
    buf_reset(&env->text, 64 * KIB);
    publish_memory(env);
}
