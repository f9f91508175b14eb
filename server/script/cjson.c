#include "server/script/cjson.h"

#include <stdio.h>

struct json_settings *json_settings(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* Each of these changes a setting if it is given one, and returns what it is now. */

static int optional_int(lua_State *L, int at, int *setting, int low, int high)
{
    char error[64];
    if (!lua_isnoneornil(L, at)) {
        int v = luaL_checkint(L, at);
        snprintf(error, sizeof(error), "expected integer between %d and %d", low, high);
        luaL_argcheck(L, v >= low && v <= high, at, error);
        *setting = v;
    }
    lua_pushinteger(L, *setting);
    return 1;
}

static int optional_bool(lua_State *L, int at, bool *setting)
{
    if (!lua_isnoneornil(L, at)) {
        luaL_checktype(L, at, LUA_TBOOLEAN);
        *setting = lua_toboolean(L, at);
    }
    lua_pushboolean(L, *setting);
    return 1;
}

static int most_arguments(lua_State *L, int n)
{
    luaL_argcheck(L, lua_gettop(L) <= n, n + 1, "found too many arguments");
    lua_settop(L, n);
    return n;
}

static int encode_sparse_array(lua_State *L)
{
    struct json_settings *s = json_settings(L);
    most_arguments(L, 3);
    optional_bool(L, 1, &s->sparse_convert);
    optional_int(L, 2, &s->sparse_ratio, 0, INT32_MAX);
    optional_int(L, 3, &s->sparse_safe, 0, INT32_MAX);
    return 3;
}

static int encode_max_depth(lua_State *L)
{
    most_arguments(L, 1);
    return optional_int(L, 1, &json_settings(L)->encode_depth, 1, INT32_MAX);
}

static int decode_max_depth(lua_State *L)
{
    most_arguments(L, 1);
    return optional_int(L, 1, &json_settings(L)->decode_depth, 1, INT32_MAX);
}

static int encode_number_precision(lua_State *L)
{
    most_arguments(L, 1);
    return optional_int(L, 1, &json_settings(L)->precision, 1, 14);
}

static int encode_keep_buffer(lua_State *L)
{
    most_arguments(L, 1);
    return optional_bool(L, 1, &json_settings(L)->keep_buffer);
}

static int encode_invalid_numbers(lua_State *L)
{
    static const char *const words[] = {"off", "on", "null", NULL};
    struct json_settings *s = json_settings(L);
    most_arguments(L, 1);
    if (lua_isboolean(L, 1))
        s->encode_invalid = lua_toboolean(L, 1) ? INVALID_WRITTEN : INVALID_REFUSED;
    else if (!lua_isnil(L, 1))
        s->encode_invalid = luaL_checkoption(L, 1, NULL, words);
    if (s->encode_invalid == INVALID_NULL)
        lua_pushliteral(L, "null");
    else
        lua_pushboolean(L, s->encode_invalid == INVALID_WRITTEN);
    return 1;
}

static int decode_invalid_numbers(lua_State *L)
{
    most_arguments(L, 1);
    return optional_bool(L, 1, &json_settings(L)->decode_invalid);
}

static void make_module(lua_State *L);

static int json_new(lua_State *L)
{
    make_module(L);
    return 1;
}

static void make_module(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction f;
    } functions[] = {
        {"encode", json_encode},
        {"decode", json_decode},
        {"encode_sparse_array", encode_sparse_array},
        {"encode_max_depth", encode_max_depth},
        {"decode_max_depth", decode_max_depth},
        {"encode_number_precision", encode_number_precision},
        {"encode_keep_buffer", encode_keep_buffer},
        {"encode_invalid_numbers", encode_invalid_numbers},
        {"decode_invalid_numbers", decode_invalid_numbers},
        {"new", json_new},
    };
    lua_createtable(L, 0, 16);
    struct json_settings *s = lua_newuserdata(L, sizeof(*s));
    *s = (struct json_settings){
        .sparse_ratio = 2,
        .sparse_safe = 10,
        .encode_depth = 1000,
        .decode_depth = 1000,
        .precision = 14,
        .decode_invalid = true,
        .keep_buffer = true,
    };
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, functions[i].f, 1);
        lua_setfield(L, -3, functions[i].name);
    }
    lua_pop(L, 1);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushliteral(L, "cjson");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "2.1.0");
    lua_setfield(L, -2, "_VERSION");
}

static int null_text(lua_State *L)
{
    lua_pushliteral(L, "userdata: (nil)");
    return 1;
}

/* cjson.null is told apart by its text, too: as Lua 5.1 writes it, not as LuaJIT does. */
static void name_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, null_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2); /* of all light userdata, and there is no other */
    lua_pop(L, 1);
}

void open_cjson(lua_State *L)
{
    name_null(L);
    make_module(L);
}
