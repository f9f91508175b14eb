/* Server commands: time, checkpoint, shutdown, WAIT, roles. */
#include <signal.h>
#include <stdio.h>

#include "server/admin.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/reply.h"
#include "server/save.h"

/* A script sees one time, as since Redis 7.2. */
static int64_t time_us(struct call *c)
{
    if (c->script_us == NULL)
        return clock_wall_us(c->server->clock);
    if (*c->script_us == 0)
        *c->script_us = clock_wall_us(c->server->clock);
    return *c->script_us;
}

static void time_run(struct call *c)
{
    int64_t us = time_us(c);
    reply_array(c, 2);
    resp_bulk_int(c->out, us / 1000000);
    resp_bulk_int(c->out, us % 1000000);
}

static void bgrewriteaof_run(struct call *c)
{
    if (c->server->checkpoint == NULL || !c->server->config_logged) {
        reply_error(c, "ERR no database is logged: there is nothing to rewrite");
        return;
    }
    if (checkpoint_running(c->server->checkpoint)) {
        reply_error(c, "ERR Background append only file rewriting already in progress");
        return;
    }
    checkpoint_ask(c->server->checkpoint);
    reply_simple(c, "Background append only file rewriting started");
}

/* No replica can be attached yet: the honest answer is 0, at once; it would be the same after any timeout. */
static void wait_run(struct call *c)
{
    int64_t replicas, timeout;
    if (arg_i64(c, c->argv[1], &replicas) && arg_timeout_ms(c, c->argv[2], &timeout))
        reply_int(c, 0);
}

static void role_run(struct call *c)
{
    reply_array(c, 3);
    reply_bulk_str(c, "master");
    reply_int(c, c->server->log ? (int64_t)log_appended(c->server->log) : 0);
    reply_array(c, 0);
}

/* A last RDB file, if there is to be one. False: it failed, and the server goes on. */
static bool save_before(struct call *c, bool save, bool nosave, bool force)
{
    if (nosave || !(save || save_at_stop(c->server)))
        return true;
    shard_append(c->shard, c->held ? c->server->holds.held : 1ull << c->shard->index); /* what has been staged before */
    if (save_final(c->server->save) == 0 || force)
        return true;
    reply_error(c, "ERR Errors trying to SHUTDOWN. Check logs.");
    return false;
}

/* The versions are pieces of art that only Redis has. */
static void lolwut_run(struct call *c)
{
    char text[96];
    int64_t version;
    if (c->argc > 2 && slice_is(c->argv[1], "version") && !arg_i64(c, c->argv[2], &version))
        return;
    int n = snprintf(text, sizeof(text), "Kelvin %s, which speaks as Redis ver. %s\n", KELVIN_VERSION,
                     KELVIN_REDIS_VERSION);
    resp_verbatim(c->out, c->proto, "txt", slice_of(text, (size_t)n));
}

static void module_list_run(struct call *c) { reply_array(c, 0); }

static void module_help_run(struct call *c)
{
    static const char *const lines[] = {
        "LIST",
        "    Return a list of loaded modules: there are none.",
        NULL,
    };
    reply_help(c, lines);
}

static void shutdown_run(struct call *c)
{
    bool abort = false, save = false, nosave = false, force = false;
    for (int i = 1; i < c->argc; i++) {
        if (slice_is(c->argv[i], "abort") && c->argc == 2) {
            abort = true;
        } else if (slice_is(c->argv[i], "save")) {
            save = true;
        } else if (slice_is(c->argv[i], "nosave")) {
            nosave = true;
        } else if (slice_is(c->argv[i], "force")) {
            force = true;
        } else if (!slice_is(c->argv[i], "now")) {
            reply_syntax(c);
            return;
        }
    }
    if (save && nosave) {
        reply_syntax(c);
        return;
    }
    if (abort) {
        reply_error(c, "ERR No shutdown in progress.");
        return;
    }
    if (save_before(c, save, nosave, force))
        admin_shutdown(c);
}

/* A file is one of all shards. */
static enum command_route shutdown_route(const struct server *server, const struct slice *argv, int argc)
{
    (void)server;
    for (int i = 1; i < argc; i++)
        if (slice_is(argv[i], "nosave") || slice_is(argv[i], "abort"))
            return ROUTE_HOME;
    return ROUTE_ALL;
}

static const struct command_arg wait_args[] = {
    ARG("numreplicas", "integer"),
    ARG("timeout", "integer"),
    ARG_END,
};
static const struct command_arg shutdown_save[] = {
    ARG_TOKEN("nosave", "NOSAVE"),
    ARG_TOKEN("save", "SAVE"),
    ARG_END,
};
static const struct command_arg shutdown_args[] = {
    ARG_ONEOF("save-selector", shutdown_save, .flags = ARG_OPTIONAL),
    ARG_TOKEN("now", "NOW", .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("force", "FORCE", .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("abort", "ABORT", .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG_END,
};

static const struct command_arg lolwut_args[] = {
    ARG("version", "integer", .token = "VERSION", .flags = ARG_OPTIONAL),
    ARG_END,
};

static struct command module_subcommands[] = {
    {.name = "list",
     .run = module_list_run,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns all loaded modules.",
     .since = "4.0.0",
     .complexity = "O(N) where N is the number of loaded modules.",
     .tips = STRINGS("nondeterministic_output_order")},
    {.name = "help",
     .run = module_help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "5.0.0",
     .complexity = "O(1)"},
    {.name = NULL},
};

struct command server_commands[] = {
    {.name = "time",
     .run = time_run,
     .arity = 1,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns the server time.",
     .since = "2.6.0",
     .complexity = "O(1)",
     .tips = STRINGS("nondeterministic_output")},
    {.name = "bgrewriteaof",
     .run = bgrewriteaof_run,
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Asynchronously rewrites the append-only file to disk.",
     .since = "1.0.0",
     .complexity = "O(1)"},
    {.name = "wait",
     .run = wait_run,
     .arity = 3,
     .flags = CMD_BLOCKING,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "generic",
     .summary = "Blocks until the asynchronous replication of all preceding write commands sent by the connection is "
                "completed.",
     .since = "3.0.0",
     .complexity = "O(1)",
     .args = wait_args,
     .tips = STRINGS("request_policy:all_shards", "response_policy:agg_min")},
    {.name = "role",
     .run = role_run,
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_DANGEROUS | ACL_ADMIN,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns the replication role.",
     .since = "2.8.12",
     .complexity = "O(1)"},
    {.name = "shutdown",
     .run = shutdown_run,
     .arity = -1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI | CMD_ALLOW_BUSY,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_ALL,
     .route_of = shutdown_route,
     .group = "server",
     .summary = "Synchronously saves the database(s) to disk and shuts down the Redis server.",
     .since = "1.0.0",
     .complexity =
         "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
     .args = shutdown_args,
     .history = STRINGS(CHANGE("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers."))},
    {.name = "lolwut",
     .run = lolwut_run,
     .arity = -1,
     .flags = CMD_READONLY | CMD_FAST,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Displays the server's version.",
     .since = "5.0.0",
     .args = lolwut_args},
    {.name = "module",
     .arity = -2,
     .group = "server",
     .summary = "A container for module commands.",
     .since = "4.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = module_subcommands},
    {.name = NULL},
};
