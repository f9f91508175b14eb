/* What the files of the tier share; nobody else includes it. Thread: the shard's, unless said.
 *
 * Life of a batch: building -> (logged: waiting until the log is durable up to its stamp) -> writing (pool) -> done.
 * The keys of a batch are found again, when it completes, in the batch itself: its meta records carry space and key.
 * Nothing here keeps pointers to entries or keyspaces across turns: entries move and keyspaces are flushed away. */
#ifndef KELVIN_TIER_TIER_IMPL_H
#define KELVIN_TIER_TIER_IMPL_H

#include <stdatomic.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "tier/parts.h"
#include "tier/tier.h"

#define SPACES_MAX 1024
#define PIN_SLOTS 65536
#define BATCHES_LIVE 64 /* under way at once: BATCHES_MAX, and what a slice that was begun may close beyond them */
#define CLEANS_A_SLICE 512
#define PURGE_FROM (4 * MIB) /* pages of what was larger go back to the kernel at once, not when they have aged */
#define FETCH_BUCKETS 256

struct space {
    struct keyspace *ks;
    struct run *run; /* being cleaned, or NULL */
    bool logged, tiered;
    uint64_t burying; /* where in the table of tombs */
    bool barren; /* the last full try to make room found nothing to drop and nothing to clean: true as long as … */
    uint64_t barren_bytes, barren_unpins; /* … these have not changed since */
};

struct batch {
    struct pool_job job;
    struct task done;
    struct tier *tier;
    struct batch *next;
    struct store_batch ops;    /* meta records, by hash; once closed, everything */
    struct store_batch values; /* value records, by hash: a run of one kind is what a memtable takes cheaply */
    uint64_t stamp;            /* 0: needs no log */
    uint64_t seq;              /* order in which batches were closed */
    uint64_t bytes;            /* handed over when it was closed */
    struct buf large_key;
    struct parts large; /* a value that the pool compresses and puts into `ops` */
    int result;
};

/* The value that is being encoded in parts. */
struct encoding {
    bool active;
    struct space_id space;
    struct buf name;
    uint64_t hash;
    uint64_t cursor;
    uint64_t ram_bytes;
    struct parts payload;
};

struct tier {
    struct tier_config cfg;
    struct rng rng;
    struct space spaces[SPACES_MAX];
    unsigned nspaces;
    uint16_t pins[PIN_SLOTS];
    uint64_t unpins;                      /* how often a pin was taken away */
    struct fetch *fetches[FETCH_BUCKETS]; /* by ticket */
    unsigned fetching, sorting;
    struct batch *building; /* not full yet; closed at the end of the slice */
    struct {
        struct batch *first, *last;
    } waiting;                   /* for the log */
    unsigned batches;            /* waiting or writing */
    uint64_t seq;                /* of the batch closed last */
    uint64_t past;               /* batches up to this one were about keyspaces that are gone */
    uint64_t live[BATCHES_LIVE]; /* seqs of those batches */
    uint64_t in_flight;          /* bytes in them */
    uint64_t batches_done;
    _Atomic uint64_t transit; /* in_flight, and what has been encoded of a large value */
    _Atomic uint64_t pending; /* bytes of values in those batches */
    struct queue absents;     /* words of struct absent */
    struct buf scratch, payload, encoded;
    struct encoding encoding;
    uint64_t uncounted; /* payload bytes that the trainer has not been told of */
    uint64_t unsampled; /* payloads to pass over before the next sample */
    struct {
        _Atomic uint64_t fetches, joined, fetch_errors, drops, dropped_probation, cleaned, clean_batches, clean_bytes,
            clean_errors, batches_waiting, fetches_waiting, value_bytes_in, value_bytes_out, with_dictionary;
    } stats;
};

static inline void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* --- tier.c --- */

struct space *tier_space(struct tier *t, const struct keyspace *ks); /* of an attached keyspace */
struct space *tier_space_by_id(struct tier *t, struct space_id id);  /* or NULL */
void tier_tell_moved(const struct tier *t, const struct keyspace *ks, struct key key, bool dropped);

static inline bool tier_pinned(const struct tier *t, uint64_t hash) { return t->pins[hash % PIN_SLOTS] > 0; }

/* --- batch.c --- */

/* The batch that is being built. */
struct batch *batch_open(struct tier *t);

/* Hands it over, if there is one. */
void batch_close(struct tier *t);

void tier_publish_transit(struct tier *t);

/* --- clean.c --- */

/* Puts the records of a dirty entry or tomb that nobody is writing into the open batch. */
void clean_one(struct tier *t, struct space *s, struct entry *e, uint64_t hash, uint64_t stamp);

/* Removes the records of a key, in `b`. */
void clean_delete_records(struct tier *t, struct batch *b, const struct keyspace *ks, struct key key);

struct record_meta clean_meta(const struct space *s, const struct entry *e, uint64_t stamp);
void clean_put_meta(struct tier *t, struct batch *b, const struct keyspace *ks, struct key key,
                    const struct record_meta *meta);

/* --- large.c --- */

/* Whether the value is one to encode in parts. */
bool large_value(const struct entry *e);

/* Begins with it; false if another is under way. */
bool large_begin(struct tier *t, const struct keyspace *ks, struct entry *e, uint64_t hash);

/* --- run.c --- */

void run_drop(struct space *s);

/* The encoding of a large value of this keyspace has ended. `cleaned`: its entry, or NULL: it was given up. */
void run_encoded(struct space *s, uint64_t hash, struct entry *cleaned);

#endif
