/* Memory budgets (DESIGN section 6): what the process and each database may take, and how a shard gets below that
 * again: by dropping clean values, cleaning dirty ones, or evicting keys.
 *
 * Each shard publishes its figures; every one judges by the sum of all. Functions of a shard are for who has its data.
 */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include "server/shard.h"

enum room { ROOM_YES, ROOM_SOON, ROOM_NEVER };

/* A slice of keeping this shard in its budgets; once a turn. */
void memory_maintain(struct shard *s);
/* memory_room_for beyond what the turn has been given. */
enum room memory_make_room(struct shard *s, uint32_t db, uint64_t need);
/* Whether `need` more bytes of `db` fit. SOON: room is being made, waiting helps. NEVER: no shard has anything left
 * that could go. */
static inline enum room memory_room_for(struct shard *s, uint32_t db, uint64_t need)
{
    if (likely(s->allowance >= need)) {
        s->allowance -= need;
        return ROOM_YES;
    }
    return memory_make_room(s, db, need);
}
/* The waiters for memory are tried again: whoever still misses some says so anew. */
void memory_want_nothing(struct shard *s);
/* Whether deletions that flash does not know of, or not for good, take a notable part of the memory of a database (-1:
 * of all). Checkpoints free it. */
bool memory_in_tombs(struct server *server, int db);
/* Whether anything of this shard could still be dropped or evicted, as of its last memory_maintain. */
bool memory_reclaimable(const struct shard *s);
/* Makes this shard's figures visible to the others. */
void memory_publish(struct shard *s);
/* RAM of all keyspaces of all shards, and of one database. */
uint64_t memory_data(struct server *server);
uint64_t memory_of_db(struct server *server, uint32_t db);
/* Copies of values on their way to flash. */
uint64_t memory_transit(struct server *server);
/* What all databases together may take. */
uint64_t memory_budget(const struct server *server);

#endif
