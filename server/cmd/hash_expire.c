/* HEXPIRE, HTTL and their families, HPERSIST: fields that expire, as in Redis 7.4. */
#include "server/cmd/hash_fields.h"

/* --- HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT --- */

enum condition { ALWAYS, IF_NONE, IF_ANY, IF_LATER, IF_EARLIER };
/* What is replied for a field. */
enum { NO_FIELD = -2, NO_DEADLINE = -1, NOT_CHANGED = 0, CHANGED = 1, DELETED = 2 };

static enum condition parse_condition(struct slice word)
{
    return slice_is(word, "nx")   ? IF_NONE
           : slice_is(word, "xx") ? IF_ANY
           : slice_is(word, "gt") ? IF_LATER
           : slice_is(word, "lt") ? IF_EARLIER
                                  : ALWAYS;
}

/* No deadline counts as the far future. */
static bool holds(enum condition condition, int64_t now, int64_t when)
{
    bool has = now != HASH_NO_DEADLINE;
    switch (condition) {
    case IF_NONE:
        return !has;
    case IF_ANY:
        return has;
    case IF_LATER:
        return has && when > now;
    case IF_EARLIER:
        return !has || when < now;
    default:
        return true;
    }
}

static int expire_field(struct hash_change *ch, struct slice field, enum condition condition)
{
    int64_t deadline;
    if (hash_deadline(ch->v, field, hash_now(ch->c), &deadline) != HASH_THERE)
        return NO_FIELD;
    if (!holds(condition, deadline, ch->when))
        return NOT_CHANGED;
    return hash_change_field(ch, field) ? CHANGED : DELETED;
}

static void expire_with(struct call *c, enum hash_unit unit, bool absolute)
{
    struct hash_change ch;
    struct hash_fields f;
    int64_t when;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH) || !hash_when(c, c->argv[2], unit, absolute, &when))
        return;
    enum condition condition = parse_condition(c->argv[3]);
    if (!hash_fields_parse(c, condition == ALWAYS ? 3 : 4, "ERR Parameter `numFields` should be greater than 0", &f))
        return;
    if (p.e == NULL) {
        hash_reply_all(c, &f, NO_FIELD);
        return;
    }
    hash_change_begin(&ch, c, &p, when);
    reply_array(c, (size_t)f.n);
    for (int i = 0; i < f.n; i++)
        reply_int(c, expire_field(&ch, c->argv[f.first + i], condition));
    hash_change_end(&ch);
}

static void hexpire_run(struct call *c) { expire_with(c, HASH_SECONDS, false); }
static void hpexpire_run(struct call *c) { expire_with(c, HASH_MILLISECONDS, false); }
static void hexpireat_run(struct call *c) { expire_with(c, HASH_SECONDS, true); }
static void hpexpireat_run(struct call *c) { expire_with(c, HASH_MILLISECONDS, true); }

static int persist_field(struct hash_change *ch, struct slice field)
{
    int64_t deadline;
    if (hash_deadline(ch->v, field, hash_now(ch->c), &deadline) != HASH_THERE)
        return NO_FIELD;
    if (deadline == HASH_NO_DEADLINE)
        return NO_DEADLINE;
    hash_change_field(ch, field);
    return CHANGED;
}

static void hpersist_run(struct call *c)
{
    struct hash_change ch;
    struct hash_fields f;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH) || !hash_fields_parse_positive(c, 2, &f))
        return;
    if (p.e == NULL) {
        hash_reply_all(c, &f, NO_FIELD);
        return;
    }
    hash_change_begin(&ch, c, &p, HASH_NO_DEADLINE);
    reply_array(c, (size_t)f.n);
    for (int i = 0; i < f.n; i++)
        reply_int(c, persist_field(&ch, c->argv[f.first + i]));
    hash_change_end(&ch);
}

/* --- HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME --- */

static int64_t ttl_of(struct call *c, const struct value *v, struct slice field, enum hash_unit unit, bool absolute)
{
    int64_t deadline;
    if (hash_deadline(v, field, hash_now(c), &deadline) != HASH_THERE)
        return NO_FIELD;
    if (deadline == HASH_NO_DEADLINE)
        return NO_DEADLINE;
    int64_t ms = absolute ? deadline : deadline - c->now_ms;
    return unit == HASH_SECONDS ? (ms + 999) / 1000 : ms;
}

static void ttl_with(struct call *c, enum hash_unit unit, bool absolute)
{
    struct hash_fields f;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_HASH) || !hash_fields_parse_positive(c, 2, &f))
        return;
    if (p.e == NULL) {
        hash_reply_all(c, &f, NO_FIELD);
        return;
    }
    struct value v = place_value(&p);
    reply_array(c, (size_t)f.n);
    for (int i = 0; i < f.n; i++)
        reply_int(c, ttl_of(c, &v, c->argv[f.first + i], unit, absolute));
}

static void httl_run(struct call *c) { ttl_with(c, HASH_SECONDS, false); }
static void hpttl_run(struct call *c) { ttl_with(c, HASH_MILLISECONDS, false); }
static void hexpiretime_run(struct call *c) { ttl_with(c, HASH_SECONDS, true); }
static void hpexpiretime_run(struct call *c) { ttl_with(c, HASH_MILLISECONDS, true); }

/* --- declarations --- */

static const struct command_arg condition_args[] = {
    ARG_TOKEN("nx", "NX"), ARG_TOKEN("xx", "XX"), ARG_TOKEN("gt", "GT"), ARG_TOKEN("lt", "LT"), ARG_END,
};
#define EXPIRE_ARGS(name, type)                                                                            \
    {                                                                                                      \
        ARG("key", "key"), ARG(name, type), ARG_ONEOF("condition", condition_args, .flags = ARG_OPTIONAL), \
            FIELDS_BLOCK, ARG_END,                                                                         \
    }
static const struct command_arg hexpire_args[] = EXPIRE_ARGS("seconds", "integer");
static const struct command_arg hpexpire_args[] = EXPIRE_ARGS("milliseconds", "integer");
static const struct command_arg hexpireat_args[] = EXPIRE_ARGS("unix-time-seconds", "unix-time");
static const struct command_arg hpexpireat_args[] = EXPIRE_ARGS("unix-time-milliseconds", "unix-time");
#define N_FIELDS "O(N) where N is the number of specified fields"
#define EXPIRE(n, fn, arg, sum)                                                                                      \
    {                                                                                                                \
        .name = n, .run = fn, .arity = -6, .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, HASH,                        \
        .keys = HASH_KEY(KEY_RW | KEY_UPDATE), .summary = sum, .since = "7.4.0", .complexity = N_FIELDS, .args = arg \
    }
#define TTL(n, fn, sum, ...)                                                                             \
    {                                                                                                    \
        .name = n, .run = fn, .arity = -5, .flags = CMD_READONLY | CMD_FAST, HASH,                       \
        .keys = HASH_KEY(KEY_RO | KEY_ACCESS), .summary = sum, .since = "7.4.0", .complexity = N_FIELDS, \
        .args = hash_key_fields_args, __VA_ARGS__                                                        \
    }
#define NONDETERMINISTIC .tips = STRINGS("nondeterministic_output")

struct command hash_expire_commands[] = {
    EXPIRE("hexpire", hexpire_run, hexpire_args, "Set expiry for hash field using relative time to expire (seconds)"),
    EXPIRE("hpexpire", hpexpire_run, hpexpire_args,
           "Set expiry for hash field using relative time to expire (milliseconds)"),
    EXPIRE("hexpireat", hexpireat_run, hexpireat_args,
           "Set expiry for hash field using an absolute Unix timestamp (seconds)"),
    EXPIRE("hpexpireat", hpexpireat_run, hpexpireat_args,
           "Set expiry for hash field using an absolute Unix timestamp (milliseconds)"),
    TTL("httl", httl_run, "Returns the TTL in seconds of a hash field.", NONDETERMINISTIC),
    TTL("hpttl", hpttl_run, "Returns the TTL in milliseconds of a hash field.", NONDETERMINISTIC),
    TTL("hexpiretime", hexpiretime_run, "Returns the expiration time of a hash field as a Unix timestamp, in seconds."),
    TTL("hpexpiretime", hpexpiretime_run, "Returns the expiration time of a hash field as a Unix timestamp, in msec."),
    {.name = "hpersist",
     .run = hpersist_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_UPDATE),
     .summary = "Removes the expiration time for each specified field",
     .since = "7.4.0",
     .complexity = N_FIELDS,
     .args = hash_key_fields_args},
    {.name = NULL},
};
