/* An extendible hash table of cache-line buckets (Fagin et al. 1979, segments and fingerprints as in Dash, Lu et al.
 * 2020): growing by splitting one small segment at a time, so there is no rehash of the whole and no pause.
 *
 * It holds pointers to items it does not own; the hash of an item is found through a callback (used when a segment
 * splits and by the scan). Placement is in hash order: segment and bucket are taken from the TOP bits of the hash, so
 * "hash order" is also storage order, a split only refines it, and a scan cursor is simply a hash value.
 *
 * Owned by one thread at a time (a shard, or who holds it). Steady cost: look-up one or two cache lines. */
#ifndef DS_TABLE_H
#define DS_TABLE_H

#include "core/base/base.h"

struct table;

struct table_type {
    uint64_t (*hash)(const void *item, void *arg);
    void *arg; /* handed to hash (a seed) */
};

/* Caller frees with table_free (items are not touched). */
struct table *table_new(const struct table_type *type);
void table_free(struct table *t);
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
    void *seg;
};
void *table_first(struct table *t, uint64_t hash, struct table_probe *p);
void *table_next(struct table_probe *p);

/* The item must not be in the table. Cost: amortised O(1); at most one segment (a few KiB) is split. */
void table_insert(struct table *t, uint64_t hash, void *item);
/* Overwrites / removes the probe's current candidate. Segments that become empty may be merged later, never here. */
void table_replace_at(struct table_probe *p, void *item);
void table_erase_at(struct table_probe *p);
/* The slot that holds exactly this pointer is overwritten; it must be there. */
void table_replace(struct table *t, uint64_t hash, const void *old, void *item);
void table_erase(struct table *t, uint64_t hash, const void *item);

/* Prefetching in steps, for many keys at once: step 0 touches the directory and asks for the bucket line; step 1
 * (when the line has arrived) asks for the items whose fingerprints match. Neither changes anything. */
void table_prefetch_bucket(const struct table *t, uint64_t hash);
void table_prefetch_item(const struct table *t, uint64_t hash);

/* Visits all items of the bucket group at `cursor` (a hash value; start with 0) and returns the cursor of the next
 * group, 0 when the end is reached. An item that is in the table during the whole scan is visited at least once, and,
 * as splits only refine the order, exactly once. Inserting and erasing inside `visit` is not allowed. */
uint64_t table_scan(struct table *t, uint64_t cursor, void (*visit)(void *arg, void *item), void *arg);
/* Up to `want` items from random neighbouring places, for sampling (eviction, RANDOMKEY); `random` picks the place.
 * 0 only if the table is empty. Cost: O(want) while the table is not nearly empty, bounded in any case. */
size_t table_sample(struct table *t, uint64_t random, void **out, size_t want);

/* Aborts if an invariant is broken (tests, debug builds). O(n). */
void table_validate(struct table *t);

#endif
