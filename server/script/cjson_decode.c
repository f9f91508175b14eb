#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "server/script/cjson.h"

enum token {
    T_OBJ_BEGIN,
    T_OBJ_END,
    T_ARR_BEGIN,
    T_ARR_END,
    T_STRING,
    T_NUMBER,
    T_BOOLEAN,
    T_NULL,
    T_COLON,
    T_COMMA,
    T_END,
    T_ERROR
};
static const char *const token_names[] = {"T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END",
                                          "T_STRING",    "T_NUMBER",  "T_BOOLEAN",   "T_NULL",
                                          "T_COLON",     "T_COMMA",   "T_END",       "T_ERROR"};

struct decoder {
    struct script_env *env;
    const struct json_settings *settings;
    const char *text, *at, *end; /* a NUL stands at `end` */
    int depth;
    enum token token;
    size_t index; /* where the token begins */
    const char *error;
    double number;
    bool boolean;
};

static int expected(lua_State *L, const struct decoder *d, const char *what)
{
    return luaL_error(L, "Expected %s but found %s at character %d", what,
                      d->token == T_ERROR ? d->error : token_names[d->token], (int)d->index + 1);
}

static void bad_token(struct decoder *d, const char *why, const char *at)
{
    d->token = T_ERROR;
    d->error = why;
    d->index = (size_t)(at - d->text);
}

/* --- strings --- */

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)p[i];
        if (!isxdigit(c))
            return -1;
        v = v << 4 | (isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
    }
    return v;
}

static size_t utf8(char out[static 4], int v)
{
    if (v < 0x80) {
        out[0] = (char)v;
        return 1;
    }
    if (v < 0x800) {
        out[0] = (char)(0xc0 | v >> 6);
        out[1] = (char)(0x80 | (v & 0x3f));
        return 2;
    }
    if (v < 0x10000) {
        out[0] = (char)(0xe0 | v >> 12);
        out[1] = (char)(0x80 | (v >> 6 & 0x3f));
        out[2] = (char)(0x80 | (v & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | v >> 18);
    out[1] = (char)(0x80 | (v >> 12 & 0x3f));
    out[2] = (char)(0x80 | (v >> 6 & 0x3f));
    out[3] = (char)(0x80 | (v & 0x3f));
    return 4;
}

/* At "\u"; a pair of surrogates is one character. False: it is none. */
static bool take_unicode(lua_State *L, struct decoder *d)
{
    char out[4];
    int v = d->end - d->at < 6 ? -1 : hex4(d->at + 2);
    if (v < 0 || (v & 0xfc00) == 0xdc00)
        return false;
    d->at += 6;
    if ((v & 0xfc00) == 0xd800) {
        int low = d->end - d->at >= 6 && d->at[0] == '\\' && d->at[1] == 'u' ? hex4(d->at + 2) : -1;
        if (low < 0 || (low & 0xfc00) != 0xdc00)
            return false;
        v = 0x10000 + ((v & 0x3ff) << 10 | (low & 0x3ff));
        d->at += 6;
    }
    text_append(L, d->env, out, utf8(out, v));
    return true;
}

static bool take_escape(lua_State *L, struct decoder *d)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = d->at + 1 < d->end ? strchr(from, d->at[1]) : NULL;
    if (d->at + 1 < d->end && d->at[1] == 'u')
        return take_unicode(L, d);
    if (found == NULL || *found == 0)
        return false;
    text_append(L, d->env, &to[found - from], 1);
    d->at += 2;
    return true;
}

/* The bytes are in env->text. */
static void take_string(lua_State *L, struct decoder *d)
{
    buf_clear(&d->env->text);
    d->at++;
    for (;;) {
        const char *from = d->at;
        while (d->at < d->end && *d->at != '"' && *d->at != '\\' && *d->at != 0)
            d->at++;
        text_append(L, d->env, from, (size_t)(d->at - from));
        if (d->at >= d->end || *d->at == 0) {
            bad_token(d, "unexpected end of string", d->at);
            return;
        }
        if (*d->at == '"')
            break;
        const char *start = d->at;
        if (!take_escape(L, d)) {
            bad_token(d, start + 1 < d->end && start[1] == 'u' ? "invalid unicode escape code" : "invalid escape code",
                      start);
            return;
        }
    }
    d->at++;
    d->token = T_STRING;
}

/* --- numbers and words --- */

/* What strtod takes and JSON does not have: hexadecimal, leading zeros and plus, NaN, infinity. */
static bool is_invalid_number(const struct decoder *d)
{
    const char *p = d->at;
    if (*p == '+')
        return true;
    if (*p == '-')
        p++;
    if (*p == '0')
        return (p[1] | 32) == 'x' || isdigit((unsigned char)p[1]);
    if (*p <= '9')
        return false;
    return strncasecmp(p, "inf", 3) == 0 || strncasecmp(p, "nan", 3) == 0;
}

static void take_number(struct decoder *d)
{
    char *end;
    if (!d->settings->decode_invalid && is_invalid_number(d)) {
        bad_token(d, "invalid number", d->at);
        return;
    }
    d->number = strtod(d->at, &end);
    if (end == d->at) {
        bad_token(d, "invalid number", d->at);
        return;
    }
    d->token = T_NUMBER;
    d->at = end;
}

static bool take_word(struct decoder *d, const char *word, enum token token)
{
    size_t n = strlen(word);
    if ((size_t)(d->end - d->at) < n || memcmp(d->at, word, n) != 0)
        return false;
    d->at += n;
    d->token = token;
    return true;
}

static void take_other(struct decoder *d)
{
    if ((*d->at >= '0' && *d->at <= '9') || *d->at == '-') {
        take_number(d);
    } else if (take_word(d, "true", T_BOOLEAN)) {
        d->boolean = true;
    } else if (take_word(d, "false", T_BOOLEAN)) {
        d->boolean = false;
    } else if (!take_word(d, "null", T_NULL)) {
        if (d->settings->decode_invalid && is_invalid_number(d))
            take_number(d);
        else
            bad_token(d, "invalid token", d->at);
    }
}

static void next_token(lua_State *L, struct decoder *d)
{
    static const char marks[] = "{}[]:,";
    static const enum token of_mark[] = {T_OBJ_BEGIN, T_OBJ_END, T_ARR_BEGIN, T_ARR_END, T_COLON, T_COMMA};
    while (d->at < d->end && (*d->at == ' ' || *d->at == '\t' || *d->at == '\n' || *d->at == '\r'))
        d->at++;
    d->index = (size_t)(d->at - d->text);
    if (d->at >= d->end || *d->at == 0) {
        d->token = T_END;
        return;
    }
    const char *mark = strchr(marks, *d->at);
    if (mark != NULL) {
        d->token = of_mark[mark - marks];
        d->at++;
    } else if (*d->at == '"') {
        take_string(L, d);
    } else {
        take_other(d);
    }
}

/* --- values --- */

static void push_value(lua_State *L, struct decoder *d);

static void push_text(lua_State *L, struct decoder *d)
{
    lua_pushlstring(L, d->env->text.len ? (const char *)d->env->text.p : "", d->env->text.len);
}

static void descend(lua_State *L, struct decoder *d)
{
    if (++d->depth > d->settings->decode_depth || !lua_checkstack(L, 6))
        luaL_error(L, "Found too many nested data structures (%d) at character %d", d->depth, (int)(d->at - d->text));
    lua_newtable(L);
}

static void push_object(lua_State *L, struct decoder *d)
{
    descend(L, d);
    next_token(L, d);
    while (d->token != T_OBJ_END) {
        if (d->token != T_STRING)
            expected(L, d, "object key string");
        push_text(L, d);
        next_token(L, d);
        if (d->token != T_COLON)
            expected(L, d, "colon");
        next_token(L, d);
        push_value(L, d);
        lua_rawset(L, -3);
        next_token(L, d);
        if (d->token == T_OBJ_END)
            break;
        if (d->token != T_COMMA)
            expected(L, d, "comma or object end");
        next_token(L, d);
        if (d->token == T_OBJ_END)
            expected(L, d, "object key string");
    }
    d->depth--;
}

static void push_array(lua_State *L, struct decoder *d)
{
    descend(L, d);
    next_token(L, d);
    for (int i = 1; d->token != T_ARR_END; i++) {
        push_value(L, d);
        lua_rawseti(L, -2, i);
        next_token(L, d);
        if (d->token == T_ARR_END)
            break;
        if (d->token != T_COMMA)
            expected(L, d, "comma or array end");
        next_token(L, d);
        if (d->token == T_ARR_END)
            expected(L, d, "value");
    }
    d->depth--;
}

static void push_value(lua_State *L, struct decoder *d)
{
    switch (d->token) {
    case T_STRING:
        push_text(L, d);
        break;
    case T_NUMBER:
        lua_pushnumber(L, d->number);
        break;
    case T_BOOLEAN:
        lua_pushboolean(L, d->boolean);
        break;
    case T_NULL:
        lua_pushlightuserdata(L, NULL);
        break;
    case T_OBJ_BEGIN:
        push_object(L, d);
        break;
    case T_ARR_BEGIN:
        push_array(L, d);
        break;
    default:
        expected(L, d, "value");
    }
}

int json_decode(lua_State *L)
{
    size_t len;
    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    const char *text = luaL_checklstring(L, 1, &len);
    struct decoder d = {
        .env = script_env_at(L), .settings = json_settings(L), .text = text, .at = text, .end = text + len};
    if (len >= 2 && (text[0] == 0 || text[1] == 0))
        return luaL_error(L, "JSON parser does not support UTF-16 or UTF-32");
    next_token(L, &d);
    push_value(L, &d);
    next_token(L, &d);
    if (d.token != T_END)
        expected(L, &d, "the end");
    return 1;
}
