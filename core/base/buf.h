/* A growable byte buffer. Owned by one thread. Zero-initialised is empty and valid. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "core/base/slice.h"

struct buf {
    uint8_t *p;
    size_t len;
    size_t cap;
};

void buf_free(struct buf *b);
/* Grows so that `more` bytes fit behind len (amortised doubling). Called through buf_reserve. */
void buf_grow(struct buf *b, size_t more);
/* Makes room for `more` bytes behind len; returns where they start. */
static inline uint8_t *buf_reserve(struct buf *b, size_t more)
{
    if (unlikely(b->cap - b->len < more))
        buf_grow(b, more);
    return b->p + b->len;
}
static inline void buf_append(struct buf *b, const void *p, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), p, len);
    b->len += len;
}
static inline void buf_append_slice(struct buf *b, struct slice s) { buf_append(b, s.p, s.len); }
static inline void buf_append_str(struct buf *b, const char *s) { buf_append(b, s, strlen(s)); }
static inline void buf_append_byte(struct buf *b, uint8_t c)
{
    *buf_reserve(b, 1) = c;
    b->len++;
}
static inline void buf_clear(struct buf *b) { b->len = 0; }
static inline struct slice buf_slice(const struct buf *b) { return slice_of(b->p, b->len); }
/* Inserts `len` bytes at offset `at` (<= b->len). */
void buf_insert(struct buf *b, size_t at, const void *p, size_t len);
/* Drops the first `n` bytes. */
void buf_consume(struct buf *b, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) printf_like(2, 0);
/* In double quotes, with what does not print, quotes and backslashes escaped (\n \r \t \a \b, \xff): as configuration
 * files and Redis's MONITOR have it. */
void buf_append_quoted(struct buf *b, struct slice s);
/* Frees a buffer that has grown above `keep` bytes of capacity; empties it in any case. */
void buf_reset(struct buf *b, size_t keep);

/* Little-endian fixed-width fields of our own formats. */
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);

/* A bounds-checked reader over a slice: a read past the end sets `bad`, and it and all later ones yield zero or an
 * empty slice; test `bad` at the end. */
struct reader {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};
static inline struct reader reader_of(struct slice s)
{
    return (struct reader){s.p, s.len > 0 ? s.p + s.len : s.p, false};
}
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
struct slice reader_bytes(struct reader *r, size_t len);
static inline size_t reader_left(const struct reader *r) { return (size_t)(r->end - r->p); }

#endif
