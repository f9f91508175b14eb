/* EVAL, EVALSHA and their read-only forms, SCRIPT. The engine is in server/script/. */
#include "core/base/num.h"
#include "server/admin.h"
#include "server/reply.h"
#include "server/script/cache.h"
#include "server/server.h"

/* --- running --- */

static bool key_count(struct call *c, int *keys)
{
    int64_t n;
    if (!arg_i64(c, c->argv[2], &n))
        return false;
    if (n > c->argc - 3)
        reply_error(c, "ERR Number of keys can't be greater than number of args");
    else if (n < 0)
        reply_error(c, "ERR Number of keys can't be negative");
    else
        *keys = (int)n;
    return n >= 0 && n <= c->argc - 3;
}

static void run_script(struct call *c, struct script *script, int keys, bool read_only)
{
    struct buf error = {0};
    int ref = script_ref(script, c->shard, &error);
    struct script_run what = {
        .flags = script->flags,
        .read_only = read_only,
        .kind = SCRIPT_EVAL,
        .name = slice_of(script->sha, 40),
        .ref = ref,
        .first_key = 3,
        .keys = keys,
    };
    if (ref > 0) {
        script_used(c->server->scripts, script);
        script_run(c, &what);
    } else {
        reply_errorf(c, "%.*s", (int)error.len, (const char *)error.p);
    }
    buf_free(&error);
}

static struct script *add(struct call *c, struct slice body, enum script_stay stay, struct buf *error)
{
    if (script_has_all(c))
        script_cache_sweep(c->server->scripts);
    return script_add(c->server->scripts, c->shard, body, stay, error);
}

static void eval(struct call *c, bool read_only)
{
    struct buf error = {0};
    int keys;
    if (!key_count(c, &keys))
        return;
    struct script *script = script_by_body(c->server->scripts, c->argv[1]);
    if (unlikely(script == NULL))
        script = add(c, c->argv[1], SCRIPT_RECENT, &error);
    if (script != NULL)
        run_script(c, script, keys, read_only);
    else
        reply_errorf(c, "%.*s", (int)error.len, (const char *)error.p);
    buf_free(&error);
}

static void evalsha(struct call *c, bool read_only)
{
    struct script *script = script_by_sha(c->server->scripts, c->argv[1]);
    int keys;
    if (c->argv[1].len != 40) {
        reply_error(c, "NOSCRIPT No matching script. Please use EVAL.");
        return;
    }
    if (!key_count(c, &keys))
        return;
    if (script == NULL)
        reply_error(c, "NOSCRIPT No matching script. Please use EVAL.");
    else
        run_script(c, script, keys, read_only);
}

static void eval_run(struct call *c) { eval(c, false); }
static void eval_ro_run(struct call *c) { eval(c, true); }
static void evalsha_run(struct call *c) { evalsha(c, false); }
static void evalsha_ro_run(struct call *c) { evalsha(c, true); }

/* --- where --- */

static enum command_route eval_route(const struct server *server, const struct slice *argv, int argc)
{
    uint32_t flags;
    size_t code;
    (void)argc;
    if (!script_parse(argv[1], &flags, &code, NULL))
        return ROUTE_KEYS; /* an error, wherever it is said */
    if (script_cache_due(server->scripts))
        return ROUTE_ALL;
    return script_route(server, flags, argv);
}

static enum command_route evalsha_route(const struct server *server, const struct slice *argv, int argc)
{
    const struct script *script = script_by_sha(server->scripts, argv[1]);
    (void)argc;
    return script == NULL ? ROUTE_KEYS : script_route(server, script->flags, argv);
}

static bool eval_no_writes(const struct server *server, const struct slice *argv)
{
    uint32_t flags;
    size_t code;
    (void)server;
    return script_parse(argv[1], &flags, &code, NULL) && (flags & SCRIPT_NO_WRITES);
}

static bool evalsha_no_writes(const struct server *server, const struct slice *argv)
{
    const struct script *script = script_by_sha(server->scripts, argv[1]);
    return script != NULL && (script->flags & SCRIPT_NO_WRITES);
}

/* --- SCRIPT --- */

static void load_run(struct call *c)
{
    struct buf error = {0};
    struct script *script = script_by_body(c->server->scripts, c->argv[2]);
    if (script != NULL)
        script_keep(c->server->scripts, script);
    else
        script = add(c, c->argv[2], SCRIPT_LOADED, &error);
    if (script != NULL)
        reply_bulk(c, slice_of(script->sha, 40));
    else
        reply_errorf(c, "%.*s", (int)error.len, (const char *)error.p);
    buf_free(&error);
}

static void exists_run(struct call *c)
{
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_int(c, script_by_sha(c->server->scripts, c->argv[i]) != NULL);
}

static void flush_run(struct call *c)
{
    if (c->argc > 3 || (c->argc == 3 && !slice_is(c->argv[2], "sync") && !slice_is(c->argv[2], "async"))) {
        reply_error(c, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    script_cache_flush(c->server->scripts);
    reply_ok(c);
}

static void kill_run(struct call *c) { script_kill(c, SCRIPT_EVAL); }

static void debug_run(struct call *c)
{
    reply_error(c, "ERR scripts cannot be debugged: there is no Lua debugger in this server");
}

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        NULL,
    };
    reply_help(c, lines);
}

/* --- declarations --- */

static const struct command_arg eval_args[] = {
    ARG("script", "string"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG("arg", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg evalsha_args[] = {
    ARG("sha1", "string"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG("arg", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg exists_args[] = {
    ARG("sha1", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg load_args[] = {
    ARG("script", "string"),
    ARG_END,
};
static const struct command_arg flush_modes[] = {
    ARG_TOKEN("async", "ASYNC"),
    ARG_TOKEN("sync", "SYNC"),
    ARG_END,
};
static const struct command_arg flush_args[] = {
    ARG_ONEOF("flush-type", flush_modes, .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg debug_modes[] = {
    ARG_TOKEN("yes", "YES"),
    ARG_TOKEN("sync", "SYNC"),
    ARG_TOKEN("no", "NO"),
    ARG_END,
};
static const struct command_arg debug_args[] = {
    ARG_ONEOF("mode", debug_modes),
    ARG_END,
};

#define SCRIPTING .acl = ACL_SCRIPTING, .group = "scripting"
#define EVAL_FLAGS (CMD_NOSCRIPT | CMD_STALE | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_MOVABLE_KEYS)
#define EVAL_KEYS(fl, ...) \
    .keys = {{.flags = (fl), .first = 2, .counted = true, .step = 1, .need = NEED_VALUE, __VA_ARGS__}}
#define WORST "We cannot tell how the keys will be used so we assume the worst, "

static struct command script_subcommands[] = {
    {.name = "debug",
     .run = debug_run,
     .arity = 3,
     .flags = CMD_NOSCRIPT,
     SCRIPTING,
     .route = ROUTE_HOME,
     .summary = "Sets the debug mode of server-side Lua scripts.",
     .since = "3.2.0",
     .complexity = "O(1)",
     .args = debug_args},
    {.name = "exists",
     .run = exists_run,
     .arity = -3,
     .flags = CMD_NOSCRIPT,
     SCRIPTING,
     .route = ROUTE_HOME,
     .summary = "Determines whether server-side Lua scripts exist in the script cache.",
     .since = "2.6.0",
     .complexity = "O(N) with N being the number of scripts to check (so checking a single script is an O(1) "
                   "operation).",
     .tips = STRINGS("request_policy:all_shards", "response_policy:agg_logical_and"),
     .args = exists_args},
    {.name = "flush",
     .run = flush_run,
     .arity = -2,
     .flags = CMD_NOSCRIPT,
     SCRIPTING,
     .route = ROUTE_ALL,
     .summary = "Removes all server-side Lua scripts from the script cache.",
     .since = "2.6.0",
     .complexity = "O(N) with N being the number of scripts in cache",
     .tips = STRINGS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .history = STRINGS(CHANGE("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")),
     .args = flush_args},
    {.name = "help",
     .run = help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     SCRIPTING,
     .route = ROUTE_HOME,
     .summary = "Returns helpful text about the different subcommands.",
     .since = "5.0.0",
     .complexity = "O(1)"},
    {.name = "kill",
     .run = kill_run,
     .arity = 2,
     .flags = CMD_NOSCRIPT | CMD_ALLOW_BUSY,
     SCRIPTING,
     .route = ROUTE_HOME,
     .summary = "Terminates a server-side Lua script during execution.",
     .since = "2.6.0",
     .complexity = "O(1)",
     .tips = STRINGS("request_policy:all_shards", "response_policy:one_succeeded")},
    {.name = "load",
     .run = load_run,
     .arity = 3,
     .flags = CMD_NOSCRIPT | CMD_STALE,
     SCRIPTING,
     .route = ROUTE_HOME,
     .summary = "Loads a server-side Lua script to the script cache.",
     .since = "2.6.0",
     .complexity = "O(N) with N being the length in bytes of the script body.",
     .tips = STRINGS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .args = load_args},
    {.name = NULL},
};

struct command script_commands[] = {
    {.name = "eval",
     .run = eval_run,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_SCRIPT,
     SCRIPTING,
     .route = ROUTE_KEYS,
     .route_of = eval_route,
     .no_writes = eval_no_writes,
     EVAL_KEYS(KEY_RW | KEY_ACCESS | KEY_UPDATE, .notes = WORST "RW and UPDATE"),
     .summary = "Executes a server-side Lua script.",
     .since = "2.6.0",
     .complexity = "Depends on the script that is executed.",
     .args = eval_args},
    {.name = "evalsha",
     .run = evalsha_run,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_SCRIPT,
     SCRIPTING,
     .route = ROUTE_KEYS,
     .route_of = evalsha_route,
     .no_writes = evalsha_no_writes,
     EVAL_KEYS(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     .summary = "Executes a server-side Lua script by SHA1 digest.",
     .since = "2.6.0",
     .complexity = "Depends on the script that is executed.",
     .args = evalsha_args},
    {.name = "eval_ro",
     .run = eval_ro_run,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_READONLY,
     SCRIPTING,
     .route = ROUTE_KEYS,
     .route_of = eval_route,
     EVAL_KEYS(KEY_RO | KEY_ACCESS, .notes = WORST "RO and ACCESS"),
     .summary = "Executes a read-only server-side Lua script.",
     .since = "7.0.0",
     .complexity = "Depends on the script that is executed.",
     .args = eval_args},
    {.name = "evalsha_ro",
     .run = evalsha_ro_run,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_READONLY,
     SCRIPTING,
     .route = ROUTE_KEYS,
     .route_of = evalsha_route,
     EVAL_KEYS(KEY_RO | KEY_ACCESS),
     .summary = "Executes a read-only server-side Lua script by SHA1 digest.",
     .since = "7.0.0",
     .complexity = "Depends on the script that is executed.",
     .args = evalsha_args},
    {.name = "script",
     .arity = -2,
     .group = "scripting",
     .subcommands = script_subcommands,
     .summary = "A container for Lua scripts management commands.",
     .since = "2.6.0",
     .complexity = "Depends on subcommand."},
    {.name = NULL},
};
