/* Publish/subscribe: who listens to what, and who gets a message.
 *
 * Every shard has a registry of *channels*, in two roles that share an entry:
 *   owner  counts the subscribers by home, so that PUBLISH knows how many there are and whom to post to;
 *   home   has the subscriptions of its own clients.
 * A channel belongs to the shard that its name hashes to, as a key would. Patterns, and channels whose names begin with
 * "__key" (those of keyspace notifications), belong to *every* shard: whoever publishes finds them where it runs, and
 * an event of a key costs nothing elsewhere unless somebody listens there.
 *
 * Subscribing and unsubscribing by command runs at home, under a hold of the owners: it is exact. A client that goes
 * away (or RESET) leaves the owners by tasks; until those have run they count one too many.
 *
 * The registry is data of its shard. */
#ifndef SERVER_PUBSUB_H
#define SERVER_PUBSUB_H

#include "core/base/buf.h"
#include "server/call.h"

struct channel;
struct subscription;

enum channel_kind { CHANNEL_PLAIN, CHANNEL_PATTERN, CHANNEL_SHARD, CHANNEL_KINDS };

struct pubsub {
    struct table *channels; /* struct channel by kind and name; NULL: none yet */
    struct channel **patterns;
    unsigned npatterns, patterns_cap;
    struct buf scratch, name;
    unsigned nevents;                       /* channels of keyspace notifications that somebody listens to */
    _Atomic uint64_t active[CHANNEL_KINDS]; /* with subscribers, counted by one owner each; patterns by all */
};

/* What a client listens to; made with its first subscription, gone with its last. */
struct subscriber {
    struct table *all;                 /* struct subscription by kind and name */
    struct subscription *first, *last; /* oldest first */
    unsigned n[CHANNEL_KINDS];
};

/* The shards under whose hold a subscription to this is changed (a mask). */
uint64_t pubsub_owners(struct server *server, enum channel_kind kind, struct slice name);
/* For the call's client. False if there is nothing to change. */
bool pubsub_subscribe(struct call *c, enum channel_kind kind, struct slice name);
bool pubsub_unsubscribe(struct call *c, enum channel_kind kind, struct slice name);
/* The oldest subscription of a kind: its name, valid until it ends. False: there is none. */
bool pubsub_oldest(const struct client *client, enum channel_kind kind, struct slice *name);
unsigned pubsub_count(const struct client *client, enum channel_kind kind);
/* All subscriptions of a client end, by tasks to the owners. On its home. */
void pubsub_leave(struct client *client);

/* Publishes: the number of receivers. The shard that runs the call is the owner of the channel or holds it; if it is
 * not (a script that runs where its declared keys are), the message is handed to the owner, and the number is 0: it is
 * not known here. */
uint64_t pubsub_publish(struct call *c, enum channel_kind kind, struct slice name, struct slice message);
/* The same from any shard, for channels that belong to every shard. */
void pubsub_event(struct shard *s, struct slice name, struct slice message);
/* Whether anybody could get an event. */
static inline bool pubsub_wants_events(const struct pubsub *p) { return p->npatterns + p->nevents > 0; }

/* Subscribers of a channel. */
uint64_t pubsub_subscribers(struct call *c, enum channel_kind kind, struct slice name);
uint64_t pubsub_patterns(const struct call *c);
/* Calls `each` for the active channels of a kind, of all shards (a hold of all). */
void pubsub_each(struct call *c, enum channel_kind kind, void (*each)(void *arg, struct slice name), void *arg);

void pubsub_free(struct shard *s);

#endif
