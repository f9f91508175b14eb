/* The commands of hashes that know nothing of time: fields that are stale are missing to all of them
 * (core/value/hash.h). A write may meet one. Where its effects are applied there is no clock, and the field is there:
 * so what is recorded must overwrite it. */
#include "server/cmd/hash.h"

#include <math.h>

#include "core/base/num.h"

#define PREFETCH 16 /* fields whose memory is asked for together */

/* --- reading --- */

void reply_field_of(struct call *c, const struct value *v, struct slice field)
{
    char scratch[PACK_TEXT_MAX];
    struct slice value;
    if (hash_get(v, field, hash_now(c), scratch, &value))
        reply_bulk(c, value);
    else
        reply_null(c);
}

void reply_field(struct call *c, const struct place *p, struct slice field)
{
    if (p->e == NULL) {
        reply_null(c);
        return;
    }
    struct value v = place_value(p);
    reply_field_of(c, &v, field);
}

/* True if the key is there and a hash: *v. Else replies, with `missing` where there is no key. */
static bool existing_hash(struct call *c, struct value *v, void (*missing)(struct call *c))
{
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return false;
    if (p.e == NULL) {
        missing(c);
        return false;
    }
    *v = place_value(&p);
    return true;
}

static void reply_zero(struct call *c) { reply_int(c, 0); }
static void reply_empty_array(struct call *c) { reply_array(c, 0); }
static void reply_empty_map(struct call *c) { reply_map(c, 0); }

static void hget_run(struct call *c)
{
    struct place p = place_read(c, 1);
    if (place_is(c, &p, VALUE_HASH))
        reply_field(c, &p, c->argv[2]);
}

static void reply_fields(struct call *c, const struct place *p, const struct slice *fields, int n)
{
    if (p->e != NULL) {
        struct value v = place_value(p);
        for (int i = 0; i < 2 * n; i++)
            hash_prefetch(&v, fields[i % n], i / n);
    }
    for (int i = 0; i < n; i++)
        reply_field(c, p, fields[i]);
}

static void hmget_run(struct call *c)
{
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i += PREFETCH) {
        int n = c->argc - i < PREFETCH ? c->argc - i : PREFETCH;
        reply_fields(c, &p, &c->argv[i], n);
    }
}

static void hexists_run(struct call *c)
{
    char scratch[PACK_TEXT_MAX];
    struct slice value;
    struct value v;
    if (existing_hash(c, &v, reply_zero))
        reply_int(c, hash_get(&v, c->argv[2], hash_now(c), scratch, &value));
}

static void hstrlen_run(struct call *c)
{
    char scratch[PACK_TEXT_MAX];
    struct slice value;
    struct value v;
    if (existing_hash(c, &v, reply_zero))
        reply_int(c, hash_get(&v, c->argv[2], hash_now(c), scratch, &value) ? (int64_t)value.len : 0);
}

static void hlen_run(struct call *c)
{
    struct value v;
    if (existing_hash(c, &v, reply_zero))
        reply_int(c, (int64_t)hash_length(&v, hash_now(c)));
}

static void hgetall_run(struct call *c)
{
    struct hash_iter it;
    struct value v;
    if (!existing_hash(c, &v, reply_empty_map))
        return;
    reply_map(c, hash_length(&v, hash_now(c)));
    hash_iter_init(&it, &v, hash_now(c));
    while (hash_iter_next(&it)) {
        reply_bulk(c, it.field);
        reply_bulk(c, it.value);
    }
}

static void hkeys_run(struct call *c)
{
    struct hash_iter it;
    struct value v;
    if (!existing_hash(c, &v, reply_empty_array))
        return;
    reply_array(c, hash_length(&v, hash_now(c)));
    hash_iter_init(&it, &v, hash_now(c));
    while (hash_iter_next(&it))
        reply_bulk(c, it.field);
}

static void hvals_run(struct call *c)
{
    struct hash_iter it;
    struct value v;
    if (!existing_hash(c, &v, reply_empty_array))
        return;
    reply_array(c, hash_length(&v, hash_now(c)));
    hash_iter_init(&it, &v, hash_now(c));
    while (hash_iter_next(&it))
        reply_bulk(c, it.value);
}

/* --- writing --- */

/* The fields and values from argument 2 on; how many fields are new. */
static bool set_all(struct call *c, int64_t *created)
{
    if (c->argc % 2 == 1) {
        reply_wrong_arity(c);
        return false;
    }
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return false;
    struct value *v = place_change(c, &p, VALUE_HASH);
    *created = 0;
    for (int i = 2; i < c->argc; i += 2)
        *created +=
            hash_set(v, c->argv[i], c->argv[i + 1], hash_now(c), HASH_CLEAR_DEADLINE, call_limits(c)) != HASH_THERE;
    place_changed(c, &p, EVENT_HASH, "hset");
    effect_verbatim(c);
    return true;
}

static void hset_run(struct call *c)
{
    int64_t created;
    if (set_all(c, &created))
        reply_int(c, created);
}

static void hmset_run(struct call *c)
{
    int64_t created;
    if (set_all(c, &created))
        reply_ok(c);
}

static void effect_hset(struct call *c, struct slice value)
{
    struct slice argv[] = {SLICE_LIT("HSET"), c->argv[1], c->argv[2], value};
    effect(c, 4, argv);
}

/* The field of argument 2 gets another value and keeps its deadline; what is recorded need not know that it has one. */
static void set_field(struct call *c, struct place *p, struct slice value, const char *event)
{
    struct value *v = place_change(c, p, VALUE_HASH);
    int64_t deadline;
    enum hash_was was = hash_deadline(v, c->argv[2], hash_now(c), &deadline);
    hash_set(v, c->argv[2], value, hash_now(c), HASH_KEEP_DEADLINE, call_limits(c));
    place_changed(c, p, EVENT_HASH, event);
    effect_hset(c, value);
    if (was != HASH_THERE || deadline == HASH_NO_DEADLINE)
        return;
    char text[NUM_I64_MAX];
    struct slice argv[] = {SLICE_LIT("HPEXPIREAT"), c->argv[1],     slice_of(text, num_format_i64(text, deadline)),
                           SLICE_LIT("FIELDS"),     SLICE_LIT("1"), c->argv[2]};
    effect(c, 6, argv);
}

/* The value of the field of argument 2 to be changed; false: there is none. */
static bool old_value(struct call *c, const struct place *p, char scratch[static PACK_TEXT_MAX], struct slice *value)
{
    if (p->e == NULL)
        return false;
    struct value v = place_value(p);
    return hash_get(&v, c->argv[2], hash_now(c), scratch, value);
}

static void hsetnx_run(struct call *c)
{
    char scratch[PACK_TEXT_MAX];
    struct slice old;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (old_value(c, &p, scratch, &old)) {
        reply_int(c, 0);
        return;
    }
    set_field(c, &p, c->argv[3], "hset");
    reply_int(c, 1);
}

static void hincrby_run(struct call *c)
{
    char scratch[PACK_TEXT_MAX], text[NUM_I64_MAX];
    struct slice old;
    int64_t v = 0, by;

    if (!arg_i64(c, c->argv[3], &by))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (old_value(c, &p, scratch, &old) && !arg_i64_or(c, old, &v, "ERR hash value is not an integer"))
        return;
    if (__builtin_add_overflow(v, by, &v)) {
        reply_error(c, "ERR increment or decrement would overflow");
        return;
    }
    set_field(c, &p, slice_of(text, num_format_i64(text, v)), "hincrby");
    reply_int(c, v);
}

static bool arg_increment(struct call *c, struct slice s, long double *by)
{
    if (!num_parse_ld(s, by)) {
        reply_error(c, "ERR value is not a valid float");
        return false;
    }
    if (isnan(*by) || isinf(*by)) {
        reply_error(c, "ERR value is NaN or Infinity");
        return false;
    }
    return true;
}

static void hincrbyfloat_run(struct call *c)
{
    char scratch[PACK_TEXT_MAX], text[NUM_LD_MAX];
    struct slice old;
    long double v = 0, by;

    if (!arg_increment(c, c->argv[3], &by))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (old_value(c, &p, scratch, &old) && !num_parse_ld(old, &v)) {
        reply_error(c, "ERR hash value is not a float");
        return;
    }
    v += by;
    if (isnan(v) || isinf(v)) {
        reply_error(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct slice now = slice_of(text, num_format_ld(text, sizeof(text), v));
    set_field(c, &p, now, "hincrbyfloat");
    reply_bulk(c, now);
}

/* Stale fields go as well, but do not count. */
static void hdel_run(struct call *c)
{
    struct place p = place_write(c, 1);
    int64_t removed = 0, stale = 0;
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (p.e == NULL) {
        reply_int(c, 0);
        return;
    }
    struct value *v = place_change(c, &p, VALUE_HASH);
    for (int i = 2; i < c->argc; i++) {
        enum hash_was was = hash_delete(v, c->argv[i], hash_now(c));
        removed += was == HASH_THERE;
        stale += was == HASH_STALE;
    }
    if (removed + stale > 0) {
        place_changed(c, &p, EVENT_HASH, removed > 0 ? "hdel" : "hexpired");
        effect_verbatim(c);
    } else {
        place_unchanged(c, &p);
    }
    reply_int(c, removed);
}

/* --- declarations --- */

static void prefetch_field(const struct value *v, const struct slice *argv, int argc, int step)
{
    if (argc > 2 && v->type == VALUE_HASH)
        hash_prefetch(v, argv[2], step);
}

#define W (CMD_WRITE | CMD_DENYOOM | CMD_FAST)
#define RW_AU (KEY_RW | KEY_ACCESS | KEY_UPDATE)

static const struct command_arg field_args[] = {
    ARG("key", "key"),
    ARG("field", "string"),
    ARG_END,
};
const struct command_arg hash_fields_args[] = {
    ARG("key", "key"),
    ARG("field", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg field_value_args[] = {
    ARG("field", "string"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg hset_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("data", field_value_args, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg hsetnx_args[] = {
    ARG("key", "key"),
    ARG("field", "string"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg hincrby_args[] = {
    ARG("key", "key"),
    ARG("field", "string"),
    ARG("increment", "integer"),
    ARG_END,
};
static const struct command_arg hincrbyfloat_args[] = {
    ARG("key", "key"),
    ARG("field", "string"),
    ARG("increment", "double"),
    ARG_END,
};

struct command hash_commands[] = {
    {.name = "hset",
     .run = hset_run,
     .prefetch = prefetch_field,
     .arity = -4,
     .flags = W,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_UPDATE),
     .summary = "Creates or modifies the value of a field in a hash.",
     .since = "2.0.0",
     .complexity = "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is "
                   "called with multiple field/value pairs.",
     .args = hset_args,
     .history = STRINGS(CHANGE("4.0.0", "Accepts multiple `field` and `value` arguments."))},
    {.name = "hsetnx",
     .run = hsetnx_run,
     .arity = 4,
     .flags = W,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_INSERT),
     .prefetch = prefetch_field,
     .summary = "Sets the value of a field in a hash only when the field doesn't exist.",
     .since = "2.0.0",
     .complexity = "O(1)",
     .args = hsetnx_args},
    {.name = "hmset",
     .run = hmset_run,
     .arity = -4,
     .flags = W,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_UPDATE),
     .prefetch = prefetch_field,
     .summary = "Sets the values of multiple fields.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of fields being set.",
     .deprecated_since = "4.0.0",
     .replaced_by = "`HSET` with multiple field-value pairs",
     .args = hset_args},
    {.name = "hget",
     .run = hget_run,
     .prefetch = prefetch_field,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Returns the value of a field in a hash.",
     .since = "2.0.0",
     .complexity = "O(1)",
     .args = field_args},
    {.name = "hmget",
     .run = hmget_run,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Returns the values of all fields in a hash.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of fields being requested.",
     .args = hash_fields_args},
    {.name = "hgetall",
     .run = hgetall_run,
     .arity = 2,
     .flags = CMD_READONLY,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Returns all fields and values in a hash.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the size of the hash.",
     .args = args_key,
     .tips = STRINGS("nondeterministic_output_order")},
    {.name = "hkeys",
     .run = hkeys_run,
     .arity = 2,
     .flags = CMD_READONLY,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Returns all fields in a hash.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the size of the hash.",
     .args = args_key,
     .tips = STRINGS("nondeterministic_output_order")},
    {.name = "hvals",
     .run = hvals_run,
     .arity = 2,
     .flags = CMD_READONLY,
     HASH,
     .keys = HASH_KEY(KEY_RO | KEY_ACCESS),
     .summary = "Returns all values in a hash.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the size of the hash.",
     .args = args_key,
     .tips = STRINGS("nondeterministic_output_order")},
    {.name = "hlen",
     .run = hlen_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RO),
     .summary = "Returns the number of fields in a hash.",
     .since = "2.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "hexists",
     .run = hexists_run,
     .prefetch = prefetch_field,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RO),
     .summary = "Determines whether a field exists in a hash.",
     .since = "2.0.0",
     .complexity = "O(1)",
     .args = field_args},
    {.name = "hstrlen",
     .run = hstrlen_run,
     .prefetch = prefetch_field,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RO),
     .summary = "Returns the length of the value of a field.",
     .since = "3.2.0",
     .complexity = "O(1)",
     .args = field_args},
    {.name = "hincrby",
     .run = hincrby_run,
     .prefetch = prefetch_field,
     .arity = 4,
     .flags = W,
     HASH,
     .keys = HASH_KEY(RW_AU),
     .summary = "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field "
                "doesn't exist.",
     .since = "2.0.0",
     .complexity = "O(1)",
     .args = hincrby_args},
    {.name = "hincrbyfloat",
     .run = hincrbyfloat_run,
     .arity = 4,
     .flags = W,
     HASH,
     .keys = HASH_KEY(RW_AU),
     .prefetch = prefetch_field,
     .summary = "Increments the floating point value of a field by a number. Uses 0 as initial value if the field "
                "doesn't exist.",
     .since = "2.6.0",
     .complexity = "O(1)",
     .args = hincrbyfloat_args},
    {.name = "hdel",
     .run = hdel_run,
     .prefetch = prefetch_field,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_DELETE),
     .summary = "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of fields to be removed.",
     .args = hash_fields_args,
     .history = STRINGS(CHANGE("2.4.0", "Accepts multiple `field` arguments."))},
    {.name = NULL},
};
