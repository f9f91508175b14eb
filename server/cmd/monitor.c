/* MONITOR. */
#include "server/monitor.h"

#include "server/client.h"
#include "server/reply.h"

/* As in Redis, a client that listens already gets no second answer. */
static void monitor_run(struct call *c)
{
    if (c->client == NULL || c->in_exec) {
        reply_error(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (c->client->flags & CLIENT_MONITOR)
        return;
    monitor_on(c->client);
    reply_ok(c);
}

struct command monitor_commands[] = {
    {.name = "monitor",
     .run = monitor_run,
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Listens for all requests received by the server in real-time.",
     .since = "1.0.0"},
    {.name = NULL},
};
