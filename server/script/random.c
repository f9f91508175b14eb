/* math.random: the 48-bit linear congruential generator of POSIX's lrand48, as Redis has it: it begins the same way in
 * every server, and goes on from one script to the next. */
#include "server/script/env.h"

#define RAND_START 0x1234abcd330eull

static double next_random(struct script_env *env)
{
    env->rand = (env->rand * 0x5deece66dull + 0xb) & 0xffffffffffffull;
    return (double)((int64_t)(env->rand >> 17) % INT32_MAX) / (double)INT32_MAX;
}

static int math_random(lua_State *L)
{
    double r = next_random(script_env_at(L));
    int n = lua_gettop(L);
    if (n == 0) {
        lua_pushnumber(L, r);
        return 1;
    }
    if (n > 2)
        return luaL_error(L, "wrong number of arguments");
    int low = n == 1 ? 1 : luaL_checkint(L, 1), high = luaL_checkint(L, n);
    luaL_argcheck(L, low <= high, n, "interval is empty");
    double size = (double)high - (double)low + 1;
    lua_pushnumber(L, (double)(int64_t)(r * size) + low);
    return 1;
}

static int math_randomseed(lua_State *L)
{
    script_env_at(L)->rand = (uint64_t)(uint32_t)luaL_checkint(L, 1) << 16 | 0x330e;
    return 0;
}

void open_random(lua_State *L)
{
    script_env_at(L)->rand = RAND_START;
    lua_pushcfunction(L, math_random);
    lua_setfield(L, -2, "random");
    lua_pushcfunction(L, math_randomseed);
    lua_setfield(L, -2, "randomseed");
}
