/* What administrative commands may do with the server: the narrow side door beside server/call.h. */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "server/call.h"
#include "server/client.h"
#include "server/config.h"
#include "server/server.h"

struct config *admin_config(struct call *c);
/* Between setting and admin_config_changed: what has to succeed first. False with the reason in `error` (512 bytes):
 * then everything is set back. */
bool admin_config_prepare(struct call *c, char *error);
/* After CONFIG SET, under a hold of all: modes, limits and log settings follow. */
void admin_config_changed(struct call *c);
void admin_reset_stats(struct call *c);
/* Shuts down, as SIGTERM does; the client that asked is closed. */
void admin_shutdown(struct call *c);

#endif
