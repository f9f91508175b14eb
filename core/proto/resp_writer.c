/* Every reply is put into place behind one reservation: kind, number, CRLF, and for a bulk string its bytes and CRLF.
 */
#include "core/proto/resp_writer.h"

#include <stdarg.h>

#include "core/base/num.h"

#define HEADER_MAX 24 /* kind, 20 characters of an int64, CRLF */

static inline uint8_t *put_crlf(uint8_t *p)
{
    memcpy(p, "\r\n", 2);
    return p + 2;
}

/* kind, number, CRLF. One and two digits, as most lengths and counts have, stay here. */
static inline uint8_t *put_number(uint8_t *p, char kind, int64_t v)
{
    *p++ = (uint8_t)kind;
    if (likely((uint64_t)v < 100)) {
        unsigned tens = (unsigned)v / 10;
        *p = (uint8_t)('0' + tens);
        p += tens > 0;
        *p++ = (uint8_t)('0' + (unsigned)v - 10 * tens);
    } else {
        p += num_format_i64((char *)p, v);
    }
    return put_crlf(p);
}

static void header(struct buf *b, char kind, int64_t v)
{
    uint8_t *p = buf_reserve(b, HEADER_MAX);
    b->len = (size_t)(put_number(p, kind, v) - b->p);
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

void resp_bulk(struct buf *b, struct slice s)
{
    uint8_t *p = put_number(buf_reserve(b, s.len + HEADER_MAX + 2), '$', (int64_t)s.len);
    if (s.len > 0)
        p = (uint8_t *)mempcpy(p, s.p, s.len);
    b->len = (size_t)(put_crlf(p) - b->p);
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
