/* The encoding of a large value as it grows: pieces, which are put together, or freed, by the pool. One buffer that
 * grows would be copied whole now and then by the shard, which must not take that long.
 *
 * Owned by one thread at a time. */
#ifndef TIER_PARTS_H
#define TIER_PARTS_H

#include "core/base/buf.h"
#include "tier/pool.h"

/* Zero-initialised is empty and valid. */
struct parts {
    struct buf *at;
    size_t n, cap;
    size_t bytes;
};
/* Takes ownership of the piece, which becomes empty. */
void parts_add(struct parts *p, struct buf *piece);
/* Appends everything to `out`. Each piece is freed as soon as it has been copied: one copy is in memory, not two. */
void parts_join(struct parts *p, struct buf *out);
void parts_free(struct parts *p);
/* Frees them on a thread of the pool. */
void parts_discard(struct parts *p, struct pool *pool);

#endif
