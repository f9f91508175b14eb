/* cmsgpack: MessagePack (msgpack.org) for scripts, with the interface of lua-cmsgpack 0.4.0. */
#include <endian.h>
#include <limits.h>
#include <math.h>

#include "server/script/env.h"

#define DEPTH_MAX 16 /* deeper tables are packed as nil */

/* --- packing --- */

struct packer {
    lua_State *L;
    struct script_env *env;
};

static void put(struct packer *p, const void *bytes, size_t n) { text_append(p->L, p->env, bytes, n); }

static void put_u8(struct packer *p, unsigned v)
{
    uint8_t b = (uint8_t)v;
    put(p, &b, 1);
}

/* A type byte and `n` bytes of v, the most significant first. */
static void put_typed(struct packer *p, unsigned type, uint64_t v, unsigned n)
{
    uint64_t big = htobe64(v);
    put_u8(p, type);
    put(p, (const uint8_t *)&big + 8 - n, n);
}

static void put_string(struct packer *p, const char *s, size_t n)
{
    if (n < 32)
        put_u8(p, 0xa0 | (unsigned)n);
    else if (n <= 0xff)
        put_typed(p, 0xd9, n, 1);
    else if (n <= 0xffff)
        put_typed(p, 0xda, n, 2);
    else
        put_typed(p, 0xdb, n, 4);
    put(p, s, n);
}

static void put_unsigned(struct packer *p, uint64_t v)
{
    if (v <= 127)
        put_u8(p, (unsigned)v);
    else if (v <= 0xff)
        put_typed(p, 0xcc, v, 1);
    else if (v <= 0xffff)
        put_typed(p, 0xcd, v, 2);
    else if (v <= 0xffffffff)
        put_typed(p, 0xce, v, 4);
    else
        put_typed(p, 0xcf, v, 8);
}

static void put_integer(struct packer *p, int64_t v)
{
    if (v >= 0)
        put_unsigned(p, (uint64_t)v);
    else if (v >= -32)
        put_u8(p, (unsigned)(uint8_t)v);
    else if (v >= INT8_MIN)
        put_typed(p, 0xd0, (uint64_t)v, 1);
    else if (v >= INT16_MIN)
        put_typed(p, 0xd1, (uint64_t)v, 2);
    else if (v >= INT32_MIN)
        put_typed(p, 0xd2, (uint64_t)v, 4);
    else
        put_typed(p, 0xd3, (uint64_t)v, 8);
}

/* As a float if it loses nothing. */
static void put_double(struct packer *p, double v)
{
    float f = (float)v;
    uint32_t bits32;
    uint64_t bits64;
    memcpy(&bits32, &f, 4);
    memcpy(&bits64, &v, 8);
    if ((double)f == v)
        put_typed(p, 0xca, bits32, 4);
    else
        put_typed(p, 0xcb, bits64, 8);
}

static void put_number(struct packer *p, double v)
{
    if (v == floor(v) && v >= -9223372036854775808.0 && v < 9223372036854775808.0)
        put_integer(p, (int64_t)v);
    else
        put_double(p, v);
}

static void put_length(struct packer *p, size_t n, unsigned few, unsigned type16, unsigned type32)
{
    if (n <= 15)
        put_u8(p, few | (unsigned)n);
    else if (n <= 0xffff)
        put_typed(p, type16, n, 2);
    else
        put_typed(p, type32, n, 4);
}

/* Whether the keys of the table on top are 1..n. */
static bool is_list(lua_State *L, size_t *length)
{
    size_t n = 0;
    double max = 0;
    for (lua_pushnil(L); lua_next(L, -2); n++) {
        lua_pop(L, 1);
        double k = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (k <= 0 || k != floor(k)) {
            lua_pop(L, 1);
            return false;
        }
        max = k > max ? k : max;
    }
    *length = n;
    return max == (double)n;
}

static void put_value(struct packer *p, int depth);

static void put_map(struct packer *p, int depth)
{
    lua_State *L = p->L;
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    put_length(p, n, 0x80, 0xde, 0xdf);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        put_value(p, depth);
        put_value(p, depth);
    }
}

static void put_table(struct packer *p, int depth)
{
    lua_State *L = p->L;
    size_t n = 0;
    luaL_checkstack(L, 6, "in function table_to_msgpack");
    if (!is_list(L, &n)) {
        put_map(p, depth + 1);
        return;
    }
    put_length(p, n, 0x90, 0xdc, 0xdd);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (int)i);
        put_value(p, depth + 1);
    }
}

/* Pops it. */
static void put_value(struct packer *p, int depth)
{
    lua_State *L = p->L;
    int type = lua_type(L, -1);
    size_t n;
    if (type == LUA_TTABLE && depth == DEPTH_MAX)
        type = LUA_TNIL;
    switch (type) {
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, -1, &n);
        put_string(p, s, n);
        break;
    }
    case LUA_TBOOLEAN:
        put_u8(p, lua_toboolean(L, -1) ? 0xc3 : 0xc2);
        break;
    case LUA_TNUMBER:
        put_number(p, lua_tonumber(L, -1));
        break;
    case LUA_TTABLE:
        put_table(p, depth);
        break;
    default:
        put_u8(p, 0xc0);
    }
    lua_pop(L, 1);
}

static int pack(lua_State *L)
{
    struct packer p = {L, script_env_at(L)};
    int n = lua_gettop(L);
    if (n == 0)
        return luaL_argerror(L, 0, "MessagePack pack needs input.");
    luaL_checkstack(L, 4, "Too many arguments for MessagePack pack.");
    buf_clear(&p.env->text);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(L, i);
        put_value(&p, 0);
    }
    lua_pushlstring(L, (const char *)p.env->text.p, p.env->text.len);
    buf_reset(&p.env->text, 64 * KIB);
    return 1;
}

/* --- unpacking --- */

struct unpacker {
    lua_State *L;
    struct reader in;
    int depth;
    bool unknown; /* a type that there is not */
};

static uint64_t take_big(struct unpacker *u, unsigned n)
{
    struct slice s = reader_bytes(&u->in, n);
    uint64_t v = 0;
    for (unsigned i = 0; i < n && !u->in.bad; i++)
        v = v << 8 | s.p[i];
    return v;
}

static void push_signed(struct unpacker *u, unsigned n)
{
    uint64_t v = take_big(u, n);
    lua_pushnumber(u->L, (double)((int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n)));
}

static void push_bytes(struct unpacker *u, uint64_t n)
{
    struct slice s = reader_bytes(&u->in, n);
    if (u->in.bad)
        lua_pushnil(u->L);
    else
        lua_pushlstring(u->L, (const char *)s.p, s.len);
}

static void push_float(struct unpacker *u, bool is_double)
{
    uint64_t bits = take_big(u, is_double ? 8 : 4);
    uint32_t bits32 = (uint32_t)bits;
    double v;
    float f;
    memcpy(&v, &bits, 8);
    memcpy(&f, &bits32, 4);
    lua_pushnumber(u->L, is_double ? v : (double)f);
}

static void push_value(struct unpacker *u);

static void open_table(struct unpacker *u)
{
    luaL_checkstack(u->L, 6, "in function mp_decode_to_lua_array");
    if (++u->depth > 200)
        luaL_error(u->L, "MessagePack nested too deeply");
    lua_newtable(u->L);
}

static void push_array(struct unpacker *u, uint64_t n)
{
    open_table(u);
    for (uint64_t i = 1; i <= n; i++) {
        push_value(u);
        if (u->in.bad || u->unknown)
            return;
        lua_rawseti(u->L, -2, (int)i);
    }
    u->depth--;
}

static void push_map(struct unpacker *u, uint64_t n)
{
    open_table(u);
    for (uint64_t i = 0; i < n; i++) {
        push_value(u);
        if (u->in.bad || u->unknown)
            return;
        push_value(u);
        if (u->in.bad || u->unknown)
            return;
        lua_settable(u->L, -3);
    }
    u->depth--;
}

static void push_typed(struct unpacker *u, unsigned type)
{
    switch (type) {
    case 0xc0:
        lua_pushnil(u->L);
        break;
    case 0xc2:
    case 0xc3:
        lua_pushboolean(u->L, type == 0xc3);
        break;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        push_bytes(u, take_big(u, 1u << (type - 0xc4)));
        break;
    case 0xca:
    case 0xcb:
        push_float(u, type == 0xcb);
        break;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        lua_pushnumber(u->L, (double)take_big(u, 1u << (type - 0xcc)));
        break;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        push_signed(u, 1u << (type - 0xd0));
        break;
    case 0xd9:
    case 0xda:
    case 0xdb:
        push_bytes(u, take_big(u, 1u << (type - 0xd9)));
        break;
    case 0xdc:
    case 0xdd:
        push_array(u, take_big(u, type == 0xdc ? 2 : 4));
        break;
    case 0xde:
    case 0xdf:
        push_map(u, take_big(u, type == 0xde ? 2 : 4));
        break;
    default:
        u->unknown = true;
        lua_pushnil(u->L);
    }
}

static void push_value(struct unpacker *u)
{
    unsigned type = reader_u8(&u->in);
    if (u->in.bad)
        lua_pushnil(u->L);
    else if (type < 0x80)
        lua_pushnumber(u->L, type);
    else if (type < 0x90)
        push_map(u, type & 15);
    else if (type < 0xa0)
        push_array(u, type & 15);
    else if (type < 0xc0)
        push_bytes(u, type & 31);
    else if (type >= 0xe0)
        lua_pushnumber(u->L, (int8_t)type);
    else
        push_typed(u, type);
}

/* At most `limit` values (0: all) from `offset`; with one of both given, where to go on is the first result (-1: at
 * the end). */
static int unpack_some(lua_State *L, int limit, int offset)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    int n = 0;
    bool all = limit == 0 && offset == 0;
    if (offset < 0 || limit < 0)
        return luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.", offset, (int)len);
    if ((size_t)offset > len)
        return luaL_error(L, "Start offset %d greater than input length %d.", offset, (int)len);
    if (limit == 0)
        limit = INT_MAX;
    struct unpacker u = {.L = L, .in = reader_of(slice_of(s + offset, len - (size_t)offset))};
    lua_settop(L, 1);
    for (; reader_left(&u.in) > 0 && n < limit; n++) {
        luaL_checkstack(L, 8, "in function mp_unpack_full");
        push_value(&u);
        if (u.unknown)
            return luaL_error(L, "Bad data format in input.");
        if (u.in.bad)
            return luaL_error(L, "Missing bytes in input.");
    }
    if (all)
        return n;
    lua_pushinteger(L, reader_left(&u.in) == 0 ? -1 : (lua_Integer)(len - reader_left(&u.in)));
    lua_insert(L, 2);
    return n + 1;
}

static int unpack(lua_State *L) { return unpack_some(L, 0, 0); }
static int unpack_one(lua_State *L) { return unpack_some(L, 1, luaL_optint(L, 2, 0)); }
static int unpack_limit(lua_State *L) { return unpack_some(L, luaL_checkint(L, 2), luaL_optint(L, 3, 0)); }

void open_cmsgpack(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction f;
    } functions[] = {{"pack", pack}, {"unpack", unpack}, {"unpack_one", unpack_one}, {"unpack_limit", unpack_limit}};
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushcfunction(L, functions[i].f);
        lua_setfield(L, -2, functions[i].name);
    }
    lua_pushliteral(L, "cmsgpack");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "lua-cmsgpack 0.4.0");
    lua_setfield(L, -2, "_VERSION");
    lua_pushliteral(L, "MessagePack C implementation for Lua");
    lua_setfield(L, -2, "_DESCRIPTION");
}
