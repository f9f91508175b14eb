/* string.find, match, gmatch, gsub: Lua's patterns (Lua 5.1 reference manual, 5.4.1), matched by code of our own. A
 * pattern can need time exponential in its length, and Lua's own matcher looks at neither clock nor kills while it
 * tries: this one does, every so many steps. */
#include <ctype.h>

#include "server/script/env.h"

#define CAPTURES 32
#define DEPTH_MAX 2000
#define STEPS 100000
#define BYTES_A_STEP 256 /* when text is compared */

enum { OPEN = -1, POSITION = -2 };

struct match {
    lua_State *L;
    const char *text, *end, *pattern_end;
    int depth;
    unsigned steps;
    int captures;
    struct {
        const char *at;
        ptrdiff_t len; /* or OPEN, POSITION */
    } capture[CAPTURES];
};

static void step(struct match *m)
{
    if (++m->steps < STEPS)
        return;
    m->steps = 0;
    script_tick(m->L, script_env_at(m->L));
}

/* --- classes of characters --- */

static bool in_class(int c, int class)
{
    bool yes;
    switch (tolower(class)) {
    case 'a':
        yes = isalpha(c);
        break;
    case 'c':
        yes = iscntrl(c);
        break;
    case 'd':
        yes = isdigit(c);
        break;
    case 'l':
        yes = islower(c);
        break;
    case 'p':
        yes = ispunct(c);
        break;
    case 's':
        yes = isspace(c);
        break;
    case 'u':
        yes = isupper(c);
        break;
    case 'w':
        yes = isalnum(c);
        break;
    case 'x':
        yes = isxdigit(c);
        break;
    case 'z':
        yes = c == 0;
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !yes : yes;
}

/* Behind the single item at p: a character, %x, or a set. */
static const char *item_end(struct match *m, const char *p)
{
    if (*p++ == '%') {
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (p[-1] != '[')
        return p;
    if (p < m->pattern_end && *p == '^')
        p++;
    do { /* a ']' that comes first stands for itself */
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

/* The set from '[' at p to ']' at `last`. */
static bool in_set(int c, const char *p, const char *last)
{
    bool yes = true;
    if (p[1] == '^') {
        yes = false;
        p++;
    }
    while (++p < last) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p))
                return yes;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
                return yes;
        } else if ((unsigned char)*p == c) {
            return yes;
        }
    }
    return !yes;
}

static bool item_matches(struct match *m, const char *s, const char *p, const char *after)
{
    step(m);
    if (s >= m->end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, after - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* --- the matcher: where the match ends, or NULL --- */

static const char *match_here(struct match *m, const char *s, const char *p);

static const char *as_many(struct match *m, const char *s, const char *p, const char *after)
{
    ptrdiff_t n = 0;
    while (item_matches(m, s + n, p, after))
        n++;
    for (; n >= 0; n--) {
        const char *end = match_here(m, s + n, after + 1);
        if (end != NULL)
            return end;
    }
    return NULL;
}

static const char *as_few(struct match *m, const char *s, const char *p, const char *after)
{
    for (;;) {
        const char *end = match_here(m, s, after + 1);
        if (end != NULL)
            return end;
        if (!item_matches(m, s, p, after))
            return NULL;
        s++;
    }
}

static const char *open_capture(struct match *m, const char *s, const char *p, ptrdiff_t what)
{
    if (m->captures >= CAPTURES)
        luaL_error(m->L, "too many captures");
    m->capture[m->captures].at = s;
    m->capture[m->captures].len = what;
    m->captures++;
    const char *end = match_here(m, s, p);
    if (end == NULL)
        m->captures--;
    return end;
}

static const char *close_capture(struct match *m, const char *s, const char *p)
{
    int i = m->captures;
    while (--i >= 0 && m->capture[i].len != OPEN)
        ;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[i].len = s - m->capture[i].at;
    const char *end = match_here(m, s, p);
    if (end == NULL)
        m->capture[i].len = OPEN;
    return end;
}

static const char *match_balance(struct match *m, const char *s, const char *p)
{
    int depth = 1;
    if (m->pattern_end - p < 2)
        luaL_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != p[0])
        return NULL;
    for (const char *at = s + 1; at < m->end; at++) {
        step(m);
        if (*at == p[1]) {
            if (--depth == 0)
                return at + 1;
        } else if (*at == p[0]) {
            depth++;
        }
    }
    return NULL;
}

static const char *match_frontier(struct match *m, const char *s, const char *p)
{
    if (p >= m->pattern_end || *p != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *after = item_end(m, p);
    int before = s == m->text ? 0 : (unsigned char)s[-1], here = s < m->end ? (unsigned char)*s : 0;
    if (in_set(before, p, after - 1) || !in_set(here, p, after - 1))
        return NULL;
    return match_here(m, s, after);
}

static const char *match_again(struct match *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].len == OPEN)
        luaL_error(m->L, "invalid capture index");
    size_t len = m->capture[i].len < 0 ? 0 : (size_t)m->capture[i].len;
    m->steps += (unsigned)min_u64(len / BYTES_A_STEP, STEPS);
    step(m);
    if ((size_t)(m->end - s) < len || memcmp(m->capture[i].at, s, len) != 0)
        return NULL;
    return s + len;
}

/* What begins with '%' and is more than a class; *p is moved behind it. True: it was one, and *s is where to go on. */
static bool match_special(struct match *m, const char **s, const char **p)
{
    const char *at = *p + 1;
    if (at < m->pattern_end && *at == 'b') {
        *s = match_balance(m, *s, at + 1);
        *p = at + 3;
        return true;
    }
    if (at < m->pattern_end && isdigit((unsigned char)*at)) {
        *s = match_again(m, *s, (unsigned char)*at);
        *p = at + 1;
        return true;
    }
    return false;
}

static const char *match_item(struct match *m, const char **s, const char **p);

static const char *match_here(struct match *m, const char *s, const char *p)
{
    const char *end = NULL;
    if (++m->depth > DEPTH_MAX)
        luaL_error(m->L, "pattern too complex");
    while (s != NULL && end == NULL) {
        if (p == m->pattern_end) {
            end = s;
        } else {
            end = match_item(m, &s, &p);
        }
    }
    m->depth--;
    return end;
}

/* One item of the pattern. Either the rest was matched too (its end is returned, or *s is NULL), or both are moved on.
 */
static const char *rest(const char **s, const char *end)
{
    if (end == NULL)
        *s = NULL;
    return end;
}

static const char *match_item(struct match *m, const char **s, const char **p)
{
    if (**p == '(')
        return rest(s, (*p)[1] == ')' && *p + 1 < m->pattern_end ? open_capture(m, *s, *p + 2, POSITION)
                                                                 : open_capture(m, *s, *p + 1, OPEN));
    if (**p == ')')
        return rest(s, close_capture(m, *s, *p + 1));
    if (**p == '$' && *p + 1 == m->pattern_end)
        return rest(s, *s == m->end ? *s : NULL);
    if (**p == '%' && *p + 1 < m->pattern_end && (*p)[1] == 'f')
        return rest(s, match_frontier(m, *s, *p + 2));
    if (**p == '%' && match_special(m, s, p))
        return NULL;

    const char *after = item_end(m, *p);
    char times = after < m->pattern_end ? *after : 0;
    if (times == '*')
        return rest(s, as_many(m, *s, *p, after));
    if (times == '-')
        return rest(s, as_few(m, *s, *p, after));
    bool yes = item_matches(m, *s, *p, after);
    if (times == '+')
        return rest(s, yes ? as_many(m, *s + 1, *p, after) : NULL);
    if (times == '?') {
        const char *end = yes ? match_here(m, *s + 1, after + 1) : NULL;
        *p = after + 1;
        return end;
    }
    *s = yes ? *s + 1 : NULL;
    *p = after;
    return NULL;
}

static const char *match_at(struct match *m, const char *s, const char *pattern)
{
    m->captures = 0;
    m->depth = 0;
    return match_here(m, s, pattern);
}

/* --- results --- */

static void push_capture(struct match *m, int i, const char *s, const char *end)
{
    if (i >= m->captures) {
        if (i > 0)
            luaL_error(m->L, "invalid capture index");
        lua_pushlstring(m->L, s, (size_t)(end - s));
    } else if (m->capture[i].len == POSITION) {
        lua_pushinteger(m->L, m->capture[i].at - m->text + 1);
    } else if (m->capture[i].len == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[i].at, (size_t)m->capture[i].len);
    }
}

/* All captures, or the whole match (`s` not NULL) if there are none. */
static int push_captures(struct match *m, const char *s, const char *end)
{
    int n = m->captures == 0 && s != NULL ? 1 : m->captures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, s, end);
    return n;
}

static struct match match_of(lua_State *L, const char *text, size_t len, const char *pattern, size_t plen)
{
    return (struct match){.L = L, .text = text, .end = text + len, .pattern_end = pattern + plen};
}

static bool is_plain(const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (pattern[i] != 0 && strchr("^$*+?.([%-", pattern[i]) != NULL)
            return false;
    return true;
}

/* The first position, from argument 3. */
static size_t first_position(lua_State *L, size_t len)
{
    ptrdiff_t at = luaL_optinteger(L, 3, 1);
    if (at < 0)
        at += (ptrdiff_t)len + 1;
    at = at < 1 ? 0 : at - 1;
    return (size_t)at > len ? len : (size_t)at;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t len, plen;
    const char *text = luaL_checklstring(L, 1, &len), *pattern = luaL_checklstring(L, 2, &plen);
    size_t from = first_position(L, len);
    if (find && (lua_toboolean(L, 4) || is_plain(pattern, plen))) {
        const char *found = plen == 0 ? text + from : memmem(text + from, len - from, pattern, plen);
        if (found == NULL) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, found - text + 1);
        lua_pushinteger(L, found - text + (ptrdiff_t)plen);
        return 2;
    }
    struct match m = match_of(L, text, len, pattern, plen);
    bool anchor = plen > 0 && pattern[0] == '^';
    const char *s = text + from;
    do {
        const char *end = match_at(&m, s, pattern + anchor);
        if (end == NULL)
            continue;
        if (!find)
            return push_captures(&m, s, end);
        lua_pushinteger(L, s - text + 1);
        lua_pushinteger(L, end - text);
        return push_captures(&m, NULL, NULL) + 2;
    } while (s++ < m.end && !anchor);
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L) { return find_or_match(L, true); }
static int string_match(lua_State *L) { return find_or_match(L, false); }

/* Upvalues: text, pattern, where to go on. */
static int gmatch_next(lua_State *L)
{
    size_t len, plen;
    const char *text = lua_tolstring(L, lua_upvalueindex(1), &len);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &plen);
    struct match m = match_of(L, text, len, pattern, plen);
    for (const char *s = text + (size_t)lua_tonumber(L, lua_upvalueindex(3)); s <= m.end; s++) {
        const char *end = match_at(&m, s, pattern);
        if (end == NULL)
            continue;
        lua_pushnumber(L, (double)(end - text + (end == s)));
        lua_replace(L, lua_upvalueindex(3));
        return push_captures(&m, s, end);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushnumber(L, 0);
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* --- gsub --- */

static void add_template(struct match *m, luaL_Buffer *b, const char *s, const char *end)
{
    size_t len;
    const char *news = lua_tolstring(m->L, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (news[i] != '%') {
            luaL_addchar(b, news[i]);
            continue;
        }
        i++;
        if (i >= len || !isdigit((unsigned char)news[i])) {
            luaL_addchar(b, i < len ? news[i] : 0);
        } else if (news[i] == '0') {
            luaL_addlstring(b, s, (size_t)(end - s));
        } else {
            push_capture(m, news[i] - '1', s, end);
            luaL_addvalue(b);
        }
    }
}

/* What a function or a table makes of a match; false or nil keep it. */
static void add_value(struct match *m, luaL_Buffer *b, const char *s, const char *end, int type)
{
    lua_State *L = m->L;
    if (type != LUA_TSTRING)
        script_check_stack(L);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end), 1);
    } else if (type == LUA_TTABLE) {
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    } else {
        add_template(m, b, s, end);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, s, (size_t)(end - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

static int string_gsub(lua_State *L)
{
    size_t len, plen;
    const char *text = luaL_checklstring(L, 1, &len), *pattern = luaL_checklstring(L, 2, &plen);
    int type = lua_type(L, 3);
    luaL_argcheck(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                  "string/function/table expected");
    double most = lua_isnoneornil(L, 4) ? (double)len + 1 : luaL_checknumber(L, 4), n = 0;
    bool anchor = plen > 0 && pattern[0] == '^';
    struct match m = match_of(L, text, len, pattern, plen);
    const char *s = text;
    luaL_Buffer b;
    lua_settop(L, 4);
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *end = match_at(&m, s, pattern + anchor);
        if (end != NULL) {
            n++;
            add_value(&m, &b, s, end, type);
        }
        if (end != NULL && end > s)
            s = end;
        else if (s < m.end)
            luaL_addchar(&b, *s++);
        else
            break;
        if (anchor)
            break;
    }
    luaL_addlstring(&b, s, (size_t)(m.end - s));
    luaL_pushresult(&b);
    lua_pushnumber(L, n);
    return 2;
}

void open_patterns(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction f;
    } functions[] = {
        {"find", string_find},    {"match", string_match}, {"gmatch", string_gmatch},
        {"gfind", string_gmatch}, {"gsub", string_gsub},
    };
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushcfunction(L, functions[i].f);
        lua_setfield(L, -2, functions[i].name);
    }
}
