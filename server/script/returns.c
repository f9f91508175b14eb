/* LuaJIT gives up the frame of a function that ends in "return f(x)", also for a C function f: an error in
 * "return redis.call(...)", the commonest line of all, would have no source and line, which Redis's errors have. The
 * value of a script is the first that its main function returns, so there "return f(x)" may as well be "return (f(x))",
 * which keeps the frame. This finds such returns, by tokens and blocks; functions inside are left alone. */
#include <ctype.h>

#include "server/script/env.h"

#define BLOCKS_MAX 200

enum token { END_OF_TEXT, WORD, STRING, NUMBER, MARK };

struct scanner {
    const char *at, *end;
    enum token token;
    struct slice text; /* of the token */
};

/* The level of a long bracket at p ("[", "="..., "["), or -1. */
static int long_level(const char *p, const char *end)
{
    int level = 0;
    for (p++; p < end && *p == '='; p++)
        level++;
    return p < end && *p == '[' ? level : -1;
}

static const char *skip_long(const char *p, const char *end, int level)
{
    for (p += level + 2; p < end; p++) {
        if (*p != ']')
            continue;
        int n = 0;
        while (p + 1 + n < end && p[1 + n] == '=')
            n++;
        if (n == level && p + 1 + n < end && p[1 + n] == ']')
            return p + n + 2;
    }
    return end;
}

static const char *skip_quoted(const char *p, const char *end)
{
    char quote = *p++;
    while (p < end && *p != quote)
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p < end ? p + 1 : end;
}

static const char *skip_comment(const char *p, const char *end)
{
    int level = p + 2 < end && p[2] == '[' ? long_level(p + 2, end) : -1;
    if (level >= 0)
        return skip_long(p + 2, end, level);
    while (p < end && *p != '\n')
        p++;
    return p;
}

static void skip_blank(struct scanner *s)
{
    for (;;) {
        while (s->at < s->end && isspace((unsigned char)*s->at))
            s->at++;
        if (s->end - s->at < 2 || s->at[0] != '-' || s->at[1] != '-')
            return;
        s->at = skip_comment(s->at, s->end);
    }
}

static bool in_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

static void next_token(struct scanner *s)
{
    skip_blank(s);
    const char *from = s->at;
    if (from >= s->end) {
        s->token = END_OF_TEXT;
    } else if (isdigit((unsigned char)*from)) {
        s->token = NUMBER;
        while (s->at < s->end && (in_word(*s->at) || *s->at == '.'))
            s->at++;
    } else if (in_word(*from)) {
        s->token = WORD;
        while (s->at < s->end && in_word(*s->at))
            s->at++;
    } else if (*from == '"' || *from == '\'') {
        s->token = STRING;
        s->at = skip_quoted(from, s->end);
    } else if (*from == '[' && long_level(from, s->end) >= 0) {
        s->token = STRING;
        s->at = skip_long(from, s->end, long_level(from, s->end));
    } else {
        s->token = MARK;
        s->at++;
    }
    s->text = slice_of(from, (size_t)(s->at - from));
}

static bool is(const struct scanner *s, const char *word)
{
    return s->token != STRING && s->text.len == strlen(word) && memcmp(s->text.p, word, s->text.len) == 0;
}

static bool opens(const struct scanner *s)
{
    return is(s, "function") || is(s, "if") || is(s, "do") || is(s, "repeat");
}

static bool closes(const struct scanner *s) { return is(s, "end") || is(s, "until"); }

/* Behind "return" of the main function: copies the expression, in brackets if it ends as a call does. False: the text
 * is not what it seems. */
static bool copy_return(struct scanner *s, struct buf *out)
{
    const char *from = s->at, *last = from;
    int depth = 0;
    bool call = false, list = false;
    for (;;) {
        next_token(s);
        if (s->token == END_OF_TEXT || (depth == 0 && (closes(s) || is(s, "else") || is(s, "elseif") || is(s, ";"))))
            break;
        if (s->token == MARK && strchr("({[", *s->text.p) != NULL)
            depth++;
        else if (s->token == MARK && strchr(")}]", *s->text.p) != NULL)
            depth--;
        else if (s->token != STRING && opens(s))
            depth++;
        else if (s->token != STRING && closes(s))
            depth--;
        else if (depth == 0 && is(s, ","))
            list = true;
        if (depth < 0)
            return false;
        call = s->token == STRING || (s->token == MARK && strchr(")}", *s->text.p) != NULL);
        last = s->at;
    }
    bool wrap = call && !list && last > from;
    if (wrap)
        buf_append_str(out, "(");
    buf_append(out, from, (size_t)(last - from));
    if (wrap)
        buf_append_str(out, ")");
    s->at = last;
    return true;
}

bool keep_frames(struct slice text, struct buf *out)
{
    struct scanner s = {.at = (const char *)text.p, .end = (const char *)text.p + text.len};
    bool function[BLOCKS_MAX]; /* open blocks: whether they are functions */
    int blocks = 0, functions = 0;
    size_t before = out->len;
    const char *copied = s.at;
    for (;;) {
        next_token(&s);
        if (s.token == END_OF_TEXT)
            break;
        if (s.token != WORD)
            continue;
        if (opens(&s)) {
            if (blocks == BLOCKS_MAX)
                return false;
            functions += function[blocks++] = is(&s, "function");
        } else if (closes(&s)) {
            if (blocks == 0)
                return false;
            functions -= function[--blocks];
        } else if (functions == 0 && is(&s, "return")) {
            buf_append(out, copied, (size_t)(s.at - copied));
            if (!copy_return(&s, out))
                return false;
            copied = s.at;
        }
    }
    buf_append(out, copied, (size_t)(s.end - copied));
    return out->len - before > text.len;
}
