/* DEBUG: what the test suites of this ecosystem use. Off unless enable-debug-command. Everything runs under a hold of
 * all. */
#include "server/cmd/debug.h"

#include "core/base/num.h"
#include "server/admin.h"
#include "server/dispatch.h"
#include "server/function_store.h"
#include "server/import.h"
#include "server/recovery.h"
#include "server/reply.h"
#include "server/save.h"

bool debug_allowed(struct call *c)
{
    int allowed = c->server->config->enable_debug_command;
    if (allowed == DEBUG_YES || (allowed == DEBUG_LOCAL && c->origin != NULL && client_is_near(c->origin)))
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
    if (!debug_allowed(c))
        return;
    if (!num_parse_double(c->argv[2], &seconds) || seconds < 0 || seconds > 3600) {
        reply_error(c, "ERR value is not a valid float");
        return;
    }
    c->server->clock->sleep_us(c->server->clock, (uint64_t)(seconds * 1e6));
    reply_ok(c);
}

static void set_active_expire_run(struct call *c)
{
    if (!debug_allowed(c))
        return;
    c->server->config->active_expire = !slice_eq(c->argv[2], SLICE_LIT("0"));
    reply_ok(c);
}

/* Timeouts of clients, and what is given back of their buffers. */
static void pause_cron_run(struct call *c)
{
    int64_t pause;
    if (!debug_allowed(c) || !arg_i64(c, c->argv[2], &pause))
        return;
    c->server->config->pause_cron = pause != 0;
    reply_ok(c);
}

static void skip_checksums_run(struct call *c)
{
    if (!debug_allowed(c))
        return;
    c->server->config->skip_checksums = !slice_eq(c->argv[2], SLICE_LIT("0"));
    reply_ok(c);
}

/* Scripts may call what suites look at them with (nested.c). */
static void deny_scripts_run(struct call *c)
{
    if (!debug_allowed(c))
        return;
    c->server->config->scripts_unguarded = !slice_eq(c->argv[2], SLICE_LIT("0"));
    reply_ok(c);
}

/* From which size on an item of a quicklist gets a node of its own; 0: when a node cannot hold it. */
static void packed_threshold_run(struct call *c)
{
    uint64_t bytes;
    if (!debug_allowed(c))
        return;
    if (!num_parse_bytes(c->argv[2], &bytes) || bytes > UINT32_MAX) {
        reply_error(c, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
        return;
    }
    c->server->config->limits.list_plain_from = (uint32_t)bytes;
    reply_ok(c);
}

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
    if (!debug_allowed(c))
        return;
    if (!arg_range(c, c->argv[2], 0, 100000000, &count, "ERR value is out of range, must be positive") ||
        (c->argc > 4 &&
         !arg_range(c, c->argv[4], 0, 512 * 1024 * 1024, &size, "ERR value is out of range, must be positive")))
        return;
    for (int64_t i = 0; i < count; i++)
        populate_one(c, prefix, i, size);
    reply_ok(c);
}

/* A reply with something said about it in front, which RESP2 leaves out. */
static void attributed(struct call *c)
{
    if (c->proto == 3) {
        resp_attribute(c->out, 1);
        reply_bulk_str(c, "key-popularity");
        reply_array(c, 2);
        reply_bulk_str(c, "key:123");
        reply_int(c, 90);
    }
    reply_bulk_str(c, "Some real reply following the attribute");
}

static void pushed(struct call *c)
{
    if (c->proto != 3) {
        reply_error(c, "ERR RESP2 is not supported by this command");
        return;
    }
    resp_push(c->out, c->proto, 2);
    reply_bulk_str(c, "server-cpu-usage");
    reply_int(c, 42);
    reply_bulk_str(c, "Some real reply following the push reply");
}

static void protocol_run(struct call *c)
{
    if (!debug_allowed(c))
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
    else if (slice_is(what, "bignum"))
        resp_bignum(c->out, c->proto, "1234567999999999999999999999999999999");
    else if (slice_is(what, "attrib"))
        attributed(c);
    else if (slice_is(what, "push"))
        pushed(c);
    else if (slice_is(what, "verbatim"))
        resp_verbatim(c->out, c->proto, "txt", SLICE_LIT("This is a verbatim\nstring"));
    else
        reply_error(
            c, "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|"
               "set|map|attrib|push|verbatim|true|false");
}

static void error_run(struct call *c)
{
    if (debug_allowed(c))
        reply_errorf(c, "%.*s", (int)c->argv[2].len, (const char *)c->argv[2].p);
}

static void log_run(struct call *c)
{
    if (!debug_allowed(c))
        return;
    logger_line(c->server->logger, LOG_WARNING, "DEBUG LOG: %.*s", (int)c->argv[2].len, (const char *)c->argv[2].p);
    reply_ok(c);
}

/* The state of the logged databases as a restart would make it. */
static void loadaof_run(struct call *c)
{
    char error[512];
    if (!debug_allowed(c))
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
    if (!debug_allowed(c) || !reload_options(c, &o))
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
    if (debug_allowed(c))
        reply_errorf(c, "ERR DEBUG %s is not built into Kelvin", c->cmd->name);
}

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "DIGEST",
        "    Output a hex signature representing the current DB content.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Output a hex signature of the values of all the specified keys.",
        "ERROR <string>",
        "    Return an error with <string> as message.",
        "HTSTATS <dbid>",
        "    Return figures of the hash tables of a database.",
        "HTSTATS-KEY <key>",
        "    Like HTSTATS, but of the value of <key>.",
        "LISTPACK <key>",
        "    Print the listpack of <key> on stdout.",
        "LOADAOF",
        "    Load the logged databases again, from flash and log.",
        "LOG <message>",
        "    Write <message> to the server's log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PAUSE-CRON <0|1>",
        "    Stop looking after clients at regular times.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Elements of this size and more get nodes of their own. 0: those that do not fit into others.",
        "RELOAD [option ...]",
        "    Save the RDB on disk and reload it back to memory. Valid options are: MERGE, NOFLUSH, NOSAVE.",
        "SDSLEN <key>",
        "    Show the lengths of a key and its string.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background.",
        "SET-DISABLE-DENY-SCRIPTS <0|1>",
        "    Setting it to 1 lets scripts call DEBUG SLEEP, DEBUG PROTOCOL and CLIENT LIST, ID and INFO.",
        "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
        "    Setting it to 1 lets RESTORE take payloads whose checksum is wrong.",
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
static const struct command_arg text_args[] = {
    ARG("message", "string"),
    ARG_END,
};
static const struct command_arg db_args[] = {
    ARG("dbid", "integer"),
    ARG_TOKEN("full", "FULL", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg table_args[] = {
    ARG("key", "string"),
    ARG_TOKEN("full", "FULL", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg flag_args[] = {
    ARG("enabled", "integer"),
    ARG_END,
};
static const struct command_arg size_args[] = {
    ARG("size", "string"),
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
    ARG("type", "string",
        .summary = "string, integer, double, bignum, null, array, set, map, attrib, push, verbatim, true, false"),
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
    SUB("object", debug_object_run, 3, ROUTE_ALL, "Shows low level information about a key and its value.",
        .args = object_args),
    SUB("listpack", debug_listpack_run, 3, ROUTE_ALL, "Prints the listpack of a key.", .args = object_args),
    SUB("sdslen", debug_sdslen_run, 3, ROUTE_ALL, "Returns the lengths of a key and its string.", .args = object_args),
    SUB("htstats", debug_htstats_run, -3, ROUTE_ALL, "Returns figures of the hash tables of a database.",
        .args = db_args),
    SUB("htstats-key", debug_htstats_key_run, -3, ROUTE_ALL, "Returns figures of the hash table of a value.",
        .args = table_args),
    SUB("error", error_run, 3, ROUTE_HOME, "Returns an error with this message.", .args = text_args),
    SUB("log", log_run, 3, ROUTE_HOME, "Writes a message to the server's log.", .args = text_args),
    SUB("pause-cron", pause_cron_run, 3, ROUTE_ALL, "Stops looking after clients at regular times.", .args = flag_args),
    SUB("set-skip-checksum-validation", skip_checksums_run, 3, ROUTE_ALL,
        "Lets RESTORE take payloads whose checksum is wrong.", .args = flag_args),
    SUB("quicklist-packed-threshold", packed_threshold_run, 3, ROUTE_ALL,
        "Sets from which size on elements of lists get nodes of their own.", .args = size_args),
    SUB("set-active-expire", set_active_expire_run, 3, ROUTE_ALL, "Disables or enables expiring keys in background.",
        .args = set_active_expire_args),
    SUB("set-disable-deny-scripts", deny_scripts_run, 3, ROUTE_ALL, "Lets scripts call what tests look at them with.",
        .args = flag_args),
    SUB("digest", debug_digest_run, 2, ROUTE_ALL, "Returns a signature of all data."),
    SUB("digest-value", debug_digest_value_run, -3, ROUTE_ALL, "Returns a signature for the value of each key.",
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
