/* XREAD and XREADGROUP. A call is checked as a whole (parse, check_streams) before its first stream is served; serve()
 * replies if there is anything to be said, and nothing has been changed if not, but that consumers were seen: then the
 * call may block.
 */
#include "server/cmd/stream.h"

#include "core/base/mem.h"

enum from_what {
    FROM_ID,   /* entries behind it; XREADGROUP: of what is pending with the consumer */
    FROM_NEW,  /* ">": what the group has not delivered */
    FROM_NOW,  /* "$": nothing that is there now */
    FROM_LAST, /* "+": the last entry alone */
};

struct read {
    bool group_form; /* XREADGROUP */
    struct slice group, consumer;
    bool noack, block;
    int64_t timeout_ms;
    uint64_t count;              /* 0: no limit */
    int keys, n;                 /* the first key's argument; how many there are, and then as many ids */
    const struct stream_id *now; /* what each "$" stood for when the call blocked; NULL: it has not */
};

/* --- options --- */

static bool arg_block(struct call *c, struct slice s, struct read *r)
{
    r->block = true;
    return arg_timeout_ms(c, s, &r->timeout_ms);
}

static bool arg_count(struct call *c, struct slice s, struct read *r)
{
    int64_t count;
    if (!arg_i64(c, s, &count))
        return false;
    r->count = count < 0 ? 0 : (uint64_t)count;
    return true;
}

static bool arg_lists(struct call *c, int at, struct read *r)
{
    int n = c->argc - at;
    r->keys = at;
    r->n = n / 2;
    if (n % 2 == 0)
        return true;
    reply_error(c, "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.");
    return false;
}

static bool only_with_group(struct call *c, const struct read *r, const char *option)
{
    if (!r->group_form)
        reply_errorf(c, "ERR The %s option is only supported by XREADGROUP. You called XREAD instead.", option);
    return r->group_form;
}

/* One option; *at is its last word afterwards. */
static bool arg_option(struct call *c, int *at, struct read *r)
{
    struct slice word = c->argv[*at];
    int more = c->argc - *at - 1;
    if (more >= 1 && slice_is(word, "block"))
        return arg_block(c, c->argv[++*at], r);
    if (more >= 1 && slice_is(word, "count"))
        return arg_count(c, c->argv[++*at], r);
    if (slice_is(word, "noack"))
        return only_with_group(c, r, "NOACK") && (r->noack = true);
    if (more >= 2 && slice_is(word, "group")) {
        r->group = c->argv[*at + 1];
        r->consumer = c->argv[*at + 2];
        *at += 2;
        return only_with_group(c, r, "GROUP");
    }
    reply_syntax(c);
    return false;
}

static bool parse(struct call *c, struct read *r)
{
    for (int at = 1; at < c->argc && r->keys == 0; at++) {
        bool lists = at + 1 < c->argc && slice_is(c->argv[at], "streams");
        if (lists ? !arg_lists(c, at + 1, r) : !arg_option(c, &at, r))
            return false;
    }
    if (r->keys == 0) {
        reply_syntax(c);
        return false;
    }
    if (!r->group_form || r->group.p != NULL)
        return true;
    reply_error(c, "ERR Missing GROUP option for XREADGROUP");
    return false;
}

static bool arg_from(struct call *c, const struct read *r, struct slice s, enum from_what *what, struct stream_id *id)
{
    char only = s.len == 1 ? (char)s.p[0] : 0;
    *what = only == '>' ? FROM_NEW : only == '$' ? FROM_NOW : only == '+' && !r->group_form ? FROM_LAST : FROM_ID;
    if (only == '$' && r->group_form) {
        reply_error(c, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this "
                       "consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just "
                       "return an empty result set.");
        return false;
    }
    if (only == '>' && !r->group_form) {
        reply_error(c, "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> "
                       "option.");
        return false;
    }
    return *what != FROM_ID || arg_stream_id(c, s, 0, id);
}

static bool check_group(struct call *c, const struct read *r, const struct place *p)
{
    struct value v;
    if (p->e != NULL) {
        v = place_value(p);
        if (stream_group_find(stream_of(&v), r->group) != NULL)
            return true;
    }
    reply_errorf(c, "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP option",
                 (int)p->key.name.len, (const char *)p->key.name.p, (int)r->group.len, (const char *)r->group.p);
    return false;
}

static bool check_streams(struct call *c, const struct read *r)
{
    for (int i = 0; i < r->n; i++) {
        enum from_what what;
        struct stream_id id;
        struct place p = place_read(c, r->keys + i);
        if (!place_is(c, &p, VALUE_STREAM) || (r->group_form && !check_group(c, r, &p)) ||
            !arg_from(c, r, c->argv[r->keys + r->n + i], &what, &id))
            return false;
    }
    return true;
}

/* --- replies --- */

static void reply_key(struct call *c, struct slice key)
{
    if (c->proto == 2)
        reply_array(c, 2);
    reply_bulk(c, key);
}

/* Entries from an id on; `each` sees their ids. Returns whether there were any, and the key has been replied then. */
static bool reply_entries(struct call *c, const struct stream *s, struct slice key, struct stream_id from,
                          uint64_t count, void (*each)(void *arg, struct stream_id id), void *arg)
{
    struct stream_iter it;
    stream_iter_init(&it, s, from, STREAM_ID_MAX, false);
    if (!stream_iter_next(&it))
        return false;
    reply_key(c, key);
    size_t at = c->out->len, n = 0;
    do {
        put_stream_entry(c->out, &it.entry);
        if (each != NULL)
            each(arg, it.entry.id);
    } while ((++n < count || count == 0) && stream_iter_next(&it));
    reply_array_around(c, at, n);
    return true;
}

/* --- XREAD --- */

/* Whether there was anything. */
static bool read_plain(struct call *c, const struct read *r, int i)
{
    enum from_what what;
    struct stream_id id;
    struct place p = place_peek(c, r->keys + i);
    arg_from(c, r, c->argv[r->keys + r->n + i], &what, &id);
    if (p.e == NULL || (what == FROM_NOW && r->now == NULL))
        return false;
    if (what == FROM_NOW)
        id = r->now[i];
    struct value v = place_value(&p);
    const struct stream *s = stream_of(&v);
    if (s->length == 0)
        return false;
    if (what == FROM_LAST)
        id = stream_top(s);
    else if (!stream_id_next(&id))
        return false;
    return reply_entries(c, s, p.key.name, id, r->count, NULL, NULL);
}

/* --- XREADGROUP --- */

struct delivery {
    struct call *c;
    struct stream *s;
    struct stream_group *g;
    struct stream_consumer *consumer;
    bool noack;
    struct claim_effect effect;
};

static void deliver(void *arg, struct stream_id id)
{
    struct delivery *d = arg;
    stream_group_advance(d->s, d->g, id);
    if (d->noack)
        return;
    struct stream_pending *p = stream_pending_assign(d->s, d->g, id, d->consumer);
    p->delivered_ms = d->c->now_ms;
    p->deliveries = 1;
    claim_effect_add(&d->effect, p);
}

static bool deliver_new(struct delivery *d, struct slice key, uint64_t count)
{
    struct stream_id from = d->g->last;
    if (!stream_id_next(&from) || !reply_entries(d->c, d->s, key, from, count, deliver, d))
        return false;
    claim_effect_end(&d->effect);
    effect_group_last(d->c, key, d->g);
    return true;
}

/* An entry that is pending; one that was deleted has no fields. */
static void deliver_again(struct delivery *d, struct stream_id id)
{
    struct stream_iter it;
    stream_iter_init(&it, d->s, id, id, false);
    if (!stream_iter_next(&it)) {
        reply_array(d->c, 2);
        reply_stream_id(d->c, id);
        reply_null_array(d->c);
        return;
    }
    put_stream_entry(d->c->out, &it.entry);
    struct stream_pending *p = stream_pending_find(d->g, id);
    p->delivered_ms = d->c->now_ms;
    p->deliveries++;
    claim_effect_add(&d->effect, p);
}

/* What is pending with the consumer, behind an id. Returns whether anything was changed. */
static bool deliver_history(struct delivery *d, struct slice key, struct stream_id from, uint64_t count)
{
    struct btree_iter it;
    reply_key(d->c, key);
    size_t at = d->c->out->len, n = 0;
    const struct stream_id *id = stream_id_next(&from) ? stream_consumer_seek(d->consumer, from, &it) : NULL;
    for (; id != NULL && (n < count || count == 0); id = btree_next(&it), n++)
        deliver_again(d, *id);
    reply_array_around(d->c, at, n);
    bool any = d->effect.any;
    claim_effect_end(&d->effect);
    return any;
}

/* Whether there was anything to reply. */
static bool read_group(struct call *c, const struct read *r, int i)
{
    enum from_what what;
    struct stream_id id;
    struct place p = place_write(c, r->keys + i);
    arg_from(c, r, c->argv[r->keys + r->n + i], &what, &id);
    struct delivery d = {.c = c, .s = stream_of(place_change(c, &p, VALUE_STREAM)), .noack = r->noack};
    struct slice key = p.key.name;
    d.g = stream_group_find(d.s, r->group);
    d.consumer = stream_consumer_find(d.g, r->consumer);
    d.effect = (struct claim_effect){.c = c, .key = key, .group = r->group, .consumer = r->consumer};
    bool changed = d.consumer == NULL;
    if (changed) {
        d.consumer = stream_consumer_add(d.s, d.g, r->consumer, c->now_ms);
        effect_consumer_created(c, key, r->group, r->consumer);
        key_event(c, &p, EVENT_STREAM, "xgroup-createconsumer");
    }
    d.consumer->seen_ms = c->now_ms;
    bool replied = what == FROM_ID || deliver_new(&d, key, r->count);
    bool got = what == FROM_ID ? deliver_history(&d, key, id, r->count) : replied;
    if (got)
        d.consumer->active_ms = c->now_ms;
    if (changed || got)
        place_changed(c, &p, EVENT_STREAM, NULL);
    else
        place_unchanged(c, &p);
    if (got && what == FROM_ID)
        c->changes--; /* Redis does not count what is delivered again, nor record it */
    return replied;
}

/* --- both --- */

static bool serve(struct call *c, const struct read *r)
{
    size_t at = c->out->len, n = 0;
    for (int i = 0; i < r->n; i++)
        n += r->group_form ? read_group(c, r, i) : read_plain(c, r, i);
    if (n > 0 && c->proto == 2)
        reply_array_around(c, at, n);
    else if (n > 0)
        reply_map_around(c, at, n);
    return n > 0;
}

static struct stream_id last_id(struct call *c, int arg)
{
    struct place p = place_peek(c, arg);
    if (p.e == NULL)
        return (struct stream_id){0, 0};
    struct value v = place_value(&p);
    return stream_of(&v)->last;
}

/* A group whose stream or itself is gone is an error, so its readers are told of that too. */
static bool block(struct call *c, const struct read *r)
{
    struct stream_id *now = mem_alloc(sizeof(*now) * (size_t)r->n);
    for (int i = 0; i < r->n; i++)
        now[i] = last_id(c, r->keys + i);
    struct block b = {.timeout_ms = r->timeout_ms,
                      .first = r->keys,
                      .n = r->n,
                      .type = VALUE_STREAM,
                      .nokey = r->group_form,
                      .notes = now,
                      .notes_len = sizeof(*now) * (size_t)r->n};
    bool blocks = call_block(c, &b);
    mem_free(now, sizeof(*now) * (size_t)r->n);
    return blocks;
}

static void run(struct call *c, bool group_form)
{
    struct read r = {.group_form = group_form, .now = call_notes(c)};
    if (!parse(c, &r) || !check_streams(c, &r) || serve(c, &r))
        return;
    if (!r.block || !block(c, &r))
        reply_null_array(c);
}

static void xread_run(struct call *c) { run(c, false); }
static void xreadgroup_run(struct call *c) { run(c, true); }

/* A group called so does no harm. */
static bool may_block(const struct slice *argv, int argc)
{
    for (int i = 1; i < argc && !slice_is(argv[i], "streams"); i++)
        if (slice_is(argv[i], "block"))
            return true;
    return false;
}

/* --- declarations --- */

static const struct command_arg streams_args[] = {
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg xread_args[] = {
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG("milliseconds", "integer", .token = "BLOCK", .flags = ARG_OPTIONAL),
    ARG_BLOCK("streams", streams_args, .token = "STREAMS"),
    ARG_END,
};
static const struct command_arg group_block_args[] = {
    ARG("group", "string"),
    ARG("consumer", "string"),
    ARG_END,
};
static const struct command_arg xreadgroup_args[] = {
    ARG_BLOCK("group-block", group_block_args, .token = "GROUP"),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG("milliseconds", "integer", .token = "BLOCK", .flags = ARG_OPTIONAL),
    ARG_TOKEN("noack", "NOACK", .flags = ARG_OPTIONAL),
    ARG_BLOCK("streams", streams_args, .token = "STREAMS"),
    ARG_END,
};

#define STREAMS_KEYS(f, at)                                                                                            \
    {                                                                                                                  \
        {                                                                                                              \
            .flags = (f), .first = (at), .last = -1, .step = 1, .keyword = "STREAMS", .half = true, .need = NEED_VALUE \
        }                                                                                                              \
    }

struct command stream_read_commands[] = {
    {.name = "xread",
     .run = xread_run,
     .may_block = may_block,
     .arity = -4,
     .flags = CMD_READONLY | CMD_BLOCKING | CMD_MOVABLE_KEYS,
     STREAM,
     .keys = STREAMS_KEYS(KEY_RO | KEY_ACCESS, 1),
     .summary = "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a "
                "message is available otherwise.",
     .since = "5.0.0",
     .complexity =
         "For each stream mentioned: O(N) with N being the number of elements being returned, it means that XREAD-ing "
         "with a fixed COUNT is O(1). Note that when the BLOCK option is used, XADD will pay O(M) time in order to "
         "serve the M clients blocked on the stream getting new data.",
     .args = xread_args},
    {.name = "xreadgroup",
     .run = xreadgroup_run,
     .may_block = may_block,
     .arity = -7,
     .flags = CMD_WRITE | CMD_BLOCKING | CMD_MOVABLE_KEYS,
     STREAM,
     .keys = STREAMS_KEYS(KEY_RO | KEY_ACCESS, 4),
     .summary = "Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is "
                "available otherwise.",
     .since = "5.0.0",
     .complexity =
         "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always "
         "asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP "
         "blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
     .args = xreadgroup_args},
    {.name = NULL},
};
