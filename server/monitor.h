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

/* Around a run, when somebody listens. Commands that have the flag skip_monitor run others (scripts): their lines come
 * before those, and none is sent before they have completed; if they have not, and run again, all are forgotten. */
static inline bool monitor_wanted(const struct call *c)
{
    return atomic_load_explicit(&c->server->monitor_homes, memory_order_relaxed) != 0;
}
void monitor_before(struct call *c);
void monitor_after(struct call *c);
void monitor_forget(struct call *c);

#endif
