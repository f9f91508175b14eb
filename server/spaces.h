/* The map of database numbers to spaces (DESIGN section 6), and what follows from a database's mode. Changed only under
 * a hold of all shards, or before they start. */
#ifndef SERVER_SPACES_H
#define SERVER_SPACES_H

#include "server/server.h"

/* Gives database `db` the space `id` on every shard: empty keyspaces, attached to the tiers. Before start. */
void spaces_create(struct server *server, uint32_t db, struct space_id id);
/* A new id for the space of an unlogged database, beyond all LSNs; and whether one is such. */
struct space_id spaces_unlogged_id(struct server *server, uint32_t db);
bool spaces_is_unlogged(struct space_id id);
/* Gives database `db` empty keyspaces of space `id`; what it held is freed in the background. */
void spaces_reset(struct server *server, uint32_t db, struct space_id id);
/* Applies the modes of the configuration to database `db`: what is tracked, logged, tiered. */
void spaces_apply_mode(struct server *server, uint32_t db);
/* Spaces whose records may be removed from flash once a checkpoint has recorded a map without them. */
void spaces_bury(struct server *server, struct space_id id);
/* Recomputes server->config_logged and db_limits. */
void spaces_refresh(struct server *server);

#endif
