/* A log-linear histogram: 16 buckets between one power of two and the next, so a value is known to a sixteenth. Counted
 * by one thread, read by any. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>

#include "core/base/base.h"

#define HISTOGRAM_SUB_BITS 4
#define HISTOGRAM_SUB (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_TOP_BIT 40 /* larger values are counted in the last bucket */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_TOP_BIT - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

struct histogram {
    _Atomic uint64_t count[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t v)
{
    if (v < HISTOGRAM_SUB)
        return (unsigned)v;
    if (unlikely(v >> HISTOGRAM_TOP_BIT))
        return HISTOGRAM_BUCKETS - 1;
    unsigned octave = 63 - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
    return octave * HISTOGRAM_SUB + (unsigned)(v >> octave);
}

/* The largest value of a bucket. */
static inline uint64_t histogram_upper(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_SUB)
        return bucket;
    unsigned octave = bucket / HISTOGRAM_SUB - 1;
    return ((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << octave) - 1;
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
