#include "core/base/buf.h"

#include <endian.h>
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

/* The capacity is always a size class: what the allocator rounds up to is used. */
void buf_grow(struct buf *b, size_t more)
{
    size_t need = b->len + more;
    size_t cap = b->cap < BUF_DOUBLE_MAX ? b->cap * 2 : b->cap + b->cap / 4;
    ensure(need >= more);
    cap = mem_class(max_u64(max_u64(cap, need), BUF_MIN));
    b->p = mem_realloc(b->p, b->cap, cap);
    b->cap = cap;
}

void buf_insert(struct buf *b, size_t at, const void *p, size_t len)
{
    ensure(at <= b->len);
    if (len == 0)
        return;
    buf_reserve(b, len);
    memmove(b->p + at + len, b->p + at, b->len - at);
    memcpy(b->p + at, p, len);
    b->len += len;
}

void buf_consume(struct buf *b, size_t n)
{
    ensure(n <= b->len);
    if (n > 0 && b->len > n)
        memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

/* Tried first in the room there is: most texts fit, and are formatted once. */
void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    size_t room = b->cap - b->len;
    int n = vsnprintf(room > 0 ? (char *)b->p + b->len : NULL, room, fmt, ap);
    ensure(n >= 0);
    if ((size_t)n >= room)
        vsnprintf((char *)buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_append_quoted(struct buf *b, struct slice s)
{
    static const char raw[] = "\n\r\t\b\a\"\\", letters[] = "nrtba\"\\";
    buf_append_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        const char *at = s.p[i] != 0 ? strchr(raw, s.p[i]) : NULL;
        if (at != NULL) {
            buf_append_byte(b, '\\');
            buf_append_byte(b, (uint8_t)letters[at - raw]);
        } else if (s.p[i] < ' ' || s.p[i] > '~') {
            buf_printf(b, "\\x%02x", s.p[i]);
        } else {
            buf_append_byte(b, s.p[i]);
        }
    }
    buf_append_byte(b, '"');
}

void buf_reset(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_free(b);
    b->len = 0;
}

void buf_put_u16(struct buf *b, uint16_t v) { buf_append(b, &(uint16_t){htole16(v)}, 2); }
void buf_put_u32(struct buf *b, uint32_t v) { buf_append(b, &(uint32_t){htole32(v)}, 4); }
void buf_put_u64(struct buf *b, uint64_t v) { buf_append(b, &(uint64_t){htole64(v)}, 8); }

/* Once bad, the reader stands at its end: no later read finds bytes that are not where they should be. */
struct slice reader_bytes(struct reader *r, size_t len)
{
    struct slice s = slice_of(r->p, len);
    if (unlikely(reader_left(r) < len)) {
        r->bad = true;
        r->p = r->end;
        return slice_of(r->end, 0);
    }
    if (len > 0)
        r->p += len;
    return s;
}

static uint64_t read_le(struct reader *r, size_t n)
{
    struct slice s = reader_bytes(r, n);
    uint64_t v = 0;
    if (s.len > 0)
        memcpy(&v, s.p, s.len);
    return v;
}

uint8_t reader_u8(struct reader *r) { return (uint8_t)read_le(r, 1); }
uint16_t reader_u16(struct reader *r) { return le16toh((uint16_t)read_le(r, 2)); }
uint32_t reader_u32(struct reader *r) { return le32toh((uint32_t)read_le(r, 4)); }
uint64_t reader_u64(struct reader *r) { return le64toh(read_le(r, 8)); }
