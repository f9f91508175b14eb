/* Every directive is one row of `directives`: CONFIG GET/SET/REWRITE, the file and the command line come from it. A
 * directive of the group "per database" stands in struct db_config; unprefixed it is the default for every database,
 * "db N name value" (CONFIG: db.N.name) sets it for one. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/config_table.h"

const char *const config_yes_no[] = {"no", "yes", NULL};
static const char *const io_backends[] = {"auto", "io_uring", "epoll", NULL};
static const char *const loglevels[] = {"debug", "verbose", "notice", "warning", "nothing", NULL};
static const char *const debugs[] = {"no", "yes", "local", NULL};
static const char *const fsyncs[] = {"always", "everysec", "no", NULL};
static const char *const durabilities[] = {"none", "snapshot", "os", "everysec", "always", NULL};
static const char *const evictions[] = {"noeviction",      "allkeys-lru",  "allkeys-lfu",
                                        "allkeys-random",  "volatile-lru", "volatile-lfu",
                                        "volatile-random", "volatile-ttl", NULL};
static const char *const compressions[] = {"none", "lz4", "zstd", NULL};
static const char *const auto_word[] = {"auto", NULL};

#define AT(field) offsetof(struct config, field)
#define DB_AT(field) offsetof(struct db_config, field)
#define INT(n, f, lo, hi, dv, fl)                                                                   \
    {                                                                                               \
        .name = n, .type = DIRECTIVE_INT, .at = AT(f), .min = lo, .max = hi, .def = dv, .flags = fl \
    }
#define I64(n, f, lo, hi, dv, fl)                                                                   \
    {                                                                                               \
        .name = n, .type = DIRECTIVE_I64, .at = AT(f), .min = lo, .max = hi, .def = dv, .flags = fl \
    }
#define BYTES(n, f, lo, hi, dv, fl)                                                                   \
    {                                                                                                 \
        .name = n, .type = DIRECTIVE_BYTES, .at = AT(f), .min = lo, .max = hi, .def = dv, .flags = fl \
    }
#define BOOL(n, f, dv, fl)                                                                             \
    {                                                                                                  \
        .name = n, .type = DIRECTIVE_BOOL, .at = AT(f), .words = config_yes_no, .def = dv, .flags = fl \
    }
#define TEXT(n, f, dv, fl)                                                     \
    {                                                                          \
        .name = n, .type = DIRECTIVE_TEXT, .at = AT(f), .def = dv, .flags = fl \
    }
#define WORD(n, f, w, dv, fl)                                                              \
    {                                                                                      \
        .name = n, .type = DIRECTIVE_WORD, .at = AT(f), .words = w, .def = dv, .flags = fl \
    }
#define GB8 ((int64_t)1 << 33)

const struct directive config_directives[] = {
    TEXT("bind", bind, "127.0.0.1 -::1", DIRECTIVE_FIXED | DIRECTIVE_MANY),
    INT("port", port, 0, 65535, "6379", DIRECTIVE_FIXED),
    TEXT("unixsocket", unixsocket, "", DIRECTIVE_FIXED),
    {.name = "unixsocketperm",
     .type = DIRECTIVE_OCTAL,
     .at = AT(unixsocketperm),
     .max = 0777,
     .def = "0",
     .flags = DIRECTIVE_FIXED},
    INT("tcp-backlog", tcp_backlog, 0, INT_MAX, "511", DIRECTIVE_FIXED),
    INT("tcp-keepalive", tcp_keepalive, 0, INT_MAX, "300", 0),
    INT("timeout", timeout, 0, INT_MAX, "0", 0),
    INT("maxclients", maxclients, 1, INT_MAX, "10000", 0),
    TEXT("requirepass", requirepass, "", DIRECTIVE_SECRET),
    BOOL("protected-mode", protected_mode, "yes", 0),
    WORD("io-backend", io_backend, io_backends, "auto", DIRECTIVE_FIXED),
    {.name = "shards",
     .type = DIRECTIVE_INT,
     .at = AT(shards),
     .min = 1,
     .max = 64,
     .special = auto_word,
     .def = "auto",
     .flags = DIRECTIVE_FIXED},
    {.name = "pipeline-order",
     .type = DIRECTIVE_WORD,
     .at = AT(pipeline_order),
     .words = (const char *const[]){"relaxed", "strict", NULL},
     .def = "relaxed"},
    INT("databases", databases, 1, CONFIG_DATABASES_MAX, "16", DIRECTIVE_FIXED),
    INT("hz", hz, 1, 500, "10", DIRECTIVE_CLAMPED),
    WORD("loglevel", loglevel, loglevels, "notice", 0),
    TEXT("logfile", logfile, "", DIRECTIVE_FIXED),
    TEXT("dir", dir, ".", DIRECTIVE_FIXED),
    TEXT("pidfile", pidfile, "", DIRECTIVE_FIXED),
    BOOL("daemonize", daemonize, "no", DIRECTIVE_FIXED),
    WORD("enable-debug-command", enable_debug_command, debugs, "no", DIRECTIVE_FIXED),
    BYTES("proto-max-bulk-len", proto_max_bulk_len, 1024 * 1024, INT64_MAX, "512mb", 0),
    BYTES("client-query-buffer-limit", client_query_buffer_limit, 1024 * 1024, INT64_MAX, "1gb", 0),
    {.name = "client-output-buffer-limit",
     .type = DIRECTIVE_OUTPUT_LIMIT,
     .at = AT(output_limit),
     .def = "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60",
     .flags = DIRECTIVE_MANY},
    {.name = "notify-keyspace-events", .type = DIRECTIVE_EVENTS, .at = AT(events), .def = ""},
    {.name = "maxmemory",
     .type = DIRECTIVE_BYTES,
     .at = AT(maxmemory),
     .max = INT64_MAX,
     .special = auto_word,
     .def = "auto"},
    INT("maxmemory-samples", maxmemory_samples, 1, 64, "5", 0),
    BYTES("hll-sparse-max-bytes", hll_sparse_max_bytes, 0, INT64_MAX, "3000", 0),
    I64("tracking-table-max-keys", tracking_table_max_keys, 0, INT64_MAX, "1000000", 0),
    INT("lfu-log-factor", lfu_log_factor, 0, INT_MAX, "10", 0),
    INT("lfu-decay-time", lfu_decay_time, 0, INT_MAX, "1", 0),
    INT("list-max-listpack-size", limits.list_max_listpack_size, INT_MIN, INT_MAX, "-2", 0),
    INT("list-max-ziplist-size", limits.list_max_listpack_size, INT_MIN, INT_MAX, "-2", DIRECTIVE_OLD_NAME),
    INT("list-compress-depth", limits.list_compress_depth, 0, INT_MAX, "0", 0),
    INT("hash-max-listpack-entries", limits.hash_max_listpack_entries, 0, INT_MAX, "512", 0),
    INT("hash-max-listpack-value", limits.hash_max_listpack_value, 0, INT_MAX, "64", 0),
    INT("hash-max-ziplist-entries", limits.hash_max_listpack_entries, 0, INT_MAX, "512", DIRECTIVE_OLD_NAME),
    INT("hash-max-ziplist-value", limits.hash_max_listpack_value, 0, INT_MAX, "64", DIRECTIVE_OLD_NAME),
    INT("set-max-intset-entries", limits.set_max_intset_entries, 0, INT_MAX, "512", 0),
    INT("set-max-listpack-entries", limits.set_max_listpack_entries, 0, INT_MAX, "128", 0),
    INT("set-max-listpack-value", limits.set_max_listpack_value, 0, INT_MAX, "64", 0),
    INT("zset-max-listpack-entries", limits.zset_max_listpack_entries, 0, INT_MAX, "128", 0),
    INT("zset-max-listpack-value", limits.zset_max_listpack_value, 0, INT_MAX, "64", 0),
    INT("zset-max-ziplist-entries", limits.zset_max_listpack_entries, 0, INT_MAX, "128", DIRECTIVE_OLD_NAME),
    INT("zset-max-ziplist-value", limits.zset_max_listpack_value, 0, INT_MAX, "64", DIRECTIVE_OLD_NAME),
    BYTES("stream-node-max-bytes", limits.stream_node_max_bytes, 0, INT64_MAX, "4096", 0),
    I64("stream-node-max-entries", limits.stream_node_max_entries, 0, INT64_MAX, "100", 0),
    I64("slowlog-log-slower-than", slowlog_log_slower_than, -1, INT64_MAX, "10000", 0),
    I64("slowlog-max-len", slowlog_max_len, 0, INT64_MAX, "128", 0),
    I64("latency-monitor-threshold", latency_monitor_threshold, 0, INT64_MAX / 1000, "0", 0),
    BOOL("latency-tracking", latency_tracking, "yes", 0),
    {.name = "latency-tracking-info-percentiles",
     .type = DIRECTIVE_PERCENTILES,
     .at = AT(latency_percentiles),
     .def = "50 99 99.9",
     .flags = DIRECTIVE_MANY},
    BOOL("lazyfree-lazy-user-flush", lazyfree_lazy_user_flush, "no", 0),
    I64("busy-reply-threshold", busy_reply_threshold, 0, INT64_MAX / 1000, "5000", 0),
    I64("lua-time-limit", busy_reply_threshold, 0, INT64_MAX / 1000, "5000", DIRECTIVE_OLD_NAME),
    BYTES("script-memory-limit", script_memory_limit, 1024 * 1024, INT64_MAX, "256mb", 0),
    BOOL("script-undeclared-keys", script_undeclared_keys, "yes", 0),
    BOOL("appendonly", appendonly, "yes", DIRECTIVE_DURABILITY),
    WORD("appendfsync", appendfsync, fsyncs, "everysec", DIRECTIVE_DURABILITY),
    TEXT("appenddirname", appenddirname, "appendonlydir", DIRECTIVE_FIXED),
    {.name = "save",
     .type = DIRECTIVE_SAVE_POINTS,
     .at = AT(save),
     .def = "",
     .flags = DIRECTIVE_MANY | DIRECTIVE_DURABILITY},
    TEXT("dbfilename", dbfilename, "dump.rdb", 0),
    BOOL("rdbcompression", rdbcompression, "yes", 0),
    BOOL("rdbchecksum", rdbchecksum, "yes", DIRECTIVE_FIXED),
    INT("key-load-delay", key_load_delay, INT_MIN, INT_MAX, "0", DIRECTIVE_HIDDEN),
    INT("rdb-key-save-delay", rdb_key_save_delay, INT_MIN, INT_MAX, "0", DIRECTIVE_HIDDEN),
    BOOL("stop-writes-on-bgsave-error", stop_writes_on_bgsave_error, "yes", 0),
    BYTES("log-segment-size", log_segment_size, 64 * 1024, GB8, "64mb", DIRECTIVE_FIXED),
    BYTES("checkpoint-log-size", checkpoint_log_size, 64 * 1024, INT64_MAX, "256mb", 0),
    BYTES("checkpoint-log-max", checkpoint_log_max, 64 * 1024, INT64_MAX, "1gb", 0),
    {.name = "tier-memory",
     .type = DIRECTIVE_BYTES,
     .at = AT(tier_memory),
     .min = 1024 * 1024,
     .max = INT64_MAX,
     .special = auto_word,
     .def = "auto",
     .flags = DIRECTIVE_FIXED},
    BYTES("tier-max-bytes", tier_max_bytes, 0, INT64_MAX, "0", 0),
    INT("tier-threads", tier_threads, 2, 64, "8", DIRECTIVE_FIXED),
    WORD("tier-compression", tier_compression, compressions, "lz4", DIRECTIVE_FIXED),
    {.name = "durability",
     .type = DIRECTIVE_WORD,
     .at = DB_AT(durability),
     .words = durabilities,
     .def = "everysec",
     .flags = DIRECTIVE_DB | DIRECTIVE_DURABILITY},
    {.name = "maxmemory-policy",
     .type = DIRECTIVE_WORD,
     .at = DB_AT(eviction),
     .words = evictions,
     .def = "noeviction",
     .flags = DIRECTIVE_DB},
    {.name = "tier",
     .type = DIRECTIVE_BOOL,
     .at = DB_AT(tier),
     .words = (const char *const[]){"off", "on", NULL},
     .def = "on",
     .flags = DIRECTIVE_DB},
    /* Unprefixed maxmemory is the process's; this row is reached as "db N maxmemory" only. */
    {.name = "maxmemory",
     .type = DIRECTIVE_BYTES,
     .at = DB_AT(maxmemory),
     .max = INT64_MAX,
     .def = "0",
     .flags = DIRECTIVE_DB | DIRECTIVE_DB_ONLY},
    {.name = NULL},
};

const char *config_durability_name(int durability) { return durabilities[durability]; }
const char *config_eviction_name(int eviction) { return evictions[eviction]; }

const struct directive *config_find(struct slice name, bool of_db)
{
    for (const struct directive *d = config_directives; d->name != NULL; d++)
        if (slice_is(name, d->name) && (of_db ? (d->flags & DIRECTIVE_DB) != 0 : !(d->flags & DIRECTIVE_DB_ONLY)))
            return d;
    return NULL;
}

unsigned config_named_bit(const char *name)
{
    unsigned bit = 1;
    for (const struct directive *d = config_directives; d->name != NULL; d++) {
        if (!(d->flags & DIRECTIVE_DB))
            continue;
        if (strcmp(d->name, name) == 0)
            return bit;
        bit <<= 1;
    }
    panic("no such directive: %s", name);
}

struct config *config_new(void)
{
    struct config *cfg = mem_zalloc(sizeof(*cfg));
    char error[CONFIG_ERROR_MAX];
    for (const struct directive *d = config_directives; d->name != NULL; d++) {
        char line[256];
        struct slice argv[CONFIG_LINE_ARGS];
        snprintf(line, sizeof(line), "%s", d->def);
        bool many = d->type == DIRECTIVE_OUTPUT_LIMIT || d->type == DIRECTIVE_PERCENTILES;
        int argc = many ? config_split_line(line, argv, CONFIG_LINE_ARGS) : 1;
        if (!many)
            argv[0] = slice_str(line);
        if (d->flags & DIRECTIVE_DB_ONLY)
            continue;
        ensure(config_set(cfg, -1, slice_str(d->name), argv, argc, error));
    }
    cfg->active_expire = true;
    cfg->durability_named = false;
    config_set_text(&cfg->path, slice_of("", 0));
    return cfg;
}

void config_free(struct config *cfg)
{
    for (const struct directive *d = config_directives; d->name != NULL; d++)
        if (d->type == DIRECTIVE_TEXT) {
            char **field = (char **)((char *)cfg + d->at);
            mem_free(*field, strlen(*field) + 1);
        }
    mem_free(cfg->path, strlen(cfg->path) + 1);
    mem_free(cfg, sizeof(*cfg));
}

/* --- what depends on the machine --- */

static uint64_t cgroup_limit(void)
{
    uint8_t *bytes;
    size_t len;
    uint64_t v = UINT64_MAX;
    if (fs_slurp(fs_real(), "/sys/fs/cgroup/memory.max", 4096, &bytes, &len) < 0)
        return v;
    while (len > 0 && (bytes[len - 1] == '\n'))
        len--;
    if (!num_parse_u64(slice_of(bytes, len), &v))
        v = UINT64_MAX;
    mem_free(bytes, len);
    return v;
}

/* Half of the machine or its cgroup, whatever is less: the page cache works for the flash tier too. */
static uint64_t auto_memory(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return min_u64(machine, cgroup_limit()) / 2;
}

void config_resolve(struct config *cfg)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cfg->shards == CONFIG_AUTO)
        cfg->shards = cores <= 3 ? 1 : (int)min_u64((uint64_t)cores - 2, 64);
    if ((int64_t)cfg->maxmemory == CONFIG_AUTO)
        cfg->maxmemory = cfg->maxmemory_chosen = auto_memory();
    cfg->maxmemory_auto = cfg->maxmemory_chosen != 0 && cfg->maxmemory == cfg->maxmemory_chosen;
    if ((int64_t)cfg->tier_memory == CONFIG_AUTO)
        cfg->tier_memory = cfg->maxmemory == 0 ? 256 * MIB : max_u64(4 * MIB, min_u64(GIB, cfg->maxmemory / 8));
    cfg->pipeline_order_strict = cfg->pipeline_order == 1;
}
