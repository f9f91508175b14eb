/* How a table lies in memory: private to table.c (look-up and change) and table_walk.c (iteration, chance, validation).
 *
 *   directory   2^depth references to segments, indexed by the top bits of the hash; several neighbours may be the same
 *   reference   a segment's address (a multiple of 64, below 2^56), in its low 6 bits the number of buckets, in its top
 *               byte the depth: so a look-up need not touch the segment's header
 *   segment     one header line and 3 to 63 buckets (256 bytes to 4 KiB); covers the hashes that begin with its `depth`
 *               prefix bits
 *   bucket      one cache line: 7 items, 7 fingerprints (0: empty), and a byte that says which slots hold no item. In a
 *               full bucket slot 6 points to an overflow bucket: half a line with 3 slots, the last of which may
 *               again point to another one
 *
 * A bucket holds a contiguous range of hashes: bucket = (bits below the prefix) * buckets >> 32. So storage order is
 * hash order whatever the number of buckets, and a scan's cursor, below which all has been visited, stays true.
 *
 * A segment that holds more than its limit is rebuilt with more buckets (the next *rung*), or, at 63, split. Sparse
 * tables climb from 31 to 63 at once and split at some 88 % of the slots; dense ones have more rungs and are filled to
 * some 120 %, where bytes an item are least, the overflow buckets included (measured: 12.3 against 16.3, look-ups as
 * fast). The limits differ from segment to segment – they are drawn from the prefix – so that under a uniform hash not
 * all grow at about the same time, and the average fill stays near its mean. A segment that holds less than half of
 * what the rung below can is merged with its buddy, if both together fit well into one, or rebuilt smaller. The
 * directory is halved when no segment has its depth any more. An empty table is thereby back at one small segment. */
#ifndef DS_TABLE_LAYOUT_H
#define DS_TABLE_LAYOUT_H

#include "core/ds/table.h"

#define SLOTS 7
#define OVERFLOW_SLOTS 3
#define BUCKETS_MAX 63
#define DEPTH_MAX 31

/* bucket.meta: bits 0..6 are the slots that hold no item; */
#define CHAINED 0x80                    /* the last slot is the next bucket */
#define SMALL 0x78                      /* an overflow bucket: slots 3..6 do not exist */
#define LAST (SLOTS - 1)                /* the last slot, and */
#define SMALL_LAST (OVERFLOW_SLOTS - 1) /* that of an overflow bucket */

struct bucket {
    union {
        uint8_t fp[8]; /* fp[7] is meta */
        uint64_t word;
    };
    void *slot[SLOTS];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");
#define OVERFLOW_BYTES offsetof(struct bucket, slot[OVERFLOW_SLOTS])
_Static_assert(OVERFLOW_BYTES == 32, "an overflow bucket is half a cache line");

struct seg {
    uint32_t count;
    uint32_t limit; /* grow above */
    uint32_t low;   /* shrink below */
    uint32_t chain; /* no chain of overflow buckets is longer */
    uint32_t unused[12];
    struct bucket bucket[];
};
_Static_assert(sizeof(struct seg) == 64, "the header is one cache line");

struct table {
    const struct table_type *type;
    void *arg;
    uint64_t address; /* mask */
    uint64_t *dir;
    uint64_t one; /* the directory of depth 0 */
    size_t count;
    size_t memory;
    size_t freed;     /* directory entries already gone, in table_free_some */
    uint32_t depth;   /* of the directory */
    uint32_t deepest; /* segments of that depth */
    uint32_t peak;    /* no segment holds more items */
};

/* --- places --- */

static inline uint8_t fingerprint(uint64_t hash)
{
    uint8_t fp = (uint8_t)hash;
    return fp ? fp : 1;
}

static inline struct seg *seg_at(uint64_t ref) { return (struct seg *)(uintptr_t)(ref & 0x00ffffffffffffc0); }
static inline uint32_t depth_at(uint64_t ref) { return (uint32_t)(ref >> 56); }
static inline uint32_t buckets_at(uint64_t ref) { return (uint32_t)ref & BUCKETS_MAX; }
static inline uint64_t make_ref(const struct seg *s, uint32_t depth, uint32_t buckets)
{
    return (uint64_t)(uintptr_t)s | (uint64_t)depth << 56 | buckets;
}

static inline size_t top_bits(uint64_t hash, uint32_t n) { return (size_t)(hash >> 1 >> (63 - n)); }
static inline uint64_t ref_of(const struct table *t, uint64_t hash) { return t->dir[top_bits(hash, t->depth)]; }
static inline uint32_t bucket_index(uint64_t ref, uint64_t hash)
{
    uint64_t below_prefix = (hash << depth_at(ref)) >> 32;
    return (uint32_t)(below_prefix * buckets_at(ref) >> 32);
}
static inline struct bucket *bucket_of(uint64_t ref, uint64_t hash)
{
    return &seg_at(ref)->bucket[bucket_index(ref, hash)];
}

static inline bool chained(const struct bucket *b) { return b->fp[SLOTS] & CHAINED; }
static inline uint32_t last_slot(const struct bucket *b) { return (b->fp[SLOTS] & SMALL) == SMALL ? SMALL_LAST : LAST; }
static inline struct bucket *chain_of(const struct bucket *b) { return chained(b) ? b->slot[last_slot(b)] : NULL; }
static inline uint32_t slots_of(const struct bucket *b) { return ~(uint32_t)b->fp[SLOTS] & 0x7f; }

/* A bit for each slot whose fingerprint equals fp (exact zero-byte test on the word). */
static inline uint32_t match(const struct bucket *b, uint8_t fp)
{
    uint64_t x = b->word ^ (0x0101010101010101ull * fp);
    uint64_t low = 0x7f7f7f7f7f7f7f7full;
    uint64_t zero = ~(((x & low) + low) | x | low);
    uint32_t mask = (uint32_t)((zero >> 7) * 0x0102040810204080ull >> 56);
    return mask & slots_of(b);
}
static inline uint32_t used(const struct bucket *b) { return slots_of(b) & ~match(b, 0); }

static inline void prefetch(const struct table *t, const void *item)
{
    __builtin_prefetch((const void *)((uintptr_t)item & t->address));
}
static inline uint64_t hash_of(const struct table *t, const void *item) { return t->type->hash(item, t->arg); }

static inline size_t dir_bytes(uint32_t depth) { return sizeof(uint64_t) << depth; }
static inline size_t seg_bytes(uint32_t buckets) { return sizeof(struct seg) + buckets * sizeof(struct bucket); }

/* How many directory entries refer to the segment, and which is the first. */
static inline size_t span_of(const struct table *t, uint64_t ref) { return (size_t)1 << (t->depth - depth_at(ref)); }

/* Calls `each` for the items of a bucket and its chain; prefetches them first, since `each` looks into them. */
static inline void each_item(const struct table *t, struct bucket *b, void (*each)(void *arg, void *item), void *arg)
{
    for (struct bucket *at = b; at != NULL; at = chain_of(at))
        for (uint32_t mask = used(at); mask != 0; mask &= mask - 1)
            prefetch(t, at->slot[__builtin_ctz(mask)]);
    for (struct bucket *at = b; at != NULL; at = chain_of(at))
        for (uint32_t mask = used(at); mask != 0; mask &= mask - 1)
            each(arg, at->slot[__builtin_ctz(mask)]);
}

#endif
