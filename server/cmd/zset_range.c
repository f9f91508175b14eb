/* Ranges of sorted sets, by rank, score or bytes: ZRANGE and the commands that it replaces, ZRANGESTORE, ZREMRANGEBY*,
 * ZCOUNT, ZLEXCOUNT. Every range becomes an interval of ranks. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "server/cmd/store.h"
#include "server/cmd/zset.h"

enum range_by { BY_UNSET, BY_RANK, BY_SCORE, BY_LEX };
enum range_order { ORDER_UNSET, ORDER_FORWARD, ORDER_REVERSE };

struct range {
    enum range_by by;
    enum range_order order;
    bool with_scores;
    int64_t offset, limit; /* LIMIT; -1: all */
    union {
        struct {
            int64_t start, stop;
        };
        struct zset_scores scores;
        struct {
            struct zset_lex_bound min, max;
        };
    };
};

/* --- bounds --- */

/* As strtod reads it up to the end or a NUL, unlike a score: nothing is 0, leading blanks are skipped. */
static bool score_number(struct slice s, double *out)
{
    char near[128], *end;
    char *text = s.len < sizeof(near) ? near : mem_alloc(s.len + 1);
    if (s.len > 0)
        memcpy(text, s.p, s.len);
    text[s.len] = 0;
    *out = strtod(text, &end);
    bool good = *end == 0 && !isnan(*out);
    if (text != near)
        mem_free(text, s.len + 1);
    return good;
}

static bool score_bound(struct slice s, double *out, bool *open)
{
    *open = s.len > 0 && s.p[0] == '(';
    return score_number(*open ? slice_of(s.p + 1, s.len - 1) : s, out);
}

static bool lex_bound(struct slice s, struct zset_lex_bound *out)
{
    *out = (struct zset_lex_bound){.infinite = 0};
    if (s.len == 0)
        return false;
    if (s.p[0] == '+' || s.p[0] == '-') {
        out->infinite = s.p[0] == '+' ? 1 : -1;
        return s.len == 1;
    }
    out->open = s.p[0] == '(';
    out->member = slice_of(s.p + 1, s.len - 1);
    return out->open || s.p[0] == '[';
}

/* The bounds, as r->by says, in the order in which they stand; replies on failure. */
static bool parse_bounds(struct call *c, struct range *r, struct slice first, struct slice second)
{
    if (r->by == BY_RANK)
        return arg_i64(c, first, &r->start) && arg_i64(c, second, &r->stop);
    struct slice low = r->order == ORDER_REVERSE ? second : first, high = r->order == ORDER_REVERSE ? first : second;
    if (r->by == BY_SCORE) {
        if (score_bound(low, &r->scores.min, &r->scores.min_open) &&
            score_bound(high, &r->scores.max, &r->scores.max_open))
            return true;
        reply_error(c, "ERR min or max is not a float");
        return false;
    }
    if (lex_bound(low, &r->min) && lex_bound(high, &r->max))
        return true;
    reply_error(c, "ERR min or max not valid string range item");
    return false;
}

/* --- intervals --- */

/* Of indexes as clients give them, negative ones from the end. */
static struct zset_interval interval_of_indexes(uint64_t count, int64_t start, int64_t stop)
{
    int64_t n = (int64_t)count;
    if (start < 0)
        start = start + n < 0 ? 0 : start + n;
    if (stop < 0)
        stop += n;
    if (stop >= n)
        stop = n - 1;
    if (start > stop)
        return (struct zset_interval){0, 0};
    return (struct zset_interval){(uint64_t)start, (uint64_t)stop + 1};
}

static struct zset_interval selected(const struct value *v, const struct range *r)
{
    if (r->by == BY_SCORE)
        return zset_in_scores(v, &r->scores);
    if (r->by == BY_LEX)
        return zset_in_lex(v, r->min, r->max);
    uint64_t count = zset_count(v);
    struct zset_interval in = interval_of_indexes(count, r->start, r->stop);
    if (r->order == ORDER_REVERSE)
        in = (struct zset_interval){count - in.to, count - in.from};
    return in;
}

/* LIMIT counts in the direction of the walk. For ranks only one that lets all pass gets here; its offset means nothing.
 */
static struct zset_interval limited(struct zset_interval in, const struct range *r)
{
    if (r->by == BY_RANK)
        return in;
    uint64_t width = zset_width(in), skip = min_u64((uint64_t)r->offset, width); /* a negative offset skips all */
    uint64_t take = r->limit < 0 ? width - skip : min_u64((uint64_t)r->limit, width - skip);
    if (r->order == ORDER_REVERSE)
        return (struct zset_interval){in.to - skip - take, in.to - skip};
    return (struct zset_interval){in.from + skip, in.from + skip + take};
}

/* --- ZRANGE and family --- */

/* Options from argv[at] on, as far as the command has not settled them. `store`: no WITHSCORES. */
static bool range_options(struct call *c, struct range *r, int at, bool store)
{
    for (int i = at; i < c->argc; i++) {
        struct slice word = c->argv[i];
        if (!store && slice_is(word, "withscores")) {
            r->with_scores = true;
        } else if (slice_is(word, "limit") && c->argc - i > 2) {
            if (!arg_i64(c, c->argv[i + 1], &r->offset) || !arg_i64(c, c->argv[i + 2], &r->limit))
                return false;
            i += 2;
        } else if (r->order == ORDER_UNSET && slice_is(word, "rev")) {
            r->order = ORDER_REVERSE;
        } else if (r->by == BY_UNSET && slice_is(word, "bylex")) {
            r->by = BY_LEX;
        } else if (r->by == BY_UNSET && slice_is(word, "byscore")) {
            r->by = BY_SCORE;
        } else {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

/* `at`: where the bounds stand. */
static bool parse_range(struct call *c, struct range *r, int at, bool store)
{
    r->limit = -1;
    if (!range_options(c, r, at + 2, store))
        return false;
    if (r->order == ORDER_UNSET)
        r->order = ORDER_FORWARD;
    if (r->by == BY_UNSET)
        r->by = BY_RANK;
    if (r->limit != -1 && r->by == BY_RANK) {
        reply_error(c, "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
        return false;
    }
    if (r->with_scores && r->by == BY_LEX) {
        reply_error(c, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return parse_bounds(c, r, c->argv[at], c->argv[at + 1]);
}

static void reply_range(struct call *c, const struct value *v, struct zset_interval in, const struct range *r)
{
    struct zset_iter it;
    struct zset_item item;
    uint64_t n = zset_width(in);
    bool reverse = r->order == ORDER_REVERSE;
    reply_items(c, n, r->with_scores);
    if (n == 0)
        return;
    zset_iter_init(&it, v, reverse ? in.to - 1 : in.from, reverse);
    for (; n > 0 && zset_iter_next(&it, &item); n--)
        reply_item(c, &item, r->with_scores);
}

static void range_run(struct call *c, enum range_by by, enum range_order order)
{
    struct range r = {.by = by, .order = order};
    struct value v;
    if (!parse_range(c, &r, 2, false))
        return;
    if (read_zset(c, 1, &v))
        reply_range(c, &v, limited(selected(&v, &r), &r), &r);
    else if (!c->failed)
        reply_array(c, 0);
}

static void zrange_run(struct call *c) { range_run(c, BY_UNSET, ORDER_UNSET); }
static void zrevrange_run(struct call *c) { range_run(c, BY_RANK, ORDER_REVERSE); }
static void zrangebyscore_run(struct call *c) { range_run(c, BY_SCORE, ORDER_FORWARD); }
static void zrevrangebyscore_run(struct call *c) { range_run(c, BY_SCORE, ORDER_REVERSE); }
static void zrangebylex_run(struct call *c) { range_run(c, BY_LEX, ORDER_FORWARD); }
static void zrevrangebylex_run(struct call *c) { range_run(c, BY_LEX, ORDER_REVERSE); }

static struct value copy_of_range(struct call *c, const struct value *v, struct zset_interval in)
{
    struct zset_build *b = zset_build_new();
    struct zset_iter it;
    struct zset_item item;
    bool added;
    zset_iter_init(&it, v, in.from, false);
    for (uint64_t n = zset_width(in); n > 0 && zset_iter_next(&it, &item); n--)
        *zset_build_member(b, item.member, &added) = item.score;
    return zset_build_value(b, call_limits(c));
}

static void zrangestore_run(struct call *c)
{
    struct range r = {.by = BY_UNSET};
    struct value v;
    if (!parse_range(c, &r, 3, true))
        return;
    bool exists = read_zset(c, 2, &v);
    if (c->failed)
        return;
    struct value result = exists ? copy_of_range(c, &v, limited(selected(&v, &r), &r)) : zset_class.empty();
    store_result(c, 1, &result, EVENT_ZSET, "zrangestore");
}

/* --- counting, removing --- */

static void count_run(struct call *c, enum range_by by)
{
    struct range r = {.by = by};
    struct value v;
    if (!parse_bounds(c, &r, c->argv[2], c->argv[3]))
        return;
    if (read_zset(c, 1, &v))
        reply_int(c, (int64_t)zset_width(selected(&v, &r)));
    else if (!c->failed)
        reply_int(c, 0);
}

static void zcount_run(struct call *c) { count_run(c, BY_SCORE); }
static void zlexcount_run(struct call *c) { count_run(c, BY_LEX); }

static void remove_run(struct call *c, enum range_by by)
{
    struct range r = {.by = by};
    uint64_t removed = 0;
    if (!parse_bounds(c, &r, c->argv[2], c->argv[3]))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_ZSET))
        return;
    if (p.e != NULL) {
        struct value *v = place_change(c, &p, VALUE_ZSET);
        struct zset_interval in = selected(v, &r);
        removed = zset_width(in);
        if (removed > 0) {
            remove_ranks(c, &p, in, c->cmd->name);
            effect_verbatim(c); /* selects the same members where it is applied */
        } else {
            place_unchanged(c, &p);
        }
    }
    reply_int(c, (int64_t)removed);
}

static void zremrangebyrank_run(struct call *c) { remove_run(c, BY_RANK); }
static void zremrangebyscore_run(struct call *c) { remove_run(c, BY_SCORE); }
static void zremrangebylex_run(struct call *c) { remove_run(c, BY_LEX); }

/* --- declarations --- */

static const struct command_arg sort_by_args[] = {
    ARG_TOKEN("byscore", "BYSCORE"),
    ARG_TOKEN("bylex", "BYLEX"),
    ARG_END,
};
static const struct command_arg limit_args[] = {
    ARG("offset", "integer"),
    ARG("count", "integer"),
    ARG_END,
};
static const struct command_arg zrange_args[] = {
    ARG("key", "key"),
    ARG("start", "string"),
    ARG("stop", "string"),
    ARG_ONEOF("sortby", sort_by_args, .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("rev", "REV", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_BLOCK("limit", limit_args, .token = "LIMIT", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zrangestore_args[] = {
    ARG("dst", "key"),
    ARG("src", "key", .key_spec = 1),
    ARG("min", "string"),
    ARG("max", "string"),
    ARG_ONEOF("sortby", sort_by_args, .flags = ARG_OPTIONAL),
    ARG_TOKEN("rev", "REV", .flags = ARG_OPTIONAL),
    ARG_BLOCK("limit", limit_args, .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zrevrange_args[] = {
    ARG("key", "key"),
    ARG("start", "integer"),
    ARG("stop", "integer"),
    ARG_TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zrangebyscore_args[] = {
    ARG("key", "key"),
    ARG("min", "double"),
    ARG("max", "double"),
    ARG_TOKEN("withscores", "WITHSCORES", .since = "2.0.0", .flags = ARG_OPTIONAL),
    ARG_BLOCK("limit", limit_args, .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zrevrangebyscore_args[] = {
    ARG("key", "key"),
    ARG("max", "double"),
    ARG("min", "double"),
    ARG_TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
    ARG_BLOCK("limit", limit_args, .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zrangebylex_args[] = {
    ARG("key", "key"),
    ARG("min", "string"),
    ARG("max", "string"),
    ARG_BLOCK("limit", limit_args, .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg zrevrangebylex_args[] = {
    ARG("key", "key"),
    ARG("max", "string"),
    ARG("min", "string"),
    ARG_BLOCK("limit", limit_args, .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg index_range_args[] = {
    ARG("key", "key"),
    ARG("start", "integer"),
    ARG("stop", "integer"),
    ARG_END,
};
static const struct command_arg score_range_args[] = {
    ARG("key", "key"),
    ARG("min", "double"),
    ARG("max", "double"),
    ARG_END,
};
static const struct command_arg lex_range_args[] = {
    ARG("key", "key"),
    ARG("min", "string"),
    ARG("max", "string"),
    ARG_END,
};

struct command zset_range_commands[] = {
    {.name = "zrange",
     .run = zrange_run,
     .arity = -4,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members in a sorted set within a range of indexes.",
     .since = "1.2.0",
     .complexity =
         "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
     .args = zrange_args,
     .history = STRINGS(CHANGE("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options."))},
    {.name = "zrangestore",
     .run = zrangestore_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     ZSET,
     .keys = {{.flags = KEY_OW | KEY_UPDATE, .first = 1, .step = 1, .need = NEED_META},
              {.flags = KEY_RO | KEY_ACCESS, .first = 2, .step = 1, .need = NEED_VALUE}},
     .summary = "Stores a range of members from sorted set in a key.",
     .since = "6.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "stored into the destination key.",
     .args = zrangestore_args},
    {.name = "zrevrange",
     .run = zrevrange_run,
     .arity = -4,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members in a sorted set within a range of indexes in reverse order.",
     .since = "1.2.0",
     .complexity =
         "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
     .args = zrevrange_args,
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` argument"},
    {.name = "zrangebyscore",
     .run = zrangebyscore_run,
     .arity = -4,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members in a sorted set within a range of scores.",
     .since = "1.0.5",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you "
                   "can consider it O(log(N)).",
     .args = zrangebyscore_args,
     .history = STRINGS(CHANGE("2.0.0", "Added the `WITHSCORES` modifier.")),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `BYSCORE` argument"},
    {.name = "zrevrangebyscore",
     .run = zrevrangebyscore_run,
     .arity = -4,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members in a sorted set within a range of scores in reverse order.",
     .since = "2.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you "
                   "can consider it O(log(N)).",
     .args = zrevrangebyscore_args,
     .history = STRINGS(CHANGE("2.1.6", "`min` and `max` can be exclusive.")),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` and `BYSCORE` arguments"},
    {.name = "zrangebylex",
     .run = zrangebylex_run,
     .arity = -4,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members in a sorted set within a lexicographical range.",
     .since = "2.8.9",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you "
                   "can consider it O(log(N)).",
     .args = zrangebylex_args,
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `BYLEX` argument"},
    {.name = "zrevrangebylex",
     .run = zrevrangebylex_run,
     .arity = -4,
     .flags = CMD_READONLY,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members in a sorted set within a lexicographical range in reverse order.",
     .since = "2.8.9",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you "
                   "can consider it O(log(N)).",
     .args = zrevrangebylex_args,
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` and `BYLEX` arguments"},
    {.name = "zcount",
     .run = zcount_run,
     .arity = 4,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns the count of members in a sorted set that have scores within a range.",
     .since = "2.0.0",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .args = score_range_args},
    {.name = "zlexcount",
     .run = zlexcount_run,
     .arity = 4,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns the number of members in a sorted set within a lexicographical range.",
     .since = "2.8.9",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .args = lex_range_args},
    {.name = "zremrangebyrank",
     .run = zremrangebyrank_run,
     .arity = 4,
     .flags = CMD_WRITE,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .summary = "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were "
                "removed.",
     .since = "2.0.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "removed by the operation.",
     .args = index_range_args},
    {.name = "zremrangebyscore",
     .run = zremrangebyscore_run,
     .arity = 4,
     .flags = CMD_WRITE,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .summary = "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were "
                "removed.",
     .since = "1.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "removed by the operation.",
     .args = score_range_args},
    {.name = "zremrangebylex",
     .run = zremrangebylex_run,
     .arity = 4,
     .flags = CMD_WRITE,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .summary = "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members "
                "were removed.",
     .since = "2.8.9",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements "
                   "removed by the operation.",
     .args = lex_range_args},
    {.name = NULL},
};
