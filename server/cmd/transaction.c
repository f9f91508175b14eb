/* MULTI, EXEC, DISCARD, WATCH, UNWATCH. The work is in server/tx.c. */
#include "server/reply.h"
#include "server/tx.h"

static void multi_run(struct call *c)
{
    struct transaction *tx;
    if (tx_queueing(c->client)) {
        reply_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    tx = tx_get(c->client);
    tx->multi = true;
    tx->db = c->db;
    reply_ok(c);
}

static void exec_run(struct call *c)
{
    if (!tx_queueing(c->client))
        reply_error(c, "ERR EXEC without MULTI");
    else
        tx_exec(c);
}

static void discard_run(struct call *c)
{
    if (!tx_queueing(c->client)) {
        reply_error(c, "ERR DISCARD without MULTI");
        return;
    }
    tx_discard(c->client);
    reply_ok(c);
}

static void watch_run(struct call *c)
{
    if (tx_queueing(c->client)) {
        reply_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (int i = 1; i < c->argc; i++)
        tx_watch(c, i);
    reply_ok(c);
}

static void unwatch_run(struct call *c)
{
    if (c->client->tx != NULL)
        tx_unwatch(c->client);
    reply_ok(c);
}

#define TX_FLAGS (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST)

struct command transaction_commands[] = {
    {.name = "multi",
     .run = multi_run,
     .arity = 1,
     .flags = TX_FLAGS | CMD_ALLOW_BUSY | CMD_NOT_QUEUED,
     .acl = ACL_TRANSACTION,
     .route = ROUTE_HOME,
     .group = "transactions",
     .summary = "Starts a transaction.",
     .since = "1.2.0",
     .complexity = "O(1)"},
    {.name = "exec",
     .run = exec_run,
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_SLOWLOG | CMD_NOT_QUEUED,
     .acl = ACL_TRANSACTION,
     .route = ROUTE_EXEC,
     .group = "transactions",
     .summary = "Executes all commands in a transaction.",
     .since = "1.2.0",
     .complexity = "Depends on commands in the transaction"},
    {.name = "discard",
     .run = discard_run,
     .arity = 1,
     .flags = TX_FLAGS | CMD_ALLOW_BUSY | CMD_NOT_QUEUED,
     .acl = ACL_TRANSACTION,
     .route = ROUTE_HOME,
     .group = "transactions",
     .summary = "Discards a transaction.",
     .since = "2.0.0",
     .complexity = "O(N), when N is the number of queued commands"},
    {.name = "watch",
     .run = watch_run,
     .arity = -2,
     .flags = TX_FLAGS | CMD_ALLOW_BUSY | CMD_NOT_QUEUED,
     .acl = ACL_TRANSACTION,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RO, .first = 1, .last = -1, .step = 1}},
     .group = "transactions",
     .summary = "Monitors changes to keys to determine the execution of a transaction.",
     .since = "2.2.0",
     .complexity = "O(1) for every key.",
     .args = args_keys},
    {.name = "unwatch",
     .run = unwatch_run,
     .arity = 1,
     .flags = TX_FLAGS | CMD_ALLOW_BUSY,
     .acl = ACL_TRANSACTION,
     .route = ROUTE_HOME,
     .group = "transactions",
     .summary = "Forgets about watched keys of a transaction.",
     .since = "2.2.0",
     .complexity = "O(1)"},
    {.name = NULL},
};
