/* Connection commands: they read or change the session of the client they came from. CLIENT is in client.c. */
#include "server/admin.h"
#include "server/cmd/client.h"
#include "server/monitor.h"
#include "server/reply.h"
#include "server/tracking.h"
#include "server/tx.h"

static void ping_run(struct call *c)
{
    if (c->argc > 2) {
        reply_wrong_arity(c);
    } else if (c->proto == 2 && c->client != NULL && c->client->flags & CLIENT_SUBSCRIBER) {
        reply_array(c, 2); /* in the form of a message */
        reply_bulk_str(c, "pong");
        reply_bulk(c, c->argc == 2 ? c->argv[1] : SLICE_LIT(""));
    } else if (c->argc == 2) {
        reply_bulk(c, c->argv[1]);
    } else {
        reply_simple(c, "PONG");
    }
}

static void echo_run(struct call *c) { reply_bulk(c, c->argv[1]); }

static void select_run(struct call *c)
{
    if (arg_db(c, c->argv[1], &c->client->db))
        reply_ok(c);
}

static void quit_run(struct call *c)
{
    reply_ok(c);
    client_close(c->client, true);
}

static void reset_run(struct call *c)
{
    struct client *client = c->client;
    if (client->tx != NULL)
        tx_discard(client);
    tracking_off(client);
    pubsub_leave(client);
    monitor_off(client);
    client->db = 0;
    client->proto = 2;
    client->flags &=
        ~(uint32_t)(CLIENT_NO_EVICT | CLIENT_NO_TOUCH | CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
    c->out = outbox_writer(&client->out);
    if (admin_config(c)->requirepass[0] != 0)
        client->flags &= ~(uint32_t)CLIENT_AUTHENTICATED;
    client_set_string(&client->name, slice_of(NULL, 0));
    reply_simple(c, "RESET");
}

/* --- AUTH and HELLO --- */

/* Compares in time that depends on the lengths only. */
static bool same_secret(struct slice a, const char *b)
{
    size_t n = strlen(b);
    uint8_t diff = a.len != n;
    for (size_t i = 0; i < a.len; i++)
        diff |= (uint8_t)(a.p[i] ^ (uint8_t)b[n ? i % n : 0]);
    return diff == 0;
}

static bool authenticate(struct call *c, struct slice user, struct slice password)
{
    if (slice_eq(user, SLICE_LIT("default")) &&
        (admin_config(c)->requirepass[0] == 0 || same_secret(password, admin_config(c)->requirepass))) {
        c->client->flags |= CLIENT_AUTHENTICATED;
        return true;
    }
    reply_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

static bool auth_secret(const struct slice *argv, int argc, int arg)
{
    (void)argv;
    (void)argc;
    return arg > 0;
}

static void auth_run(struct call *c)
{
    if (c->argc > 3) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 2 && admin_config(c)->requirepass[0] == 0) {
        reply_error(
            c, "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
               "configuration is correct?");
        return;
    }
    struct slice user = c->argc == 3 ? c->argv[1] : SLICE_LIT("default");
    if (authenticate(c, user, c->argv[c->argc - 1]))
        reply_ok(c);
}

struct hello {
    int64_t proto;
    bool auth, named;
    struct slice user, password, name;
};

static bool hello_options(struct call *c, struct hello *h)
{
    for (int i = 2; i < c->argc; i++) {
        int left = c->argc - i - 1;
        if (slice_is(c->argv[i], "auth") && left >= 2) {
            h->auth = true;
            h->user = c->argv[++i];
            h->password = c->argv[++i];
        } else if (slice_is(c->argv[i], "setname") && left >= 1) {
            h->named = true;
            h->name = c->argv[++i];
        } else {
            reply_errorf(c, "ERR Syntax error in HELLO option '%.*s'", (int)min_u64(c->argv[i].len, 128),
                         (const char *)c->argv[i].p);
            return false;
        }
    }
    return true;
}

static bool hello_secret(const struct slice *argv, int argc, int arg)
{
    (void)argc;
    return (arg > 2 && slice_is(argv[arg - 1], "auth")) || (arg > 3 && slice_is(argv[arg - 2], "auth"));
}

static void hello_reply(struct call *c)
{
    reply_map(c, 7);
    reply_bulk_str(c, "server");
    reply_bulk_str(c, "redis");
    reply_bulk_str(c, "version");
    reply_bulk_str(c, KELVIN_REDIS_VERSION);
    reply_bulk_str(c, "proto");
    reply_int(c, c->proto);
    reply_bulk_str(c, "id");
    reply_int(c, (int64_t)c->client->id);
    reply_bulk_str(c, "mode");
    reply_bulk_str(c, "standalone");
    reply_bulk_str(c, "role");
    reply_bulk_str(c, "master");
    reply_bulk_str(c, "modules");
    reply_array(c, 0);
}

static void hello_run(struct call *c)
{
    struct hello h = {.proto = c->proto};
    if (c->argc > 1) {
        if (!arg_i64_or(c, c->argv[1], &h.proto, "ERR Protocol version is not an integer or out of range"))
            return;
        if (h.proto < 2 || h.proto > 3) {
            reply_error(c, "NOPROTO unsupported protocol version");
            return;
        }
    }
    if (!hello_options(c, &h) || (h.auth && !authenticate(c, h.user, h.password)))
        return;
    if (!(c->client->flags & CLIENT_AUTHENTICATED)) {
        reply_error(
            c, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
               "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
               "the same time");
        return;
    }
    if (h.named && !client_set_name(c, &c->client->name, h.name, "Client names"))
        return;
    c->client->proto = c->proto = (int)h.proto;
    hello_reply(c);
}

static const struct command_arg ping_args[] = {
    ARG("message", "string", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg echo_args[] = {
    ARG("message", "string"),
    ARG_END,
};
static const struct command_arg select_args[] = {
    ARG("index", "integer"),
    ARG_END,
};
static const struct command_arg auth_args[] = {
    ARG("username", "string", .since = "6.0.0", .flags = ARG_OPTIONAL),
    ARG("password", "string"),
    ARG_END,
};
static const struct command_arg hello_credentials[] = {
    ARG("username", "string"),
    ARG("password", "string"),
    ARG_END,
};
static const struct command_arg hello_parts[] = {
    ARG("protover", "integer"),
    ARG_BLOCK("auth", hello_credentials, .token = "AUTH", .flags = ARG_OPTIONAL),
    ARG("clientname", "string", .token = "SETNAME", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg hello_args[] = {
    ARG_BLOCK("arguments", hello_parts, .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command connection_commands[] = {
    {.name = "ping",
     .run = ping_run,
     .arity = -1,
     .flags = CMD_FAST | CMD_FOR_SUBSCRIBERS,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Returns the server's liveliness response.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = ping_args,
     .tips = STRINGS("request_policy:all_shards", "response_policy:all_succeeded")},
    {.name = "echo",
     .run = echo_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Returns the given string.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = echo_args},
    {.name = "select",
     .run = select_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Changes the selected database.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = select_args},
    {.name = "quit",
     .run = quit_run,
     .arity = -1,
     .flags = CMD_ALLOW_BUSY | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_NOT_QUEUED |
              CMD_FOR_SUBSCRIBERS,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Closes the connection.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .deprecated_since = "7.2.0",
     .replaced_by = "just closing the connection"},
    {.name = "reset",
     .run = reset_run,
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_NOT_QUEUED |
              CMD_FOR_SUBSCRIBERS,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Resets the connection.",
     .since = "6.2.0",
     .complexity = "O(1)"},
    {.name = "auth",
     .run = auth_run,
     .arity = -2,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Authenticates the connection.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of passwords defined for the user",
     .args = auth_args,
     .secret = auth_secret,
     .history = STRINGS(CHANGE("6.0.0", "Added ACL style (username and password)."))},
    {.name = "hello",
     .run = hello_run,
     .arity = -1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Handshakes with the Redis server.",
     .since = "6.0.0",
     .complexity = "O(1)",
     .args = hello_args,
     .secret = hello_secret,
     .history =
         STRINGS(CHANGE("6.2.0", "`protover` made optional; when called without arguments the command reports the "
                                 "current connection's context."))},
    {.name = "client",
     .arity = -2,
     .group = "connection",
     .summary = "A container for client connection commands.",
     .since = "2.4.0",
     .complexity = "Depends on subcommand.",
     .subcommands = client_commands},
    {.name = NULL},
};
