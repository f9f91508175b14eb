/* Two paths. The common one – a request in one piece – decodes header, lengths and arguments straight through. When
 * bytes run out it simply stops: everything it knows is in the reader as offsets, and the next call goes on from `pos`.
 */
#include "core/proto/resp_reader.h"

#include <ctype.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"

#define ARGS_MIN 16
#define ARGS_KEEP 1024
#define SCRATCH_KEEP (64 * KIB)

void resp_reader_init(struct resp_reader *r)
{
    *r = (struct resp_reader){0};
    resp_reader_reset(r);
}

static void drop_args(struct resp_reader *r)
{
    mem_free(r->args, sizeof(*r->args) * r->args_cap);
    r->args = NULL;
    r->args_cap = 0;
}

static void drop_scratch(struct resp_reader *r)
{
    mem_free(r->scratch, r->scratch_cap);
    r->scratch = NULL;
    r->scratch_cap = 0;
}

void resp_reader_free(struct resp_reader *r)
{
    drop_args(r);
    drop_scratch(r);
}

void resp_reader_reset(struct resp_reader *r)
{
    if (unlikely(r->args_cap > ARGS_KEEP))
        drop_args(r);
    if (unlikely(r->scratch_cap > SCRATCH_KEEP))
        drop_scratch(r);
    r->argc = 0;
    r->left = -1;
    r->pos = 0;
    r->bulk = -1;
    r->inline_copy = false;
}

static enum resp_status bad(struct resp_reader *r, const char *text)
{
    snprintf(r->error, sizeof(r->error), "Protocol error: %s", text);
    return RESP_BAD;
}

static void grow_args(struct resp_reader *r)
{
    uint32_t cap = r->args_cap ? r->args_cap * 2 : ARGS_MIN;
    r->args = mem_realloc(r->args, sizeof(*r->args) * r->args_cap, sizeof(*r->args) * cap);
    r->args_cap = cap;
}

static struct resp_arg *push_arg(struct resp_reader *r)
{
    if (unlikely(r->argc == r->args_cap))
        grow_args(r);
    return &r->args[r->argc++];
}

/* --- header lines --- */

enum line { LINE_OK, LINE_MORE, LINE_LONG, LINE_BAD };

/* A decimal number up to CRLF at p + *pos, with the kind byte already passed. Short positive numbers, the only ones a
 * normal client sends, never leave the loop. */
static enum line read_number(const uint8_t *p, size_t len, size_t *pos, size_t max, int64_t *out)
{
    size_t i = *pos;
    int64_t v = 0;
    while (i < len && (unsigned)(p[i] - '0') <= 9 && i - *pos < 18)
        v = v * 10 + (p[i++] - '0');
    if (likely(i + 1 < len && p[i] == '\r' && i > *pos && (p[*pos] != '0' || i == *pos + 1))) {
        *out = v;
        *pos = i + 2;
        return LINE_OK;
    }
    const uint8_t *cr = memchr(p + *pos, '\r', len - *pos);
    if (cr == NULL)
        return len - *pos > max ? LINE_LONG : LINE_MORE;
    size_t end = (size_t)(cr - p);
    if (end + 1 >= len)
        return LINE_MORE;
    if (!num_parse_i64(slice_of(p + *pos, end - *pos), out))
        return LINE_BAD;
    *pos = end + 2;
    return LINE_OK;
}

static enum resp_status read_count(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                   size_t len, size_t *consumed)
{
    size_t pos = 1;
    int64_t n;
    switch (read_number(p, len, &pos, limits->max_inline, &n)) {
    case LINE_MORE:
        return RESP_MORE;
    case LINE_LONG:
        return bad(r, "too big mbulk count string");
    case LINE_BAD:
        return bad(r, "invalid multibulk length");
    case LINE_OK:
        break;
    }
    if (n > (int64_t)limits->max_args)
        return bad(r, limits->max_args <= 10 ? "unauthenticated multibulk length" : "invalid multibulk length");
    if (n > INT32_MAX)
        return bad(r, "invalid multibulk length");
    if (n <= 0) {
        *consumed = pos;
        return RESP_EMPTY;
    }
    r->left = n;
    r->pos = pos;
    return RESP_DONE;
}

static enum resp_status read_bulk_header(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                         size_t len)
{
    size_t pos = r->pos + 1;
    int64_t n;
    if (r->pos >= len)
        return RESP_MORE;
    if (unlikely(p[r->pos] != '$')) {
        char text[40];
        /* as Redis: only once the line is complete */
        if (memchr(p + r->pos, '\r', len - r->pos) == NULL)
            return len - r->pos > limits->max_inline ? bad(r, "too big bulk count string") : RESP_MORE;
        snprintf(text, sizeof(text), "expected '$', got '%c'", p[r->pos]);
        return bad(r, text);
    }
    switch (read_number(p, len, &pos, limits->max_inline, &n)) {
    case LINE_MORE:
        return RESP_MORE;
    case LINE_LONG:
        return bad(r, "too big bulk count string");
    case LINE_BAD:
        return bad(r, "invalid bulk length");
    case LINE_OK:
        break;
    }
    if (n < 0 || (uint64_t)n > limits->max_bulk)
        return bad(r, "invalid bulk length");
    if ((uint64_t)n > limits->max_bulk_unauth)
        return bad(r, "unauthenticated bulk length");
    r->bulk = n;
    r->pos = pos;
    return RESP_DONE;
}

/* --- inline commands --- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint8_t unescape(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

struct words {
    const uint8_t *p, *end;
    uint8_t *out;
};

static bool at_word_end(const struct words *w) { return w->p == w->end || isspace(*w->p); }

/* "..." with \n \r \t \b \a \xHH; the closing quote must end the word. */
static bool double_quoted(struct words *w)
{
    for (w->p++; w->p < w->end; w->p++) {
        if (*w->p == '"') {
            w->p++;
            return at_word_end(w);
        }
        if (*w->p != '\\' || w->p + 1 == w->end) {
            *w->out++ = *w->p;
        } else if (w->end - w->p >= 4 && w->p[1] == 'x' && hex_digit(w->p[2]) >= 0 && hex_digit(w->p[3]) >= 0) {
            *w->out++ = (uint8_t)(hex_digit(w->p[2]) * 16 + hex_digit(w->p[3]));
            w->p += 3;
        } else {
            *w->out++ = unescape(*++w->p);
        }
    }
    return false;
}

static bool single_quoted(struct words *w)
{
    for (w->p++; w->p < w->end; w->p++) {
        if (*w->p == '\'') {
            w->p++;
            return at_word_end(w);
        }
        if (*w->p == '\\' && w->p + 1 < w->end && w->p[1] == '\'')
            w->p++;
        *w->out++ = *w->p;
    }
    return false;
}

static bool word(struct words *w)
{
    while (!at_word_end(w)) {
        if (*w->p == '"') {
            if (!double_quoted(w))
                return false;
        } else if (*w->p == '\'') {
            if (!single_quoted(w))
                return false;
        } else {
            *w->out++ = *w->p++;
        }
    }
    return true;
}

static enum resp_status split_words(struct resp_reader *r, const struct resp_limits *limits, struct slice line)
{
    if (r->scratch_cap < line.len) {
        r->scratch = mem_realloc(r->scratch, r->scratch_cap, line.len);
        r->scratch_cap = line.len;
    }
    struct words w = {line.p, line.p + line.len, r->scratch};
    r->inline_copy = true;
    for (;;) {
        while (w.p < w.end && isspace(*w.p))
            w.p++;
        if (w.p == w.end)
            return RESP_DONE;
        uint8_t *start = w.out;
        if (!word(&w))
            return bad(r, "unbalanced quotes in request");
        if (r->argc >= limits->max_args)
            return bad(r, "unauthenticated multibulk length");
        *push_arg(r) = (struct resp_arg){.ext = start, .len = (size_t)(w.out - start)};
    }
}

static enum resp_status read_inline(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                    size_t len, size_t *consumed)
{
    const uint8_t *nl = memchr(p, '\n', len);
    if (nl == NULL) {
        if (len > limits->max_inline)
            return bad(r, "too big inline request");
        return RESP_MORE;
    }
    size_t end = (size_t)(nl - p);
    *consumed = end + 1;
    if (end > 0 && p[end - 1] == '\r')
        end--;
    enum resp_status st = split_words(r, limits, slice_of(p, end));
    return st == RESP_DONE && r->argc == 0 ? RESP_EMPTY : st;
}

/* --- arguments --- */

enum resp_status resp_read(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p, size_t len,
                           size_t *consumed)
{
    enum resp_status st;
    if (len == 0)
        return RESP_MORE;
    if (r->left < 0) {
        if (unlikely(p[0] != '*'))
            return read_inline(r, limits, p, len, consumed);
        st = read_count(r, limits, p, len, consumed);
        if (unlikely(st != RESP_DONE))
            return st;
    }
    while (r->left > 0) {
        if (r->bulk < 0) {
            st = read_bulk_header(r, limits, p, len);
            if (unlikely(st != RESP_DONE))
                return st;
        }
        if (unlikely(len - r->pos < (size_t)r->bulk + 2)) {
            if ((size_t)r->bulk < limits->big_arg)
                return RESP_MORE;
            r->big_off = r->pos;
            r->big_len = (size_t)r->bulk;
            return RESP_BIG;
        }
        *push_arg(r) = (struct resp_arg){NULL, r->pos, (size_t)r->bulk};
        r->pos += (size_t)r->bulk + 2;
        r->bulk = -1;
        r->left--;
    }
    *consumed = r->pos;
    return RESP_DONE;
}

void resp_reader_take_big(struct resp_reader *r, const uint8_t *data)
{
    ensure(r->bulk >= 0 && (size_t)r->bulk == r->big_len);
    *push_arg(r) = (struct resp_arg){.ext = data, .len = r->big_len};
    r->bulk = -1;
    r->left--;
}

size_t resp_reader_wants(const struct resp_reader *r, size_t len)
{
    if (r->bulk < 0)
        return 0;
    size_t need = r->pos + (size_t)r->bulk + 2;
    return need > len ? need - len : 0;
}
