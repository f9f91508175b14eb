#include "server/flash.h"

#include <pthread.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/evict.h"

#define LOOK_US 1000000
#define VICTIMS_A_SLICE 64
#define BARREN_AFTER 1024     /* samples in a row that held nothing to evict */
#define CHECKPOINT_CRONS 1200 /* for a checkpoint to complete, before a round goes on without: two minutes */
#define TOMBS_AT_ONCE 512
#define SCALE_ONE 1024 /* bytes on disk for a byte in RAM, as a fixed-point number */
#define SCALE_MIN (1.0 / 16)
#define SCALE_MAX 1.5
#define COLD_ENTRY 64 /* RAM of a cold key, about */

enum phase { QUIET, CHECKPOINTING, COMPACTING };

struct flash {
    struct server *server;
    _Atomic uint64_t disk;     /* at the last look, in files that are in use */
    _Atomic uint64_t buffered; /* at that time: on its way from memory to disk */
    _Atomic uint64_t handed;   /* written() at that time */
    _Atomic uint64_t memory;   /* RAM of the store at that time */
    _Atomic uint64_t passed;   /* of what shards count as freed: known to be gone from the disk */
    _Atomic uint64_t scale;
    _Atomic bool full, evicting, crowded;
    _Atomic bool relief; /* a round is under way or due: there will be more room */
    _Atomic int phase;   /* changed by shard 0 */
    _Atomic uint64_t rounds;

    /* Shard 0's. */
    uint64_t next_look_us;
    uint64_t marked;     /* freed when the round began */
    uint64_t disk_after; /* on disk when the last round ended */
    uint64_t checkpoints;
    unsigned waited;

    pthread_mutex_t one_looks; /* the pool and the compaction: no old figure over a new one */
    struct pool_job look;
    _Atomic bool looking;
    pthread_t thread; /* while compacting */
    _Atomic bool compacted, stop;
};

struct flash *flash_new(struct server *server)
{
    struct flash *f = mem_zalloc(sizeof(*f));
    f->server = server;
    atomic_store(&f->scale, SCALE_ONE);
    pthread_mutex_init(&f->one_looks, NULL);
    return f;
}

static enum phase phase_of(const struct flash *f)
{
    return (enum phase)atomic_load_explicit(&f->phase, memory_order_relaxed);
}

void flash_free(struct flash *f)
{
    atomic_store(&f->stop, true);
    if (phase_of(f) == COMPACTING)
        pthread_join(f->thread, NULL);
    pthread_mutex_destroy(&f->one_looks);
    mem_free(f, sizeof(*f));
}

/* --- the estimate --- */

void flash_count(struct shard *s, struct keyspace *ks)
{
    if (likely(ks->freed == 0))
        return;
    stat_add(&s->flash_freed, ks->freed);
    ks->freed = 0;
}

static uint64_t freed(const struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit(&server->shards[i]->flash_freed, memory_order_relaxed);
    return sum;
}

/* Bytes on disk that deletions since the last round will give back. */
static uint64_t going(const struct flash *f)
{
    uint64_t all = freed(f->server), passed = atomic_load_explicit(&f->passed, memory_order_relaxed);
    uint64_t scale = atomic_load_explicit(&f->scale, memory_order_relaxed);
    return all > passed ? (uint64_t)((double)(all - passed) * (double)scale / SCALE_ONE) : 0;
}

static uint64_t on_disk(const struct flash *f) { return atomic_load_explicit(&f->disk, memory_order_relaxed); }

static uint64_t written_by(const struct shard *s)
{
    struct tier_stats t;
    tier_stats(s->tier, &t);
    return t.clean_bytes;
}

/* What the shards' tiers have handed to the store. */
static uint64_t written(const struct flash *f)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < f->server->nshards; i++)
        sum += written_by(f->server->shards[i]);
    return sum;
}

/* What is on disk or about to be. Without what the store still buffers, a slow disk would make keys look small there,
 * and then too many be evicted. */
static uint64_t present(const struct flash *f)
{
    uint64_t coming = written(f) - atomic_load_explicit(&f->handed, memory_order_relaxed);
    return on_disk(f) + atomic_load_explicit(&f->buffered, memory_order_relaxed) + coming;
}

static uint64_t live(const struct flash *f)
{
    uint64_t disk = present(f), less = going(f);
    return disk > less ? disk - less : 0;
}

/* How much a byte of a cold key and its value is on disk. What is on flash but hot as well, and garbage, make it too
 * much: then we evict too little, and some more after the next round. Too little would evict too much. While keys are
 * evicted it stays as it was. */
static void measure_scale(struct flash *f)
{
    struct server *server = f->server;
    uint64_t ram = 0, disk = present(f);
    for (unsigned i = 0; i < server->nshards; i++)
        for (int db = 0; db < server->config->databases; db++) {
            const struct db_figures *figures = &server->shards[i]->figures[db];
            ram += atomic_load_explicit(&figures->cold_bytes, memory_order_relaxed) +
                   COLD_ENTRY * atomic_load_explicit(&figures->cold, memory_order_relaxed);
        }
    if (ram == 0 || disk == 0)
        return;
    double ratio = (double)disk / (double)ram;
    ratio = ratio < SCALE_MIN ? SCALE_MIN : ratio > SCALE_MAX ? SCALE_MAX : ratio;
    atomic_store(&f->scale, (uint64_t)(ratio * SCALE_ONE));
}

static void judge(struct flash *f)
{
    uint64_t max = f->server->config->tier_max_bytes, there = present(f), less = going(f);
    uint64_t now = there > less ? there - less : 0;
    bool full = max > 0 && now > max;
    bool evicting = full || (max > 0 && atomic_load(&f->evicting) && now > max - max / 8);
    atomic_store_explicit(&f->full, full, memory_order_relaxed);
    atomic_store_explicit(&f->evicting, evicting, memory_order_relaxed);
    atomic_store_explicit(&f->crowded, max > 0 && there > max + max / 2, memory_order_relaxed);
}

/* --- looking --- */

static void look(struct flash *f)
{
    struct store_stats stats;
    pthread_mutex_lock(&f->one_looks);
    uint64_t now = written(f);
    f->server->store->ops->stats(f->server->store, &stats);
    atomic_store(&f->disk, stats.bytes_current);
    atomic_store(&f->buffered, stats.buffered_bytes);
    atomic_store(&f->handed, now);
    atomic_store(&f->memory, stats.memory_bytes);
    pthread_mutex_unlock(&f->one_looks);
}

static void look_run(struct pool_job *job)
{
    struct flash *f = container_of(job, struct flash, look);
    look(f);
    atomic_store(&f->looking, false);
}

static void look_sometimes(struct flash *f, uint64_t now_us)
{
    if (now_us < f->next_look_us || atomic_load(&f->looking))
        return;
    f->next_look_us = now_us + LOOK_US;
    atomic_store(&f->looking, true);
    f->look.run = look_run;
    pool_submit(f->server->pool, POOL_READ, &f->look);
}

/* --- rounds --- */

static bool worth_a_round(const struct flash *f, uint64_t max)
{
    uint64_t disk = on_disk(f);
    return disk > max - max / 8 && (disk >= f->disk_after + max / 16 || going(f) >= max / 16);
}

static uint64_t checkpoints(struct flash *f)
{
    struct checkpoint_info info;
    checkpoint_info(f->server->checkpoint, &info);
    return info.completed + info.failed;
}

/* One that is running may have begun before the deletions. */
static void begin_round(struct flash *f)
{
    if (checkpoint_running(f->server->checkpoint))
        return;
    f->marked = freed(f->server);
    f->checkpoints = checkpoints(f);
    f->waited = 0;
    checkpoint_ask(f->server->checkpoint);
    atomic_store(&f->phase, CHECKPOINTING);
}

static bool stopped(void *arg) { return atomic_load(&((struct flash *)arg)->stop); }

static void *compact(void *arg)
{
    struct flash *f = arg;
    struct store *store = f->server->store;
    pthread_setname_np(pthread_self(), "compaction");
    int err = store->ops->compact(store, stopped, f);
    if (err < 0)
        logger_line(f->server->logger, LOG_WARNING, "Tier: compaction failed: %s", strerror(-err));
    look(f);
    atomic_store(&f->compacted, true);
    return NULL;
}

static void begin_compaction(struct flash *f)
{
    atomic_store(&f->compacted, false);
    if (pthread_create(&f->thread, NULL, compact, f) == 0)
        atomic_store(&f->phase, COMPACTING);
    else
        atomic_store(&f->phase, QUIET); /* another time */
}

static void end_round(struct flash *f)
{
    pthread_join(f->thread, NULL);
    f->disk_after = on_disk(f);
    atomic_store(&f->passed, f->marked);
    atomic_fetch_add(&f->rounds, 1);
    atomic_store(&f->phase, QUIET);
    logger_line(f->server->logger, LOG_VERBOSE, "Tier: %llu bytes on flash after a compaction",
                (unsigned long long)f->disk_after);
}

static void go_on(struct flash *f, uint64_t max)
{
    switch (phase_of(f)) {
    case QUIET:
        if (max > 0 && worth_a_round(f, max))
            begin_round(f);
        break;
    case CHECKPOINTING:
        if (checkpoints(f) != f->checkpoints || ++f->waited == CHECKPOINT_CRONS)
            begin_compaction(f);
        break;
    case COMPACTING:
        if (atomic_load(&f->compacted))
            end_round(f);
        break;
    }
}

void flash_cron(struct server *server)
{
    struct flash *f = server->flash;
    uint64_t max = server->config->tier_max_bytes;
    if (f == NULL)
        return;
    look_sometimes(f, server->shards[0]->now_us);
    go_on(f, max);
    atomic_store(&f->relief, phase_of(f) != QUIET || (max > 0 && worth_a_round(f, max)));
    if (max > 0 && phase_of(f) == QUIET && going(f) < max / 64)
        measure_scale(f);
    judge(f);
}

/* --- evicting --- */

/* Whether evicting from `db` can free flash. */
static bool helps(const struct shard *s, int db)
{
    const struct keyspace *ks = s->spaces[db];
    int policy = s->server->config->db[db].eviction;
    return policy != EVICT_NOEVICTION && ks->flash_keys > 0 && (policy < EVICT_VOLATILE_LRU || ks->expires > 0);
}

static uint64_t weight(const struct shard *s, int db)
{
    return helps(s, db) ? 1 + s->spaces[db]->cold_bytes + keyspace_memory(s->spaces[db]) : 0;
}

/* A database, by chance, as much as it holds; -1: none helps. */
static int pick_db(struct shard *s)
{
    uint64_t sum = 0;
    int db = 0;
    for (int i = 0; i < s->server->config->databases; i++)
        sum += weight(s, i);
    if (sum == 0)
        return -1;
    for (uint64_t at = rng_below(&s->rng, sum); at >= weight(s, db); db++)
        at -= weight(s, db);
    return db;
}

/* Victims that are only in RAM are passed over: they free no flash. */
static unsigned evict_slice(struct shard *s, uint32_t db)
{
    unsigned n = 0;
    for (int i = 0; i < VICTIMS_A_SLICE && shard_may_delete(s, db); i++) {
        struct entry *e = evict_victim(s, db);
        if (e == NULL || !(e->flags & ENTRY_ON_FLASH)) {
            s->fruitless++;
            continue;
        }
        evict_key(s, db, e);
        s->fruitless = 0;
        n++;
    }
    flash_count(s, s->spaces[db]);
    return n;
}

static void set_barren(struct shard *s, bool barren)
{
    if (atomic_load_explicit(&s->flash_barren, memory_order_relaxed) != barren)
        atomic_store_explicit(&s->flash_barren, barren, memory_order_relaxed);
}

/* No checkpoint waits for deletions of an unlogged database. */
static void bury_unlogged(struct shard *s)
{
    for (int db = 0; db < s->server->config->databases; db++)
        if (!server_logged(s->server, (uint32_t)db) && table_count(s->spaces[db]->tombs) >= TOMBS_AT_ONCE)
            tier_bury(s->tier, s->spaces[db]);
}

/* Not only in shard 0's cron: a lot can be written until then. */
static void judge_sometimes(struct shard *s, struct flash *f)
{
    uint64_t max = s->server->config->tier_max_bytes, now = max > 0 ? written_by(s) : 0;
    if (likely(now - s->flash_judged <= max / 128))
        return;
    s->flash_judged = now;
    judge(f);
}

bool flash_slice(struct shard *s)
{
    struct flash *f = s->server->flash;
    bury_unlogged(s);
    if (f != NULL)
        judge_sometimes(s, f);
    if (f == NULL || likely(!atomic_load_explicit(&f->evicting, memory_order_relaxed))) {
        set_barren(s, false);
        s->fruitless = 0;
        return false;
    }
    int db = pick_db(s);
    unsigned n = db >= 0 ? evict_slice(s, (uint32_t)db) : 0;
    set_barren(s, db < 0 || s->fruitless >= BARREN_AFTER);
    if (n > 0) {
        judge(f);
        s->retry_now = true;
    }
    return n > 0;
}

/* --- admission --- */

static bool all_barren(const struct server *server)
{
    for (unsigned i = 0; i < server->nshards; i++)
        if (!atomic_load_explicit(&server->shards[i]->flash_barren, memory_order_relaxed))
            return false;
    return true;
}

enum flash_room flash_room(struct shard *s, uint32_t db)
{
    const struct flash *f = s->server->flash;
    uint64_t max = s->server->config->tier_max_bytes;
    if (likely(max == 0) || f == NULL)
        return FLASH_ROOM_YES;
    bool full = atomic_load_explicit(&f->full, memory_order_relaxed);
    bool crowded = atomic_load_explicit(&f->crowded, memory_order_relaxed);
    if (likely(!full && !crowded))
        return FLASH_ROOM_YES;
    if (full && s->server->config->db[db].eviction == EVICT_NOEVICTION)
        return FLASH_ROOM_NEVER;
    if (full && all_barren(s->server))
        return atomic_load_explicit(&f->relief, memory_order_relaxed) ? FLASH_ROOM_SOON : FLASH_ROOM_NEVER;
    return crowded || live(f) > max + max / 8 ? FLASH_ROOM_SOON : FLASH_ROOM_YES;
}

uint64_t flash_store_memory(const struct flash *f) { return f != NULL ? atomic_load(&f->memory) : 0; }

void flash_info(const struct flash *f, struct flash_info *out)
{
    *out = (struct flash_info){0};
    if (f == NULL || f->server->config->tier_max_bytes == 0)
        return;
    out->bytes = on_disk(f);
    out->live = live(f);
    out->rounds = atomic_load(&f->rounds);
    out->full = atomic_load(&f->full);
    out->evicting = atomic_load(&f->evicting);
    out->compacting = phase_of(f) != QUIET;
}
