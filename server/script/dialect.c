/* Scripts are written in Lua 5.1. LuaJIT's language has some more, and a little less; this makes its text of theirs:
 *
 *   "\d"   an escape that 5.1 does not know is the character. LuaJIT refuses some, and knows \x, \u and \z
 *   1LL    numbers of LuaJIT's FFI are malformed: to read one would load it
 *   arg    is a table of the arguments in a function(...) that does not say "..." itself
 *   #      begins a comment nowhere, not in the first line either
 *
 * Lines stay where they are. */
#include "server/script/env.h"
#include "server/script/tokens.h"

#define SCOPES_MAX 200

/* --- which functions need arg --- */

enum arg { ARG_NONE, ARG_NIL, ARG_TABLE };

struct scope {
    bool function, dots, arg;
    ptrdiff_t index; /* of a function(...), in their order; -1: it is none */
};

struct scopes {
    struct scope open[SCOPES_MAX];
    int n;
};

static struct scope *innermost_function(struct scopes *b)
{
    for (int i = b->n - 1; i >= 0; i--)
        if (b->open[i].function)
            return &b->open[i];
    return NULL;
}

static void note_arg(struct scopes *b)
{
    for (int i = b->n - 1; i >= 0; i--)
        if (b->open[i].index >= 0) {
            b->open[i].arg = true;
            return;
        }
}

/* Behind "function": goes behind its parameters, and says whether "..." is one. Stops at what cannot be there. */
static bool skip_parameters(struct tokens *t)
{
    for (bool dots = false;;) {
        struct tokens before = *t;
        next_token(t);
        dots |= token_is(t, "...");
        if (token_is(t, ")"))
            return dots;
        if (t->token != WORD && t->token != MARK) {
            *t = before;
            return false;
        }
    }
}

static bool open_scope(struct scopes *b, struct tokens *t, struct buf *needs)
{
    struct scope *scope = &b->open[b->n++];
    *scope = (struct scope){.function = token_is(t, "function"), .index = -1};
    if (scope->function && skip_parameters(t)) {
        scope->index = (ptrdiff_t)needs->len;
        buf_append_byte(needs, ARG_NONE);
    }
    return b->n < SCOPES_MAX;
}

static void close_scope(struct scopes *b, struct buf *needs)
{
    const struct scope *scope = &b->open[--b->n];
    if (scope->arg)
        needs->p[scope->index] = scope->dots ? ARG_NIL : ARG_TABLE;
}

/* Appends an enum arg for every function(...). False: none of them needs it, or the text is no Lua. */
static bool find_arg(struct slice text, struct buf *needs)
{
    struct tokens t = tokens_of(text);
    struct scopes b = {.n = 0};
    if (memmem(t.at, text.len, "arg", 3) == NULL || memmem(t.at, text.len, "...", 3) == NULL)
        return false;
    for (next_token(&t); t.token != END_OF_TEXT; next_token(&t)) {
        struct scope *function;
        if (token_opens(&t)) {
            if (!open_scope(&b, &t, needs))
                return false;
        } else if (token_closes(&t)) {
            if (b.n == 0)
                return false;
            close_scope(&b, needs);
        } else if (token_is(&t, "arg")) {
            note_arg(&b);
        } else if (token_is(&t, "...") && (function = innermost_function(&b)) != NULL) {
            function->dots = true;
        }
    }
    return true;
}

/* --- the text --- */

struct writer {
    struct tokens t;
    struct buf *out;
    const char *copied; /* up to here */
    bool changed;
};

static void copy_to(struct writer *w, const char *to)
{
    buf_append(w->out, w->copied, (size_t)(to - w->copied));
    w->copied = to;
}

static void insert(struct writer *w, const char *text)
{
    copy_to(w, w->t.at);
    buf_append_str(w->out, text);
    w->changed = true;
}

static bool known_escape(char c) { return c != 0 && strchr("abfnrtv\\\"'\n\r0123456789", c) != NULL; }

static void copy_string(struct writer *w)
{
    const char *p = (const char *)w->t.text.p, *end = p + w->t.text.len;
    if (*p == '[')
        return;
    for (; (p = memchr(p, '\\', (size_t)(end - p))) != NULL && p + 1 < end; p += 2)
        if (!known_escape(p[1])) {
            copy_to(w, p);
            w->copied = p + 1;
            w->changed = true;
        }
}

static bool malformed(struct slice number) { return strchr("iIlL", number.p[number.len - 1]) != NULL; }

static void copy_function(struct writer *w, const struct buf *needs, size_t *index)
{
    if (!skip_parameters(&w->t) || *index >= needs->len)
        return;
    switch ((enum arg)needs->p[(*index)++]) {
    case ARG_NONE:
        break;
    case ARG_NIL:
        insert(w, " local arg ");
        break;
    case ARG_TABLE:
        insert(w, " local arg={n=select('#',...),...} ");
    }
}

bool as_lua51(struct slice text, struct buf *out)
{
    struct writer w = {.t = tokens_of(text), .out = out};
    struct buf needs = {0};
    size_t index = 0;
    if (!find_arg(text, &needs))
        buf_clear(&needs);
    w.copied = w.t.at;
    if (text.len > 0 && (text.p[0] == '#' || text.p[0] == 0xef)) /* or behind a byte order mark */
        insert(&w, " ");
    for (next_token(&w.t); w.t.token != END_OF_TEXT; next_token(&w.t)) {
        if (w.t.token == STRING)
            copy_string(&w);
        else if (w.t.token == NUMBER && malformed(w.t.text))
            insert(&w, "x");
        else if (token_is(&w.t, "function"))
            copy_function(&w, &needs, &index);
    }
    copy_to(&w, w.t.end);
    buf_free(&needs);
    return w.changed;
}
