/* MONITOR: a line for every command that runs, on whatever shard, to every client that asked for it, wherever it lives.
 * A line is made by the shard that runs the command and reaches the others as a push (push.h): lines of one shard come
 * in the order in which it ran them. While nobody listens a command costs one test. */
#ifndef SERVER_MONITOR_H
#define SERVER_MONITOR_H

#include <stdatomic.h>

#include "server/server.h"

/* On and off, on the client's home. Off twice does no harm. */
void monitor_on(struct client *c);
void monitor_off(struct client *c);

/* A run has ended, and somebody listens. */
static inline bool monitor_wanted(const struct call *c)
{
    return atomic_load_explicit(&c->server->monitor_homes, memory_order_relaxed) != 0;
}
void monitor_after(struct call *c);
/* Before a script runs: its own line comes before those of what it calls, and none is sent before it has completed. */
void monitor_before(struct call *c);
/* It has not, and runs again. */
void monitor_forget(struct call *c);

#endif
