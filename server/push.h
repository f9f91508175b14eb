/* Pushes: what leaves for a client and is no reply to its command – messages, invalidations, lines of MONITOR.
 *
 *   here       to a client of the shard that runs: into its outbox at once, between the replies of this turn, under
 *              their gates. To the client whose command is running: behind that command's reply, so that a push never
 *              lands inside one.
 *   elsewhere  collected by home and posted when the frame of the turn has been appended (push_post), one task a home,
 *              with the LSNs that it has to wait for (I3).
 *
 * Pushes of one shard to one client stay in order. A grant begins with delivering what the lenders have posted before,
 * so order also holds between a shard and who holds it, and a client that subscribes or unsubscribes under a hold gets
 * exactly what was published before or after.
 *
 * Of a message there is one copy, however many clients it goes to: small ones are copied into outboxes, large ones
 * referred to. A client that is gone gets nothing; one whose output is above its limit is cut at once. */
#ifndef SERVER_PUSH_H
#define SERVER_PUSH_H

#include "core/base/blob.h"
#include "server/call.h"

struct client;
struct shard;

/* One message. If its first byte is '>', a RESP2 client gets an array for it ('*'), unless it has a form of its own:
 * that only clients get that are subscribers (a redirected invalidation). */
struct push {
    struct blob *bytes;
    struct blob *resp2; /* or NULL */
};

/* For a client of a shard of any index, found by its id; both outlive it. Borrows `m` (takes references). Called while
 * a command or a task of `s` runs, by its thread; `s` need not own what it is about. */
void push_to(struct shard *s, unsigned home, uint64_t client_id, const struct push *m);
/* To a client of this very shard. */
void push_here(struct client *c, const struct push *m);
/* The same message for whom `deliver` finds on that home, which is another shard: push_here is for those of this one.
 * `hash`, `about` and the bytes [from, from + len) of m->bytes are for its use. What it sends on itself waits for the
 * LSNs that this message waits for. */
struct push_item {
    void (*deliver)(struct shard *home, const struct push_item *item);
    uint64_t hash, about;
    uint32_t from, len;
    uint8_t kind;
    uint32_t receivers; /* about how many: what it will cost */
    struct push message;
};
void push_elsewhere(struct shard *s, unsigned home, const struct push_item *item);
/* The same for any home; on this one it is delivered at once. */
void push_item_send(struct shard *s, unsigned home, const struct push_item *item);

/* --- for the turn (shard.c, hold.c, dispatch.c) --- */

struct push_queues {
    struct push_batch *out[SHARDS_MAX]; /* by home */
    uint64_t out_mask;                  /* homes with something to post */
    struct push_batch *in, **in_last;   /* received, not delivered */
    uint64_t written_lsn, durable_lsn;  /* gates of the batch that is being delivered; else 0 */
    _Atomic uint64_t backlog;           /* cost of what was posted to this shard and is not delivered */
    bool published;                     /* PUBLISH has run since something was last posted */
    bool waited_for;                    /* somebody here waits for a backlog to go down */
    const struct client *running;       /* whose command runs here */
    bool delivering;                    /* a batch is */
    bool keeping;                       /* all pushes go to `kept` until the command that runs here is over */
    struct push_kept {
        struct client *client;
        struct push message;
    } * kept; /* for later, in order: for the client whose command runs, and of scripts */
    unsigned nkept, kept_cap;
};

void push_queues_init(struct push_queues *q);
void push_queues_free(struct push_queues *q);
/* Whether some home is so far behind with what was posted to it that who makes pushes should wait. */
bool push_congested(const struct server *server);
/* Posts what was collected, under the LSNs of the shard: after shard_append. */
void push_post(struct shard *s);
/* Delivers what has been received while the data was lent. When the clients of this shard may be touched again. */
void push_deliver(struct shard *s);
/* Whether a command that goes elsewhere could overtake what was pushed here: PUBLISH is not overtaken by any, other
 * pushes not by a `strict` one. */
static inline bool push_unposted(const struct push_queues *q, bool strict)
{
    return q->out_mask != 0 && (strict || q->published);
}
/* Around a command of a client of this shard. */
void push_begin(struct shard *s, const struct client *c);
/* After any command: what was kept is delivered. */
void push_end(struct shard *s);

#endif
