/* A snapshot of all databases at one instant, without fork (DESIGN section 5, I6). One at a time.
 *
 *   snapshot_begin   under a hold of all shards: a cut (core/keyspace/cut.h) of every keyspace, and a snapshot of the
 *                    store. From here on it costs a writer of a key that has not been handed over that hand-over
 *   snapshot_slice   each shard walks its keyspaces, a slice a turn, in the order of their tables, which is flash's
 *   snapshot_take    one consumer, a thread of its own, gets what is handed over, in chunks
 *
 * What was dirty at the cut is encoded from RAM by the shard, a large value in parts: writers of it wait in admission
 * until that is done (and it is done next); a change that does not wait – inside a hold, expiry, eviction – encodes it
 * in one go. Of what was on flash then the shard gives the key alone, and the pool reads the values of a chunk from the
 * store's snapshot, in flash's order and some chunks ahead of the consumer; but a small value that is in RAM is
 * encoded, which takes the shard less than handing over its key would save. A large value that has just been written
 * to flash is read from there, as of that moment.
 *
 * Memory: what is handed over and not yet consumed, the values on flash included, is bounded. When that much waits, the
 * walks pause, and writers of keys that are still to be handed over wait in admission, and values are not cleaned;
 * inside a hold nothing waits, and the bound is overshot. A keyspace that is flushed away stays until its walk has
 * ended. */
#ifndef SERVER_SNAPSHOT_H
#define SERVER_SNAPSHOT_H

#include "persist/rdb_file.h"
#include "server/server.h"

struct snapshot;
struct snapshot *snapshot_new(struct server *server);
/* No walk may be under way, and no consumer. */
void snapshot_free(struct snapshot *sn);

/* Whether one is under way. Any thread; true may turn false, by shard 0 or under a hold false may turn true. */
bool snapshot_busy(const struct snapshot *sn);
/* Takes the cut. Under a hold of all (or by the main thread, or with one shard between commands), with nothing staged.
 * None is under way. A consumer has to follow. */
void snapshot_begin(struct snapshot *sn);
/* A slice of this shard's part, once a turn. True if it could go on at once. */
bool snapshot_slice(struct shard *s);
/* Walks all parts to their end; waits for the consumer. By who holds all shards. */
void snapshot_walk_all(struct snapshot *sn);
/* Whether a writer of this entry has to wait: it is large and still to be handed over, or any such has to. */
bool snapshot_makes_wait(struct shard *s, const struct keyspace *ks, const struct entry *e);
/* Takes over a keyspace that is being flushed away. False: no snapshot needs it. */
bool snapshot_keep(struct shard *s, struct keyspace *ks);
/* Whether so much waits for the consumer that what can wait should. */
bool snapshot_crowded(const struct snapshot *sn);
/* Whether this shard should put off what would hand over more. */
static inline bool snapshot_holds_back(const struct shard *s)
{
    return unlikely(s->cut_part != NULL) && snapshot_crowded(s->server->snapshot);
}
/* Nobody wants it any more: what is still to be handed over is not, and the consumer gets nothing more. Any thread. */
void snapshot_abandon(struct snapshot *sn);
/* No walk goes on: keyspaces that were kept are freed. After the shards have ended. */
void snapshot_end_walks(struct snapshot *sn);

/* --- the consumer --- */

/* False: it was abandoned, and the consumer need not go on. Any thread. */
bool snapshot_wanted(const struct snapshot *sn);

struct snapshot_chunk;
/* Waits for the next one; NULL: that was all, or it was abandoned. Given back with snapshot_give_back. */
struct snapshot_chunk *snapshot_take(struct snapshot *sn);
/* The next key of a chunk: 1; 0: no more; or a negative errno, if the store fails. *e borrows until the next call. */
int snapshot_next(struct snapshot *sn, struct snapshot_chunk *chunk, struct rdb_entry *e) must_check;
void snapshot_give_back(struct snapshot *sn, struct snapshot_chunk *chunk);
/* The consumer is done. Whether all was handed over, and nothing abandoned. */
bool snapshot_finish(struct snapshot *sn);

struct snapshot_about {
    uint64_t lsn;
    int64_t wall_ms; /* of the cut */
    uint64_t keys;   /* in all databases */
    uint64_t taken;  /* by the consumer so far */
};
void snapshot_about(const struct snapshot *sn, struct snapshot_about *out);
/* Keys of a database at the cut, and how many of them expire. Since the cut immutable. */
void snapshot_sizes(const struct snapshot *sn, uint32_t db, uint64_t *keys, uint64_t *expires);

#endif
