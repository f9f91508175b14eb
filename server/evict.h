/* Eviction of whole keys: Redis's maxmemory-policy where the tier is off (admit.c), and everywhere when flash is full
 * (flash.c). An eviction is a logged deletion. */
#ifndef SERVER_EVICT_H
#define SERVER_EVICT_H

#include "server/shard.h"

/* Whom the policy of `db` would take among some sampled keys; NULL: none of them. */
struct entry *evict_victim(struct shard *s, uint32_t db);
/* Deletes it. */
void evict_key(struct shard *s, uint32_t db, struct entry *e);

#endif
