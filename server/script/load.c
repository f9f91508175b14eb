/* load and loadstring: of text in Lua 5.1, and never of bytecode, which can break out of any sandbox. */
#include "server/script/env.h"

static int loaded(lua_State *L, int status)
{
    if (status == 0)
        return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int load_text(lua_State *L, struct slice text, const char *name)
{
    struct buf *own = &script_env_at(L)->text;
    buf_clear(own);
    if (as_lua51(text, own))
        text = buf_slice(own);
    return luaL_loadbufferx(L, (const char *)text.p, text.len, name, "t");
}

static int sandboxed_loadstring(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    return loaded(L, load_text(L, slice_of(text, len), luaL_optstring(L, 2, text)));
}

/* All that the function at 1 returns until it returns nothing. */
static int load_body(lua_State *L)
{
    luaL_Buffer pieces;
    size_t len;
    luaL_buffinit(L, &pieces);
    for (;;) {
        luaL_checkstack(L, 2, "too many nested functions");
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (!lua_isnil(L, -1) && !lua_isstring(L, -1))
            luaL_error(L, "reader function must return a string");
        if (lua_isnil(L, -1) || lua_objlen(L, -1) == 0)
            break;
        luaL_addvalue(&pieces);
    }
    lua_pop(L, 1);
    luaL_pushresult(&pieces);
    const char *text = lua_tolstring(L, -1, &len);
    return load_text(L, slice_of(text, len), luaL_optstring(L, 2, "=(load)")) == 0 ? 1 : lua_error(L);
}

/* In a protected call of its own: what the function raises is what load returns. */
static int sandboxed_load(lua_State *L)
{
    script_check_stack(L);
    luaL_optstring(L, 2, NULL);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushcfunction(L, load_body);
    lua_insert(L, 1);
    return loaded(L, lua_pcall(L, 2, 1, 0));
}

void open_load(lua_State *L)
{
    lua_pushcfunction(L, sandboxed_load);
    lua_setfield(L, -2, "load");
    lua_pushcfunction(L, sandboxed_loadstring);
    lua_setfield(L, -2, "loadstring");
}
