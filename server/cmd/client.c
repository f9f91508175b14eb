/* CLIENT: who is connected. What concerns all clients runs under a hold of all shards. */
#include "server/cmd/client.h"

#include <stdlib.h>

#include "core/base/num.h"
#include "server/admin.h"
#include "server/cmd/tracking.h"
#include "server/dispatch.h"
#include "server/reply.h"

static bool valid_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    return true;
}

bool client_set_name(struct call *c, char **field, struct slice name, const char *what)
{
    if (!valid_name(name)) {
        reply_errorf(c, "ERR %s cannot contain spaces, newlines or special characters.", what);
        return false;
    }
    client_set_string(field, name);
    return true;
}

static void client_id_run(struct call *c) { reply_int(c, (int64_t)c->client->id); }

static void client_info_run(struct call *c)
{
    struct buf line = {0};
    client_append_info(c->client, &line);
    buf_append_byte(&line, '\n');
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&line));
    buf_free(&line);
}

static void each_client(struct call *c, void (*each)(struct call *c, struct client *client, void *arg), void *arg)
{
    for (unsigned i = 0; i < c->server->nshards; i++)
        for (struct client *client = c->server->shards[i]->clients, *next; client != NULL; client = next) {
            next = client->next;
            if (!(client->flags & CLIENT_CLOSING))
                each(c, client, arg);
        }
}

/* The TYPE of CLIENT LIST and CLIENT KILL. */
enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_PUBSUB, TYPE_NONE /* there are no replicas or primaries yet */ };

static bool client_type(struct call *c, struct slice type, enum client_type *out)
{
    *out = slice_is(type, "normal") ? TYPE_NORMAL : slice_is(type, "pubsub") ? TYPE_PUBSUB : TYPE_NONE;
    if (*out != TYPE_NONE || slice_is(type, "replica") || slice_is(type, "slave") || slice_is(type, "master"))
        return true;
    reply_errorf(c, "ERR Unknown client type '%.*s'", (int)min_u64(type.len, 128), (const char *)type.p);
    return false;
}

static bool of_type(const struct client *client, enum client_type type)
{
    return type == TYPE_ANY || type == (client->flags & CLIENT_SUBSCRIBER ? TYPE_PUBSUB : TYPE_NORMAL);
}

struct list_filter {
    struct buf found; /* pointers to clients */
    struct buf lines;
    int64_t only; /* this id; 0: all */
    enum client_type type;
};

static void list_one(struct call *c, struct client *client, void *arg)
{
    struct list_filter *f = arg;
    (void)c;
    if (of_type(client, f->type) && (f->only == 0 || f->only == (int64_t)client->id))
        buf_append(&f->found, &client, sizeof(client));
}

static int by_id(const void *a, const void *b)
{
    const struct client *x = *(struct client *const *)a, *y = *(struct client *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Oldest first, whichever shard they live on. */
static void list_lines(struct list_filter *f)
{
    size_t n = f->found.len / sizeof(struct client *);
    struct client **at = (struct client **)f->found.p;
    if (n > 1)
        qsort(at, n, sizeof(*at), by_id);
    for (size_t i = 0; i < n; i++) {
        client_append_info(at[i], &f->lines);
        buf_append_byte(&f->lines, '\n');
    }
    buf_clear(&f->found);
}

static void client_list_run(struct call *c)
{
    struct list_filter f = {0};
    bool by_ids = false;
    if (c->argc == 4 && slice_is(c->argv[2], "type")) {
        if (!client_type(c, c->argv[3], &f.type))
            return;
    } else if (c->argc > 3 && slice_is(c->argv[2], "id")) {
        by_ids = true;
        for (int i = 3; i < c->argc; i++)
            if (!arg_i64_or(c, c->argv[i], &f.only, "ERR Invalid client ID"))
                return;
        for (int i = 3; i < c->argc; i++) { /* in the order asked for */
            num_parse_i64(c->argv[i], &f.only);
            if (f.only > 0)
                each_client(c, list_one, &f);
            list_lines(&f);
        }
    } else if (c->argc != 2) {
        reply_syntax(c);
        return;
    }
    if (!by_ids) {
        each_client(c, list_one, &f);
        list_lines(&f);
    }
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&f.lines));
    buf_free(&f.lines);
    buf_free(&f.found);
}

struct kill_filter {
    struct slice addr, laddr;
    int64_t id, max_age; /* seconds; 0: any */
    bool has_addr, has_laddr, has_id, skip_me, old_style;
    enum client_type type;
    int64_t killed;
};

static void kill_one(struct call *c, struct client *client, void *arg)
{
    struct kill_filter *f = arg;
    if (!of_type(client, f->type) || (f->has_addr && !slice_eq(f->addr, slice_str(client->peer))) ||
        (f->has_laddr && !slice_eq(f->laddr, slice_str(client->local))) ||
        (f->has_id && (uint64_t)f->id != client->id) || (f->skip_me && client == c->client) ||
        (f->max_age > 0 && (int64_t)((c->shard->now_us - client->created_us) / 1000000) < f->max_age))
        return;
    f->killed++;
    client_kill(c->shard, client, client == c->client);
}

static bool kill_option(struct call *c, struct kill_filter *f, struct slice name, struct slice value)
{
    if (slice_is(name, "id")) {
        f->has_id = true;
        return arg_range(c, value, 1, INT64_MAX, &f->id, "ERR client-id should be greater than 0");
    }
    if (slice_is(name, "maxage")) {
        if (!arg_i64_or(c, value, &f->max_age, "ERR maxage is not an integer or out of range"))
            return false;
        if (f->max_age > 0)
            return true;
        reply_error(c, "ERR maxage should be greater than 0");
        return false;
    }
    if (slice_is(name, "addr")) {
        f->has_addr = true;
        f->addr = value;
    } else if (slice_is(name, "laddr")) {
        f->has_laddr = true;
        f->laddr = value;
    } else if (slice_is(name, "type")) {
        return client_type(c, value, &f->type);
    } else if (slice_is(name, "user")) {
        if (!slice_eq(value, SLICE_LIT("default"))) {
            reply_errorf(c, "ERR No such user '%.*s'", (int)min_u64(value.len, 128), (const char *)value.p);
            return false;
        }
    } else if (slice_is(name, "skipme") && (slice_is(value, "yes") || slice_is(value, "no"))) {
        f->skip_me = slice_is(value, "yes");
    } else {
        reply_syntax(c);
        return false;
    }
    return true;
}

static void client_kill_run(struct call *c)
{
    struct kill_filter f = {.skip_me = true};
    if (c->argc == 3) {
        f = (struct kill_filter){.has_addr = true, .addr = c->argv[2], .old_style = true};
    } else if (c->argc % 2 != 0) {
        reply_syntax(c);
        return;
    }
    for (int i = 2; c->argc > 3 && i < c->argc; i += 2)
        if (!kill_option(c, &f, c->argv[i], c->argv[i + 1]))
            return;
    each_client(c, kill_one, &f);
    if (!f.old_style)
        reply_int(c, f.killed);
    else if (f.killed == 0)
        reply_error(c, "ERR No such client");
    else
        reply_ok(c);
}

static void client_setname_run(struct call *c)
{
    if (client_set_name(c, &c->client->name, c->argv[2], "Client names"))
        reply_ok(c);
}

static void client_getname_run(struct call *c)
{
    if (c->client->name == NULL)
        reply_null(c);
    else
        reply_bulk_str(c, c->client->name);
}

static void client_setinfo_run(struct call *c)
{
    bool name = slice_is(c->argv[2], "lib-name");
    if (!name && !slice_is(c->argv[2], "lib-ver")) {
        reply_errorf(c, "ERR Unrecognized option '%.*s'", (int)min_u64(c->argv[2].len, 128),
                     (const char *)c->argv[2].p);
        return;
    }
    if (client_set_name(c, name ? &c->client->lib_name : &c->client->lib_ver, c->argv[3],
                        name ? "lib-name" : "lib-ver"))
        reply_ok(c);
}

static void set_flag(struct call *c, uint32_t flag)
{
    if (slice_is(c->argv[2], "on")) {
        c->client->flags |= flag;
    } else if (slice_is(c->argv[2], "off")) {
        c->client->flags &= ~flag;
    } else {
        reply_syntax(c);
        return;
    }
    reply_ok(c);
}

static void client_noevict_run(struct call *c) { set_flag(c, CLIENT_NO_EVICT); }
static void client_notouch_run(struct call *c) { set_flag(c, CLIENT_NO_TOUCH); }

static void client_reply_run(struct call *c)
{
    struct client *client = c->client;
    if (slice_is(c->argv[2], "on")) {
        client->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
        c->out = outbox_writer(&client->out);
        reply_ok(c);
    } else if (slice_is(c->argv[2], "off")) {
        client->flags |= CLIENT_REPLY_OFF;
    } else if (slice_is(c->argv[2], "skip")) {
        if (!(client->flags & CLIENT_REPLY_OFF))
            client->flags |= CLIENT_REPLY_SKIP_NEXT;
    } else {
        reply_syntax(c);
    }
}

static void client_pause_run(struct call *c)
{
    int64_t ms;
    bool all = true;
    if (c->argc == 4) {
        all = slice_is(c->argv[3], "all");
        if (!all && !slice_is(c->argv[3], "write")) {
            reply_error(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    } else if (c->argc != 3) {
        reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                     (int)min_u64(c->argv[1].len, 128), (const char *)c->argv[1].p);
        return;
    }
    if (!arg_timeout_ms(c, c->argv[2], &ms))
        return;
    atomic_store(&c->server->paused_all, all);
    atomic_store(&c->server->paused_until_ms, ms > INT64_MAX - c->now_ms ? INT64_MAX : c->now_ms + ms);
    reply_ok(c);
}

static void client_unpause_run(struct call *c)
{
    atomic_store(&c->server->paused_until_ms, 0);
    reply_ok(c);
}

static void client_unblock_run(struct call *c)
{
    int64_t id;
    bool error = c->argc == 4 && slice_is(c->argv[3], "error"), done = false;
    if (c->argc > 4) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 4 && !error && !slice_is(c->argv[3], "timeout")) {
        reply_error(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!arg_i64(c, c->argv[2], &id))
        return;
    for (unsigned i = 0; i < c->server->nshards; i++) {
        struct client *client = client_find(c->server->shards[i], (uint64_t)id);
        if (client != NULL && client_blocked(client) != NULL)
            done = block_end_held(client_blocked(client), error ? BLOCK_UNBLOCKED : BLOCK_TIMEOUT);
    }
    reply_int(c, done);
}

static void client_help_run(struct call *c)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * MAXAGE <maxage>",
        "      Kill connections older than the specified age.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "    * ID <client-id> [...]",
        "      Return clients with these ids.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are: LIB-NAME, LIB-VER.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
        NULL,
    };
    reply_help(c, lines);
}

static const struct command_arg client_types[] = {
    ARG_TOKEN("normal", "NORMAL"),
    ARG_TOKEN("master", "MASTER"),
    ARG_TOKEN("replica", "REPLICA"),
    ARG_TOKEN("pubsub", "PUBSUB"),
    ARG_END,
};
static const struct command_arg list_args[] = {
    ARG_ONEOF("client-type", client_types, .token = "TYPE", .since = "5.0.0", .flags = ARG_OPTIONAL),
    ARG("client-id", "integer", .token = "ID", .since = "6.2.0", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};

static const struct command_arg kill_types[] = {
    ARG_TOKEN("normal", "NORMAL"), ARG_TOKEN("master", "MASTER", .since = "3.2.0"),
    ARG_TOKEN("slave", "SLAVE"),   ARG_TOKEN("replica", "REPLICA", .since = "5.0.0"),
    ARG_TOKEN("pubsub", "PUBSUB"), ARG_END,
};
static const struct command_arg yes_no[] = {
    ARG_TOKEN("yes", "YES"),
    ARG_TOKEN("no", "NO"),
    ARG_END,
};
static const struct command_arg kill_filters[] = {
    ARG("client-id", "integer", .token = "ID", .since = "2.8.12", .flags = ARG_OPTIONAL),
    ARG_ONEOF("client-type", kill_types, .token = "TYPE", .since = "2.8.12", .flags = ARG_OPTIONAL),
    ARG("username", "string", .token = "USER", .flags = ARG_OPTIONAL),
    ARG("addr", "string", .display = "ip:port", .token = "ADDR", .flags = ARG_OPTIONAL),
    ARG("laddr", "string", .display = "ip:port", .token = "LADDR", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_ONEOF("skipme", yes_no, .token = "SKIPME", .flags = ARG_OPTIONAL),
    ARG("maxage", "integer", .token = "MAXAGE", .since = "7.4.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg kill_formats[] = {
    ARG("old-format", "string", .display = "ip:port", .deprecated_since = "2.8.12"),
    ARG_ONEOF("new-format", kill_filters, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg kill_args[] = {
    ARG_ONEOF("filter", kill_formats),
    ARG_END,
};

static const struct command_arg setname_args[] = {
    ARG("connection-name", "string"),
    ARG_END,
};
static const struct command_arg setinfo_attributes[] = {
    ARG("libname", "string", .token = "LIB-NAME"),
    ARG("libver", "string", .token = "LIB-VER"),
    ARG_END,
};
static const struct command_arg setinfo_args[] = {
    ARG_ONEOF("attr", setinfo_attributes),
    ARG_END,
};
static const struct command_arg enabled_args[] = {
    ARG_ONEOF("enabled", args_on_off),
    ARG_END,
};
static const struct command_arg reply_actions[] = {
    ARG_TOKEN("on", "ON"),
    ARG_TOKEN("off", "OFF"),
    ARG_TOKEN("skip", "SKIP"),
    ARG_END,
};
static const struct command_arg reply_args[] = {
    ARG_ONEOF("action", reply_actions),
    ARG_END,
};
static const struct command_arg pause_modes[] = {
    ARG_TOKEN("write", "WRITE"),
    ARG_TOKEN("all", "ALL"),
    ARG_END,
};
static const struct command_arg pause_args[] = {
    ARG("timeout", "integer"),
    ARG_ONEOF("mode", pause_modes, .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};

static const struct command_arg unblock_types[] = {
    ARG_TOKEN("timeout", "TIMEOUT"),
    ARG_TOKEN("error", "ERROR"),
    ARG_END,
};
static const struct command_arg unblock_args[] = {
    ARG("client-id", "integer"),
    ARG_ONEOF("unblock-type", unblock_types, .flags = ARG_OPTIONAL),
    ARG_END,
};

#define ALL_NODES .tips = STRINGS("request_policy:all_nodes", "response_policy:all_succeeded")
#define CONN(n, fn, ar, rt, sum, sn, ...)                                                                          \
    {                                                                                                              \
        .name = n, .run = fn, .arity = ar, .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION, \
        .route = rt, .group = "connection", .summary = sum, .since = sn, .complexity = "O(1)", __VA_ARGS__         \
    }
#define CONN_ADMIN(n, fn, ar, rt, sum, sn, cx, ...)                                                             \
    {                                                                                                           \
        .name = n, .run = fn, .arity = ar, .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,         \
        .acl = ACL_CONNECTION | ACL_DANGEROUS, .route = rt, .group = "connection", .summary = sum, .since = sn, \
        .complexity = cx, __VA_ARGS__                                                                           \
    }

struct command client_commands[] = {
    CONN("id", client_id_run, 2, ROUTE_HOME, "Returns the unique client ID of the connection.", "5.0.0"),
    CONN("info", client_info_run, 2, ROUTE_HOME, "Returns information about the connection.", "6.2.0",
         .tips = STRINGS("nondeterministic_output")),
    CONN_ADMIN("list", client_list_run, -2, ROUTE_ALL, "Lists open connections.", "2.4.0",
               "O(N) where N is the number of client connections", .args = list_args,
               .tips = STRINGS("nondeterministic_output"),
               .history = STRINGS(
                   CHANGE("2.8.12", "Added unique client `id` field."),
                   CHANGE("5.0.0", "Added optional `TYPE` filter."), CHANGE("6.0.0", "Added `user` field."),
                   CHANGE("6.2.0", "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` "
                                   "filter."),
                   CHANGE("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
                   CHANGE("7.0.3", "Added `ssub` field."))),
    CONN_ADMIN("kill", client_kill_run, -3, ROUTE_ALL, "Terminates open connections.", "2.4.0",
               "O(N) where N is the number of client connections", .args = kill_args,
               .history = STRINGS(CHANGE("2.8.12", "Added new filter format."), CHANGE("2.8.12", "`ID` option."),
                                  CHANGE("3.2.0", "Added `master` type in for `TYPE` option."),
                                  CHANGE("5.0.0",
                                         "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward "
                                         "compatibility."),
                                  CHANGE("6.2.0", "`LADDR` option."), CHANGE("7.4.0", "`MAXAGE` option."))),
    CONN("setname", client_setname_run, 3, ROUTE_HOME, "Sets the connection name.", "2.6.9", .args = setname_args,
         ALL_NODES),
    CONN("getname", client_getname_run, 2, ROUTE_HOME, "Returns the name of the connection.", "2.6.9"),
    CONN("setinfo", client_setinfo_run, 4, ROUTE_HOME, "Sets information specific to the client or connection.",
         "7.2.0", .args = setinfo_args, ALL_NODES),
    CONN_ADMIN("no-evict", client_noevict_run, 3, ROUTE_HOME, "Sets the client eviction mode of the connection.",
               "7.0.0", "O(1)", .args = enabled_args),
    CONN("no-touch", client_notouch_run, 3, ROUTE_HOME,
         "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", "7.2.0",
         .args = enabled_args),
    CONN("reply", client_reply_run, 3, ROUTE_HOME, "Instructs the server whether to reply to commands.", "3.2.0",
         .args = reply_args),
    CONN_ADMIN("pause", client_pause_run, -3, ROUTE_ALL, "Suspends commands processing.", "3.0.0", "O(1)",
               .args = pause_args,
               .history = STRINGS(CHANGE("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option."))),
    CONN_ADMIN("unpause", client_unpause_run, 2, ROUTE_HOME, "Resumes processing commands from paused clients.",
               "6.2.0", "O(N) Where N is the number of paused clients"),
    CONN_ADMIN("unblock", client_unblock_run, -3, ROUTE_ALL,
               "Unblocks a client blocked by a blocking command from a different connection.", "5.0.0",
               "O(log N) where N is the number of client connections", .args = unblock_args),
    {.name = "tracking",
     .run = tracking_run,
     .arity = -3,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .route_of = tracking_route,
     .group = "connection",
     .summary = "Controls server-assisted client-side caching for the connection.",
     .since = "6.0.0",
     .complexity = "O(1). Some options may introduce additional complexity.",
     .args = tracking_args},
    CONN("caching", caching_run, 3, ROUTE_HOME, "Instructs the server whether to track the keys in the next request.",
         "6.0.0", .args = caching_args),
    CONN("getredir", getredir_run, 2, ROUTE_HOME,
         "Returns the client ID to which the connection's tracking notifications are redirected.", "6.0.0"),
    CONN("trackinginfo", trackinginfo_run, 2, ROUTE_HOME,
         "Returns information about server-assisted client-side caching for the connection.", "6.2.0"),
    {.name = "help",
     .run = client_help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "connection",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "5.0.0",
     .complexity = "O(1)"},
    {.name = NULL},
};
