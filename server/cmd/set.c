/* Commands on one set, and SMOVE. Those on several are in set_algebra.c. */
#include "core/value/set.h"

#include "core/base/num.h"
#include "core/base/rng.h"
#include "server/reply.h"
#include "server/scan.h"
#include "server/words.h"

#define EFFECT_MEMBERS 1024 /* of one SREM */

static void effect_words(struct call *c, struct words *w) { effect(c, w->n, w->at); }

static void effect_member(struct call *c, const char *verb, struct slice key, struct slice member)
{
    struct slice argv[] = {slice_str(verb), key, member};
    effect(c, 3, argv);
}

static struct rng rng_of(struct call *c)
{
    struct rng rng;
    rng_seed(&rng, call_random(c));
    return rng;
}

static void reply_member(struct call *c, struct pack_item member)
{
    if (member.is_int)
        resp_bulk_int(c->out, member.integer);
    else
        reply_bulk(c, member.bytes);
}

/* --- SADD, SREM, SMOVE --- */

static void changed_or_not(struct call *c, struct place *p, int64_t changes, const char *event)
{
    if (changes > 0) {
        place_changed(c, p, EVENT_SET, event);
        effect_verbatim(c);
    } else {
        place_unchanged(c, p);
    }
    reply_int(c, changes);
}

static void sadd_run(struct call *c)
{
    struct place p = place_write(c, 1);
    int64_t added = 0;
    if (!place_is(c, &p, VALUE_SET))
        return;
    struct value *v = place_change(c, &p, VALUE_SET);
    set_expect(v, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        added += set_add(v, pack_str(c->argv[i]), call_limits(c));
    changed_or_not(c, &p, added, "sadd");
}

static void srem_run(struct call *c)
{
    struct place p = place_write(c, 1);
    int64_t removed = 0;
    if (!place_is(c, &p, VALUE_SET))
        return;
    if (p.e == NULL) {
        reply_int(c, 0);
        return;
    }
    struct value *v = place_change(c, &p, VALUE_SET);
    for (int i = 2; i < c->argc; i++)
        removed += set_remove(v, pack_str(c->argv[i]));
    changed_or_not(c, &p, removed, "srem");
}

static bool take_member(struct call *c, struct place *p, struct slice member)
{
    struct value *v = place_change(c, p, VALUE_SET);
    bool removed = set_remove(v, pack_str(member));
    if (!removed) {
        place_unchanged(c, p);
        return false;
    }
    effect_member(c, "SREM", p->key.name, member);
    place_changed(c, p, EVENT_SET, "srem");
    return true;
}

static void give_member(struct call *c, struct place *p, struct slice member)
{
    struct value *v = place_change(c, p, VALUE_SET);
    if (!set_add(v, pack_str(member), call_limits(c))) {
        place_unchanged(c, p);
        return;
    }
    effect_member(c, "SADD", p->key.name, member);
    place_changed(c, p, EVENT_SET, "sadd");
}

static void smove_run(struct call *c)
{
    struct place src = place_write(c, 1);
    struct slice member = c->argv[3];
    if (src.e == NULL) {
        reply_int(c, 0);
        return;
    }
    struct place dst = place_write(c, 2);
    if (!place_is(c, &src, VALUE_SET) || !place_is(c, &dst, VALUE_SET))
        return;
    if (slice_eq(src.key.name, dst.key.name)) {
        struct value v = place_value(&src);
        reply_int(c, set_has(&v, pack_str(member)));
        return;
    }
    bool moved = take_member(c, &src, member);
    if (moved)
        give_member(c, &dst, member);
    reply_int(c, moved);
}

/* --- reading --- */

/* The set in argv[1]; `v` has no members if there is none. False after an error. */
static bool read_set(struct call *c, struct value *v)
{
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_SET))
        return false;
    *v = p.e != NULL ? place_value(&p) : set_class.empty();
    return true;
}

static void sismember_run(struct call *c)
{
    struct value v;
    if (read_set(c, &v))
        reply_int(c, set_has(&v, pack_str(c->argv[2])));
}

static void smismember_run(struct call *c)
{
    struct value v;
    struct set_finder f;
    struct set_batch b;
    if (!read_set(c, &v))
        return;
    reply_array(c, (size_t)c->argc - 2);
    set_finder_init(&f, &v, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i += (int)b.n) {
        b.hashed = false;
        for (b.n = 0; b.n < SET_BATCH && i + (int)b.n < c->argc; b.n++)
            b.member[b.n] = pack_str(c->argv[i + (int)b.n]);
        uint32_t found = set_find(&f, &b, set_batch_all(&b));
        for (unsigned j = 0; j < b.n; j++)
            reply_int(c, found >> j & 1);
    }
    set_finder_free(&f);
}

static void scard_run(struct call *c)
{
    struct value v;
    if (read_set(c, &v))
        reply_int(c, (int64_t)set_count(&v));
}

static void reply_all(struct call *c, const struct value *v)
{
    struct set_iter it;
    struct pack_item member;
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member))
        reply_member(c, member);
}

static void smembers_run(struct call *c)
{
    struct value v;
    if (!read_set(c, &v))
        return;
    reply_set(c, set_count(&v));
    reply_all(c, &v);
}

struct sscan {
    const struct scan_options *o;
    struct buf out;
    size_t found, seen;
};

static void sscan_visit(void *arg, struct pack_item member)
{
    struct sscan *s = arg;
    char scratch[PACK_TEXT_MAX];
    struct slice text = pack_text(member, scratch);
    s->seen++;
    if (!scan_matches(s->o, text))
        return;
    resp_bulk(&s->out, text);
    s->found++;
}

static void sscan_run(struct call *c)
{
    struct scan_options o;
    struct sscan s = {.o = &o};
    uint64_t cursor;
    if (!scan_cursor_parse(c->argv[2], &cursor)) {
        reply_error(c, "ERR invalid cursor");
        return;
    }
    struct place p = place_read(c, 1);
    if (p.e == NULL) {
        scan_reply(c, 0, 0, &s.out);
        return;
    }
    if (!place_is(c, &p, VALUE_SET) || !scan_options(c, 3, SCAN_ELEMENTS, &o))
        return;
    struct value v = place_value(&p);
    uint64_t rounds = (uint64_t)o.count * 10;
    do
        cursor = set_scan(&v, cursor, sscan_visit, &s);
    while (cursor != 0 && s.seen < (uint64_t)o.count && --rounds > 0);
    scan_reply(c, cursor, s.found, &s.out);
}

/* --- SRANDMEMBER --- */

/* `want` different ones, each subset with the same probability: a walk that takes each member with the probability that
 * the rest of the choice asks for. */
static void choose_by_walking(struct call *c, const struct value *v, uint64_t want)
{
    struct rng rng = rng_of(c);
    struct set_iter it;
    struct pack_item member;
    uint64_t left = set_count(v);
    set_iter_init(&it, v);
    for (; want > 0 && set_iter_next(&it, &member); left--)
        if (rng_below(&rng, left) < want) {
            reply_member(c, member);
            want--;
        }
}

/* The same by drawing again what has been drawn before: for few out of many. */
static void choose_by_drawing(struct call *c, const struct value *v, uint64_t want)
{
    struct rng rng = rng_of(c);
    struct value drawn = set_class.empty();
    while (want > 0) {
        struct pack_item member = set_random(v, &rng);
        if (!set_add(&drawn, member, call_limits(c)))
            continue;
        reply_member(c, member);
        want--;
    }
    set_class.release(&drawn);
}

#define DRAWING_PAYS 8 /* when so many times as many are there as are wanted */

static void reply_distinct(struct call *c, const struct value *v, uint64_t want)
{
    uint64_t count = set_count(v);
    reply_array(c, min_u64(count, want));
    if (want >= count)
        reply_all(c, v);
    else if (count / DRAWING_PAYS > want)
        choose_by_drawing(c, v, want);
    else
        choose_by_walking(c, v, want);
}

static void reply_repeating(struct call *c, const struct value *v, uint64_t want)
{
    struct rng rng = rng_of(c);
    reply_array(c, want);
    for (uint64_t i = 0; i < want; i++)
        reply_member(c, set_random(v, &rng));
}

static void srandmember_count(struct call *c)
{
    struct value v;
    int64_t n;
    if (!arg_i64(c, c->argv[2], &n))
        return;
    if (n == INT64_MIN) {
        reply_errorf(c, "ERR value is out of range, value must between %lld and %lld", -(long long)INT64_MAX,
                     (long long)INT64_MAX);
        return;
    }
    if (!read_set(c, &v))
        return;
    if (n == 0 || set_count(&v) == 0)
        reply_array(c, 0);
    else if (n > 0)
        reply_distinct(c, &v, (uint64_t)n);
    else if (n < -REPLY_REPEATS_MAX)
        reply_error(c, "ERR value is out of range");
    else
        reply_repeating(c, &v, (uint64_t)-n);
}

static void srandmember_run(struct call *c)
{
    struct value v;
    if (c->argc > 3) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 3) {
        srandmember_count(c);
        return;
    }
    if (!read_set(c, &v))
        return;
    struct rng rng = rng_of(c);
    if (set_count(&v) == 0)
        reply_null(c);
    else
        reply_member(c, set_random(&v, &rng));
}

/* --- SPOP: its effect is what it took --- */

static void pop_one(struct call *c, struct place *p)
{
    char scratch[PACK_TEXT_MAX];
    struct rng rng = rng_of(c);
    struct value *v = place_change(c, p, VALUE_SET);
    struct pack_item member = set_random(v, &rng);
    reply_member(c, member);
    effect_member(c, "SREM", p->key.name, pack_text(member, scratch));
    set_remove(v, member);
    place_changed(c, p, EVENT_SET, "spop");
}

static void pop_all(struct call *c, struct place *p)
{
    struct value v = place_value(p);
    reply_set(c, set_count(&v));
    reply_all(c, &v);
    key_event(c, p, EVENT_SET, "spop");
    place_remove(c, p);
}

static void pop_piece(struct call *c, struct place *p, struct rng *rng, uint64_t n)
{
    struct words w;
    words_init(&w);
    words_add_str(&w, "SREM");
    words_add(&w, p->key.name);
    for (; n > 0; n--) {
        char scratch[PACK_TEXT_MAX];
        struct pack_item member = set_random(&p->value, rng);
        reply_member(c, member);
        words_add_copy(&w, pack_text(member, scratch));
        set_remove(&p->value, member);
    }
    effect_words(c, &w);
    words_free(&w);
}

static void pop_some(struct call *c, struct place *p, uint64_t n)
{
    struct rng rng = rng_of(c);
    reply_set(c, n);
    place_change(c, p, VALUE_SET);
    for (uint64_t piece; n > 0; n -= piece) {
        piece = min_u64(n, EFFECT_MEMBERS);
        pop_piece(c, p, &rng, piece);
    }
    place_changed(c, p, EVENT_SET, "spop");
}

static void spop_count(struct call *c)
{
    int64_t n;
    if (!arg_range(c, c->argv[2], 0, INT64_MAX, &n, "ERR value is out of range, must be positive"))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_SET))
        return;
    if (p.e == NULL || n == 0) {
        reply_set(c, 0);
        return;
    }
    struct value v = place_value(&p);
    if ((uint64_t)n >= set_count(&v))
        pop_all(c, &p);
    else
        pop_some(c, &p, (uint64_t)n);
}

static void spop_run(struct call *c)
{
    if (c->argc > 3) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 3) {
        spop_count(c);
        return;
    }
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_SET))
        return;
    if (p.e == NULL)
        reply_null(c);
    else
        pop_one(c, &p);
}

/* --- declarations --- */

static void prefetch_member(const struct value *v, const struct slice *argv, int argc, int step)
{
    if (v->type == VALUE_SET && argc > 2)
        set_prefetch(v, argv[2], step);
}

#define KEY1(f)                                                     \
    {                                                               \
        {                                                           \
            .flags = (f), .first = 1, .step = 1, .need = NEED_VALUE \
        }                                                           \
    }
#define SET .acl = ACL_SET, .route = ROUTE_KEYS, .group = "set"

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
static const struct command_arg spop_args[] = {
    ARG("key", "key"),
    ARG("count", "integer", .since = "3.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg srandmember_args[] = {
    ARG("key", "key"),
    ARG("count", "integer", .since = "2.6.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg smove_args[] = {
    ARG("source", "key"),
    ARG("destination", "key", .key_spec = 1),
    ARG("member", "string"),
    ARG_END,
};
static const struct command_arg sscan_args[] = {
    ARG("key", "key"),
    ARG("cursor", "integer"),
    ARG("pattern", "pattern", .token = "MATCH", .flags = ARG_OPTIONAL),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command set_commands[] = {
    {.name = "sadd",
     .run = sadd_run,
     .prefetch = prefetch_member,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     SET,
     .keys = KEY1(KEY_RW | KEY_INSERT),
     .summary = "Adds one or more members to a set. Creates the key if it doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple "
                   "arguments.",
     .args = key_members_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple `member` arguments."))},
    {.name = "srem",
     .run = srem_run,
     .prefetch = prefetch_member,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     SET,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .summary = "Removes one or more members from a set. Deletes the set if the last member was removed.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of members to be removed.",
     .args = key_members_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple `member` arguments."))},
    {.name = "smove",
     .run = smove_run,
     .arity = 4,
     .flags = CMD_WRITE | CMD_FAST,
     SET,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_RW | KEY_INSERT, .first = 2, .step = 1, .need = NEED_VALUE}},
     .summary = "Moves a member from one set to another.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = smove_args},
    {.name = "spop",
     .run = spop_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     SET,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_DELETE),
     .summary = "Returns one or more random members from a set after removing them. Deletes the set if the last "
                "member was popped.",
     .since = "1.0.0",
     .complexity = "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
     .args = spop_args,
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("3.2.0", "Added the `count` argument."))},
    {.name = "sismember",
     .run = sismember_run,
     .prefetch = prefetch_member,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     SET,
     .keys = KEY1(KEY_RO),
     .summary = "Determines whether a member belongs to a set.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = key_member_args},
    {.name = "smismember",
     .run = smismember_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     SET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Determines whether multiple members belong to a set.",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of elements being checked for membership",
     .args = key_members_args},
    {.name = "scard",
     .run = scard_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     SET,
     .keys = KEY1(KEY_RO),
     .summary = "Returns the number of members in a set.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "smembers",
     .run = smembers_run,
     .arity = 2,
     .flags = CMD_READONLY,
     SET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns all members of a set.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the set cardinality.",
     .args = args_key,
     .tips = STRINGS("nondeterministic_output_order")},
    {.name = "srandmember",
     .run = srandmember_run,
     .arity = -2,
     .flags = CMD_READONLY,
     SET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Get one or multiple random members from a set",
     .since = "1.0.0",
     .complexity = "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
     .args = srandmember_args,
     .tips = STRINGS("nondeterministic_output"),
     .history = STRINGS(CHANGE("2.6.0", "Added the optional `count` argument."))},
    {.name = "sscan",
     .run = sscan_run,
     .arity = -3,
     .flags = CMD_READONLY,
     SET,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Iterates over members of a set.",
     .since = "2.8.0",
     .complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor "
                   "to return back to 0. N is the number of elements inside the collection.",
     .args = sscan_args,
     .tips = STRINGS("nondeterministic_output")},
    {.name = NULL},
};
