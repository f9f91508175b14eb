/* Commands on lists. Those that take items give them to the client from where they lie, before they go: large ones are
 * sent by reference. The blocking forms are to use pop() and move(). */
#include "core/value/list.h"

#include "core/base/num.h"
#include "server/reply.h"

static void reply_item(struct call *c, const struct list_iter *it, struct pack_item item)
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

static void reply_range(struct call *c, const struct value *v, uint64_t index, uint64_t n, bool back)
{
    struct list_iter it;
    struct pack_item item;
    list_iter_init(&it, v, index, back);
    while (n-- > 0 && list_iter_next(&it, &item))
        reply_item(c, &it, item);
}

static struct list_item item_of(const struct call *c, struct slice arg)
{
    struct list_item item = {.bytes = arg};
    for (unsigned i = 0; i < c->nbigs; i++)
        if (arg.p == c->bigs[i]->data && arg.len == c->bigs[i]->len)
            item.blob = c->bigs[i];
    return item;
}

/* What items are compared with. */
static struct pack_item needle_of(struct slice arg)
{
    int64_t v;
    return num_parse_i64(arg, &v) ? pack_int(v) : pack_str(arg);
}

/* A count whose sign says from which end: not the one that has no opposite. */
static bool arg_signed_count(struct call *c, struct slice arg, int64_t *out)
{
    if (!arg_i64(c, arg, out))
        return false;
    if (*out != INT64_MIN)
        return true;
    reply_errorf(c, "ERR value is out of range, value must between %lld and %lld", -(long long)INT64_MAX,
                 (long long)INT64_MAX);
    return false;
}

static bool arg_end(struct call *c, struct slice arg, enum list_end *out)
{
    if (slice_is(arg, "left"))
        *out = LIST_HEAD;
    else if (slice_is(arg, "right"))
        *out = LIST_TAIL;
    else {
        reply_syntax(c);
        return false;
    }
    return true;
}

/* The range from `start` to `stop`, from the tail if negative. False if it is empty. */
static bool clip(int64_t start, int64_t stop, uint64_t count, uint64_t *from, uint64_t *n)
{
    int64_t all = (int64_t)count;
    if (start < 0)
        start = start + all < 0 ? 0 : start + all;
    if (stop < 0)
        stop += all;
    if (stop >= all)
        stop = all - 1;
    if (start > stop)
        return false;
    *from = (uint64_t)start;
    *n = (uint64_t)(stop - start) + 1;
    return true;
}

/* --- LPUSH, RPUSH, LPUSHX, RPUSHX --- */

static void push_all(struct call *c, struct place *p, enum list_end end)
{
    struct value *v = place_change(c, p, VALUE_LIST);
    for (int i = 2; i < c->argc; i++) {
        struct list_item item = item_of(c, c->argv[i]);
        list_push(v, end, &item, call_limits(c));
    }
    int64_t count = (int64_t)list_count(v);
    place_changed(c, p);
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

/* Replies `n` items, which must be there, and removes them; what it did is not recorded yet. */
static void pop(struct call *c, struct place *p, enum list_end end, uint64_t n)
{
    struct value v = place_value(p);
    uint64_t count = list_count(&v);
    reply_range(c, &v, end == LIST_HEAD ? 0 : count - 1, n, end == LIST_TAIL);
    if (n == count) {
        place_delete(c, p);
        return;
    }
    list_erase(place_change(c, p, VALUE_LIST), end == LIST_HEAD ? 0 : count - n, n, call_limits(c));
    place_changed(c, p);
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
    pop(c, &p, end, most);
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
    pop(c, &p, end, 1);
    effect_verbatim(c);
}

static void lpop_run(struct call *c) { pop_run(c, LIST_HEAD); }
static void rpop_run(struct call *c) { pop_run(c, LIST_TAIL); }

struct lmpop {
    int64_t keys, count; /* the keys are from argv[2] on */
    enum list_end end;
};

static bool lmpop_options(struct call *c, struct lmpop *o)
{
    if (!arg_range(c, c->argv[1], 1, INT64_MAX, &o->keys, "ERR numkeys should be greater than 0"))
        return false;
    if (o->keys >= c->argc - 2) {
        reply_syntax(c);
        return false;
    }
    int at = 2 + (int)o->keys;
    o->count = 1;
    if (!arg_end(c, c->argv[at], &o->end))
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

static void effect_pop(struct call *c, struct slice key, enum list_end end, uint64_t n)
{
    char text[NUM_I64_MAX];
    struct slice argv[] = {slice_str(end == LIST_HEAD ? "LPOP" : "RPOP"), key,
                           slice_of(text, num_format_i64(text, (int64_t)n))};
    effect(c, n == 1 ? 2 : 3, argv);
}

static void lmpop_run(struct call *c)
{
    struct lmpop o;
    if (!lmpop_options(c, &o))
        return;
    for (int i = 2; i < 2 + o.keys; i++) {
        struct place p = place_write(c, i);
        if (p.e == NULL)
            continue;
        if (!place_is(c, &p, VALUE_LIST))
            return;
        struct value v = place_value(&p);
        uint64_t n = min_u64((uint64_t)o.count, list_count(&v));
        reply_array(c, 2);
        reply_bulk(c, c->argv[i]);
        reply_array(c, n);
        pop(c, &p, o.end, n);
        effect_pop(c, c->argv[i], o.end, n);
        return;
    }
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
    reply_item(c, &it, item);
    list_erase(v, index, 1, call_limits(c));
    list_push(v, from == LIST_HEAD ? LIST_TAIL : LIST_HEAD, &moved, call_limits(c));
    place_changed(c, p);
    effect_pop(c, p->key.name, from, 1);
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
    reply_item(c, &it, item);
    list_push(place_change(c, dst, VALUE_LIST), to, &moved, call_limits(c));
    place_changed(c, dst);
    effect(c, 3, argv);
    list_erase(place_change(c, src, VALUE_LIST), index, 1, call_limits(c));
    place_changed(c, src);
    effect_pop(c, src->key.name, from, 1);
}

/* Replies the item, or null. */
static void move(struct call *c, enum list_end from, enum list_end to)
{
    struct place src = place_write(c, 1);
    if (src.e == NULL) {
        reply_null(c);
        return;
    }
    if (!place_is(c, &src, VALUE_LIST))
        return;
    struct place dst = place_write(c, 2);
    if (!place_is(c, &dst, VALUE_LIST))
        return;
    struct value v = place_value(&src);
    if (!slice_eq(src.key.name, dst.key.name))
        move_between(c, &src, &dst, from, to);
    else if (from != to && list_count(&v) > 1)
        rotate(c, &src, from);
    else
        reply_range(c, &v, from == LIST_HEAD ? 0 : list_count(&v) - 1, 1, false);
}

static void lmove_run(struct call *c)
{
    enum list_end from, to;
    if (arg_end(c, c->argv[3], &from) && arg_end(c, c->argv[4], &to))
        move(c, from, to);
}

static void rpoplpush_run(struct call *c) { move(c, LIST_TAIL, LIST_HEAD); }

/* --- reading --- */

static void llen_run(struct call *c)
{
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_LIST))
        return;
    struct value v = p.e != NULL ? place_value(&p) : (struct value){0};
    reply_int(c, p.e != NULL ? (int64_t)list_count(&v) : 0);
}

static void lrange_run(struct call *c)
{
    int64_t start, stop;
    uint64_t from, n;
    if (!arg_i64(c, c->argv[2], &start) || !arg_i64(c, c->argv[3], &stop))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_LIST))
        return;
    struct value v = p.e != NULL ? place_value(&p) : (struct value){0};
    if (p.e == NULL || !clip(start, stop, list_count(&v), &from, &n)) {
        reply_array(c, 0);
        return;
    }
    reply_array(c, n);
    reply_range(c, &v, from, n, false);
}

/* False if there is no such item. */
static bool find_index(int64_t index, uint64_t count, uint64_t *out)
{
    *out = (uint64_t)(index < 0 ? index + (int64_t)count : index);
    return *out < count;
}

static void lindex_run(struct call *c)
{
    int64_t index;
    uint64_t at;
    struct place p = place_read(c, 1);
    if (p.e == NULL) {
        reply_null(c);
        return;
    }
    if (!place_is(c, &p, VALUE_LIST) || !arg_i64(c, c->argv[2], &index))
        return;
    struct value v = place_value(&p);
    if (find_index(index, list_count(&v), &at))
        reply_range(c, &v, at, 1, false);
    else
        reply_null(c);
}

struct lpos {
    int64_t rank, count, most; /* count: -1 for one; 0 for all. most: 0 for all */
};

static bool lpos_option(struct call *c, struct slice word, struct slice value, struct lpos *o)
{
    if (slice_is(word, "count"))
        return arg_range(c, value, 0, INT64_MAX, &o->count, "ERR COUNT can't be negative");
    if (slice_is(word, "maxlen"))
        return arg_range(c, value, 0, INT64_MAX, &o->most, "ERR MAXLEN can't be negative");
    if (!slice_is(word, "rank")) {
        reply_syntax(c);
        return false;
    }
    if (!arg_signed_count(c, value, &o->rank))
        return false;
    if (o->rank == 0)
        reply_error(c, "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use "
                       "negative to start from the end of the list");
    return o->rank != 0;
}

static bool lpos_options(struct call *c, struct lpos *o)
{
    *o = (struct lpos){.rank = 1, .count = -1};
    for (int i = 3; i < c->argc; i += 2) {
        if (i + 1 == c->argc) {
            reply_syntax(c);
            return false;
        }
        if (!lpos_option(c, c->argv[i], c->argv[i + 1], o))
            return false;
    }
    return true;
}

/* Appends the indexes that are asked for, as replies; returns how many there are. */
static uint64_t find_positions(const struct value *v, struct pack_item needle, const struct lpos *o, struct buf *out)
{
    bool back = o->rank < 0;
    uint64_t all = list_count(v), most = o->most > 0 ? min_u64((uint64_t)o->most, all) : all;
    uint64_t skip = (uint64_t)(back ? -o->rank : o->rank) - 1, found = 0;
    uint64_t want = o->count < 0 ? 1 : o->count == 0 ? all : (uint64_t)o->count;
    struct list_iter it;
    struct pack_item item;
    list_iter_init(&it, v, back ? all - 1 : 0, back);
    for (uint64_t i = 0; i < most && found < want && list_iter_next(&it, &item); i++) {
        if (!pack_same(item, needle))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        resp_int(out, (int64_t)(back ? all - 1 - i : i));
        found++;
    }
    return found;
}

static void lpos_run(struct call *c)
{
    struct lpos o;
    struct buf found = {0};
    uint64_t n = 0;
    if (!lpos_options(c, &o))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_LIST))
        return;
    if (p.e != NULL) {
        struct value v = place_value(&p);
        n = find_positions(&v, needle_of(c->argv[2]), &o, &found);
    }
    if (o.count >= 0)
        reply_array(c, n);
    else if (n == 0)
        reply_null(c);
    buf_append_slice(c->out, buf_slice(&found));
    buf_free(&found);
}

/* --- LSET, LINSERT, LREM, LTRIM --- */

static void lset_run(struct call *c)
{
    int64_t index;
    uint64_t at;
    struct place p = place_write(c, 1);
    if (p.e == NULL) {
        reply_error(c, "ERR no such key");
        return;
    }
    if (!place_is(c, &p, VALUE_LIST) || !arg_i64(c, c->argv[2], &index))
        return;
    struct value v = place_value(&p);
    if (!find_index(index, list_count(&v), &at)) {
        reply_error(c, "ERR index out of range");
        return;
    }
    struct list_item item = item_of(c, c->argv[3]);
    list_set(place_change(c, &p, VALUE_LIST), at, &item, call_limits(c));
    place_changed(c, &p);
    effect_verbatim(c);
    reply_ok(c);
}

/* The index of the first item that equals `s`; false if there is none. */
static bool find_first(const struct value *v, struct slice s, uint64_t *index)
{
    struct pack_item needle = needle_of(s), item;
    struct list_iter it;
    list_iter_init(&it, v, 0, false);
    for (*index = 0; list_iter_next(&it, &item); ++*index)
        if (pack_same(item, needle))
            return true;
    return false;
}

static void linsert_run(struct call *c)
{
    uint64_t index;
    bool after = slice_is(c->argv[2], "after");
    if (!after && !slice_is(c->argv[2], "before")) {
        reply_syntax(c);
        return;
    }
    struct place p = place_write(c, 1);
    if (p.e == NULL) {
        reply_int(c, 0);
        return;
    }
    if (!place_is(c, &p, VALUE_LIST))
        return;
    struct value v = place_value(&p);
    if (!find_first(&v, c->argv[3], &index)) {
        reply_int(c, -1);
        return;
    }
    struct list_item item = item_of(c, c->argv[4]);
    list_insert(place_change(c, &p, VALUE_LIST), index + after, &item, call_limits(c));
    reply_int(c, (int64_t)list_count(&p.value));
    place_changed(c, &p);
    effect_verbatim(c);
}

static void lrem_run(struct call *c)
{
    int64_t count;
    if (!arg_signed_count(c, c->argv[2], &count))
        return;
    struct place p = place_write(c, 1);
    if (p.e == NULL) {
        reply_int(c, 0);
        return;
    }
    if (!place_is(c, &p, VALUE_LIST))
        return;
    uint64_t most = count == 0 ? UINT64_MAX : (uint64_t)(count < 0 ? -count : count);
    struct value *v = place_change(c, &p, VALUE_LIST);
    uint64_t removed = list_remove(v, c->argv[3], most, count < 0, call_limits(c));
    if (removed > 0) {
        place_changed(c, &p);
        effect_verbatim(c);
    } else {
        place_unchanged(c, &p);
    }
    reply_int(c, (int64_t)removed);
}

static void trim(struct call *c, struct place *p, uint64_t from, uint64_t n, uint64_t count)
{
    struct value *v = place_change(c, p, VALUE_LIST);
    if (from + n < count)
        list_erase(v, from + n, count - from - n, call_limits(c));
    if (from > 0)
        list_erase(v, 0, from, call_limits(c));
    place_changed(c, p);
}

static void ltrim_run(struct call *c)
{
    int64_t start, stop;
    uint64_t from, n;
    if (!arg_i64(c, c->argv[2], &start) || !arg_i64(c, c->argv[3], &stop))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_LIST))
        return;
    reply_ok(c);
    if (p.e == NULL)
        return;
    struct value v = place_value(&p);
    uint64_t count = list_count(&v);
    bool some = clip(start, stop, count, &from, &n);
    if (some && n == count)
        return;
    if (some)
        trim(c, &p, from, n, count);
    else
        place_delete(c, &p);
    effect_verbatim(c);
}

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
static const struct command_arg range_args[] = {
    ARG("key", "key"),
    ARG("start", "integer"),
    ARG("stop", "integer"),
    ARG_END,
};
static const struct command_arg lindex_args[] = {
    ARG("key", "key"),
    ARG("index", "integer"),
    ARG_END,
};
static const struct command_arg lset_args[] = {
    ARG("key", "key"),
    ARG("index", "integer"),
    ARG("element", "string"),
    ARG_END,
};
static const struct command_arg before_after[] = {
    ARG_TOKEN("before", "BEFORE"),
    ARG_TOKEN("after", "AFTER"),
    ARG_END,
};
static const struct command_arg linsert_args[] = {
    ARG("key", "key"), ARG_ONEOF("where", before_after), ARG("pivot", "string"), ARG("element", "string"), ARG_END,
};
static const struct command_arg lrem_args[] = {
    ARG("key", "key"),
    ARG("count", "integer"),
    ARG("element", "string"),
    ARG_END,
};
static const struct command_arg lpos_args[] = {
    ARG("key", "key"),
    ARG("element", "string"),
    ARG("rank", "integer", .token = "RANK", .flags = ARG_OPTIONAL),
    ARG("num-matches", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG("len", "integer", .token = "MAXLEN", .flags = ARG_OPTIONAL),
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
    {.name = "llen",
     .run = llen_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     LIST,
     .keys = KEY1(KEY_RO),
     .summary = "Returns the length of a list.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "lrange",
     .run = lrange_run,
     .arity = 4,
     .flags = CMD_READONLY,
     LIST,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns a range of elements from a list.",
     .since = "1.0.0",
     .complexity =
         "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or "
         "TAIL) for large lists; and N is the number of elements in the specified range.",
     .args = range_args},
    {.name = "lindex",
     .run = lindex_run,
     .arity = 3,
     .flags = CMD_READONLY,
     LIST,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns an element from a list by its index.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements to traverse to get to the element at index. This makes "
                   "asking for the first or the last element of the list O(1).",
     .args = lindex_args},
    {.name = "lpos",
     .run = lpos_run,
     .arity = -3,
     .flags = CMD_READONLY,
     LIST,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns the index of matching elements in a list.",
     .since = "6.0.6",
     .complexity = "O(N) where N is the number of elements in the list, for the average case. When searching for "
                   "elements near the head or the tail of the list, or when the MAXLEN option is provided, the command "
                   "may run in constant time.",
     .args = lpos_args},
    {.name = "lset",
     .run = lset_run,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     LIST,
     .keys = KEY1(KEY_RW | KEY_UPDATE),
     .summary = "Sets the value of an element in a list by its index.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the length of the list. Setting either the first or the last element of the list "
                   "is O(1).",
     .args = lset_args},
    {.name = "linsert",
     .run = linsert_run,
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     LIST,
     .keys = KEY1(KEY_RW | KEY_INSERT),
     .summary = "Inserts an element before or after another element in a list.",
     .since = "2.2.0",
     .complexity = "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that "
                   "inserting somewhere on the left end on the list (head) can be considered O(1) and inserting "
                   "somewhere on the right end (tail) is O(N).",
     .args = linsert_args},
    {.name = "lrem",
     .run = lrem_run,
     .arity = 4,
     .flags = CMD_WRITE,
     LIST,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .summary = "Removes elements from a list. Deletes the list if the last element was removed.",
     .since = "1.0.0",
     .complexity = "O(N+M) where N is the length of the list and M is the number of elements removed.",
     .args = lrem_args},
    {.name = "ltrim",
     .run = ltrim_run,
     .arity = 4,
     .flags = CMD_WRITE,
     LIST,
     .keys = KEY1(KEY_RW | KEY_DELETE),
     .summary = "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements to be removed by the operation.",
     .args = range_args},
    {.name = NULL},
};
