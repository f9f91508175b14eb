/* Blocking commands: calls that found nothing and wait until one of their keys may have what they want (DESIGN section
 * 2, "Blocking").
 *
 * Such a call has changed nothing, and its request stays unconsumed. It is *registered*: it stands in a queue at the
 * owner of each of its keys. A change of a key somebody waits for makes the key *ready*; ready keys are served right
 * after the command, or the whole EXEC, that made them so, in that order: each waiter of the key, oldest first, runs
 * again from the start, admission included, until it is answered or blocks again; it keeps its places meanwhile. While
 * it waits for something (a cold value, a hold, a pause) its key does too: no younger waiter gets ahead of it.
 *
 *     registered --ready--> tried --answered--> gone
 *         ^------blocks again--'
 *     registered or tried --time is up, CLIENT UNBLOCK, peer gone--> answered or dropped, gone
 *
 * A waiter runs where its shard is: a client at home, a forwarded request on its target. The owner of a key that
 * belongs to another shard only posts `ready` there; whoever runs a call with such keys holds them all, so queues are
 * touched by their owners, or by holders, alone. */
#ifndef SERVER_BLOCK_H
#define SERVER_BLOCK_H

#include "server/call.h"
#include "server/waiter.h"

struct blocked_key;
struct btree;
struct table;

/* A shard's part. *Data*. */
struct blocking {
    unsigned nkeys;                         /* keys of this shard that somebody waits for */
    struct table *keys;                     /* struct blocked_key by (database, key); NULL: there never were any */
    struct blocked_key *ready, **ready_end; /* in the order in which they became ready */
    struct blocked_key *served;             /* its waiters are being run */
    struct blocked *ended;                  /* who waits here and got an outcome from a holder */
    struct btree *deadlines;                /* of who waits here, in their order */
    uint64_t next_deadline_us;              /* UINT64_MAX: none */
    bool serving;
    struct block_counts {
        _Atomic uint64_t clients, timeouts, keys, nokey_keys;
    } counts; /* for INFO: written by who has the data, relaxed, read by anyone */
};

enum block_outcome { BLOCK_WAITS, BLOCK_TIMEOUT, BLOCK_UNBLOCKED, BLOCK_GONE };

/* Its place in the queue of one key. */
struct block_link {
    struct blocked *b;
    struct blocked_key *key;
    struct block_link *next, *prev; /* the key's queue */
    uint64_t tried;                 /* in which round of the key it ran last */
    int arg;
};

/* One call that waits. Owned by the thread of `shard`; the links are the owners' data. */
struct blocked {
    struct blocked *ended_next;
    struct waiter *waiter;
    struct shard *shard;
    void (*again)(struct waiter *w); /* runs it again from the start, at once */
    uint64_t owners;                 /* mask of its keys' shards */
    uint64_t deadline_us;            /* 0: never */
    uint8_t outcome;                 /* of enum block_outcome: what it gets when it runs next */
    uint8_t type;                    /* of values it can use */
    bool nokey;                      /* it is to run whatever its key is now */
    bool trying;                     /* on its way from `again` to being answered or blocking again */
    bool dead;                       /* freed when `ready` arrives */
    _Atomic bool posted;             /* `ready` is on its way from an owner */
    struct task ready;
    void *notes;
    size_t notes_len;
    int n; /* links; those without a key are not used */
    struct block_link links[];
};

void blocking_init(struct blocking *bl);
void blocking_free(struct blocking *bl);

/* After a run of `c` that blocks: registers it in *at, or, if it was, lets its keys go on. All their owners are this
 * shard or held. */
void block_wait(struct call *c, struct blocked **at, struct waiter *w, void (*again)(struct waiter *w));
/* It is answered, or nobody wants the answer: *at becomes NULL. All owners of its keys are this shard or held. */
void block_done(struct blocked **at);
/* Whether an outcome has been set: then it is replied and the call is done. */
bool block_ended(struct call *c, struct blocked **at);
/* Whether block_done needs no hold. */
bool block_is_local(const struct blocked *b);
/* Sets the outcome and runs it again as soon as nothing is on its way to it. On its shard. */
void block_end(struct blocked *b, enum block_outcome outcome);
/* The same for a holder of its shard, which does it when it has its data back. False if it has one already. */
bool block_end_held(struct blocked *b, enum block_outcome outcome);

/* A key was changed, created or deleted. Call it if the owner's `nkeys` is not 0. */
void block_touch(struct shard *owner, uint32_t db, struct key key);
/* A database has become another one. */
void block_touch_db(struct shard *owner, uint32_t db);

static inline bool block_pending(const struct blocking *bl) { return bl->ready != NULL || bl->ended != NULL; }
/* Serves what is ready; between two commands, with the shard's data. Does nothing inside itself. */
void block_serve(struct shard *s);
/* Whether something is ready on a held shard: nothing else may run before it is served. */
bool block_pending_held(const struct server *server);
/* Ends those whose time is up. */
void block_expire(struct shard *s);

#endif
