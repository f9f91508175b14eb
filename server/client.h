/* A client: a connection, its session, its input and its outbox. Owned by its home shard's thread. */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include "core/proto/resp_reader.h"
#include "core/run/loop.h"
#include "server/call.h"
#include "server/outbox.h"
#include "server/waiter.h"

struct blocked;
struct shard;
struct sub;
struct tracking_mode;
struct transaction;

enum client_flag {
    CLIENT_CLOSE_AFTER_REPLY = 1 << 0,
    CLIENT_CLOSING = 1 << 1,  /* gone for everyone; freed when nothing refers to it */
    CLIENT_READY = 1 << 2,    /* in the shard's ready list */
    CLIENT_OUTGOING = 1 << 3, /* in the shard's outgoing list */
    CLIENT_GATED = 1 << 4,    /* in the shard's gated list */
    CLIENT_PARKED = 1 << 5,   /* its current command waits; its input is looked at again by client_again */
    CLIENT_NO_EVICT = 1 << 6,
    CLIENT_NO_TOUCH = 1 << 7,
    CLIENT_REPLY_OFF = 1 << 8,
    CLIENT_REPLY_SKIP = 1 << 9, /* the current command's reply is dropped */
    CLIENT_REPLY_SKIP_NEXT = 1 << 10,
    CLIENT_AUTHENTICATED = 1 << 11,
    CLIENT_IN_HOLD_LIST = 1 << 13,
    CLIENT_READ_PAUSED = 1 << 14,
    CLIENT_EOF = 1 << 15,        /* it sends no more: closed when what it has sent is answered */
    CLIENT_SUBSCRIBER = 1 << 16, /* to some channel or pattern */
    CLIENT_PUSHED = 1 << 17,     /* something was pushed to it in this turn, by this shard */
    CLIENT_MONITOR = 1 << 18,    /* it gets a line for every command (monitor.h) */
    CLIENT_LEAVES = 1 << 19,     /* it went while its shard's data was lent: see clients_left */
};

struct client {
    struct waiter waiter; /* first: a waiter of a client is the client */
    uint64_t id;
    struct shard *home;
    struct conn *conn; /* NULL once closed */
    uint32_t flags;
    uint32_t db;
    int proto;
    char *name, *lib_name, *lib_ver;
    char peer[64], local[64];
    bool is_unix; /* never changes, as the two before it */
    uint64_t created_us, active_us;
    const struct command *last_cmd;

    /* input: bytes [in_off, in_off + in_len) of `in` are not consumed yet */
    struct resp_reader reader;
    struct rbuf *in;
    size_t in_off, in_len;
    size_t complete;    /* > 0: the reader holds a complete request of so many bytes, not to be parsed again */
    struct blob *big;   /* argument being received in place */
    struct blob **bigs; /* arguments received in place for the current request */
    unsigned nbigs;

    struct outbox out;
    unsigned out_sending; /* segments handed to the kernel */
    bool releasing;       /* its connection is closed, and the kernel may still use bytes of ours */
    uint64_t soft_limit_since_us;

    /* forwarding */
    unsigned subs;     /* sub-requests under way */
    bool publishing;   /* one of them is PUBLISH: what follows keeps its place behind it */
    uint64_t sub_mask; /* shards they are on */

    bool always_dep;           /* this turn's replies depend on an `always` database */
    struct subscriber *pubsub; /* pubsub.h; NULL: it listens to nothing */
    struct transaction *tx;    /* MULTI or WATCH state; NULL: none */
    struct blocked *blocked;   /* its command waits (block.h); NULL: no */
    struct sub *blocking_sub;  /* the same on another shard, where it may wait; NULL: none */

    struct tracking_mode *tracking; /* CLIENT TRACKING; NULL: off */
    bool has_tracked;               /* at some time: shards may know its number */
    uint32_t tracking_registration; /* of its prefixes, the last one */

    struct client *next, *prev; /* the shard's clients */
    struct client *ready_next, *out_next, *gated_next, *hold_next, *closing_next;
};

extern const struct table_type clients_type; /* struct client by id */
/* A new connection: the listener's accepted handler. */
void client_accept(struct shard *s, struct conn *conn, bool is_unix);
/* Whether it is on this machine. Any thread. */
bool client_is_near(const struct client *c);
/* Marks for closing; output that is complete may still be sent if `after_reply`. */
void client_close(struct client *c, bool after_reply);
/* CLIENT KILL: closes a client of any shard, under a hold of all; itself only after the reply. */
void client_kill(struct shard *here, struct client *c, bool itself);
/* Puts it into the ready list: its input is to be looked at. */
void client_ready(struct client *c);
/* It was parked: no longer. */
void client_again(struct client *c);
/* Replies were written: flushed at the end of the turn. */
void client_wrote(struct client *c);
/* Sends what may leave. */
void client_flush(struct client *c);
/* The client of this shard with this id, which is not closed; or NULL. */
struct client *client_find(struct shard *s, uint64_t id);
/* Closes it at once if its output is above its limit; true if it did. O(1). */
bool client_cut(struct client *c);
/* Gives up what clients that have gone had in data, which was lent when they went. */
void clients_left(struct shard *s);
/* Frees closed clients that nobody refers to; enforces timeouts and limits (called by the shard once a turn / cron). */
void clients_reap(struct shard *s);
void clients_cron(struct shard *s);
void client_append_info(struct client *c, struct buf *out); /* a line of CLIENT LIST, without newline */
/* Bytes of the request consumed. */
void client_consume(struct client *c, size_t n);
void client_set_string(char **field, struct slice s);

#endif
