/* SINTER, SUNION, SDIFF, their STORE forms, and SINTERCARD. */
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/set.h"
#include "server/cmd/store.h"
#include "server/reply.h"

typedef void algebra(const struct value *const *sets, unsigned n, set_visit *visit, void *arg);

/* The sets that are combined; a missing key is NULL. */
struct operands {
    struct value few[8], *values;
    const struct value *few_at[8], **at;
    unsigned n;
};

static void operands_free(struct operands *o)
{
    if (o->values == o->few)
        return;
    mem_free(o->values, sizeof(*o->values) * o->n);
    mem_free(o->at, sizeof(*o->at) * o->n);
}

/* Those in `n` arguments from `first` on. False after an error: then there is nothing to be freed. */
static bool operands_read(struct call *c, int first, unsigned n, struct operands *o)
{
    o->n = n;
    o->values = n <= ARRAY_LEN(o->few) ? o->few : mem_alloc(sizeof(*o->values) * n);
    o->at = n <= ARRAY_LEN(o->few) ? o->few_at : mem_alloc(sizeof(*o->at) * n);
    for (unsigned i = 0; i < n; i++) {
        struct place p = place_read(c, first + (int)i);
        if (!place_is(c, &p, VALUE_SET)) {
            operands_free(o);
            return false;
        }
        o->at[i] = NULL;
        if (p.e != NULL) {
            o->values[i] = place_value(&p);
            o->at[i] = &o->values[i];
        }
    }
    return true;
}

/* --- replies --- */

struct answer {
    struct call *c;
    uint64_t n;
};

static bool answer(void *arg, struct pack_item member)
{
    struct answer *a = arg;
    if (member.is_int)
        resp_bulk_int(a->c->out, member.integer);
    else
        reply_bulk(a->c, member.bytes);
    a->n++;
    return true;
}

/* How many there are is known behind the last one: the header is put before the first then. */
static void reply_result(struct call *c, algebra *combine)
{
    struct operands o;
    struct answer a = {c, 0};
    struct buf header = {0};
    size_t at = c->out->len;
    if (!operands_read(c, 1, (unsigned)c->argc - 1, &o))
        return;
    combine(o.at, o.n, answer, &a);
    resp_set(&header, c->proto, a.n);
    buf_insert(c->out, at, header.p, header.len);
    buf_free(&header);
    operands_free(&o);
}

static void sinter_run(struct call *c) { reply_result(c, set_inter); }
static void sunion_run(struct call *c) { reply_result(c, set_union); }
static void sdiff_run(struct call *c) { reply_result(c, set_diff); }

/* --- STORE --- */

struct gathering {
    struct value result;
    const struct value_limits *limits;
};

static bool gather(void *arg, struct pack_item member)
{
    struct gathering *g = arg;
    set_add(&g->result, member, g->limits);
    return true;
}

static void store_combined(struct call *c, algebra *combine)
{
    struct operands o;
    struct gathering g = {set_class.empty(), call_limits(c)};
    if (!operands_read(c, 2, (unsigned)c->argc - 2, &o))
        return;
    combine(o.at, o.n, gather, &g);
    operands_free(&o);
    store_result(c, 1, &g.result, EVENT_SET, c->cmd->name);
}

static void sinterstore_run(struct call *c) { store_combined(c, set_inter); }
static void sunionstore_run(struct call *c) { store_combined(c, set_union); }
static void sdiffstore_run(struct call *c) { store_combined(c, set_diff); }

/* --- SINTERCARD --- */

struct counting {
    uint64_t n, limit; /* limit 0: none */
};

static bool count_one(void *arg, struct pack_item member)
{
    struct counting *count = arg;
    (void)member;
    return ++count->n != count->limit;
}

static bool sintercard_limit(struct call *c, int from, uint64_t *limit)
{
    int64_t v;
    for (int i = from; i < c->argc; i += 2) {
        if (!slice_is(c->argv[i], "limit") || i + 1 == c->argc) {
            reply_syntax(c);
            return false;
        }
        if (!arg_range(c, c->argv[i + 1], 0, INT64_MAX, &v, "ERR LIMIT can't be negative"))
            return false;
        *limit = (uint64_t)v;
    }
    return true;
}

static void sintercard_run(struct call *c)
{
    struct operands o;
    struct counting count = {0, 0};
    int64_t keys;
    if (!arg_range(c, c->argv[1], 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0"))
        return;
    if (keys > c->argc - 2) {
        reply_error(c, "ERR Number of keys can't be greater than number of args");
        return;
    }
    if (!sintercard_limit(c, 2 + (int)keys, &count.limit) || !operands_read(c, 2, (unsigned)keys, &o))
        return;
    set_inter(o.at, o.n, count_one, &count);
    operands_free(&o);
    reply_int(c, (int64_t)count.n);
}

/* --- declarations --- */

#define SET .acl = ACL_SET, .route = ROUTE_KEYS, .group = "set"
#define SOURCES(at)                                                                            \
    {                                                                                          \
        .flags = KEY_RO | KEY_ACCESS, .first = (at), .last = -1, .step = 1, .need = NEED_VALUE \
    }
#define DESTINATION(f)                                                      \
    {                                                                       \
        .flags = (f) | KEY_UPDATE, .first = 1, .step = 1, .need = NEED_META \
    }
#define COMBINES(n, function, text, cost)                                                                           \
    {                                                                                                               \
        .name = n, .run = function, .arity = -2, .flags = CMD_READONLY, SET, .keys = {SOURCES(1)}, .summary = text, \
        .since = "1.0.0", .complexity = cost, .args = args_keys, .tips = STRINGS("nondeterministic_output_order")   \
    }
#define STORES(n, function, text, cost, f)                                                           \
    {                                                                                                \
        .name = n, .run = function, .arity = -3, .flags = CMD_WRITE | CMD_DENYOOM, SET,              \
        .keys = {DESTINATION(f), SOURCES(2)}, .summary = text, .since = "1.0.0", .complexity = cost, \
        .args = store_args                                                                           \
    }
#define COST_INTER "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets."
#define COST_ALL "O(N) where N is the total number of elements in all given sets."

static const struct command_arg store_args[] = {
    ARG("destination", "key"),
    ARG("key", "key", .key_spec = 1, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg sintercard_args[] = {
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG("limit", "integer", .token = "LIMIT", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command set_algebra_commands[] = {
    COMBINES("sinter", sinter_run, "Returns the intersect of multiple sets.", COST_INTER),
    COMBINES("sunion", sunion_run, "Returns the union of multiple sets.", COST_ALL),
    COMBINES("sdiff", sdiff_run, "Returns the difference of multiple sets.", COST_ALL),
    STORES("sinterstore", sinterstore_run, "Stores the intersect of multiple sets in a key.", COST_INTER, KEY_RW),
    STORES("sunionstore", sunionstore_run, "Stores the union of multiple sets in a key.", COST_ALL, KEY_OW),
    STORES("sdiffstore", sdiffstore_run, "Stores the difference of multiple sets in a key.", COST_ALL, KEY_OW),
    {.name = "sintercard",
     .run = sintercard_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS,
     SET,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .counted = true, .step = 1, .need = NEED_VALUE}},
     .summary = "Returns the number of members of the intersect of multiple sets.",
     .since = "7.0.0",
     .complexity = COST_INTER,
     .args = sintercard_args},
    {.name = NULL},
};
