/* Holds: how a command runs on the data of several shards (DESIGN section 2).
 *
 * A home that needs one asks. When no hold is on, the union of what all waiting homes want is asked for: each of those
 * shards flushes what it staged, sends what is finished, and *lends its data* at the end of its turn. The last one to
 * lend grants: each waiting home in turn runs all its waiting commands with ordinary single-threaded code, appends one
 * frame and passes on; the last home gives everything back. Between two holds every shard runs a full turn, because
 * lending is done only at the end of one.
 *
 * A lender's thread waits for control tasks alone until its data is returned (shard.c): so the holder may also look at
 * its clients. Only while some script runs for long, and no home is at work but that script's, lenders serve their
 * loop: requests get -BUSY, or run if they need no data. A home begins, and goes on behind its script, when they have
 * stopped. */
#ifndef SERVER_HOLD_H
#define SERVER_HOLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/run/mailbox.h"
#include "server/call.h"

struct holds {
    pthread_mutex_t lock;                            /* held for a few instructions; never across anything that waits */
    uint64_t wanted[SHARDS_MAX];                     /* by home: what it waits for; 0: nothing */
    uint64_t held;                                   /* the union now lent or being lent; 0: no hold */
    uint64_t homes;                                  /* homes still to be served in this hold */
    _Atomic unsigned to_lend;                        /* shards that have not lent yet */
    _Atomic unsigned long_scripts;                   /* run just now, on any shard */
    _Atomic bool quiet;                              /* a home is at work: lenders do not serve */
    bool closed;                                     /* no new hold begins */
    struct task lend[SHARDS_MAX], grant[SHARDS_MAX]; /* by shard; each is posted at most once a hold */
};

void holds_init(struct holds *h);
/* `home` wants these shards (bit mask, includes its own); its waiting commands run in dispatch_held when granted.
 */
void hold_ask(struct server *server, struct shard *home, uint64_t mask);
/* From now on no hold begins; whoever asks waits for ever. True once none is on: then shards may end (one that has lent
 * its data never would). Any thread; call again until true. */
bool holds_close(struct holds *h);
/* End of a turn: lends if asked to. */
void hold_lend(struct shard *s);
/* A script runs for long (`held`: under the hold), and has ended. */
void hold_long_script(struct server *server, bool held);
void hold_long_script_ended(struct server *server, bool held);
/* Whether a lender may serve its loop now. */
bool hold_lender_serves(const struct server *server);
/* The home is done with this grant. */
void hold_done(struct shard *home);

#endif
