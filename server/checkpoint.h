/* The fuzzy checkpoint (DESIGN section 7), which replaces AOF rewriting: it costs what changed, not what exists.
 *
 * - mark: under a hold of all shards: L0 = the log's end, the map and modes as of L0, and for each keyspace the end of
 *   its dirty queue;
 * - clean: each shard, a slice a turn, writes out its dirty keys up to the marks, and waits for those writes;
 * - record: a tier pool thread writes the libraries of functions as of L0 if they have changed, flushes the store, then
 *   writes the manifest, then removes dead spaces;
 * - forget: each shard removes the records of deletions that the checkpoint has passed.
 *
 * The hold is a command of the server's own (an internal client would be too much): see checkpoint_mark. */
#ifndef SERVER_CHECKPOINT_H
#define SERVER_CHECKPOINT_H

#include "server/server.h"

struct checkpoint;
struct checkpoint *checkpoint_new(struct server *server);
void checkpoint_free(struct checkpoint *cp);
/* Asks for one; it starts at the next chance (one at a time). Shard 0's thread or under a hold of all. */
void checkpoint_ask(struct checkpoint *cp);
bool checkpoint_running(const struct checkpoint *cp);
/* From now on none begins. True once none is running. Any thread; call again until true. */
bool checkpoint_close(struct checkpoint *cp);
/* The data that is being written out is being replaced: one that is under way does not complete. Under a hold of all,
 * with nothing in the pool. */
void checkpoint_spoil(struct checkpoint *cp);
/* Bytes of log since the last one that start the next. Any thread. */
uint64_t checkpoint_due_at(const struct server *server);
/* Starts one if it was asked for or the log has grown enough. Shard 0, once a cron. */
void checkpoint_cron(struct server *server);
/* Under a hold of all shards (or with one shard, between commands): takes the mark. */
void checkpoint_mark(struct server *server);
/* A slice of this shard's part. Once a turn, with nothing staged. True if it could go on at once. */
bool checkpoint_slice(struct shard *s);

/* The map and modes as they are now (under a hold, or before start). */
void checkpoint_encode_state(struct server *server, struct buf *out);
/* Removes a space's records from the store. Blocks. */
int checkpoint_remove_space(struct server *server, struct space_id id) must_check;

struct checkpoint_info {
    bool running, asked;
    uint64_t completed, failed, l0;
    uint64_t last_us, started_us;
    int last_error;
};
void checkpoint_info(const struct checkpoint *cp, struct checkpoint_info *out);

#endif
