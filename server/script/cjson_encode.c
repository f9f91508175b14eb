#include <math.h>
#include <stdio.h>

#include "server/script/cjson.h"

struct encoder {
    struct script_env *env;
    const struct json_settings *settings;
    int depth;
};

static void put(lua_State *L, struct encoder *e, const char *p, size_t n) { text_append(L, e->env, p, n); }
static void put_str(lua_State *L, struct encoder *e, const char *text) { put(L, e, text, strlen(text)); }

static int cannot(lua_State *L, int at, const char *why)
{
    return luaL_error(L, "Cannot serialise %s: %s", luaL_typename(L, at), why);
}

/* NULL: stands for itself. */
static const char *escape(uint8_t c, char scratch[static 8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '/':
        return "\\/";
    case '\b':
        return "\\b";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\f':
        return "\\f";
    case '\r':
        return "\\r";
    default:
        break;
    }
    if (c >= 32 && c != 127)
        return NULL;
    snprintf(scratch, 8, "\\u%04x", c);
    return scratch;
}

static void put_string(lua_State *L, struct encoder *e, int at)
{
    size_t len, from = 0;
    const char *p = lua_tolstring(L, at, &len);
    char scratch[8];
    put(L, e, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        const char *text = escape((uint8_t)p[i], scratch);
        if (text == NULL)
            continue;
        put(L, e, p + from, i - from);
        put_str(L, e, text);
        from = i + 1;
    }
    put(L, e, p + from, len - from);
    put(L, e, "\"", 1);
}

static void put_number(lua_State *L, struct encoder *e, int at)
{
    char text[40];
    double v = lua_tonumber(L, at);
    if (isnan(v) || isinf(v)) {
        if (e->settings->encode_invalid == INVALID_REFUSED)
            cannot(L, at, "must not be NaN or Inf");
        if (e->settings->encode_invalid == INVALID_NULL) {
            put_str(L, e, "null");
            return;
        }
        put_str(L, e, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
        return;
    }
    put(L, e, text, (size_t)snprintf(text, sizeof(text), "%.*g", e->settings->precision, v));
}

/* The greatest index if the table on top is a list, else -1. An empty table is none. */
static int64_t list_length(lua_State *L, const struct encoder *e)
{
    const struct json_settings *s = e->settings;
    int64_t max = 0, n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        double k = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (k < 1 || k != floor(k) || k > INT32_MAX) {
            lua_pop(L, 2);
            return -1;
        }
        max = (int64_t)k > max ? (int64_t)k : max;
        n++;
    }
    if (s->sparse_ratio > 0 && max > n * s->sparse_ratio && max > s->sparse_safe) {
        if (!s->sparse_convert)
            cannot(L, -1, "excessively sparse array");
        return -1;
    }
    return max > 0 ? max : -1;
}

static void put_value(lua_State *L, struct encoder *e);

static void put_list(lua_State *L, struct encoder *e, int64_t n)
{
    put(L, e, "[", 1);
    for (int64_t i = 1; i <= n; i++) {
        if (i > 1)
            put(L, e, ",", 1);
        lua_rawgeti(L, -1, (int)i);
        put_value(L, e);
    }
    put(L, e, "]", 1);
}

static void put_object(lua_State *L, struct encoder *e)
{
    bool first = true;
    put(L, e, "{", 1);
    for (lua_pushnil(L); lua_next(L, -2); first = false) {
        int type = lua_type(L, -2);
        if (!first)
            put(L, e, ",", 1);
        if (type == LUA_TNUMBER) {
            put(L, e, "\"", 1);
            put_number(L, e, -2);
            put(L, e, "\"", 1);
        } else if (type == LUA_TSTRING) {
            put_string(L, e, -2);
        } else {
            cannot(L, -2, "table key must be a number or string");
        }
        put(L, e, ":", 1);
        put_value(L, e);
    }
    put(L, e, "}", 1);
}

static void put_table(lua_State *L, struct encoder *e)
{
    if (++e->depth > e->settings->encode_depth || !lua_checkstack(L, 6))
        luaL_error(L, "Cannot serialise, excessive nesting (%d)", e->depth);
    int64_t n = list_length(L, e);
    if (n > 0)
        put_list(L, e, n);
    else
        put_object(L, e);
    e->depth--;
}

/* Pops it. */
static void put_value(lua_State *L, struct encoder *e)
{
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        put_string(L, e, -1);
        break;
    case LUA_TNUMBER:
        put_number(L, e, -1);
        break;
    case LUA_TBOOLEAN:
        put_str(L, e, lua_toboolean(L, -1) ? "true" : "false");
        break;
    case LUA_TTABLE:
        put_table(L, e);
        break;
    case LUA_TNIL:
        put_str(L, e, "null");
        break;
    default:
        if (lua_type(L, -1) != LUA_TLIGHTUSERDATA || lua_touserdata(L, -1) != NULL)
            cannot(L, -1, "type not supported");
        put_str(L, e, "null");
    }
    lua_pop(L, 1);
}

int json_encode(lua_State *L)
{
    struct encoder e = {script_env_at(L), json_settings(L), 0};
    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    buf_clear(&e.env->text);
    put_value(L, &e);
    lua_pushlstring(L, e.env->text.len ? (const char *)e.env->text.p : "", e.env->text.len);
    buf_reset(&e.env->text, 64 * KIB);
    return 1;
}
