/* Entries of streams: adding, reading ranges, deleting, trimming. */
#include "server/cmd/stream.h"

#include "core/base/mem.h"
#include "core/base/num.h"

/* --- trimming, of XADD and XTRIM --- */

#define LIMIT_OF_NODES 100 /* nodes that an approximate trim goes through if LIMIT is not given */
#define LIMIT_UNKNOWN 10000
#define LIMIT_MOST 1000000

struct trim_options {
    struct stream_trim trim;
    bool given, limited;
    int64_t limit;
    bool no_mkstream; /* XADD */
};

/* MAXLEN or MINID at `at`; *at is its last word afterwards. */
static bool arg_threshold(struct call *c, int *at, struct trim_options *o)
{
    bool by_id = slice_is(c->argv[*at], "minid");
    if (o->given) {
        reply_error(c, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
        return false;
    }
    struct slice next = c->argv[++*at];
    if (*at + 1 < c->argc && next.len == 1 && (next.p[0] == '~' || next.p[0] == '=')) {
        o->trim.whole_nodes = next.p[0] == '~';
        next = c->argv[++*at];
    }
    o->given = true;
    o->trim.by_id = by_id;
    if (by_id)
        return arg_stream_id(c, next, 0, &o->trim.id);
    int64_t length;
    if (!arg_i64(c, next, &length))
        return false;
    o->trim.length = (uint64_t)length;
    if (length < 0)
        reply_error(c, "ERR The MAXLEN argument must be >= 0.");
    return length >= 0;
}

static bool arg_limit(struct call *c, struct slice s, struct trim_options *o)
{
    o->limited = true;
    if (!arg_i64(c, s, &o->limit))
        return false;
    if (o->limit < 0)
        reply_error(c, "ERR The LIMIT argument must be >= 0.");
    return o->limit >= 0;
}

/* An option at *at, which is its last word afterwards. *known is false if it is none. */
static bool arg_trim_option(struct call *c, int *at, struct trim_options *o, bool *known)
{
    bool more = *at + 1 < c->argc;
    struct slice word = c->argv[*at];
    *known = true;
    if (more && (slice_is(word, "maxlen") || slice_is(word, "minid")))
        return arg_threshold(c, at, o);
    if (more && slice_is(word, "limit"))
        return arg_limit(c, c->argv[++*at], o);
    *known = stream_refs_of(word, &o->trim.refs);
    return true;
}

/* How much an approximate trim may do if it is not told. */
static uint64_t usual_limit(const struct call *c)
{
    int64_t entries = call_limits(c)->stream_node_max_entries;
    if (entries <= 0)
        return LIMIT_UNKNOWN;
    return entries > LIMIT_MOST / LIMIT_OF_NODES ? LIMIT_MOST : (uint64_t)(entries * LIMIT_OF_NODES);
}

static bool check_trim(struct call *c, struct trim_options *o, bool needed)
{
    if (o->limit > 0 && !o->given) {
        reply_error(c, "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
        return false;
    }
    if (needed && !o->given) {
        reply_error(c, "ERR syntax error, XTRIM must be called with a trimming strategy");
        return false;
    }
    if (o->limited && !o->trim.whole_nodes) {
        reply_error(c, "ERR syntax error, LIMIT cannot be used without the special ~ option");
        return false;
    }
    o->trim.limit = o->limited ? (uint64_t)o->limit : o->trim.whole_nodes ? usual_limit(c) : 0;
    return true;
}

/* What has been trimmed, said exactly: see stream_trim. */
static void add_trim(struct words *w, const struct stream *s, enum stream_refs refs)
{
    words_add_str(w, "MAXLEN");
    words_add_str(w, "=");
    words_add_i64(w, (int64_t)s->length);
    if (refs != STREAM_KEEPREF)
        words_add_str(w, refs == STREAM_DELREF ? "DELREF" : "ACKED");
}

static void xtrim_run(struct call *c)
{
    struct trim_options o = {.limit = 0};
    bool known;
    for (int at = 2; at < c->argc; at++) {
        if (!arg_trim_option(c, &at, &o, &known))
            return;
        if (!known) {
            reply_syntax(c);
            return;
        }
    }
    if (!check_trim(c, &o, true))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STREAM))
        return;
    if (p.e == NULL) {
        reply_int(c, 0);
        return;
    }
    struct stream *s = stream_of(place_change(c, &p, VALUE_STREAM));
    uint64_t removed = stream_trim(s, &o.trim);
    if (removed > 0) {
        struct words w;
        words_init(&w);
        words_add(&w, c->argv[0]);
        words_add(&w, c->argv[1]);
        add_trim(&w, s, o.trim.refs);
        place_changed(c, &p);
        effect(c, w.n, w.at);
        words_free(&w);
    } else {
        place_unchanged(c, &p);
    }
    reply_int(c, (int64_t)removed);
}

/* --- XADD --- */

struct add {
    struct trim_options options;
    struct stream_id id;
    bool any_id, any_seq;
    int fields_at;
    struct stream_input in;
};

/* Up to the id, which no option is. */
static bool arg_add(struct call *c, struct add *a)
{
    int at = 2;
    *a = (struct add){.any_id = false};
    for (; at < c->argc; at++) {
        struct slice word = c->argv[at];
        bool known;
        a->any_id = word.len == 1 && word.p[0] == '*';
        if (a->any_id)
            break;
        if (!arg_trim_option(c, &at, &a->options, &known))
            return false;
        if (!known && slice_is(word, "nomkstream"))
            a->options.no_mkstream = true;
        else if (!known)
            break;
    }
    if (at < c->argc && !a->any_id && !stream_id_parse_open(c->argv[at], &a->id, &a->any_seq))
        return arg_stream_id(c, SLICE_LIT(""), 0, &a->id);
    a->fields_at = at + 1;
    return check_trim(c, &a->options, false);
}

static bool arg_fields(struct call *c, struct add *a)
{
    int n = c->argc - a->fields_at;
    if (n < 2 || n % 2 != 0) {
        reply_wrong_arity(c);
        return false;
    }
    a->in = (struct stream_input){.items = c->argv + a->fields_at, .fields = (uint32_t)n / 2};
    for (int i = 0; i < n; i++)
        a->in.bytes += a->in.items[i].len;
    return true;
}

/* The id that the entry gets; false if there is none that is greater than the last. */
static bool resolve_id(const struct call *c, const struct stream *s, struct add *a)
{
    if (a->any_id) {
        a->id = (struct stream_id){(uint64_t)c->now_ms, 0};
        if (a->id.ms > s->last.ms)
            return true;
        a->id = s->last;
        return stream_id_next(&a->id);
    }
    if (a->any_seq && a->id.ms == s->last.ms) {
        if (s->last.seq == UINT64_MAX)
            return false;
        a->id.seq = s->last.seq + 1;
    }
    return stream_id_cmp(a->id, s->last) > 0;
}

/* NULL, or what is wrong. */
static const char *add_entry(const struct call *c, struct stream *s, struct add *a)
{
    if (stream_id_cmp(s->last, STREAM_ID_MAX) == 0)
        return "ERR The stream has exhausted the last possible ID, unable to add more items";
    if (!resolve_id(c, s, a))
        return "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    if (stream_add(s, a->id, &a->in, call_limits(c)) < 0)
        return "ERR Elements are too large to be stored";
    return NULL;
}

static void effect_added(struct call *c, const struct stream *s, const struct add *a, bool was_trimmed)
{
    struct words w;
    char id[STREAM_ID_TEXT];
    words_init(&w);
    words_add_str(&w, "XADD");
    words_add(&w, c->argv[1]);
    if (was_trimmed)
        add_trim(&w, s, a->options.trim.refs);
    words_add(&w, slice_of(id, stream_id_format(id, a->id)));
    for (int i = a->fields_at; i < c->argc; i++)
        words_add(&w, c->argv[i]);
    effect(c, w.n, w.at);
    words_free(&w);
}

static void xadd_run(struct call *c)
{
    struct add a;
    if (!arg_add(c, &a) || !arg_fields(c, &a))
        return;
    if (!a.any_id && !a.any_seq && stream_id_zero(a.id)) {
        reply_error(c, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STREAM))
        return;
    if (p.e == NULL && a.options.no_mkstream) {
        reply_null(c);
        return;
    }
    struct stream *s = stream_of(place_change(c, &p, VALUE_STREAM));
    const char *error = add_entry(c, s, &a);
    if (error != NULL) {
        place_unchanged(c, &p);
        reply_error(c, error);
        return;
    }
    bool was_trimmed = a.options.given && stream_trim(s, &a.options.trim) > 0;
    place_changed(c, &p);
    effect_added(c, s, &a, was_trimmed);
    reply_stream_id(c, a.id);
}

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
    place_changed(c, &p);
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
        place_changed(c, &p);
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
            place_changed(c, &p);
        else if (s != NULL)
            place_unchanged(c, &p);
    }
    if (changed)
        effect_verbatim(c);
    stream_ids_free(sel.ids, sel.n);
}

/* --- declarations --- */

const struct command_arg stream_refs_args[] = {
    ARG_TOKEN("keepref", "KEEPREF"),
    ARG_TOKEN("delref", "DELREF"),
    ARG_TOKEN("acked", "ACKED"),
    ARG_END,
};
static const struct command_arg ids_block_args[] = {
    ARG("numids", "integer"),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg strategy_args[] = {
    ARG_TOKEN("maxlen", "MAXLEN"),
    ARG_TOKEN("minid", "MINID", .since = "6.2.0"),
    ARG_END,
};
static const struct command_arg operator_args[] = {
    ARG_TOKEN("equal", "="),
    ARG_TOKEN("approximately", "~"),
    ARG_END,
};
static const struct command_arg add_trim_args[] = {
    ARG_ONEOF("strategy", strategy_args),
    ARG_ONEOF("operator", operator_args, .flags = ARG_OPTIONAL),
    ARG("threshold", "string"),
    ARG("count", "integer", .token = "LIMIT", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg trim_args[] = {
    ARG_ONEOF("strategy", strategy_args),
    ARG_ONEOF("operator", operator_args, .flags = ARG_OPTIONAL),
    ARG("threshold", "string"),
    ARG("count", "integer", .token = "LIMIT", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_ONEOF("condition", stream_refs_args, .since = "8.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg id_selector_args[] = {
    ARG_TOKEN("auto-id", "*"),
    ARG("id", "string"),
    ARG_END,
};
static const struct command_arg data_args[] = {
    ARG("field", "string"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg xadd_args[] = {
    ARG("key", "key"),
    ARG_TOKEN("nomkstream", "NOMKSTREAM", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_ONEOF("condition", stream_refs_args, .since = "8.2.0", .flags = ARG_OPTIONAL),
    ARG_BLOCK("trim", add_trim_args, .flags = ARG_OPTIONAL),
    ARG_ONEOF("id-selector", id_selector_args),
    ARG_BLOCK("data", data_args, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg xtrim_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("trim", trim_args),
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
    {.name = "xadd",
     .run = xadd_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     STREAM,
     .keys = {{.flags = KEY_RW | KEY_UPDATE,
               .first = 1,
               .step = 1,
               .need = NEED_VALUE,
               .notes = "UPDATE instead of INSERT because of the optional trimming feature"}},
     .summary = "Appends a new message to a stream. Creates the key if it doesn't exist.",
     .since = "5.0.0",
     .complexity = "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."),
                        CHANGE("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
                        CHANGE("8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options.")),
     .args = xadd_args},
    {.name = "xtrim",
     .run = xtrim_run,
     .arity = -4,
     .flags = CMD_WRITE,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_DELETE, 1),
     .summary = "Deletes messages from the beginning of a stream.",
     .since = "5.0.0",
     .complexity = "O(N), with N being the number of evicted entries. Constant times are very small however, since "
                   "entries are organized in macro nodes containing multiple entries that can be released with a "
                   "single deallocation.",
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option."),
                        CHANGE("8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options.")),
     .args = xtrim_args},
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
