/* INFO. It adds up counters that the shards publish; nothing is locked, nothing held. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/admin.h"
#include "server/checkpoint.h"
#include "server/cmd/info.h"
#include "server/dispatch.h"
#include "server/flash.h"
#include "server/lazy.h"
#include "server/reply.h"
#include "server/save.h"

static void field(struct buf *b, const char *name, const char *fmt, ...) printf_like(3, 4);
static void field(struct buf *b, const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_printf(b, "%s:%s\r\n", name, text);
}

static void number(struct buf *b, const char *name, uint64_t v) { field(b, name, "%llu", (unsigned long long)v); }

static void human(struct buf *b, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 5; u++)
        v /= 1024;
    if (u == 0)
        field(b, name, "%lluB", (unsigned long long)bytes);
    else
        field(b, name, "%.2f%c", v, units[u]);
}

/* A counter that every shard has. */
static uint64_t over_shards(struct call *c, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        sum += atomic_load_explicit((_Atomic uint64_t *)((char *)c->server->shards[i] + at), memory_order_relaxed);
    return sum;
}

#define STAT_AT(f) offsetof(struct shard_stats, f)
static uint64_t total(struct call *c, size_t at) { return over_shards(c, offsetof(struct shard, stats) + at); }
#define BLOCKED(f) offsetof(struct shard, blocking.counts.f)

static uint64_t channels(struct call *c, enum channel_kind kind)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        sum += atomic_load_explicit(&c->server->shards[i]->pubsub.active[kind], memory_order_relaxed);
    return sum;
}

#define FIGURE_AT(f) offsetof(struct db_figures, f)
static uint64_t figure(struct call *c, uint32_t db, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        sum += atomic_load_explicit((_Atomic uint64_t *)((char *)&c->server->shards[i]->figures[db] + at),
                                    memory_order_relaxed);
    return sum;
}

static uint64_t figure_all(struct call *c, size_t at)
{
    uint64_t sum = 0;
    for (uint32_t db = 0; db < call_databases(c); db++)
        sum += figure(c, db, at);
    return sum;
}

static void server_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct utsname u;
    uint64_t up = (c->shard->now_us - s->started_us) / 1000000;
    uname(&u);
    field(b, "redis_version", "%s", KELVIN_REDIS_VERSION);
    field(b, "redis_mode", "standalone");
    field(b, "kelvin_version", "%s", KELVIN_VERSION);
    field(b, "os", "%s %s %s", u.sysname, u.release, u.machine);
    field(b, "arch_bits", "64");
    field(b, "monotonic_clock", "POSIX clock_gettime");
    field(b, "multiplexing_api", "%s", loop_backend(c->shard->loop));
    field(b, "gcc_version", "%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    number(b, "process_id", (uint64_t)getpid());
    field(b, "process_supervised", "no");
    field(b, "run_id", "%s", s->run_id);
    number(b, "tcp_port", (uint64_t)s->config->port);
    number(b, "server_time_usec", (uint64_t)clock_wall_us(s->clock));
    number(b, "uptime_in_seconds", up);
    number(b, "uptime_in_days", up / 86400);
    number(b, "hz", (uint64_t)s->config->hz);
    number(b, "configured_hz", (uint64_t)s->config->hz);
    number(b, "shards", s->nshards);
    field(b, "executable", "%s", s->executable);
    field(b, "config_file", "%s", s->config->path);
}

static void clients_section(struct call *c, struct buf *b)
{
    number(b, "connected_clients", atomic_load(&c->server->connected));
    number(b, "cluster_connections", 0);
    number(b, "maxclients", (uint64_t)c->server->config->maxclients);
    number(b, "blocked_clients", over_shards(c, BLOCKED(clients)));
    number(b, "tracking_clients", atomic_load(&c->server->tracking_clients));
    number(b, "clients_in_timeout_table", over_shards(c, BLOCKED(timeouts)));
    number(b, "total_blocking_keys", over_shards(c, BLOCKED(keys)));
    number(b, "total_blocking_keys_on_nokey", over_shards(c, BLOCKED(nokey_keys)));
}

static void memory_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct mem_stats m;
    uint64_t data = memory_data(s), peak = atomic_load(&s->peak_memory);
    mem_stats(&m);
    if (m.allocated > peak)
        atomic_store(&s->peak_memory, peak = m.allocated);
    number(b, "used_memory", m.allocated);
    human(b, "used_memory_human", m.allocated);
    number(b, "used_memory_rss", m.rss);
    human(b, "used_memory_rss_human", m.rss);
    number(b, "used_memory_peak", peak);
    human(b, "used_memory_peak_human", peak);
    number(b, "used_memory_overhead", m.allocated > data ? m.allocated - data : 0);
    number(b, "used_memory_dataset", data);
    number(b, "allocator_allocated", m.allocated);
    number(b, "allocator_active", m.active);
    number(b, "allocator_resident", m.resident);
    number(b, "total_system_memory", (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    number(b, "maxmemory", s->config->maxmemory);
    human(b, "maxmemory_human", s->config->maxmemory);
    field(b, "maxmemory_policy", "%s", config_eviction_name(s->config->db_default.eviction));
    number(b, "maxmemory_data_budget", memory_budget(s) == UINT64_MAX ? 0 : memory_budget(s));
    field(b, "allocator_frag_ratio", "%.2f", m.allocated ? (double)m.active / (double)m.allocated : 1.0);
    field(b, "mem_fragmentation_ratio", "%.2f", m.allocated ? (double)m.rss / (double)m.allocated : 1.0);
#ifdef KELVIN_NO_JEMALLOC
    field(b, "mem_allocator", "libc");
#else
    field(b, "mem_allocator", "jemalloc");
#endif
    number(b, "lazyfree_pending_objects", lazy_pending_objects(s->lazy));
    number(b, "pending_free_bytes", lazy_pending_bytes(s->lazy));
}

static void rdb(const struct server *s, struct buf *b)
{
    struct save_info i;
    save_info(s->save, &i);
    number(b, "current_save_keys_processed", i.keys_done);
    number(b, "current_save_keys_total", i.keys);
    number(b, "rdb_changes_since_last_save", i.changes);
    number(b, "rdb_bgsave_in_progress", i.running);
    number(b, "rdb_last_save_time", (uint64_t)i.last_save_s);
    field(b, "rdb_last_bgsave_status", i.last_ok ? "ok" : "err");
    field(b, "rdb_last_bgsave_time_sec", "%lld", (long long)i.last_took_s);
    field(b, "rdb_current_bgsave_time_sec", "%lld", (long long)i.current_for_s);
    number(b, "rdb_saves", i.saves);
    number(b, "rdb_last_load_keys_expired", s->loaded_expired);
    number(b, "rdb_last_load_keys_loaded", s->loaded_keys);
    number(b, "rdb_last_cow_size", 0); /* nothing is copied on write: there is no fork */
}

static void persistence_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct checkpoint_info cp;
    struct log_info l = {0};
    checkpoint_info(s->checkpoint, &cp);
    number(b, "loading", 0);
    number(b, "async_loading", 0);
    rdb(s, b);
    number(b, "aof_enabled", s->config_logged);
    number(b, "aof_rewrite_in_progress", cp.running);
    number(b, "aof_rewrite_scheduled", cp.asked);
    field(b, "aof_last_rewrite_time_sec", "%lld", cp.completed ? (long long)(cp.last_us / 1000000) : -1);
    field(b, "aof_current_rewrite_time_sec", "%lld",
          cp.running ? (long long)((c->shard->now_us - cp.started_us) / 1000000) : -1);
    field(b, "aof_last_bgrewrite_status", "%s", cp.last_error ? "err" : "ok");
    if (s->log == NULL)
        return;
    log_info(s->log, &l);
    field(b, "aof_last_write_status", "%s", l.disk_full ? "err" : "ok");
    number(b, "aof_current_size", l.segment_bytes);
    number(b, "log_segments", l.segments);
    number(b, "log_appended_lsn", log_appended(s->log));
    number(b, "log_written_lsn", log_written(s->log));
    number(b, "log_durable_lsn", log_durable(s->log));
    number(b, "log_since_checkpoint_bytes", log_since_checkpoint(s->log));
    number(b, "log_syncs", l.syncs);
    number(b, "log_last_sync_usec", l.sync_us_last);
    number(b, "log_max_sync_usec", l.sync_us_max);
    number(b, "checkpoints_completed", cp.completed);
    number(b, "checkpoints_failed", cp.failed);
    number(b, "checkpoint_lsn", cp.l0);
    number(b, "checkpoint_last_usec", cp.last_us);
}

#define TRACKED_AT(f) offsetof(struct shard, tracking_figures.f)
static uint64_t tracked(struct call *c, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        sum += atomic_load_explicit((_Atomic uint64_t *)((char *)c->server->shards[i] + at), memory_order_relaxed);
    return sum;
}

static void stats_section(struct call *c, struct buf *b)
{
    number(b, "total_connections_received", total(c, STAT_AT(connections)));
    number(b, "total_commands_processed", total(c, STAT_AT(commands)));
    number(b, "instantaneous_ops_per_sec", atomic_load(&c->server->ops_per_sec));
    number(b, "total_net_input_bytes", total(c, STAT_AT(net_in)));
    number(b, "total_net_output_bytes", total(c, STAT_AT(net_out)));
    number(b, "rejected_connections", total(c, STAT_AT(rejected)));
    number(b, "expired_keys", total(c, STAT_AT(expired)));
    number(b, "expired_subkeys", total(c, STAT_AT(expired_fields)));
    number(b, "evicted_keys", total(c, STAT_AT(evicted)));
    number(b, "keyspace_hits", total(c, STAT_AT(hits)));
    number(b, "keyspace_misses", total(c, STAT_AT(misses)));
    number(b, "pubsub_channels", channels(c, CHANNEL_PLAIN));
    number(b, "pubsub_patterns", atomic_load(&c->shard->pubsub.active[CHANNEL_PATTERN])); /* every shard has all */
    number(b, "pubsubshard_channels", channels(c, CHANNEL_SHARD));
    number(b, "latest_fork_usec", 0);
    number(b, "total_forks", 0);
    number(b, "tracking_total_keys", tracked(c, TRACKED_AT(names)));
    number(b, "tracking_total_items", tracked(c, TRACKED_AT(numbers)));
    number(b, "tracking_total_prefixes", atomic_load(&c->shard->tracking_figures.prefixes)); /* every shard has all */
    number(b, "total_error_replies", total(c, STAT_AT(errors)));
    number(b, "rejected_out_of_memory", total(c, STAT_AT(out_of_memory)));
    number(b, "forwarded_requests", total(c, STAT_AT(forwarded)));
    number(b, "holds", total(c, STAT_AT(holds)));
    number(b, "loop_turns", total(c, STAT_AT(turns)));
}

static void replication_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    field(b, "role", "master");
    number(b, "connected_slaves", 0);
    field(b, "master_failover_state", "no-failover");
    field(b, "master_replid", "%s", s->history.id);
    field(b, "master_replid2", "%s",
          s->history.second[0] ? s->history.second : "0000000000000000000000000000000000000000");
    number(b, "master_repl_offset", s->log ? log_appended(s->log) : 0);
    if (s->history.second[0] != 0)
        number(b, "second_repl_offset", s->history.second_limit + 1);
    else
        field(b, "second_repl_offset", "-1");
    number(b, "repl_backlog_active", 0);
}

static void cpu_section(struct call *c, struct buf *b)
{
    struct rusage u;
    (void)c;
    getrusage(RUSAGE_SELF, &u);
    field(b, "used_cpu_sys", "%lld.%06lld", (long long)u.ru_stime.tv_sec, (long long)u.ru_stime.tv_usec);
    field(b, "used_cpu_user", "%lld.%06lld", (long long)u.ru_utime.tv_sec, (long long)u.ru_utime.tv_usec);
}

/* Ratio: payloads handed to the tier by what their records took, headers included. */
static void compression(struct call *c, const struct tier_stats *t, struct buf *b)
{
    struct trainer_stats tr;
    trainer_stats(c->server->trainer, &tr);
    number(b, "tier_value_bytes_in", t->value_bytes_in);
    number(b, "tier_value_bytes_out", t->value_bytes_out);
    field(b, "tier_compression_ratio", "%.2f",
          t->value_bytes_out ? (double)t->value_bytes_in / (double)t->value_bytes_out : 1.0);
    number(b, "tier_values_with_dictionary", t->values_with_dictionary);
    number(b, "tier_dictionary_id", tr.newest);
    number(b, "tier_dictionaries", tr.dictionaries);
    number(b, "tier_dictionary_trainings", tr.trainings);
    number(b, "tier_dictionary_failures", tr.failures);
}

static void flash(struct call *c, struct buf *b)
{
    struct flash_info f;
    flash_info(c->server->flash, &f);
    number(b, "tier_max_bytes", c->server->config->tier_max_bytes);
    number(b, "tier_live_bytes_estimated", f.live);
    number(b, "tier_full", f.full);
    number(b, "tier_evicting", f.evicting);
    number(b, "tier_compacting", f.compacting);
    number(b, "tier_compactions", f.rounds);
}

static void tier_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct tier_stats sum = {0}, t;
    struct store_stats store = {0};
    uint64_t keys = figure_all(c, FIGURE_AT(keys)), cold = figure_all(c, FIGURE_AT(cold));
    uint64_t bytes = figure_all(c, FIGURE_AT(bytes));
    for (unsigned i = 0; i < s->nshards; i++) {
        tier_stats(s->shards[i]->tier, &t);
        sum.fetches += t.fetches;
        sum.fetch_hits_joined += t.fetch_hits_joined;
        sum.fetch_errors += t.fetch_errors;
        sum.drops += t.drops;
        sum.dropped_probation += t.dropped_probation;
        sum.cleaned += t.cleaned;
        sum.clean_batches += t.clean_batches;
        sum.clean_bytes += t.clean_bytes;
        sum.clean_errors += t.clean_errors;
        sum.fetches_waiting += t.fetches_waiting;
        sum.batches_waiting += t.batches_waiting;
        sum.value_bytes_in += t.value_bytes_in;
        sum.value_bytes_out += t.value_bytes_out;
        sum.values_with_dictionary += t.values_with_dictionary;
    }
    if (s->store != NULL)
        s->store->ops->stats(s->store, &store);
    number(b, "tier_hot_keys", keys - cold);
    number(b, "tier_hot_bytes", bytes);
    number(b, "tier_cold_keys", cold);
    number(b, "tier_cold_bytes", figure_all(c, FIGURE_AT(cold_bytes)));
    number(b, "tier_dirty_keys", figure_all(c, FIGURE_AT(dirty)));
    number(b, "tier_tombs", figure_all(c, FIGURE_AT(tombs)));
    number(b, "tier_fetches", sum.fetches);
    number(b, "tier_fetches_joined", sum.fetch_hits_joined);
    number(b, "tier_fetches_waiting", sum.fetches_waiting);
    number(b, "tier_fetch_errors", sum.fetch_errors);
    number(b, "tier_drops", sum.drops);
    number(b, "tier_drops_on_probation", sum.dropped_probation);
    number(b, "tier_cleaned_keys", sum.cleaned);
    number(b, "tier_clean_batches", sum.clean_batches);
    number(b, "tier_clean_bytes", sum.clean_bytes);
    number(b, "tier_clean_errors", sum.clean_errors);
    number(b, "tier_batches_waiting_for_log", sum.batches_waiting);
    compression(c, &sum, b);
    number(b, "tier_store_bytes", store.bytes_on_disk);
    number(b, "tier_store_memory", store.memory_bytes);
    number(b, "tier_store_memory_limit", s->config->tier_memory);
    flash(c, b);
    number(b, "tier_store_pending_compaction_bytes", store.pending_compaction_bytes);
    number(b, "tier_store_writes_stopped", store.stopped);
}

static void keyspace_section(struct call *c, struct buf *b)
{
    for (uint32_t db = 0; db < call_databases(c); db++) {
        uint64_t keys = figure(c, db, FIGURE_AT(keys));
        if (keys > 0)
            buf_printf(b, "db%u:keys=%llu,expires=%llu,avg_ttl=0,subexpiry=%llu\r\n", db, (unsigned long long)keys,
                       (unsigned long long)figure(c, db, FIGURE_AT(expires)),
                       (unsigned long long)figure(c, db, FIGURE_AT(inner)));
    }
}

static void modules_section(struct call *c, struct buf *b) { (void)c, (void)b; }
static void cluster_section(struct call *c, struct buf *b)
{
    (void)c;
    number(b, "cluster_enabled", 0);
}

static const struct {
    const char *name, *title;
    void (*fn)(struct call *c, struct buf *b);
    bool by_default;
} sections[] = {
    {"server", "Server", server_section, true},
    {"clients", "Clients", clients_section, true},
    {"memory", "Memory", memory_section, true},
    {"persistence", "Persistence", persistence_section, true},
    {"stats", "Stats", stats_section, true},
    {"replication", "Replication", replication_section, true},
    {"cpu", "CPU", cpu_section, true},
    {"modules", "Modules", modules_section, true},
    {"commandstats", "Commandstats", info_commandstats, false},
    {"latencystats", "Latencystats", info_latencystats, false},
    {"errorstats", "Errorstats", info_errorstats, true},
    {"cluster", "Cluster", cluster_section, true},
    {"tier", "Tier", tier_section, true},
    {"keyspace", "Keyspace", keyspace_section, true},
};

static bool wanted(struct call *c, size_t i)
{
    if (c->argc == 1)
        return sections[i].by_default;
    for (int k = 1; k < c->argc; k++) {
        if (slice_is(c->argv[k], sections[i].name) || slice_is(c->argv[k], "all") || slice_is(c->argv[k], "everything"))
            return true;
        if (slice_is(c->argv[k], "default") && sections[i].by_default)
            return true;
    }
    return false;
}

static void info_run(struct call *c)
{
    struct buf b = {0};
    memory_publish(c->shard);
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (!wanted(c, i))
            continue;
        buf_printf(&b, "%s# %s\r\n", b.len ? "\r\n" : "", sections[i].title);
        sections[i].fn(c, &b);
    }
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&b));
    buf_free(&b);
}

static const struct command_arg info_args[] = {
    ARG("section", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};

struct command info_commands[] = {
    {.name = "info",
     .run = info_run,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns information and statistics about the server.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = info_args,
     .tips = STRINGS("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
     .history = STRINGS(CHANGE("7.0.0", "Added support for taking multiple section arguments."))},
    {.name = NULL},
};
