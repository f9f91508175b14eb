/* Replay: applies the log's effects at start, all shards in parallel (DESIGN section 7).
 *
 * The caller's thread reads frames and deals their effects out to one worker thread a shard, in chunks; each worker
 * applies its own in order. Effects touch one key each, so the order between shards does not matter; an effect without
 * a key (FLUSHDB, SWAPDB, FUNCTION LOAD) is a *barrier*: everything before it is applied, then it runs on the caller's
 * thread. With one shard reading, checking and parsing still overlap with applying.
 *
 * An effect is skipped if flash holds its key with a stamp above it. A worker keeps its shard in the memory budget
 * (I11): all it has applied is durable, so it may go to flash at once.
 *
 * Owned by the thread that made it. The shards' own threads must not run, or have lent their data. */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include "core/keyspace/keyspace.h"
#include "persist/effects.h"
#include "persist/state.h"

struct replay;
struct server;

/* `state`: which databases are logged, by number; borrowed. Effects of others are passed over. `serving`: other threads
 * own the shards' mailboxes, so completions of flash writes are not waited for, and memory may exceed the budget. */
struct replay *replay_new(struct server *server, const struct state *state, bool serving);
/* Ends the workers; what is queued is applied first unless an error stands. */
void replay_free(struct replay *r);
/* A key whose records on flash hold all effects below `stamp`. Before the first effect. */
void replay_stamp(struct replay *r, struct space_id space, struct key key, uint64_t stamp);
/* The functions that the server has now hold all effects below `stamp`. Before the first effect. */
void replay_functions_stamp(struct replay *r, uint64_t stamp);
/* Takes a copy of the effects of a frame. 0, or a negative errno with the reason in `error` (512 bytes): an effect,
 * this or an earlier one, could not be applied. */
int replay_frame(struct replay *r, uint64_t lsn, struct slice payload, char *error) must_check;
/* From here on it is no log that is replayed, but effects that make up an import: no position of the log is passed, all
 * databases are taken, and errors speak of the file. */
void replay_import(struct replay *r);
/* Takes a copy of one effect; one that is large is applied at once, when all before it are. The same results. */
int replay_effect(struct replay *r, const struct effect_item *e, char *error) must_check;
/* Waits until everything is applied. The same results. */
int replay_barrier(struct replay *r, char *error) must_check;

struct replay_figures {
    uint64_t effects, skipped;
};
/* After a barrier. */
void replay_figures(const struct replay *r, struct replay_figures *out);

#endif
