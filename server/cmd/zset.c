/* Sorted sets, member by member: ZADD, ZINCRBY, ZREM, ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK. */
#include "server/cmd/zset.h"

#include "core/base/num.h"
#include "server/words.h"

/* --- shared --- */

bool arg_double(struct call *c, struct slice s, double *out, const char *error)
{
    if (num_parse_double(s, out))
        return true;
    reply_error(c, error != NULL ? error : "ERR value is not a valid float");
    return false;
}

void reply_items(struct call *c, uint64_t n, bool with_scores)
{
    reply_array(c, with_scores && c->proto == 2 ? 2 * n : n);
}

void reply_item(struct call *c, const struct zset_item *item, bool with_scores)
{
    if (with_scores && c->proto == 3)
        reply_array(c, 2);
    reply_bulk(c, item->member);
    if (with_scores)
        reply_double(c, item->score);
}

bool read_zset(struct call *c, int arg, struct value *v)
{
    struct place p = place_read(c, arg);
    if (p.e == NULL || !place_is(c, &p, VALUE_ZSET))
        return false;
    *v = place_value(&p);
    return true;
}

void remove_ranks(struct call *c, struct place *p, struct zset_interval in, const char *event)
{
    if (zset_width(in) < zset_count(&p->value)) {
        zset_remove_ranks(&p->value, in);
        place_changed(c, p, EVENT_ZSET, event);
    } else {
        place_unchanged(c, p);
        place_emptied(c, p, EVENT_ZSET, event);
    }
}

/* --- ZADD, ZINCRBY --- */

struct add_options {
    int flags;   /* of zset_add */
    bool change; /* CH: count the updated ones too */
    int at;      /* where the scores begin */
};

static int add_word(struct slice word)
{
    static const struct {
        const char *word;
        int flag;
    } words[] = {{"nx", ZSET_NX}, {"xx", ZSET_XX}, {"gt", ZSET_GT}, {"lt", ZSET_LT}, {"incr", ZSET_INCR}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_is(word, words[i].word))
            return words[i].flag;
    return 0;
}

static void add_words(struct call *c, struct add_options *o)
{
    for (; o->at < c->argc; o->at++) {
        int flag = add_word(c->argv[o->at]);
        if (flag == 0 && !slice_is(c->argv[o->at], "ch"))
            return;
        o->flags |= flag;
        o->change |= flag == 0;
    }
}

static const char *add_error(const struct call *c, const struct add_options *o)
{
    int pairs = c->argc - o->at;
    bool nx = o->flags & ZSET_NX, gt = o->flags & ZSET_GT, lt = o->flags & ZSET_LT;
    if (pairs % 2 != 0 || pairs == 0)
        return "ERR syntax error";
    if (nx && (o->flags & ZSET_XX))
        return "ERR XX and NX options at the same time are not compatible";
    if ((gt && nx) || (lt && nx) || (gt && lt))
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    if ((o->flags & ZSET_INCR) && pairs > 2)
        return "ERR INCR option supports a single increment-element pair";
    return NULL;
}

struct added {
    uint64_t added, updated;
    enum zset_added last;
    double score; /* of the last one */
};

/* Adds all pairs; what was done to which is put into `w` as the arguments of a ZADD. */
static void add_pairs(struct call *c, struct value *v, const struct add_options *o, struct added *done, struct words *w)
{
    for (int i = o->at; i < c->argc; i += 2) {
        (void)num_parse_double(c->argv[i], &done->score); /* all have been checked */
        done->last = zset_add(v, call_limits(c), c->argv[i + 1], &done->score, o->flags);
        done->added += done->last == ZSET_ADDED;
        done->updated += done->last == ZSET_UPDATED;
        if (w == NULL || (done->last != ZSET_ADDED && done->last != ZSET_UPDATED))
            continue;
        words_add_double(w, done->score);
        words_add(w, c->argv[i + 1]);
    }
}

static void finish_add(struct call *c, struct place *p, const struct add_options *o, const struct added *done)
{
    if (done->added + done->updated > 0)
        place_changed(c, p, EVENT_ZSET, o->flags & ZSET_INCR ? "zincr" : "zadd");
    else
        place_unchanged(c, p);
}

/* Without options the call itself is what is recorded. */
static void add_plain(struct call *c, struct place *p, const struct add_options *o, struct added *done)
{
    add_pairs(c, place_change(c, p, VALUE_ZSET), o, done, NULL);
    finish_add(c, p, o, done);
    if (done->added + done->updated > 0)
        effect_verbatim(c);
}

static void add_judged(struct call *c, struct place *p, const struct add_options *o, struct added *done)
{
    struct words w;
    words_init(&w);
    words_add_str(&w, "ZADD");
    words_add(&w, p->key.name);
    add_pairs(c, place_change(c, p, VALUE_ZSET), o, done, &w);
    finish_add(c, p, o, done);
    if (done->added + done->updated > 0)
        effect(c, w.n, w.at);
    words_free(&w);
}

static void reply_added(struct call *c, const struct add_options *o, const struct added *done)
{
    if (!(o->flags & ZSET_INCR))
        reply_int(c, (int64_t)(done->added + (o->change ? done->updated : 0)));
    else if (done->last == ZSET_NAN)
        reply_error(c, "ERR resulting score is not a number (NaN)");
    else if (done->last == ZSET_REFUSED)
        reply_null(c);
    else
        reply_double(c, done->score);
}

static void add_run(struct call *c, int flags)
{
    struct add_options o = {.flags = flags, .at = 2};
    struct added done = {.last = ZSET_REFUSED};
    double score;
    add_words(c, &o);
    const char *error = add_error(c, &o);
    if (error != NULL) {
        reply_error(c, error);
        return;
    }
    for (int i = o.at; i < c->argc; i += 2)
        if (!arg_double(c, c->argv[i], &score, NULL))
            return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_ZSET))
        return;
    if (o.flags == 0 && o.at == 2)
        add_plain(c, &p, &o, &done);
    else if (p.e != NULL || !(o.flags & ZSET_XX))
        add_judged(c, &p, &o, &done);
    reply_added(c, &o, &done);
}

void zadd_run(struct call *c) { add_run(c, 0); }
static void zincrby_run(struct call *c) { add_run(c, ZSET_INCR); }

/* --- ZREM --- */

static void zrem_run(struct call *c)
{
    int64_t removed = 0;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_ZSET))
        return;
    if (p.e != NULL) {
        struct value *v = place_change(c, &p, VALUE_ZSET);
        for (int i = 2; i < c->argc; i++)
            removed += zset_remove(v, c->argv[i]);
        if (removed > 0) {
            place_changed(c, &p, EVENT_ZSET, "zrem");
            effect_verbatim(c);
        } else {
            place_unchanged(c, &p);
        }
    }
    reply_int(c, removed);
}

/* --- one member --- */

static void zcard_run(struct call *c)
{
    struct value v;
    if (read_zset(c, 1, &v))
        reply_int(c, (int64_t)zset_count(&v));
    else if (!c->failed)
        reply_int(c, 0);
}

static void reply_score(struct call *c, bool there, double score)
{
    if (there)
        reply_double(c, score);
    else
        reply_null(c);
}

static void zscore_run(struct call *c)
{
    struct value v;
    double score = 0;
    bool there = read_zset(c, 1, &v) && zset_score(&v, c->argv[2], &score);
    if (!c->failed)
        reply_score(c, there, score);
}

static void zmscore_run(struct call *c)
{
    struct value v;
    bool exists = read_zset(c, 1, &v);
    if (c->failed)
        return;
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        double score = 0;
        bool there = exists && zset_score(&v, c->argv[i], &score);
        reply_score(c, there, score);
    }
}

static void rank_run(struct call *c, bool reverse)
{
    struct value v;
    uint64_t rank;
    double score;
    if (c->argc > 4) {
        reply_wrong_arity(c);
        return;
    }
    if (c->argc == 4 && !slice_is(c->argv[3], "withscore")) {
        reply_syntax(c);
        return;
    }
    bool with_score = c->argc == 4;
    bool there = read_zset(c, 1, &v) && zset_rank(&v, c->argv[2], &rank, &score);
    if (c->failed)
        return;
    if (!there) {
        with_score ? reply_null_array(c) : reply_null(c);
        return;
    }
    if (with_score)
        reply_array(c, 2);
    reply_int(c, (int64_t)(reverse ? zset_count(&v) - 1 - rank : rank));
    if (with_score)
        reply_double(c, score);
}

static void zrank_run(struct call *c) { rank_run(c, false); }
static void zrevrank_run(struct call *c) { rank_run(c, true); }

/* --- declarations --- */

static void prefetch_member(const struct value *v, const struct slice *argv, int argc, int step)
{
    if (argc > 2 && v->type == VALUE_ZSET)
        zset_prefetch(v, argv[2], step);
}

/* Of ZADD and ZINCRBY, whose member is the last argument if there is just one. */
static void prefetch_added(const struct value *v, const struct slice *argv, int argc, int step)
{
    if (argc >= 4 && v->type == VALUE_ZSET)
        zset_prefetch(v, argv[argc - 1], step);
}

static const struct command_arg condition_args[] = {
    ARG_TOKEN("nx", "NX"),
    ARG_TOKEN("xx", "XX"),
    ARG_END,
};
static const struct command_arg comparison_args[] = {
    ARG_TOKEN("gt", "GT"),
    ARG_TOKEN("lt", "LT"),
    ARG_END,
};
static const struct command_arg score_member_args[] = {
    ARG("score", "double"),
    ARG("member", "string"),
    ARG_END,
};
static const struct command_arg zadd_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("condition", condition_args, .since = "3.0.2", .flags = ARG_OPTIONAL),
    ARG_ONEOF("comparison", comparison_args, .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("change", "CH", .since = "3.0.2", .flags = ARG_OPTIONAL),
    ARG_TOKEN("increment", "INCR", .since = "3.0.2", .flags = ARG_OPTIONAL),
    ARG_BLOCK("data", score_member_args, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg zincrby_args[] = {
    ARG("key", "key"),
    ARG("increment", "integer"),
    ARG("member", "string"),
    ARG_END,
};
static const struct command_arg key_member_args[] = {
    ARG("key", "key"),
    ARG("member", "string"),
    ARG_END,
};
static const struct command_arg key_members_args[] = {
    ARG("key", "key"),
    ARG("member", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg rank_args[] = {
    ARG("key", "key"),
    ARG("member", "string"),
    ARG_TOKEN("withscore", "WITHSCORE", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command zset_commands[] = {
    {.name = "zadd",
     .run = zadd_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_UPDATE),
     .prefetch = prefetch_added,
     .summary =
         "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.",
     .since = "1.2.0",
     .complexity = "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
     .args = zadd_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple elements."),
                        CHANGE("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
                        CHANGE("6.2.0", "Added the `GT` and `LT` options."))},
    {.name = "zincrby",
     .run = zincrby_run,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     .prefetch = prefetch_added,
     .summary = "Increments the score of a member in a sorted set.",
     .since = "1.2.0",
     .complexity = "O(log(N)) where N is the number of elements in the sorted set.",
     .args = zincrby_args},
    {.name = "zrem",
     .run = zrem_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .prefetch = prefetch_member,
     .summary = "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
     .since = "1.2.0",
     .complexity = "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to "
                   "be removed.",
     .args = key_members_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple elements."))},
    {.name = "zcard",
     .run = zcard_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO),
     .summary = "Returns the number of members in a sorted set.",
     .since = "1.2.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "zscore",
     .run = zscore_run,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .prefetch = prefetch_member,
     .summary = "Returns the score of a member in a sorted set.",
     .since = "1.2.0",
     .complexity = "O(1)",
     .args = key_member_args},
    {.name = "zmscore",
     .run = zmscore_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns the score of one or more members in a sorted set.",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of members being requested.",
     .args = key_members_args},
    {.name = "zrank",
     .run = zrank_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .prefetch = prefetch_member,
     .summary = "Returns the index of a member in a sorted set ordered by ascending scores.",
     .since = "2.0.0",
     .complexity = "O(log(N))",
     .args = rank_args,
     .history = STRINGS(CHANGE("7.2.0", "Added the optional `WITHSCORE` argument."))},
    {.name = "zrevrank",
     .run = zrevrank_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     ZSET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .prefetch = prefetch_member,
     .summary = "Returns the index of a member in a sorted set ordered by descending scores.",
     .since = "2.0.0",
     .complexity = "O(log(N))",
     .args = rank_args,
     .history = STRINGS(CHANGE("7.2.0", "Added the optional `WITHSCORE` argument."))},
    {.name = NULL},
};
