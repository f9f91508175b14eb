#include "server/server.h"
#include "server/memory.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/admin.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/flash.h"
#include "server/latency.h"
#include "server/lazy.h"
#include "server/save.h"
#include "server/spaces.h"

/* --- listening --- */

static void accepted(struct listener *ln, struct conn *c, void *arg)
{
    (void)ln;
    client_accept(arg, c, false);
}

static void accepted_unix(struct listener *ln, struct conn *c, void *arg)
{
    (void)ln;
    client_accept(arg, c, true);
}

static void accept_failed(struct listener *ln, int error, void *arg)
{
    struct shard *s = arg;
    (void)ln;
    logger_line(s->server->logger, LOG_WARNING, "Accepting a client connection: %s", strerror(-error));
}

static const struct listener_handlers tcp_handlers = {accepted, accept_failed};
static const struct listener_handlers unix_handlers = {accepted_unix, accept_failed};

static int add_listener(struct server *server, unsigned shard, int fd, bool is_unix)
{
    if (server->nlisten == (int)ARRAY_LEN(server->listening))
        return -E2BIG;
    server->listening[server->nlisten++] = (struct listening){fd, shard, is_unix};
    return 0;
}

/* Whether the port is to be had: bound without SO_REUSEPORT, with which another server's port would be shared, and a
 * part of its connections taken. A predecessor that was killed holds its port for up to some 20 ms beyond its death
 * (measured): its accept requests hold the listening sockets, and the kernel takes an io_uring's requests back in a
 * worker, after the process is gone. Returns a bound socket. */
static int occupy_port(struct server *server, const char *addr)
{
    int fd = -EADDRINUSE;
    for (int i = 0; i < 20 && fd == -EADDRINUSE; i++) {
        if (i > 0)
            server->clock->sleep_us(server->clock, 10000);
        fd = net_listen_tcp(addr, server->config->port, -1, false);
    }
    return fd;
}

static int listen_one(struct server *server, const char *addr, unsigned shard)
{
    int fd = shard == 0 ? occupy_port(server, addr) : 0;
    if (fd < 0)
        return fd;
    if (shard == 0)
        close(fd);
    return net_listen_tcp(addr, server->config->port, server->config->tcp_backlog, server->nshards > 1);
}

/* Each shard has a socket of its own on the address (SO_REUSEPORT): the kernel spreads connections over them. */
static int listen_tcp(struct server *server, const char *addr)
{
    bool optional = addr[0] == '-';
    for (unsigned i = 0; i < server->nshards; i++) {
        int fd = listen_one(server, addr + optional, i);
        if (fd < 0 && optional && i == 0)
            return 0;
        int err = fd < 0 ? fd : add_listener(server, i, fd, false);
        if (err < 0) {
            logger_line(server->logger, LOG_WARNING,
                        "Warning: Could not create server TCP listening socket %s:%d: bind: %s", addr + optional,
                        server->config->port, strerror(-err));
            return err;
        }
        if (server->config->port == 0)
            server->config->port = net_local_port(fd);
    }
    return 0;
}

static int listen_all_tcp(struct server *server)
{
    char copy[1024], *save = NULL;
    int err = 0;
    snprintf(copy, sizeof(copy), "%s", server->config->bind);
    for (char *addr = strtok_r(copy, " ", &save); addr != NULL && err == 0; addr = strtok_r(NULL, " ", &save))
        err = listen_tcp(server, addr);
    if (err < 0)
        logger_line(server->logger, LOG_WARNING, "Failed listening on port %d (tcp), aborting.", server->config->port);
    return err;
}

/* A loop belongs to its thread, so each shard begins to accept by a task of its own. */
struct listen_task {
    struct task task;
    struct server *server;
};

static void run_listen(struct task *t, void *arg)
{
    struct listen_task *l = container_of(t, struct listen_task, task);
    struct server *server = l->server;
    struct shard *s = arg;
    for (int i = 0; i < server->nlisten; i++) {
        const struct listening *li = &server->listening[i];
        if (li->shard == s->index && s->nlisteners < (int)ARRAY_LEN(s->listeners) &&
            loop_listen(s->loop, li->fd, li->is_unix ? &unix_handlers : &tcp_handlers, s,
                        &s->listeners[s->nlisteners]) == 0)
            s->nlisteners++;
    }
    mem_free(l, sizeof(*l));
    atomic_fetch_add(&server->listening_shards, 1);
}

static int open_sockets(struct server *server)
{
    struct config *cfg = server->config;
    int err = cfg->port != 0 || cfg->unixsocket[0] == 0 ? listen_all_tcp(server) : 0;
    if (err < 0 || cfg->unixsocket[0] == 0)
        return err;
    int fd = net_listen_unix(cfg->unixsocket, cfg->unixsocketperm, cfg->tcp_backlog);
    err = fd < 0 ? fd : add_listener(server, 0, fd, true);
    if (err < 0)
        logger_line(server->logger, LOG_WARNING, "Failed opening Unix socket: bind: %s", strerror(-err));
    return err;
}

int server_listen(struct server *server)
{
    int err = open_sockets(server);
    if (err < 0)
        return err;
    for (unsigned i = 0; i < server->nshards; i++) {
        struct listen_task *l = mem_zalloc(sizeof(*l));
        l->task.run = run_listen;
        l->server = server;
        shard_post(server->shards[i], &l->task);
    }
    while (atomic_load(&server->listening_shards) < server->nshards)
        server->clock->sleep_us(server->clock, 500);
    return 0;
}

/* --- the log's callbacks --- */

void server_log_progress(void *arg)
{
    struct server *server = arg;
    for (unsigned i = 0; i < server->nshards; i++) {
        struct shard *s = server->shards[i];
        if (atomic_load(&s->wants_log) && atomic_exchange(&s->wants_log, false))
            loop_wake(s->loop);
    }
}

/* Fail-stop (DESIGN section 4): withheld replies go down with their connections. */
void server_log_fatal(void *arg, const char *what, int error)
{
    struct server *server = arg;
    atomic_store(&server->dying, true);
    logger_line(server->logger, LOG_WARNING,
                "The log cannot be written: %s: %s. Exiting: nothing more is acknowledged.", what, strerror(-error));
    _exit(1);
}

/* --- cron --- */

/* Some figures come and go faster than room can be made: they fall slowly, by half in two seconds. */
static void hold_peak(_Atomic uint64_t *at, uint64_t now)
{
    uint64_t before = atomic_load(at);
    atomic_store(at, now < before ? before - (before - now) / 32 : now);
}

/* What the process takes beside the databases' data: maxmemory has to leave room for it. Fragmentation is in it, and
 * RocksDB's share, whether it uses it yet or not. */
static void measure_overhead(struct server *server)
{
    struct mem_stats m;
    uint64_t transit = memory_transit(server), taken;
    uint64_t data = memory_data(server) + transit + lazy_pending_bytes(server->lazy);
    mem_stats(&m);
    taken = m.active + (m.rss > m.resident ? m.rss - m.resident : 0);
    uint64_t other = taken > data ? taken - data : 0, store = min_u64(other, flash_store_memory(server->flash));
    uint64_t now = other - store + max_u64(store, server->config->tier_memory);
    hold_peak(&server->overhead_bytes, now);
    hold_peak(&server->transit_bytes, transit);
    if (m.allocated > atomic_load(&server->peak_memory))
        atomic_store(&server->peak_memory, m.allocated);
}

static void measure_rate(_Atomic uint64_t *rate, uint64_t *last, uint64_t now, uint64_t us)
{
    atomic_store(rate, (uint64_t)((double)(now - min_u64(now, *last)) * 1e6 / (double)us));
    *last = now;
}

static uint64_t over_shards(const struct server *server, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit((_Atomic uint64_t *)((char *)&server->shards[i]->stats + at), memory_order_relaxed);
    return sum;
}

#define OVER_SHARDS(server, f) over_shards(server, offsetof(struct shard_stats, f))

static void measure_rates(struct server *server)
{
    struct rates *r = &server->rates;
    uint64_t now = server->shards[0]->now_us, us = now - r->last_us;
    if (us < 1000000)
        return;
    measure_rate(&r->ops, &r->last_ops, timing_calls(server), us);
    measure_rate(&r->in, &r->last_in, OVER_SHARDS(server, net_in), us);
    measure_rate(&r->out, &r->last_out, OVER_SHARDS(server, net_out), us);
    measure_rate(&r->turns, &r->last_turns, OVER_SHARDS(server, turns), us);
    measure_rate(&r->turn_ticks, &r->last_turn_ticks, OVER_SHARDS(server, turn_ticks), us);
    r->last_us = now;
}

/* The longest since the last look. */
static void measure_fsync(struct server *server)
{
    const struct timing *t = &server->timing;
    uint64_t us = server->log != NULL ? log_sync_us_recent(server->log) : 0;
    uint64_t ticks = ticks_of_us(&t->ticks, us);
    if (us > 0 && ticks >= atomic_load_explicit(&t->latency, memory_order_relaxed))
        latency_add(server->shards[0], LATENCY_LOG_FSYNC, ticks);
}

void server_cron(struct server *server)
{
    measure_overhead(server);
    measure_rates(server);
    measure_fsync(server);
    ticks_calibrate(&server->timing.ticks);
    timing_follow(server);
    flash_cron(server);
    checkpoint_cron(server);
    save_cron(server);
}

void server_stop(struct server *server, int exit_code)
{
    atomic_store(&server->exit_code, exit_code);
    atomic_store(&server->shutdown_asked, true);
}

/* --- what administrative commands ask for --- */

struct config *admin_config(struct call *c) { return c->server->config; }

static bool others_logged(const struct server *server, uint32_t but)
{
    for (uint32_t db = 0; db < (uint32_t)server->config->databases; db++)
        if (db != but && server_logged(server, db))
            return true;
    return false;
}

/* A change of mode (DESIGN section 4). To a logged mode: everything is marked dirty (spaces_apply_mode) and a
 * checkpoint is asked for; the manifest says "logged" only when it has completed. From one: the marker in the log is
 * FLUSHDB, after which replay finds nothing more of that database, and FUNCTION FLUSH with the last one. */
static void change_mode(struct call *c, uint32_t db)
{
    struct server *server = c->server;
    int was = server->modes[db], now = server->config->db[db].durability;
    if (was == now)
        return;
    if (was >= DURABILITY_OS && now < DURABILITY_OS) {
        struct slice argv[] = {SLICE_LIT("FLUSHDB")};
        effect_in(c, db, 1, argv);
    }
    if (was >= DURABILITY_OS && now < DURABILITY_OS && !others_logged(server, db)) {
        struct slice argv[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("FLUSH")};
        effect_of_server(c, 2, argv);
    }
    server->modes[db] = (uint8_t)now;
    if (was == DURABILITY_SNAPSHOT || now == DURABILITY_SNAPSHOT)
        checkpoint_ask(server->checkpoint); /* which records what a start has to read the RDB file for */
    if (was < DURABILITY_OS && now >= DURABILITY_OS)
        checkpoint_ask(server->checkpoint);
}

/* The first logged database that is to live by the RDB file; -1: none. */
static int64_t leaves_log(const struct server *server)
{
    for (int db = 0; db < server->config->databases; db++)
        if (server_logged(server, (uint32_t)db) && server->config->db[db].durability == DURABILITY_SNAPSHOT)
            return db;
    return -1;
}

/* What a database held is forgotten by the log when it changes to the file, so it has to be in a file before. Recovery
 * believes that file only if it is newer than the last checkpoint: the log goes on by an effect without meaning. */
bool admin_config_prepare(struct call *c, char *error)
{
    struct server *server = c->server;
    int64_t db = leaves_log(server);
    struct slice argv[] = {SLICE_LIT("PING")};
    if (db < 0)
        return true;
    if (c->in_exec) {
        snprintf(error, 512, "durability snapshot cannot be set inside a transaction");
        return false;
    }
    effect_in(c, (uint32_t)db, 1, argv);
    stage_end(&c->shard->stage);
    shard_append(c->shard, c->held ? server->holds.held : 1ull << c->shard->index);
    stage_begin(&c->shard->stage);
    int err = save_anew(server->save);
    if (err < 0)
        snprintf(error, 512, "the RDB file, which is to hold the database, cannot be written: %s", strerror(-err));
    return err == 0;
}

bool server_everysec(const struct server *server)
{
    for (int db = 0; db < server->config->databases; db++)
        if (server->modes[db] == DURABILITY_EVERYSEC)
            return true;
    return false;
}

void admin_config_changed(struct call *c)
{
    struct server *server = c->server;
    for (uint32_t db = 0; db < call_databases(c); db++) {
        change_mode(c, db);
        spaces_apply_mode(server, db);
    }
    spaces_refresh(server);
    config_resolve(server->config);
    for (unsigned i = 0; i < server->nshards; i++)
        shard_update_temperatures(server->shards[i]);
    log_set_everysec(server->log, server_everysec(server));
    timing_follow(server);
    save_configure(server->save);
    logger_set_level(server->logger, (enum log_level)server->config->loglevel);
}

void admin_reset_stats(struct call *c)
{
    for (unsigned i = 0; i < c->server->nshards; i++) {
        struct shard *s = c->server->shards[i];
        memset(&s->stats, 0, sizeof(s->stats));
        timing_reset(s);
    }
    lazy_reset_stats(c->server->lazy);
    atomic_store(&c->server->peak_memory, 0);
}

void admin_shutdown(struct call *c)
{
    logger_line(c->server->logger, LOG_WARNING, "User requested shutdown...");
    if (c->client != NULL)
        client_close(c->client, true);
    server_stop(c->server, 0);
}
