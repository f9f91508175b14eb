/* A waiter: something that could not run now and is run again from the start when what it missed has changed (DESIGN
 * section 2: admission is the only way a command waits). It stands for a client or a forwarded sub-request.
 *
 * While it waits on fetches, `missing` counts them; the shards that complete them count down, and the last one posts
 * `task` to the waiter's own shard. For everything else (memory, room in the log, a pause, a value that is being
 * written out in parts) it stands in its shard's
 * retry list and is tried again when something has moved. */
#ifndef SERVER_WAITER_H
#define SERVER_WAITER_H

#include "core/run/mailbox.h"

struct shard;

enum wait_why {
    WAIT_NOTHING,
    WAIT_FETCH,
    WAIT_MEMORY,
    WAIT_LOG,
    WAIT_PAUSE,
    WAIT_VALUE,
    WAIT_SNAPSHOT,
    WAIT_HOLD,
    WAIT_BARRIER,
    WAIT_BLOCKED
};

#define WAITER_PINS 8

struct waiter {
    struct task task;                /* posted to `shard` by whoever completes the last fetch */
    struct shard *shard;             /* where it runs again */
    void (*again)(struct waiter *w); /* on that shard */
    struct waiter *next, *prev;      /* retry list */
    _Atomic int missing;
    int error;     /* of a fetch: the command is refused with it */
    bool fetching; /* fetches are under way: whoever this is must not be freed */
    bool listed;   /* in the retry list */
    bool paused;   /* and for a pause */
    enum wait_why why;
    uint64_t fetching_since, fetch_ticks; /* since when, and how long in all since it was last released */
    /* key hashes pinned on behalf of this run: the first few in place, more in `more` */
    uint32_t pins;
    uint32_t pins_cap;
    struct waiter_pin {
        struct shard *shard;
        uint64_t hash;
    } few[WAITER_PINS], *more;
};

#endif
