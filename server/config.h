/* Configuration: Redis's directive names, kelvin.conf, CONFIG GET/SET/REWRITE, and settings per database.
 * Every directive is declared once, in config.c: name, type, place in struct config, limits, default, whether it can
 * change at run time, whether it can be set per database. Changed only under a hold of all shards; shards read it
 * freely. Other threads do not read it: what they need is handed to them. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "core/base/buf.h"
#include "core/base/logger.h"
#include "core/value/value.h"

#define CONFIG_DATABASES_MAX 1024
#define CONFIG_SAVE_POINTS 16
#define CONFIG_PERCENTILES 16

enum durability { DURABILITY_NONE, DURABILITY_SNAPSHOT, DURABILITY_OS, DURABILITY_EVERYSEC, DURABILITY_ALWAYS };
enum eviction {
    EVICT_NOEVICTION,
    EVICT_ALLKEYS_LRU,
    EVICT_ALLKEYS_LFU,
    EVICT_ALLKEYS_RANDOM,
    EVICT_VOLATILE_LRU,
    EVICT_VOLATILE_LFU,
    EVICT_VOLATILE_RANDOM,
    EVICT_VOLATILE_TTL,
};
enum tier_compression { TIER_COMPRESSION_NONE, TIER_COMPRESSION_LZ4, TIER_COMPRESSION_ZSTD };

/* What can be set per database: "db 1 durability always". Unprefixed directives set the default for all. */
struct db_config {
    int durability;     /* enum durability */
    int eviction;       /* enum eviction */
    uint64_t maxmemory; /* RAM of this database; 0: only the process's limit (as the unprefixed default it is the
                           process's) */
    bool tier;
};

enum output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB, OUTPUT_CLASSES };

enum debug_allowed { DEBUG_NO, DEBUG_YES, DEBUG_LOCAL }; /* LOCAL: to clients on this machine */

struct config {
    /* network */
    int port, tcp_backlog, tcp_keepalive, timeout, maxclients, unixsocketperm;
    char *bind, *unixsocket, *requirepass;
    int io_backend; /* index into {"auto", "io_uring", "epoll"} */
    int shards;     /* 0: auto */
    int pipeline_order;
    bool pipeline_order_strict;
    /* general */
    int databases, hz, loglevel;
    char *logfile, *dir, *pidfile, *appenddirname;
    int enable_debug_command; /* enum debug_allowed */
    bool daemonize, protected_mode;
    /* limits */
    uint64_t proto_max_bulk_len, client_query_buffer_limit, hll_sparse_max_bytes;
    int64_t tracking_table_max_keys;
    struct output_limit {
        uint64_t hard, soft;
        int soft_seconds;
    } output_limit[OUTPUT_CLASSES];
    uint32_t events; /* notify-keyspace-events: EVENT_* */
    /* memory */
    uint64_t maxmemory;        /* 0 in the file or "auto": a share of the machine; resolved at start */
    bool maxmemory_auto;       /* what `auto` came to is in force */
    uint64_t maxmemory_chosen; /* that; 0: it was never asked for */
    struct value_limits limits;
    int maxmemory_samples, lfu_log_factor, lfu_decay_time;
    bool lazyfree_lazy_user_flush;
    bool active_expire, pause_cron, skip_checksums, scripts_unguarded; /* DEBUG */
    /* what is measured */
    int64_t slowlog_log_slower_than, slowlog_max_len, latency_monitor_threshold;
    bool latency_tracking;
    struct percentiles {
        int n;
        double at[CONFIG_PERCENTILES];
    } latency_percentiles;
    /* scripts */
    uint64_t script_memory_limit; /* of each environment (script/engine.h) */
    int64_t busy_reply_threshold; /* ms; 0: never */
    bool script_undeclared_keys;  /* scripts without a first line, or without keys, may touch any key */
    /* log */
    bool appendonly;
    int appendfsync; /* always, everysec, no: the default of durability */
    uint64_t log_segment_size, checkpoint_log_size, checkpoint_log_max;
    /* RDB files */
    char *dbfilename;
    int rdb_key_save_delay, key_load_delay; /* microseconds; negative: one for so many keys */
    bool rdbcompression, rdbchecksum, stop_writes_on_bgsave_error;
    struct save_point {
        int seconds, changes;
    } save[CONFIG_SAVE_POINTS];
    _Atomic int nsave; /* changed by who holds all; the main thread looks when a signal stops the server */
    /* tier */
    uint64_t tier_memory;    /* RocksDB's caches and memtables, part of maxmemory; 0: auto */
    uint64_t tier_max_bytes; /* on flash; 0: no limit */
    int tier_threads, tier_compression;
    /* per database; entries are made for every database at start from the default and "db N" lines */
    struct db_config db_default;
    bool durability_named; /* the default was set itself, and not by appendonly, appendfsync, save */
    bool loading;          /* a file or options are being read: lines of save add up */
    struct db_config db[CONFIG_DATABASES_MAX];
    unsigned db_named[CONFIG_DATABASES_MAX]; /* which directives were set for this database (config_named_bit) */
    char *path;                              /* absolute path of the file, or "" */
};

struct config *config_new(void);
void config_free(struct config *cfg);
/* kelvin-server [FILE.conf] [--option value ...]: defaults, file with includes, options. 0, or -1 with what is wrong
 * (and the line, as Redis prints it) in `error` of 512 bytes. */
int config_load(struct config *cfg, int argc, char **argv, char *error) must_check;
/* Resolves what depends on the machine (shards, maxmemory auto, per-database defaults). */
void config_resolve(struct config *cfg);

const char *config_durability_name(int durability);
const char *config_eviction_name(int eviction);

#endif
