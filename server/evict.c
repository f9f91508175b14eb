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
    struct keyspace *ks = s->spaces[db];
    struct key key = key_of(ks, entry_key(e));
    struct slice argv[] = {SLICE_LIT("UNLINK"), key.name};

    stage_begin(&s->stage);
    stage_effect_in(s, db, 2, argv);
    stage_end(&s->stage);
    if (s->watches != NULL)
        watch_touch(s, db, key);
    keyspace_delete(ks, e, key);
    stat_add(&s->stats.evicted, 1);
}
