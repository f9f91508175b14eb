/* An extendible hash table of cache-line buckets (Fagin et al. 1979, segments and fingerprints as in Dash, Lu et al.
 * 2020): growing by splitting one small segment at a time, so there is no rehash of the whole and no pause; erasing
 * merges segments again, one pair at a time.
 *
 * It holds *items* that it does not own: 64-bit words other than 0, mostly pointers, which may carry tags in their top
 * bits (table_type.address). The hash of an item is found through a callback, used when a segment is rebuilt. Placement
 * is in hash order: segment and bucket are taken from the TOP bits of the hash, so "hash order" is also storage order,
 * growing and shrinking keep it, and a scan cursor is simply a hash value.
 *
 * Owned by one thread at a time (a shard, or who holds it). Steady cost: look-up one or two cache lines. */
#ifndef DS_TABLE_H
#define DS_TABLE_H

#include "core/base/base.h"

struct table;
struct rng;

#define TABLE_TAGGED ((uint64_t)0x0000ffffffffffff) /* an address below 16 bits of tag */

struct table_type {
    uint64_t (*hash)(const void *item, void *arg);
    /* Which bits of an item are the address of what it stands for, to be prefetched; 0: all. The table never follows
     * it; `hash` gets the item with its tag. */
    uint64_t address;
    /* Fewer bytes an item (12 instead of 16), for some dearer inserts and look-ups of what is not there. For sets and
     * the like; keyspaces are sparse. */
    bool dense;
};

/* `type` is borrowed for the table's life; `arg` is handed to its functions (a seed, say). An empty table is small
 * (some 350 bytes). Caller frees with table_free (items are not touched). */
struct table *table_new(const struct table_type *type, void *arg);
void table_free(struct table *t); /* O(segments) */
/* Frees segments with at least max_items items in all (or what is left), first calling `drop`, if not NULL, for each of
 * them; true when all of it, `t` included, is gone. Nothing but this may be done with the table after the first call,
 * except table_memory and table_count, which go down. */
bool table_free_some(struct table *t, size_t max_items, void (*drop)(void *arg, void *item), void *arg);
size_t table_count(const struct table *t);
/* Bytes that the table itself has allocated, as mem_class counts them. Changes only in insert/erase. O(1). */
size_t table_memory(const struct table *t);

/* A find is a loop over candidates whose fingerprint matches; the caller compares keys:
 *     struct table_probe p;
 *     for (item = table_first(t, hash, &p); item; item = table_next(&p)) if (equal) ...
 * Candidates may be false ones. The table must not change during the loop, but table_erase_at / table_replace_at on the
 * current candidate may end it. */
struct table_probe {
    struct table *t;
    void *bucket;
    uint64_t hash;
    uint32_t mask; /* matching slots not yet seen */
    uint32_t slot; /* the current candidate */
};
void *table_first(struct table *t, uint64_t hash, struct table_probe *p);
void *table_next(struct table_probe *p);

/* The item must not be in the table. Cost: amortised O(1); mostly at most one segment (a few KiB) is rebuilt. */
void table_insert(struct table *t, uint64_t hash, void *item);
/* Overwrites / removes the probe's current candidate. Erasing may shrink or merge segments, which asks for the hashes
 * of other items, never of the erased one. */
void table_replace_at(struct table_probe *p, void *item);
void table_erase_at(struct table_probe *p);
/* The slot that holds exactly this pointer is overwritten; it must be there. */
void table_replace(struct table *t, uint64_t hash, const void *old, void *item);
void table_erase(struct table *t, uint64_t hash, const void *item);

/* Prefetching in steps, for many keys at once: step 0 touches the directory and asks for the bucket line; step 1
 * (when the line has arrived) asks for the items whose fingerprints match, and returns the first of them: most likely
 * the one that is looked for, if there is any. Neither changes anything. */
void table_prefetch_bucket(const struct table *t, uint64_t hash);
void *table_prefetch_item(const struct table *t, uint64_t hash);

/* Visits all items of the bucket group at `cursor` (a hash value; start with 0) and returns the cursor of the next
 * group, 0 when the end is reached. An item that is in the table during the whole scan is visited exactly once,
 * however the table grows and shrinks meanwhile: all items with hashes below the cursor have been visited, and none of
 * them is again. Inserting and erasing inside `visit` is not allowed. */
uint64_t table_scan(struct table *t, uint64_t cursor, void (*visit)(void *arg, void *item), void *arg);
/* Up to `want` items from random neighbouring places, for sampling (eviction, RANDOMKEY); `random` picks the place.
 * 0 only if the table is empty. Cost: O(want) while the table is not nearly empty, bounded in any case. */
size_t table_sample(struct table *t, uint64_t random, void **out, size_t want);
/* One item, each with the same probability; NULL if the table is empty. Cost: a few cache lines on average. */
void *table_random(const struct table *t, struct rng *rng);

/* All items, each once, in hash order:
 *     struct table_iter it;
 *     table_iter_init(&it, t);
 *     while ((item = table_iter_next(&it)) != NULL) ...
 * The table must not change meanwhile, but table_iter_replace may put another item with the same hash in the place of
 * the current one. Items are prefetched ahead of their turn. */
struct table_iter {
    struct table *t;
    void *seg;
    void *bucket;            /* the current one, perhaps an overflow bucket */
    size_t dir;              /* where the next segment begins in the directory */
    uint32_t index, buckets; /* of the bucket in its segment; how many there are */
    uint32_t mask, slot;     /* slots not yet seen; the current one */
};
void table_iter_init(struct table_iter *it, struct table *t);
void *table_iter_next(struct table_iter *it);
void table_iter_replace(struct table_iter *it, void *item);

/* Aborts if an invariant is broken (tests, debug builds). O(n). */
void table_validate(struct table *t);

#endif
