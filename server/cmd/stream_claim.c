/* What is pending: listing it, and handing it to other consumers. */
#include "server/cmd/stream.h"

#include "core/base/mem.h"

/* The group in argument 2 of the stream in argument 1. NULL: an error has been replied. */
static struct stream_group *group_at(struct call *c, const struct place *p)
{
    struct value v;
    struct stream_group *g = NULL;
    if (p->e != NULL) {
        v = place_value(p);
        g = stream_group_find(stream_of(&v), c->argv[2]);
    }
    if (g == NULL)
        reply_no_group(c, c->argv[1], c->argv[2]);
    return g;
}

static int64_t idle_ms(const struct call *c, const struct stream_pending *p)
{
    return c->now_ms > p->delivered_ms ? c->now_ms - p->delivered_ms : 0;
}

/* --- XPENDING --- */

struct list_options {
    bool given;
    int64_t idle_ms, count;
    struct stream_id from, to;
    struct slice consumer; /* p NULL: of all */
};

static bool arg_list_options(struct call *c, struct list_options *o)
{
    int at = 3;
    *o = (struct list_options){.given = c->argc > 3};
    if (!o->given)
        return true;
    bool idle = slice_is(c->argv[3], "idle");
    if (c->argc < 6 || c->argc > 9 || (idle && c->argc < 8)) {
        reply_syntax(c);
        return false;
    }
    if (idle) {
        if (!arg_i64(c, c->argv[4], &o->idle_ms))
            return false;
        at = 5;
    }
    if (!arg_i64(c, c->argv[at + 2], &o->count) || !arg_stream_from(c, c->argv[at], &o->from) ||
        !arg_stream_to(c, c->argv[at + 1], &o->to))
        return false;
    if (at + 3 < c->argc)
        o->consumer = c->argv[at + 3];
    return true;
}

/* How much is pending, from where to where, and with whom. */
static void reply_summary(struct call *c, const struct stream_group *g)
{
    struct btree_iter it = {0};
    uint64_t pending = btree_count(g->pending);
    reply_array(c, 4);
    reply_int(c, (int64_t)pending);
    if (pending == 0) {
        reply_null(c);
        reply_null(c);
        reply_null_array(c);
        return;
    }
    reply_stream_id(c, ((const struct stream_pending *)btree_first(g->pending))->id);
    reply_stream_id(c, ((const struct stream_pending *)btree_last(g->pending))->id);
    size_t at = c->out->len, n = 0;
    for (const struct stream_consumer *m; (m = stream_consumer_next(g, &it)) != NULL;) {
        if (btree_count(m->ids) == 0)
            continue;
        reply_array(c, 2);
        reply_bulk(c, m->name);
        resp_bulk_int(c->out, (int64_t)btree_count(m->ids));
        n++;
    }
    reply_array_around(c, at, n);
}

static void reply_pending(struct call *c, const struct stream_pending *p)
{
    reply_array(c, 4);
    reply_stream_id(c, p->id);
    reply_bulk(c, p->consumer->name);
    reply_int(c, idle_ms(c, p));
    reply_int(c, (int64_t)p->deliveries);
}

/* The pending entry at a place in the group's tree, or in the consumer's. */
static const struct stream_pending *listed(const struct stream_group *g, const struct stream_consumer *only,
                                           const void *elem)
{
    return only != NULL ? stream_pending_find(g, *(const struct stream_id *)elem) : elem;
}

static void reply_listed(struct call *c, const struct stream_group *g, const struct list_options *o)
{
    struct btree_iter it;
    const struct stream_consumer *only = NULL;
    int64_t left = o->count;
    size_t at = c->out->len, n = 0;
    if (o->consumer.p != NULL && (only = stream_consumer_find(g, o->consumer)) == NULL) {
        reply_array(c, 0);
        return;
    }
    const void *elem = btree_seek_ge(only != NULL ? only->ids : g->pending, &o->from, &it);
    for (; elem != NULL && left > 0; elem = btree_next(&it)) {
        const struct stream_pending *p = listed(g, only, elem);
        if (stream_id_cmp(p->id, o->to) > 0)
            break;
        if (o->idle_ms > 0 && idle_ms(c, p) < o->idle_ms)
            continue;
        reply_pending(c, p);
        left--;
        n++;
    }
    reply_array_around(c, at, n);
}

static void xpending_run(struct call *c)
{
    struct list_options o;
    if (!arg_list_options(c, &o))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_STREAM))
        return;
    const struct stream_group *g = group_at(c, &p);
    if (g == NULL)
        return;
    if (o.given)
        reply_listed(c, g, &o);
    else
        reply_summary(c, g);
}

/* --- claiming --- */

struct claim {
    struct call *c;
    struct place p;
    struct stream *s;
    struct stream_group *g;
    struct stream_consumer *consumer;
    int64_t min_idle_ms, when_ms;
    int64_t retry_count; /* -1: one more than before, or with just_id as many */
    bool force, just_id;
    bool changed;
    struct claim_effect effect;
};

static bool arg_min_idle(struct call *c, int64_t *out, const char *error)
{
    if (!arg_i64_or(c, c->argv[4], out, error))
        return false;
    if (*out < 0)
        *out = 0;
    return true;
}

/* The time at which who claims is seen: the clock does not exist while effects are applied. */
static int64_t claim_seen(const struct claim *k) { return k->c->apply ? k->when_ms : k->c->now_ms; }

static void claim_begin(struct claim *k)
{
    struct slice name = k->c->argv[3], key = k->p.key.name;
    k->s = stream_of(place_change(k->c, &k->p, VALUE_STREAM));
    k->consumer = stream_consumer_find(k->g, name);
    k->changed = k->consumer == NULL;
    k->effect = (struct claim_effect){.c = k->c, .key = key, .group = k->g->name, .consumer = name};
    if (k->changed) {
        k->consumer = stream_consumer_add(k->s, k->g, name, claim_seen(k));
        effect_consumer_created(k->c, key, k->g->name, name);
        key_event(k->c, &k->p, EVENT_STREAM, "xgroup-createconsumer");
    }
    k->consumer->seen_ms = claim_seen(k);
}

static void claim_end(struct claim *k)
{
    claim_effect_end(&k->effect);
    if (k->changed)
        place_changed(k->c, &k->p, EVENT_STREAM, NULL);
    else
        place_unchanged(k->c, &k->p);
}

/* What is pending of an entry that was deleted goes. */
static void claim_gone(struct claim *k, struct stream_id id)
{
    if (!stream_pending_remove(k->s, k->g, id))
        return;
    effect_acked(k->c, k->p.key.name, k->g->name, id);
    k->changed = true;
}

static void claim_one(struct claim *k, struct stream_id id, bool fresh)
{
    struct stream_pending *p = stream_pending_assign(k->s, k->g, id, k->consumer);
    p->delivered_ms = k->when_ms;
    if (k->retry_count >= 0)
        p->deliveries = (uint64_t)k->retry_count;
    else
        p->deliveries += fresh + !k->just_id;
    k->consumer->active_ms = claim_seen(k);
    k->changed = true;
    claim_effect_add(&k->effect, p);
}

static bool idle_enough(const struct claim *k, const struct stream_pending *p)
{
    return k->min_idle_ms == 0 || k->c->now_ms - p->delivered_ms >= k->min_idle_ms;
}

static void put_claimed(struct buf *out, const struct claim *k, const struct stream_iter *it)
{
    if (k->just_id)
        put_stream_id(out, it->entry.id);
    else
        put_stream_entry(out, &it->entry);
}

/* Whether it was claimed, and replied. */
static bool claim_id(struct claim *k, struct stream_id id, struct buf *out)
{
    struct stream_iter it;
    struct stream_pending *p = stream_pending_find(k->g, id);
    stream_iter_init(&it, k->s, id, id, false);
    if (!stream_iter_next(&it)) {
        claim_gone(k, id);
        return false;
    }
    if (p == NULL ? !k->force : !idle_enough(k, p))
        return false;
    claim_one(k, id, p == NULL);
    put_claimed(out, k, &it);
    return true;
}

/* --- XCLAIM --- */

/* How many ids there are from argument 5 on. */
static int claim_ids(const struct call *c)
{
    struct stream_id id;
    int at = 5;
    while (at < c->argc && stream_id_parse(c->argv[at], 0, &id))
        at++;
    return at - 5;
}

static bool arg_claim_option(struct call *c, int *at, struct claim *k, struct stream_id *last)
{
    struct slice word = c->argv[*at];
    bool more = *at + 1 < c->argc;
    if (slice_is(word, "force"))
        return k->force = true;
    if (slice_is(word, "justid"))
        return k->just_id = true;
    if (more && slice_is(word, "idle")) {
        int64_t idle;
        if (!arg_i64_or(c, c->argv[++*at], &idle, "ERR Invalid IDLE option argument for XCLAIM"))
            return false;
        k->when_ms = idle >= 0 ? c->now_ms - idle : -1;
        return true;
    }
    if (more && slice_is(word, "time"))
        return arg_i64_or(c, c->argv[++*at], &k->when_ms, "ERR Invalid TIME option argument for XCLAIM");
    if (more && slice_is(word, "retrycount"))
        return arg_i64_or(c, c->argv[++*at], &k->retry_count, "ERR Invalid RETRYCOUNT option argument for XCLAIM");
    if (more && slice_is(word, "lastid"))
        return arg_stream_id(c, c->argv[++*at], 0, last);
    reply_errorf(c, "ERR Unrecognized XCLAIM option '%.*s'", (int)word.len, (const char *)word.p);
    return false;
}

static bool arg_claim(struct call *c, int ids, struct claim *k, struct stream_id *last)
{
    k->when_ms = -1;
    k->retry_count = -1;
    if (!arg_min_idle(c, &k->min_idle_ms, "ERR Invalid min-idle-time argument for XCLAIM"))
        return false;
    for (int at = 5 + ids; at < c->argc; at++)
        if (!arg_claim_option(c, &at, k, last))
            return false;
    if (!c->apply && (k->when_ms < 0 || k->when_ms > c->now_ms))
        k->when_ms = c->now_ms;
    return true;
}

static void xclaim_run(struct call *c)
{
    struct claim k = {.c = c, .p = place_write(c, 1)};
    struct stream_id last = STREAM_ID_MIN;
    if (!place_is(c, &k.p, VALUE_STREAM) || (k.g = group_at(c, &k.p)) == NULL)
        return;
    int ids = claim_ids(c);
    if (!arg_claim(c, ids, &k, &last))
        return;
    claim_begin(&k);
    if (stream_id_cmp(last, k.g->last) > 0) {
        k.g->last = last;
        k.changed = true;
        effect_group_last(c, k.p.key.name, k.g);
    }
    size_t at = c->out->len, n = 0;
    for (int i = 0; i < ids; i++) {
        struct stream_id id;
        stream_id_parse(c->argv[5 + i], 0, &id);
        n += claim_id(&k, id, c->out);
    }
    reply_array_around(c, at, n);
    claim_end(&k);
}

/* --- XAUTOCLAIM --- */

#define AUTOCLAIM_COUNT 100
#define AUTOCLAIM_ATTEMPTS 10 /* pending entries that are looked at for each that is wanted */

static bool arg_autoclaim(struct call *c, struct claim *k, struct stream_id *from, int64_t *count)
{
    *count = AUTOCLAIM_COUNT;
    k->retry_count = -1;
    k->when_ms = c->now_ms;
    if (!arg_min_idle(c, &k->min_idle_ms, "ERR Invalid min-idle-time argument for XAUTOCLAIM") ||
        !arg_stream_from(c, c->argv[5], from))
        return false;
    for (int i = 6; i < c->argc; i++) {
        if (i + 1 < c->argc && slice_is(c->argv[i], "count")) {
            if (!arg_range(c, c->argv[++i], 1, INT64_MAX / 64, count, "ERR COUNT must be > 0"))
                return false;
        } else if (slice_is(c->argv[i], "justid")) {
            k->just_id = true;
        } else {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

struct autoclaim {
    struct buf claimed, gone;
    size_t nclaimed, ngone;
};

/* Returns the id with which to go on, zero at the end. */
static struct stream_id autoclaim(struct claim *k, struct stream_id from, int64_t count, struct autoclaim *a)
{
    struct btree_iter it;
    const struct stream_pending *p = stream_pending_seek(k->g, from, &it);
    int64_t left = count;
    for (int64_t tries = count * AUTOCLAIM_ATTEMPTS; p != NULL && left > 0 && tries > 0; tries--) {
        struct stream_id id = p->id;
        if (!stream_has(k->s, id)) {
            claim_gone(k, id);
            put_stream_id(&a->gone, id);
            a->ngone++;
            left--;
        } else if (claim_id(k, id, &a->claimed)) {
            a->nclaimed++;
            left--;
        }
        p = stream_id_next(&id) ? stream_pending_seek(k->g, id, &it) : NULL;
    }
    return p != NULL ? p->id : STREAM_ID_MIN;
}

static void xautoclaim_run(struct call *c)
{
    struct claim k = {.c = c};
    struct autoclaim a = {.nclaimed = 0};
    struct stream_id from;
    int64_t count;
    if (!arg_autoclaim(c, &k, &from, &count))
        return;
    k.p = place_write(c, 1);
    if (!place_is(c, &k.p, VALUE_STREAM) || (k.g = group_at(c, &k.p)) == NULL)
        return;
    claim_begin(&k);
    struct stream_id next = autoclaim(&k, from, count, &a);
    claim_end(&k);
    reply_array(c, 3);
    reply_stream_id(c, next);
    reply_array(c, a.nclaimed);
    buf_append_slice(c->out, buf_slice(&a.claimed));
    reply_array(c, a.ngone);
    buf_append_slice(c->out, buf_slice(&a.gone));
    buf_free(&a.claimed);
    buf_free(&a.gone);
}

/* --- declarations --- */

static const struct command_arg filters_args[] = {
    ARG("min-idle-time", "integer", .token = "IDLE", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG("start", "string"),
    ARG("end", "string"),
    ARG("count", "integer"),
    ARG("consumer", "string", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg xpending_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG_BLOCK("filters", filters_args, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg xclaim_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG("consumer", "string"),
    ARG("min-idle-time", "string"),
    ARG("id", "string", .flags = ARG_MULTIPLE),
    ARG("ms", "integer", .token = "IDLE", .flags = ARG_OPTIONAL),
    ARG("unix-time-milliseconds", "unix-time", .token = "TIME", .flags = ARG_OPTIONAL),
    ARG("count", "integer", .token = "RETRYCOUNT", .flags = ARG_OPTIONAL),
    ARG_TOKEN("force", "FORCE", .flags = ARG_OPTIONAL),
    ARG_TOKEN("justid", "JUSTID", .flags = ARG_OPTIONAL),
    ARG("lastid", "string", .token = "LASTID", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg xautoclaim_args[] = {
    ARG("key", "key"),
    ARG("group", "string"),
    ARG("consumer", "string"),
    ARG("min-idle-time", "string"),
    ARG("start", "string"),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_TOKEN("justid", "JUSTID", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command stream_claim_commands[] = {
    {.name = "xpending",
     .run = xpending_run,
     .arity = -3,
     .flags = CMD_READONLY,
     STREAM,
     .keys = STREAM_KEY(KEY_RO | KEY_ACCESS, 1),
     .summary = "Returns the information and entries from a stream consumer group's pending entries list.",
     .since = "5.0.0",
     .complexity =
         "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is "
         "O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command "
         "returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional "
         "O(N) time for iterating every consumer.",
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("6.2.0", "Added the `IDLE` option and exclusive range intervals.")),
     .args = xpending_args},
    {.name = "xclaim",
     .run = xclaim_run,
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_UPDATE, 1),
     .summary = "Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a "
                "consumer group member.",
     .since = "5.0.0",
     .complexity = "O(log N) with N being the number of messages in the PEL of the consumer group.",
     .tips = STRINGS("nondeterministic_output"),
     .args = xclaim_args},
    {.name = "xautoclaim",
     .run = xautoclaim_run,
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = STREAM_KEY(KEY_RW | KEY_DELETE, 1),
     .summary = "Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to "
                "as consumer group member.",
     .since = "6.2.0",
     .complexity = "O(1) if COUNT is small.",
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("7.0.0", "Added an element to the reply array, containing deleted entries the command "
                                        "cleared from the PEL")),
     .args = xautoclaim_args},
    {.name = NULL},
};
