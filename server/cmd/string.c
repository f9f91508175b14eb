/* String commands. SET and GET are the hot path: with three arguments SET parses no options. */
#include "core/value/string.h"

#include <math.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/reply.h"

/* --- options of SET and GETEX --- */

enum set_flag { SET_NX = 1, SET_XX = 2, SET_GET = 4, SET_KEEPTTL = 8, SET_PERSIST = 16, SET_EXPIRES = 32 };

struct set_options {
    int flags;
    bool seconds, absolute;
    struct slice when;
};

static bool expire_option(struct set_options *o, struct slice word, struct slice value, bool has_value, bool *matched)
{
    static const struct {
        const char *word;
        bool seconds, absolute;
    } words[] = {{"ex", true, false}, {"px", false, false}, {"exat", true, true}, {"pxat", false, true}};
    *matched = false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!slice_is(word, words[i].word))
            continue;
        bool other = (o->flags & SET_EXPIRES) && (o->seconds != words[i].seconds || o->absolute != words[i].absolute);
        if (!has_value || other || (o->flags & (SET_KEEPTTL | SET_PERSIST)))
            return false;
        o->flags |= SET_EXPIRES;
        o->seconds = words[i].seconds;
        o->absolute = words[i].absolute;
        o->when = value;
        *matched = true;
        return true;
    }
    return true;
}

static int set_word(const struct set_options *o, struct slice word)
{
    if (slice_is(word, "nx") && !(o->flags & SET_XX))
        return SET_NX;
    if (slice_is(word, "xx") && !(o->flags & SET_NX))
        return SET_XX;
    if (slice_is(word, "get"))
        return SET_GET;
    if (slice_is(word, "keepttl") && !(o->flags & (SET_PERSIST | SET_EXPIRES)))
        return SET_KEEPTTL;
    return 0;
}

static bool parse_options(const struct slice *argv, int argc, int from, bool getex, struct set_options *o)
{
    *o = (struct set_options){0};
    for (int i = from; i < argc; i++) {
        bool matched;
        if (!expire_option(o, argv[i], i + 1 < argc ? argv[i + 1] : argv[i], i + 1 < argc, &matched))
            return false;
        if (matched) {
            i++;
            continue;
        }
        int flag = getex ? 0 : set_word(o, argv[i]);
        if (getex && slice_is(argv[i], "persist") && !(o->flags & SET_EXPIRES))
            flag = SET_PERSIST;
        if (flag == 0)
            return false;
        o->flags |= flag;
    }
    return true;
}

/* The absolute time in milliseconds; replies on failure. */
static bool expire_time(struct call *c, struct slice text, bool seconds, bool absolute, int64_t *out)
{
    int64_t v;
    if (!arg_i64(c, text, &v))
        return false;
    if (v <= 0 || (seconds && v > INT64_MAX / 1000))
        goto invalid;
    if (seconds)
        v *= 1000;
    if (!absolute && v > INT64_MAX - c->now_ms)
        goto invalid;
    *out = absolute ? v : v + c->now_ms;
    return true;
invalid:
    reply_errorf(c, "ERR invalid expire time in '%s' command", c->cmd->full_name);
    return false;
}

/* --- effects --- */

static void effect_set(struct call *c, struct slice key, struct slice value, int64_t expire_ms)
{
    char when[NUM_I64_MAX];
    struct slice argv[5] = {SLICE_LIT("SET"), key, value, SLICE_LIT("PXAT")};
    if (expire_ms == ENTRY_NO_EXPIRY) {
        effect(c, 3, argv);
    } else if (expire_ms == EXPIRE_KEEP) {
        argv[3] = SLICE_LIT("KEEPTTL");
        effect(c, 4, argv);
    } else {
        argv[4] = slice_of(when, num_format_i64(when, expire_ms));
        effect(c, 5, argv);
    }
}

static void store(struct call *c, struct place *p, struct slice value, int64_t expire_ms)
{
    struct value v = call_string(c, value);
    place_put(c, p, &v, expire_ms);
    effect_set(c, p->key.name, value, expire_ms);
    key_event(c, p, EVENT_STRING, "set");
    if (expire_ms != ENTRY_NO_EXPIRY && expire_ms != EXPIRE_KEEP)
        key_event(c, p, EVENT_GENERIC, "expire");
}

static void reply_string(struct call *c, const struct place *p)
{
    if (p->e == NULL) {
        reply_null(c);
        return;
    }
    struct value v = entry_value(p->e);
    reply_value(c, &v);
}

static void reply_old(struct call *c, const struct place *p)
{
    reply_string(c, p);
    key_missed(c, p);
}

static bool check_length(struct call *c, int64_t size, int64_t append)
{
    int64_t total;
    if (!__builtin_add_overflow(size, append, &total) && total <= call_max_string(c))
        return true;
    reply_error(c, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

/* --- SET and friends --- */

static void set_generic(struct call *c, int flags, struct slice value, int64_t expire_ms)
{
    struct place p = place_write(c, 1);
    bool exists = p.e != NULL;

    if ((flags & SET_GET) && !place_is(c, &p, VALUE_STRING))
        return;
    bool refused = ((flags & SET_NX) && exists) || ((flags & SET_XX) && !exists);
    if (flags & SET_GET)
        reply_old(c, &p);
    else if (refused)
        reply_null(c);
    if (refused)
        return;
    store(c, &p, value, expire_ms);
    if (!(flags & SET_GET))
        reply_ok(c);
}

static void set_run(struct call *c)
{
    struct set_options o;
    int64_t expire_ms = ENTRY_NO_EXPIRY;
    if (likely(c->argc == 3)) {
        set_generic(c, 0, c->argv[2], ENTRY_NO_EXPIRY);
        return;
    }
    if (!parse_options(c->argv, c->argc, 3, false, &o)) {
        reply_syntax(c);
        return;
    }
    if ((o.flags & SET_EXPIRES) && !expire_time(c, o.when, o.seconds, o.absolute, &expire_ms))
        return;
    if (o.flags & SET_KEEPTTL)
        expire_ms = EXPIRE_KEEP;
    set_generic(c, o.flags, c->argv[2], expire_ms);
}

static enum key_need set_need(const struct slice *argv, int argc, int arg)
{
    (void)arg;
    for (int i = 3; i < argc; i++)
        if (slice_is(argv[i], "get"))
            return NEED_VALUE;
    return NEED_META;
}

static void setnx_run(struct call *c)
{
    struct place p = place_write(c, 1);
    if (p.e != NULL) {
        reply_int(c, 0);
        return;
    }
    store(c, &p, c->argv[2], ENTRY_NO_EXPIRY);
    reply_int(c, 1);
}

static void setex_with(struct call *c, bool seconds)
{
    int64_t expire_ms;
    if (expire_time(c, c->argv[2], seconds, false, &expire_ms))
        set_generic(c, 0, c->argv[3], expire_ms);
}

static void setex_run(struct call *c) { setex_with(c, true); }
static void psetex_run(struct call *c) { setex_with(c, false); }

static void getset_run(struct call *c)
{
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    reply_old(c, &p);
    store(c, &p, c->argv[2], ENTRY_NO_EXPIRY);
}

/* --- GET and friends --- */

static void get_run(struct call *c)
{
    struct place p = place_read(c, 1);
    if (place_is(c, &p, VALUE_STRING))
        reply_string(c, &p);
}

static void getdel_run(struct call *c)
{
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    reply_string(c, &p);
    if (p.e != NULL)
        place_remove(c, &p);
}

static void getex_run(struct call *c)
{
    struct set_options o;
    int64_t when_ms = 0;
    if (!parse_options(c->argv, c->argc, 2, true, &o)) {
        reply_syntax(c);
        return;
    }
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    if (p.e == NULL) {
        reply_null(c);
        return;
    }
    if ((o.flags & SET_EXPIRES) && !expire_time(c, o.when, o.seconds, o.absolute, &when_ms))
        return;
    reply_string(c, &p);
    if ((o.flags & SET_EXPIRES) && call_past(c, when_ms))
        place_remove(c, &p);
    else if (o.flags & SET_EXPIRES)
        place_expire(c, &p, when_ms);
    else if ((o.flags & SET_PERSIST) && entry_expiry(p.e) != ENTRY_NO_EXPIRY)
        place_expire(c, &p, ENTRY_NO_EXPIRY);
}

static void mget_run(struct call *c)
{
    reply_array(c, (size_t)c->argc - 1);
    for (int i = 1; i < c->argc; i++) {
        struct place p = place_read(c, i);
        if (p.e != NULL && p.e->type != VALUE_STRING)
            p.e = NULL;
        reply_string(c, &p);
    }
}

static void mset_all(struct call *c)
{
    for (int i = 1; i < c->argc; i += 2) {
        struct place p = place_write(c, i);
        store(c, &p, c->argv[i + 1], ENTRY_NO_EXPIRY);
    }
}

static bool odd_pairs(struct call *c)
{
    if (c->argc % 2 == 1)
        return false;
    reply_wrong_arity(c);
    return true;
}

static void mset_run(struct call *c)
{
    if (odd_pairs(c))
        return;
    mset_all(c);
    reply_ok(c);
}

static void msetnx_run(struct call *c)
{
    if (odd_pairs(c))
        return;
    for (int i = 1; i < c->argc; i += 2)
        if (place_write(c, i).e != NULL) {
            reply_int(c, 0);
            return;
        }
    mset_all(c);
    reply_int(c, 1);
}

static void strlen_run(struct call *c)
{
    char scratch[21];
    struct place p = place_read(c, 1);
    if (place_is(c, &p, VALUE_STRING))
        reply_int(c, (int64_t)place_string(&p, scratch).len);
}

/* --- numbers --- */

static void incr_by(struct call *c, int64_t by)
{
    char scratch[21], text[NUM_I64_MAX];
    struct place p = place_write(c, 1);
    int64_t v = 0;

    if (!place_is(c, &p, VALUE_STRING))
        return;
    if (p.e != NULL && !arg_i64(c, place_string(&p, scratch), &v))
        return;
    if (__builtin_add_overflow(v, by, &v)) {
        reply_error(c, "ERR increment or decrement would overflow");
        return;
    }
    struct value now = {.type = VALUE_STRING, .encoding = ENC_INT, .integer = v};
    place_put(c, &p, &now, EXPIRE_KEEP);
    key_event(c, &p, EVENT_STRING, "incrby");
    struct slice argv[] = {SLICE_LIT("INCRBY"), p.key.name, slice_of(text, num_format_i64(text, by))};
    effect(c, 3, argv);
    reply_int(c, v);
}

static void incr_run(struct call *c) { incr_by(c, 1); }
static void decr_run(struct call *c) { incr_by(c, -1); }

static void incrby_run(struct call *c)
{
    int64_t by;
    if (arg_i64(c, c->argv[2], &by))
        incr_by(c, by);
}

static void decrby_run(struct call *c)
{
    int64_t by;
    if (!arg_i64(c, c->argv[2], &by))
        return;
    if (by == INT64_MIN)
        reply_error(c, "ERR decrement would overflow");
    else
        incr_by(c, -by);
}

static void incrbyfloat_run(struct call *c)
{
    char scratch[21], text[NUM_LD_MAX];
    struct place p = place_write(c, 1);
    long double v = 0, by;

    if (!place_is(c, &p, VALUE_STRING))
        return;
    if ((p.e != NULL && !num_parse_ld(place_string(&p, scratch), &v)) || !num_parse_ld(c->argv[2], &by)) {
        reply_error(c, "ERR value is not a valid float");
        return;
    }
    v += by;
    if (isnan(v) || isinf(v)) {
        reply_error(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct slice now = slice_of(text, num_format_ld(text, sizeof(text), v));
    /* Always text, never the integer encoding: as Redis keeps it. */
    struct value result = {.type = VALUE_STRING, .encoding = ENC_EMBED, .embed = now};
    place_put(c, &p, &result, EXPIRE_KEEP);
    key_event(c, &p, EVENT_STRING, "incrbyfloat");
    effect_set(c, p.key.name, now, EXPIRE_KEEP);
    reply_bulk(c, now);
}

/* --- pieces --- */

/* Writes `bytes` at `off`, zero-filling a gap. The entry exists. */
static void write_at(struct call *c, struct place *p, size_t off, struct slice bytes)
{
    char scratch[21];
    size_t old = place_string(p, scratch).len;
    size_t end = off + bytes.len > old ? off + bytes.len : old;
    struct blob *b = place_writable(c, p, end);
    if (off > old)
        memset(b->data + old, 0, off - old);
    if (bytes.len > 0)
        memcpy(b->data + off, bytes.p, bytes.len);
    b->len = end;
    place_written(c, p);
}

static void append_run(struct call *c)
{
    char scratch[21];
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    size_t old = place_string(&p, scratch).len;
    if (!check_length(c, (int64_t)old, (int64_t)c->argv[2].len))
        return;
    if (p.e == NULL) {
        struct value v = call_string(c, c->argv[2]);
        place_put(c, &p, &v, ENTRY_NO_EXPIRY);
        effect_verbatim(c);
    } else {
        write_at(c, &p, old, c->argv[2]);
        effect_verbatim(c);
    }
    key_event(c, &p, EVENT_STRING, "append");
    reply_int(c, (int64_t)(old + c->argv[2].len));
}

static uint64_t setrange_end(const struct slice *argv, int argc)
{
    int64_t off;
    (void)argc;
    return num_parse_i64(argv[2], &off) && off >= 0 && argv[3].len > 0 ? (uint64_t)off + argv[3].len : 0;
}

static void setrange_run(struct call *c)
{
    char scratch[21];
    int64_t off;
    if (!arg_i64(c, c->argv[2], &off))
        return;
    if (off < 0) {
        reply_error(c, "ERR offset is out of range");
        return;
    }
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    size_t old = place_string(&p, scratch).len;
    if (c->argv[3].len == 0) {
        reply_int(c, (int64_t)old);
        return;
    }
    if (!check_length(c, off, (int64_t)c->argv[3].len))
        return;
    if (p.e == NULL) {
        struct value v = {.type = VALUE_STRING, .encoding = ENC_RAW, .blob = blob_new((size_t)off + c->argv[3].len)};
        place_put(c, &p, &v, ENTRY_NO_EXPIRY);
    }
    write_at(c, &p, (size_t)off, c->argv[3]);
    key_event(c, &p, EVENT_STRING, "setrange");
    effect_verbatim(c);
    struct slice now = place_string(&p, scratch);
    reply_int(c, (int64_t)now.len);
}

static void getrange_run(struct call *c)
{
    char scratch[21];
    int64_t from, to;
    if (!arg_i64(c, c->argv[2], &from) || !arg_i64(c, c->argv[3], &to))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    struct slice s = place_string(&p, scratch);
    int64_t len = (int64_t)s.len;
    if (from < 0 && to < 0 && from > to) {
        reply_bulk(c, slice_of("", 0));
        return;
    }
    from = from < 0 ? from + len : from;
    to = to < 0 ? to + len : to;
    from = from < 0 ? 0 : from;
    to = to < 0 ? 0 : to;
    to = to >= len ? len - 1 : to;
    if (from > to || len == 0)
        reply_bulk(c, slice_of("", 0));
    else
        reply_bulk(c, slice_of(s.p + from, (size_t)(to - from + 1)));
}

/* --- declarations --- */

#define KEY1(f, n)                                           \
    {                                                        \
        {                                                    \
            .flags = (f), .first = 1, .step = 1, .need = (n) \
        }                                                    \
    }
#define KEYS(f, st, n)                                                      \
    {                                                                       \
        {                                                                   \
            .flags = (f), .first = 1, .last = -1, .step = (st), .need = (n) \
        }                                                                   \
    }
#define W (CMD_WRITE | CMD_DENYOOM)
#define STR .acl = ACL_STRING, .route = ROUTE_KEYS, .group = "string"
#define RW_UP (KEY_RW | KEY_UPDATE)
#define RW_AU (KEY_RW | KEY_ACCESS | KEY_UPDATE)

static const struct command_arg key_value_args[] = {
    ARG("key", "key"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg set_condition[] = {
    ARG_TOKEN("nx", "NX"),
    ARG_TOKEN("xx", "XX"),
    ARG_END,
};
static const struct command_arg set_expiration[] = {
    ARG("seconds", "integer", .token = "EX", .since = "2.6.12"),
    ARG("milliseconds", "integer", .token = "PX", .since = "2.6.12"),
    ARG("unix-time-seconds", "unix-time", .token = "EXAT", .since = "6.2.0"),
    ARG("unix-time-milliseconds", "unix-time", .token = "PXAT", .since = "6.2.0"),
    ARG_TOKEN("keepttl", "KEEPTTL", .since = "6.0.0"),
    ARG_END,
};
static const struct command_arg set_args[] = {
    ARG("key", "key"),
    ARG("value", "string"),
    ARG_ONEOF("condition", set_condition, .since = "2.6.12", .flags = ARG_OPTIONAL),
    ARG_TOKEN("get", "GET", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_ONEOF("expiration", set_expiration, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg setex_args[] = {
    ARG("key", "key"),
    ARG("seconds", "integer"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg psetex_args[] = {
    ARG("key", "key"),
    ARG("milliseconds", "integer"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg getex_expiration[] = {
    ARG("seconds", "integer", .token = "EX"),
    ARG("milliseconds", "integer", .token = "PX"),
    ARG("unix-time-seconds", "unix-time", .token = "EXAT"),
    ARG("unix-time-milliseconds", "unix-time", .token = "PXAT"),
    ARG_TOKEN("persist", "PERSIST"),
    ARG_END,
};
static const struct command_arg getex_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("expiration", getex_expiration, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg mset_args[] = {
    ARG_BLOCK("data", key_value_args, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg incrby_args[] = {
    ARG("key", "key"),
    ARG("increment", "integer"),
    ARG_END,
};
static const struct command_arg decrby_args[] = {
    ARG("key", "key"),
    ARG("decrement", "integer"),
    ARG_END,
};
static const struct command_arg incrbyfloat_args[] = {
    ARG("key", "key"),
    ARG("increment", "double"),
    ARG_END,
};
static const struct command_arg setrange_args[] = {
    ARG("key", "key"),
    ARG("offset", "integer"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg getrange_args[] = {
    ARG("key", "key"),
    ARG("start", "integer"),
    ARG("end", "integer"),
    ARG_END,
};
struct command string_commands[] = {
    {.name = "get",
     .run = get_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     STR,
     .keys = KEY1(KEY_RO | KEY_ACCESS, NEED_VALUE),
     .summary = "Returns the string value of a key.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "set",
     .run = set_run,
     .arity = -3,
     .flags = W,
     STR,
     .need = set_need,
     .keys = {{.flags = RW_AU | KEY_VARIABLE_FLAGS,
               .first = 1,
               .step = 1,
               .notes = "RW and ACCESS due to the optional `GET` argument"}},
     .summary = "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = set_args,
     .history = STRINGS(CHANGE("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
                        CHANGE("6.0.0", "Added the `KEEPTTL` option."),
                        CHANGE("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
                        CHANGE("7.0.0", "Allowed the `NX` and `GET` options to be used together."))},
    {.name = "setnx",
     .run = setnx_run,
     .arity = 3,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(KEY_OW | KEY_INSERT, NEED_META),
     .summary = "Set the string value of a key only when the key doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .deprecated_since = "2.6.12",
     .replaced_by = "`SET` with the `NX` argument",
     .args = key_value_args},
    {.name = "setex",
     .run = setex_run,
     .arity = 4,
     .flags = W,
     STR,
     .keys = KEY1(KEY_OW | KEY_UPDATE, NEED_META),
     .summary = "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
     .since = "2.0.0",
     .complexity = "O(1)",
     .deprecated_since = "2.6.12",
     .replaced_by = "`SET` with the `EX` argument",
     .args = setex_args},
    {.name = "psetex",
     .run = psetex_run,
     .arity = 4,
     .flags = W,
     STR,
     .keys = KEY1(KEY_OW | KEY_UPDATE, NEED_META),
     .summary =
         "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
     .since = "2.6.0",
     .complexity = "O(1)",
     .deprecated_since = "2.6.12",
     .replaced_by = "`SET` with the `PX` argument",
     .args = psetex_args},
    {.name = "getset",
     .run = getset_run,
     .arity = 3,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(RW_AU, NEED_VALUE),
     .summary = "Returns the previous string value of a key after setting it to a new value.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .deprecated_since = "6.2.0",
     .replaced_by = "`SET` with the `!GET` argument",
     .args = key_value_args},
    {.name = "getdel",
     .run = getdel_run,
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     STR,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_DELETE, NEED_VALUE),
     .summary = "Returns the string value of a key after deleting the key.",
     .since = "6.2.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "getex",
     .run = getex_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     STR,
     .keys = {{.flags = RW_AU,
               .first = 1,
               .step = 1,
               .need = NEED_VALUE,
               .notes = "RW and UPDATE because it changes the TTL"}},
     .summary = "Returns the string value of a key after setting its expiration time.",
     .since = "6.2.0",
     .complexity = "O(1)",
     .args = getex_args},
    {.name = "mget",
     .run = mget_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     STR,
     .keys = KEYS(KEY_RO | KEY_ACCESS, 1, NEED_VALUE),
     .summary = "Atomically returns the string values of one or more keys.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys to retrieve.",
     .args = args_keys,
     .tips = STRINGS("request_policy:multi_shard")},
    {.name = "mset",
     .run = mset_run,
     .arity = -3,
     .flags = W,
     STR,
     .keys = KEYS(KEY_OW | KEY_UPDATE, 2, NEED_META),
     .summary = "Atomically creates or modifies the string values of one or more keys.",
     .since = "1.0.1",
     .complexity = "O(N) where N is the number of keys to set.",
     .args = mset_args,
     .tips = STRINGS("request_policy:multi_shard", "response_policy:all_succeeded")},
    {.name = "msetnx",
     .run = msetnx_run,
     .arity = -3,
     .flags = W,
     STR,
     .keys = KEYS(KEY_OW | KEY_INSERT, 2, NEED_META),
     .summary = "Atomically modifies the string values of one or more keys only when all keys don't exist.",
     .since = "1.0.1",
     .complexity = "O(N) where N is the number of keys to set.",
     .args = mset_args},
    {.name = "strlen",
     .run = strlen_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     STR,
     .keys = KEY1(KEY_RO, NEED_VALUE),
     .summary = "Returns the length of a string value.",
     .since = "2.2.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "incr",
     .run = incr_run,
     .arity = 2,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(RW_AU, NEED_VALUE),
     .summary = "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "decr",
     .run = decr_run,
     .arity = 2,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(RW_AU, NEED_VALUE),
     .summary = "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "incrby",
     .run = incrby_run,
     .arity = 3,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(RW_AU, NEED_VALUE),
     .summary = "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = incrby_args},
    {.name = "decrby",
     .run = decrby_run,
     .arity = 3,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(RW_AU, NEED_VALUE),
     .summary =
         "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = decrby_args},
    {.name = "incrbyfloat",
     .run = incrbyfloat_run,
     .arity = 3,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(RW_AU, NEED_VALUE),
     .summary =
         "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
     .since = "2.6.0",
     .complexity = "O(1)",
     .args = incrbyfloat_args},
    {.name = "append",
     .run = append_run,
     .arity = 3,
     .flags = W | CMD_FAST,
     STR,
     .keys = KEY1(KEY_RW | KEY_INSERT, NEED_VALUE),
     .summary = "Appends a string to the value of a key. Creates the key if it doesn't exist.",
     .since = "2.0.0",
     .complexity = "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already "
                   "present value is of any size, since the dynamic string library used by Redis will double the free "
                   "space available on every reallocation.",
     .args = key_value_args},
    {.name = "setrange",
     .run = setrange_run,
     .arity = 4,
     .flags = W,
     STR,
     .keys = KEY1(RW_UP, NEED_VALUE),
     .string_end = setrange_end,
     .summary = "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
     .since = "2.2.0",
     .complexity =
         "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the "
         "amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
     .args = setrange_args},
    {.name = "getrange",
     .run = getrange_run,
     .arity = 4,
     .flags = CMD_READONLY,
     STR,
     .keys = KEY1(KEY_RO | KEY_ACCESS, NEED_VALUE),
     .summary = "Returns a substring of the string stored at a key.",
     .since = "2.4.0",
     .complexity = "O(N) where N is the length of the returned string. The complexity is ultimately determined by the "
                   "returned length, but because creating a substring from an existing string is very cheap, it can be "
                   "considered O(1) for small strings.",
     .args = getrange_args},
    {.name = "substr",
     .run = getrange_run,
     .arity = 4,
     .flags = CMD_READONLY,
     STR,
     .keys = KEY1(KEY_RO | KEY_ACCESS, NEED_VALUE),
     .summary = "Returns a substring from a string value.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the length of the returned string. The complexity is ultimately determined by the "
                   "returned length, but because creating a substring from an existing string is very cheap, it can be "
                   "considered O(1) for small strings.",
     .deprecated_since = "2.0.0",
     .replaced_by = "`GETRANGE`",
     .args = getrange_args},
    {.name = NULL},
};
