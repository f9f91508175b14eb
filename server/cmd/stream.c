/* Entries of streams: reading ranges, deleting, XSETID. */
#include "server/cmd/stream.h"

/* --- XSETID --- */

struct set_id {
    struct stream_id last, max_deleted;
    int64_t added; /* -1: not given */
};

static bool arg_set_id(struct call *c, struct set_id *o)
{
    *o = (struct set_id){.added = -1};
    if (!arg_stream_id(c, c->argv[2], 0, &o->last))
        return false;
    for (int i = 3; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && slice_is(c->argv[i], "entriesadded")) {
            if (!arg_i64(c, c->argv[i + 1], &o->added))
                return false;
            if (o->added < 0) {
                reply_error(c, "ERR entries_added must be positive");
                return false;
            }
        } else if (more && slice_is(c->argv[i], "maxdeletedid")) {
            if (!arg_stream_id(c, c->argv[i + 1], 0, &o->max_deleted))
                return false;
            if (stream_id_cmp(o->last, o->max_deleted) < 0) {
                reply_error(c, "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
                return false;
            }
        } else {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

static const char *cannot_set_id(const struct stream *s, const struct set_id *o)
{
    if (stream_id_cmp(o->last, s->max_deleted) < 0)
        return "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    if (s->length == 0)
        return NULL;
    if (stream_id_cmp(o->last, stream_top(s)) < 0)
        return "ERR The ID specified in XSETID is smaller than the target stream top item";
    if (o->added >= 0 && s->length > (uint64_t)o->added)
        return "ERR The entries_added specified in XSETID is smaller than the target stream length";
    return NULL;
}

static void xsetid_run(struct call *c)
{
    struct set_id o;
    if (!arg_set_id(c, &o))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STREAM))
        return;
    if (p.e == NULL) {
        reply_error(c, "ERR no such key");
        return;
    }
    struct stream *s = stream_of(place_change(c, &p, VALUE_STREAM));
    const char *error = cannot_set_id(s, &o);
    if (error != NULL) {
        place_unchanged(c, &p);
        reply_error(c, error);
        return;
    }
    stream_set_last(s, o.last);
    if (o.added >= 0)
        s->added = (uint64_t)o.added;
    if (!stream_id_zero(o.max_deleted))
        s->max_deleted = o.max_deleted;
    place_changed(c, &p, EVENT_STREAM, "xsetid");
    effect_verbatim(c);
    reply_ok(c);
}

/* --- reading --- */

static void xlen_run(struct call *c)
{
    struct stream *s = read_stream(c, 1);
    if (!c->failed)
        reply_int(c, s != NULL ? (int64_t)s->length : 0);
}

static void reply_range(struct call *c, const struct stream *s, struct stream_id from, struct stream_id to, bool back,
                        int64_t count)
{
    struct stream_iter it;
    size_t at = c->out->len, n = 0;
    stream_iter_init(&it, s, from, to, back);
    for (; (count < 0 || n < (size_t)count) && stream_iter_next(&it); n++)
        put_stream_entry(c->out, &it.entry);
    reply_array_around(c, at, n);
}

static void range_run(struct call *c, bool back)
{
    struct stream_id from, to;
    int64_t count = -1;
    if (!arg_stream_from(c, c->argv[back ? 3 : 2], &from) || !arg_stream_to(c, c->argv[back ? 2 : 3], &to))
        return;
    for (int i = 4; i < c->argc; i += 2) {
        if (i + 1 == c->argc || !slice_is(c->argv[i], "count")) {
            reply_syntax(c);
            return;
        }
        if (!arg_i64(c, c->argv[i + 1], &count))
            return;
        if (count < 0)
            count = 0;
    }
    struct stream *s = read_stream(c, 1);
    if (c->failed)
        return;
    if (s == NULL)
        reply_array(c, 0);
    else if (count == 0)
        reply_null_array(c);
    else
        reply_range(c, s, from, to, back, count);
}

static void xrange_run(struct call *c) { range_run(c, false); }
static void xrevrange_run(struct call *c) { range_run(c, true); }

/* --- deleting --- */

static void xdel_run(struct call *c)
{
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STREAM))
        return;
    if (p.e == NULL) {
        reply_int(c, 0);
        return;
    }
    int n = c->argc - 2;
    int64_t deleted = 0;
    struct stream_id *ids = arg_stream_ids(c, 2, c->argc);
    if (ids == NULL)
        return;
    struct stream *s = stream_of(place_change(c, &p, VALUE_STREAM));
    for (int i = 0; i < n; i++)
        deleted += stream_delete(s, ids[i]);
    stream_ids_free(ids, n);
    if (deleted > 0) {
        place_changed(c, &p, EVENT_STREAM, "xdel");
        effect_verbatim(c);
    } else {
        place_unchanged(c, &p);
    }
    reply_int(c, deleted);
}

static void xdelex_run(struct call *c)
{
    struct stream_selection sel;
    if (!arg_stream_selection(c, 2, &sel))
        return;
    struct place p = place_write(c, 1);
    bool changed = false;
    if (place_is(c, &p, VALUE_STREAM)) {
        reply_array(c, (size_t)sel.n);
        struct stream *s = p.e != NULL ? stream_of(place_change(c, &p, VALUE_STREAM)) : NULL;
        for (int i = 0; i < sel.n; i++)
            reply_int(c, s != NULL ? stream_erase(s, sel.ids[i], sel.refs, &changed) : STREAM_ERASED_NOT);
        if (changed)
            place_changed(c, &p, EVENT_STREAM, "xdel");
        else if (s != NULL)
            place_unchanged(c, &p);
    }
    if (changed)
        effect_verbatim(c);
    stream_ids_free(sel.ids, sel.n);
}

/* --- declarations --- */

static const struct command_arg ids_block_args[] = {
    ARG("numids", "integer"),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg xrange_args[] = {
    ARG("key", "key"),
    ARG("start", "string"),
    ARG("end", "string"),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg xrevrange_args[] = {
    ARG("key", "key"),
    ARG("end", "string"),
    ARG("start", "string"),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg xdel_args[] = {
    ARG("key", "key"),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg xdelex_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("condition", stream_refs_args, .flags = ARG_OPTIONAL),
    ARG_BLOCK("ids", ids_block_args, .token = "IDS"),
    ARG_END,
};
static const struct command_arg xsetid_args[] = {
    ARG("key", "key"),
    ARG("last-id", "string"),
    ARG("entries-added", "integer", .token = "ENTRIESADDED", .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG("max-deleted-id", "string", .token = "MAXDELETEDID", .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command stream_commands[] = {
    {.name = "xsetid",
     .run = xsetid_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_UPDATE, 1),
     .summary = "An internal command for replicating stream values.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .history = STRINGS(CHANGE("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")),
     .args = xsetid_args},
    {.name = "xlen",
     .run = xlen_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RO, 1),
     .summary = "Return the number of messages in a stream.",
     .since = "5.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "xrange",
     .run = xrange_run,
     .arity = -4,
     .flags = CMD_READONLY,
     STREAM,
     .keys = STREAM_KEY(KEY_RO | KEY_ACCESS, 1),
     .summary = "Returns the messages from a stream within a range of IDs.",
     .since = "5.0.0",
     .complexity = "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for "
                   "the first 10 elements with COUNT), you can consider it O(1).",
     .history = STRINGS(CHANGE("6.2.0", "Added exclusive ranges.")),
     .args = xrange_args},
    {.name = "xrevrange",
     .run = xrevrange_run,
     .arity = -4,
     .flags = CMD_READONLY,
     STREAM,
     .keys = STREAM_KEY(KEY_RO | KEY_ACCESS, 1),
     .summary = "Returns the messages from a stream within a range of IDs in reverse order.",
     .since = "5.0.0",
     .complexity = "O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the "
                   "first 10 elements with COUNT), you can consider it O(1).",
     .history = STRINGS(CHANGE("6.2.0", "Added exclusive ranges.")),
     .args = xrevrange_args},
    {.name = "xdel",
     .run = xdel_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_DELETE, 1),
     .summary = "Returns the number of messages after removing them from a stream.",
     .since = "5.0.0",
     .complexity = "O(1) for each single item to delete in the stream, regardless of the stream size.",
     .args = xdel_args},
    {.name = "xdelex",
     .run = xdelex_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_DELETE, 1),
     .summary = "Deletes one or multiple entries from the stream.",
     .since = "8.2.0",
     .complexity = "O(1) for each single item to delete in the stream, regardless of the stream size.",
     .args = xdelex_args},
    {.name = NULL},
};
