/* INFO. It adds up counters that the shards publish; nothing is locked, nothing held. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/admin.h"
#include "server/checkpoint.h"
#include "server/cmd/info.h"
#include "server/dispatch.h"
#include "server/flash.h"
#include "server/lazy.h"
#include "server/memory.h"
#include "server/reply.h"
#include "server/save.h"
#include "server/script/cache.h"

void info_field(struct buf *b, const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_printf(b, "%s:%s\r\n", name, text);
}

void info_number(struct buf *b, const char *name, uint64_t v) { info_field(b, name, "%llu", (unsigned long long)v); }

void info_human(struct buf *b, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 5; u++)
        v /= 1024;
    if (u == 0)
        info_field(b, name, "%lluB", (unsigned long long)bytes);
    else
        info_field(b, name, "%.2f%c", v, units[u]);
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

static uint64_t largest(struct call *c, size_t at)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        most = max_u64(most, atomic_load_explicit((_Atomic uint64_t *)((char *)&c->server->shards[i]->stats + at),
                                                  memory_order_relaxed));
    return most;
}

static uint64_t figure_of(const struct shard *s, uint32_t db, size_t at)
{
    return atomic_load_explicit((_Atomic uint64_t *)((char *)&s->figures[db] + at), memory_order_relaxed);
}

uint64_t info_figure(struct call *c, uint32_t db, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        sum += figure_of(c->server->shards[i], db, at);
    return sum;
}

uint64_t info_figure_all(struct call *c, size_t at)
{
    uint64_t sum = 0;
    for (uint32_t db = 0; db < call_databases(c); db++)
        sum += info_figure(c, db, at);
    return sum;
}

static void server_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct utsname u;
    uint64_t up = (c->shard->now_us - s->started_us) / 1000000;
    uname(&u);
    info_field(b, "redis_version", "%s", KELVIN_REDIS_VERSION);
    info_field(b, "redis_git_sha1", "00000000"); /* it is not built from Redis's sources */
    info_number(b, "redis_git_dirty", 0);
    info_field(b, "redis_build_id", "%016llx",
               (unsigned long long)hash_key(SLICE_LIT(KELVIN_REDIS_VERSION " " KELVIN_VERSION), 0));
    info_field(b, "redis_mode", "standalone");
    info_field(b, "kelvin_version", "%s", KELVIN_VERSION);
    info_field(b, "os", "%s %s %s", u.sysname, u.release, u.machine);
    info_field(b, "arch_bits", "64");
    info_field(b, "monotonic_clock", "POSIX clock_gettime");
    info_field(b, "multiplexing_api", "%s", loop_backend(c->shard->loop));
    info_field(b, "atomicvar_api", "c11-builtin");
    info_field(b, "gcc_version", "%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    info_number(b, "process_id", (uint64_t)getpid());
    info_field(b, "process_supervised", "no");
    info_field(b, "run_id", "%s", s->run_id);
    info_number(b, "tcp_port", (uint64_t)s->config->port);
    info_number(b, "server_time_usec", (uint64_t)clock_wall_us(s->clock));
    info_number(b, "uptime_in_seconds", up);
    info_number(b, "uptime_in_days", up / 86400);
    info_number(b, "hz", (uint64_t)s->config->hz);
    info_number(b, "configured_hz", (uint64_t)s->config->hz);
    info_number(b, "lru_clock", (uint64_t)c->now_ms / 1000 & 0xffffff);
    info_number(b, "shards", s->nshards);
    info_field(b, "executable", "%s", s->executable);
    info_field(b, "config_file", "%s", s->config->path);
    info_number(b, "io_threads_active", 0); /* every shard reads and writes for its own clients */
}

static void clients_section(struct call *c, struct buf *b)
{
    info_number(b, "connected_clients", atomic_load(&c->server->connected));
    info_number(b, "cluster_connections", 0);
    info_number(b, "maxclients", (uint64_t)c->server->config->maxclients);
    info_number(b, "client_recent_max_input_buffer", largest(c, STAT_AT(input_max)));
    info_number(b, "client_recent_max_output_buffer", largest(c, STAT_AT(output_max)));
    info_number(b, "blocked_clients",
                over_shards(c, BLOCKED(clients)) + over_shards(c, offsetof(struct shard, retry.blocked)));
    info_number(b, "tracking_clients", atomic_load(&c->server->tracking_clients));
    info_number(b, "pubsub_clients", atomic_load(&c->server->pubsub_clients));
    info_number(b, "watching_clients", atomic_load(&c->server->watching_clients));
    info_number(b, "total_watched_keys", atomic_load(&c->server->watched_keys));
    info_number(b, "clients_in_timeout_table", over_shards(c, BLOCKED(timeouts)));
    info_number(b, "total_blocking_keys", over_shards(c, BLOCKED(keys)));
    info_number(b, "total_blocking_keys_on_nokey", over_shards(c, BLOCKED(nokey_keys)));
}

static double percent(uint64_t part, uint64_t of) { return of > 0 ? (double)part * 100 / (double)of : 0; }
static double times(uint64_t a, uint64_t b) { return b > 0 ? (double)a / (double)b : 1; }

static void difference(struct buf *b, const char *name, uint64_t x, uint64_t y)
{
    info_field(b, name, "%lld", (long long)(x - y));
}

static void allocator(struct call *c, struct buf *b, const struct mem_stats *m)
{
    info_field(b, "allocator_frag_ratio", "%.2f", times(m->active, m->allocated));
    difference(b, "allocator_frag_bytes", m->active, m->allocated);
    info_field(b, "allocator_rss_ratio", "%.2f", times(m->resident, m->active));
    difference(b, "allocator_rss_bytes", m->resident, m->active);
    info_field(b, "rss_overhead_ratio", "%.2f", times(m->rss, m->resident));
    difference(b, "rss_overhead_bytes", m->rss, m->resident);
    info_field(b, "mem_fragmentation_ratio", "%.2f", times(m->rss, m->allocated));
    difference(b, "mem_fragmentation_bytes", m->rss, m->allocated);
    info_number(b, "mem_not_counted_for_evict", 0);
    info_number(b, "mem_replication_backlog", 0);
    info_number(b, "mem_total_replication_buffers", 0);
    info_number(b, "mem_clients_slaves", 0);
    info_number(b, "mem_clients_normal", total(c, STAT_AT(clients_bytes)));
    info_number(b, "mem_cluster_links", 0);
    info_number(b, "mem_aof_buffer", 0); /* what a turn has staged is written at its end */
#ifdef KELVIN_NO_JEMALLOC
    info_field(b, "mem_allocator", "libc");
#else
    info_field(b, "mem_allocator", "jemalloc");
#endif
    info_number(b, "active_defrag_running", 0);
}

static void script_figures(const struct server *s, struct buf *b)
{
    uint64_t eval = script_memory(s, SCRIPT_EVAL), functions = script_memory(s, SCRIPT_FUNCTION);
    struct script_cache_info cache = script_cache_info(s->scripts);
    info_number(b, "used_memory_lua", eval);
    info_number(b, "used_memory_vm_eval", eval);
    info_human(b, "used_memory_lua_human", eval);
    info_number(b, "used_memory_scripts_eval", cache.bytes);
    info_number(b, "number_of_cached_scripts", cache.scripts);
    info_number(b, "used_memory_vm_total", eval + functions);
    info_human(b, "used_memory_vm_total_human", eval + functions);
    info_number(b, "used_memory_scripts", cache.bytes + atomic_load(&s->figures_of_functions.bytes));
    info_human(b, "used_memory_scripts_human", cache.bytes + atomic_load(&s->figures_of_functions.bytes));
}

static void memory_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct mem_stats m;
    uint64_t data = memory_data(s), peak = atomic_load(&s->peak_memory);
    uint64_t system = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    mem_stats(&m);
    if (m.allocated > peak)
        atomic_store(&s->peak_memory, peak = m.allocated);
    info_number(b, "used_memory", m.allocated);
    info_human(b, "used_memory_human", m.allocated);
    info_number(b, "used_memory_rss", m.rss);
    info_human(b, "used_memory_rss_human", m.rss);
    info_number(b, "used_memory_peak", peak);
    info_human(b, "used_memory_peak_human", peak);
    info_field(b, "used_memory_peak_perc", "%.2f%%", percent(m.allocated, peak));
    info_number(b, "used_memory_overhead", m.allocated > data ? m.allocated - data : 0);
    info_number(b, "used_memory_startup", s->memory_at_start);
    info_number(b, "used_memory_dataset", data);
    info_field(b, "used_memory_dataset_perc", "%.2f%%",
               m.allocated > s->memory_at_start ? fmin(percent(data, m.allocated - s->memory_at_start), 100) : 0);
    info_number(b, "number_of_functions", atomic_load(&s->figures_of_functions.functions));
    info_number(b, "number_of_libraries", atomic_load(&s->figures_of_functions.libraries));
    info_number(b, "used_memory_vm_functions", script_memory(s, SCRIPT_FUNCTION));
    info_number(b, "used_memory_functions", atomic_load(&s->figures_of_functions.bytes));
    info_number(b, "allocator_allocated", m.allocated);
    info_number(b, "allocator_active", m.active);
    info_number(b, "allocator_resident", m.resident);
    info_number(b, "total_system_memory", system);
    info_human(b, "total_system_memory_human", system);
    script_figures(s, b);
    info_number(b, "maxmemory", s->config->maxmemory);
    info_human(b, "maxmemory_human", s->config->maxmemory);
    info_field(b, "maxmemory_policy", "%s", config_eviction_name(s->config->db_default.eviction));
    info_number(b, "maxmemory_data_budget", memory_budget(s) == UINT64_MAX ? 0 : memory_budget(s));
    allocator(c, b, &m);
    info_number(b, "lazyfree_pending_objects", lazy_pending_objects(s->lazy));
    info_number(b, "lazyfreed_objects", lazy_freed_objects(s->lazy));
    info_number(b, "pending_free_bytes", lazy_pending_bytes(s->lazy));
}

static void rdb(const struct server *s, struct buf *b)
{
    struct save_info i;
    save_info(s->save, &i);
    info_number(b, "current_cow_peak", 0); /* nothing is copied on write: there is no fork */
    info_number(b, "current_cow_size", 0);
    info_number(b, "current_cow_size_age", 0);
    info_field(b, "current_fork_perc", "0.00");
    info_number(b, "current_save_keys_processed", i.keys_done);
    info_number(b, "current_save_keys_total", i.keys);
    info_number(b, "rdb_changes_since_last_save", i.changes);
    info_number(b, "rdb_bgsave_in_progress", i.running);
    info_number(b, "rdb_last_save_time", (uint64_t)i.last_save_s);
    info_field(b, "rdb_last_bgsave_status", i.last_ok ? "ok" : "err");
    info_field(b, "rdb_last_bgsave_time_sec", "%lld", (long long)i.last_took_s);
    info_field(b, "rdb_current_bgsave_time_sec", "%lld", (long long)i.current_for_s);
    info_number(b, "rdb_saves", i.saves);
    info_number(b, "rdb_last_load_keys_expired", s->loaded_expired);
    info_number(b, "rdb_last_load_keys_loaded", s->loaded_keys);
    info_number(b, "rdb_last_cow_size", 0);
}

static void persistence_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct checkpoint_info cp;
    struct log_info l = {0};
    checkpoint_info(s->checkpoint, &cp);
    info_number(b, "loading", 0);
    info_number(b, "async_loading", 0);
    rdb(s, b);
    info_number(b, "aof_enabled", s->config_logged);
    info_number(b, "aof_rewrite_in_progress", cp.running);
    info_number(b, "aof_rewrite_scheduled", cp.asked);
    info_field(b, "aof_last_rewrite_time_sec", "%lld", cp.completed ? (long long)(cp.last_us / 1000000) : -1);
    info_field(b, "aof_current_rewrite_time_sec", "%lld",
               cp.running ? (long long)((c->shard->now_us - cp.started_us) / 1000000) : -1);
    info_field(b, "aof_last_bgrewrite_status", "%s", cp.last_error ? "err" : "ok");
    info_number(b, "aof_rewrites", cp.completed);
    info_number(b, "aof_last_cow_size", 0);
    info_number(b, "module_fork_in_progress", 0);
    info_number(b, "module_fork_last_cow_size", 0);
    if (s->log == NULL)
        return;
    log_info(s->log, &l);
    info_field(b, "aof_last_write_status", "%s", l.disk_full ? "err" : "ok");
    uint64_t size = log_appended(s->log) - min_u64(l.first_lsn, log_appended(s->log));
    info_number(b, "aof_current_size", size);
    info_number(b, "aof_base_size", size - min_u64(size, log_since_checkpoint(s->log)));
    info_number(b, "aof_pending_rewrite", cp.asked && !cp.running);
    info_number(b, "aof_buffer_length", 0); /* what a turn has staged is written at its end */
    info_number(b, "aof_pending_bio_fsync", log_durable(s->log) < log_written(s->log));
    info_number(b, "log_segments", l.segments);
    info_number(b, "log_segments_bytes", l.segment_bytes); /* with what is allocated ahead */
    info_number(b, "log_appended_lsn", log_appended(s->log));
    info_number(b, "log_written_lsn", log_written(s->log));
    info_number(b, "log_durable_lsn", log_durable(s->log));
    info_number(b, "log_since_checkpoint_bytes", log_since_checkpoint(s->log));
    info_number(b, "log_checkpoint_due_bytes", checkpoint_due_at(s));
    info_number(b, "log_syncs", l.syncs);
    info_number(b, "log_last_sync_usec", l.sync_us_last);
    info_number(b, "log_max_sync_usec", l.sync_us_max);
    info_number(b, "checkpoints_completed", cp.completed);
    info_number(b, "checkpoints_failed", cp.failed);
    info_number(b, "checkpoint_lsn", cp.l0);
    info_number(b, "checkpoint_last_usec", cp.last_us);
}

#define TRACKED_AT(f) offsetof(struct shard, tracking_figures.f)
static uint64_t tracked(struct call *c, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++)
        sum += atomic_load_explicit((_Atomic uint64_t *)((char *)c->server->shards[i] + at), memory_order_relaxed);
    return sum;
}

/* The allocator's pages are not rearranged. */
static void defragmentation(struct buf *b)
{
    static const char *const names[] = {
        "active_defrag_hits",       "active_defrag_misses",     "active_defrag_key_hits",
        "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        info_number(b, names[i], 0);
}

/* A cycle is a turn of a shard. */
static void event_loop(struct call *c, struct buf *b)
{
    const struct ticks *t = &c->server->timing.ticks;
    const struct rates *r = &c->server->rates;
    uint64_t turns = atomic_load(&r->turns), us = ticks_ns(t, atomic_load(&r->turn_ticks)) / 1000;
    info_number(b, "eventloop_cycles", total(c, STAT_AT(turns)));
    info_number(b, "eventloop_duration_sum", ticks_ns(t, total(c, STAT_AT(turn_ticks))) / 1000);
    info_number(b, "eventloop_duration_cmd_sum", ticks_ns(t, total(c, STAT_AT(command_ticks))) / 1000);
    info_number(b, "instantaneous_eventloop_cycles_per_sec", turns);
    info_number(b, "instantaneous_eventloop_duration_usec", turns > 0 ? us / turns : 0);
}

static void stats_section(struct call *c, struct buf *b)
{
    info_number(b, "total_connections_received", total(c, STAT_AT(connections)));
    info_number(b, "total_commands_processed", timing_calls(c->server));
    info_number(b, "instantaneous_ops_per_sec", atomic_load(&c->server->rates.ops));
    info_number(b, "total_net_input_bytes", total(c, STAT_AT(net_in)));
    info_number(b, "total_net_output_bytes", total(c, STAT_AT(net_out)));
    info_number(b, "total_net_repl_input_bytes", 0);
    info_number(b, "total_net_repl_output_bytes", 0);
    info_field(b, "instantaneous_input_kbps", "%.2f", (double)atomic_load(&c->server->rates.in) / 1024);
    info_field(b, "instantaneous_output_kbps", "%.2f", (double)atomic_load(&c->server->rates.out) / 1024);
    info_field(b, "instantaneous_input_repl_kbps", "0.00");
    info_field(b, "instantaneous_output_repl_kbps", "0.00");
    info_number(b, "rejected_connections", total(c, STAT_AT(rejected)));
    info_number(b, "sync_full", 0);
    info_number(b, "sync_partial_ok", 0);
    info_number(b, "sync_partial_err", 0);
    info_number(b, "expired_keys", total(c, STAT_AT(expired)));
    info_number(b, "expired_subkeys", total(c, STAT_AT(expired_fields)));
    info_field(b, "expired_stale_perc", "0.00"); /* an index says what is due: nothing is left to be sampled */
    info_number(b, "expired_time_cap_reached_count", total(c, STAT_AT(expire_cut)));
    info_number(b, "expire_cycle_cpu_milliseconds",
                ticks_ns(&c->server->timing.ticks, total(c, STAT_AT(expire_ticks))) / 1000000);
    info_number(b, "evicted_keys", total(c, STAT_AT(evicted)));
    info_number(b, "evicted_clients", 0);
    info_number(b, "evicted_scripts", total(c, STAT_AT(evicted_scripts)));
    info_number(b, "keyspace_hits", total(c, STAT_AT(hits)));
    info_number(b, "keyspace_misses", total(c, STAT_AT(misses)));
    info_number(b, "pubsub_channels", channels(c, CHANNEL_PLAIN));
    info_number(b, "pubsub_patterns", atomic_load(&c->shard->pubsub.active[CHANNEL_PATTERN])); /* every shard has all */
    info_number(b, "pubsubshard_channels", channels(c, CHANNEL_SHARD));
    info_number(b, "latest_fork_usec", 0);
    info_number(b, "total_forks", 0);
    info_number(b, "migrate_cached_sockets", 0);
    info_number(b, "slave_expires_tracked_keys", 0);
    defragmentation(b);
    info_number(b, "tracking_total_keys", tracked(c, TRACKED_AT(names)));
    info_number(b, "tracking_total_items", tracked(c, TRACKED_AT(numbers)));
    info_number(b, "tracking_total_prefixes",
                atomic_load(&c->shard->tracking_figures.prefixes)); /* every shard has all */
    info_number(b, "unexpected_error_replies", 0);
    info_number(b, "total_error_replies", total(c, STAT_AT(errors)));
    info_number(b, "total_reads_processed", total(c, STAT_AT(reads)));
    info_number(b, "total_writes_processed", total(c, STAT_AT(writes)));
    info_number(b, "io_threaded_reads_processed", 0);
    info_number(b, "io_threaded_writes_processed", 0);
    info_number(b, "rejected_out_of_memory", total(c, STAT_AT(out_of_memory)));
    info_number(b, "forwarded_requests", total(c, STAT_AT(forwarded)));
    info_number(b, "holds", total(c, STAT_AT(holds)));
    info_number(b, "client_query_buffer_limit_disconnections", total(c, STAT_AT(input_cut)));
    info_number(b, "client_output_buffer_limit_disconnections", total(c, STAT_AT(output_cut)));
    event_loop(c, b);
}

static void replication_section(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    info_field(b, "role", "master");
    info_number(b, "connected_slaves", 0);
    info_field(b, "master_failover_state", "no-failover");
    info_field(b, "master_replid", "%s", s->history.id);
    info_field(b, "master_replid2", "%s",
               s->history.second[0] ? s->history.second : "0000000000000000000000000000000000000000");
    info_number(b, "master_repl_offset", s->log ? log_appended(s->log) : 0);
    if (s->history.second[0] != 0)
        info_number(b, "second_repl_offset", s->history.second_limit + 1);
    else
        info_field(b, "second_repl_offset", "-1");
    info_number(b, "repl_backlog_active", 0);
    info_number(b, "repl_backlog_size", 0);
    info_number(b, "repl_backlog_first_byte_offset", 0);
    info_number(b, "repl_backlog_histlen", 0);
}

static void cpu_times(struct buf *b, int who, const char *suffix)
{
    char name[64];
    struct rusage u;
    getrusage(who, &u);
    snprintf(name, sizeof(name), "used_cpu_sys%s", suffix);
    info_field(b, name, "%lld.%06lld", (long long)u.ru_stime.tv_sec, (long long)u.ru_stime.tv_usec);
    snprintf(name, sizeof(name), "used_cpu_user%s", suffix);
    info_field(b, name, "%lld.%06lld", (long long)u.ru_utime.tv_sec, (long long)u.ru_utime.tv_usec);
}

/* The main thread is the one that runs commands: with several shards, that of the client that asks. */
static void cpu_section(struct call *c, struct buf *b)
{
    (void)c;
    cpu_times(b, RUSAGE_SELF, "");
    cpu_times(b, RUSAGE_CHILDREN, "_children");
    cpu_times(b, RUSAGE_THREAD, "_main_thread");
}

static uint64_t mean_ttl_ms(struct call *c, uint32_t db)
{
    uint64_t keys = 0;
    double sum = 0;
    for (unsigned i = 0; i < c->server->nshards; i++) {
        const struct shard *s = c->server->shards[i];
        uint64_t n = figure_of(s, db, FIGURE_AT(expires)), mean = figure_of(s, db, FIGURE_AT(mean_expiry_ms));
        keys += n;
        if (mean > (uint64_t)c->now_ms)
            sum += (double)(mean - (uint64_t)c->now_ms) * (double)n;
    }
    return keys > 0 ? (uint64_t)(sum / (double)keys) : 0;
}

static void keyspace_section(struct call *c, struct buf *b)
{
    for (uint32_t db = 0; db < call_databases(c); db++) {
        uint64_t keys = info_figure(c, db, FIGURE_AT(keys));
        if (keys > 0)
            buf_printf(b, "db%u:keys=%llu,expires=%llu,avg_ttl=%llu,subexpiry=%llu\r\n", db, (unsigned long long)keys,
                       (unsigned long long)info_figure(c, db, FIGURE_AT(expires)),
                       (unsigned long long)mean_ttl_ms(c, db),
                       (unsigned long long)info_figure(c, db, FIGURE_AT(inner)));
    }
}

static void modules_section(struct call *c, struct buf *b) { (void)c, (void)b; }
static void cluster_section(struct call *c, struct buf *b)
{
    (void)c;
    info_number(b, "cluster_enabled", 0);
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
    {"tier", "Tier", info_tier, true},
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
