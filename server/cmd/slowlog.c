/* SLOWLOG. The log is that of all shards (server/slowlog.h). */
#include "server/slowlog.h"

#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/admin.h"
#include "server/reply.h"

static void reply_entry(struct call *c, const struct slowlog_entry *e)
{
    reply_array(c, 6);
    reply_int(c, (int64_t)e->id);
    reply_int(c, e->at_s);
    reply_int(c, (int64_t)e->duration_us);
    reply_array(c, (size_t)e->argc);
    for (int i = 0; i < e->argc; i++)
        reply_bulk(c, e->argv[i]);
    reply_bulk(c, e->peer);
    reply_bulk(c, e->name);
}

static void get_run(struct call *c)
{
    int64_t count = 10;
    if (c->argc > 3) {
        reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                     (int)min_u64(c->argv[1].len, 128), (const char *)c->argv[1].p);
        return;
    }
    if (c->argc == 3 &&
        !arg_range(c, c->argv[2], -1, INT64_MAX, &count, "ERR count should be greater than or equal to -1"))
        return;
    size_t max = slowlog_length(c->server);
    if (count >= 0)
        max = min_u64(max, (uint64_t)count);
    const struct slowlog_entry **newest = mem_alloc(sizeof(*newest) * (max + 1));
    size_t n = slowlog_newest(c->server, newest, max);
    reply_array(c, n);
    for (size_t i = 0; i < n; i++)
        reply_entry(c, newest[i]);
    mem_free(newest, sizeof(*newest) * (max + 1));
}

static void len_run(struct call *c) { reply_int(c, (int64_t)slowlog_length(c->server)); }

static void reset_run(struct call *c)
{
    for (unsigned i = 0; i < c->server->nshards; i++)
        slowlog_reset(&c->server->shards[i]->slowlog);
    reply_ok(c);
}

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    reply_help(c, lines);
}

static const struct command_arg get_args[] = {
    ARG("count", "integer", .flags = ARG_OPTIONAL),
    ARG_END,
};

#define SUB(n, fn, ar, sum, cx, ...)                                                                            \
    {                                                                                                           \
        .name = n, .run = fn, .arity = ar, .flags = CMD_ADMIN | CMD_LOADING | CMD_STALE, .acl = ACL_DANGEROUS,  \
        .route = ROUTE_ALL, .group = "server", .summary = sum, .since = "2.2.12", .complexity = cx, __VA_ARGS__ \
    }

static struct command slowlog_subcommands[] = {
    SUB("get", get_run, -2, "Returns the slow log's entries.", "O(N) where N is the number of entries returned",
        .args = get_args, .tips = STRINGS("request_policy:all_nodes", "nondeterministic_output"),
        .history = STRINGS(CHANGE("4.0.0", "Added client IP address, port and name to the reply."))),
    SUB("len", len_run, 2, "Returns the number of entries in the slow log.", "O(1)",
        .tips = STRINGS("request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output")),
    SUB("reset", reset_run, 2, "Clears all entries from the slow log.",
        "O(N) where N is the number of entries in the slowlog",
        .tips = STRINGS("request_policy:all_nodes", "response_policy:all_succeeded")),
    {.name = "help",
     .run = help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Show helpful text about the different subcommands",
     .since = "6.2.0",
     .complexity = "O(1)"},
    {.name = NULL},
};

struct command slowlog_commands[] = {
    {.name = "slowlog",
     .arity = -2,
     .group = "server",
     .summary = "A container for slow log commands.",
     .since = "2.2.12",
     .complexity = "Depends on subcommand.",
     .subcommands = slowlog_subcommands},
    {.name = NULL},
};
