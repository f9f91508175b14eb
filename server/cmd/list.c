/* Commands at the ends of lists; those by index and by value are in list_index.c. What is taken goes to the client from
 * where it lies, before it is erased. The blocking forms are in list_block.c. */
#include "server/cmd/list.h"

#include "core/base/num.h"

void list_reply_item(struct call *c, const struct list_iter *it, struct pack_item item)
{
    if (item.is_int) {
        resp_bulk_int(c->out, item.integer);
    } else if (it->blob == NULL) {
        reply_bulk(c, item.bytes);
    } else {
        struct value v = {.type = VALUE_STRING, .encoding = ENC_BLOB, .blob = it->blob};
        reply_value(c, &v);
    }
}

void list_reply_range(struct call *c, const struct value *v, uint64_t index, uint64_t n, bool back)
{
    struct list_iter it;
    struct pack_item item;
    list_iter_init(&it, v, index, back);
    while (n-- > 0 && list_iter_next(&it, &item))
        list_reply_item(c, &it, item);
}

struct list_item list_item_arg(const struct call *c, struct slice arg)
{
    struct list_item item = {.bytes = arg};
    for (unsigned i = 0; i < c->nbigs; i++)
        if (arg.p == c->bigs[i]->data && arg.len == c->bigs[i]->len)
            item.blob = c->bigs[i];
    return item;
}

bool arg_list_end(struct call *c, struct slice arg, enum list_end *out)
{
    *out = slice_is(arg, "left") ? LIST_HEAD : LIST_TAIL;
    if (*out == LIST_HEAD || slice_is(arg, "right"))
        return true;
    reply_syntax(c);
    return false;
}

/* --- LPUSH, RPUSH, LPUSHX, RPUSHX --- */

static const char *push_event(enum list_end end) { return end == LIST_HEAD ? "lpush" : "rpush"; }
static const char *pop_event(enum list_end end) { return end == LIST_HEAD ? "lpop" : "rpop"; }

static void push_all(struct call *c, struct place *p, enum list_end end)
{
    struct value *v = place_change(c, p, VALUE_LIST);
    for (int i = 2; i < c->argc; i++) {
        struct list_item item = list_item_arg(c, c->argv[i]);
        list_push(v, end, &item, call_limits(c));
    }
    int64_t count = (int64_t)list_count(v);
    place_changed(c, p, EVENT_LIST, push_event(end));
    effect_verbatim(c);
    reply_int(c, count);
}

static void push(struct call *c, enum list_end end)
{
    struct place p = place_write(c, 1);
    if (place_is(c, &p, VALUE_LIST))
        push_all(c, &p, end);
}

static void pushx(struct call *c, enum list_end end)
{
    struct place p = place_write(c, 1);
    if (p.e == NULL)
        reply_int(c, 0);
    else if (place_is(c, &p, VALUE_LIST))
        push_all(c, &p, end);
}

static void lpush_run(struct call *c) { push(c, LIST_HEAD); }
static void rpush_run(struct call *c) { push(c, LIST_TAIL); }
static void lpushx_run(struct call *c) { pushx(c, LIST_HEAD); }
static void rpushx_run(struct call *c) { pushx(c, LIST_TAIL); }

/* --- LPOP, RPOP, LMPOP --- */

void list_pop(struct call *c, struct place *p, enum list_end end, uint64_t n)
{
    struct value v = place_value(p);
    uint64_t count = list_count(&v);
    list_reply_range(c, &v, end == LIST_HEAD ? 0 : count - 1, n, end == LIST_TAIL);
    if (n == count) {
        place_emptied(c, p, EVENT_LIST, pop_event(end));
        return;
    }
    list_erase(place_change(c, p, VALUE_LIST), end == LIST_HEAD ? 0 : count - n, n, call_limits(c));
    place_changed(c, p, EVENT_LIST, pop_event(end));
}

static void pop_count(struct call *c, enum list_end end)
{
    int64_t n;
    if (!arg_range(c, c->argv[2], 0, INT64_MAX, &n, "ERR value is out of range, must be positive"))
        return;
    struct place p = place_write(c, 1);
    if (p.e == NULL) {
        reply_null_array(c);
        return;
    }
    if (!place_is(c, &p, VALUE_LIST))
        return;
    struct value v = place_value(&p);
    uint64_t most = min_u64((uint64_t)n, list_count(&v));
    reply_array(c, most);
    if (most == 0)
        return;
    list_pop(c, &p, end, most);
    effect_verbatim(c);
}

static void pop_run(struct call *c, enum list_end end)
{
    if (c->argc > 3) {
        reply_wrong_arity(c);
        return;
    }
    if (c->argc == 3) {
        pop_count(c, end);
        return;
    }
    struct place p = place_write(c, 1);
    if (p.e == NULL) {
        reply_null(c);
        return;
    }
    if (!place_is(c, &p, VALUE_LIST))
        return;
    list_pop(c, &p, end, 1);
    effect_verbatim(c);
}

static void lpop_run(struct call *c) { pop_run(c, LIST_HEAD); }
static void rpop_run(struct call *c) { pop_run(c, LIST_TAIL); }

bool list_mpop_options(struct call *c, int at, struct list_mpop *o)
{
    if (!arg_range(c, c->argv[at], 1, INT64_MAX, &o->keys, "ERR numkeys should be greater than 0"))
        return false;
    o->first = at + 1;
    if (o->keys >= c->argc - o->first) {
        reply_syntax(c);
        return false;
    }
    at = o->first + (int)o->keys;
    o->count = 1;
    if (!arg_list_end(c, c->argv[at], &o->end))
        return false;
    if (++at == c->argc)
        return true;
    if (slice_is(c->argv[at], "count") && at + 2 <= c->argc) {
        if (!arg_range(c, c->argv[at + 1], 1, INT64_MAX, &o->count, "ERR count should be greater than 0"))
            return false;
        if (at + 2 == c->argc)
            return true;
    }
    reply_syntax(c);
    return false;
}

void effect_list_pop(struct call *c, struct slice key, enum list_end end, uint64_t n)
{
    char text[NUM_I64_MAX];
    struct slice argv[] = {slice_str(end == LIST_HEAD ? "LPOP" : "RPOP"), key,
                           slice_of(text, num_format_i64(text, (int64_t)n))};
    effect(c, n == 1 ? 2 : 3, argv);
}

/* Whether it is done: popped, or an error. */
static bool mpop_from(struct call *c, const struct list_mpop *o, int arg)
{
    struct place p = place_write(c, arg);
    if (p.e == NULL)
        return false;
    if (!place_is(c, &p, VALUE_LIST))
        return true;
    struct value v = place_value(&p);
    uint64_t n = min_u64((uint64_t)o->count, list_count(&v));
    reply_array(c, 2);
    reply_bulk(c, c->argv[arg]);
    reply_array(c, n);
    list_pop(c, &p, o->end, n);
    effect_list_pop(c, c->argv[arg], o->end, n);
    return true;
}

bool list_mpop(struct call *c, const struct list_mpop *o)
{
    int ready = call_ready_key(c);
    bool done = ready != 0 && mpop_from(c, o, ready);
    for (int i = 0; i < o->keys && !done; i++)
        done = mpop_from(c, o, o->first + i);
    return done;
}

static void lmpop_run(struct call *c)
{
    struct list_mpop o;
    if (list_mpop_options(c, 1, &o) && !list_mpop(c, &o))
        reply_null_array(c);
}

/* --- LMOVE, RPOPLPUSH --- */

/* The item goes to the other end of its list, of which it is not the only one: the list would not be empty in between.
 */
static void rotate(struct call *c, struct place *p, enum list_end from)
{
    struct list_iter it;
    struct pack_item item;
    char scratch[PACK_TEXT_MAX];
    struct value *v = place_change(c, p, VALUE_LIST);
    uint64_t index = from == LIST_HEAD ? 0 : list_count(v) - 1;
    list_iter_init(&it, v, index, false);
    list_iter_next(&it, &item);
    struct slice text = pack_text(item, scratch);
    struct blob *copy = it.blob != NULL ? blob_ref(it.blob) : blob_copy(text, text.len);
    struct list_item moved = {.bytes = blob_slice(copy), .blob = copy};
    struct slice argv[] = {SLICE_LIT("LPUSH"), p->key.name, moved.bytes};
    if (from == LIST_HEAD)
        argv[0] = SLICE_LIT("RPUSH");
    list_reply_item(c, &it, item);
    list_erase(v, index, 1, call_limits(c));
    list_push(v, from == LIST_HEAD ? LIST_TAIL : LIST_HEAD, &moved, call_limits(c));
    place_changed(c, p, EVENT_LIST, push_event(from == LIST_HEAD ? LIST_TAIL : LIST_HEAD));
    key_event(c, p, EVENT_LIST, pop_event(from));
    effect_list_pop(c, p->key.name, from, 1);
    effect(c, 3, argv);
    blob_unref(copy);
}

/* The item is put while it still lies in the source: it is not copied in between. */
static void move_between(struct call *c, struct place *src, struct place *dst, enum list_end from, enum list_end to)
{
    struct list_iter it;
    struct pack_item item;
    char scratch[PACK_TEXT_MAX];
    struct value v = place_value(src);
    uint64_t index = from == LIST_HEAD ? 0 : list_count(&v) - 1;
    list_iter_init(&it, &v, index, false);
    list_iter_next(&it, &item);
    struct list_item moved = {.bytes = pack_text(item, scratch), .blob = it.blob};
    struct slice argv[] = {slice_str(to == LIST_HEAD ? "LPUSH" : "RPUSH"), dst->key.name, moved.bytes};
    list_reply_item(c, &it, item);
    list_push(place_change(c, dst, VALUE_LIST), to, &moved, call_limits(c));
    place_changed(c, dst, EVENT_LIST, push_event(to));
    effect(c, 3, argv);
    list_erase(place_change(c, src, VALUE_LIST), index, 1, call_limits(c));
    place_changed(c, src, EVENT_LIST, pop_event(from));
    effect_list_pop(c, src->key.name, from, 1);
    c->changes--; /* to Redis it is one change */
}

/* The item comes to lie where it lay. */
static void stay(struct call *c, const struct place *p, enum list_end from, enum list_end to)
{
    struct value v = place_value(p);
    list_reply_range(c, &v, from == LIST_HEAD ? 0 : list_count(&v) - 1, 1, false);
    key_event(c, p, EVENT_LIST, push_event(to));
    key_event(c, p, EVENT_LIST, pop_event(from));
}

bool list_move(struct call *c, enum list_end from, enum list_end to)
{
    struct place src = place_write(c, 1);
    if (src.e == NULL)
        return false;
    if (!place_is(c, &src, VALUE_LIST))
        return true;
    struct place dst = place_write(c, 2);
    if (!place_is(c, &dst, VALUE_LIST))
        return true;
    struct value v = place_value(&src);
    if (!slice_eq(src.key.name, dst.key.name))
        move_between(c, &src, &dst, from, to);
    else if (from != to && list_count(&v) > 1)
        rotate(c, &src, from);
    else
        stay(c, &src, from, to);
    return true;
}

static void move(struct call *c, enum list_end from, enum list_end to)
{
    if (!list_move(c, from, to))
        reply_null(c);
}

static void lmove_run(struct call *c)
{
    enum list_end from, to;
    if (arg_list_end(c, c->argv[3], &from) && arg_list_end(c, c->argv[4], &to))
        move(c, from, to);
}

static void rpoplpush_run(struct call *c) { move(c, LIST_TAIL, LIST_HEAD); }

/* --- the commands --- */

#define KEY1(f)                                                    \
    {                                                              \
        {.flags = (f), .first = 1, .step = 1, .need = NEED_VALUE}, \
    }
#define MOVE_KEYS                                                                               \
    {                                                                                           \
        {.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .need = NEED_VALUE}, \
            {.flags = KEY_RW | KEY_INSERT, .first = 2, .step = 1, .need = NEED_VALUE},          \
    }
#define LIST .acl = ACL_LIST, .route = ROUTE_KEYS, .group = "list"
#define PUSH_COMPLEXITY \
    "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments."

static const struct command_arg push_args[] = {
    ARG("key", "key"),
    ARG("element", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg pop_args[] = {
    ARG("key", "key"),
    ARG("count", "integer", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg left_right[] = {
    ARG_TOKEN("left", "LEFT"),
    ARG_TOKEN("right", "RIGHT"),
    ARG_END,
};
static const struct command_arg lmove_args[] = {
    ARG("source", "key"),
    ARG("destination", "key", .key_spec = 1),
    ARG_ONEOF("wherefrom", left_right),
    ARG_ONEOF("whereto", left_right),
    ARG_END,
};
static const struct command_arg rpoplpush_args[] = {
    ARG("source", "key"),
    ARG("destination", "key", .key_spec = 1),
    ARG_END,
};
static const struct command_arg lmpop_args[] = {
    ARG("numkeys", "integer"),
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG_ONEOF("where", left_right),
    ARG("count", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command list_commands[] = {
    {.name = "lpush",
     .run = lpush_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RW | KEY_INSERT),
     .summary = "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
     .since = "1.0.0",
     .complexity = PUSH_COMPLEXITY,
     .args = push_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple `element` arguments."))},
    {.name = "rpush",
     .run = rpush_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RW | KEY_INSERT),
     .summary = "Appends one or more elements to a list. Creates the key if it doesn't exist.",
     .since = "1.0.0",
     .complexity = PUSH_COMPLEXITY,
     .args = push_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple `element` arguments."))},
    {.name = "lpushx",
     .run = lpushx_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RW | KEY_INSERT),
     .summary = "Prepends one or more elements to a list only when the list exists.",
     .since = "2.2.0",
     .complexity = PUSH_COMPLEXITY,
     .args = push_args,
     .history = STRINGS(CHANGE("4.0.0", "Accepts multiple `element` arguments."))},
    {.name = "rpushx",
     .run = rpushx_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RW | KEY_INSERT),
     .summary = "Appends an element to a list only when the list exists.",
     .since = "2.2.0",
     .complexity = PUSH_COMPLEXITY,
     .args = push_args,
     .history = STRINGS(CHANGE("4.0.0", "Accepts multiple `element` arguments."))},
    {.name = "lpop",
     .run = lpop_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_DELETE),
     .summary = "Returns the first elements in a list after removing it. Deletes the list if the last element was "
                "popped.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements returned",
     .args = pop_args,
     .history = STRINGS(CHANGE("6.2.0", "Added the `count` argument."))},
    {.name = "rpop",
     .run = rpop_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_DELETE),
     .summary = "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements returned",
     .args = pop_args,
     .history = STRINGS(CHANGE("6.2.0", "Added the `count` argument."))},
    {.name = "lmpop",
     .run = lmpop_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_MOVABLE_KEYS,
     LIST,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .counted = true, .need = NEED_VALUE}},
     .summary = "Returns multiple elements from a list after removing them. Deletes the list if the last element was "
                "popped.",
     .since = "7.0.0",
     .complexity = "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
     .args = lmpop_args},
    {.name = "lmove",
     .run = lmove_run,
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     LIST,
     .keys = MOVE_KEYS,
     .summary = "Returns an element after popping it from one list and pushing it to another. Deletes the list if the "
                "last element was moved.",
     .since = "6.2.0",
     .complexity = "O(1)",
     .args = lmove_args},
    {.name = "rpoplpush",
     .run = rpoplpush_run,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     LIST,
     .keys = MOVE_KEYS,
     .summary = "Returns the last element of a list after removing and pushing it to another list. Deletes the list if "
                "the last element was popped.",
     .since = "1.2.0",
     .complexity = "O(1)",
     .deprecated_since = "6.2.0",
     .replaced_by = "`LMOVE` with the `RIGHT` and `LEFT` arguments",
     .args = rpoplpush_args},
    {.name = NULL},
};
