/* Inside of tracking: a shard's data, its prefixes (tracking_prefix.c), and how invalidations find their clients
 * (tracking_send.c). */
#ifndef SERVER_TRACKING_SHARD_H
#define SERVER_TRACKING_SHARD_H

#include <assert.h>

#include "server/client.h"
#include "server/push.h"
#include "server/shard.h"
#include "server/tracking.h"

/* Clients are known by number: id and shard in one. */
static_assert(SHARDS_MAX == 64, "a shard's index has six bits");
static inline uint64_t number_of(const struct client *c) { return c->id << 6 | c->home->index; }
static inline uint64_t number_id(uint64_t number) { return number >> 6; }
static inline unsigned number_home(uint64_t number) { return number & 63; }

struct listener_of {
    uint64_t number;
    uint32_t registration; /* which of the client's: what leaves late takes only what was there */
    bool noloop;
};

struct prefix {
    struct slice name; /* owned */
    struct listener_of *listeners;
    unsigned n, cap;
};

/* A name that was changed in this turn. */
struct changed_name {
    struct slice name; /* set when they are sent; before, only the length */
    size_t at;         /* in `names` */
    uint64_t by;       /* id of the client that did it last; 0: none */
};

struct tracking {
    struct tracked *keys;
    struct tracked *old;      /* of before a flush, being freed */
    uint8_t *gone, *sweeping; /* numbers of clients that are gone, and those just being removed; or NULL */
    uint64_t cursor;
    uint64_t sweep_began_us, next_sweep_us;
    struct prefix *prefixes; /* in order */
    unsigned nprefixes, prefixes_cap;
    struct buf names;
    struct changed_name *changed;
    unsigned nchanged, changed_cap;
};

/* --- prefixes --- */

void prefixes_add(struct tracking *t, const struct words *names, struct listener_of listener);
/* Removes what the client has registered up to that time. */
void prefixes_drop(struct tracking *t, uint64_t number, uint32_t registration);
void prefixes_collect(struct tracking *t, struct slice name, uint64_t by);
void prefixes_free(struct tracking *t);

/* --- invalidations --- */

enum { INVALIDATE_KEY, INVALIDATE_PREFIX };

/* The message about these names, as RESP3 has it. Caller unrefs. */
struct blob *invalidation_of(const struct slice *names, size_t n);
void invalidation_send(struct shard *here, uint64_t number, uint8_t kind, const struct push *m);
/* To every client that is tracking. */
void invalidation_send_flushed(struct shard *here);

#endif
