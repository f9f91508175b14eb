/* Publish/subscribe commands. Who listens to what is in server/pubsub.h. */
#include "server/pubsub.h"
#include "core/base/glob.h"
#include "server/client.h"
#include "server/reply.h"

/* --- SUBSCRIBE and UNSUBSCRIBE, three kinds of each --- */

/* What a subscription counts among: shard channels have a count of their own. */
static int64_t counted_with(const struct client *client, enum channel_kind kind)
{
    if (kind == CHANNEL_SHARD)
        return pubsub_count(client, CHANNEL_SHARD);
    return (int64_t)pubsub_count(client, CHANNEL_PLAIN) + pubsub_count(client, CHANNEL_PATTERN);
}

/* The confirmations are pushes in RESP3: CLIENT REPLY OFF does not keep them back. */
static struct buf *confirmations(struct call *c)
{
    bool off = c->client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    return off ? outbox_writer(&c->client->out) : c->out;
}

static void begin_confirmation(struct call *c, struct buf *out, const struct slice *name)
{
    resp_push(out, c->proto, 3);
    resp_bulk_str(out, c->cmd->name);
    if (name != NULL)
        resp_bulk(out, *name);
    else
        resp_null(out, c->proto);
}

static void subscribe_run(struct call *c)
{
    enum channel_kind kind = c->cmd->channels;
    struct buf *out = confirmations(c);
    if (kind == CHANNEL_SHARD && c->in_exec) { /* as Redis, which lets the others pass */
        reply_error(c, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return;
    }
    for (int i = 1; i < c->argc; i++) {
        pubsub_subscribe(c, kind, c->argv[i]);
        begin_confirmation(c, out, &c->argv[i]);
        resp_int(out, counted_with(c->client, kind));
    }
}

/* The name may go with the subscription, so it is written first. */
static void unsubscribe_one(struct call *c, struct buf *out, struct slice name)
{
    enum channel_kind kind = c->cmd->channels;
    begin_confirmation(c, out, &name);
    pubsub_unsubscribe(c, kind, name);
    resp_int(out, counted_with(c->client, kind));
}

static void unsubscribe_run(struct call *c)
{
    enum channel_kind kind = c->cmd->channels;
    struct buf *out = confirmations(c);
    struct slice name;
    for (int i = 1; i < c->argc; i++)
        unsubscribe_one(c, out, c->argv[i]);
    if (c->argc > 1)
        return;
    if (!pubsub_oldest(c->client, kind, &name)) {
        begin_confirmation(c, out, NULL);
        resp_int(out, counted_with(c->client, kind));
    }
    while (pubsub_oldest(c->client, kind, &name))
        unsubscribe_one(c, out, name);
}

/* --- PUBLISH --- */

/* Has no effect on data and none is recorded: replicas, when there are some, will get it as an effect without a key;
 * for the log on disk there is nothing to remember. */
static void publish_run(struct call *c)
{
    reply_int(c, (int64_t)pubsub_publish(c, c->cmd->channels, c->argv[1], c->argv[2]));
}

/* --- PUBSUB --- */

struct listing {
    struct buf names; /* as bulk strings */
    size_t n;
    bool all;
    struct slice pattern;
};

static void list_channel(void *arg, struct slice name)
{
    struct listing *l = arg;
    if (!l->all && !glob_match(l->pattern, name, false))
        return;
    resp_bulk(&l->names, name);
    l->n++;
}

static void channels_run(struct call *c)
{
    struct listing l = {.all = c->argc == 2};
    if (c->argc > 3) {
        reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
                     (int)c->argv[1].len, (const char *)c->argv[1].p);
        return;
    }
    if (!l.all)
        l.pattern = c->argv[2];
    pubsub_each(c, c->cmd->channels, list_channel, &l);
    reply_array(c, l.n);
    buf_append_slice(c->out, buf_slice(&l.names));
    buf_free(&l.names);
}

static void numsub_run(struct call *c)
{
    reply_array(c, (size_t)(c->argc - 2) * 2);
    for (int i = 2; i < c->argc; i++) {
        reply_bulk(c, c->argv[i]);
        reply_int(c, (int64_t)pubsub_subscribers(c, c->cmd->channels, c->argv[i]));
    }
}

static void numpat_run(struct call *c) { reply_int(c, (int64_t)pubsub_patterns(c)); }

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        NULL,
    };
    reply_help(c, lines);
}

/* --- declarations --- */

static const struct command_arg channels_args[] = {
    ARG("channel", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg optional_channels_args[] = {
    ARG("channel", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg shardchannels_args[] = {
    ARG("shardchannel", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg optional_shardchannels_args[] = {
    ARG("shardchannel", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg pattern_block[] = {
    ARG("pattern", "pattern"),
    ARG_END,
};
static const struct command_arg patterns_args[] = {
    ARG_BLOCK("pattern", pattern_block, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg optional_patterns_args[] = {
    ARG("pattern", "pattern", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg optional_pattern_args[] = {
    ARG("pattern", "pattern", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg publish_args[] = {
    ARG("channel", "string"),
    ARG("message", "string"),
    ARG_END,
};
static const struct command_arg spublish_args[] = {
    ARG("shardchannel", "string"),
    ARG("message", "string"),
    ARG_END,
};

#define SUBSCRIBE_FLAGS (CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FOR_SUBSCRIBERS)
#define PUBLISH_FLAGS (CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE)

/* Members of a report on channels of a kind. */
#define REPORT(n, f, k, text, version, cost, ...)                                                               \
    {                                                                                                           \
        .name = (n), .run = (f), .arity = -2, .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE, .acl = ACL_PUBSUB, \
        .route = ROUTE_ALL, .channels = (k), .group = "pubsub", .summary = (text), .since = (version),          \
        .complexity = (cost), __VA_ARGS__                                                                       \
    }

static struct command pubsub_subcommands[] = {
    REPORT("channels", channels_run, CHANNEL_PLAIN, "Returns the active channels.", "2.8.0",
           "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively "
           "short channels and patterns)",
           .args = optional_pattern_args),
    REPORT("numsub", numsub_run, CHANNEL_PLAIN, "Returns a count of subscribers to channels.", "2.8.0",
           "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
           .args = optional_channels_args),
    REPORT("shardchannels", channels_run, CHANNEL_SHARD, "Returns the active shard channels.", "7.0.0",
           "O(N) where N is the number of active shard channels, and assuming constant time pattern matching "
           "(relatively short shard channels).",
           .args = optional_pattern_args),
    REPORT("shardnumsub", numsub_run, CHANNEL_SHARD, "Returns the count of subscribers of shard channels.", "7.0.0",
           "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
           .args = optional_shardchannels_args),
    {.name = "numpat",
     .run = numpat_run,
     .arity = 2,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
     .acl = ACL_PUBSUB,
     .route = ROUTE_ANY,
     .group = "pubsub",
     .summary = "Returns a count of unique pattern subscriptions.",
     .since = "2.8.0",
     .complexity = "O(1)"},
    {.name = "help",
     .run = help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .route = ROUTE_HOME,
     .group = "pubsub",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "6.2.0",
     .complexity = "O(1)"},
    {.name = NULL},
};

#define SHARD_CHANNEL_KEYS(l) .keys = {{.flags = KEY_NOT_KEY, .first = 1, .last = (l), .step = 1, .need = NEED_META}}

struct command pubsub_commands[] = {
    {.name = "subscribe",
     .run = subscribe_run,
     .arity = -2,
     .flags = SUBSCRIBE_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_SUBSCRIBE,
     .channels = CHANNEL_PLAIN,
     .group = "pubsub",
     .summary = "Listens for messages published to channels.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of channels to subscribe to.",
     .args = channels_args},
    {.name = "unsubscribe",
     .run = unsubscribe_run,
     .arity = -1,
     .flags = SUBSCRIBE_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_SUBSCRIBE,
     .channels = CHANNEL_PLAIN,
     .group = "pubsub",
     .summary = "Stops listening to messages posted to channels.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of clients already subscribed to a channel.",
     .args = optional_channels_args},
    {.name = "psubscribe",
     .run = subscribe_run,
     .arity = -2,
     .flags = SUBSCRIBE_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_SUBSCRIBE,
     .channels = CHANNEL_PATTERN,
     .group = "pubsub",
     .summary = "Listens for messages published to channels that match one or more patterns.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of patterns the client is already subscribed to.",
     .args = patterns_args},
    {.name = "punsubscribe",
     .run = unsubscribe_run,
     .arity = -1,
     .flags = SUBSCRIBE_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_SUBSCRIBE,
     .channels = CHANNEL_PATTERN,
     .group = "pubsub",
     .summary = "Stops listening to messages published to channels that match one or more patterns.",
     .since = "2.0.0",
     .complexity = "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of "
                   "total patterns subscribed in the system (by any client).",
     .args = optional_patterns_args},
    {.name = "ssubscribe",
     .run = subscribe_run,
     .arity = -2,
     .flags = SUBSCRIBE_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_SUBSCRIBE,
     .channels = CHANNEL_SHARD,
     SHARD_CHANNEL_KEYS(-1),
     .group = "pubsub",
     .summary = "Listens for messages published to shard channels.",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of shard channels to subscribe to.",
     .args = shardchannels_args},
    {.name = "sunsubscribe",
     .run = unsubscribe_run,
     .arity = -1,
     .flags = SUBSCRIBE_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_SUBSCRIBE,
     .channels = CHANNEL_SHARD,
     SHARD_CHANNEL_KEYS(-1),
     .group = "pubsub",
     .summary = "Stops listening to messages posted to shard channels.",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of clients already subscribed to a shard channel.",
     .args = optional_shardchannels_args},
    {.name = "publish",
     .run = publish_run,
     .arity = 3,
     .flags = PUBLISH_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_CHANNEL,
     .channels = CHANNEL_PLAIN,
     .group = "pubsub",
     .summary = "Posts a message to a channel.",
     .since = "2.0.0",
     .complexity = "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total "
                   "number of subscribed patterns (by any client).",
     .args = publish_args},
    {.name = "spublish",
     .run = publish_run,
     .arity = 3,
     .flags = PUBLISH_FLAGS,
     .acl = ACL_PUBSUB,
     .route = ROUTE_CHANNEL,
     .channels = CHANNEL_SHARD,
     SHARD_CHANNEL_KEYS(0),
     .group = "pubsub",
     .summary = "Post a message to a shard channel",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of clients subscribed to the receiving shard channel.",
     .args = spublish_args},
    {.name = "pubsub",
     .arity = -2,
     .group = "pubsub",
     .summary = "A container for Pub/Sub commands.",
     .since = "2.8.0",
     .complexity = "Depends on subcommand.",
     .subcommands = pubsub_subcommands},
    {.name = NULL},
};
