/* SCAN, KEYS, RANDOMKEY, DBSIZE. None of them heats anything; all hide what has expired, and SCAN deletes it. */
#include "server/scan.h"

#include "core/base/glob.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/reply.h"

#define SHARD_BITS (SHARDS_MAX - 1u)
#define COUNT_MAX ((int64_t)1 << 48) /* ten times it is still a number */

unsigned scan_cursor_shard(uint64_t cursor, unsigned shards) { return (unsigned)(cursor & SHARD_BITS) % shards; }

/* As strtoul reads it, for clients that rely on that: nothing is 0, a sign is allowed, a NUL ends it. */
bool scan_cursor_parse(struct slice s, uint64_t *cursor)
{
    bool minus = s.len > 0 && s.p[0] == '-';
    *cursor = 0;
    s.len = strnlen((const char *)s.p, s.len);
    if (s.len > 1 && (minus || s.p[0] == '+'))
        s = slice_of(s.p + 1, s.len - 1);
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(*cursor, (uint64_t)10, cursor) ||
            __builtin_add_overflow(*cursor, (uint64_t)(s.p[i] - '0'), cursor))
            return false;
    if (minus)
        *cursor = 0 - *cursor;
    return true;
}

struct scan {
    struct call *c;
    struct scan_options o;
    struct buf out;
    struct buf expired; /* names that match, each behind its length */
    size_t found, seen;
};

static bool visible(struct scan *s, const struct entry *e)
{
    if (!scan_matches(&s->o, entry_key(e)))
        return false;
    if (!s->c->apply && entry_expired(e, s->c->now_ms)) {
        buf_put_u32(&s->expired, (uint32_t)entry_key(e).len);
        buf_append_slice(&s->expired, entry_key(e));
        return false;
    }
    return s->o.type.p == NULL || slice_is(s->o.type, value_class_of(e->type)->name);
}

static void visit(void *arg, void *item)
{
    struct scan *s = arg;
    const struct entry *e = item;
    s->seen++;
    if (!visible(s, e))
        return;
    resp_bulk(&s->out, entry_key(e));
    s->found++;
}

static bool scan_option(struct call *c, int i, enum scan_of of, struct scan_options *o)
{
    struct slice word = c->argv[i], value = c->argv[i + 1];
    if (slice_is(word, "count")) {
        if (!arg_i64(c, value, &o->count))
            return false;
        if (o->count >= 1) {
            o->count = o->count < COUNT_MAX ? o->count : COUNT_MAX;
            return true;
        }
    } else if (slice_is(word, "match")) {
        o->match = value;
        o->all = value.len == 1 && value.p[0] == '*';
        return true;
    } else if (slice_is(word, "type") && of == SCAN_KEYS) {
        o->type = value;
        return true;
    }
    reply_syntax(c);
    return false;
}

bool scan_options(struct call *c, int from, enum scan_of of, struct scan_options *o)
{
    *o = (struct scan_options){.all = true, .count = 10};
    for (int i = from; i < c->argc; i += 2) {
        if (of == SCAN_FIELDS && slice_is(c->argv[i], "novalues")) {
            o->no_values = true;
            i--;
            continue;
        }
        if (i + 1 == c->argc) {
            reply_syntax(c);
            return false;
        }
        if (!scan_option(c, i, of, o))
            return false;
    }
    return true;
}

bool scan_matches(const struct scan_options *o, struct slice name)
{
    return o->all || glob_match(o->match, name, false);
}

void scan_reply(struct call *c, uint64_t cursor, size_t n, struct buf *items)
{
    char text[NUM_I64_MAX];
    reply_array(c, 2);
    reply_bulk(c, slice_of(text, num_format_u64(text, cursor)));
    reply_array(c, n);
    buf_append_slice(c->out, buf_slice(items));
    buf_free(items);
}

/* To look at an expired key deletes it. */
static void delete_expired(struct scan *s)
{
    for (struct reader r = reader_of(buf_slice(&s->expired)); reader_left(&r) > 0;)
        place_in(s->c, s->c->db, reader_bytes(&r, reader_u32(&r)));
    buf_free(&s->expired);
}

static void scan_run(struct call *c)
{
    struct scan s = {.c = c};
    struct keyspace *ks;
    uint64_t cursor;
    unsigned shards = call_shards(c);

    if (!scan_cursor_parse(c->argv[1], &cursor)) {
        reply_error(c, "ERR invalid cursor");
        return;
    }
    if (!scan_options(c, 2, SCAN_KEYS, &s.o))
        return;
    unsigned shard = scan_cursor_shard(cursor, shards);
    uint64_t at = cursor & ~(uint64_t)SHARD_BITS, rounds = (uint64_t)s.o.count * 10;
    call_keyspaces(c, c->db, &ks, 1);
    do
        at = table_scan(ks->entries, at, visit, &s);
    while (at != 0 && (int64_t)s.found < s.o.count && (int64_t)s.seen < s.o.count * 10 && --rounds > 0);
    delete_expired(&s);
    /* Shards without keys are passed over: what has been acknowledged has been counted. */
    if (at == 0)
        for (shard++; shard < shards && call_shard_keys(c, shard) == 0;)
            shard++;
    scan_reply(c, at != 0 ? at | shard : shard < shards ? shard : 0, s.found, &s.out);
}

static void scan_all(struct keyspace *ks, struct scan *s)
{
    uint64_t cursor = 0;
    do
        cursor = table_scan(ks->entries, cursor, visit, s);
    while (cursor != 0);
}

static void keys_run(struct call *c)
{
    struct keyspace *ks[SHARDS_MAX];
    struct slice pattern = c->argv[1];
    struct scan s = {.c = c, .o = {.match = pattern, .all = pattern.len == 1 && pattern.p[0] == '*'}};
    for (unsigned i = 0, n = call_keyspaces(c, c->db, ks, SHARDS_MAX); i < n; i++)
        scan_all(ks[i], &s);
    reply_array(c, s.found);
    buf_append_slice(c->out, buf_slice(&s.out));
    buf_free(&s.out);
    buf_free(&s.expired);
}

/* Shards are chosen in proportion to their keys. A sample may hold expired keys; after some tries one is walked for. */
static struct entry *random_entry(struct call *c, struct keyspace **ks, unsigned n)
{
    uint64_t total = call_dbsize(c);
    for (int tries = 0; total > 0 && tries < 100; tries++) {
        uint64_t pick = call_random(c) % total;
        unsigned i = 0;
        while (i + 1 < n && pick >= ks[i]->keys)
            pick -= ks[i++]->keys;
        void *items[8];
        size_t got = table_sample(ks[i]->entries, call_random(c), items, ARRAY_LEN(items));
        if (got == 0)
            continue;
        struct entry *e = items[call_random(c) % got];
        if (!entry_expired(e, c->now_ms))
            return e;
    }
    return NULL;
}

static void randomkey_run(struct call *c)
{
    struct keyspace *ks[SHARDS_MAX];
    struct entry *e = random_entry(c, ks, call_keyspaces(c, c->db, ks, SHARDS_MAX));
    if (e == NULL)
        reply_null(c);
    else
        reply_bulk(c, entry_key(e));
}

static void dbsize_run(struct call *c) { reply_int(c, (int64_t)call_dbsize(c)); }

#define KEYSPACE .acl = ACL_KEYSPACE, .group = "generic"

static const struct command_arg scan_args[] = {
    ARG("cursor", "integer"),
    ARG("pattern", "pattern", .token = "MATCH", .flags = ARG_OPTIONAL),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG("type", "string", .token = "TYPE", .since = "6.0.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg keys_args[] = {
    ARG("pattern", "pattern"),
    ARG_END,
};

struct command scan_commands[] = {
    {.name = "scan",
     .run = scan_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_TOUCHES_ARBITRARY_KEYS,
     KEYSPACE,
     .route = ROUTE_ANY,
     .summary = "Iterates over the key names in the database.",
     .since = "2.8.0",
     .complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor "
                   "to return back to 0. N is the number of elements inside the collection.",
     .args = scan_args,
     .tips = STRINGS("nondeterministic_output", "request_policy:special", "response_policy:special"),
     .history = STRINGS(CHANGE("6.0.0", "Added the `TYPE` subcommand."))},
    {.name = "keys",
     .run = keys_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_TOUCHES_ARBITRARY_KEYS,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .group = "generic",
     .route = ROUTE_ALL,
     .summary = "Returns all key names that match a pattern.",
     .since = "1.0.0",
     .complexity = "O(N) with N being the number of keys in the database, under the assumption that the key names in "
                   "the database and the given pattern have limited length.",
     .args = keys_args,
     .tips = STRINGS("request_policy:all_shards", "nondeterministic_output_order")},
    {.name = "randomkey",
     .run = randomkey_run,
     .arity = 1,
     .flags = CMD_READONLY | CMD_TOUCHES_ARBITRARY_KEYS,
     KEYSPACE,
     .route = ROUTE_ALL,
     .summary = "Returns a random key name from the database.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .tips = STRINGS("request_policy:all_shards", "response_policy:special", "nondeterministic_output")},
    {.name = "dbsize",
     .run = dbsize_run,
     .arity = 1,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .group = "server",
     .route = ROUTE_ALL,
     .summary = "Returns the number of keys in the database.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .tips = STRINGS("request_policy:all_shards", "response_policy:agg_sum")},
    {.name = NULL},
};
