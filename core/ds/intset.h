/* A sorted array of distinct integers, each in 2, 4 or 8 bytes, whichever holds the widest: small sets of integers.
 * Byte-compatible with the intset of Redis:
 *
 *     width u32 (2, 4 or 8) | count u32 | integers, ascending          little endian
 *
 * As with a pack, a bare pointer whose block has the size that mem_class gives for its bytes; functions that change it
 * take ownership and return what replaces it; reading works on any bytes that intset_validate has passed. */
#ifndef DS_INTSET_H
#define DS_INTSET_H

#include "core/base/slice.h"

#define INTSET_HEADER 8

/* An empty one. Caller frees with intset_free. */
uint8_t *intset_new(void);
/* From bytes that intset_validate has passed. Caller frees with intset_free. */
uint8_t *intset_copy(struct slice bytes);
void intset_free(uint8_t *s);           /* NULL is allowed */
size_t intset_memory(const uint8_t *s); /* as mem_class counts */

static inline uint32_t intset_width(const uint8_t *s)
{
    uint32_t width;
    memcpy(&width, s, sizeof(width));
    return width;
}
static inline uint32_t intset_count(const uint8_t *s)
{
    uint32_t count;
    memcpy(&count, s + 4, sizeof(count));
    return count;
}
static inline size_t intset_bytes(const uint8_t *s)
{
    return INTSET_HEADER + (size_t)intset_count(s) * intset_width(s);
}
static inline struct slice intset_slice(const uint8_t *s) { return slice_of(s, intset_bytes(s)); }

/* The integer at an index below the count. */
int64_t intset_at(const uint8_t *s, uint32_t index);
/* Whether `v` is in it. *index, if not NULL, is where it is, or where it would be put. O(log n). */
bool intset_find(const uint8_t *s, int64_t v, uint32_t *index);
/* Adds `v`; *added is false if it was there. O(n). */
uint8_t *intset_add(uint8_t *s, int64_t v, bool *added) must_check;
/* Removes `v`; *removed is false if it was not there. The width stays. O(n). */
uint8_t *intset_remove(uint8_t *s, int64_t v, bool *removed) must_check;
/* Whether `bytes` are exactly one intset on which every function here is safe; never reads beyond them. */
bool intset_validate(struct slice bytes);

#endif
