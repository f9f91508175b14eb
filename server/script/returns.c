/* LuaJIT gives up the frame of a function that ends in "return f(x)", also for a C function f: an error in
 * "return redis.call(...)", the commonest line of all, would have no source and line, which Redis's errors have. The
 * value of a script is the first that its main function returns, so there "return f(x)" may as well be "return (f(x))",
 * which keeps the frame. This finds such returns, by tokens and blocks; functions inside are left alone. */
#include "server/script/env.h"
#include "server/script/tokens.h"

#define BLOCKS_MAX 200

/* Behind "return" of the main function: copies the expression, in brackets if it ends as a call does. False: the text
 * is not what it seems. */
static bool copy_return(struct tokens *s, struct buf *out)
{
    const char *from = s->at, *last = from;
    int depth = 0;
    bool call = false, list = false;
    for (;;) {
        next_token(s);
        if (s->token == END_OF_TEXT ||
            (depth == 0 && (token_closes(s) || token_is(s, "else") || token_is(s, "elseif") || token_is(s, ";"))))
            break;
        if (s->token == MARK && strchr("({[", *s->text.p) != NULL)
            depth++;
        else if (s->token == MARK && strchr(")}]", *s->text.p) != NULL)
            depth--;
        else if (token_opens(s))
            depth++;
        else if (token_closes(s))
            depth--;
        else if (depth == 0 && token_is(s, ","))
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
    struct tokens s = tokens_of(text);
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
        if (token_opens(&s)) {
            if (blocks == BLOCKS_MAX)
                return false;
            functions += function[blocks++] = token_is(&s, "function");
        } else if (token_closes(&s)) {
            if (blocks == 0)
                return false;
            functions -= function[--blocks];
        } else if (functions == 0 && token_is(&s, "return")) {
            buf_append(out, copied, (size_t)(s.at - copied));
            if (!copy_return(&s, out))
                return false;
            copied = s.at;
        }
    }
    buf_append(out, copied, (size_t)(s.end - copied));
    return out->len - before > text.len;
}
