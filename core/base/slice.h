/* A borrowed run of bytes: pointer and length, passed by value; never owns. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <string.h>

#include "core/base/base.h"

struct slice {
    const uint8_t *p;
    size_t len;
};

#define SLICE_LIT(s) ((struct slice){(const uint8_t *)(s), sizeof(s) - 1})

static inline struct slice slice_of(const void *p, size_t len) { return (struct slice){(const uint8_t *)p, len}; }
static inline struct slice slice_str(const char *s) { return slice_of(s, strlen(s)); }
static inline uint64_t bytes_load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
/* memcmp(a, b, n) == 0 without the call for what most keys and fields are: 8 to 16 bytes, as two words that may
 * overlap. */
static inline bool bytes_eq(const uint8_t *a, const uint8_t *b, size_t n)
{
    if (likely(n - 8 <= 8))
        return bytes_load64(a) == bytes_load64(b) && bytes_load64(a + n - 8) == bytes_load64(b + n - 8);
    return n == 0 || memcmp(a, b, n) == 0;
}
static inline bool slice_eq(struct slice a, struct slice b) { return a.len == b.len && bytes_eq(a.p, b.p, a.len); }
/* Compares with a NUL-terminated ASCII word, letter case ignored: option and command names. */
bool slice_is(struct slice a, const char *word);
/* memcmp order, a shorter prefix first. */
int slice_cmp(struct slice a, struct slice b);

#endif
