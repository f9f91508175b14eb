#include "server/script/tokens.h"

#include <ctype.h>

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
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    return p;
}

static void skip_blank(struct tokens *t)
{
    for (;;) {
        while (t->at < t->end && isspace((unsigned char)*t->at))
            t->at++;
        if (t->end - t->at < 2 || t->at[0] != '-' || t->at[1] != '-')
            return;
        t->at = skip_comment(t->at, t->end);
    }
}

static bool in_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

struct tokens tokens_of(struct slice text)
{
    const char *p = text.len > 0 ? (const char *)text.p : "";
    return (struct tokens){.at = p, .end = p + text.len};
}

void next_token(struct tokens *t)
{
    skip_blank(t);
    const char *from = t->at;
    if (from >= t->end) {
        t->token = END_OF_TEXT;
    } else if (isdigit((unsigned char)*from)) {
        t->token = NUMBER;
        while (t->at < t->end && (in_word(*t->at) || *t->at == '.'))
            t->at++;
    } else if (in_word(*from)) {
        t->token = WORD;
        while (t->at < t->end && in_word(*t->at))
            t->at++;
    } else if (*from == '"' || *from == '\'') {
        t->token = STRING;
        t->at = skip_quoted(from, t->end);
    } else if (*from == '[' && long_level(from, t->end) >= 0) {
        t->token = STRING;
        t->at = skip_long(from, t->end, long_level(from, t->end));
    } else {
        t->token = MARK;
        t->at++;
        while (*from == '.' && t->at < t->end && *t->at == '.' && t->at - from < 3)
            t->at++;
    }
    t->text = slice_of(from, (size_t)(t->at - from));
}

bool token_is(const struct tokens *t, const char *text)
{
    return t->token != STRING && t->text.len == strlen(text) && memcmp(t->text.p, text, t->text.len) == 0;
}

bool token_opens(const struct tokens *t)
{
    return token_is(t, "function") || token_is(t, "if") || token_is(t, "do") || token_is(t, "repeat");
}

bool token_closes(const struct tokens *t) { return token_is(t, "end") || token_is(t, "until"); }
