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
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
/* Compares with a NUL-terminated ASCII word, letter case ignored: option and command names. */
bool slice_is(struct slice a, const char *word);
/* memcmp order, a shorter prefix first. */
int slice_cmp(struct slice a, struct slice b);

#endif
