/* What scripts see of Lua. The global table and every library are empty tables in front of the real ones: reading goes
 * through, and nothing can be written, since each write finds nothing there and meets the metatable. The functions that
 * bypass metatables (rawset, rawget, next, table.insert, setmetatable) are replaced by some that know such tables by a
 * mark in their metatable, whose value is the real table.
 *
 * There is nothing here that loads bytecode, reads a file, or hands out the real tables. */
#include <stdlib.h>
#include <time.h>

#include "core/base/panic.h"
#include "server/script/env.h"

#define SORTED_ALONE 10000 /* elements that are sorted without looking at the clock */

static char mark;            /* its address is the key in metatables of protected tables */
static char loading_globals; /* and this one's in the registry */

static int readonly(lua_State *L) { return luaL_error(L, "Attempt to modify a readonly table"); }

/* The same from a function of ours that stands for one of Lua's. */
static int readonly_plain(lua_State *L)
{
    lua_pushliteral(L, "Attempt to modify a readonly table");
    return lua_error(L);
}

static int no_global(lua_State *L)
{
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'", luaL_checkstring(L, 2));
}

/* Pushes the real table if the one at `at` is protected. */
static bool push_real(lua_State *L, int at)
{
    if (lua_type(L, at) != LUA_TTABLE || !lua_getmetatable(L, at))
        return false;
    lua_pushlightuserdata(L, &mark);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_istable(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

static bool is_protected(lua_State *L, int at)
{
    if (!push_real(L, at))
        return false;
    lua_pop(L, 1);
    return true;
}

/* [... real, shown] -> [... front]: a front of `real`; getmetatable says `shown`. */
static void make_front(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -4);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, readonly);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__metatable");
    lua_pushlightuserdata(L, &mark);
    lua_pushvalue(L, -5);
    lua_rawset(L, -3);
    lua_setmetatable(L, -2);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* [... fields] -> [... front of a metatable with these fields] */
static void make_shown(lua_State *L)
{
    lua_pushboolean(L, false);
    make_front(L);
}

void sandbox_protect(lua_State *L)
{
    lua_newtable(L);
    make_shown(L);
    make_front(L);
}

/* --- functions that stand for Lua's --- */

static int sandboxed_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (is_protected(L, 1))
        return readonly_plain(L);
    lua_rawset(L, 1);
    return 1;
}

static int sandboxed_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (push_real(L, 1))
        lua_replace(L, 1);
    lua_rawget(L, 1);
    return 1;
}

static int sandboxed_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (push_real(L, 1))
        lua_replace(L, 1);
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

/* Upvalues: Lua's own pairs, and the next above for protected tables. */
static int sandboxed_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (is_protected(L, 1)) {
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_pushvalue(L, 1);
        lua_pushnil(L);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static int sandboxed_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table expected");
    if (is_protected(L, 1))
        return readonly_plain(L);
    if (luaL_getmetafield(L, 1, "__metatable"))
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* Upvalue: Lua's own, a C function that is as good when it is called from here. */
static int sandboxed_insert(lua_State *L)
{
    if (is_protected(L, 1))
        return readonly_plain(L);
    lua_CFunction insert = lua_tocfunction(L, lua_upvalueindex(1));
    return insert(L);
}

static int less(lua_State *L)
{
    struct script_env *env = script_env_at(L);
    if (++env->compared % (env->large ? 16 : 4096) == 0)
        script_tick(L, env);
    lua_pushboolean(L, lua_lessthan(L, 1, 2));
    return 1;
}

/* Upvalue: Lua's own. What takes long compares with a function, which looks at the clock. */
static int sandboxed_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_isnoneornil(L, 2) && (lua_objlen(L, 1) > SORTED_ALONE || script_env_at(L)->large)) {
        lua_settop(L, 1);
        lua_pushcfunction(L, less);
    }
    lua_CFunction sort = lua_tocfunction(L, lua_upvalueindex(1));
    return sort(L);
}

static int setn(lua_State *L) { return luaL_error(L, "'setn' is obsolete"); }

/* What Redis gives to scripts: an error that is a table with `err` becomes that text. */
static int sandboxed_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    script_check_stack(L);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    luaL_checkstack(L, 2, "too many results");
    if (status != 0 && lua_istable(L, -1)) {
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
        if (lua_isstring(L, -1))
            lua_replace(L, -2);
        else
            lua_pop(L, 1);
    }
    lua_pushboolean(L, status == 0);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* The handler runs when the stack is unwound: one that is called by a kill could not be killed. */
static int sandboxed_xpcall(lua_State *L)
{
    luaL_checkany(L, 2);
    script_check_stack(L);
    lua_settop(L, 2);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, LUA_MULTRET, 0) == 0) {
        lua_pushboolean(L, true);
        lua_replace(L, 2);
        return lua_gettop(L) - 1;
    }
    lua_pushboolean(L, false);
    lua_replace(L, 1);
    lua_pcall(L, 1, 1, 0); /* its own error is as good as its result */
    return 2;
}

static int sandboxed_collectgarbage(lua_State *L)
{
    static const char *const options[] = {"collect", "count",    "step",       "stop",
                                          "restart", "setpause", "setstepmul", NULL};
    int option = luaL_checkoption(L, 1, "collect", options);
    if (option == 0)
        lua_pushinteger(L, lua_gc(L, LUA_GCCOLLECT, 0));
    else if (option == 1)
        lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT, 0) + lua_gc(L, LUA_GCCOUNTB, 0) / 1024.0);
    else if (option == 2)
        lua_pushboolean(L, lua_gc(L, LUA_GCSTEP, luaL_optint(L, 2, 0)));
    else
        return luaL_error(L, "the garbage collector cannot be changed by scripts");
    return 1;
}

static int os_clock(lua_State *L)
{
    lua_pushnumber(L, (double)clock() / CLOCKS_PER_SEC);
    return 1;
}

/* --- putting it together --- */

struct change {
    const char *name;
    lua_CFunction f; /* NULL: is removed */
};

static void change(lua_State *L, const struct change *e)
{
    for (; e->name != NULL; e++) {
        if (e->f != NULL)
            lua_pushcfunction(L, e->f);
        else
            lua_pushnil(L);
        lua_setfield(L, -2, e->name);
    }
}

static void copy_field(lua_State *L, const char *from, const char *to)
{
    lua_getfield(L, -1, from);
    lua_setfield(L, -2, to);
}

/* [... globals]: functions of the base library. */
static void change_base(lua_State *L)
{
    static const struct change base[] = {
        {"dofile", NULL},
        {"loadfile", NULL},
        {"newproxy", NULL},
        {"print", NULL},
        {"getfenv", NULL},
        {"setfenv", NULL},
        {"module", NULL},
        {"require", NULL},
        {"rawset", sandboxed_rawset},
        {"rawget", sandboxed_rawget},
        {"setmetatable", sandboxed_setmetatable},
        {"pcall", sandboxed_pcall},
        {"xpcall", sandboxed_xpcall},
        {"collectgarbage", sandboxed_collectgarbage},
        {NULL, NULL},
    };
    lua_getfield(L, -1, "next");
    lua_pushcfunction(L, sandboxed_next);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "next");
    lua_pushcclosure(L, sandboxed_pairs, 2);
    lua_setfield(L, -2, "pairs");
    change(L, base);
    open_load(L);
}

static void library(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* [... globals]: puts the table on top of the stack in front of them under this name, and pops it. */
static void offer(lua_State *L, int globals, const char *name)
{
    sandbox_protect(L);
    lua_setfield(L, globals, name);
}

static void offer_string(lua_State *L, int globals)
{
    lua_getglobal(L, "string");
    open_patterns(L);
    lua_pushvalue(L, -1);
    sandbox_protect(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, globals, "string");
    /* methods of strings find the real table; getmetatable("") shows a front */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_newtable(L);
    lua_pushvalue(L, -4);
    lua_setfield(L, -2, "__index");
    make_shown(L);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 4);
}

static void offer_table(lua_State *L, int globals)
{
    static const struct change less[] = {{"move", NULL}, {"setn", setn}, {NULL, NULL}};
    lua_getglobal(L, "table");
    change(L, less);
    lua_getfield(L, -1, "insert");
    ensure(lua_tocfunction(L, -1) != NULL);
    lua_pushcclosure(L, sandboxed_insert, 1);
    lua_setfield(L, -2, "insert");
    lua_getfield(L, -1, "sort");
    ensure(lua_tocfunction(L, -1) != NULL);
    lua_pushcclosure(L, sandboxed_sort, 1);
    lua_setfield(L, -2, "sort");
    offer(L, globals, "table");
}

static void offer_math(lua_State *L, int globals)
{
    lua_getglobal(L, "math");
    open_random(L);
    copy_field(L, "fmod", "mod");
    offer(L, globals, "math");
}

/* Upvalue: the function that is called with the same arguments. */
static int checked(lua_State *L)
{
    script_check_stack(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Upvalue: Lua's own. */
static int checked_wrap(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    lua_pushcclosure(L, checked, 1);
    return 1;
}

/* Coroutines that resume each other nest C frames, and LuaJIT does not count them. */
static void check_coroutines(lua_State *L)
{
    lua_getfield(L, -1, "resume");
    lua_pushcclosure(L, checked, 1);
    lua_setfield(L, -2, "resume");
    lua_getfield(L, -1, "wrap");
    lua_pushcclosure(L, checked_wrap, 1);
    lua_setfield(L, -2, "wrap");
}

/* Upvalue: LuaJIT's own, which knows more than eight digits, and not the smallest number of them. */
static int tohex(lua_State *L)
{
    if (lua_gettop(L) > 1) {
        double digits = luaL_checknumber(L, 2);
        lua_settop(L, 1);
        lua_pushnumber(L, digits < -8 ? -8 : digits > 8 ? 8 : digits);
    }
    lua_CFunction own = lua_tocfunction(L, lua_upvalueindex(1));
    return own(L);
}

static void offer_bit(lua_State *L, int globals)
{
    lua_getglobal(L, "bit");
    lua_getfield(L, -1, "tohex");
    ensure(lua_tocfunction(L, -1) != NULL);
    lua_pushcclosure(L, tohex, 1);
    lua_setfield(L, -2, "tohex");
    offer(L, globals, "bit");
}

static void offer_rest(lua_State *L, int globals)
{
    static const struct change os[] = {{"clock", os_clock}, {NULL, NULL}};
    static const struct change less[] = {{"isyieldable", NULL}, {NULL, NULL}};
    offer_bit(L, globals);
    lua_getglobal(L, "coroutine");
    change(L, less);
    check_coroutines(L);
    offer(L, globals, "coroutine");
    lua_newtable(L);
    change(L, os);
    offer(L, globals, "os");
    open_cjson(L);
    offer(L, globals, "cjson");
    open_cmsgpack(L);
    offer(L, globals, "cmsgpack");
    open_struct(L);
    offer(L, globals, "struct");
    open_redis(L);
    lua_pushvalue(L, -1);
    offer(L, globals, "server");
    offer(L, globals, "redis");
}

/* The table at the top gets an error for names that are not in it. */
static void refuse_others(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, no_global);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

/* While a library is loaded there is redis, with little in it, and nothing else: so loading it again, elsewhere or
 * after a restart, comes to the same. */
static void prepare_loading(lua_State *L)
{
    lua_pushlightuserdata(L, &loading_globals);
    lua_newtable(L);
    open_redis_loading(L);
    refuse_others(L);
    sandbox_protect(L);
    lua_setfield(L, -2, "redis");
    refuse_others(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void sandbox_show(lua_State *L, bool loading)
{
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_getmetatable(L, -1);
    lua_pushlightuserdata(L, loading ? &loading_globals : &mark);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}

/* Names that are in no list are an error, those of the real globals are found behind the front. */
void sandbox_open(lua_State *L)
{
    library(L, luaopen_base, "");
    library(L, luaopen_table, LUA_TABLIBNAME);
    library(L, luaopen_string, LUA_STRLIBNAME);
    library(L, luaopen_math, LUA_MATHLIBNAME);
    library(L, luaopen_bit, LUA_BITLIBNAME);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    int globals = lua_gettop(L);
    change_base(L);
    offer_string(L, globals);
    offer_table(L, globals);
    offer_math(L, globals);
    offer_rest(L, globals);

    lua_pushvalue(L, globals);
    refuse_others(L);
    sandbox_protect(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, globals, "_G");
    lua_replace(L, LUA_GLOBALSINDEX);
    lua_pushlightuserdata(L, &mark);
    lua_pushvalue(L, globals);
    lua_rawset(L, LUA_REGISTRYINDEX);
    if (script_env_at(L)->kind == SCRIPT_FUNCTION)
        prepare_loading(L);
}

void sandbox_set_global(lua_State *L, const char *name)
{
    lua_pushlightuserdata(L, &mark);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}
