/* How a shard comes to be and how it goes; what it does in between is in shard.c. */
#include "core/base/mem.h"
#include "server/dispatch.h"
#include "server/latency.h"
#include "server/notify.h"
#include "server/script/engine.h"
#include "server/script/loaded.h"
#include "server/server.h"
#include "server/shard_impl.h"
#include "server/tracking.h"

static void post_task(void *arg, struct task *t) { shard_post(arg, t); }

static uint64_t durable(void *arg)
{
    struct server *server = ((struct shard *)arg)->server;
    return server->log ? log_durable(server->log) : UINT64_MAX;
}

static void want_durable(void *arg, uint64_t lsn)
{
    struct server *server = ((struct shard *)arg)->server;
    if (server->log != NULL)
        log_want_durable(server->log, lsn);
}

static void value_moved(void *arg, const struct keyspace *ks, struct key key, bool dropped)
{
    struct shard *s = arg;
    uint32_t db = 0;
    if (likely(!(s->server->config->events & (EVENT_DEMOTED | EVENT_PROMOTED))))
        return;
    while (s->spaces[db] != ks)
        if (++db == (uint32_t)s->server->config->databases)
            return;
    notify_key(s, db, key.name, dropped ? EVENT_DEMOTED : EVENT_PROMOTED, dropped ? "demoted" : "promoted");
}

static void create_tier(struct shard *s)
{
    struct server *server = s->server;
    s->tier = tier_new(&(struct tier_config){
        .store = server->store,
        .pool = server->pool,
        .trainer = server->trainer,
        .compression =
            (enum record_compression[]){RECORD_PLAIN, RECORD_LZ4, RECORD_ZSTD}[server->config->tier_compression],
        .post = post_task,
        .durable = durable,
        .want_durable = want_durable,
        .moved = value_moved,
        .arg = s,
        .limits = &server->config->limits,
        .batch_bytes = max_u64(64 * KIB, min_u64(server->config->tier_memory / 64, MIB)),
        .in_flight_bytes = max_u64(512 * KIB, server->config->tier_memory / 8),
        .seed = rng_u64(&s->rng),
    });
}

int shard_create(struct shard **out, struct server *server, unsigned index)
{
    static const char *const backends[] = {"auto", "io_uring", "epoll"};
    size_t databases = (size_t)server->config->databases;
    struct shard *s = mem_alloc_aligned(sizeof(*s), 64);
    uint64_t seed;
    int err;

    memset(s, 0, sizeof(*s));
    s->server = server;
    s->index = index;
    err = loop_create(&s->loop, backends[server->config->io_backend]);
    if (err < 0) {
        mem_free_aligned(s, sizeof(*s), 64);
        return err;
    }
    s->loop->arg = s;
    sem_init(&s->returned, 0, 0);
    pthread_mutex_init(&s->script_told_lock, NULL);
    mailbox_init(&s->mailbox, shard_wake, s);
    server->entropy->fill(server->entropy, &seed, sizeof(seed));
    rng_seed(&s->rng, seed);
    s->wave = wave_new(WAVE_MAX);
    blocking_init(&s->blocking);
    s->commands = mem_zalloc(sizeof(*s->commands) * command_ids());
    s->spaces = mem_zalloc(sizeof(void *) * databases);
    s->temperature = mem_zalloc(sizeof(*s->temperature) * databases);
    s->figures = mem_zalloc(sizeof(*s->figures) * databases);
    s->clients_by_id = table_new(&clients_type, NULL);
    push_queues_init(&s->pushes);
    s->stage.db = -1;
    create_tier(s);
    shard_update_clock(s);
    shard_update_temperatures(s);
    *out = s;
    return 0;
}

/* The thread has ended. What the tier has under way is waited for first (shard_drain). */
void shard_free(struct shard *s)
{
    size_t databases = (size_t)s->server->config->databases;
    for (size_t db = 0; db < databases; db++)
        if (s->spaces[db] != NULL) {
            tier_detach(s->tier, s->spaces[db]);
            keyspace_free(s->spaces[db]);
        }
    tier_free(s->tier);
    library_forget_all(s);
    if (s->watches != NULL)
        table_free(s->watches);
    tracking_end(s);
    push_queues_free(&s->pushes);
    pubsub_free(s);
    table_free(s->clients_by_id);
    blocking_free(&s->blocking);
    loop_destroy(s->loop);
    stage_free(&s->stage);
    for (int kind = 0; kind < SCRIPT_KINDS; kind++)
        script_env_set(s, kind, NULL);
    wave_free(s->busy_wave);
    wave_free(s->wave);
    wave_free(s->wave_again);
    timing_free(s);
    slowlog_reset(&s->slowlog);
    mem_free(s->monitors, sizeof(*s->monitors) * s->monitors_cap);
    buf_free(&s->script_lines);
    mem_free(s->latency, sizeof(struct latency));
    mem_free(s->commands, sizeof(*s->commands) * command_ids());
    mem_free(s->spaces, sizeof(void *) * databases);
    mem_free(s->temperature, sizeof(*s->temperature) * databases);
    mem_free(s->figures, sizeof(*s->figures) * databases);
    sem_destroy(&s->returned);
    pthread_mutex_destroy(&s->script_told_lock);
    mem_free_aligned(s, sizeof(*s), 64);
}
