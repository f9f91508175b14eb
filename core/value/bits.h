/* Bitmaps: a string as an array of bits, the most significant bit of the first byte first; what lies behind its end
 * reads as zero. Operations on bytes; knows no values, no replies. Offsets count bits. */
#ifndef VALUE_BITS_H
#define VALUE_BITS_H

#include "core/base/slice.h"

/* --- single bits and ranges --- */

bool bits_get(struct slice s, uint64_t at);
/* The byte that holds the bit must exist. */
static inline void bits_set(uint8_t *p, uint64_t at, bool on)
{
    uint8_t mask = (uint8_t)(0x80 >> (at & 7));
    p[at >> 3] = on ? p[at >> 3] | mask : p[at >> 3] & (uint8_t)~mask;
}
/* Ones among the bits first..last (inclusive). last < 8 * s.len; 0 if first > last. */
uint64_t bits_count(struct slice s, uint64_t first, uint64_t last);
/* The first bit that is `on` among first..last; -1 if there is none. The same bounds. */
int64_t bits_find(struct slice s, uint64_t first, uint64_t last, bool on);

/* --- whole strings --- */

enum bits_op {
    BITS_AND,
    BITS_OR,
    BITS_XOR,
    BITS_NOT,   /* of one source */
    BITS_DIFF,  /* in the first source and in no other */
    BITS_DIFF1, /* not in the first source, but in another */
    BITS_ANDOR, /* in the first source and in another */
    BITS_ONE,   /* in exactly one source */
};
/* Writes the op over the sources (n > 0), each taken as zero-filled up to `len`, to out[0..len). The sources may not
 * overlap `out`. */
void bits_combine(enum bits_op op, const struct slice *sources, size_t n, uint8_t *out, size_t len);

/* --- integers of any width (BITFIELD) --- */

struct bits_type {
    bool is_signed;
    uint8_t width; /* 1..64, unsigned 1..63 */
};
enum bits_overflow { BITS_WRAP, BITS_SAT, BITS_FAIL };

/* The field at bit `at`, sign-extended if its type is signed. */
int64_t bits_read(struct slice s, uint64_t at, struct bits_type type);
/* Writes the low bits of `v`. All bytes of the field must exist. */
void bits_write(uint8_t *p, uint64_t at, struct bits_type type, int64_t v);
/* a + b as a value of the type, wrapped or saturated if it does not fit. False, with *out untouched, if it does not fit
 * and `how` is BITS_FAIL. A negative `a` is for an unsigned type one above its range, as in Redis (SET u8 0 -1). */
bool bits_add(struct bits_type type, int64_t a, int64_t b, enum bits_overflow how, int64_t *out);

#endif
