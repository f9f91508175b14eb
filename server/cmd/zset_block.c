/* Commands of sorted sets that wait for a member: BZPOPMIN, BZPOPMAX, BZMPOP. What they do when there is one, and what
 * they record then, is what the forms without B do. */
#include "server/cmd/zset.h"

static void block(struct call *c, int64_t timeout_ms, int first, int n)
{
    struct block b = {.timeout_ms = timeout_ms, .first = first, .n = n, .type = VALUE_ZSET};
    if (!call_block(c, &b))
        reply_null_array(c);
}

/* Whether it is done: popped, or an error. */
static bool pop_from(struct call *c, int arg, bool max)
{
    struct place p = place_write(c, arg);
    if (p.e == NULL)
        return false;
    if (!place_is(c, &p, VALUE_ZSET))
        return true;
    reply_array(c, 3);
    reply_bulk(c, c->argv[arg]);
    zset_pop(c, &p, 1, max, false);
    return true;
}

static void pop_run(struct call *c, bool max)
{
    int ready = call_ready_key(c), keys = c->argc - 2;
    int64_t timeout_ms;
    if (!arg_timeout_s(c, c->argv[c->argc - 1], &timeout_ms))
        return;
    bool done = ready != 0 && pop_from(c, ready, max);
    for (int i = 1; i <= keys && !done; i++)
        done = pop_from(c, i, max);
    if (!done)
        block(c, timeout_ms, 1, keys);
}

static void bzpopmin_run(struct call *c) { pop_run(c, false); }
static void bzpopmax_run(struct call *c) { pop_run(c, true); }

static void bzmpop_run(struct call *c)
{
    struct zset_mpop o;
    int64_t timeout_ms;
    if (!zset_mpop_options(c, 2, &o) || !arg_timeout_s(c, c->argv[1], &timeout_ms) || zset_mpop(c, &o))
        return;
    block(c, timeout_ms, o.first, (int)o.keys);
}

/* --- declarations --- */

#define POP_FLAGS (KEY_RW | KEY_ACCESS | KEY_DELETE)
#define POP_KEYS                                                                     \
    {                                                                                \
        {.flags = POP_FLAGS, .first = 1, .last = -2, .step = 1, .need = NEED_VALUE}, \
    }
#define DOUBLE_TIMEOUT STRINGS(CHANGE("6.0.0", "`timeout` is interpreted as a double instead of an integer."))

static const struct command_arg pop_args[] = {
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG("timeout", "double"),
    ARG_END,
};
static const struct command_arg where_args[] = {
    ARG_TOKEN("min", "MIN"),
    ARG_TOKEN("max", "MAX"),
    ARG_END,
};
static const struct command_arg bzmpop_args[] = {
    ARG("timeout", "double"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG_ONEOF("where", where_args),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command zset_block_commands[] = {
    {.name = "bzpopmin",
     .run = bzpopmin_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST | CMD_BLOCKING,
     ZSET,
     .keys = POP_KEYS,
     .summary = "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a "
                "member is available otherwise. Deletes the sorted set if the last element was popped.",
     .since = "5.0.0",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .args = pop_args,
     .history = DOUBLE_TIMEOUT},
    {.name = "bzpopmax",
     .run = bzpopmax_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST | CMD_BLOCKING,
     ZSET,
     .keys = POP_KEYS,
     .summary = "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a "
                "member available otherwise. Deletes the sorted set if the last element was popped.",
     .since = "5.0.0",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .args = pop_args,
     .history = DOUBLE_TIMEOUT},
    {.name = "bzmpop",
     .run = bzmpop_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_BLOCKING | CMD_MOVABLE_KEYS,
     ZSET,
     .keys = {{.flags = POP_FLAGS, .first = 2, .counted = true, .need = NEED_VALUE}},
     .summary = "Removes and returns a member by score from one or more sorted sets. Blocks until a member is "
                "available otherwise. Deletes the sorted set if the last element was popped.",
     .since = "7.0.0",
     .complexity = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the "
                   "sorted set, and M being the number of elements popped.",
     .args = bzmpop_args},
    {.name = NULL},
};
