/* Client-side caching (CLIENT TRACKING): clients are told when what they may have cached has changed.
 *
 *   keys      What a tracking client reads leaves its number in a table of the shard that owns the key (tracked.h),
 *             in the same run. Whatever changes the key – a command, expiry, eviction, the limit of the table – sends
 *             an invalidation to those clients, and the key is forgotten. As in Redis, names of keys count, databases
 *             do not, and what is remembered are the declared keys of read-only commands, existing or not.
 *   prefixes  A client in broadcast mode leaves no trace of what it reads. Every shard has a copy of all prefixes with
 *             their clients; names that were changed in a turn are collected by the shard that changed them and sent at
 *             its end, in one message for each prefix and client.
 *
 * What a client has asked for (struct tracking_mode) belongs to its home and changes only while nothing of that client
 * is under way elsewhere; so the shard that runs a command for it may read it. Whether an invalidation is wanted, and
 * where it is redirected to, is looked up at home, when it arrives: the tables hold numbers, which outlive the client.
 *
 * A reply never comes behind the invalidation of what it says: replies have their place in the outbox before they are
 * asked for, pushes are put behind them. An invalidation waits for the log as a reply to the change would (push.h).
 *
 * The tables are data: they belong to who holds the shard. */
#ifndef SERVER_TRACKING_H
#define SERVER_TRACKING_H

#include "server/call.h"
#include "server/words.h"

struct client;
struct shard;

/* Of a client that has it on. Owned by its home. */
struct tracking_mode {
    bool bcast, optin, optout, noloop;
    bool caching;           /* CLIENT CACHING was given: for the next command or transaction */
    bool broken;            /* the client that it redirects to is gone */
    uint64_t redirect;      /* id of the client that gets its invalidations; 0: itself */
    unsigned redirect_home; /* its shard */
    struct words prefixes;  /* with bcast */
};

/* Makes the client's mode, if it has none. */
struct tracking_mode *tracking_on(struct client *c);
/* Its prefixes have changed, or noloop: under a hold of all shards. `here` runs. */
void tracking_prefixes(struct shard *here, struct client *c);
/* Ends it (OFF, RESET). */
void tracking_off(struct client *c);
/* The client is closed. What runs for it elsewhere may still look at its mode. */
void tracking_closed(struct client *c);
/* It is freed, nothing of it being under way: shards forget it, in time. */
void tracking_free(struct client *c);
/* A command of it has run: CLIENT CACHING does not go beyond. */
void tracking_ran(struct client *c, const struct command *cmd);
/* Whether the keys of what it reads now are to be remembered: call.track. */
bool tracking_wanted(const struct client *c);

/* A read-only command with call.track has run: remembers its keys. */
void tracking_remember(struct call *c);
/* A key of `owner` is changed by `here`, which runs, for the client `by` (NULL: for none); or deleted because it is
 * due. Called while owner->tracking is not NULL. */
void tracking_changed(struct shard *here, struct shard *owner, struct key key, const struct client *by, bool due);
/* Databases were emptied, under a hold of all: every tracking client is told, and all is forgotten. */
void tracking_flushed(struct call *c);
/* End of a turn or of a grant: sends what prefixes are to get. */
void tracking_broadcast(struct shard *here);
/* A slice of keeping the table within its limit and free of clients that are gone; true if there is more. */
bool tracking_slice(struct shard *s);
void tracking_end(struct shard *s);

#endif
