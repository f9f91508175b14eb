/* Between the files of a snapshot: snapshot.c walks and hands over, snapshot_queue.c takes chunks to the consumer. */
#ifndef SERVER_SNAPSHOT_IMPL_H
#define SERVER_SNAPSHOT_IMPL_H

#include "server/snapshot.h"

/* What stands before each key in a chunk: then the key, then the payload. A length of 0: it is on flash. */
struct snapshot_item {
    struct space_id space;
    struct store_snapshot *late; /* where it is on flash, if not in the snapshot of the cut; the item's */
    uint64_t hash;
    uint64_t payload_len;
    int64_t expire_ms, idle_s, freq;
    uint32_t db, name_len;
};

/* One that has values on flash is read by the pool, while the consumer is at those before it. */
struct snapshot_chunk {
    struct snapshot_chunk *next;
    struct snapshot *snapshot;
    struct pool_job job;
    enum { CHUNK_READY, CHUNK_UNREAD, CHUNK_READING } state;
    bool orphan; /* nobody wants it any more: freed when it has been read */
    struct buf bytes;
    uint64_t weight;      /* with the values on flash, about */
    size_t at;            /* where the consumer is */
    struct buf *values;   /* of the items that are on flash, in their order; … */
    size_t stored, taken; /* … how many there are, and how many of them the consumer has taken */
    int error;            /* one could not be read */
};

struct snapshot_part;

struct snapshot {
    struct server *server;
    struct snapshot_part *parts;
    struct size {
        uint64_t keys, expires;
    } * sizes; /* by database */
    uint64_t lsn;
    int64_t wall_ms;
    uint64_t keys;
    struct store_snapshot *store; /* the consumer's */
    uint64_t limit;
    _Atomic bool consuming;
    _Atomic unsigned left; /* parts that have not ended */
    _Atomic bool abandoned;
    _Atomic uint64_t queued, taken;
    pthread_mutex_t lock; /* held for a few instructions */
    pthread_cond_t more;
    struct snapshot_chunk *first, *last;
    struct snapshot_chunk *unread; /* the first one in that state */
    unsigned reading;
};
static inline bool snapshot_abandoned(const struct snapshot *sn)
{
    return atomic_load_explicit(&sn->abandoned, memory_order_relaxed);
}

/* Hands over what has been collected: its items, `stored` of which are on flash, where their values have about so many
 * bytes. Takes ownership of `bytes`, which becomes empty. By who owns a part. */
void snapshot_give(struct snapshot *sn, struct buf *bytes, size_t stored, uint64_t stored_bytes);

#endif
