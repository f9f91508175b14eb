/* Commands on lists by index and by value. */
#include "core/base/num.h"
#include "server/cmd/list.h"

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

/* --- LLEN, LRANGE, LINDEX, LPOS --- */

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
    list_reply_range(c, &v, from, n, false);
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
        list_reply_range(c, &v, at, 1, false);
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
    struct list_item item = list_item_arg(c, c->argv[3]);
    list_set(place_change(c, &p, VALUE_LIST), at, &item, call_limits(c));
    place_changed(c, &p, EVENT_LIST, "lset");
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
    struct list_item item = list_item_arg(c, c->argv[4]);
    list_insert(place_change(c, &p, VALUE_LIST), index + after, &item, call_limits(c));
    reply_int(c, (int64_t)list_count(&p.value));
    place_changed(c, &p, EVENT_LIST, "linsert");
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
        place_changed(c, &p, EVENT_LIST, "lrem");
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
    place_changed(c, p, EVENT_LIST, "ltrim");
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
    if (some && n == count) {
        key_event(c, &p, EVENT_LIST, "ltrim"); /* as Redis, though nothing is */
        return;
    }
    if (some)
        trim(c, &p, from, n, count);
    else
        place_emptied(c, &p, EVENT_LIST, "ltrim");
    effect_verbatim(c);
}

/* --- the commands --- */

#define KEY1(f)                                                    \
    {                                                              \
        {.flags = (f), .first = 1, .step = 1, .need = NEED_VALUE}, \
    }
#define LIST .acl = ACL_LIST, .route = ROUTE_KEYS, .group = "list"

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
static const struct command_arg lpos_args[] = {
    ARG("key", "key"),
    ARG("element", "string"),
    ARG("rank", "integer", .token = "RANK", .flags = ARG_OPTIONAL),
    ARG("num-matches", "integer", .token = "COUNT", .flags = ARG_OPTIONAL),
    ARG("len", "integer", .token = "MAXLEN", .flags = ARG_OPTIONAL),
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

struct command list_index_commands[] = {
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
