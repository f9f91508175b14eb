/* XADD and XTRIM. */
#include "server/cmd/stream.h"

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
        place_changed(c, &p, EVENT_STREAM, "xtrim");
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
    struct slice text; /* the id */
    char scratch[STREAM_ID_TEXT];
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
    words_init(&w);
    words_add_str(&w, "XADD");
    words_add(&w, c->argv[1]);
    if (was_trimmed)
        add_trim(&w, s, a->options.trim.refs);
    words_add(&w, a->text);
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
    place_changed(c, &p, EVENT_STREAM, "xadd");
    if (was_trimmed)
        key_event(c, &p, EVENT_STREAM, "xtrim");
    a.text = slice_of(a.scratch, stream_id_format(a.scratch, a.id));
    effect_added(c, s, &a, was_trimmed);
    reply_bulk(c, a.text);
}

/* --- declarations --- */

const struct command_arg stream_refs_args[] = {
    ARG_TOKEN("keepref", "KEEPREF"),
    ARG_TOKEN("delref", "DELREF"),
    ARG_TOKEN("acked", "ACKED"),
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
struct command stream_add_commands[] = {
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
     .history =
         STRINGS(CHANGE("6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."),
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
    {.name = NULL},
};
