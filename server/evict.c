#include "server/evict.h"

#include "server/dispatch.h"
#include "server/server.h"

struct entry *evict_victim(struct shard *s, uint32_t db)
{
    int policy = s->server->config->db[db].eviction;
    bool is_volatile = policy >= EVICT_VOLATILE_LRU;
    bool random = policy == EVICT_ALLKEYS_RANDOM || policy == EVICT_VOLATILE_RANDOM;
    return tier_sample_coldest(s->tier, s->spaces[db], (unsigned)s->server->config->maxmemory_samples, is_volatile,
                               policy == EVICT_VOLATILE_TTL, random, &s->temperature[db]);
}

void evict_key(struct shard *s, uint32_t db, struct entry *e)
{
    shard_delete(s, db, e, false);
    stat_add(&s->stats.evicted, 1);
}
