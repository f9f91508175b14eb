/* A shard: one thread, one event loop, the keys of its hash slots in every database, and the clients that live on it.
 *
 * A turn: poll the loop -> take the mailbox -> run ready clients in waves (parse ahead, prefetch, run) -> expiry and
 * tier slices -> append the staged effects as one frame -> send answers -> lend the data if a hold asked for it.
 *
 * Owned by its thread; while it is lent (hold.h) everything under "data" belongs to the holder, and the shard's
 * own thread does not touch it. */
#ifndef SERVER_SHARD_H
#define SERVER_SHARD_H

#include <pthread.h>
#include <semaphore.h>

#include "core/base/rng.h"
#include "core/keyspace/keyspace.h"
#include "core/run/loop.h"
#include "core/run/mailbox.h"
#include "server/block.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/slowlog.h"
#include "server/stage.h"
#include "server/timing.h"
#include "server/waiter.h"
#include "tier/tier.h"

struct server;
struct client;
struct sub;
struct command;
struct snapshot_part;
struct latency;
struct loaded_libraries;

struct list {
    void *first, *last;
};
/* Puts `item` at the end; its member `link` is the list's pointer to the next. */
#define list_append(list, item, link)                    \
    do {                                                 \
        (item)->link = NULL;                             \
        if ((list)->last != NULL)                        \
            ((typeof(item))(list)->last)->link = (item); \
        else                                             \
            (list)->first = (item);                      \
        (list)->last = (item);                           \
    } while (0)

/* Counters that other threads add up for INFO: written by the owner only, relaxed. */
struct shard_stats {
    _Atomic uint64_t connections, rejected, expired, evicted, hits, misses, net_in, net_out, changes;
    _Atomic uint64_t expired_fields, forwarded, holds, turns, out_of_memory, errors, reads, writes;
    _Atomic uint64_t command_ticks, turn_ticks; /* of clients' commands, and of all turns, without sleep */
    _Atomic uint64_t input_cut, output_cut;     /* clients that were closed for what they sent, or did not read */
    _Atomic uint64_t expire_ticks, expire_cut;  /* slices that deleted keys: their time; how many had more to do */
    _Atomic uint64_t input_max, output_max, clients_bytes; /* of its clients, when they were last looked at */
    _Atomic uint64_t fetched_late;                         /* cold values that scripts read on the spot */
    _Atomic uint64_t evicted_scripts;
};
static inline void stat_add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

struct tracking;
struct watched; /* tx.h */
struct script_env;
struct script_told;
struct run;

/* A cold hash that is read to delete fields of it (expire_fields.c). */
struct field_fetch {
    struct tier_wait wait;
    struct shard *shard; /* NULL: not in use */
    uint64_t hash;       /* of the key */
};

struct shard {
    struct server *server;
    unsigned index;
    pthread_t thread;
    bool started;

    /* --- the thread's own --- */
    struct loop *loop;
    struct mailbox mailbox;
    struct listener *listeners[4];
    int nlisteners;
    struct client *clients; /* all that live here */
    struct table *clients_by_id;
    struct list ready;    /* clients with input to look at */
    struct list outgoing; /* clients that got replies in this turn */
    struct list gated;    /* clients whose outbox waits for the log */
    struct list closing;  /* clients to be freed at the end of the turn */
    struct {
        struct waiter *first, *last;
        unsigned paused;          /* of these: wait for the end of a pause */
        bool running;             /* retry_all is */
        _Atomic uint64_t blocked; /* `paused` for INFO, as it is between two rounds */
    } retry;
    bool retry_now;           /* something moved: go through the retry list */
    uint64_t room_seen;       /* what room_moved saw last (shard.c) */
    struct list hold_waiting; /* clients that wait for a hold */
    struct list subs_done;    /* forwarded requests to be answered when the turn's frame is appended */
    struct task *deferred_first, *deferred_last; /* data tasks that came while lent */
    _Atomic bool stop;
    _Atomic bool wants_log; /* somebody here waits for the log to move: wake the loop when it does */
    struct push_queues pushes;
    bool gave_always; /* something in this turn depended on an `always` database */
    uint64_t next_cron_us, next_http_line_us;
    uint64_t waited_durable; /* how far the log was when its waiters were last tried */
    struct wave *wave;
    struct wave *wave_again; /* of one request, which runs again outside of a wave; NULL until there was one */
    struct wave *busy_wave;  /* of the turn within a turn that a long script makes (script/busy.h) */
    struct client *runner;   /* whose script it is, while that turn goes on; not to be looked at */
    struct rbuf *runner_in;  /* what its arguments point into */
    bool busy_held;          /* it runs under a hold */
    bool busy_silent;        /* what was staged before it could not be appended: nothing leaves until its end */
    struct list ready_now;   /* clients that dispatch_ready has still to look at */
    uint64_t script_runs;
    struct run *script_run;          /* what runs here now; NULL: nothing */
    struct script_told *script_told; /* what has been running for long, under this lock: anyone may ask */
    pthread_mutex_t script_told_lock;
    _Atomic uint64_t script_word; /* the same for other threads (script/busy.h) */
    _Atomic uint64_t script_bytes[2];
    struct command_stats *commands;
    struct shard_stats stats;
    struct error_stats errors;
    uint64_t tick; /* when the next command of this thread begins (timing.h) */
    struct slowlog slowlog;
    struct client **monitors; /* those of its clients that listen to all (monitor.h) */
    unsigned nmonitors, monitors_cap;
    struct buf script_lines; /* for them: struct blob *, while a script runs */
    struct latency *latency; /* NULL: nothing was slow yet */

    /* --- lending (hold.h) --- */
    _Atomic int lent;          /* 1 while a holder owns the data */
    bool lend_asked;           /* lend at the end of this turn */
    _Atomic bool waiting_lent; /* sleeps on `returned`, not in its loop */
    _Atomic bool serving; /* lent, and serving what needs no data: the holder waits for its end before it goes on */
    sem_t returned;

    /* --- data --- */
    cache_aligned struct keyspace **spaces; /* by database number */
    struct tier *tier;
    struct stage stage;
    struct snapshot_part *cut_part; /* its part of a snapshot (snapshot.h); NULL: none is under way */
    struct rng rng;
    struct temperature *temperature; /* by database: its policy's clock */
    int64_t now_ms;                  /* wall clock of this turn */
    uint64_t now_us;                 /* monotonic clock of this turn */
    uint64_t lsn;                    /* end of the last frame that touched this shard's keys */
    _Atomic uint64_t changed;        /* keys changed ever, for save points; written by the owner */
    uint64_t always_lsn;             /* the same for frames with effects of `always` databases (I3) */
    struct script_env *scripts[2];   /* by kind (script/engine.h) */
    struct table *watches;           /* tx.h: struct watched by (database, key) */
    uint64_t watch_version;
    struct tracking *tracking; /* tracking.h; NULL: nothing is tracked */
    struct {
        _Atomic uint64_t names, numbers, prefixes;
    } tracking_figures;   /* for INFO and the limit; of any thread to be read */
    struct pubsub pubsub; /* channels and patterns that it owns, and what its clients listen to */
    struct blocking blocking;
    struct loaded_libraries *libraries; /* script/loaded.h: functions in its Lua */
    struct field_fetch field_fetches[4];
    int64_t field_fetch_after_ms; /* none before then: the last one failed */
    uint64_t flash_judged;        /* what its tier had written when the flash budget was last looked at */
    unsigned fruitless;           /* victims looked for on a full flash since the last one found (flash.c) */
    _Atomic uint64_t flash_freed; /* bytes of deleted keys that were on flash, as they were in RAM */
    _Atomic bool flash_barren;    /* nothing here can be evicted to make room on flash */
    uint64_t allowance;           /* bytes that writes may still take in this turn without a closer look */
    _Atomic uint64_t memory_seen; /* the last question of memory_asked that its published figures answer */
    uint64_t memory_question;     /* the last one asked here; 0: there was room since */
    _Atomic uint64_t wanted;      /* bytes of the process's budget that somebody on this shard waits for */
    cache_aligned _Atomic uint64_t data_bytes; /* published once a turn: RAM of all its keyspaces */
    struct db_figures {
        const struct keyspace *of; /* the keyspace and its state when they were published; the owner's */
        uint64_t changes;
        _Atomic uint64_t bytes, keys, expires, inner, cold, cold_bytes, dirty, tombs;
        _Atomic uint64_t rewriting;      /* what a checkpoint would write that is not in the log since the last one */
        _Atomic uint64_t mean_expiry_ms; /* as of the last cron */
        _Atomic bool reclaimable;        /* some value could still be dropped or evicted */
        _Atomic uint64_t wanted;         /* bytes that somebody on this shard waits for; written by the owner */
    } * figures;                         /* the same by database, and its counts */
};

/* Creates the loop and all structures; the thread is started by shard_start. 0 or negative errno. */
int shard_create(struct shard **out, struct server *server, unsigned index) must_check;
void shard_start(struct shard *s);
void shard_join(struct shard *s);
/* After all have ended: closes and frees all clients, and gives up what they had forwarded to other shards. */
void shards_end_clients(struct server *server);
void shard_free(struct shard *s);
/* After shard_join: waits for what its tier has under way. */
void shard_drain(struct shard *s);
/* The shard that owns a key. */
struct shard *shard_of(struct server *server, struct slice key);
/* Appends what is staged as one frame now (end of turn, before lending, end of a hold), and books its LSN on the shards
 * of the mask `touched`. */
void shard_append(struct shard *s, uint64_t touched);
/* Frames end between commands, and not only at the end of a turn: they are written by one system call and their length
 * has 32 bits. */
#define STAGE_MAX (64 * MIB)
/* Stages one effect and books its database. Inside a group. */
void stage_effect_in(struct shard *s, uint32_t db, int argc, const struct slice *argv);
/* The time as it is now: at the beginning of a turn, and after what took long. By the shard's thread. */
void shard_update_clock(struct shard *s);
/* Whether it may delete keys of `db` of its own accord just now (expiry, eviction): not while writes are paused, and
 * not without room in the log. */
bool shard_may_delete(const struct shard *s, uint32_t db);
/* Deletes a key of its own accord, because it is due (else it is evicted). */
void shard_delete(struct shard *s, uint32_t db, struct entry *e, bool due);
/* The clocks by which entries cool, by database and its policy. */
void shard_update_temperatures(struct shard *s);
/* Its data has been given back (`lent` is 0): wakes it. Any thread. */
void shard_returned(struct shard *s);
/* A script has been running for long: a turn within the turn begins. What this turn has staged and answered leaves,
 * what it has parsed and not begun is parsed again. `runner` (NULL: forwarded) is left alone until the end. `held`: it
 * runs under a hold. */
void shard_busy_begin(struct shard *s, struct client *runner, bool held);
/* A slice of it: the loop is polled, requests are answered with -BUSY or run if they may. */
void shard_busy_serve(struct shard *s);
void shard_busy_end(struct shard *s);
/* A task from any thread. */
void shard_post(struct shard *s, struct task *t);
/* Tries the waiter again at the next chance. */
void shard_retry_later(struct shard *s, struct waiter *w, enum wait_why why);
void shard_retry_cancel(struct shard *s, struct waiter *w);

#endif
