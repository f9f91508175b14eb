/* RDB files: SAVE, BGSAVE, LASTSAVE. */
#include "server/save.h"

#include "server/admin.h"
#include "server/dispatch.h"
#include "server/reply.h"

static bool in_progress(struct call *c)
{
    if (!save_busy(c->server->save))
        return false;
    reply_error(c, "ERR Background save already in progress");
    return true;
}

/* The cut is behind everything that has been staged. */
static void append_staged(struct call *c)
{
    shard_append(c->shard, c->held ? c->server->holds.held : 1ull << c->shard->index);
}

static void save_run(struct call *c)
{
    if (in_progress(c))
        return;
    append_staged(c);
    if (save_now(c->server->save) == 0)
        reply_ok(c);
    else
        reply_error(c, "ERR");
}

/* Inside a transaction it is put off: no cut may see a part of one. */
static void bgsave_run(struct call *c)
{
    if (c->argc > 2 || (c->argc == 2 && !slice_is(c->argv[1], "schedule"))) {
        reply_syntax(c);
        return;
    }
    if (in_progress(c))
        return;
    if (c->in_exec) {
        save_ask(c->server->save);
        reply_simple(c, "Background saving scheduled");
        return;
    }
    append_staged(c);
    save_begin(c->server->save);
    reply_simple(c, "Background saving started");
}

static void lastsave_run(struct call *c)
{
    struct save_info i;
    save_info(c->server->save, &i);
    reply_int(c, i.last_save_s);
}

static const struct command_arg bgsave_args[] = {
    ARG_TOKEN("schedule", "SCHEDULE", .since = "3.2.2", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command save_commands[] = {
    {.name = "save",
     .run = save_run,
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING | CMD_NO_MULTI,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_ALL,
     .group = "server",
     .summary = "Synchronously saves the database(s) to disk.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of keys in all databases"},
    {.name = "bgsave",
     .run = bgsave_run,
     .arity = -1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
     .acl = ACL_DANGEROUS,
     .route = ROUTE_ALL,
     .group = "server",
     .summary = "Asynchronously saves the database(s) to disk.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = bgsave_args,
     .history = STRINGS(CHANGE("3.2.2", "Added the `SCHEDULE` option."))},
    {.name = "lastsave",
     .run = lastsave_run,
     .arity = 1,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_DANGEROUS | ACL_ADMIN,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns the Unix timestamp of the last successful save to disk.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .tips = STRINGS("nondeterministic_output")},
    {.name = NULL},
};
