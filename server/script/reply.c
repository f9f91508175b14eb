/* RESP to Lua and back, as Redis documents it ("Data type conversion"). */
#include <math.h>
#include <stdlib.h>

#include "core/base/num.h"
#include "core/proto/resp_writer.h"
#include "server/reply.h"
#include "server/script/env.h"
#include "server/timing.h"

/* --- RESP to Lua: our own commands' replies, so well-formed --- */

static struct slice take_line(const uint8_t **at)
{
    const uint8_t *from = *at + 1, *end = from;
    while (*end != '\r')
        end++;
    *at = end + 2;
    return slice_of(from, (size_t)(end - from));
}

static int64_t take_int(const uint8_t **at)
{
    int64_t v = 0;
    num_parse_i64(take_line(at), &v);
    return v;
}

static struct slice take_bulk(const uint8_t **at, int64_t len)
{
    struct slice s = slice_of(*at, (size_t)len);
    *at += len + 2;
    return s;
}

static void push_slice(lua_State *L, struct slice s) { lua_pushlstring(L, (const char *)s.p, s.len); }

/* {name = text} */
static void push_text(lua_State *L, const char *name, struct slice s)
{
    lua_createtable(L, 0, 1);
    push_slice(L, s);
    lua_setfield(L, -2, name);
}

static void push_bulk(lua_State *L, const uint8_t **at)
{
    int64_t len = take_int(at);
    if (len < 0)
        lua_pushboolean(L, false);
    else
        push_slice(L, take_bulk(at, len));
}

/* What a table is made for at first. */
static int table_size(int64_t n) { return (int)(n < INT32_MAX ? n : INT32_MAX); }

static void push_array(lua_State *L, const uint8_t **at)
{
    int64_t n = take_int(at);
    if (n < 0) {
        lua_pushboolean(L, false);
        return;
    }
    lua_createtable(L, table_size(n), 0);
    for (int64_t i = 1; i <= n; i++) {
        reply_to_lua(L, at);
        lua_rawseti(L, -2, (int)i);
    }
}

/* A key that is null in Lua cannot be one. */
static void set_pair(lua_State *L)
{
    if (lua_isnil(L, -2))
        lua_pop(L, 2);
    else
        lua_rawset(L, -3);
}

/* A map, or a set: its members are the keys, and `true` stands for every value. */
static void push_map(lua_State *L, const uint8_t **at, bool set)
{
    int64_t n = take_int(at);
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, table_size(n));
    for (int64_t i = 0; i < n; i++) {
        reply_to_lua(L, at);
        if (set)
            lua_pushboolean(L, true);
        else
            reply_to_lua(L, at);
        set_pair(L);
    }
    lua_setfield(L, -2, set ? "set" : "map");
}

static void push_double(lua_State *L, const uint8_t **at)
{
    char text[64];
    struct slice s = take_line(at);
    size_t n = min_u64(s.len, sizeof(text) - 1);
    memcpy(text, s.p, n);
    text[n] = 0;
    lua_createtable(L, 0, 1);
    lua_pushnumber(L, strtod(text, NULL));
    lua_setfield(L, -2, "double");
}

static void push_verbatim(lua_State *L, const uint8_t **at)
{
    struct slice s = take_bulk(at, take_int(at));
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 2);
    push_slice(L, slice_of(s.p, 3));
    lua_setfield(L, -2, "format");
    push_slice(L, slice_of(s.p + 4, s.len - 4));
    lua_setfield(L, -2, "string");
    lua_setfield(L, -2, "verbatim_string");
}

void reply_to_lua(lua_State *L, const uint8_t **at)
{
    luaL_checkstack(L, 6, "reply nested too deeply");
    switch (**at) {
    case '+':
        push_text(L, "ok", take_line(at));
        break;
    case '-':
        push_counted_error(L, take_line(at));
        break;
    case ':':
        lua_pushnumber(L, (double)take_int(at));
        break;
    case '$':
        push_bulk(L, at);
        break;
    case '*':
    case '>':
        push_array(L, at);
        break;
    case '%':
        push_map(L, at, false);
        break;
    case '~':
        push_map(L, at, true);
        break;
    case '|': /* attributes are not for scripts */
        for (int64_t n = 2 * take_int(at); n > 0; n--) {
            reply_to_lua(L, at);
            lua_pop(L, 1);
        }
        reply_to_lua(L, at);
        break;
    case '_':
        take_line(at);
        lua_pushnil(L);
        break;
    case '#':
        lua_pushboolean(L, take_line(at).p[0] == 't');
        break;
    case ',':
        push_double(L, at);
        break;
    case '(':
        push_text(L, "big_number", take_line(at));
        break;
    case '=':
        push_verbatim(L, at);
        break;
    default:
        luaL_error(L, "a command gave a reply that scripts cannot read");
    }
}

/* --- Lua to RESP --- */

struct out {
    struct call *call;
    struct buf *buf;
    int proto;   /* the client's */
    bool typed;  /* the script has asked for RESP3: booleans are booleans */
    size_t most; /* length of the buffer at which the reply is too large */
};

static void put_value(lua_State *L, struct out *o);

/* Line breaks in what was appended behind `from` become blanks. */
static void join_lines(struct buf *buf, size_t from)
{
    for (size_t i = from; i < buf->len; i++)
        if (buf->p[i] == '\r' || buf->p[i] == '\n')
            buf->p[i] = ' ';
}

static void put_line(struct out *o, char sign, const char *p, size_t len)
{
    buf_append_byte(o->buf, (uint8_t)sign);
    size_t from = o->buf->len;
    buf_append(o->buf, p, len);
    join_lines(o->buf, from);
    buf_append(o->buf, "\r\n", 2);
}

/* RESP2 has no big numbers: a string. */
static void put_big_number(struct out *o, const char *p, size_t len)
{
    if (o->proto >= 3) {
        put_line(o, '(', p, len);
        return;
    }
    resp_bulk(o->buf, slice_of(p, len));
    join_lines(o->buf, o->buf->len - len - 2);
    memcpy(o->buf->p + o->buf->len - 2, "\r\n", 2);
}

static int64_t to_integer(double v)
{
    return v >= -9223372036854775808.0 && v < 9223372036854775808.0 ? (int64_t)v : INT64_MIN;
}

/* Pushes the field `name` of the table on top if it has this type. */
static bool has_field(lua_State *L, const char *name, int type)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    int t = lua_type(L, -1);
    if (t == type)
        return true;
    lua_pop(L, 1);
    return false;
}

static void put_map(lua_State *L, struct out *o)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    resp_map(o->buf, o->proto, n);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        put_value(L, o);
        put_value(L, o);
    }
}

static void put_set(lua_State *L, struct out *o)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    resp_set(o->buf, o->proto, n);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        put_value(L, o);
    }
}

/* [... table, verbatim] */
static bool put_verbatim(lua_State *L, struct out *o)
{
    bool done = false;
    if (has_field(L, "format", LUA_TSTRING)) {
        size_t flen, len;
        const char *format = lua_tolstring(L, -1, &flen);
        lua_pushliteral(L, "string");
        lua_rawget(L, -3);
        if (lua_type(L, -1) == LUA_TSTRING) {
            char code[4] = "   ";
            const char *p = lua_tolstring(L, -1, &len);
            memcpy(code, format, min_u64(flen, 3));
            resp_verbatim(o->buf, o->proto, code, slice_of(p, len));
            done = true;
        }
        lua_pop(L, 2);
    }
    return done;
}

/* What the table on top stands for if it has one of the special fields. */
static bool put_special(lua_State *L, struct out *o)
{
    size_t len;
    const char *p;
    if (has_field(L, "err", LUA_TSTRING)) {
        p = lua_tolstring(L, -1, &len);
        o->call->failed = true;
        if (!counted_error(L, -2))
            timing_error(o->call->shard, slice_of(p, len));
        put_line(o, '-', p, len);
    } else if (has_field(L, "ok", LUA_TSTRING)) {
        p = lua_tolstring(L, -1, &len);
        put_line(o, '+', p, len);
    } else if (has_field(L, "double", LUA_TNUMBER)) {
        resp_double(o->buf, o->proto, lua_tonumber(L, -1));
    } else if (has_field(L, "map", LUA_TTABLE)) {
        put_map(L, o);
    } else if (has_field(L, "set", LUA_TTABLE)) {
        put_set(L, o);
    } else if (has_field(L, "big_number", LUA_TSTRING)) {
        p = lua_tolstring(L, -1, &len);
        put_big_number(o, p, len);
    } else if (has_field(L, "verbatim_string", LUA_TTABLE)) {
        bool done = put_verbatim(L, o);
        lua_pop(L, 1);
        return done;
    } else {
        return false;
    }
    lua_pop(L, 1);
    return true;
}

static void put_array(lua_State *L, struct out *o)
{
    int n = 0;
    for (;; n++) {
        lua_rawgeti(L, -1, n + 1);
        bool end = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (end)
            break;
    }
    resp_array(o->buf, (size_t)n);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        put_value(L, o);
    }
}

static void put_boolean(struct out *o, bool v)
{
    if (o->typed)
        resp_bool(o->buf, o->proto, v);
    else if (v)
        resp_int(o->buf, 1);
    else
        resp_null(o->buf, o->proto);
}

/* Pops the value. */
static void put_value(lua_State *L, struct out *o)
{
    size_t len;
    const char *p;
    if (!lua_checkstack(L, 8)) {
        buf_append_str(o->buf, "-ERR reached lua stack limit\r\n");
        lua_pop(L, 1);
        return;
    }
    if (o->buf->len > o->most)
        luaL_error(L, "the reply is too large");
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        p = lua_tolstring(L, -1, &len);
        resp_bulk(o->buf, slice_of(p, len));
        break;
    case LUA_TNUMBER:
        resp_int(o->buf, to_integer(lua_tonumber(L, -1)));
        break;
    case LUA_TBOOLEAN:
        put_boolean(o, lua_toboolean(L, -1));
        break;
    case LUA_TTABLE:
        if (!put_special(L, o))
            put_array(L, o);
        break;
    default:
        resp_null(o->buf, o->proto);
    }
    lua_pop(L, 1);
}

void lua_to_reply(lua_State *L, struct call *c, int resp, size_t limit)
{
    struct out o = {.call = c, .buf = c->out, .proto = c->proto, .typed = resp >= 3, .most = c->out->len + limit};
    put_value(L, &o);
}
