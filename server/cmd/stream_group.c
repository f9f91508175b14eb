/* Groups of consumers: XGROUP, and what acknowledges. */
#include "server/cmd/stream.h"

/* --- XGROUP --- */

/* The stream at argument 2, to be changed. NULL: an error has been replied. */
static struct stream *group_stream(struct call *c, struct place *p, bool create)
{
    *p = place_write(c, 2);
    if (!place_is(c, p, VALUE_STREAM))
        return NULL;
    if (p->e != NULL || create)
        return stream_of(place_change(c, p, VALUE_STREAM));
    reply_error(c, "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
                   "MKSTREAM option to create an empty stream automatically.");
    return NULL;
}

/* The same with the group in argument 3, which must exist. */
static struct stream_group *existing_group(struct call *c, struct place *p, struct stream **s)
{
    *s = group_stream(c, p, false);
    struct stream_group *g = *s != NULL ? stream_group_find(*s, c->argv[3]) : NULL;
    if (*s == NULL || g != NULL)
        return g;
    place_unchanged(c, p);
    reply_errorf(c, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)c->argv[3].len,
                 (const char *)c->argv[3].p, (int)c->argv[2].len, (const char *)c->argv[2].p);
    return NULL;
}

/* Ends a call that may have changed something, told as `event` if that is not NULL. */
static void done(struct call *c, struct place *p, bool changed, const char *event)
{
    if (changed) {
        place_changed(c, p, EVENT_STREAM, event);
        effect_verbatim(c);
    } else {
        place_unchanged(c, p);
    }
}

struct group_options {
    bool mkstream;
    int64_t read;
};

static bool arg_group_options(struct call *c, bool create, struct group_options *o)
{
    *o = (struct group_options){.read = STREAM_READ_UNKNOWN};
    for (int i = 5; i < c->argc; i++) {
        if (create && slice_is(c->argv[i], "mkstream")) {
            o->mkstream = true;
        } else if (i + 1 < c->argc && slice_is(c->argv[i], "entriesread")) {
            if (!arg_i64(c, c->argv[++i], &o->read))
                return false;
            if (o->read < 0 && o->read != STREAM_READ_UNKNOWN) {
                reply_error(c, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XGROUP HELP.",
                         (int)c->argv[1].len, (const char *)c->argv[1].p);
            return false;
        }
    }
    return true;
}

/* What a group has read of the stream, if it is told: not more than there ever was. */
static int64_t read_of(const struct group_options *o, const struct stream *s)
{
    return o->read >= 0 && (uint64_t)o->read > s->added ? (int64_t)s->added : o->read;
}

/* The id in argument 4; "$" is the stream's last one. The stream is put back on failure. */
static bool arg_last(struct call *c, struct place *p, const struct stream *s, struct stream_id *out)
{
    *out = s->last;
    if (c->argv[4].len == 1 && c->argv[4].p[0] == '$')
        return true;
    if (stream_id_parse(c->argv[4], 0, out))
        return true;
    place_unchanged(c, p);
    return arg_stream_id(c, c->argv[4], 0, out);
}

static void xgroup_create_run(struct call *c)
{
    struct group_options o;
    struct place p;
    struct stream_id last;
    if (!arg_group_options(c, true, &o))
        return;
    struct stream *s = group_stream(c, &p, o.mkstream);
    if (s == NULL || !arg_last(c, &p, s, &last))
        return;
    if (stream_group_add(s, c->argv[3], last, read_of(&o, s)) == NULL) {
        place_unchanged(c, &p);
        reply_error(c, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    done(c, &p, true, "xgroup-create");
    reply_ok(c);
}

static void xgroup_setid_run(struct call *c)
{
    struct group_options o;
    struct place p;
    struct stream *s;
    struct stream_id last;
    if (!arg_group_options(c, false, &o))
        return;
    struct stream_group *g = existing_group(c, &p, &s);
    if (g == NULL || !arg_last(c, &p, s, &last))
        return;
    g->last = last;
    g->read = read_of(&o, s);
    done(c, &p, true, "xgroup-setid");
    reply_ok(c);
}

static void xgroup_destroy_run(struct call *c)
{
    struct place p;
    struct stream *s = group_stream(c, &p, false);
    if (s == NULL)
        return;
    struct stream_group *g = stream_group_find(s, c->argv[3]);
    if (g != NULL)
        stream_group_remove(s, g);
    done(c, &p, g != NULL, "xgroup-destroy");
    reply_int(c, g != NULL);
}

static void xgroup_createconsumer_run(struct call *c)
{
    struct place p;
    struct stream *s;
    struct stream_group *g = existing_group(c, &p, &s);
    if (g == NULL)
        return;
    bool create = stream_consumer_find(g, c->argv[4]) == NULL;
    if (create) /* applied, any time will do: it is no content (stream.h) */
        stream_consumer_add(s, g, c->argv[4], c->now_ms);
    done(c, &p, create, "xgroup-createconsumer");
    reply_int(c, create);
}

static void xgroup_delconsumer_run(struct call *c)
{
    struct place p;
    struct stream *s;
    struct stream_group *g = existing_group(c, &p, &s);
    if (g == NULL)
        return;
    struct stream_consumer *consumer = stream_consumer_find(g, c->argv[4]);
    uint64_t pending = consumer != NULL ? btree_count(consumer->ids) : 0;
    if (consumer != NULL)
        stream_consumer_remove(s, g, consumer);
    done(c, &p, consumer != NULL, "xgroup-delconsumer");
    reply_int(c, (int64_t)pending);
}

static void xgroup_help_run(struct call *c)
{
    static const char *const lines[] = {"CREATE <key> <groupname> <id|$> [option]",
                                        "    Create a new consumer group. Options are:",
                                        "    * MKSTREAM",
                                        "      Create the empty stream if it does not exist.",
                                        "    * ENTRIESREAD entries_read",
                                        "      Set the group's entries_read counter (internal use).",
                                        "CREATECONSUMER <key> <groupname> <consumer>",
                                        "    Create a new consumer in the specified group.",
                                        "DELCONSUMER <key> <groupname> <consumer>",
                                        "    Remove the specified consumer.",
                                        "DESTROY <key> <groupname>",
                                        "    Remove the specified group.",
                                        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
                                        "    Set the current group ID and entries_read counter.",
                                        NULL};
    reply_help(c, lines);
}

/* --- XACK, XACKDEL --- */

static void xack_run(struct call *c)
{
    struct place p = place_write(c, 1);
    struct stream_group *g = NULL;
    struct value v;
    if (!place_is(c, &p, VALUE_STREAM))
        return;
    if (p.e != NULL) {
        v = place_value(&p);
        g = stream_group_find(stream_of(&v), c->argv[2]);
    }
    if (g == NULL) {
        reply_int(c, 0);
        return;
    }
    int n = c->argc - 3;
    int64_t acked = 0;
    struct stream_id *ids = arg_stream_ids(c, 3, c->argc);
    if (ids == NULL)
        return;
    struct stream *s = stream_of(place_change(c, &p, VALUE_STREAM));
    for (int i = 0; i < n; i++)
        acked += stream_pending_remove(s, g, ids[i]);
    stream_ids_free(ids, n);
    done(c, &p, acked > 0, NULL);
    reply_int(c, acked);
}

/* -1: it was not pending in the group. */
static enum stream_erased ack_and_erase(struct stream *s, struct stream_group *g, struct stream_id id,
                                        enum stream_refs refs, bool *changed)
{
    if (!stream_pending_remove(s, g, id))
        return STREAM_ERASED_NOT;
    *changed = true;
    return stream_erase(s, id, refs, changed) == STREAM_NEEDED ? STREAM_NEEDED : STREAM_ERASED;
}

static void xackdel_run(struct call *c)
{
    struct stream_selection sel;
    if (!arg_stream_selection(c, 3, &sel))
        return;
    struct place p = place_write(c, 1);
    if (place_is(c, &p, VALUE_STREAM)) {
        bool changed = false;
        struct stream *s = p.e != NULL ? stream_of(place_change(c, &p, VALUE_STREAM)) : NULL;
        struct stream_group *g = s != NULL ? stream_group_find(s, c->argv[2]) : NULL;
        reply_array(c, (size_t)sel.n);
        for (int i = 0; i < sel.n; i++)
            reply_int(c, g != NULL ? ack_and_erase(s, g, sel.ids[i], sel.refs, &changed) : STREAM_ERASED_NOT);
        if (s != NULL)
            done(c, &p, changed, "xdel");
    }
    stream_ids_free(sel.ids, sel.n);
}

/* --- declarations --- */

static const struct command_arg id_selector_args[] = {
    ARG("id", "string"),
    ARG_TOKEN("new-id", "$"),
    ARG_END,
};
static const struct command_arg create_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG_ONEOF("id-selector", id_selector_args),
    ARG_TOKEN("mkstream", "MKSTREAM", .flags = ARG_OPTIONAL),
    ARG("entries-read", "integer", .display = "entries-read", .token = "ENTRIESREAD", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg setid_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG_ONEOF("id-selector", id_selector_args),
    ARG("entries-read", "integer", .display = "entries-read", .token = "ENTRIESREAD", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg destroy_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG_END,
};
static const struct command_arg consumer_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG("consumer", "string"),
    ARG_END,
};
static const struct command_arg xack_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg ids_block_args[] = {
    ARG("numids", "integer"),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg xackdel_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG_ONEOF("condition", stream_refs_args, .flags = ARG_OPTIONAL),
    ARG_BLOCK("ids", ids_block_args, .token = "IDS"),
    ARG_END,
};

static struct command xgroup_subcommands[] = {
    {.name = "create",
     .run = xgroup_create_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_INSERT, 2),
     .summary = "Creates a consumer group.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .history = STRINGS(CHANGE("7.0.0", "Added the `entries_read` named argument.")),
     .args = create_args},
    {.name = "setid",
     .run = xgroup_setid_run,
     .arity = -5,
     .flags = CMD_WRITE,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_UPDATE, 2),
     .summary = "Sets the last-delivered ID of a consumer group.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .history = STRINGS(CHANGE("7.0.0", "Added the optional `entries_read` argument.")),
     .args = setid_args},
    {.name = "destroy",
     .run = xgroup_destroy_run,
     .arity = 4,
     .flags = CMD_WRITE,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_DELETE, 2),
     .summary = "Destroys a consumer group.",
     .since = "5.0.0",
     .complexity = "O(N) where N is the number of entries in the group's pending entries list (PEL).",
     .args = destroy_args},
    {.name = "createconsumer",
     .run = xgroup_createconsumer_run,
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_INSERT, 2),
     .summary = "Creates a consumer in a consumer group.",
     .since = "6.2.0",
     .complexity = "O(1)",
     .args = consumer_args},
    {.name = "delconsumer",
     .run = xgroup_delconsumer_run,
     .arity = 5,
     .flags = CMD_WRITE,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_DELETE, 2),
     .summary = "Deletes a consumer from a consumer group.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .args = consumer_args},
    {.name = "help",
     .run = xgroup_help_run,
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

struct command stream_group_commands[] = {
    {.name = "xgroup",
     .arity = -2,
     .group = "stream",
     .summary = "A container for consumer groups commands.",
     .since = "5.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = xgroup_subcommands},
    {.name = "xack",
     .run = xack_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_UPDATE, 1),
     .summary = "Returns the number of messages that were successfully acknowledged by the consumer group member of a "
                "stream.",
     .since = "5.0.0",
     .complexity = "O(1) for each message ID processed.",
     .args = xack_args},
    {.name = "xackdel",
     .run = xackdel_run,
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_UPDATE | KEY_DELETE, 1),
     .summary = "Acknowledges and deletes one or multiple messages for a stream consumer group.",
     .since = "8.2.0",
     .complexity = "O(1) for each message ID processed.",
     .args = xackdel_args},
    {.name = NULL},
};
