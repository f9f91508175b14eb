/* Dispatch: from bytes of many clients to commands that ran.
 *
 *   wave       requests of all ready clients are parsed ahead, hashed once, and the table's lines are prefetched in two
 *              steps, then the values, in big ones what the command looks for (command.prefetch), before the first one
 *              runs: memory latency overlaps (DESIGN section 9)
 *   route      inline, forward (forward.c) or hold (hold.c)
 *   admission  admit.c: run now, wait, or an error
 *   run        the command, to its end
 *
 * A request that has to wait leaves its bytes in the client's input: it is parsed and run again from the start. */
#ifndef SERVER_DISPATCH_H
#define SERVER_DISPATCH_H

#include "server/call.h"
#include "server/client.h"
#include "server/pubsub.h"
#include "server/shard.h"

#define WAVE_MAX 64
#define WAVE_ARGS 1024

struct request {
    struct client *client;
    const struct command *cmd;    /* NULL: unknown */
    const struct command *parent; /* known command, unknown subcommand */
    struct slice *argv;
    int argc;
    int first_key; /* 0: none */
    uint64_t hash; /* of the first key */
    size_t consumed;
    bool own_argv;     /* argv was allocated for this request alone */
    const char *error; /* protocol error: reply it and close */
};

struct wave {
    unsigned n, max; /* requests, and how many there may be */
    unsigned at;     /* the request that runs */
    size_t nargs;
    struct sub *subs;           /* being filled, posted at the end of the wave */
    struct buf nowhere;         /* replies that nobody gets (CLIENT REPLY OFF) */
    const struct command *last; /* found last, under exactly this name */
    uint8_t last_name[16];
    size_t last_len;
    struct request req[WAVE_MAX];
    struct slice args[WAVE_ARGS];
};

/* One for up to `max` requests. */
struct wave *wave_new(unsigned max);
void wave_free(struct wave *w); /* NULL is allowed */

/* Runs all ready clients, in waves. */
void dispatch_ready(struct shard *s);
/* Runs the waiting commands of this home under the hold it was granted. */
void dispatch_held(struct shard *home);
/* Runs the first request of a parked client again, at once: it may be in the middle of a wave, between two requests. */
void dispatch_again(struct client *c);
/* A client is gone: its command does not wait any longer. The same under a hold of this home. */
void dispatch_gone(struct client *c);
void dispatch_gone_held(struct shard *home, struct client *c);

/* The requests that have come in the middle of a script: they run if they may, else get -BUSY. `lender`: the shard has
 * lent its data to the one that runs it, so what needs no data may run. */
void dispatch_busy(struct shard *s, bool lender);
/* What of the shard's wave has not begun is given back to its clients. */
void wave_cut(struct shard *s);

enum ran { RAN_DONE, RAN_PARKED };

/* One request of a wave. `held`: under the hold that its client has asked for. RAN_PARKED: it waits, its bytes stay. */
enum ran request_run(struct shard *s, struct request *r, bool held);
/* One that has come in the middle of a script, see dispatch_busy. It never waits. */
void request_run_busy(struct request *r, bool lender);

/* Fills a call for a request of this session. */
void call_init(struct call *c, struct shard *s, const struct request *r);
/* The shard whose thread this is. Inside EXEC and scripts a call may be for another one, which is held. */
static inline struct shard *call_runner(const struct call *c) { return c->client != NULL ? c->client->home : c->shard; }
/* Runs an admitted call: effects are grouped, statistics kept. Afterwards call->always tells whether what it gives out
 * depends on an `always` database. */
void call_run(struct call *c);
/* Replies the error of a request that cannot run at all (unknown, arity, not authenticated ...); true if it did. */
bool call_refused(struct call *c, const struct request *r, bool authenticated);
/* Which shards the request needs, as a mask; 0: any, as for one whose keys make no sense. */
uint64_t request_owners(struct server *server, const struct command *cmd, const struct slice *argv, int argc);

/* The shard that owns a key: this one, or a held one. */
struct shard *call_owner(const struct call *c, struct slice key);

/* --- admission (admit.c) --- */

enum admit { ADMIT_RUN, ADMIT_WAIT, ADMIT_REFUSED };
/* Whether the call may run now. WAIT: `w` will be called again. REFUSED: the error has been replied. The shards of all
 * its keys are this one or held. */
enum admit admit(struct call *c, struct waiter *w);
/* Its parts, for transactions: log and memory for one write (*total: bytes of those before it, to which its own are
 * added: all go into one frame); values for several calls at once (errors go to the first).
 */
enum admit admit_pause(struct call *c, struct waiter *w);
enum admit admit_write(struct call *c, struct waiter *w, size_t *total);
enum admit admit_values(struct call *calls, int n, struct waiter *w);
/* Whether values of any database are cold where the call may look: else admit_values has nothing to wait for. */
bool admit_any_cold(const struct call *c);
/* For a command inside a script (script/nested.c). As long as nothing has been changed the script can wait and run
 * again from the start; afterwards what is missing is read on the spot, and memory may be overdrawn a little. */
struct nested_admission {
    struct waiter *waiter; /* NULL: it cannot wait */
    bool wrote;            /* as in Redis: once it has written, a full memory is no reason to stop */
    bool allow_oom;
    uint64_t *overdrawn; /* bytes taken beyond the budget so far */
};
enum admit admit_nested(struct call *c, const struct nested_admission *n);
/* Whether a write of this call would be refused for want of memory now. */
bool memory_refuses(struct call *c);
/* Ends what admission pinned for this waiter. */
void admit_release(struct waiter *w);

/* --- forwarding (forward.c) --- */

/* Hands the request to the shard that owns its keys. False: an earlier group of this client is still there (park). */
bool forward(struct shard *s, struct request *r, struct shard *target);
void forward_post(struct shard *s);
/* Sends back finished sub-requests, after the turn's frame has been appended. */
void forward_answer(struct shard *s);
/* The peer of a client whose blocking command was forwarded is gone: if it waits, now or later, it gives up. */
void forward_gone(struct client *c);
/* Whether such a command waits; and the same as its record, for a holder of all shards. */
struct blocked *client_blocked(const struct client *c);

/* --- transactions (tx.c) --- */

bool tx_queueing(const struct client *c);
int tx_length(const struct client *c); /* queued commands, -1: no MULTI */
int tx_watching(const struct client *c);
size_t tx_bytes(const struct client *c); /* of the queue */
/* Queues the request (a copy) and replies QUEUED, or replies the error and dooms the transaction. */
void tx_queue(struct call *c, const struct request *r, bool refused);
/* The shards an EXEC needs. */
uint64_t tx_owners(struct client *c);
/* Admission of everything that is queued. */
enum admit tx_admit(struct call *c, struct waiter *w);
void tx_discard(struct client *c);
/* EXEC cannot even run: EXECABORT with the reason, and the transaction is gone. */
void tx_abort(struct call *c, const char *why);
/* A key was changed: its watchers will see another version. Called by place.c when the owner has watches. */
void watch_touch(struct shard *owner, uint32_t db, struct key key);
/* Every watched key of `db` that exists in it or, not being due, in `other` (FLUSHDB: the same; SWAPDB: the other one).
 */
void watch_touch_db(struct shard *owner, uint32_t db, uint32_t other, int64_t now_ms);

#endif
