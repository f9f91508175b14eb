/* How a request is read. take_whole takes arguments in a tight loop as long as each is complete and has a short header
 * line: all of nearly every request that a client sends. Where it stops, read_argument looks at one argument carefully:
 * it knows every limit and error, and can stop between any two bytes. What is known of an incomplete request is
 *
 *   left < 0             at the first byte: "*count" or an inline line
 *   left > 0, bulk < 0   at the "$length" line of the next argument
 *   left > 0, bulk >= 0  at that argument's bytes
 *   left == 0            complete
 *
 * and `pos`, at most the length seen so far. Whether a line is too long is decided by its first max_inline + 1 bytes,
 * so the result does not depend on how the bytes were cut on their way. As in Redis, a CR ends a header line and the
 * byte behind it is not looked at, nor are the two bytes behind an argument. */
#include "core/proto/resp_reader.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"

#define ARGS_MIN 16
#define ARGS_KEEP 1024
#define SCRATCH_KEEP (64 * KIB)

static size_t args_bytes(uint32_t cap) { return sizeof(struct resp_arg) * cap; }

cold_fn static void resize_args(struct resp_reader *r, uint32_t cap)
{
    r->args = mem_realloc(r->args, args_bytes(r->args_cap), args_bytes(cap));
    r->args_cap = cap;
}

void resp_reader_init(struct resp_reader *r)
{
    *r = (struct resp_reader){0};
    resp_reader_reset(r);
}

static void drop_scratch(struct resp_reader *r)
{
    mem_free(r->scratch, r->scratch_cap);
    r->scratch = NULL;
    r->scratch_cap = 0;
}

void resp_reader_free(struct resp_reader *r)
{
    mem_free(r->args, args_bytes(r->args_cap));
    r->args = NULL;
    r->args_cap = 0;
    drop_scratch(r);
}

void resp_reader_reset(struct resp_reader *r)
{
    if (unlikely(r->args_cap > ARGS_KEEP))
        resize_args(r, ARGS_MIN);
    if (unlikely(r->scratch_cap > SCRATCH_KEEP))
        drop_scratch(r);
    r->argc = 0;
    r->left = -1;
    r->pos = 0;
    r->bulk = -1;
    r->inline_copy = false;
}

cold_fn static enum resp_status bad(struct resp_reader *r, const char *text)
{
    snprintf(r->error, sizeof(r->error), "Protocol error: %s", text);
    return RESP_BAD;
}

static void push_arg(struct resp_reader *r, struct resp_arg arg)
{
    if (unlikely(r->argc == r->args_cap))
        resize_args(r, r->args_cap ? r->args_cap * 2 : ARGS_MIN);
    r->args[r->argc++] = arg;
}

/* --- what is complete --- */

/* The header line at p: `kind`, one to nine digits without a leading zero, CRLF. Returns the byte behind it, or NULL
 * for anything else. To the end of a complete request there are at least six bytes, and 17 if the number has two
 * digits. */
static inline const uint8_t *short_header(const uint8_t *p, const uint8_t *end, uint8_t kind, size_t *out)
{
    if (unlikely(end - p < 6 || p[0] != kind))
        return NULL;
    unsigned v = p[1] - (unsigned)'0', digit = p[2] - (unsigned)'0';
    if (unlikely(v > 9))
        return NULL;
    if (p[3] == '\r' && digit <= 9 && v != 0) {
        *out = v * 10 + digit;
        return p + 5;
    }
    p += 2;
    if (*p != '\r') {
        const uint8_t *last = p + 8;
        if (unlikely(v == 0 || end - p < 15))
            return NULL;
        for (; p < last && (digit = *p - (unsigned)'0') <= 9; p++)
            v = v * 10 + digit;
        if (unlikely(*p != '\r'))
            return NULL;
    }
    *out = v;
    return p + 2;
}

/* Takes arguments from `pos` on; stops before the first that is not complete, or odd, or has no room in `args`. */
static inline void take_whole(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p, size_t len)
{
    const size_t bulk_max = min_u64(limits->max_bulk, limits->max_bulk_unauth);
    const uint8_t *at = p + r->pos, *end = p + len, *body;
    uint32_t n = 0, most = (uint32_t)min_u64((uint64_t)r->left, r->args_cap - r->argc);
    struct resp_arg *arg = r->args + r->argc;
    size_t bulk;

    for (; n < most && (body = short_header(at, end, '$', &bulk)) != NULL; n++) {
        if (unlikely(bulk > bulk_max || (size_t)(end - body) < bulk + 2))
            break;
        *arg++ = (struct resp_arg){NULL, (size_t)(body - p), bulk};
        at = body + bulk + 2;
    }
    r->argc += n;
    r->left -= n;
    r->pos = (size_t)(at - p);
}

/* --- header lines --- */

enum line { LINE_OK, LINE_MORE, LINE_LONG };

/* The header line at r->pos: its number's digits, and the offset behind it. */
static enum line read_line(const struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p, size_t len,
                           struct slice *digits, size_t *next)
{
    size_t left = len - r->pos;
    const uint8_t *line = p + r->pos;
    const uint8_t *cr = left > 0 ? memchr(line, '\r', min_u64(left, limits->max_inline + 1)) : NULL;
    if (cr == NULL)
        return left > limits->max_inline ? LINE_LONG : LINE_MORE;
    if (cr + 1 == p + len)
        return LINE_MORE;
    *digits = cr > line ? slice_of(line + 1, (size_t)(cr - line - 1)) : slice_of(cr, 0);
    *next = (size_t)(cr - p) + 2;
    return LINE_OK;
}

cold_fn static enum resp_status read_count(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                           size_t len, size_t *consumed)
{
    struct slice digits;
    size_t next;
    int64_t n;
    enum line line = read_line(r, limits, p, len, &digits, &next);
    if (line != LINE_OK)
        return line == LINE_MORE ? RESP_MORE : bad(r, "too big mbulk count string");
    if (!num_parse_i64(digits, &n) || n > INT32_MAX)
        return bad(r, "invalid multibulk length");
    if (n > (int64_t)limits->max_args)
        return bad(r, limits->max_args <= RESP_ARGS_UNAUTH ? "unauthenticated multibulk length"
                                                           : "invalid multibulk length");
    if (n <= 0) {
        *consumed = next;
        return RESP_EMPTY;
    }
    r->left = n;
    r->pos = next;
    return RESP_DONE;
}

static enum resp_status not_a_bulk(struct resp_reader *r, uint8_t kind)
{
    char text[] = "expected '$', got '?'";
    text[sizeof(text) - 3] = (char)kind;
    return bad(r, text);
}

static enum resp_status read_bulk_header(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                         size_t len)
{
    struct slice digits;
    size_t next;
    int64_t n;
    enum line line = read_line(r, limits, p, len, &digits, &next);
    if (line != LINE_OK)
        return line == LINE_MORE ? RESP_MORE : bad(r, "too big bulk count string");
    if (p[r->pos] != '$')
        return not_a_bulk(r, p[r->pos]);
    if (!num_parse_i64(digits, &n) || n < 0 || (uint64_t)n > limits->max_bulk)
        return bad(r, "invalid bulk length");
    if ((uint64_t)n > limits->max_bulk_unauth)
        return bad(r, "unauthenticated bulk length");
    r->bulk = n;
    r->pos = next;
    return RESP_DONE;
}

cold_fn static enum resp_status read_argument(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                              size_t len)
{
    if (r->bulk < 0) {
        enum resp_status st = read_bulk_header(r, limits, p, len);
        if (st != RESP_DONE)
            return st;
    }
    size_t bulk = (size_t)r->bulk;
    if (len - r->pos < bulk + 2) {
        if (bulk < limits->big_arg)
            return RESP_MORE;
        r->big_off = r->pos;
        r->big_len = bulk;
        return RESP_BIG;
    }
    push_arg(r, (struct resp_arg){NULL, r->pos, bulk});
    r->pos += bulk + 2;
    r->bulk = -1;
    r->left--;
    return RESP_DONE;
}

/* --- inline commands --- */

/* Words are unquoted into `out`, which has room for the whole line: they only get shorter. */
struct words {
    const uint8_t *p, *end;
    uint8_t *out;
};

static bool is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* What ends a word outside quotes: not every blank does, as in Redis. */
static bool ends_word(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* Passes a closing quote; nothing but a blank may follow it. */
static bool close_quote(struct words *w)
{
    w->p++;
    return w->p == w->end || is_blank(*w->p);
}

static uint8_t unescape(uint8_t c)
{
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    const char *at = memchr(from, c, sizeof(from) - 1);
    return at ? (uint8_t)to[at - from] : c;
}

/* The escape at p, a backslash with at least one byte behind it. */
static void escape(struct words *w)
{
    if (w->end - w->p >= 4 && w->p[1] == 'x' && num_hex_digit(w->p[2]) >= 0 && num_hex_digit(w->p[3]) >= 0) {
        *w->out++ = (uint8_t)(num_hex_digit(w->p[2]) * 16 + num_hex_digit(w->p[3]));
        w->p += 4;
    } else {
        *w->out++ = unescape(w->p[1]);
        w->p += 2;
    }
}

static bool double_quoted(struct words *w)
{
    for (w->p++; w->p < w->end;) {
        if (*w->p == '"')
            return close_quote(w);
        if (*w->p == '\\' && w->p + 1 < w->end)
            escape(w);
        else
            *w->out++ = *w->p++;
    }
    return false;
}

static bool single_quoted(struct words *w)
{
    for (w->p++; w->p < w->end;) {
        if (*w->p == '\'')
            return close_quote(w);
        if (*w->p == '\\' && w->p + 1 < w->end && w->p[1] == '\'')
            w->p++;
        *w->out++ = *w->p++;
    }
    return false;
}

/* One word, which a quote ends too; false if a quote is not closed or runs into more text. */
static bool word(struct words *w)
{
    while (w->p < w->end && !ends_word(*w->p)) {
        if (*w->p == '"')
            return double_quoted(w);
        if (*w->p == '\'')
            return single_quoted(w);
        *w->out++ = *w->p++;
    }
    return true;
}

static enum resp_status split_words(struct resp_reader *r, struct slice line)
{
    if (r->scratch_cap < line.len) {
        r->scratch = mem_realloc(r->scratch, r->scratch_cap, line.len);
        r->scratch_cap = line.len;
    }
    struct words w = {line.p, line.p + line.len, r->scratch};
    r->inline_copy = true;
    for (;;) {
        while (w.p < w.end && is_blank(*w.p))
            w.p++;
        if (w.p == w.end)
            return r->argc > 0 ? RESP_DONE : RESP_EMPTY;
        uint8_t *start = w.out;
        if (!word(&w))
            return bad(r, "unbalanced quotes in request");
        push_arg(r, (struct resp_arg){.ext = start, .len = (size_t)(w.out - start)});
    }
}

cold_fn static enum resp_status read_inline(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                            size_t len, size_t *consumed)
{
    const uint8_t *nl = memchr(p, '\n', min_u64(len, limits->max_inline + 1));
    if (nl == NULL)
        return len > limits->max_inline ? bad(r, "too big inline request") : RESP_MORE;
    size_t end = (size_t)(nl - p);
    *consumed = end + 1;
    if (end > 0 && p[end - 1] == '\r')
        end--;
    /* as Redis, which splits a C string: a NUL ends the line */
    return split_words(r, slice_of(p, strnlen((const char *)p, end)));
}

/* --- a request --- */

static enum resp_status read_start(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p,
                                   size_t len, size_t *consumed)
{
    size_t count;
    const uint8_t *behind;
    if (len == 0)
        return RESP_MORE;
    if (unlikely(p[0] != '*'))
        return read_inline(r, limits, p, len, consumed);
    behind = short_header(p, p + len, '*', &count);
    if (unlikely(behind == NULL || count == 0 || count > limits->max_args))
        return read_count(r, limits, p, len, consumed);
    r->left = (int64_t)count;
    r->pos = (size_t)(behind - p);
    return RESP_DONE;
}

enum resp_status resp_read(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p, size_t len,
                           size_t *consumed)
{
    debug_ensure(r->pos <= len);
    if (r->left < 0) {
        enum resp_status st = read_start(r, limits, p, len, consumed);
        if (st != RESP_DONE || r->left < 0)
            return st;
    }
    for (;;) {
        if (r->bulk < 0)
            take_whole(r, limits, p, len);
        if (likely(r->left == 0))
            break;
        enum resp_status st = read_argument(r, limits, p, len);
        if (st != RESP_DONE)
            return st;
    }
    *consumed = r->pos;
    return RESP_DONE;
}

void resp_reader_take_big(struct resp_reader *r, const uint8_t *data)
{
    ensure(r->bulk >= 0 && (size_t)r->bulk == r->big_len);
    push_arg(r, (struct resp_arg){.ext = data, .len = r->big_len});
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
