/* The tier of one shard: moves values between its keyspaces and the flash store (DESIGN sections 3 and 6).
 *
 *   fetcher  a cold value that is needed is read by the pool; the completion installs it if the entry's ticket still
 *            stands. Later readers join the fetch. Small waiters only; nobody blocks.
 *   cleaner  dirty values are encoded into batches, coldest first to make room, oldest first for a checkpoint. A batch
 *            of a logged database waits until the log is durable up to its stamp (I7), then the pool writes it.
 *   dropper  hot clean values, coldest first, probation first of all, become cold to keep the shard in its budget.
 *
 * A batch is encoded only while the shard has nothing staged, so its stamp is simply the end LSN of the last frame that
 * touched the shard: every effect on its keys below the stamp is in it, every one at or above is not.
 *
 * Owned by one shard (or who holds it). Completions come through the shard's mailbox. */
#ifndef TIER_TIER_H
#define TIER_TIER_H

#include "core/base/rng.h"
#include "core/keyspace/keyspace.h"
#include "core/run/mailbox.h"
#include "tier/pool.h"
#include "tier/record.h"
#include "tier/store.h"
#include "tier/trainer.h"

struct tier;

struct tier_config {
    struct store *store;
    struct pool *pool;
    struct trainer *trainer;
    enum record_compression compression;
    /* Posts a completion to the owning shard. Any thread. The task runs there as a *data* task, never while lent. */
    void (*post)(void *arg, struct task *t);
    /* The log as the tier sees it (I7). Called by the owner. */
    uint64_t (*durable)(void *arg);
    void (*want_durable)(void *arg, uint64_t lsn);
    /* A value has been dropped (its key is cold now), or read back. On the thread of whoever has the shard. NULL:
     * nobody wants to know. */
    void (*moved)(void *arg, const struct keyspace *ks, struct key key, bool dropped);
    void *arg;
    const struct value_limits
        *limits; /* of the forms that values are read into; changes only while the shard is lent */
    uint64_t seed;
    size_t batch_bytes; /* of one batch: up to some eight are in memory at once, and a copy of each in the store's hands
                         */
    size_t in_flight_bytes; /* when so many are being written no more are encoded: large values go one by one */
};
struct tier *tier_new(const struct tier_config *cfg);
/* All fetches and writes must have completed (tier_idle). */
void tier_free(struct tier *t);
bool tier_idle(const struct tier *t);

/* Keyspaces come and go (FLUSHDB, SWAPDB moves the pointer only). Completions find theirs by space id; one that is gone
 * is ignored. `logged`: batches wait for the log. `tiered`: values may be dropped. */
void tier_attach(struct tier *t, struct keyspace *ks, bool logged, bool tiered);
void tier_detach(struct tier *t, struct keyspace *ks);
/* The attached keyspace with this id, or NULL: it has been flushed away. */
struct keyspace *tier_keyspace(struct tier *t, struct space_id id);
/* A change of mode of an attached keyspace. */
void tier_set_mode(struct tier *t, struct keyspace *ks, bool logged, bool tiered);

/* --- fetching --- */

/* Called once on the shard when the fetch is over (value installed, entry changed meanwhile, or an error: then
 * `error` is negative and the entry stays cold). The waiter may look again, and will find whatever is true now. */
struct tier_wait {
    struct tier_wait *next;
    void (*fetched)(struct tier_wait *w, int error);
};
/* Starts or joins the fetch of cold entry `e`. The value enters on probation. */
void tier_fetch(struct tier *t, struct keyspace *ks, struct entry *e, struct key key, struct tier_wait *w);
/* A pinned key's value is not dropped. Counting, by hash (collisions only pin too much). */
void tier_pin(struct tier *t, uint64_t hash);
void tier_unpin(struct tier *t, uint64_t hash);
/* Reads the value on the spot and installs it if *e is cold; if *e is hot, or NULL, nothing is to be done (recovery;
 * scripts after their first write). Blocks. 0 or negative errno. */
int tier_fetch_now(struct tier *t, struct keyspace *ks, struct entry **e, struct key key) must_check;

/* --- making room --- */

/* Tries to bring keyspace_memory(ks) down by `bytes`: drops clean values (coldest of samples), starts cleaning dirty
 * ones. Does at most a slice of work (some 100 entries). `stamp` as for tier_clean. Returns bytes freed now. With
 * `tiered` off nothing is dropped. TIER_DROP_ONLY as stamp: in the middle of a turn nothing can be encoded, only
 * dropped. */
#define TIER_DROP_ONLY UINT64_MAX
uint64_t tier_reclaim(struct tier *t, struct keyspace *ks, uint64_t bytes, const struct temperature *temp,
                      uint64_t stamp);
/* Bytes on their way out: dirty values in batches that are being written and can be dropped when they are clean. */
uint64_t tier_reclaim_pending(const struct tier *t);
/* Bytes of RAM that copies of values on their way to flash take, by and by: two of each. Any thread. */
uint64_t tier_transit(const struct tier *t);
/* Moves when a batch has been written: there may be room. */
uint64_t tier_batches_done(const struct tier *t);
/* Whether ks has nothing left that could be dropped now: all is cold, or what is hot takes no more than a cold entry
 * would, or is pinned. */
bool tier_exhausted(struct tier *t, const struct keyspace *ks);
/* The coldest of some sampled entries that pass `want` (eviction of whole keys: allkeys-*, volatile-*); NULL if the
 * sample holds none. by_ttl: nearest expiry instead. */
struct entry *tier_sample_coldest(struct tier *t, struct keyspace *ks, unsigned samples, bool volatile_only,
                                  bool by_ttl, bool random, const struct temperature *temp);

/* --- cleaning --- */

/* A value that is large is not encoded at once, but in parts, one value at a time, and compressed by the pool. It must
 * not change meanwhile: admission makes writers wait (tier_encoding_key); what changes it nevertheless ends the
 * encoding, and it is cleaned another time. */
bool tier_encoding(const struct tier *t); /* one is under way */
bool tier_encoding_key(const struct tier *t, const struct keyspace *ks, uint64_t hash);
/* Encodes the next part, once a turn, with nothing staged; `stamp` as for tier_clean. True: there is more to do. */
bool tier_encode_part(struct tier *t, uint64_t stamp);
/* Writes out the dirty keys of ks that were queued before position `until` of its dirty queue, at most `max_keys` in
 * this call: up to a million of them at once are taken, sorted by hash (by the pool) and written in the order of flash.
 * The shard must have nothing staged; `stamp` is its last frame's end LSN. Returns how many were taken; *done is set
 * when none is left. Their writes have completed when tier_passed(t, tier_barrier(t) of that moment) says so. */
unsigned tier_clean(struct tier *t, struct keyspace *ks, uint64_t until, uint64_t stamp, unsigned max_keys, bool *done);
uint64_t tier_barrier(const struct tier *t);
bool tier_passed(const struct tier *t, uint64_t barrier);
bool tier_waits_for_log(const struct tier *t);
/* All keyspaces are about to be replaced by others with the same ids, and the pool has nothing of this shard any more:
 * completions that are still to come say nothing about the new entries. */
void tier_ignore_past(struct tier *t);
/* The log has become durable up to `durable`: batches that waited for it go to the pool. Call when it moved. */
void tier_log_progress(struct tier *t, uint64_t durable);
/* Removes the records of an unlogged keyspace's deleted keys, a slice of them: no checkpoint does. */
void tier_bury(struct tier *t, struct keyspace *ks);
/* A checkpoint at l0 has completed: tombs recorded with a stamp at or below it are removed from flash, in slices;
 * returns true when there is nothing left to do. */
bool tier_forget(struct tier *t, uint64_t l0);
/* Whether more may be encoded now; if not, a completion will wake the shard. */
bool tier_can_write(const struct tier *t);

struct tier_stats {
    uint64_t fetches, fetch_hits_joined, fetch_errors;
    uint64_t drops, cleaned, clean_batches, clean_bytes, clean_errors, batches_waiting, fetches_waiting;
    uint64_t dropped_probation;
    uint64_t value_bytes_in, value_bytes_out; /* payloads encoded, and the records they became */
    uint64_t values_with_dictionary;
};
/* Any thread (relaxed). */
void tier_stats(const struct tier *t, struct tier_stats *out);

#endif
