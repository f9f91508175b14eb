#include "core/proto/resp_writer.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/num.h"

#define HEADER_MAX 24

/* kind, number, CRLF. */
static uint8_t *put_number(uint8_t *p, char kind, int64_t v)
{
    *p++ = (uint8_t)kind;
    if (likely(v >= 0 && v < 10))
        *p++ = (uint8_t)('0' + v);
    else
        p += num_format_i64((char *)p, v);
    *p++ = '\r';
    *p++ = '\n';
    return p;
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
    for (size_t i = 0; i < len; i++)
        *p++ = text[i] == '\r' || text[i] == '\n' ? ' ' : (uint8_t)text[i];
    *p++ = '\r';
    *p++ = '\n';
    b->len += len + 3;
}

void resp_simple(struct buf *b, const char *text) { line(b, '+', text, strlen(text)); }
void resp_error(struct buf *b, const char *text) { line(b, '-', text, strlen(text)); }

void resp_errorf(struct buf *b, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    line(b, '-', text, min_u64((size_t)(n > 0 ? n : 0), sizeof(text) - 1));
}

void resp_int(struct buf *b, int64_t v) { header(b, ':', v); }

void resp_bulk(struct buf *b, struct slice s)
{
    uint8_t *p = buf_reserve(b, s.len + HEADER_MAX + 2);
    p = put_number(p, '$', (int64_t)s.len);
    if (s.len > 0)
        p = (uint8_t *)mempcpy(p, s.p, s.len);
    *p++ = '\r';
    *p++ = '\n';
    b->len = (size_t)(p - b->p);
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
