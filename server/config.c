/* Every directive is one row of `directives`: CONFIG GET/SET/REWRITE, the file and the command line come from it. A
 * directive of the group "per database" stands in struct db_config; unprefixed it is the default for every database,
 * "db N name value" (CONFIG: db.N.name) sets it for one. */
#include "server/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/glob.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/config_table.h"
#include "server/notify.h"

#define LINE_ARGS 16
#define FILE_MAX (16 * MIB)
#define INCLUDE_DEPTH 16
#define ERROR_MAX 512

static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const io_backends[] = {"auto", "io_uring", "epoll", NULL};
static const char *const loglevels[] = {"debug", "verbose", "notice", "warning", "nothing", NULL};
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
#define BOOL(n, f, dv, fl)                                                                      \
    {                                                                                           \
        .name = n, .type = DIRECTIVE_BOOL, .at = AT(f), .words = yes_no, .def = dv, .flags = fl \
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
    INT("hz", hz, 1, 500, "10", 0),
    WORD("loglevel", loglevel, loglevels, "notice", 0),
    TEXT("logfile", logfile, "", DIRECTIVE_FIXED),
    TEXT("dir", dir, ".", DIRECTIVE_FIXED),
    TEXT("pidfile", pidfile, "", DIRECTIVE_FIXED),
    BOOL("daemonize", daemonize, "no", DIRECTIVE_FIXED),
    BOOL("enable-debug-command", enable_debug_command, "no", DIRECTIVE_FIXED),
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
    INT("list-compress-depth", list_compress_depth, 0, 0, "0", 0),
    INT("hash-max-listpack-entries", limits.hash_max_listpack_entries, 0, INT_MAX, "512", 0),
    INT("hash-max-listpack-value", limits.hash_max_listpack_value, 0, INT_MAX, "64", 0),
    INT("set-max-intset-entries", limits.set_max_intset_entries, 0, INT_MAX, "512", 0),
    INT("set-max-listpack-entries", limits.set_max_listpack_entries, 0, INT_MAX, "128", 0),
    INT("set-max-listpack-value", limits.set_max_listpack_value, 0, INT_MAX, "64", 0),
    INT("zset-max-listpack-entries", limits.zset_max_listpack_entries, 0, INT_MAX, "128", 0),
    INT("zset-max-listpack-value", limits.zset_max_listpack_value, 0, INT_MAX, "64", 0),
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
    I64("lua-time-limit", busy_reply_threshold, 0, INT64_MAX / 1000, "5000", 0),
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
    BOOL("stop-writes-on-bgsave-error", stop_writes_on_bgsave_error, "yes", 0),
    BYTES("log-segment-size", log_segment_size, 64 * 1024, GB8, "64mb", DIRECTIVE_FIXED),
    BYTES("checkpoint-log-size", checkpoint_log_size, 64 * 1024, INT64_MAX, "256mb", 0),
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

/* --- values --- */

static int word_index(const char *const *words, struct slice s)
{
    for (int i = 0; words != NULL && words[i] != NULL; i++)
        if (slice_is(s, words[i]))
            return i;
    return -1;
}

static char *copy_text(struct slice s)
{
    char *p = mem_alloc(s.len + 1);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    p[s.len] = 0;
    return p;
}

static void set_text(char **field, struct slice s)
{
    if (*field != NULL)
        mem_free(*field, strlen(*field) + 1);
    *field = copy_text(s);
}

static bool store_number(const struct directive *d, void *at, int64_t v, char *error)
{
    if (v < d->min || v > d->max) {
        snprintf(error, ERROR_MAX, "argument must be between %lld and %lld inclusive", (long long)d->min,
                 (long long)d->max);
        return false;
    }
    if (d->type == DIRECTIVE_INT || d->type == DIRECTIVE_OCTAL)
        *(int *)at = (int)v;
    else
        *(int64_t *)at = v;
    return true;
}

static bool set_number(const struct directive *d, void *at, struct slice s, char *error)
{
    int64_t v;
    uint64_t bytes;
    if (d->special != NULL && word_index(d->special, s) == 0) {
        if (d->type == DIRECTIVE_INT)
            *(int *)at = CONFIG_AUTO;
        else
            *(int64_t *)at = CONFIG_AUTO;
        return true;
    }
    if (d->type == DIRECTIVE_BYTES) {
        if (!num_parse_bytes(s, &bytes) || bytes > INT64_MAX) {
            snprintf(error, ERROR_MAX, "argument must be a memory value");
            return false;
        }
        v = (int64_t)bytes;
    } else if (d->type == DIRECTIVE_OCTAL) {
        char text[16], *end;
        snprintf(text, sizeof(text), "%.*s", (int)s.len, (const char *)s.p);
        v = strtol(text, &end, 8);
        if (*end != 0 || s.len == 0)
            v = -1;
    } else if (!num_parse_i64(s, &v)) {
        snprintf(error, ERROR_MAX, "argument couldn't be parsed into an integer");
        return false;
    }
    return store_number(d, at, v, error);
}

static void list_words(const struct directive *d, char *error)
{
    size_t n = (size_t)snprintf(error, ERROR_MAX, "argument(s) must be one of the following: ");
    for (int i = 0; d->words[i] != NULL; i++)
        n += (size_t)snprintf(error + n, ERROR_MAX - n, "%s%s", i ? ", " : "", d->words[i]);
}

static bool set_word_value(const struct directive *d, void *at, struct slice s, char *error)
{
    int i = word_index(d->words, s);
    if (i < 0 && d->type == DIRECTIVE_BOOL)
        i = word_index(yes_no, s);
    if (i < 0) {
        if (d->type == DIRECTIVE_BOOL)
            snprintf(error, ERROR_MAX, "argument must be '%s' or '%s'", d->words[1], d->words[0]);
        else
            list_words(d, error);
        return false;
    }
    if (d->type == DIRECTIVE_BOOL)
        *(bool *)at = i != 0;
    else
        *(int *)at = i;
    return true;
}

/* "normal 0 0 0 slave 256mb 64mb 60": any number of groups of four. */
static bool set_output_limits(struct config *cfg, const struct slice *argv, int argc, char *error)
{
    static const char *const classes[] = {"normal", "slave", "pubsub", "replica", NULL};
    if (argc == 0 || argc % 4 != 0) {
        snprintf(error, ERROR_MAX, "Wrong number of arguments in buffer limit configuration.");
        return false;
    }
    for (int i = 0; i < argc; i += 4) {
        uint64_t hard, soft;
        int64_t seconds;
        int cls = word_index(classes, argv[i]);
        if (cls < 0) {
            snprintf(error, ERROR_MAX, "Invalid client class specified in buffer limit configuration.");
            return false;
        }
        if (!num_parse_bytes(argv[i + 1], &hard) || !num_parse_bytes(argv[i + 2], &soft) ||
            !num_parse_i64(argv[i + 3], &seconds) || seconds < 0 || seconds > INT_MAX) {
            snprintf(error, ERROR_MAX, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            return false;
        }
        cls = cls == 3 ? 1 : cls;
        cfg->output_limit[cls].hard = hard;
        cfg->output_limit[cls].soft = soft;
        cfg->output_limit[cls].soft_seconds = (int)seconds;
    }
    return true;
}

/* "50 99 99.9". */
static bool set_percentiles(struct percentiles *p, const struct slice *argv, int argc, char *error)
{
    struct percentiles new = {0};
    for (int i = 0; i < argc; i++) {
        double v;
        if (new.n == CONFIG_PERCENTILES || !num_parse_double(argv[i], &v)) {
            snprintf(error, ERROR_MAX, "Invalid latency-tracking-info-percentiles parameters");
            return false;
        }
        if (!(v >= 0 && v <= 100)) {
            snprintf(error, ERROR_MAX, "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
            return false;
        }
        new.at[new.n++] = v;
    }
    *p = new;
    return true;
}

/* "3600 1 300 100": pairs of seconds and changes; "": none. */
static bool set_save_points(struct config *cfg, const struct slice *argv, int argc, char *error)
{
    struct save_point at[CONFIG_SAVE_POINTS];
    int n = cfg->loading ? cfg->nsave : 0, from = n;
    bool none = argc == 0 || (argc == 1 && argv[0].len == 0);
    memcpy(at, cfg->save, sizeof(at));
    for (int i = 0; i < argc && !none; i += 2) {
        int64_t seconds, changes;
        if (i + 1 == argc || n == CONFIG_SAVE_POINTS || !num_parse_i64(argv[i], &seconds) ||
            !num_parse_i64(argv[i + 1], &changes) || seconds < 1 || seconds > INT_MAX || changes < 0 ||
            changes > INT_MAX) {
            snprintf(error, ERROR_MAX, "Invalid save parameters");
            return false;
        }
        at[n++] = (struct save_point){(int)seconds, (int)changes};
    }
    cfg->nsave = none ? 0 : n;
    memcpy(cfg->save + from, at + from, sizeof(*at) * (size_t)(n - from));
    return true;
}

/* Texts are C strings: a NUL would end them early, and they would be freed with another size than they have. */
static bool set_text_value(const struct directive *d, char **field, struct slice s, char *error)
{
    if (s.len > 0 && memchr(s.p, 0, s.len) != NULL) {
        snprintf(error, ERROR_MAX, "argument must not contain a NUL byte");
        return false;
    }
    if (strcmp(d->name, "dbfilename") == 0 &&
        (s.len == 0 || s.len > NAME_MAX || memchr(s.p, '/', s.len) != NULL || s.p[0] == '.')) {
        snprintf(error, ERROR_MAX, "dbfilename can't be a path, just a filename");
        return false;
    }
    set_text(field, s);
    return true;
}

static void join(const struct slice *argv, int argc, struct buf *out)
{
    buf_clear(out);
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            buf_append_byte(out, ' ');
        buf_append_slice(out, argv[i]);
    }
}

static bool set_at(struct config *cfg, const struct directive *d, void *at, const struct slice *argv, int argc,
                   char *error)
{
    struct buf joined = {0};
    bool ok = true;
    if (d->type == DIRECTIVE_OUTPUT_LIMIT)
        return set_output_limits(cfg, argv, argc, error);
    if (d->type == DIRECTIVE_SAVE_POINTS)
        return set_save_points(cfg, argv, argc, error);
    if (d->type == DIRECTIVE_PERCENTILES)
        return set_percentiles(at, argv, argc == 1 && argv[0].len == 0 ? 0 : argc, error);
    if (argc != 1 && !(d->flags & DIRECTIVE_MANY)) {
        snprintf(error, ERROR_MAX, "wrong number of arguments");
        return false;
    }
    switch (d->type) {
    case DIRECTIVE_TEXT:
        join(argv, argc, &joined);
        ok = set_text_value(d, at, buf_slice(&joined), error);
        break;
    case DIRECTIVE_EVENTS:
        ok = events_parse(argv[0], at);
        if (!ok)
            snprintf(error, ERROR_MAX, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        break;
    case DIRECTIVE_BOOL:
    case DIRECTIVE_WORD:
        ok = set_word_value(d, at, argv[0], error);
        break;
    default:
        ok = set_number(d, at, argv[0], error);
    }
    buf_free(&joined);
    return ok;
}

const struct directive *config_find(struct slice name, bool of_db)
{
    for (const struct directive *d = config_directives; d->name != NULL; d++)
        if (slice_is(name, d->name) && (of_db ? (d->flags & DIRECTIVE_DB) != 0 : !(d->flags & DIRECTIVE_DB_ONLY)))
            return d;
    return NULL;
}

/* durability follows appendonly, appendfsync and save, as far as it has not been named itself since. */
static void follow_durability(struct config *cfg, const struct directive *d)
{
    static const int modes[] = {DURABILITY_ALWAYS, DURABILITY_EVERYSEC, DURABILITY_OS};
    bool save = d->type == DIRECTIVE_SAVE_POINTS;
    if (!(d->flags & DIRECTIVE_DURABILITY) || (save && cfg->durability_named))
        return;
    cfg->durability_named = false;
    cfg->db_default.durability = cfg->appendonly  ? modes[cfg->appendfsync]
                                 : cfg->nsave > 0 ? DURABILITY_SNAPSHOT
                                                  : DURABILITY_NONE;
    for (int i = 0; i < CONFIG_DATABASES_MAX; i++)
        if (!(cfg->db_named[i] & config_named_bit("durability")))
            cfg->db[i].durability = cfg->db_default.durability;
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

bool config_set(struct config *cfg, int db, struct slice name, const struct slice *argv, int argc, char *error)
{
    const struct directive *d = config_find(name, db >= 0);
    struct db_config tmp;
    if (d == NULL) {
        snprintf(error, ERROR_MAX, "Bad directive or wrong number of arguments");
        return false;
    }
    if (!(d->flags & DIRECTIVE_DB)) {
        if (!set_at(cfg, d, (char *)cfg + d->at, argv, argc, error))
            return false;
        follow_durability(cfg, d);
        return true;
    }
    tmp = db >= 0 ? cfg->db[db] : cfg->db_default;
    if (!set_at(cfg, d, (char *)&tmp + d->at, argv, argc, error))
        return false;
    if (db >= 0) {
        cfg->db[db] = tmp;
        cfg->db_named[db] |= config_named_bit(d->name);
        return true;
    }
    cfg->db_default = tmp;
    cfg->durability_named |= (d->flags & DIRECTIVE_DURABILITY) != 0;
    for (int i = 0; i < CONFIG_DATABASES_MAX; i++)
        if (!(cfg->db_named[i] & config_named_bit(d->name)))
            set_at(cfg, d, (char *)&cfg->db[i] + d->at, argv, argc, error);
    return true;
}

/* --- reading back --- */

static void format_bytes(struct buf *out, int64_t v) { buf_printf(out, "%lld", (long long)v); }

static void format_output_limits(const struct config *cfg, struct buf *out)
{
    static const char *const classes[] = {"normal", "slave", "pubsub"};
    for (int i = 0; i < 3; i++)
        buf_printf(out, "%s%s %llu %llu %d", i ? " " : "", classes[i], (unsigned long long)cfg->output_limit[i].hard,
                   (unsigned long long)cfg->output_limit[i].soft, cfg->output_limit[i].soft_seconds);
}

static void format_percentiles(const struct percentiles *p, struct buf *out)
{
    char text[40];
    for (int i = 0; i < p->n; i++)
        buf_printf(out, "%s%.*s", i ? " " : "", (int)num_format_double(text, p->at[i]), text);
}

void config_format(const struct config *cfg, const struct directive *d, int db, struct buf *out)
{
    const struct db_config *dbc = db >= 0 ? &cfg->db[db] : &cfg->db_default;
    const void *at = d->flags & DIRECTIVE_DB ? (const char *)dbc + d->at : (const char *)cfg + d->at;
    switch (d->type) {
    case DIRECTIVE_TEXT:
        buf_append_str(out, *(char *const *)at ? *(char *const *)at : "");
        break;
    case DIRECTIVE_BOOL:
        buf_append_str(out, d->words[*(const bool *)at]);
        break;
    case DIRECTIVE_WORD:
        buf_append_str(out, d->words[*(const int *)at]);
        break;
    case DIRECTIVE_INT:
        buf_printf(out, "%d", *(const int *)at);
        break;
    case DIRECTIVE_OCTAL:
        buf_printf(out, "%o", *(const int *)at);
        break;
    case DIRECTIVE_OUTPUT_LIMIT:
        format_output_limits(cfg, out);
        break;
    case DIRECTIVE_EVENTS:
        events_format(*(const uint32_t *)at, out);
        break;
    case DIRECTIVE_SAVE_POINTS:
        for (int i = 0; i < cfg->nsave; i++)
            buf_printf(out, "%s%d %d", i ? " " : "", cfg->save[i].seconds, cfg->save[i].changes);
        break;
    case DIRECTIVE_PERCENTILES:
        format_percentiles(at, out);
        break;
    default:
        format_bytes(out, *(const int64_t *)at);
    }
}

/* --- lines, files, command line --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char escaped[] = "\n\r\t\b\a", escape_letters[] = "nrtba";

/* The escape whose backslash is at p; returns its last byte. */
static char *unescape(char *p, char *out)
{
    const char *at = strchr(escape_letters, *++p);
    if (*p == 'x' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        *out = (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
        return p + 2;
    }
    *out = at != NULL ? escaped[at - escape_letters] : *p;
    return p;
}

/* A quoted word, unquoted in its place; p is behind the quote. Returns what is behind the closing one, or NULL if there
 * is none or if text follows it. */
static char *quoted_word(char *p, struct slice *word)
{
    char quote = p[-1], *start = p, *out = p;
    for (; *p != quote; p++, out++) {
        if (*p == 0)
            return NULL;
        *out = *p;
        if (*p == '\\' && quote == '"' && p[1] != 0)
            p = unescape(p, out);
        else if (*p == '\\' && quote == '\'' && p[1] == '\'')
            *out = *++p;
    }
    *word = slice_of(start, (size_t)(out - start));
    p++;
    return *p == 0 || *p == ' ' || *p == '\t' || *p == '\r' ? p : NULL;
}

/* Splits a line into words; "double" and 'single' quotes as in Redis's configuration. -1: unbalanced. */
static int split_line(char *line, struct slice *argv, int max)
{
    char *p = line;
    for (int n = 0;; n++) {
        p += strspn(p, " \t\r");
        if (*p == 0)
            return n;
        if (n == max)
            return -1;
        if (*p == '"' || *p == '\'') {
            p = quoted_word(p + 1, &argv[n]);
            if (p == NULL)
                return -1;
        } else {
            argv[n] = slice_of(p, strcspn(p, " \t\r"));
            p += argv[n].len;
        }
    }
}

static bool apply_words(struct config *cfg, const struct slice *argv, int argc, char *error)
{
    int64_t db;
    if (!slice_is(argv[0], "db"))
        return config_set(cfg, -1, argv[0], argv + 1, argc - 1, error);
    if (argc < 4 || !num_parse_i64(argv[1], &db) || db < 0 || db >= CONFIG_DATABASES_MAX) {
        snprintf(error, ERROR_MAX, "db takes a database number, a directive and its value");
        return false;
    }
    return config_set(cfg, (int)db, argv[2], argv + 3, argc - 3, error);
}

static bool load_file(struct config *cfg, const char *path, int depth, char *error);

static bool apply_line(struct config *cfg, char *line, int depth, char *error)
{
    struct slice argv[LINE_ARGS];
    int argc = split_line(line, argv, LINE_ARGS);
    if (argc < 0) {
        snprintf(error, ERROR_MAX, "Unbalanced quotes in configuration line");
        return false;
    }
    if (argc == 0 || argv[0].p[0] == '#')
        return true;
    if (slice_is(argv[0], "include") && argc == 2) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.*s", (int)argv[1].len, (const char *)argv[1].p);
        return load_file(cfg, path, depth + 1, error);
    }
    return apply_words(cfg, argv, argc, error);
}

static void explain(char *error, const char *path, int line, const char *text, const char *why)
{
    snprintf(error, ERROR_MAX,
             "*** FATAL CONFIG FILE ERROR (Kelvin %s) ***\nReading the configuration file, at line %d of %s\n>>> "
             "'%.200s'\n%.150s",
             KELVIN_VERSION, line, path, text, why);
}

static bool load_file(struct config *cfg, const char *path, int depth, char *error)
{
    uint8_t *bytes;
    size_t len;
    int err = depth > INCLUDE_DEPTH ? -ELOOP : fs_slurp(fs_real(), path, FILE_MAX, &bytes, &len), line = 0;
    if (err < 0) {
        snprintf(error, ERROR_MAX, "Fatal error, can't open config file '%s': %s", path, strerror(-err));
        return false;
    }
    struct buf text = {0};
    buf_append(&text, bytes, len);
    buf_append_byte(&text, 0);
    mem_free(bytes, len);
    bool ok = true;
    for (char *p = (char *)text.p, *next; ok && p != NULL; p = next) {
        char why[ERROR_MAX], *shown;
        next = strchr(p, '\n');
        if (next != NULL)
            *next++ = 0;
        line++;
        shown = copy_text(slice_str(p));
        ok = apply_line(cfg, p, depth, why);
        if (!ok)
            explain(error, path, line, shown, why);
        mem_free(shown, strlen(shown) + 1);
    }
    buf_free(&text);
    return ok;
}

static bool is_option(const char *arg) { return arg[0] == '-' && arg[1] == '-'; }

/* --name value value ... up to the next --name; "--db 1 durability always" is a "db" line. */
static bool apply_options(struct config *cfg, int argc, char **argv, char *error)
{
    for (int i = 0; i < argc;) {
        struct slice words[LINE_ARGS];
        char why[ERROR_MAX] = "";
        int n = 0;
        if (!is_option(argv[i])) {
            snprintf(error, ERROR_MAX, "'%s' is neither an option nor its value", argv[i]);
            return false;
        }
        words[n++] = slice_str(argv[i++] + 2);
        while (i < argc && !is_option(argv[i]) && n < LINE_ARGS)
            words[n++] = slice_str(argv[i++]);
        if (!apply_words(cfg, words, n, why)) {
            explain(error, "the command line", 1, (const char *)words[0].p, why);
            return false;
        }
    }
    return true;
}

struct config *config_new(void)
{
    struct config *cfg = mem_zalloc(sizeof(*cfg));
    char error[ERROR_MAX];
    for (const struct directive *d = config_directives; d->name != NULL; d++) {
        char line[256];
        struct slice argv[LINE_ARGS];
        snprintf(line, sizeof(line), "%s", d->def);
        bool many = d->type == DIRECTIVE_OUTPUT_LIMIT || d->type == DIRECTIVE_PERCENTILES;
        int argc = many ? split_line(line, argv, LINE_ARGS) : 1;
        if (!many)
            argv[0] = slice_str(line);
        if (d->flags & DIRECTIVE_DB_ONLY)
            continue;
        ensure(config_set(cfg, -1, slice_str(d->name), argv, argc, error));
    }
    cfg->active_expire = true;
    cfg->durability_named = false;
    set_text(&cfg->path, slice_of("", 0));
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

static int load(struct config *cfg, int argc, char **argv, char *error)
{
    char path[PATH_MAX];
    if (argc > 1 && !is_option(argv[1])) {
        if (realpath(argv[1], path) == NULL) {
            snprintf(error, ERROR_MAX, "Fatal error, can't open config file '%s': %s", argv[1], strerror(errno));
            return -1;
        }
        set_text(&cfg->path, slice_str(path));
        if (!load_file(cfg, path, 0, error))
            return -1;
        argc--;
        argv++;
    }
    return apply_options(cfg, argc - 1, argv + 1, error) ? 0 : -1;
}

int config_load(struct config *cfg, int argc, char **argv, char *error)
{
    cfg->loading = true;
    int err = load(cfg, argc, argv, error);
    cfg->loading = false;
    return err;
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

/* --- rewriting --- */

/* What can stand in a file as it is: words with one blank between them. */
static bool plain_words(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] == '"' || s.p[i] == '\'' || s.p[i] == '\\' || s.p[i] == 0x7f ||
            (s.p[i] == ' ' && (i == 0 || i + 1 == s.len || s.p[i - 1] == ' ')))
            return false;
    return s.len > 0;
}

static void rewrite_line(const struct config *cfg, const struct directive *d, int db, struct buf *out)
{
    struct buf value = {0};
    config_format(cfg, d, db, &value);
    if (db >= 0)
        buf_printf(out, "db %d ", db);
    buf_printf(out, "%s ", d->name);
    bool text = d->type == DIRECTIVE_TEXT || d->type == DIRECTIVE_EVENTS ||
                ((d->type == DIRECTIVE_SAVE_POINTS || d->type == DIRECTIVE_PERCENTILES) && value.len == 0);
    if (text && !((d->flags & DIRECTIVE_MANY) && plain_words(buf_slice(&value))))
        buf_append_quoted(out, buf_slice(&value));
    else
        buf_append_slice(out, buf_slice(&value));
    buf_append_byte(out, '\n');
    buf_free(&value);
}

static bool same_line(const struct config *a, const struct config *b, const struct directive *d)
{
    struct buf x = {0}, y = {0};
    config_format(a, d, -1, &x);
    config_format(b, d, -1, &y);
    bool same = slice_eq(buf_slice(&x), buf_slice(&y));
    buf_free(&x);
    buf_free(&y);
    return same;
}

/* Which directive a line of the file sets, or NULL (comments, blank lines, includes). */
static const struct directive *line_directive(const char *line, int *db)
{
    struct slice argv[LINE_ARGS];
    char *copy = copy_text(slice_str(line));
    int argc = split_line(copy, argv, LINE_ARGS);
    const struct directive *d = NULL;
    int64_t n = -1;
    *db = -1;
    if (argc >= 2 && argv[0].p[0] != '#') {
        if (slice_is(argv[0], "db") && argc >= 4 && num_parse_i64(argv[1], &n)) {
            bool known = n >= 0 && n < CONFIG_DATABASES_MAX; /* the file may have been edited since it was loaded */
            *db = known ? (int)n : -1;
            d = known ? config_find(argv[2], true) : NULL;
        } else {
            d = config_find(argv[0], false);
        }
    }
    mem_free(copy, strlen(line) + 1);
    return d;
}

/* "auto" in the file is not replaced by what it came to on this machine; what cannot change at run time has not. */
static bool stays_auto(const struct config *cfg, const struct directive *d, const char *line)
{
    struct slice argv[LINE_ARGS];
    char *copy = copy_text(slice_str(line));
    bool is_auto = d->special != NULL && split_line(copy, argv, LINE_ARGS) == 2 && word_index(d->special, argv[1]) == 0;
    mem_free(copy, strlen(line) + 1);
    return is_auto && ((d->flags & DIRECTIVE_FIXED) || cfg->maxmemory_auto);
}

struct rewritten {
    bool done[128];
    unsigned db_done[CONFIG_DATABASES_MAX];
};

static void rewrite_existing(struct config *cfg, char *text, struct rewritten *w, struct buf *out)
{
    for (char *p = text, *next; p != NULL && *p != 0; p = next) {
        int db;
        next = strchr(p, '\n');
        if (next != NULL)
            *next++ = 0;
        const struct directive *d = line_directive(p, &db);
        if (d == NULL) {
            buf_printf(out, "%s\n", p);
            continue;
        }
        bool *done = &w->done[d - config_directives];
        if (db >= 0 ? w->db_done[db] & config_named_bit(d->name) : *done)
            continue;
        if (db >= 0)
            w->db_done[db] |= config_named_bit(d->name);
        else
            *done = true;
        if (stays_auto(cfg, d, p))
            buf_printf(out, "%s\n", p);
        else
            rewrite_line(cfg, d, db, out);
    }
}

/* The file keeps its comments and order; values are updated in place, new ones appended. */
int config_rewrite(struct config *cfg, char *error)
{
    struct config *defaults = config_new();
    struct rewritten *w = mem_zalloc(sizeof(*w));
    struct buf out = {0}, text = {0};
    uint8_t *bytes;
    size_t len;
    int err = fs_slurp(fs_real(), cfg->path, FILE_MAX, &bytes, &len);

    if (err == 0) {
        buf_append(&text, bytes, len);
        buf_append_byte(&text, 0);
        mem_free(bytes, len);
        rewrite_existing(cfg, (char *)text.p, w, &out);
    }
    for (const struct directive *d = config_directives; d->name != NULL; d++)
        if (!w->done[d - config_directives] && !(d->flags & DIRECTIVE_DB_ONLY) && !same_line(cfg, defaults, d) &&
            !(strcmp(d->name, "maxmemory") == 0 && cfg->maxmemory_auto) && !(d->flags & DIRECTIVE_FIXED))
            rewrite_line(cfg, d, -1, &out);
    for (int db = 0; db < CONFIG_DATABASES_MAX; db++)
        for (const struct directive *d = config_directives; d->name != NULL; d++)
            if ((d->flags & DIRECTIVE_DB) && (cfg->db_named[db] & ~w->db_done[db] & config_named_bit(d->name)))
                rewrite_line(cfg, d, db, &out);
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", cfg->path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = 0;
    if (err == 0 || err == -ENOENT)
        err = fs_replace(fs_real(), dir, slash ? slash + 1 : cfg->path, out.p, out.len);
    if (err < 0)
        snprintf(error, ERROR_MAX, "%s", strerror(-err));
    buf_free(&out);
    buf_free(&text);
    mem_free(w, sizeof(*w));
    config_free(defaults);
    return err;
}
