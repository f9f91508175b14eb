/* struct: binary structures as strings, with the interface and formats of Roberto Ierusalimschy's struct library 0.2:
 *     > < ! n  byte order, alignment    x  a zero byte    b B h H l L T i n I n  integers    f d  floats
 *     s  a zero-terminated string    c n  n bytes (c0: all of a string, or as many as the number before says) */
#include <ctype.h>
#include <stddef.h>

#include "server/script/env.h"

#define INTEGER_MAX 32
#define ALIGN_MAX 8

struct format {
    lua_State *L;
    const char *at;
    bool little;
    size_t align;
};

static struct format format_of(lua_State *L)
{
    return (struct format){.L = L, .at = luaL_checkstring(L, 1), .little = true, .align = 1};
}

static size_t take_count(struct format *f, size_t otherwise)
{
    if (!isdigit((unsigned char)*f->at))
        return otherwise;
    size_t n = 0;
    while (isdigit((unsigned char)*f->at)) {
        size_t d = (size_t)(*f->at++ - '0');
        if (n > ((size_t)INT32_MAX - d) / 10)
            luaL_error(f->L, "integral size overflow");
        n = n * 10 + d;
    }
    return n;
}

/* Bytes that the option takes; what follows it in the format is taken. */
static size_t take_size(struct format *f, char option)
{
    switch (option) {
    case 'B':
    case 'b':
        return 1;
    case 'H':
    case 'h':
        return sizeof(short);
    case 'L':
    case 'l':
        return sizeof(long);
    case 'T':
        return sizeof(size_t);
    case 'f':
        return sizeof(float);
    case 'd':
        return sizeof(double);
    case 'x':
        return 1;
    case 'c':
        return take_count(f, 1);
    case 'i':
    case 'I': {
        size_t n = take_count(f, sizeof(int));
        if (n > INTEGER_MAX)
            luaL_error(f->L, "integral size %d is larger than limit of %d", (int)n, INTEGER_MAX);
        return n;
    }
    default:
        return 0;
    }
}

static size_t padding(const struct format *f, size_t at, char option, size_t size)
{
    if (size == 0 || option == 'c')
        return 0;
    if (size > f->align)
        size = f->align;
    return size > 1 ? (size - (at & (size - 1))) & (size - 1) : 0;
}

static void control(struct format *f, char option)
{
    if (option == '>' || option == '<') {
        f->little = option == '<';
    } else if (option == '!') {
        size_t n = take_count(f, ALIGN_MAX);
        if (n == 0 || (n & (n - 1)) != 0)
            luaL_error(f->L, "alignment %d is not a power of 2", (int)n);
        f->align = n;
    } else if (option != ' ') {
        luaL_argerror(f->L, 1, lua_pushfstring(f->L, "invalid format option '%c'", option));
    }
}

static void reverse(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t b = p[i];
        p[i] = p[n - 1 - i];
        p[n - 1 - i] = b;
    }
}

/* --- pack --- */

static void put_integer(struct format *f, struct script_env *env, int arg, size_t size)
{
    uint8_t bytes[INTEGER_MAX];
    double n = luaL_checknumber(f->L, arg);
    bool fits = n >= -9223372036854775808.0 && n < 18446744073709551616.0;
    uint64_t v = !fits ? 1ull << 63 : n < 0 ? (uint64_t)(int64_t)n : (uint64_t)n;
    for (size_t i = 0; i < size; i++)
        bytes[i] = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
    if (!f->little)
        reverse(bytes, size);
    text_append(f->L, env, bytes, size);
}

static void put_float(struct format *f, struct script_env *env, int arg, bool is_double)
{
    uint8_t bytes[8];
    double d = luaL_checknumber(f->L, arg);
    float narrow = (float)d;
    size_t size = is_double ? sizeof(d) : sizeof(narrow);
    memcpy(bytes, is_double ? (void *)&d : (void *)&narrow, size);
    if (!f->little)
        reverse(bytes, size);
    text_append(f->L, env, bytes, size);
}

static void put_bytes(struct format *f, struct script_env *env, int arg, char option, size_t size)
{
    size_t len;
    const char *s = luaL_checklstring(f->L, arg, &len);
    if (option == 's' || size == 0)
        size = len;
    luaL_argcheck(f->L, len >= size, arg + 1, "string too short"); /* as others count it */
    text_append(f->L, env, s, size);
    if (option == 's')
        text_append(f->L, env, "", 1);
}

static int struct_pack(lua_State *L)
{
    struct format f = format_of(L);
    struct script_env *env = script_env_at(L);
    int arg = 2;
    lua_pushnil(L); /* what is missing */
    buf_clear(&env->text);
    while (*f.at != 0) {
        char option = *f.at++;
        size_t size = take_size(&f, option);
        for (size_t pad = padding(&f, env->text.len, option, size); pad > 0; pad--)
            text_append(L, env, "", 1);
        if (strchr("bBhHlLTiI", option) != NULL)
            put_integer(&f, env, arg++, size);
        else if (option == 'f' || option == 'd')
            put_float(&f, env, arg++, option == 'd');
        else if (option == 'c' || option == 's')
            put_bytes(&f, env, arg++, option, size);
        else if (option == 'x')
            text_append(L, env, "", 1);
        else
            control(&f, option);
    }
    lua_pushlstring(L, env->text.len ? (const char *)env->text.p : "", env->text.len);
    buf_reset(&env->text, 64 * KIB);
    return 1;
}

/* --- unpack --- */

struct data {
    const char *p;
    size_t len, at;
    int values; /* on the stack */
};

static void push_integer(struct format *f, const struct data *d, size_t size, bool is_signed)
{
    uint8_t bytes[INTEGER_MAX];
    uint64_t v = 0;
    memcpy(bytes, d->p + d->at, size);
    if (!f->little)
        reverse(bytes, size);
    for (size_t i = 0; i < size && i < 8; i++)
        v |= (uint64_t)bytes[i] << (8 * i);
    if (!is_signed)
        lua_pushnumber(f->L, (double)v);
    else if (size < 8 && size > 0 && (v >> (8 * size - 1) & 1) != 0)
        lua_pushnumber(f->L, (double)(int64_t)(v | ~0ull << (8 * size)));
    else
        lua_pushnumber(f->L, (double)(int64_t)v);
}

static void push_float(struct format *f, const struct data *d, bool is_double)
{
    uint8_t bytes[8];
    double wide;
    float narrow;
    size_t size = is_double ? sizeof(wide) : sizeof(narrow);
    memcpy(bytes, d->p + d->at, size);
    if (!f->little)
        reverse(bytes, size);
    memcpy(&wide, bytes, sizeof(wide));
    memcpy(&narrow, bytes, sizeof(narrow));
    lua_pushnumber(f->L, is_double ? wide : (double)narrow);
}

/* How many bytes 'c' takes. */
static size_t bytes_wanted(struct format *f, struct data *d, size_t size)
{
    if (size > 0)
        return size;
    if (d->values == 0 || !lua_isnumber(f->L, -1))
        luaL_error(f->L, "format 'c0' needs a previous size");
    double n = lua_tonumber(f->L, -1);
    lua_pop(f->L, 1);
    d->values--;
    luaL_argcheck(f->L, n >= 0 && n <= (double)(d->len - d->at), 2, "data string too short");
    return (size_t)n;
}

static void push_string(struct format *f, struct data *d)
{
    const char *end = memchr(d->p + d->at, 0, d->len - d->at);
    if (end == NULL)
        luaL_error(f->L, "unfinished string in data");
    size_t n = (size_t)(end - (d->p + d->at));
    lua_pushlstring(f->L, d->p + d->at, n);
    d->at += n + 1;
}

static int struct_unpack(lua_State *L)
{
    struct format f = format_of(L);
    struct data d = {0};
    d.p = luaL_checklstring(L, 2, &d.len);
    double from = luaL_optnumber(L, 3, 1);
    luaL_argcheck(L, from >= 1, 3, "offset must be 1 or greater");
    luaL_argcheck(L, from - 1 <= (double)d.len, 2, "data string too short");
    d.at = (size_t)from - 1;
    lua_settop(L, 2);
    while (*f.at != 0) {
        char option = *f.at++;
        size_t size = take_size(&f, option);
        size_t pad = padding(&f, d.at, option, size);
        luaL_argcheck(L, size + pad <= d.len - d.at, 2, "data string too short");
        d.at += pad;
        luaL_checkstack(L, 2, "too many results");
        d.values++;
        if (strchr("bBhHlLTiI", option) != NULL) {
            push_integer(&f, &d, size, islower((unsigned char)option));
        } else if (option == 'f' || option == 'd') {
            push_float(&f, &d, option == 'd');
        } else if (option == 'c') {
            d.values--;
            size = bytes_wanted(&f, &d, size);
            lua_pushlstring(L, d.p + d.at, size);
            d.values++;
        } else if (option == 's') {
            push_string(&f, &d);
        } else {
            d.values--;
            if (option != 'x')
                control(&f, option);
        }
        d.at += size;
    }
    lua_pushinteger(L, (lua_Integer)d.at + 1);
    return d.values + 1;
}

static int struct_size(lua_State *L)
{
    struct format f = format_of(L);
    size_t at = 0;
    while (*f.at != 0) {
        char option = *f.at++;
        size_t size = take_size(&f, option);
        at += padding(&f, at, option, size);
        if (option == 's')
            luaL_argerror(L, 1, "option 's' has no fixed size");
        if (option == 'c' && size == 0)
            luaL_argerror(L, 1, "option 'c0' has no fixed size");
        if (isalpha((unsigned char)option) == 0)
            control(&f, option);
        at += size;
    }
    lua_pushinteger(L, (lua_Integer)at);
    return 1;
}

void open_struct(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, struct_pack);
    lua_setfield(L, -2, "pack");
    lua_pushcfunction(L, struct_unpack);
    lua_setfield(L, -2, "unpack");
    lua_pushcfunction(L, struct_size);
    lua_setfield(L, -2, "size");
}
