/* Several sorted sets, or sets, whose members count with score 1: ZUNION, ZINTER, ZDIFF, with *STORE, and ZINTERCARD.
 * The result is gathered (zset_build) and then replied or stored. */
#include <math.h>

#include "core/base/mem.h"
#include "core/value/set.h"
#include "server/cmd/store.h"
#include "server/cmd/zset.h"

/* --- sources --- */

/* A sorted set, or a set; of a missing key nothing but `exists` is there. */
struct source {
    struct value v;
    bool exists;
    double weight;
};

static bool is_set(const struct source *s) { return s->v.type == VALUE_SET; }

static uint64_t source_count(const struct source *s)
{
    if (!s->exists)
        return 0;
    return is_set(s) ? set_count(&s->v) : zset_count(&s->v);
}

static bool source_score(const struct source *s, struct slice member, double *score)
{
    if (!s->exists)
        return false;
    if (!is_set(s))
        return zset_score(&s->v, member, score);
    *score = 1;
    return set_has(&s->v, pack_str(member));
}

/* All members, each once. */
struct source_iter {
    const struct source *s;
    struct zset_iter zset;
    struct set_iter set;
    char scratch[PACK_TEXT_MAX];
};

static void source_iter_init(struct source_iter *it, const struct source *s)
{
    it->s = s;
    if (s->exists && is_set(s))
        set_iter_init(&it->set, &s->v);
    else if (s->exists)
        zset_iter_init(&it->zset, &s->v, 0, false);
}

/* The item is borrowed until the next call. */
static bool source_iter_next(struct source_iter *it, struct zset_item *out)
{
    struct pack_item member;
    if (!it->s->exists)
        return false;
    if (!is_set(it->s))
        return zset_iter_next(&it->zset, out);
    if (!set_iter_next(&it->set, &member))
        return false;
    *out = (struct zset_item){pack_text(member, it->scratch), 1};
    return true;
}

static bool open_source(struct call *c, int arg, struct source *s)
{
    struct place p = place_read(c, arg);
    *s = (struct source){.exists = p.e != NULL, .weight = 1};
    if (p.e == NULL)
        return true;
    if (p.e->type != VALUE_SET && !place_is(c, &p, VALUE_ZSET))
        return false;
    s->v = place_value(&p);
    return true;
}

/* --- the calls --- */

enum operation { OP_UNION, OP_INTER, OP_DIFF, OP_INTERCARD };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct algebra {
    enum operation op;
    bool store;
    struct source *sources;
    int n;
    enum aggregate aggregate;
    bool with_scores;
    int64_t limit; /* of ZINTERCARD; 0: none */
};

/* 0 * inf is 0. */
static double weighted(const struct source *s, double score)
{
    double v = s->weight * score;
    return isnan(v) ? 0 : v;
}

static double aggregated(enum aggregate how, double a, double b)
{
    if (how == AGGREGATE_MIN)
        return b < a ? b : a;
    if (how == AGGREGATE_MAX)
        return b > a ? b : a;
    return isnan(a + b) ? 0 : a + b; /* inf - inf is 0 */
}

static bool weights(struct call *c, struct algebra *a, int at)
{
    for (int i = 0; i < a->n; i++)
        if (!arg_double(c, c->argv[at + i], &a->sources[i].weight, "ERR weight value is not a float"))
            return false;
    return true;
}

static bool aggregate_word(struct slice word, enum aggregate *out)
{
    static const char *const words[] = {[AGGREGATE_SUM] = "sum", [AGGREGATE_MIN] = "min", [AGGREGATE_MAX] = "max"};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (slice_is(word, words[i])) {
            *out = (enum aggregate)i;
            return true;
        }
    return false;
}

/* What an option at argv[at] takes, itself included; 0: it is none, or is wrong and that has been replied. */
static int option(struct call *c, struct algebra *a, int at)
{
    struct slice word = c->argv[at];
    int left = c->argc - at;
    bool scored = a->op == OP_UNION || a->op == OP_INTER;
    if (scored && left >= a->n + 1 && slice_is(word, "weights"))
        return weights(c, a, at + 1) ? a->n + 1 : 0;
    if (scored && left >= 2 && slice_is(word, "aggregate"))
        return aggregate_word(c->argv[at + 1], &a->aggregate) ? 2 : 0;
    if (a->op == OP_INTERCARD && left >= 2 && slice_is(word, "limit"))
        return arg_range(c, c->argv[at + 1], 0, INT64_MAX, &a->limit, "ERR LIMIT can't be negative") ? 2 : 0;
    if (a->op != OP_INTERCARD && !a->store && slice_is(word, "withscores")) {
        a->with_scores = true;
        return 1;
    }
    return 0;
}

static bool options(struct call *c, struct algebra *a, int at)
{
    while (at < c->argc) {
        int taken = option(c, a, at);
        if (taken == 0) {
            if (!c->failed)
                reply_syntax(c);
            return false;
        }
        at += taken;
    }
    return true;
}

/* How many sources there are, at argv[at]; replies on failure. */
static bool source_number(struct call *c, int at, int *out)
{
    int64_t n;
    if (!arg_i64(c, c->argv[at], &n))
        return false;
    if (n < 1) {
        reply_errorf(c, "ERR at least 1 input key is needed for '%s' command", c->cmd->full_name);
        return false;
    }
    if (n > c->argc - at - 1) {
        reply_syntax(c);
        return false;
    }
    *out = (int)n;
    return true;
}

static bool open_sources(struct call *c, struct algebra *a, int at)
{
    for (int i = 0; i < a->n; i++)
        if (!open_source(c, at + i, &a->sources[i]))
            return false;
    return true;
}

/* The smallest first, equal ones as they came: that is also the order in which scores are added up, as in Redis. */
static void sort_sources(struct algebra *a)
{
    for (int i = 1; i < a->n; i++) {
        struct source s = a->sources[i];
        int j = i;
        for (; j > 0 && source_count(&a->sources[j - 1]) > source_count(&s); j--)
            a->sources[j] = a->sources[j - 1];
        a->sources[j] = s;
    }
}

/* --- the operations --- */

static void gather_union(const struct algebra *a, struct zset_build *b)
{
    for (int i = 0; i < a->n; i++) {
        struct source_iter it;
        struct zset_item item;
        bool added;
        source_iter_init(&it, &a->sources[i]);
        while (source_iter_next(&it, &item)) {
            double *score = zset_build_member(b, item.member, &added), own = weighted(&a->sources[i], item.score);
            *score = added ? own : aggregated(a->aggregate, *score, own);
        }
    }
}

/* Whether the member is in all sources but the first; *score is aggregated with its scores there. As in Redis, 0 * inf
 * makes a sum 0 here, and is passed over by a minimum or maximum. */
static bool in_all_others(const struct algebra *a, struct slice member, double *score)
{
    double other;
    for (int i = 1; i < a->n; i++) {
        if (!source_score(&a->sources[i], member, &other))
            return false;
        *score = aggregated(a->aggregate, *score, a->sources[i].weight * other);
    }
    return true;
}

static bool in_no_other(const struct algebra *a, struct slice member)
{
    double other;
    for (int i = 1; i < a->n; i++)
        if (source_score(&a->sources[i], member, &other))
            return false;
    return true;
}

static void gather_inter(const struct algebra *a, struct zset_build *b)
{
    struct source_iter it;
    struct zset_item item;
    bool added;
    source_iter_init(&it, &a->sources[0]);
    while (source_iter_next(&it, &item)) {
        double score = weighted(&a->sources[0], item.score);
        if (in_all_others(a, item.member, &score))
            *zset_build_member(b, item.member, &added) = score;
    }
}

static void gather_diff(const struct algebra *a, struct zset_build *b)
{
    struct source_iter it;
    struct zset_item item;
    bool added;
    source_iter_init(&it, &a->sources[0]);
    while (source_iter_next(&it, &item))
        if (in_no_other(a, item.member))
            *zset_build_member(b, item.member, &added) = item.score;
}

static uint64_t count_inter(const struct algebra *a)
{
    struct source_iter it;
    struct zset_item item;
    uint64_t n = 0;
    source_iter_init(&it, &a->sources[0]);
    while ((a->limit == 0 || n < (uint64_t)a->limit) && source_iter_next(&it, &item)) {
        double score = 0;
        n += in_all_others(a, item.member, &score);
    }
    return n;
}

static struct value result_of(struct call *c, const struct algebra *a)
{
    static void (*const gather[])(const struct algebra *, struct zset_build *) = {
        [OP_UNION] = gather_union, [OP_INTER] = gather_inter, [OP_DIFF] = gather_diff};
    struct zset_build *b = zset_build_new();
    gather[a->op](a, b);
    return zset_build_value(b, call_limits(c));
}

static void reply_result(struct call *c, struct value *v, bool with_scores)
{
    struct zset_iter it;
    struct zset_item item;
    reply_items(c, zset_count(v), with_scores);
    zset_iter_init(&it, v, 0, false);
    while (zset_iter_next(&it, &item))
        reply_item(c, &item, with_scores);
    zset_class.release(v);
}

static void answer(struct call *c, struct algebra *a)
{
    if (a->op != OP_DIFF)
        sort_sources(a);
    if (a->op == OP_INTERCARD) {
        reply_int(c, (int64_t)count_inter(a));
        return;
    }
    struct value v = result_of(c, a);
    if (a->store)
        store_result(c, 1, &v, EVENT_ZSET, c->cmd->name);
    else
        reply_result(c, &v, a->with_scores);
}

static void algebra_run(struct call *c, enum operation op, bool store)
{
    struct algebra a = {.op = op, .store = store};
    int at = store ? 2 : 1;
    if (!source_number(c, at, &a.n))
        return;
    size_t bytes = sizeof(*a.sources) * (size_t)a.n;
    a.sources = mem_alloc(bytes);
    if (open_sources(c, &a, at + 1) && options(c, &a, at + 1 + a.n))
        answer(c, &a);
    mem_free(a.sources, bytes);
}

static void zunion_run(struct call *c) { algebra_run(c, OP_UNION, false); }
static void zinter_run(struct call *c) { algebra_run(c, OP_INTER, false); }
static void zdiff_run(struct call *c) { algebra_run(c, OP_DIFF, false); }
static void zintercard_run(struct call *c) { algebra_run(c, OP_INTERCARD, false); }
static void zunionstore_run(struct call *c) { algebra_run(c, OP_UNION, true); }
static void zinterstore_run(struct call *c) { algebra_run(c, OP_INTER, true); }
static void zdiffstore_run(struct call *c) { algebra_run(c, OP_DIFF, true); }

/* --- declarations --- */

#define SOURCES(i)                                                                      \
    {                                                                                   \
        .flags = KEY_RO | KEY_ACCESS, .first = (i), .counted = true, .need = NEED_VALUE \
    }
#define KEYS_READ  \
    {              \
        SOURCES(1) \
    }
#define KEYS_STORE                                                                           \
    {                                                                                        \
        {.flags = KEY_OW | KEY_UPDATE, .first = 1, .step = 1, .need = NEED_META}, SOURCES(2) \
    }

static const struct command_arg aggregate_args[] = {
    ARG_TOKEN("sum", "SUM"),
    ARG_TOKEN("min", "MIN"),
    ARG_TOKEN("max", "MAX"),
    ARG_END,
};
#define SCORED_ARGS                                                                     \
    ARG("weight", "integer", .token = "WEIGHTS", .flags = ARG_OPTIONAL | ARG_MULTIPLE), \
        ARG_ONEOF("aggregate", aggregate_args, .token = "AGGREGATE", .flags = ARG_OPTIONAL)
static const struct command_arg union_args[] = {
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    SCORED_ARGS,
    ARG_TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg union_store_args[] = {
    ARG("destination", "key"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .key_spec = 1, .flags = ARG_MULTIPLE),
    SCORED_ARGS,
    ARG_END,
};
static const struct command_arg diff_args[] = {
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG_TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg diff_store_args[] = {
    ARG("destination", "key"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .key_spec = 1, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg intercard_args[] = {
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG("limit", "integer", .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command zset_store_commands[] = {
    {.name = "zunion",
     .run = zunion_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_READ,
     .summary = "Returns the union of multiple sorted sets.",
     .since = "6.2.0",
     .complexity = "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the "
                   "number of elements in the resulting sorted set.",
     .args = union_args},
    {.name = "zunionstore",
     .run = zunionstore_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_STORE,
     .summary = "Stores the union of multiple sorted sets in a key.",
     .since = "2.0.0",
     .complexity = "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the "
                   "number of elements in the resulting sorted set.",
     .args = union_store_args},
    {.name = "zinter",
     .run = zinter_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_READ,
     .summary = "Returns the intersect of multiple sorted sets.",
     .since = "6.2.0",
     .complexity = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of "
                   "input sorted sets and M being the number of elements in the resulting sorted set.",
     .args = union_args},
    {.name = "zinterstore",
     .run = zinterstore_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_STORE,
     .summary = "Stores the intersect of multiple sorted sets in a key.",
     .since = "2.0.0",
     .complexity = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of "
                   "input sorted sets and M being the number of elements in the resulting sorted set.",
     .args = union_store_args},
    {.name = "zdiff",
     .run = zdiff_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_READ,
     .summary = "Returns the difference between multiple sorted sets.",
     .since = "6.2.0",
     .complexity = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the "
                   "size of the first set, and K is the size of the result set.",
     .args = diff_args},
    {.name = "zdiffstore",
     .run = zdiffstore_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_STORE,
     .summary = "Stores the difference of multiple sorted sets in a key.",
     .since = "6.2.0",
     .complexity = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the "
                   "size of the first set, and K is the size of the result set.",
     .args = diff_store_args},
    {.name = "zintercard",
     .run = zintercard_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = KEYS_READ,
     .summary = "Returns the number of members of the intersect of multiple sorted sets.",
     .since = "7.0.0",
     .complexity =
         "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
     .args = intercard_args},
    {.name = NULL},
};
