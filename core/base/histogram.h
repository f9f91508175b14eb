/* A log-linear histogram: 16 buckets between one power of two and the next, so a value is known to a sixteenth. Counted
 * by one thread, read by any. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>

#include "core/base/base.h"

#define HISTOGRAM_SUB_BITS 4
#define HISTOGRAM_SUB (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_LIMIT ((uint64_t)1 << 40) /* values are below it */
#define HISTOGRAM_BUCKETS ((40 - HISTOGRAM_SUB_BITS) * HISTOGRAM_SUB + 1)

struct histogram {
    _Atomic uint64_t count[HISTOGRAM_BUCKETS];
};

/* 16 is added first, so that small values need no case of their own. */
static inline unsigned histogram_bucket(uint64_t v)
{
    v += HISTOGRAM_SUB;
    unsigned octave = 63 - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
    return octave * HISTOGRAM_SUB + (unsigned)(v >> octave) - HISTOGRAM_SUB;
}

/* The largest value of a bucket. */
static inline uint64_t histogram_upper(unsigned bucket)
{
    unsigned octave = bucket / HISTOGRAM_SUB;
    return ((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << octave) - 1 - HISTOGRAM_SUB;
}

static inline void histogram_add(struct histogram *h, uint64_t v)
{
    _Atomic uint64_t *c = &h->count[histogram_bucket(v)];
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Adds its counts to sums[HISTOGRAM_BUCKETS]. */
static inline void histogram_sum(const struct histogram *h, uint64_t *sums)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        sums[i] += atomic_load_explicit(&h->count[i], memory_order_relaxed);
}

#endif
