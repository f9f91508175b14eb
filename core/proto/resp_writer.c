/* Every reply is put into place behind one reservation: kind, number, CRLF, and for a bulk string its bytes and CRLF.
 */
#include "core/proto/resp_writer.h"

#include <stdarg.h>

#include "core/base/num.h"

#define HEADER_MAX 24 /* kind, 20 characters of an int64, CRLF */
#define SHORT_MAX 32  /* bytes of a string that is put into place without a call */

static inline uint8_t *put_crlf(uint8_t *p)
{
    memcpy(p, "\r\n", 2);
    return p + 2;
}

/* Kind, a number below 100, CRLF: what most lengths and counts are. */
static inline uint8_t *put_small(uint8_t *p, char kind, unsigned v)
{
    unsigned tens = v / 10;
    *p++ = (uint8_t)kind;
    *p = (uint8_t)('0' + tens);
    p += tens > 0;
    *p++ = (uint8_t)('0' + v - 10 * tens);
    return put_crlf(p);
}

static inline uint8_t *put_number(uint8_t *p, char kind, int64_t v)
{
    if (likely((uint64_t)v < 100))
        return put_small(p, kind, (unsigned)v);
    *p++ = (uint8_t)kind;
    return put_crlf(p + num_format_i64((char *)p, v));
}

/* Up to SHORT_MAX bytes, as words that may overlap. */
static inline uint8_t *put_short(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n >= 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else if (n > 0) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
    return to + n;
}

/* What is not small, or has no room yet, is out of the way: the usual case calls nothing and saves no registers. */
static bool has_room(const struct buf *b, size_t bytes) { return likely(b->cap - b->len >= bytes); }

static cold_fn void header_slowly(struct buf *b, char kind, int64_t v)
{
    uint8_t *p = buf_reserve(b, HEADER_MAX);
    b->len = (size_t)(put_number(p, kind, v) - b->p);
}

static inline void header(struct buf *b, char kind, int64_t v)
{
    if (likely((uint64_t)v < 100 && has_room(b, HEADER_MAX)))
        b->len = (size_t)(put_small(b->p + b->len, kind, (unsigned)v) - b->p);
    else
        header_slowly(b, kind, v);
}

static void line(struct buf *b, char kind, const char *text, size_t len)
{
    uint8_t *p = buf_reserve(b, len + 3);
    *p++ = (uint8_t)kind;
    put_crlf((uint8_t *)mempcpy(p, text, len));
    b->len += len + 3;
}

/* A CR or LF inside an error would end it for the client, and what follows would be taken for the next reply. */
static void blank_line_ends(uint8_t *p, const uint8_t *end)
{
    for (; p < end; p++)
        if (*p == '\r' || *p == '\n')
            *p = ' ';
}

void resp_simple(struct buf *b, const char *text) { line(b, '+', text, strlen(text)); }

void resp_error(struct buf *b, const char *text)
{
    size_t len = strlen(text);
    line(b, '-', text, len);
    blank_line_ends(b->p + b->len - len - 2, b->p + b->len - 2);
}

void resp_errorf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    size_t start = b->len + 1;
    buf_append_byte(b, '-');
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
    blank_line_ends(b->p + start, b->p + b->len);
    buf_append(b, "\r\n", 2);
}

void resp_int(struct buf *b, int64_t v) { header(b, ':', v); }

static __attribute__((noinline)) void bulk_slowly(struct buf *b, struct slice s)
{
    uint8_t *p = put_number(buf_reserve(b, s.len + HEADER_MAX + 2), '$', (int64_t)s.len);
    if (s.len > 0)
        p = (uint8_t *)mempcpy(p, s.p, s.len);
    b->len = (size_t)(put_crlf(p) - b->p);
}

void resp_bulk(struct buf *b, struct slice s)
{
    if (s.len > SHORT_MAX || !has_room(b, SHORT_MAX + HEADER_MAX + 2)) {
        bulk_slowly(b, s);
        return;
    }
    uint8_t *p = put_small(b->p + b->len, '$', (unsigned)s.len);
    b->len = (size_t)(put_crlf(put_short(p, s.p, s.len)) - b->p);
}

void resp_bulk_str(struct buf *b, const char *s) { resp_bulk(b, slice_str(s)); }

void resp_bulk_int(struct buf *b, int64_t v)
{
    char text[NUM_I64_MAX];
    resp_bulk(b, slice_of(text, num_format_i64(text, v)));
}

void resp_bulk_header(struct buf *b, size_t len) { header(b, '$', (int64_t)len); }

void resp_null(struct buf *b, int proto) { buf_append_str(b, proto == 3 ? "_\r\n" : "$-1\r\n"); }
void resp_null_array(struct buf *b, int proto) { buf_append_str(b, proto == 3 ? "_\r\n" : "*-1\r\n"); }
void resp_array(struct buf *b, size_t n) { header(b, '*', (int64_t)n); }
void resp_map(struct buf *b, int proto, size_t n)
{
    header(b, proto == 3 ? '%' : '*', (int64_t)(proto == 3 ? n : 2 * n));
}
void resp_set(struct buf *b, int proto, size_t n) { header(b, proto == 3 ? '~' : '*', (int64_t)n); }
void resp_push(struct buf *b, int proto, size_t n) { header(b, proto == 3 ? '>' : '*', (int64_t)n); }

void resp_attribute(struct buf *b, size_t n) { header(b, '|', (int64_t)n); }

void resp_bool(struct buf *b, int proto, bool v)
{
    if (proto == 3)
        buf_append_str(b, v ? "#t\r\n" : "#f\r\n");
    else
        resp_int(b, v);
}

void resp_double(struct buf *b, int proto, double v)
{
    char text[40];
    size_t len = num_format_double(text, v);
    if (proto == 3)
        line(b, ',', text, len);
    else
        resp_bulk(b, slice_of(text, len));
}

void resp_bignum(struct buf *b, int proto, const char *digits)
{
    if (proto == 3)
        line(b, '(', digits, strlen(digits));
    else
        resp_bulk_str(b, digits);
}

void resp_verbatim(struct buf *b, int proto, const char *ext3, struct slice s)
{
    if (proto != 3) {
        resp_bulk(b, s);
        return;
    }
    header(b, '=', (int64_t)s.len + 4);
    buf_append(b, ext3, 3);
    buf_append_byte(b, ':');
    buf_append_slice(b, s);
    buf_append(b, "\r\n", 2);
}
