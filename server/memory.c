#include "server/memory.h"

#include "server/checkpoint.h"
#include "server/evict.h"
#include "server/flash.h"
#include "server/lazy.h"
#include "server/server.h"
#include "server/snapshot.h"

#define EVICTIONS_A_SLICE 64
#define WANTED_PROCESS SIZE_MAX
#define LEAVING_MANY (512 * KIB)
#define TOMB_BYTES 64 /* about what one takes, with its place in the table */
#define TOMBS_FEW 256

uint64_t memory_data(struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit(&server->shards[i]->data_bytes, memory_order_relaxed);
    return sum;
}

uint64_t memory_transit(struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += tier_transit(server->shards[i]->tier);
    return sum;
}

/* Beside the data: what is being freed in the background, and copies of values on their way to flash. There is always
 * room for as many of these as there were lately: they are made when there is no room. */
static uint64_t leaving(struct server *server)
{
    return lazy_pending_bytes(server->lazy) +
           max_u64(memory_transit(server), atomic_load_explicit(&server->transit_bytes, memory_order_relaxed));
}

uint64_t memory_of_db(struct server *server, uint32_t db)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit(&server->shards[i]->figures[db].bytes, memory_order_relaxed);
    return sum;
}

/* What the databases may take: the process's limit less what everything else takes, and never less than a quarter: a
 * server whose caches fill its limit still has to work. */
uint64_t memory_budget(const struct server *server)
{
    uint64_t limit = server->config->maxmemory;
    uint64_t other = atomic_load_explicit(&server->overhead_bytes, memory_order_relaxed);
    if (limit == 0)
        return UINT64_MAX;
    return max_u64(limit / 4, limit > other ? limit - other : 0);
}

static void publish(_Atomic uint64_t *at, uint64_t v) { atomic_store_explicit(at, v, memory_order_relaxed); }

static uint64_t publish_db(struct shard *s, struct keyspace *ks, struct db_figures *f)
{
    uint64_t bytes = keyspace_memory(ks);
    f->of = ks;
    f->changes = ks->changes;
    flash_count(s, ks);
    publish(&f->bytes, bytes);
    publish(&f->keys, ks->keys);
    publish(&f->expires, ks->expires);
    publish(&f->inner, btree_count(ks->inner_expiry));
    publish(&f->cold, ks->cold);
    publish(&f->cold_bytes, ks->cold_bytes);
    publish(&f->dirty, ks->dirty_keys);
    publish(&f->rewriting, min_u64(ks->rewritten, ks->dirty_bytes));
    publish(&f->tombs, table_count(ks->tombs));
    return bytes;
}

/* Several times a turn, and most databases are still: what has not changed is not looked at. */
void memory_publish(struct shard *s)
{
    uint64_t sum = atomic_load_explicit(&s->data_bytes, memory_order_relaxed);
    for (int db = 0; db < s->server->config->databases; db++) {
        struct keyspace *ks = s->spaces[db];
        struct db_figures *f = &s->figures[db];
        if (likely(f->of == ks && f->changes == ks->changes))
            continue;
        sum -= atomic_load_explicit(&f->bytes, memory_order_relaxed);
        sum += publish_db(s, ks, f);
    }
    publish(&s->data_bytes, sum);
}

/* How many bytes too many there would be with `need` more in `db`. */
static uint64_t excess(struct shard *s, uint32_t db, uint64_t need, bool *of_db)
{
    struct server *server = s->server;
    uint64_t budget = memory_budget(server);
    uint64_t own = server->config->db[db].maxmemory;
    uint64_t over = 0, total = memory_data(server) + leaving(server) + need;

    *of_db = false;
    if (budget != UINT64_MAX && total > budget)
        over = total - budget;
    if (own > 0 && memory_of_db(server, db) + need > own) {
        uint64_t over_db = memory_of_db(server, db) + need - own;
        *of_db = over_db >= over;
        over = max_u64(over, over_db);
    }
    return over;
}

static bool evictable(const struct db_config *cfg) { return cfg->eviction != EVICT_NOEVICTION && !cfg->tier; }

static uint64_t evict_some(struct shard *s, uint32_t db, uint64_t bytes)
{
    uint64_t before = keyspace_memory(s->spaces[db]), freed = 0;
    for (int i = 0; i < EVICTIONS_A_SLICE && freed < bytes && shard_may_delete(s, db); i++) {
        struct entry *e = evict_victim(s, db);
        if (e == NULL)
            break;
        evict_key(s, db, e);
        uint64_t now = keyspace_memory(s->spaces[db]);
        freed = before > now ? before - now : 0;
    }
    return freed;
}

static uint64_t reclaim_db(struct shard *s, uint32_t db, uint64_t bytes, uint64_t stamp)
{
    const struct db_config *cfg = &s->server->config->db[db];
    if (s->spaces[db]->keys == 0)
        return 0;
    if (cfg->tier)
        return tier_reclaim(s->tier, s->spaces[db], bytes, &s->temperature[db], stamp);
    return evictable(cfg) ? evict_some(s, db, bytes) : 0;
}

static uint64_t reclaim(struct shard *s, uint32_t db, bool of_db, uint64_t bytes, uint64_t stamp)
{
    uint64_t freed = 0;
    if (of_db)
        return reclaim_db(s, db, bytes, stamp);
    for (int i = 0; i < s->server->config->databases && freed < bytes; i++)
        freed += reclaim_db(s, (uint32_t)i, bytes - freed, stamp);
    return freed;
}

/* Whether waiting can help: some shard still has a value that can be dropped or evicted, or is writing one out, or one
 * is just being freed, or was a moment ago. */
static bool hopeless(struct server *server, uint32_t db, bool of_db)
{
    if (leaving(server) >= LEAVING_MANY)
        return false;
    for (unsigned i = 0; i < server->nshards; i++)
        for (int d = 0; d < server->config->databases; d++)
            if ((!of_db || d == (int)db) &&
                atomic_load_explicit(&server->shards[i]->figures[d].reclaimable, memory_order_relaxed))
                return false;
    return true;
}

bool memory_in_tombs(struct server *server, int db)
{
    uint64_t tombs = 0, own = db < 0 ? 0 : server->config->db[db].maxmemory;
    for (unsigned i = 0; i < server->nshards; i++)
        for (int d = 0; d < server->config->databases; d++)
            if (db < 0 || d == db)
                tombs += atomic_load_explicit(&server->shards[i]->figures[d].tombs, memory_order_relaxed);
    return tombs > TOMBS_FEW && tombs * TOMB_BYTES > min_u64(memory_budget(server), own > 0 ? own : UINT64_MAX) / 16;
}

/* A checkpoint is on its way to free them (checkpoint_cron), unless they fail. */
static bool tombs_will_go(struct shard *s, int db)
{
    struct checkpoint_info info;
    if (likely(table_count(s->spaces[db]->tombs) == 0) || s->server->checkpoint == NULL ||
        !memory_in_tombs(s->server, db))
        return false;
    checkpoint_info(s->server->checkpoint, &info);
    return info.last_error == 0;
}

static bool can_reclaim(struct shard *s, int db)
{
    const struct db_config *cfg = &s->server->config->db[db];
    struct keyspace *ks = s->spaces[db];
    if (tombs_will_go(s, db))
        return true;
    if (ks->keys == 0)
        return false;
    if (cfg->tier)
        return !tier_exhausted(s->tier, ks) || tier_reclaim_pending(s->tier) > 0;
    return evictable(cfg) && (cfg->eviction < EVICT_VOLATILE_LRU || ks->expires > 0);
}

static void publish_reclaimable(struct shard *s)
{
    for (int db = 0; db < s->server->config->databases; db++)
        atomic_store_explicit(&s->figures[db].reclaimable, can_reclaim(s, db), memory_order_relaxed);
}

bool memory_reclaimable(const struct shard *s)
{
    for (int db = 0; db < s->server->config->databases; db++)
        if (atomic_load_explicit(&s->figures[db].reclaimable, memory_order_relaxed))
            return true;
    return false;
}

static void wake_others(struct shard *s)
{
    for (unsigned i = 0; i < s->server->nshards; i++)
        if (i != s->index)
            loop_wake(s->server->shards[i]->loop);
}

/* The flags of other shards may be older than what has happened to their data (by a hold). So before anything is
 * refused, all are asked to look again; while nothing changes, the answer stands for the next ones too. */
static bool all_agree(struct shard *s)
{
    struct server *server = s->server;
    if (server->nshards == 1)
        return true;
    if (s->memory_question == 0)
        s->memory_question = atomic_fetch_add(&server->memory_asked, 1) + 1;
    for (unsigned i = 0; i < server->nshards; i++)
        if (i != s->index && atomic_load(&server->shards[i]->memory_seen) < s->memory_question)
            return false;
    return true;
}

enum room memory_make_room(struct shard *s, uint32_t db, uint64_t need)
{
    bool of_db;
    memory_publish(s);
    uint64_t over = excess(s, db, need, &of_db);
    if (over == 0)
        return ROOM_YES;
    reclaim(s, db, of_db, over, TIER_DROP_ONLY);
    memory_publish(s);
    if (excess(s, db, need, &of_db) == 0)
        return ROOM_YES;
    uint64_t own = s->server->config->db[db].maxmemory;
    if (need > memory_budget(s->server) || (own > 0 && need > own))
        return ROOM_NEVER;
    publish_reclaimable(s);
    if (!hopeless(s->server, db, of_db))
        s->memory_question = 0;
    else if (all_agree(s))
        return ROOM_NEVER;
    /* Dropping was not enough: the end of the turn starts cleaning for as much as is missing. */
    _Atomic uint64_t *wanted = of_db ? &s->figures[db].wanted : &s->wanted;
    publish(wanted, max_u64(atomic_load_explicit(wanted, memory_order_relaxed), over));
    wake_others(s);
    return ROOM_SOON;
}

/* A shard's part of the free budget, for the next turn's writes. Zero makes every write look closer. */
static uint64_t allowance(struct shard *s)
{
    struct server *server = s->server;
    uint64_t budget = memory_budget(server), total = memory_data(server) + leaving(server);
    if (server->db_limits)
        return 0;
    if (budget == UINT64_MAX)
        return UINT64_MAX;
    return total < budget ? (budget - total) / (2 * server->nshards) : 0;
}

/* Cleaning starts below the limit, so that writes find clean values to drop instead of waiting for the flash. */
static uint64_t above_soft_limit(struct shard *s)
{
    uint64_t budget = memory_budget(s->server), total = memory_data(s->server);
    uint64_t soft = budget - budget / 16;
    return budget != UINT64_MAX && total > soft ? total - soft : 0;
}

/* What shards wait for is a matter of all: the one that misses it may hold nothing that could go. Everyone gives what
 * it is short of itself, and its part of what others are; they ask again until it suffices. */
static uint64_t wanted_here(struct shard *s, size_t at)
{
    uint64_t others = 0, own = 0;
    for (unsigned i = 0; i < s->server->nshards; i++) {
        struct shard *t = s->server->shards[i];
        _Atomic uint64_t *wanted = at == WANTED_PROCESS ? &t->wanted : &t->figures[at].wanted;
        *(t == s ? &own : &others) += atomic_load_explicit(wanted, memory_order_relaxed);
    }
    return own + (others + s->server->nshards - 1) / s->server->nshards;
}

void memory_want_nothing(struct shard *s)
{
    publish(&s->wanted, 0);
    for (int db = 0; s->server->db_limits && db < s->server->config->databases; db++)
        publish(&s->figures[db].wanted, 0);
}

/* The stamp of what is cleaned now; what becomes clean is handed over to a snapshot, which may have to wait. */
static uint64_t clean_stamp(const struct shard *s) { return snapshot_holds_back(s) ? TIER_DROP_ONLY : s->lsn; }

static void maintain_db(struct shard *s, uint32_t db)
{
    uint64_t own = s->server->config->db[db].maxmemory, used = memory_of_db(s->server, db);
    uint64_t soft = own - own / 16, over = own > 0 && used > soft ? used - soft : 0;
    over = max_u64(over, wanted_here(s, db));
    if (over > 0)
        reclaim_db(s, db, over, clean_stamp(s));
}

void memory_maintain(struct shard *s)
{
    memory_publish(s);
    uint64_t over = max_u64(above_soft_limit(s), wanted_here(s, WANTED_PROCESS));
    if (over > 0)
        reclaim(s, 0, false, over, clean_stamp(s));
    for (int db = 0; s->server->db_limits && db < s->server->config->databases; db++)
        maintain_db(s, (uint32_t)db);
    uint64_t asked = atomic_load(&s->server->memory_asked);
    memory_publish(s);
    publish_reclaimable(s);
    atomic_store(&s->memory_seen, asked);
    s->allowance = allowance(s);
}
