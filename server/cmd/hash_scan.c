/* HSCAN and HRANDFIELD. */
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "server/cmd/hash.h"
#include "server/scan.h"

/* --- HSCAN: a pack comes at once, with cursor 0; of a table, in hash order, the cursor is a hash --- */

struct hscan {
    struct scan_options o;
    struct buf out;
    uint64_t seen, found;
};

static void visit(void *arg, struct slice field, struct slice value)
{
    struct hscan *s = arg;
    if (!scan_matches(&s->o, field))
        return;
    resp_bulk(&s->out, field);
    if (!s->o.no_values)
        resp_bulk(&s->out, value);
    s->found++;
}

static void hscan_run(struct call *c)
{
    struct hscan s = {.found = 0};
    uint64_t cursor;
    if (!scan_cursor_parse(c->argv[2], &cursor)) {
        reply_error(c, "ERR invalid cursor");
        return;
    }
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (p.e == NULL) {
        scan_reply(c, 0, 0, &s.out);
        return;
    }
    if (!scan_options(c, 3, SCAN_FIELDS, &s.o))
        return;
    struct value v = place_value(&p);
    uint64_t count = (uint64_t)s.o.count, rounds = count * 10;
    do
        cursor = hash_scan(&v, cursor, hash_now(c), &s.seen, visit, &s);
    while (cursor != 0 && s.found < count && s.seen < count * 10 && --rounds > 0);
    scan_reply(c, cursor, s.found * (s.o.no_values ? 1 : 2), &s.out);
}

/* --- HRANDFIELD --- */

/* What has been picked already, by address. */
struct picked {
    const uint8_t **slots;
    size_t mask;
};

static void picked_init(struct picked *p, uint64_t count)
{
    size_t slots = 8;
    while (slots < 2 * count)
        slots *= 2;
    p->slots = mem_zalloc(slots * sizeof(*p->slots));
    p->mask = slots - 1;
}

static void picked_free(struct picked *p) { mem_free(p->slots, (p->mask + 1) * sizeof(*p->slots)); }

static bool picked_add(struct picked *p, const uint8_t *field)
{
    size_t at = (size_t)((uintptr_t)field >> 4) * 0x9e3779b97f4a7c15u >> 20 & p->mask;
    for (; p->slots[at] != NULL; at = (at + 1) & p->mask)
        if (p->slots[at] == field)
            return false;
    p->slots[at] = field;
    return true;
}

struct random_reply {
    struct call *c;
    const struct value *v;
    int64_t now_ms;
    bool values;
    struct rng rng;
};

static void reply_count(struct random_reply *r, uint64_t count)
{
    reply_array(r->c, r->values && r->c->proto == 2 ? 2 * count : count);
}

static void reply_one(struct random_reply *r, const struct hash_iter *it)
{
    if (r->values && r->c->proto > 2)
        reply_array(r->c, 2);
    reply_bulk(r->c, it->field);
    if (r->values)
        reply_bulk(r->c, it->value);
}

/* The same field may come again. */
static void reply_repeated(struct random_reply *r, uint64_t count)
{
    struct hash_iter it;
    if (hash_length(r->v, r->now_ms) == 0)
        count = 0;
    reply_count(r, count);
    while (count-- > 0 && hash_random(r->v, &r->rng, r->now_ms, &it))
        reply_one(r, &it);
}

/* Each of the `n` fields is met, and taken with the probability that is left for it (Knuth's algorithm S). */
static void reply_sampled(struct random_reply *r, uint64_t count, uint64_t n)
{
    struct hash_iter it;
    hash_iter_init(&it, r->v, r->now_ms);
    for (; count > 0 && hash_iter_next(&it); n--)
        if (rng_below(&r->rng, n) < count) {
            reply_one(r, &it);
            count--;
        }
}

/* Few of many: tried until so many different ones have been met. Only tables: their fields have addresses. */
static void reply_picked(struct random_reply *r, uint64_t count)
{
    struct picked picked;
    struct hash_iter it;
    picked_init(&picked, count);
    while (count > 0 && hash_random(r->v, &r->rng, r->now_ms, &it))
        if (picked_add(&picked, it.field.p)) {
            reply_one(r, &it);
            count--;
        }
    picked_free(&picked);
}

static void reply_distinct(struct random_reply *r, uint64_t count)
{
    uint64_t n = hash_length(r->v, r->now_ms);
    count = min_u64(count, n);
    reply_count(r, count);
    if (count < n / 3 && hash_in_table(r->v))
        reply_picked(r, count);
    else
        reply_sampled(r, count, n);
}

static bool random_options(struct call *c, int64_t *count, bool *values)
{
    if (!arg_i64(c, c->argv[2], count))
        return false;
    if (*count == INT64_MIN) {
        reply_error(c, "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
        return false;
    }
    *values = c->argc == 4;
    if (c->argc > 4 || (*values && !slice_is(c->argv[3], "withvalues"))) {
        reply_syntax(c);
        return false;
    }
    if (!*values || (*count >= -(INT64_MAX / 2) && *count <= INT64_MAX / 2))
        return true;
    reply_error(c, "ERR value is out of range");
    return false;
}

static void random_one(struct call *c)
{
    struct place p = place_read(c, 1);
    struct hash_iter it;
    struct rng rng;
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (p.e != NULL) {
        struct value v = place_value(&p);
        rng_seed(&rng, call_random(c));
        if (hash_random(&v, &rng, hash_now(c), &it)) {
            reply_bulk(c, it.field);
            return;
        }
    }
    reply_null(c);
}

static void hrandfield_run(struct call *c)
{
    struct random_reply r = {.c = c, .now_ms = hash_now(c)};
    int64_t count;
    if (c->argc == 2) {
        random_one(c);
        return;
    }
    if (!random_options(c, &count, &r.values))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (p.e == NULL || count == 0) {
        reply_array(c, 0);
        return;
    }
    struct value v = place_value(&p);
    r.v = &v;
    rng_seed(&r.rng, call_random(c));
    if (count < -REPLY_REPEATS_MAX)
        reply_error(c, "ERR value is out of range");
    else if (count < 0)
        reply_repeated(&r, 0 - (uint64_t)count);
    else
        reply_distinct(&r, (uint64_t)count);
}

/* --- declarations --- */

static const struct command_arg hscan_args[] = {
    ARG("key", "key"),
    ARG("cursor", "integer"),
    ARG("pattern", "pattern", .token = "MATCH", .flags = ARG_OPTIONAL),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_TOKEN("novalues", "NOVALUES", .since = "7.4.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg random_args[] = {
    ARG("count", "integer"),
    ARG_TOKEN("withvalues", "WITHVALUES", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg hrandfield_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("options", random_args, .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command hash_scan_commands[] = {
    {.name = "hscan",
     .run = hscan_run,
     .arity = -3,
     .flags = CMD_READONLY,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Iterates over fields and values of a hash.",
     .since = "2.8.0",
     .complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor "
                   "to return back to 0. N is the number of elements inside the collection.",
     .args = hscan_args,
     .tips = STRINGS("nondeterministic_output")},
    {.name = "hrandfield",
     .run = hrandfield_run,
     .arity = -2,
     .flags = CMD_READONLY,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Returns one or more random fields from a hash.",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of fields returned",
     .args = hrandfield_args,
     .tips = STRINGS("nondeterministic_output")},
    {.name = NULL},
};
