/* Commands of lists that wait for an element: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH. What they do when there is one,
 * and what they record then, is what the forms without B do. */
#include "server/cmd/list.h"

static bool blocks(struct call *c, int64_t timeout_ms, int first, int n)
{
    struct block b = {.timeout_ms = timeout_ms, .first = first, .n = n, .type = VALUE_LIST};
    return call_block(c, &b);
}

/* --- BLPOP, BRPOP --- */

/* Whether it is done: popped, or an error. */
static bool pop_from(struct call *c, int arg, enum list_end end)
{
    struct place p = place_write(c, arg);
    if (p.e == NULL)
        return false;
    if (!place_is(c, &p, VALUE_LIST))
        return true;
    reply_array(c, 2);
    reply_bulk(c, c->argv[arg]);
    list_pop(c, &p, end, 1);
    effect_list_pop(c, c->argv[arg], end, 1);
    return true;
}

static void pop_run(struct call *c, enum list_end end)
{
    int ready = call_ready_key(c), keys = c->argc - 2;
    int64_t timeout_ms;
    if (!arg_timeout_s(c, c->argv[c->argc - 1], &timeout_ms))
        return;
    bool done = ready != 0 && pop_from(c, ready, end);
    for (int i = 1; i <= keys && !done; i++)
        done = pop_from(c, i, end);
    if (!done && !blocks(c, timeout_ms, 1, keys))
        reply_null_array(c);
}

static void blpop_run(struct call *c) { pop_run(c, LIST_HEAD); }
static void brpop_run(struct call *c) { pop_run(c, LIST_TAIL); }

/* --- BLMPOP --- */

static void blmpop_run(struct call *c)
{
    struct list_mpop o;
    int64_t timeout_ms;
    if (!list_mpop_options(c, 2, &o) || !arg_timeout_s(c, c->argv[1], &timeout_ms) || list_mpop(c, &o))
        return;
    if (!blocks(c, timeout_ms, o.first, (int)o.keys))
        reply_null_array(c);
}

/* --- BLMOVE, BRPOPLPUSH --- */

static void move(struct call *c, struct slice timeout, enum list_end from, enum list_end to)
{
    int64_t timeout_ms;
    if (!arg_timeout_s(c, timeout, &timeout_ms) || list_move(c, from, to))
        return;
    if (!blocks(c, timeout_ms, 1, 1))
        reply_null(c);
}

static void blmove_run(struct call *c)
{
    enum list_end from, to;
    if (arg_list_end(c, c->argv[3], &from) && arg_list_end(c, c->argv[4], &to))
        move(c, c->argv[5], from, to);
}

static void brpoplpush_run(struct call *c) { move(c, c->argv[3], LIST_TAIL, LIST_HEAD); }

/* --- the commands --- */

#define POP_FLAGS (KEY_RW | KEY_ACCESS | KEY_DELETE)
#define POP_KEYS                                                                     \
    {                                                                                \
        {.flags = POP_FLAGS, .first = 1, .last = -2, .step = 1, .need = NEED_VALUE}, \
    }
#define MOVE_KEYS                                                                      \
    {                                                                                  \
        {.flags = POP_FLAGS, .first = 1, .step = 1, .need = NEED_VALUE},               \
            {.flags = KEY_RW | KEY_INSERT, .first = 2, .step = 1, .need = NEED_VALUE}, \
    }
#define LIST .acl = ACL_LIST, .route = ROUTE_KEYS, .group = "list"
#define DOUBLE_TIMEOUT STRINGS(CHANGE("6.0.0", "`timeout` is interpreted as a double instead of an integer."))

static const struct command_arg pop_args[] = {
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG("timeout", "double"),
    ARG_END,
};
static const struct command_arg left_right[] = {
    ARG_TOKEN("left", "LEFT"),
    ARG_TOKEN("right", "RIGHT"),
    ARG_END,
};
static const struct command_arg blmpop_args[] = {
    ARG("timeout", "double"),
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG_ONEOF("where", left_right),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg blmove_args[] = {
    ARG("source", "key"),
    ARG("destination", "key", .key_spec = 1),
    ARG_ONEOF("wherefrom", left_right),
    ARG_ONEOF("whereto", left_right),
    ARG("timeout", "double"),
    ARG_END,
};
static const struct command_arg brpoplpush_args[] = {
    ARG("source", "key"),
    ARG("destination", "key", .key_spec = 1),
    ARG("timeout", "double"),
    ARG_END,
};

struct command list_block_commands[] = {
    {.name = "blpop",
     .run = blpop_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_BLOCKING,
     LIST,
     .keys = POP_KEYS,
     .summary = "Removes and returns the first element in a list. Blocks until an element is available otherwise. "
                "Deletes the list if the last element was popped.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of provided keys.",
     .args = pop_args,
     .history = DOUBLE_TIMEOUT},
    {.name = "brpop",
     .run = brpop_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_BLOCKING,
     LIST,
     .keys = POP_KEYS,
     .summary = "Removes and returns the last element in a list. Blocks until an element is available otherwise. "
                "Deletes the list if the last element was popped.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of provided keys.",
     .args = pop_args,
     .history = DOUBLE_TIMEOUT},
    {.name = "blmpop",
     .run = blmpop_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_BLOCKING | CMD_MOVABLE_KEYS,
     LIST,
     .keys = {{.flags = POP_FLAGS, .first = 2, .step = 1, .counted = true, .need = NEED_VALUE}},
     .summary = "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. "
                "Deletes the list if the last element was popped.",
     .since = "7.0.0",
     .complexity = "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
     .args = blmpop_args},
    {.name = "blmove",
     .run = blmove_run,
     .arity = 6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_BLOCKING,
     LIST,
     .keys = MOVE_KEYS,
     .summary = "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is "
                "available otherwise. Deletes the list if the last element was moved.",
     .since = "6.2.0",
     .complexity = "O(1)",
     .args = blmove_args},
    {.name = "brpoplpush",
     .run = brpoplpush_run,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_BLOCKING,
     LIST,
     .keys = MOVE_KEYS,
     .summary = "Pops an element from a list, pushes it to another list and returns it. Block until an element is "
                "available otherwise. Deletes the list if the last element was popped.",
     .since = "2.2.0",
     .complexity = "O(1)",
     .deprecated_since = "6.2.0",
     .replaced_by = "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
     .args = brpoplpush_args,
     .history = DOUBLE_TIMEOUT},
    {.name = NULL},
};
