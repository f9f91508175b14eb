#include "core/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

#define BUF_MIN 64
#define BUF_DOUBLE_MAX (64 * MIB) /* above this, growth is by a quarter */

void buf_free(struct buf *b)
{
    mem_free(b->p, b->cap);
    *b = (struct buf){0};
}

void buf_grow(struct buf *b, size_t more)
{
    size_t need = b->len + more;
    size_t cap = b->cap < BUF_DOUBLE_MAX ? b->cap * 2 : b->cap + b->cap / 4;
    ensure(need >= b->len);
    if (cap < need)
        cap = need;
    cap = mem_class(cap < BUF_MIN ? BUF_MIN : cap);
    b->p = mem_realloc(b->p, b->cap, cap);
    b->cap = cap;
}

void buf_insert(struct buf *b, size_t at, const void *p, size_t len)
{
    ensure(at <= b->len);
    buf_reserve(b, len);
    memmove(b->p + at + len, b->p + at, b->len - at);
    memcpy(b->p + at, p, len);
    b->len += len;
}

void buf_consume(struct buf *b, size_t n)
{
    ensure(n <= b->len);
    if (b->len > n)
        memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ensure(n >= 0);
    buf_reserve(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_reset(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_free(b);
    b->len = 0;
}

static void put_le(struct buf *b, uint64_t v, size_t n)
{
    uint8_t *p = buf_reserve(b, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    b->len += n;
}

void buf_put_u16(struct buf *b, uint16_t v) { put_le(b, v, 2); }
void buf_put_u32(struct buf *b, uint32_t v) { put_le(b, v, 4); }
void buf_put_u64(struct buf *b, uint64_t v) { put_le(b, v, 8); }

struct slice reader_bytes(struct reader *r, size_t len)
{
    if (reader_left(r) < len) {
        r->bad = true;
        return slice_of(r->p, 0);
    }
    struct slice s = slice_of(r->p, len);
    r->p += len;
    return s;
}

static uint64_t get_le(struct reader *r, size_t n)
{
    struct slice s = reader_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++)
        v |= (uint64_t)s.p[i] << (8 * i);
    return v;
}

uint8_t reader_u8(struct reader *r) { return (uint8_t)get_le(r, 1); }
uint16_t reader_u16(struct reader *r) { return (uint16_t)get_le(r, 2); }
uint32_t reader_u32(struct reader *r) { return (uint32_t)get_le(r, 4); }
uint64_t reader_u64(struct reader *r) { return get_le(r, 8); }
