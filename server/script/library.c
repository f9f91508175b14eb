/* A library of functions: its code is run once, and says which functions there are. */
#include "server/script/env.h"
#include "server/server.h"

static int fail(lua_State *L, const char *text)
{
    push_error(L, slice_str(text));
    return lua_error(L);
}

#define UNKNOWN_ARGUMENT "ERR unknown argument given to redis.register_function"

struct registration {
    struct slice name, description;
    uint32_t flags;
    int callback; /* stack index; 0: none */
};

static struct slice string_at(lua_State *L, int at)
{
    size_t len;
    const char *p = lua_tolstring(L, at, &len);
    return slice_of(p, len);
}

/* The list of flags on top. */
static void read_flags(lua_State *L, struct registration *reg)
{
    if (!lua_istable(L, -1))
        fail(L, "ERR flags argument to redis.register_function must be a table representing function flags");
    for (int i = 1;; i++) {
        lua_rawgeti(L, -1, i);
        if (lua_isnil(L, -1))
            break;
        uint32_t flag = lua_type(L, -1) == LUA_TSTRING ? script_flag_named(string_at(L, -1)) : 0;
        if (flag == 0)
            fail(L, "ERR unknown flag given");
        reg->flags |= flag;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* The string on top, which may be a number's text: kept at `at`. */
static struct slice keep_string(lua_State *L, int at)
{
    lua_pushvalue(L, -1);
    struct slice s = string_at(L, -1);
    lua_replace(L, at);
    return s;
}

/* The value on top belongs to this key of the table of named arguments. */
static void read_named(lua_State *L, struct registration *reg, struct slice key)
{
    if (slice_is(key, "function_name")) {
        if (!lua_isstring(L, -1))
            fail(L, "ERR function_name argument given to redis.register_function must be a string");
        reg->name = keep_string(L, 3);
    } else if (slice_is(key, "description")) {
        if (!lua_isstring(L, -1))
            fail(L, "ERR description argument given to redis.register_function must be a string");
        reg->description = keep_string(L, 4);
    } else if (slice_is(key, "callback")) {
        if (!lua_isfunction(L, -1))
            fail(L, "ERR callback argument given to redis.register_function must be a function");
        lua_pushvalue(L, -1);
        lua_replace(L, reg->callback = 2);
    } else if (slice_is(key, "flags")) {
        read_flags(L, reg);
    } else {
        fail(L, UNKNOWN_ARGUMENT);
    }
}

static void read_table(lua_State *L, struct registration *reg)
{
    if (!lua_istable(L, 1))
        fail(L, "ERR calling redis.register_function with a single argument is only applicable to Lua table "
                "(representing named arguments).");
    lua_settop(L, 4); /* places for callback, name and description */
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        if (!lua_isstring(L, -2))
            fail(L, "ERR named argument key given to redis.register_function is not a string");
        if (lua_type(L, -2) == LUA_TNUMBER)
            fail(L, UNKNOWN_ARGUMENT);
        read_named(L, reg, string_at(L, -2));
    }
    if (reg->name.p == NULL)
        fail(L, "ERR redis.register_function must get a function name argument");
    if (reg->callback == 0)
        fail(L, "ERR redis.register_function must get a callback argument");
}

static void read_pair(lua_State *L, struct registration *reg)
{
    if (!lua_isstring(L, 1))
        fail(L, "ERR first argument to redis.register_function must be a string");
    if (!lua_isfunction(L, 2))
        fail(L, "ERR second argument to redis.register_function must be a function");
    reg->name = string_at(L, 1);
    reg->callback = 2;
}

int library_register_function(lua_State *L)
{
    struct script_env *env = script_env_at(L);
    struct registration reg = {.description = {NULL, 0}};
    int n = lua_gettop(L);
    if (env->loader == NULL)
        return fail(L, "ERR redis.register_function can only be called on FUNCTION LOAD command");
    if (n < 1 || n > 2)
        return fail(L, "ERR wrong number of arguments to redis.register_function");
    if (n == 1)
        read_table(L, &reg);
    else
        read_pair(L, &reg);
    lua_pushvalue(L, reg.callback);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    const char *error = env->loader->add(env->loader, reg.name, ref, reg.flags, reg.description);
    if (error != NULL) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return fail(L, error);
    }
    return 0;
}

/* --- loading --- */

struct load {
    struct slice text;
    const char *chunk;
    bool compiled;
};

/* An error of compiling or running is left as a string. */
static int load_body(lua_State *L)
{
    struct load *job = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, (const char *)job->text.p, job->text.len, job->chunk, "t") != 0)
        return lua_error(L);
    job->compiled = true;
    sandbox_show(L, true);
    lua_call(L, 0, 0);
    return 0;
}

static void load_error(lua_State *L, const struct load *job, struct buf *error)
{
    const char *code = job->compiled && !lua_istable(L, -1) ? "ERR " : "";
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
    }
    struct slice text = lua_isstring(L, -1) ? string_at(L, -1) : SLICE_LIT("unknown error");
    buf_printf(error, "Error %s: %s%.*s", job->compiled ? "registering functions" : "compiling function", code,
               (int)text.len, (const char *)text.p);
}

int script_load(struct script_env *env, struct slice text, const char *chunk, struct script_loader *l,
                struct buf *error)
{
    struct buf own = {0};
    struct load job = {as_lua51(text, &own) ? buf_slice(&own) : text, chunk, false};
    env->loader = l;
    script_env_limit(env);
    env->load_until_us = l->timeout_ms > 0 ? clock_mono_us(env->server->clock) + l->timeout_ms * 1000 : 0;
    int status = script_protected(env, load_body, &job);
    if (status != 0)
        load_error(env->L, &job, error);
    lua_settop(env->L, 0);
    sandbox_show(env->L, false);
    env->loader = NULL;
    env->load_until_us = 0;
    script_env_rest(env);
    buf_free(&own);
    return status == 0 ? 0 : -1;
}
