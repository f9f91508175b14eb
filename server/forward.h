/* A sub-request group: requests of one client whose keys are all on one other shard, run there in order (DESIGN section
 * 2, "forward"). It carries database, user and RESP version as they were at its place, owns references on its argument
 * bytes, and holds its client alive. At most one group of a client is on a shard at a time, so order is kept. */
#ifndef SERVER_FORWARD_H
#define SERVER_FORWARD_H

#include "server/dispatch.h"

#define SUB_MAX 32

struct sub {
    struct waiter waiter; /* first; on the target */
    struct task task;     /* there, and back */
    struct sub *next;
    struct client *client; /* touched by the home only */
    struct shard *home, *target;
    struct rbuf *in; /* what the arguments point into */
    struct blob **bigs;
    unsigned nbigs;
    uint32_t db;
    int proto;
    bool no_touch;
    bool always;    /* some answer depends on an `always` database */
    unsigned n, at; /* requests, and the next to run */
    /* One that may block is alone. Its place in the outbox is given when it is answered: pushes do not wait for it. */
    bool blocking, mute;
    bool gone;               /* the target's: the peer is, so it does not wait */
    struct blocked *blocked; /* the target's: it waits; NULL: no */
    bool telling, back;      /* the home's: `tell` is on its way; it is back, but `tell` is not */
    struct task tell;        /* there, and back */
    uint64_t written_lsn, durable_lsn;
    struct buf out;
    struct sub_item {
        struct request request;
        struct out_seg *seg; /* the home's; NULL: nobody wants the reply */
        bool track;
        size_t out_end; /* where this reply ends in `out` */
    } item[SUB_MAX];
};

#endif
