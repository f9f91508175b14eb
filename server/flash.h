/* The flash budget: tier-max-bytes (DESIGN section 6, Budgets).
 *
 * What is on disk, and in the store's memory, is looked at once a second, by the pool. Deleted keys give nothing back
 * at once: their records go when a checkpoint has written the deletions and a compaction has passed over them. So
 * between looks we go by an estimate,
 *
 *     live = bytes in files or buffered by the store, at the last look
 *          + bytes written since - bytes of keys deleted since the last round began,
 *
 * where files that a compaction has replaced, and that are only to be deleted still, do not count: after a compaction
 * of everything they would pass for twice the data.
 *
 * and a *round* turns deletions and what was overwritten into free space:
 *
 *              an eighth below the limit, and a sixteenth            the checkpoint is done              compacted
 *      quiet  --------------------------------------------> checkpoint ----------------> compaction ------------> quiet
 *              of it was deleted or has been added since
 *
 * The compaction has a thread of its own: it may take long, and the pool must go on reading and writing.
 *
 * Flash is full when live exceeds the limit. Then noeviction refuses what takes memory; with other policies shards
 * evict keys that are on flash, coldest of samples first, in slices, until live is an eighth below the limit. Writes go
 * on meanwhile, and wait when the shards cannot keep up (live an eighth above the limit) or the rounds cannot (half as
 * much again as the limit is on disk: then either flash is full, or so much was deleted that a round is due). If no
 * shard finds a victim they wait while a round is under way or due – garbage may be all that is in the way – and are
 * refused when it has not helped. A compaction takes space for the files it rewrites, so for a moment there may
 * be more: a piece of 64 MiB, and up to half of the blobs. */
#ifndef SERVER_FLASH_H
#define SERVER_FLASH_H

#include "server/server.h"

struct flash;
struct flash *flash_new(struct server *server);
/* Ends a compaction that runs. After the pool has been freed, before the store is closed. */
void flash_free(struct flash *f);
/* On shard 0, once a cron. */
void flash_cron(struct server *server);
/* A slice of this shard's evictions, once a turn, with nothing staged. True: there is more to do now. */
bool flash_slice(struct shard *s);
/* Makes what was deleted from `ks` count. Once a turn. */
void flash_count(struct shard *s, struct keyspace *ks);

enum flash_room { FLASH_ROOM_YES, FLASH_ROOM_SOON, FLASH_ROOM_NEVER };
/* Whether a write that takes memory may go on in `db`. */
enum flash_room flash_room(struct shard *s, uint32_t db);

struct flash_info {
    uint64_t bytes, live; /* at the last look; 0 without a limit */
    uint64_t rounds;
    bool full, evicting, compacting;
};
/* RAM that the store took at the last look. NULL: none. */
uint64_t flash_store_memory(const struct flash *f);
void flash_info(const struct flash *f, struct flash_info *out);

#endif
