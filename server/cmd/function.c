/* FUNCTION, FCALL, FCALL_RO. */
#include "core/base/glob.h"
#include "core/base/num.h"
#include "server/function_store.h"
#include "server/reply.h"
#include "server/script/loaded.h"

#define LOAD_TIMEOUT_MS 500
#define RESTORE_TIMEOUT_MS 5000 /* of all libraries together */

/* --- calling --- */

static bool count_keys(struct call *c, int64_t *keys)
{
    if (!num_parse_i64(c->argv[2], keys))
        reply_error(c, "ERR Bad number of keys provided");
    else if (*keys > c->argc - 3)
        reply_error(c, "ERR Number of keys can't be greater than number of args");
    else if (*keys < 0)
        reply_error(c, "ERR Number of keys can't be negative");
    else
        return true;
    return false;
}

static void run_function(struct call *c, bool read_only)
{
    const struct function *f = functions_find(c->server->functions, c->argv[1]);
    struct buf error = {0};
    int64_t keys;
    if (f == NULL) {
        reply_error(c, "ERR Function not found");
        return;
    }
    if (!count_keys(c, &keys))
        return;
    int ref = library_function(c->shard, f, &error);
    if (ref < 0)
        reply_errorf(c, "ERR %.*s", (int)error.len, (const char *)error.p);
    else
        script_run(c, &(struct script_run){.flags = f->flags,
                                           .read_only = read_only,
                                           .kind = SCRIPT_FUNCTION,
                                           .name = f->name,
                                           .ref = ref,
                                           .first_key = 3,
                                           .keys = (int)keys});
    buf_free(&error);
}

static enum command_route fcall_route(const struct server *server, const struct slice *argv, int argc)
{
    const struct function *f = functions_find(server->functions, argv[1]);
    (void)argc;
    return f != NULL ? script_route(server, f->flags, argv) : ROUTE_KEYS;
}

static bool fcall_no_writes(const struct server *server, const struct slice *argv)
{
    const struct function *f = functions_find(server->functions, argv[1]);
    return f != NULL && (f->flags & SCRIPT_NO_WRITES);
}

static void fcall_run(struct call *c) { run_function(c, false); }
static void fcall_ro_run(struct call *c) { run_function(c, true); }

/* --- changing the set --- */

/* What was tried in this shard's Lua goes again. */
static void fail(struct call *c, const struct buf *error)
{
    library_forget_others(c->shard, c->server->functions);
    reply_errorf(c, "ERR %.*s", (int)error->len, (const char *)error->p);
}

static void changed(struct call *c, struct functions *now)
{
    functions_install(c->server, now);
    effect_of_server(c, c->argc, c->argv);
    c->changes++;
}

/* What is in the log has been loaded in time once. */
static uint64_t time_limit(const struct call *c, uint64_t ms) { return c->apply ? 0 : ms; }

static bool load_options(struct call *c, enum library_load *how)
{
    *how = LIBRARY_NEW;
    for (int i = 2; i < c->argc - 1; i++) {
        if (!slice_is(c->argv[i], "replace")) {
            reply_errorf(c, "ERR Unknown option given: %.*s", (int)c->argv[i].len, (const char *)c->argv[i].p);
            return false;
        }
        *how = LIBRARY_REPLACE;
    }
    return true;
}

static void load_run(struct call *c)
{
    const struct functions *now = c->server->functions;
    struct functions *next = NULL;
    struct buf error = {0};
    enum library_load how;
    if (!load_options(c, &how))
        return;
    struct library *l = library_load(c->shard, c->argv[c->argc - 1], now, how, time_limit(c, LOAD_TIMEOUT_MS), &error);
    if (l != NULL)
        next = functions_with(now, l, &error);
    if (next == NULL) {
        fail(c, &error);
    } else {
        changed(c, next);
        reply_bulk(c, l->name);
    }
    buf_free(&error);
}

static void delete_run(struct call *c)
{
    const struct library *l = functions_library(c->server->functions, c->argv[2]);
    if (l == NULL) {
        reply_error(c, "ERR Library not found");
        return;
    }
    changed(c, functions_without(c->server->functions, l));
    reply_ok(c);
}

/* Nothing of it is large enough for the background: what the Lua of each shard held goes with it. */
static void flush_run(struct call *c)
{
    if (c->argc > 3) {
        reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION HELP.",
                     (int)c->argv[1].len, (const char *)c->argv[1].p);
        return;
    }
    if (c->argc == 3 && !slice_is(c->argv[2], "sync") && !slice_is(c->argv[2], "async")) {
        reply_error(c, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    changed(c, functions_new());
    for (unsigned i = 0; i < c->server->nshards; i++)
        library_forget_all(c->server->shards[i]);
    reply_ok(c);
}

enum policy { POLICY_APPEND, POLICY_REPLACE, POLICY_FLUSH };

static bool restore_options(struct call *c, enum policy *policy)
{
    *policy = POLICY_APPEND;
    if (c->argc > 4)
        reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION HELP.",
                     (int)c->argv[1].len, (const char *)c->argv[1].p);
    else if (c->argc == 3 || slice_is(c->argv[3], "append"))
        return true;
    else if (slice_is(c->argv[3], "replace"))
        *policy = POLICY_REPLACE;
    else if (slice_is(c->argv[3], "flush"))
        *policy = POLICY_FLUSH;
    else
        reply_error(c, "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
    return *policy != POLICY_APPEND;
}

static void restore_run(struct call *c)
{
    struct buf error = {0};
    enum policy policy;
    if (!restore_options(c, &policy))
        return;
    if (!functions_payload_ok(c->argv[2])) {
        reply_error(c, "ERR DUMP payload version or checksum are wrong");
        return;
    }
    struct functions *next = functions_load(c->shard, c->argv[2], time_limit(c, RESTORE_TIMEOUT_MS), &error);
    if (next != NULL && policy != POLICY_FLUSH) {
        struct functions *more = next;
        next = functions_join(c->server->functions, more, policy == POLICY_REPLACE, &error);
        functions_unref(more);
    }
    if (next == NULL) {
        fail(c, &error);
    } else {
        changed(c, next);
        reply_ok(c);
    }
    buf_free(&error);
}

/* --- asking --- */

static void dump_run(struct call *c)
{
    struct buf out = {0};
    functions_encode(c->server->functions, &out);
    reply_bulk(c, buf_slice(&out));
    buf_free(&out);
}

static void reply_flags(struct call *c, uint32_t flags)
{
    static const char *const names[] = {"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"};
    uint32_t set = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        set += (flags & script_flag_named(slice_str(names[i]))) != 0;
    reply_set(c, set);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (flags & script_flag_named(slice_str(names[i])))
            reply_simple(c, names[i]);
}

static void reply_function(struct call *c, const struct function *f)
{
    reply_map(c, 3);
    reply_bulk_str(c, "name");
    reply_bulk(c, f->name);
    reply_bulk_str(c, "description");
    if (f->description.p != NULL)
        reply_bulk(c, f->description);
    else
        reply_null(c);
    reply_bulk_str(c, "flags");
    reply_flags(c, f->flags);
}

static void reply_library(struct call *c, const struct library *l, bool with_code)
{
    reply_map(c, with_code ? 4 : 3);
    reply_bulk_str(c, "library_name");
    reply_bulk(c, l->name);
    reply_bulk_str(c, "engine");
    reply_bulk_str(c, "LUA");
    reply_bulk_str(c, "functions");
    reply_set(c, l->n);
    for (unsigned i = 0; i < l->n; i++)
        reply_function(c, &l->functions[i]);
    if (!with_code)
        return;
    reply_bulk_str(c, "library_code");
    reply_bulk(c, l->code);
}

struct list_options {
    bool with_code, some;
    struct slice pattern;
};

static bool list_options(struct call *c, struct list_options *o)
{
    *o = (struct list_options){0};
    for (int i = 2; i < c->argc; i++) {
        if (!o->with_code && slice_is(c->argv[i], "withcode")) {
            o->with_code = true;
        } else if (!o->some && slice_is(c->argv[i], "libraryname")) {
            if (i + 1 == c->argc) {
                reply_error(c, "ERR library name argument was not given");
                return false;
            }
            o->some = true;
            o->pattern = c->argv[++i];
        } else {
            reply_errorf(c, "ERR Unknown argument %.*s", (int)c->argv[i].len, (const char *)c->argv[i].p);
            return false;
        }
    }
    return true;
}

static void list_run(struct call *c)
{
    const struct functions *f = c->server->functions;
    struct list_options o;
    size_t n = 0;
    if (!list_options(c, &o))
        return;
    for (unsigned i = 0; i < f->nlibraries; i++)
        n += !o.some || glob_match(o.pattern, f->libraries[i]->name, true);
    reply_array(c, n);
    for (unsigned i = 0; i < f->nlibraries; i++)
        if (!o.some || glob_match(o.pattern, f->libraries[i]->name, true))
            reply_library(c, f->libraries[i], o.with_code);
}

static void stats_run(struct call *c)
{
    reply_map(c, 2);
    reply_bulk_str(c, "running_script");
    script_reply_running(c, SCRIPT_FUNCTION);
    reply_bulk_str(c, "engines");
    reply_map(c, 1);
    reply_bulk_str(c, "LUA");
    reply_map(c, 2);
    reply_bulk_str(c, "libraries_count");
    reply_int(c, (int64_t)atomic_load(&c->server->figures_of_functions.libraries));
    reply_bulk_str(c, "functions_count");
    reply_int(c, (int64_t)atomic_load(&c->server->figures_of_functions.functions));
}

static void kill_run(struct call *c) { script_kill(c, SCRIPT_FUNCTION); }

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Library description",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE "
        "command",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance of failure",
        "      in case of functions name collision with another library).",
        NULL,
    };
    reply_help(c, lines);
}

/* --- declarations --- */

static const struct command_arg fcall_args[] = {
    ARG("function", "string"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG("arg", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg load_args[] = {
    ARG_TOKEN("replace", "REPLACE", .flags = ARG_OPTIONAL),
    ARG("function-code", "string"),
    ARG_END,
};
static const struct command_arg delete_args[] = {
    ARG("library-name", "string"),
    ARG_END,
};
static const struct command_arg flush_type[] = {
    ARG_TOKEN("async", "ASYNC"),
    ARG_TOKEN("sync", "SYNC"),
    ARG_END,
};
static const struct command_arg flush_args[] = {
    ARG_ONEOF("flush-type", flush_type, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg list_args[] = {
    ARG("library-name-pattern", "string", .token = "LIBRARYNAME", .flags = ARG_OPTIONAL),
    ARG_TOKEN("withcode", "WITHCODE", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg restore_policy[] = {
    ARG_TOKEN("flush", "FLUSH"),
    ARG_TOKEN("append", "APPEND"),
    ARG_TOKEN("replace", "REPLACE"),
    ARG_END,
};
static const struct command_arg restore_args[] = {
    ARG("serialized-value", "string"),
    ARG_ONEOF("policy", restore_policy, .flags = ARG_OPTIONAL),
    ARG_END,
};

#define ON_ALL "request_policy:all_shards", "response_policy:all_succeeded"
#define SUB(n, fn, ar, fl, rt, sum, cost, ...)                                                                   \
    {                                                                                                            \
        .name = n, .run = fn, .arity = ar, .flags = fl, .acl = ACL_SCRIPTING, .route = rt, .group = "scripting", \
        .summary = sum, .since = "7.0.0", .complexity = cost, __VA_ARGS__                                        \
    }
#define CHANGES (CMD_WRITE | CMD_NOSCRIPT | CMD_OF_SERVER)

static struct command subcommands[] = {
    SUB("load", load_run, -3, CHANGES | CMD_DENYOOM, ROUTE_ALL, "Creates a library.",
        "O(1) (considering compilation time is redundant)", .args = load_args, .tips = STRINGS(ON_ALL)),
    SUB("delete", delete_run, 3, CHANGES, ROUTE_ALL, "Deletes a library and its functions.", "O(1)",
        .args = delete_args, .tips = STRINGS(ON_ALL)),
    SUB("flush", flush_run, -2, CHANGES, ROUTE_ALL, "Deletes all libraries and functions.",
        "O(N) where N is the number of functions deleted", .args = flush_args, .tips = STRINGS(ON_ALL)),
    SUB("restore", restore_run, -3, CHANGES | CMD_DENYOOM, ROUTE_ALL, "Restores all libraries from a payload.",
        "O(N) where N is the number of functions on the payload", .args = restore_args, .tips = STRINGS(ON_ALL)),
    SUB("dump", dump_run, 2, CMD_NOSCRIPT, ROUTE_HOME, "Dumps all libraries into a serialized binary payload.",
        "O(N) where N is the number of functions"),
    SUB("list", list_run, -2, CMD_NOSCRIPT, ROUTE_HOME, "Returns information about all libraries.",
        "O(N) where N is the number of functions", .args = list_args, .tips = STRINGS("nondeterministic_output_order")),
    SUB("stats", stats_run, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY, ROUTE_HOME,
        "Returns information about a function during execution.", "O(1)",
        .tips = STRINGS("nondeterministic_output", "request_policy:all_shards", "response_policy:special")),
    SUB("kill", kill_run, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY, ROUTE_HOME, "Terminates a function during execution.",
        "O(1)", .tips = STRINGS("request_policy:all_shards", "response_policy:one_succeeded")),
    SUB("help", help_run, 2, CMD_LOADING | CMD_STALE, ROUTE_HOME,
        "Returns helpful text about the different subcommands.", "O(1)"),
    {.name = NULL},
};

#define FCALL_FLAGS (CMD_NOSCRIPT | CMD_STALE | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_MOVABLE_KEYS)

struct command function_commands[] = {
    {.name = "fcall",
     .run = fcall_run,
     .arity = -3,
     .flags = FCALL_FLAGS | CMD_SCRIPT,
     .acl = ACL_SCRIPTING,
     .route = ROUTE_KEYS,
     .route_of = fcall_route,
     .no_writes = fcall_no_writes,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE,
               .first = 2,
               .step = 1,
               .counted = true,
               .need = NEED_VALUE,
               .notes = "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"}},
     .group = "scripting",
     .summary = "Invokes a function.",
     .since = "7.0.0",
     .complexity = "Depends on the function that is executed.",
     .args = fcall_args},
    {.name = "fcall_ro",
     .run = fcall_ro_run,
     .arity = -3,
     .flags = FCALL_FLAGS | CMD_READONLY,
     .acl = ACL_SCRIPTING,
     .route = ROUTE_KEYS,
     .route_of = fcall_route,
     .keys = {{.flags = KEY_RO | KEY_ACCESS,
               .first = 2,
               .step = 1,
               .counted = true,
               .need = NEED_VALUE,
               .notes = "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"}},
     .group = "scripting",
     .summary = "Invokes a read-only function.",
     .since = "7.0.0",
     .complexity = "Depends on the function that is executed.",
     .args = fcall_args},
    {.name = "function",
     .arity = -2,
     .route = ROUTE_HOME,
     .group = "scripting",
     .summary = "A container for function commands.",
     .since = "7.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = subcommands},
    {.name = NULL},
};
