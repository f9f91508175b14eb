/* Sorted sets, some of their members: ZPOPMIN, ZPOPMAX, ZMPOP, ZRANDMEMBER, ZSCAN. */
#include "server/cmd/zset.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/scan.h"

/* --- ZPOPMIN, ZPOPMAX, ZMPOP --- */

/* One member is named; many are named by their ranks, which mean the same members where it is applied. */
static void effect_popped(struct call *c, struct slice key, const struct value *v, uint64_t n, bool max)
{
    char from[NUM_I64_MAX], to[NUM_I64_MAX];
    if (n == 1) {
        struct zset_iter it;
        struct zset_item item;
        zset_iter_init(&it, v, max ? zset_count(v) - 1 : 0, false);
        (void)zset_iter_next(&it, &item);
        struct slice argv[] = {SLICE_LIT("ZREM"), key, item.member};
        effect(c, 3, argv);
        return;
    }
    size_t from_len = num_format_i64(from, max ? -(int64_t)n : 0);
    size_t to_len = num_format_i64(to, max ? -1 : (int64_t)n - 1);
    struct slice argv[] = {SLICE_LIT("ZREMRANGEBYRANK"), key, slice_of(from, from_len), slice_of(to, to_len)};
    effect(c, 4, argv);
}

void zset_pop(struct call *c, struct place *p, uint64_t n, bool max, bool nested)
{
    struct value *v = place_change(c, p, VALUE_ZSET);
    uint64_t count = zset_count(v);
    struct zset_interval gone = {max ? count - n : 0, max ? count : n};
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, max ? count - 1 : 0, max);
    for (uint64_t i = 0; i < n && zset_iter_next(&it, &item); i++) {
        if (nested)
            reply_array(c, 2);
        reply_bulk(c, item.member);
        reply_double(c, item.score);
    }
    effect_popped(c, p->key.name, v, n, max);
    remove_ranks(c, p, gone, max ? "zpopmax" : "zpopmin");
}

static uint64_t at_most(const struct place *p, int64_t count)
{
    struct value v = place_value(p);
    return min_u64((uint64_t)count, zset_count(&v));
}

static void pop_run(struct call *c, bool max)
{
    int64_t count = 1;
    if (c->argc > 3) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 3 && !arg_range(c, c->argv[2], 0, INT64_MAX, &count, "ERR value is out of range, must be positive"))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_ZSET))
        return;
    bool nested = c->proto == 3 && c->argc == 3;
    uint64_t n = p.e != NULL ? at_most(&p, count) : 0;
    reply_array(c, nested ? n : 2 * n);
    if (n > 0)
        zset_pop(c, &p, n, max, nested);
}

static void zpopmin_run(struct call *c) { pop_run(c, false); }
static void zpopmax_run(struct call *c) { pop_run(c, true); }

bool zset_mpop_options(struct call *c, int at, struct zset_mpop *o)
{
    *o = (struct zset_mpop){.count = -1, .first = at + 1};
    if (!arg_range(c, c->argv[at], 1, INT64_MAX, &o->keys, "ERR numkeys should be greater than 0"))
        return false;
    if (o->keys >= c->argc - o->first)
        goto syntax;
    at = o->first + (int)o->keys;
    o->max = slice_is(c->argv[at], "max");
    if (!o->max && !slice_is(c->argv[at], "min"))
        goto syntax;
    for (at++; at < c->argc; at += 2) {
        if (o->count != -1 || !slice_is(c->argv[at], "count") || at + 1 == c->argc)
            goto syntax;
        if (!arg_range(c, c->argv[at + 1], 1, INT64_MAX, &o->count, "ERR count should be greater than 0"))
            return false;
    }
    if (o->count == -1)
        o->count = 1;
    return true;
syntax:
    reply_syntax(c);
    return false;
}

/* Whether it is done: popped, or an error. */
static bool mpop_from(struct call *c, const struct zset_mpop *o, int arg)
{
    struct place p = place_write(c, arg);
    if (!place_is(c, &p, VALUE_ZSET))
        return true;
    if (p.e == NULL)
        return false;
    reply_array(c, 2);
    reply_bulk(c, p.key.name);
    uint64_t n = at_most(&p, o->count);
    reply_array(c, n);
    zset_pop(c, &p, n, o->max, true);
    return true;
}

bool zset_mpop(struct call *c, const struct zset_mpop *o)
{
    int ready = call_ready_key(c);
    bool done = ready != 0 && mpop_from(c, o, ready);
    for (int i = 0; i < o->keys && !done; i++)
        done = mpop_from(c, o, o->first + i);
    return done;
}

static void zmpop_run(struct call *c)
{
    struct zset_mpop o;
    if (zset_mpop_options(c, 1, &o) && !zset_mpop(c, &o))
        reply_null_array(c);
}

/* --- ZRANDMEMBER --- */

static int compare_ranks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Knuth's algorithm S: each rank is taken with the chance (still wanted) / (still left). */
static void ranks_of_many(struct call *c, uint64_t count, uint64_t *ranks, uint64_t want)
{
    for (uint64_t i = 0, n = 0; n < want; i++)
        if (call_random(c) % (count - i) < want - n)
            ranks[n++] = i;
}

/* Draws until `want` different ones have come; they are at most a third of all. */
static void ranks_of_few(struct call *c, uint64_t count, uint64_t *ranks, uint64_t want)
{
    for (uint64_t n = 0; n < want;) {
        for (; n < want; n++)
            ranks[n] = call_random(c) % count;
        qsort(ranks, want, sizeof(*ranks), compare_ranks);
        n = 0;
        for (uint64_t i = 0; i < want; i++)
            if (n == 0 || ranks[i] != ranks[n - 1])
                ranks[n++] = ranks[i];
    }
}

static void reply_rank(struct call *c, const struct value *v, uint64_t rank, bool with_scores)
{
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, rank, false);
    if (zset_iter_next(&it, &item))
        reply_item(c, &item, with_scores);
}

static void reply_all(struct call *c, const struct value *v, bool with_scores)
{
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, 0, false);
    while (zset_iter_next(&it, &item))
        reply_item(c, &item, with_scores);
}

static void random_distinct(struct call *c, const struct value *v, uint64_t want, bool with_scores)
{
    uint64_t count = zset_count(v);
    if (want >= count) {
        reply_items(c, count, with_scores);
        reply_all(c, v, with_scores);
        return;
    }
    uint64_t *ranks = mem_alloc(want * sizeof(*ranks));
    want > count / 3 ? ranks_of_many(c, count, ranks, want) : ranks_of_few(c, count, ranks, want);
    reply_items(c, want, with_scores);
    for (uint64_t i = 0; i < want; i++)
        reply_rank(c, v, ranks[i], with_scores);
    mem_free(ranks, want * sizeof(*ranks));
}

static void random_any(struct call *c, const struct value *v, uint64_t want, bool with_scores)
{
    reply_items(c, want, with_scores);
    for (uint64_t i = 0; i < want; i++)
        reply_rank(c, v, call_random(c) % zset_count(v), with_scores);
}

static bool random_options_of(struct call *c, int64_t *count)
{
    if (!arg_i64(c, c->argv[2], count))
        return false;
    if (*count == INT64_MIN) {
        reply_errorf(c, "ERR value is out of range, value must between %" PRId64 " and %" PRId64, -INT64_MAX,
                     INT64_MAX);
        return false;
    }
    if (c->argc > 4 || (c->argc == 4 && !slice_is(c->argv[3], "withscores"))) {
        reply_syntax(c);
        return false;
    }
    if (c->argc == 4 && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) {
        reply_error(c, "ERR value is out of range");
        return false;
    }
    return true;
}

static void zrandmember_run(struct call *c)
{
    struct value v;
    int64_t count = 0;
    if (c->argc > 2 && !random_options_of(c, &count))
        return;
    bool exists = read_zset(c, 1, &v);
    if (c->failed)
        return;
    if (c->argc == 2 && exists)
        reply_rank(c, &v, call_random(c) % zset_count(&v), false);
    else if (c->argc == 2)
        reply_null(c);
    else if (!exists || count == 0)
        reply_array(c, 0);
    else if (count < -REPLY_REPEATS_MAX)
        reply_error(c, "ERR value is out of range");
    else if (count < 0)
        random_any(c, &v, (uint64_t)-count, c->argc == 4);
    else
        random_distinct(c, &v, (uint64_t)count, c->argc == 4);
}

/* --- ZSCAN --- */

struct scan {
    struct scan_options options;
    struct buf out;
    size_t replies;
};

static void scan_visit(void *arg, const struct zset_item *item)
{
    struct scan *s = arg;
    if (!scan_matches(&s->options, item->member))
        return;
    resp_bulk(&s->out, item->member);
    resp_double(&s->out, 2, item->score); /* as text in RESP3 too */
    s->replies += 2;
}

static void zscan_run(struct call *c)
{
    struct scan s = {.replies = 0};
    struct value v;
    uint64_t cursor;
    if (!scan_cursor_parse(c->argv[2], &cursor)) {
        reply_error(c, "ERR invalid cursor");
        return;
    }
    bool exists = read_zset(c, 1, &v);
    if (c->failed || (exists && !scan_options(c, 3, SCAN_ELEMENTS, &s.options)))
        return;
    cursor = exists ? zset_scan(&v, cursor, (uint64_t)s.options.count, scan_visit, &s) : 0;
    scan_reply(c, cursor, s.replies, &s.out);
}

/* --- declarations --- */

static const struct command_arg pop_args[] = {
    ARG("key", "key"),
    ARG("count", "integer", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg where_args[] = {
    ARG_TOKEN("min", "MIN"),
    ARG_TOKEN("max", "MAX"),
    ARG_END,
};
static const struct command_arg zmpop_args[] = {
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG_ONEOF("where", where_args),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg random_options[] = {
    ARG("count", "integer"),
    ARG_TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg random_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("options", random_options, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zscan_args[] = {
    ARG("key", "key"),
    ARG("cursor", "integer"),
    ARG("pattern", "pattern", .token = "MATCH", .flags = ARG_OPTIONAL),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command zset_pop_commands[] = {
    {.name = "zpopmin",
     .run = zpopmin_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_DELETE),
     .summary = "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if "
                "the last member was popped.",
     .since = "5.0.0",
     .complexity = "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of "
                   "elements popped.",
     .args = pop_args},
    {.name = "zpopmax",
     .run = zpopmax_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_DELETE),
     .summary = "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if "
                "the last member was popped.",
     .since = "5.0.0",
     .complexity = "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of "
                   "elements popped.",
     .args = pop_args},
    {.name = "zmpop",
     .run = zmpop_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .counted = true, .need = NEED_VALUE}},
     .summary = "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. "
                "Deletes the sorted set if the last member was popped.",
     .since = "7.0.0",
     .complexity = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the "
                   "sorted set, and M being the number of elements popped.",
     .args = zmpop_args},
    {.name = "zrandmember",
     .run = zrandmember_run,
     .arity = -2,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns one or more random members from a sorted set.",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of members returned",
     .tips = STRINGS("nondeterministic_output"),
     .args = random_args},
    {.name = "zscan",
     .run = zscan_run,
     .arity = -3,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Iterates over members and scores of a sorted set.",
     .since = "2.8.0",
     .complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor "
                   "to return back to 0. N is the number of elements inside the collection.",
     .tips = STRINGS("nondeterministic_output"),
     .args = zscan_args},
    {.name = NULL},
};
