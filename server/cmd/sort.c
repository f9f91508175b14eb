/* SORT and SORT_RO.
 *
 * BY and GET name keys by patterns: '*' stands for the element, and "->field" behind it for a field of a hash. Which
 * keys those are is known only from the values, so with several shards such a SORT is about all of them (a hold), and
 * admission asks sort_needs for the keys whose values are missing: first those of BY, then, when the order is known,
 * those that GET needs for the elements inside LIMIT. What it could not foresee, inside a transaction that changes what
 * is sorted, is read on the spot. */
#include "core/value/sort.h"

#include "core/base/num.h"
#include "core/value/hash.h"
#include "core/value/list.h"
#include "server/cmd/store.h"
#include "server/reply.h"
#include "server/words.h"

/* --- options --- */

struct sort_options {
    struct slice by; /* p is NULL: by the elements themselves */
    bool unsorted;   /* BY something without '*' */
    unsigned how;    /* SORT_ALPHA, SORT_DESC */
    int64_t from, count;
    int store;         /* argument of the destination; 0: none */
    struct words gets; /* patterns */
};

static bool is_pattern(struct slice s) { return s.len > 0 && memchr(s.p, '*', s.len) != NULL; }

static bool parse_limit(const struct slice *argv, struct sort_options *o)
{
    return num_parse_i64(argv[1], &o->from) && num_parse_i64(argv[2], &o->count);
}

/* Arguments behind the word at `i` that belong to it; 0 if it has none, -1 if it is not known or they are missing. */
static int option_words(const struct slice *argv, int argc, int i, bool may_store)
{
    struct slice word = argv[i];
    int words;
    if (slice_is(word, "asc") || slice_is(word, "desc") || slice_is(word, "alpha"))
        return 0;
    if (slice_is(word, "limit"))
        words = 2;
    else if (slice_is(word, "by") || slice_is(word, "get") || (may_store && slice_is(word, "store")))
        words = 1;
    else
        return -1;
    return i + words < argc ? words : -1;
}

static void set_by(struct sort_options *o, struct slice pattern)
{
    o->by = pattern;
    if (!is_pattern(pattern))
        o->unsorted = true;
}

/* False: a number is none. */
static bool set_option(const struct slice *argv, int i, struct sort_options *o)
{
    struct slice word = argv[i];
    if (slice_is(word, "limit"))
        return parse_limit(argv + i, o);
    if (slice_is(word, "by"))
        set_by(o, argv[i + 1]);
    else if (slice_is(word, "get"))
        words_add(&o->gets, argv[i + 1]);
    else if (slice_is(word, "store"))
        o->store = i + 1;
    else if (slice_is(word, "alpha"))
        o->how |= SORT_ALPHA;
    else
        o->how = slice_is(word, "desc") ? o->how | SORT_DESC : o->how & ~(unsigned)SORT_DESC;
    return true;
}

/* NULL, or what is wrong. Free the options in any case. */
static const char *parse(const struct call *c, struct sort_options *o)
{
    bool may_store = c->cmd->flags & CMD_WRITE;
    *o = (struct sort_options){.count = -1};
    words_init(&o->gets);
    for (int i = 2, words; i < c->argc; i += 1 + words) {
        words = option_words(c->argv, c->argc, i, may_store);
        if (words < 0)
            return "ERR syntax error";
        if (!set_option(c->argv, i, o))
            return "ERR value is not an integer or out of range";
    }
    return NULL;
}

/* One run of SORT, or of what admission does before it. */
struct sorting {
    struct call *c;
    struct needs *needs; /* not NULL: only to name what is missing */
    bool missing;        /* something is */
    int error;           /* a value cannot be read: negative errno */
    struct sort_options o;
    struct sort_vector v;
    uint64_t from, to; /* what LIMIT leaves of the vector */
    struct buf key;    /* of a pattern, for one element */
};

static void sorting_free(struct sorting *s)
{
    words_free(&s->o.gets);
    sort_free(&s->v);
    buf_free(&s->key);
}

/* --- patterns --- */

/* Puts the name of the pattern's key for an element into s->key; *field is what stands behind "->". False: the pattern
 * names no key. */
static bool pattern_key(struct sorting *s, struct slice pattern, struct slice element, struct slice *field)
{
    const uint8_t *end = pattern.p + pattern.len;
    const uint8_t *star = pattern.len > 0 ? memchr(pattern.p, '*', pattern.len) : NULL;
    if (star == NULL)
        return false;
    const uint8_t *arrow = memmem(star + 1, (size_t)(end - star - 1), "->", 2);
    *field = slice_of(NULL, 0);
    if (arrow != NULL && arrow + 2 < end) {
        *field = slice_of(arrow + 2, (size_t)(end - arrow - 2));
        end = arrow;
    }
    buf_clear(&s->key);
    buf_append(&s->key, pattern.p, (size_t)(star - pattern.p));
    buf_append_slice(&s->key, element);
    buf_append(&s->key, star + 1, (size_t)(end - star - 1));
    return true;
}

static enum value_type wanted_type(struct slice field) { return field.p != NULL ? VALUE_HASH : VALUE_STRING; }

/* The entry of the key in s->key if it has the type, with its value in RAM; else NULL. */
static const struct entry *find_entry(struct sorting *s, enum value_type type)
{
    if (s->needs != NULL) {
        const struct entry *e = need_value(s->needs, buf_slice(&s->key), 1u << type);
        bool cold = e != NULL && e->type == type && entry_cold(e);
        s->missing |= cold;
        return e != NULL && e->type == type && !cold ? e : NULL;
    }
    struct place p = place_read_in(s->c, s->c->db, buf_slice(&s->key));
    if (p.e == NULL || p.e->type != type)
        return NULL;
    s->error = place_fetch(&p);
    return s->error < 0 ? NULL : p.e;
}

/* What the pattern gives for an element, borrowed or in `scratch`. False: nothing. */
static bool look_up(struct sorting *s, struct slice pattern, struct slice element, char scratch[static PACK_TEXT_MAX],
                    struct slice *out)
{
    struct slice field;
    *out = element;
    if (pattern.len == 1 && pattern.p[0] == '#')
        return true;
    if (!pattern_key(s, pattern, element, &field))
        return false;
    const struct entry *e = find_entry(s, wanted_type(field));
    if (e == NULL)
        return false;
    struct value v = entry_value(e);
    if (field.p != NULL)
        return hash_get(&v, field, s->c->now_ms, scratch, out);
    *out = string_bytes(&v, scratch);
    return true;
}

/* --- the elements, in order --- */

/* The part of `n` elements that LIMIT selects. */
static void set_window(struct sorting *s, uint64_t n)
{
    uint64_t from = (uint64_t)(s->o.from > 0 ? s->o.from : 0);
    uint64_t count = s->o.count < 0 ? n : (uint64_t)s->o.count;
    s->from = min_u64(from, n);
    s->to = s->from + min_u64(count, n - s->from);
}

/* Lists and sorted sets have an order: what is outside the window need not be looked at. */
static void load(struct sorting *s, const struct value *v)
{
    uint64_t n = value_class_of(v->type)->length(v);
    set_window(s, n);
    if (!s->o.unsorted || v->type == VALUE_SET) {
        sort_load(&s->v, v, 0, n, false);
        return;
    }
    bool back = s->o.how & SORT_DESC;
    if (s->from < s->to)
        sort_load(&s->v, v, back ? n - 1 - s->from : s->from, s->to - s->from, back);
    s->to -= s->from;
    s->from = 0;
}

static bool weigh(struct sorting *s, struct sort_item *item)
{
    char scratch[PACK_TEXT_MAX];
    struct slice by = item->text;
    if (s->o.by.p != NULL && !look_up(s, s->o.by, item->text, scratch, &by))
        return true;
    if (!(s->o.how & SORT_ALPHA))
        return sort_parse(by, &item->score);
    item->by = by.p == (const uint8_t *)scratch ? sort_keep(&s->v, by) : by;
    return true;
}

/* False: something has no number. */
static bool weigh_all(struct sorting *s)
{
    bool good = true;
    for (uint64_t i = 0; i < s->v.n && s->error == 0; i++)
        good &= weigh(s, &s->v.at[i]);
    return good;
}

/* What is stored of a set that is not to be sorted is put into an order, as in Redis. */
static void order_stored_set(struct sorting *s, const struct value *v)
{
    if (!s->o.unsorted || v->type != VALUE_SET || s->o.store == 0)
        return;
    s->o.unsorted = false;
    s->o.how |= SORT_ALPHA;
    s->o.by.p = NULL;
}

/* False: something is missing, cannot be read, or is no number (which is replied). */
static bool arrange(struct sorting *s, const struct value *v)
{
    order_stored_set(s, v);
    load(s, v);
    if (s->o.unsorted)
        return true;
    bool numbers = weigh_all(s);
    if (s->error < 0 || s->missing)
        return false;
    if (!numbers) {
        if (s->needs == NULL)
            reply_error(s->c, "ERR One or more scores can't be converted into double");
        return false;
    }
    sort_order(&s->v, s->o.how | (s->o.by.p != NULL ? SORT_BY : 0), s->to);
    return true;
}

/* --- what becomes of them --- */

typedef void take_value(void *arg, struct slice value, bool exists);

/* Each element inside the window, or what the GETs give for it. */
static void each_output(struct sorting *s, take_value *take, void *arg)
{
    char scratch[PACK_TEXT_MAX];
    struct slice out;
    for (uint64_t i = s->from; i < s->to && s->error == 0; i++) {
        struct slice element = s->v.at[i].text;
        if (s->o.gets.n == 0)
            take(arg, element, true);
        for (int g = 0; g < s->o.gets.n && s->error == 0; g++) {
            bool exists = look_up(s, s->o.gets.at[g], element, scratch, &out);
            take(arg, out, exists);
        }
    }
}

static void take_nothing(void *arg, struct slice value, bool exists)
{
    (void)arg;
    (void)value;
    (void)exists;
}

static void take_reply(void *arg, struct slice value, bool exists)
{
    struct call *c = arg;
    if (exists)
        reply_bulk(c, value);
    else
        reply_null(c);
}

static void reply_unreadable(const struct sorting *s)
{
    reply_errorf(s->c, "ERR cannot read a value from the flash tier: %s", strerror(-s->error));
}

/* What cannot be read shows itself in the middle of the reply: the error takes its place. */
static void reply_sorted(struct sorting *s)
{
    size_t begin = s->c->out->len;
    reply_array(s->c, (s->to - s->from) * (s->o.gets.n > 0 ? (uint64_t)s->o.gets.n : 1));
    each_output(s, take_reply, s->c);
    if (unlikely(s->error < 0)) {
        s->c->out->len = begin;
        reply_unreadable(s);
    }
}

struct storing {
    struct value list;
    const struct value_limits *limits;
};

static void take_stored(void *arg, struct slice value, bool exists)
{
    struct storing *to = arg;
    struct list_item item = {.bytes = exists ? value : slice_of("", 0)};
    list_push(&to->list, LIST_TAIL, &item, to->limits);
}

static void store_sorted(struct sorting *s)
{
    struct storing to = {list_class.empty(), call_limits(s->c)};
    each_output(s, take_stored, &to);
    if (unlikely(s->error < 0)) {
        list_class.release(&to.list);
        reply_unreadable(s);
    } else {
        store_result(s->c, s->o.store, &to.list, EVENT_LIST, "sortstore");
    }
}

/* --- the commands --- */

static void sort_value(struct sorting *s, const struct value *v)
{
    if (!arrange(s, v)) {
        if (s->error < 0)
            reply_unreadable(s);
    } else if (s->o.store != 0) {
        store_sorted(s);
    } else {
        reply_sorted(s);
    }
}

static void sort_key(struct sorting *s)
{
    struct place p = place_read(s->c, 1);
    if (p.e != NULL && !sort_takes(p.e->type)) {
        reply_wrongtype(s->c);
        return;
    }
    struct value none = list_class.empty(), v = p.e != NULL ? place_value(&p) : none;
    sort_value(s, &v);
    list_class.release(&none);
}

static void sort_run(struct call *c)
{
    struct sorting s = {.c = c};
    const char *error = parse(c, &s.o);
    if (error != NULL)
        reply_error(c, error);
    else
        sort_key(&s);
    sorting_free(&s);
}

static bool looks_up(const struct sort_options *o)
{
    bool some = o->by.p != NULL && !o->unsorted;
    for (int i = 0; i < o->gets.n; i++)
        some |= is_pattern(o->gets.at[i]);
    return some;
}

#define SORTED_TYPES (1u << VALUE_LIST | 1u << VALUE_SET | 1u << VALUE_ZSET)

static void sort_needs(struct call *c, struct needs *n)
{
    struct sorting s = {.c = c, .needs = n};
    const struct entry *e = NULL;
    if (parse(c, &s.o) == NULL && looks_up(&s.o))
        e = need_value(n, c->argv[1], SORTED_TYPES);
    if (e != NULL && sort_takes(e->type) && !entry_cold(e)) {
        struct value v = entry_value(e);
        if (arrange(&s, &v))
            each_output(&s, take_nothing, NULL);
    }
    sorting_free(&s);
}

/* --- keys and routes, from arguments that may make no sense --- */

/* The next option with one of the words; what belongs to others is passed over. argc: none. */
static int next_option(const struct slice *argv, int argc, int i, const char *a, const char *b)
{
    for (int words; i < argc; i += 1 + words) {
        if (i + 1 < argc && (slice_is(argv[i], a) || slice_is(argv[i], b)))
            return i;
        words = option_words(argv, argc, i, true);
        words = words < 0 ? 0 : words;
    }
    return argc;
}

static int sort_keys(const struct slice *argv, int argc, struct key_ref *out, int max)
{
    int n = 1;
    struct key_ref refs[2] = {{.arg = 1, .need = NEED_VALUE, .flags = KEY_RO | KEY_ACCESS}};
    for (int i = 2; (i = next_option(argv, argc, i, "store", "store")) < argc; i += 2) {
        refs[1] = (struct key_ref){.arg = i + 1, .need = NEED_META, .flags = KEY_OW | KEY_UPDATE};
        n = 2;
    }
    for (int i = 0; i < n && i < max; i++)
        out[i] = refs[i];
    return n;
}

static int sort_ro_keys(const struct slice *argv, int argc, struct key_ref *out, int max)
{
    (void)argv;
    (void)argc;
    if (max > 0)
        out[0] = (struct key_ref){.arg = 1, .need = NEED_VALUE, .flags = KEY_RO | KEY_ACCESS};
    return 1;
}

static enum command_route sort_route(const struct server *server, const struct slice *argv, int argc)
{
    (void)server;
    for (int i = 2; (i = next_option(argv, argc, i, "by", "get")) < argc; i += 2)
        if (is_pattern(argv[i + 1]))
            return ROUTE_ALL;
    return ROUTE_KEYS;
}

/* --- declarations --- */

#define SORTED .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS, .group = "generic"
#define SORTED_KEY                                                              \
    {                                                                           \
        .flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .need = NEED_VALUE \
    }
#define PATTERN_KEYS                                                                                              \
    {                                                                                                             \
        .unknown = true, .flags = KEY_RO | KEY_ACCESS,                                                            \
        .notes = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the " \
                 "content of the key we sort"                                                                     \
    }
#define OPTION_ARGS                                                                                              \
    ARG("key", "key"),                                                                                           \
        ARG("by-pattern", "pattern", .display = "pattern", .token = "BY", .key_spec = 1, .flags = ARG_OPTIONAL), \
        ARG_BLOCK("limit", limit_args, .token = "LIMIT", .flags = ARG_OPTIONAL),                                 \
        ARG("get-pattern", "pattern", .display = "pattern", .token = "GET", .key_spec = 1,                       \
            .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN),                                          \
        ARG_ONEOF("order", order_args, .flags = ARG_OPTIONAL), ARG_TOKEN("sorting", "ALPHA", .flags = ARG_OPTIONAL)
#define COST                                                                                                    \
    "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned " \
    "elements. When the elements are not sorted, complexity is O(N)."

static const struct command_arg limit_args[] = {
    ARG("offset", "integer"),
    ARG("count", "integer"),
    ARG_END,
};
static const struct command_arg order_args[] = {
    ARG_TOKEN("asc", "ASC"),
    ARG_TOKEN("desc", "DESC"),
    ARG_END,
};
static const struct command_arg sort_args[] = {
    OPTION_ARGS,
    ARG("destination", "key", .token = "STORE", .key_spec = 2, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg sort_ro_args[] = {
    OPTION_ARGS,
    ARG_END,
};

struct command sort_commands[] = {
    {.name = "sort",
     .run = sort_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     SORTED,
     .route_of = sort_route,
     .find_keys = sort_keys,
     .needs = sort_needs,
     .keys = {SORTED_KEY,
              PATTERN_KEYS,
              {.unknown = true,
               .flags = KEY_OW | KEY_UPDATE,
               .notes = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear "
                        "anywhere in the argument array"}},
     .summary = "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
     .since = "1.0.0",
     .complexity = COST,
     .args = sort_args},
    {.name = "sort_ro",
     .run = sort_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS,
     SORTED,
     .route_of = sort_route,
     .find_keys = sort_ro_keys,
     .needs = sort_needs,
     .keys = {SORTED_KEY, PATTERN_KEYS},
     .summary = "Returns the sorted elements of a list, a set, or a sorted set.",
     .since = "7.0.0",
     .complexity = COST,
     .args = sort_ro_args},
    {.name = NULL},
};
