/* DEBUG: what the test suites of this ecosystem use. Off unless enable-debug-command. Everything runs under a hold of
 * all. */
#include <math.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/admin.h"
#include "server/dispatch.h"
#include "server/function_store.h"
#include "server/import.h"
#include "server/recovery.h"
#include "server/reply.h"
#include "server/save.h"

#define DIGEST_WORDS 5 /* 160 bits, printed as 40 hexadecimal digits, as Redis prints a SHA-1 */

static bool allowed(struct call *c)
{
    if (c->server->config->enable_debug_command)
        return true;
    reply_error(
        c,
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a "
        "local connection, otherwise you need to set this option in the configuration file, and then restart the "
        "server.");
    return false;
}

static void sleep_run(struct call *c)
{
    double seconds;
    if (!allowed(c))
        return;
    if (!num_parse_double(c->argv[2], &seconds) || seconds < 0 || seconds > 3600) {
        reply_error(c, "ERR value is not a valid float");
        return;
    }
    c->server->clock->sleep_us(c->server->clock, (uint64_t)(seconds * 1e6));
    reply_ok(c);
}

/* A cold value is read on the spot: DEBUG may block. */
static bool make_hot(struct call *c, struct place *p)
{
    if (tier_fetch_now(p->owner->tier, p->ks, &p->e, p->key) == 0)
        return true;
    reply_error(c, "ERR cannot read the value from the flash tier");
    return false;
}

static void object_run(struct call *c)
{
    if (!allowed(c))
        return;
    struct place p = place_peek(c, 2);
    if (p.e == NULL) {
        reply_error(c, "ERR no such key");
        return;
    }
    bool cold = entry_cold(p.e);
    if (!make_hot(c, &p))
        return;
    struct value v = entry_value(p.e);
    struct buf bytes = {0};
    char text[256];
    value_encode(&v, &bytes);
    snprintf(text, sizeof(text),
             "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%u tier:%s", (void *)p.e,
             value_class_of(v.type)->encoding_name(&v), bytes.len, p.e->temperature,
             temperature_idle_s(call_temperature(c, &p), p.e->temperature), cold ? "cold" : "hot");
    buf_free(&bytes);
    reply_simple(c, text);
}

static void set_active_expire_run(struct call *c)
{
    if (!allowed(c))
        return;
    c->server->config->active_expire = !slice_eq(c->argv[2], SLICE_LIT("0"));
    reply_ok(c);
}

/* --- digests: order-independent over keys, equal for equal contents --- */

static void mix(void *arg, struct slice s)
{
    uint32_t *d = arg;
    for (unsigned i = 0; i < DIGEST_WORDS; i++)
        d[i] = (uint32_t)(hash_key(s, (uint64_t)d[i] << 8 | i) >> 7);
}

static void digest_text(const uint32_t *d, char out[41])
{
    for (unsigned i = 0; i < DIGEST_WORDS; i++)
        snprintf(out + i * 8, 9, "%08x", d[i]);
}

static bool digest_value(struct call *c, struct place *p, uint32_t *d)
{
    if (!make_hot(c, p))
        return false;
    struct value v = entry_value(p->e);
    uint8_t has_expiry = entry_expiry(p->e) != ENTRY_NO_EXPIRY;
    mix(d, slice_str(value_class_of(v.type)->name));
    value_class_of(v.type)->digest(&v, mix, d);
    mix(d, slice_of(&has_expiry, 1));
    return true;
}

struct names {
    struct buf bytes; /* length 4, bytes, ... */
};

static void collect(void *arg, void *item)
{
    struct names *n = arg;
    struct slice name = entry_key(item);
    buf_put_u32(&n->bytes, (uint32_t)name.len);
    buf_append_slice(&n->bytes, name);
}

static bool digest_db(struct call *c, uint32_t db, uint32_t *sum)
{
    struct keyspace *ks[SHARDS_MAX];
    struct names names = {0};
    bool ok = true;
    for (unsigned i = 0, n = call_keyspaces(c, db, ks, SHARDS_MAX); i < n; i++) {
        uint64_t cursor = 0;
        do
            cursor = table_scan(ks[i]->entries, cursor, collect, &names);
        while (cursor != 0);
    }
    for (struct reader r = reader_of(buf_slice(&names.bytes)); ok && reader_left(&r) > 0;) {
        struct slice name = reader_bytes(&r, reader_u32(&r));
        struct place p = place_in(c, db, name);
        uint32_t d[DIGEST_WORDS] = {db};
        if (p.e == NULL)
            continue;
        bool was_cold = entry_cold(p.e);
        mix(d, name);
        ok = digest_value(c, &p, d);
        if (ok && was_cold && !(p.e->flags & (ENTRY_DIRTY | ENTRY_WRITING))) /* its metadata may be under way */
            keyspace_drop(p.ks, p.e, p.key);
        for (unsigned i = 0; i < DIGEST_WORDS; i++)
            sum[i] ^= d[i];
    }
    buf_free(&names.bytes);
    return ok;
}

static void digest_run(struct call *c)
{
    uint32_t sum[DIGEST_WORDS] = {0};
    char text[41];
    if (!allowed(c))
        return;
    for (uint32_t db = 0; db < call_databases(c); db++)
        if (!digest_db(c, db, sum))
            return;
    digest_text(sum, text);
    reply_simple(c, text);
}

static void digest_value_run(struct call *c)
{
    if (!allowed(c))
        return;
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct place p = place_peek(c, i);
        uint32_t d[DIGEST_WORDS] = {0};
        char text[41];
        if (p.e != NULL && !digest_value(c, &p, d))
            return;
        digest_text(d, text);
        reply_simple(c, text);
    }
}

/* --- the rest --- */

static void populate_one(struct call *c, struct slice prefix, int64_t i, int64_t size)
{
    struct buf name = {0}, value = {0};
    buf_append_slice(&name, prefix);
    buf_printf(&name, ":%lld", (long long)i);
    struct place p = place_in(c, c->db, buf_slice(&name));
    if (p.e == NULL) {
        buf_printf(&value, "value:%lld", (long long)i);
        while ((int64_t)value.len < size)
            buf_append_byte(&value, 0);
        if (size > 0)
            value.len = (size_t)size;
        struct value v = string_value(buf_slice(&value));
        struct slice argv[] = {SLICE_LIT("SET"), p.key.name, buf_slice(&value)};
        place_put(c, &p, &v, ENTRY_NO_EXPIRY);
        effect(c, 3, argv);
    }
    buf_free(&name);
    buf_free(&value);
}

static void populate_run(struct call *c)
{
    int64_t count, size = 0;
    struct slice prefix = c->argc > 3 ? c->argv[3] : SLICE_LIT("key");
    if (!allowed(c))
        return;
    if (!arg_range(c, c->argv[2], 0, 100000000, &count, "ERR value is out of range, must be positive") ||
        (c->argc > 4 &&
         !arg_range(c, c->argv[4], 0, 512 * 1024 * 1024, &size, "ERR value is out of range, must be positive")))
        return;
    for (int64_t i = 0; i < count; i++)
        populate_one(c, prefix, i, size);
    reply_ok(c);
}

static void protocol_run(struct call *c)
{
    if (!allowed(c))
        return;
    struct slice what = c->argv[2];
    if (slice_is(what, "string"))
        reply_bulk_str(c, "Hello World");
    else if (slice_is(what, "integer"))
        reply_int(c, 12345);
    else if (slice_is(what, "double"))
        reply_double(c, 3.141);
    else if (slice_is(what, "null"))
        reply_null(c);
    else if (slice_is(what, "array") || slice_is(what, "set")) {
        slice_is(what, "set") ? reply_set(c, 3) : reply_array(c, 3);
        for (int i = 0; i < 3; i++)
            reply_int(c, i);
    } else if (slice_is(what, "map")) {
        reply_map(c, 3);
        for (int i = 0; i < 3; i++) {
            reply_int(c, i);
            reply_bool(c, i == 1);
        }
    } else if (slice_is(what, "true") || slice_is(what, "false"))
        reply_bool(c, slice_is(what, "true"));
    else if (slice_is(what, "verbatim"))
        resp_verbatim(c->out, c->proto, "txt", SLICE_LIT("This is a verbatim\nstring"));
    else
        reply_error(
            c,
            "ERR Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|"
            "verbatim|true|false");
}

/* The state of the logged databases as a restart would make it. */
static void loadaof_run(struct call *c)
{
    char error[512];
    if (!allowed(c))
        return;
    if (c->in_exec) {
        reply_error(c, "ERR DEBUG LOADAOF inside a transaction is not allowed");
        return;
    }
    shard_append(c->shard, c->held ? c->server->holds.held : 1ull << c->shard->index); /* staged before this */
    if (recovery_reload(c->server, error) == 0) {
        reply_ok(c);
        return;
    }
    logger_line(c->server->logger, LOG_WARNING, "DEBUG LOADAOF: %s", error);
    reply_errorf(c, "ERR Error trying to load the AOF files, check server logs.");
    server_stop(c->server, 1);
}

struct reload {
    bool merge, flush, save;
};

static bool reload_options(struct call *c, struct reload *o)
{
    *o = (struct reload){.flush = true, .save = true};
    for (int i = 2; i < c->argc; i++) {
        if (slice_is(c->argv[i], "merge")) {
            o->merge = true;
        } else if (slice_is(c->argv[i], "noflush")) {
            o->flush = false;
        } else if (slice_is(c->argv[i], "nosave")) {
            o->save = false;
        } else {
            reply_error(c, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
            return false;
        }
    }
    return true;
}

/* Functions, too. */
static void flush_all(struct call *c)
{
    struct slice argv[] = {SLICE_LIT("FLUSHDB")}, functions[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("FLUSH")};
    for (uint32_t db = 0; db < call_databases(c); db++) {
        call_flush(c, db, false);
        effect_in(c, db, 1, argv);
    }
    functions_install(c->server, functions_new());
    effect_of_server(c, 2, functions);
}

static bool save_first(struct call *c)
{
    if (save_busy(c->server->save)) {
        reply_error(c, "ERR Background save already in progress");
        return false;
    }
    shard_append(c->shard, c->held ? c->server->holds.held : 1ull << c->shard->index);
    if (save_now(c->server->save) == 0)
        return true;
    reply_error(c, "ERR");
    return false;
}

static void reload_run(struct call *c)
{
    struct reload o;
    char error[512];
    if (!allowed(c) || !reload_options(c, &o))
        return;
    if (c->in_exec) {
        reply_error(c, "ERR DEBUG RELOAD inside a transaction is not allowed");
        return;
    }
    if (o.save && !save_first(c))
        return;
    if (o.flush)
        flush_all(c);
    if (import_running(c, o.merge, error) == 0) {
        if (o.save && o.flush)
            c->changes = 0; /* it is all in the file */
        logger_line(c->server->logger, LOG_WARNING, "DB reloaded by DEBUG RELOAD");
        reply_ok(c);
        return;
    }
    logger_line(c->server->logger, LOG_WARNING, "DEBUG RELOAD: %s", error);
    reply_error(c, "ERR Error trying to load the RDB dump, check server logs");
}

static void refused_run(struct call *c)
{
    if (allowed(c))
        reply_errorf(c, "ERR DEBUG %s is not built into Kelvin", c->cmd->name);
}

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "DIGEST",
        "    Output a hex signature representing the current DB content.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Output a hex signature of the values of all the specified keys.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type.",
        "RELOAD [option ...]",
        "    Save the RDB on disk and reload it back to memory. Valid options are: MERGE, NOFLUSH, NOSAVE.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background.",
        "SLEEP <seconds>",
        "    Stop the server for <seconds>. Decimals allowed.",
        NULL,
    };
    reply_help(c, lines);
}

static const struct command_arg sleep_args[] = {
    ARG("seconds", "double"),
    ARG_END,
};
static const struct command_arg object_args[] = {
    ARG("key", "string"),
    ARG_END,
};
static const struct command_arg set_active_expire_args[] = {
    ARG("enabled", "integer", .summary = "0 disables expiring keys in background"),
    ARG_END,
};
static const struct command_arg digest_value_args[] = {
    ARG("key", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg populate_args[] = {
    ARG("count", "integer"),
    ARG("prefix", "string", .summary = "of the names, \"key\" if not given", .flags = ARG_OPTIONAL),
    ARG("size", "integer", .summary = "of the values, which are padded with zeros", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg reload_args[] = {
    ARG_TOKEN("merge", "MERGE", .summary = "keys that exist are replaced", .flags = ARG_OPTIONAL),
    ARG_TOKEN("noflush", "NOFLUSH", .summary = "the databases are not emptied before", .flags = ARG_OPTIONAL),
    ARG_TOKEN("nosave", "NOSAVE", .summary = "the file is loaded as it is", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg protocol_args[] = {
    ARG("type", "string", .summary = "string, integer, double, null, array, set, map, verbatim, true, false"),
    ARG_END,
};

#define SUB(n, fn, ar, rt, sum, ...)                                                                    \
    {                                                                                                   \
        .name = n, .run = fn, .arity = ar, .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, \
        .acl = ACL_DANGEROUS, .route = rt, .group = "server", .summary = sum, .since = "1.0.0",         \
        .complexity = "Depends on subcommand.", .internal = true, __VA_ARGS__                           \
    }
#define REFUSED "Not built into Kelvin."

static struct command subcommands[] = {
    SUB("sleep", sleep_run, 3, ROUTE_ALL, "Stops the server for a time.", .args = sleep_args),
    SUB("object", object_run, 3, ROUTE_ALL, "Shows low level information about a key and its value.",
        .args = object_args),
    SUB("set-active-expire", set_active_expire_run, 3, ROUTE_ALL, "Disables or enables expiring keys in background.",
        .args = set_active_expire_args),
    SUB("digest", digest_run, 2, ROUTE_ALL, "Returns a signature of all data."),
    SUB("digest-value", digest_value_run, -3, ROUTE_ALL, "Returns a signature for the value of each key.",
        .args = digest_value_args),
    SUB("populate", populate_run, -3, ROUTE_ALL, "Creates string keys with numbered names.", .args = populate_args),
    SUB("protocol", protocol_run, 3, ROUTE_HOME, "Replies with a test value of a type.", .args = protocol_args),
    SUB("jmap", refused_run, -2, ROUTE_HOME, REFUSED),
    SUB("reload", reload_run, -2, ROUTE_ALL, "Saves the databases and loads them again.", .args = reload_args),
    SUB("loadaof", loadaof_run, 2, ROUTE_ALL, "Reloads the logged databases from flash and log."),
    SUB("segfault", refused_run, -2, ROUTE_HOME, REFUSED),
    SUB("help", help_run, 2, ROUTE_HOME, "Returns helpful text about the different subcommands."),
    {.name = NULL},
};

struct command debug_commands[] = {
    {.name = "debug",
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .acl = ACL_DANGEROUS,
     .group = "server",
     .summary = "A container for debugging commands.",
     .since = "1.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = subcommands,
     .internal = true},
    {.name = NULL},
};
