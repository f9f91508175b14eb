/* XINFO. */
#include "server/cmd/stream.h"

#define FULL_COUNT 10

/* The stream at argument 2. NULL: an error has been replied. */
static struct stream *info_stream(struct call *c)
{
    struct stream *s = read_stream(c, 2);
    if (s == NULL && !c->failed)
        reply_error(c, "ERR no such key");
    return s;
}

static void reply_field_id(struct call *c, const char *name, struct stream_id id)
{
    reply_bulk_str(c, name);
    reply_stream_id(c, id);
}

static void reply_field_int(struct call *c, const char *name, int64_t v)
{
    reply_bulk_str(c, name);
    reply_int(c, v);
}

/* --- XINFO STREAM --- */

#define HEAD_FIELDS 7

static void reply_head(struct call *c, const struct stream *s)
{
    reply_field_int(c, "length", (int64_t)s->length);
    reply_field_int(c, "radix-tree-keys", (int64_t)btree_count(s->nodes));
    reply_field_int(c, "radix-tree-nodes", (int64_t)btree_count(s->nodes) + 1);
    reply_field_id(c, "last-generated-id", s->last);
    reply_field_id(c, "max-deleted-entry-id", s->max_deleted);
    reply_field_int(c, "entries-added", (int64_t)s->added);
    reply_field_id(c, "recorded-first-entry-id", s->first);
}

/* The first or the last entry, or null. */
static void reply_edge(struct call *c, const char *name, const struct stream *s, bool last)
{
    struct stream_iter it;
    reply_bulk_str(c, name);
    stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, last);
    if (stream_iter_next(&it))
        put_stream_entry(c->out, &it.entry);
    else
        reply_null(c);
}

static void reply_progress(struct call *c, const struct stream *s, const struct stream_group *g)
{
    int64_t lag;
    reply_bulk_str(c, "entries-read");
    if (g->read != STREAM_READ_UNKNOWN)
        reply_int(c, g->read);
    else
        reply_null(c);
    reply_bulk_str(c, "lag");
    if (stream_group_lag(s, g, &lag))
        reply_int(c, lag);
    else
        reply_null(c);
}

static void reply_all_pending(struct call *c, const struct stream_group *g, uint64_t count)
{
    struct btree_iter it;
    uint64_t n = min_u64(count, btree_count(g->pending));
    reply_field_int(c, "pel-count", (int64_t)btree_count(g->pending));
    reply_bulk_str(c, "pending");
    reply_array(c, n);
    for (const struct stream_pending *p = btree_begin(g->pending, &it); n > 0; n--, p = btree_next(&it)) {
        reply_array(c, 4);
        reply_stream_id(c, p->id);
        reply_bulk(c, p->consumer->name);
        reply_int(c, p->delivered_ms);
        reply_int(c, (int64_t)p->deliveries);
    }
}

static void reply_full_consumer(struct call *c, const struct stream_group *g, const struct stream_consumer *m,
                                uint64_t count)
{
    struct btree_iter it;
    uint64_t n = min_u64(count, btree_count(m->ids));
    reply_map(c, 5);
    reply_bulk_str(c, "name");
    reply_bulk(c, m->name);
    reply_field_int(c, "seen-time", m->seen_ms);
    reply_field_int(c, "active-time", m->active_ms);
    reply_field_int(c, "pel-count", (int64_t)btree_count(m->ids));
    reply_bulk_str(c, "pending");
    reply_array(c, n);
    for (const struct stream_id *id = btree_begin(m->ids, &it); n > 0; n--, id = btree_next(&it)) {
        const struct stream_pending *p = stream_pending_find(g, *id);
        reply_array(c, 3);
        reply_stream_id(c, *id);
        reply_int(c, p->delivered_ms);
        reply_int(c, (int64_t)p->deliveries);
    }
}

static void reply_full_group(struct call *c, const struct stream *s, const struct stream_group *g, uint64_t count)
{
    struct btree_iter it = {0};
    reply_map(c, 7);
    reply_bulk_str(c, "name");
    reply_bulk(c, g->name);
    reply_field_id(c, "last-delivered-id", g->last);
    reply_progress(c, s, g);
    reply_all_pending(c, g, count);
    reply_bulk_str(c, "consumers");
    reply_array(c, btree_count(g->consumers));
    for (const struct stream_consumer *m; (m = stream_consumer_next(g, &it)) != NULL;)
        reply_full_consumer(c, g, m, count);
}

static void reply_full(struct call *c, const struct stream *s, uint64_t count)
{
    struct btree_iter groups = {0};
    struct stream_iter it;
    reply_map(c, HEAD_FIELDS + 2);
    reply_head(c, s);
    reply_bulk_str(c, "entries");
    uint64_t n = min_u64(count, s->length);
    reply_array(c, n);
    stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
    for (; n > 0 && stream_iter_next(&it); n--)
        put_stream_entry(c->out, &it.entry);
    reply_bulk_str(c, "groups");
    reply_array(c, stream_groups(s));
    for (const struct stream_group *g; (g = stream_group_next(s, &groups)) != NULL;)
        reply_full_group(c, s, g, count);
}

/* [FULL [COUNT n]] *count is 0 without FULL, UINT64_MAX for all. */
static bool arg_full(struct call *c, uint64_t *count)
{
    int64_t n = FULL_COUNT;
    *count = 0;
    if (c->argc == 3)
        return true;
    if ((c->argc != 4 && c->argc != 6) || !slice_is(c->argv[3], "full") ||
        (c->argc == 6 && !slice_is(c->argv[4], "count"))) {
        reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XINFO HELP.",
                     (int)c->argv[1].len, (const char *)c->argv[1].p);
        return false;
    }
    if (c->argc == 6 && !arg_i64(c, c->argv[5], &n))
        return false;
    *count = n < 0 ? FULL_COUNT : n == 0 ? UINT64_MAX : (uint64_t)n;
    return true;
}

static void xinfo_stream_run(struct call *c)
{
    uint64_t count;
    struct stream *s = info_stream(c);
    if (s == NULL || !arg_full(c, &count))
        return;
    if (count > 0) {
        reply_full(c, s, count);
        return;
    }
    reply_map(c, HEAD_FIELDS + 3);
    reply_head(c, s);
    reply_field_int(c, "groups", (int64_t)stream_groups(s));
    reply_edge(c, "first-entry", s, false);
    reply_edge(c, "last-entry", s, true);
}

/* --- XINFO GROUPS, CONSUMERS --- */

static void xinfo_groups_run(struct call *c)
{
    struct btree_iter it = {0};
    struct stream *s = info_stream(c);
    if (s == NULL)
        return;
    reply_array(c, stream_groups(s));
    for (const struct stream_group *g; (g = stream_group_next(s, &it)) != NULL;) {
        reply_map(c, 6);
        reply_bulk_str(c, "name");
        reply_bulk(c, g->name);
        reply_field_int(c, "consumers", (int64_t)btree_count(g->consumers));
        reply_field_int(c, "pending", (int64_t)btree_count(g->pending));
        reply_field_id(c, "last-delivered-id", g->last);
        reply_progress(c, s, g);
    }
}

/* Since `ms`; -1 since never. */
static int64_t since(const struct call *c, int64_t ms)
{
    if (ms < 0)
        return -1;
    return c->now_ms > ms ? c->now_ms - ms : 0;
}

static void xinfo_consumers_run(struct call *c)
{
    struct btree_iter it = {0};
    struct stream *s = info_stream(c);
    if (s == NULL)
        return;
    const struct stream_group *g = stream_group_find(s, c->argv[3]);
    if (g == NULL) {
        reply_errorf(c, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)c->argv[3].len,
                     (const char *)c->argv[3].p, (int)c->argv[2].len, (const char *)c->argv[2].p);
        return;
    }
    reply_array(c, btree_count(g->consumers));
    for (const struct stream_consumer *m; (m = stream_consumer_next(g, &it)) != NULL;) {
        reply_map(c, 4);
        reply_bulk_str(c, "name");
        reply_bulk(c, m->name);
        reply_field_int(c, "pending", (int64_t)btree_count(m->ids));
        reply_field_int(c, "idle", since(c, m->seen_ms));
        reply_field_int(c, "inactive", since(c, m->active_ms));
    }
}

static void xinfo_help_run(struct call *c)
{
    static const char *const lines[] = {"CONSUMERS <key> <groupname>",
                                        "    Show consumers of <groupname>.",
                                        "GROUPS <key>",
                                        "    Show the stream consumer groups.",
                                        "STREAM <key> [FULL [COUNT <count>]",
                                        "    Show information about the stream.",
                                        NULL};
    reply_help(c, lines);
}

/* --- declarations --- */

static const struct command_arg full_block_args[] = {
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg stream_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("full-block", full_block_args, .token = "FULL", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg consumers_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG_END,
};

static struct command xinfo_subcommands[] = {
    {.name = "stream",
     .run = xinfo_stream_run,
     .arity = -3,
     .flags = CMD_READONLY,
     STREAM,
     .keys = STREAM_KEY(KEY_RO | KEY_ACCESS, 2),
     .summary = "Returns information about a stream.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .history = STRINGS(CHANGE("6.0.0", "Added the `FULL` modifier."),
                        CHANGE("7.0.0", "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, "
                                        "`entries-read` and `lag` fields"),
                        CHANGE("7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`.")),
     .args = stream_args},
    {.name = "groups",
     .run = xinfo_groups_run,
     .arity = 3,
     .flags = CMD_READONLY,
     STREAM,
     .keys = STREAM_KEY(KEY_RO | KEY_ACCESS, 2),
     .summary = "Returns a list of the consumer groups of a stream.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .history = STRINGS(CHANGE("7.0.0", "Added the `entries-read` and `lag` fields")),
     .args = args_key},
    {.name = "consumers",
     .run = xinfo_consumers_run,
     .arity = 4,
     .flags = CMD_READONLY,
     STREAM,
     .keys = STREAM_KEY(KEY_RO | KEY_ACCESS, 2),
     .summary = "Returns a list of the consumers in a consumer group.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("7.2.0", "Added the `inactive` field, and changed the meaning of `idle`.")),
     .args = consumers_args},
    {.name = "help",
     .run = xinfo_help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_STREAM,
     .route = ROUTE_HOME,
     .group = "stream",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "5.0.0",
     .complexity = "O(1)"},
    {.name = NULL},
};

struct command stream_info_commands[] = {
    {.name = "xinfo",
     .arity = -2,
     .group = "stream",
     .summary = "A container for stream introspection commands.",
     .since = "5.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = xinfo_subcommands},
    {.name = NULL},
};
