/* The subcommands of CLIENT about client-side caching, for client.c. */
#ifndef SERVER_CMD_TRACKING_H
#define SERVER_CMD_TRACKING_H

#include "server/call.h"

void tracking_run(struct call *c);
void caching_run(struct call *c);
void getredir_run(struct call *c);
void trackinginfo_run(struct call *c);
/* What concerns the data or the clients of all shards runs under a hold of all. */
enum command_route tracking_route(const struct server *server, const struct slice *argv, int argc);

extern const struct command_arg tracking_args[], caching_args[];

#endif
