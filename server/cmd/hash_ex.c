/* HGETDEL, HGETEX, HSETEX of Redis 8.0: several fields, and their deadlines, at once. */
#include "server/cmd/hash_fields.h"

/* --- HGETDEL, HGETEX --- */

static void reply_fields(struct call *c, const struct place *p, const struct hash_fields *f)
{
    reply_array(c, (size_t)f->n);
    for (int i = 0; i < f->n; i++)
        reply_field(c, p, c->argv[f->first + i]);
}

static void hgetdel_run(struct call *c)
{
    struct hash_change ch;
    struct hash_fields f;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH) || !hash_fields_parse_positive(c, 2, &f))
        return;
    if (p.e == NULL) {
        reply_fields(c, &p, &f);
        return;
    }
    hash_change_begin(&ch, c, &p, HASH_NO_DEADLINE);
    reply_array(c, (size_t)f.n);
    for (int i = 0; i < f.n; i++) { /* one by one: of a field that is named twice, the second is gone */
        reply_field_of(c, ch.v, c->argv[f.first + i]);
        hash_change_delete(&ch, c->argv[f.first + i]);
    }
    hash_change_end(&ch);
}

struct getex {
    bool changes; /* EX, PX, EXAT, PXAT or PERSIST was given */
    int64_t when; /* HASH_NO_DEADLINE: PERSIST */
    struct hash_fields fields;
};

static bool parse_getex(struct call *c, struct getex *o)
{
    enum hash_unit unit;
    bool absolute;
    int at = 2;
    *o = (struct getex){.when = HASH_NO_DEADLINE};
    if (hash_expiry_option(c->argv[2], &unit, &absolute)) {
        if (!hash_when(c, c->argv[3], unit, absolute, &o->when))
            return false;
        o->changes = true;
        at = 4;
    } else if (slice_is(c->argv[2], "persist")) {
        o->changes = true;
        at = 3;
    }
    return hash_fields_parse_positive(c, at, &o->fields);
}

static void getex_field(struct hash_change *ch, struct slice field)
{
    int64_t deadline;
    reply_field_of(ch->c, ch->v, field);
    enum hash_was was = hash_deadline(ch->v, field, hash_now(ch->c), &deadline);
    if (was == HASH_STALE)
        hash_change_delete(ch, field);
    else if (was == HASH_THERE && (ch->when != HASH_NO_DEADLINE || deadline != HASH_NO_DEADLINE))
        hash_change_field(ch, field);
}

static void hgetex_run(struct call *c)
{
    struct hash_change ch;
    struct getex o;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH) || !parse_getex(c, &o))
        return;
    if (p.e == NULL || !o.changes) {
        reply_fields(c, &p, &o.fields);
        return;
    }
    hash_change_begin(&ch, c, &p, o.when);
    reply_array(c, (size_t)o.fields.n);
    for (int i = 0; i < o.fields.n; i++)
        getex_field(&ch, c->argv[o.fields.first + i]);
    hash_change_end(&ch);
}

/* --- HSETEX --- */

struct setex {
    bool if_all, if_none;      /* FXX, FNX */
    bool keep;                 /* KEEPTTL */
    int64_t when;              /* HASH_NO_DEADLINE: none given */
    struct hash_fields fields; /* n of them, each followed by its value */
};

static bool setex_expiry(struct call *c, int *at, struct setex *o)
{
    enum hash_unit unit;
    bool absolute, expiry = hash_expiry_option(c->argv[*at], &unit, &absolute);
    if (o->keep || o->when != HASH_NO_DEADLINE) {
        reply_error(c, "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
        return false;
    }
    o->keep = !expiry;
    if (!expiry)
        return true;
    if (++*at < c->argc)
        return hash_when(c, c->argv[*at], unit, absolute, &o->when);
    reply_error(c, "ERR missing expire time");
    return false;
}

static bool setex_fields(struct call *c, int at, struct setex *o)
{
    int64_t n;
    if (at + 3 >= c->argc) {
        reply_wrong_arity(c);
        return false;
    }
    if (!arg_range(c, c->argv[at + 1], 1, INT32_MAX, &n, "ERR invalid number of fields"))
        return false;
    int left = c->argc - at - 2;
    o->fields = (struct hash_fields){at + 2, left / 2};
    if (left % 2 == 0 && n == left / 2)
        return true;
    reply_wrong_arity(c);
    return false;
}

static bool setex_option(struct call *c, int *at, struct setex *o)
{
    enum hash_unit unit;
    bool absolute;
    struct slice word = c->argv[*at];
    if (slice_is(word, "keepttl") || hash_expiry_option(word, &unit, &absolute))
        return setex_expiry(c, at, o);
    bool fxx = slice_is(word, "fxx"), fnx = slice_is(word, "fnx");
    if (!fxx && !fnx) {
        reply_errorf(c, "ERR unknown argument: %.*s", (int)word.len, (const char *)word.p);
        return false;
    }
    if (o->if_all || o->if_none) {
        reply_error(c, "ERR Only one of FXX or FNX arguments can be specified");
        return false;
    }
    o->if_all = fxx;
    o->if_none = fnx;
    return true;
}

static bool parse_setex(struct call *c, struct setex *o)
{
    *o = (struct setex){.when = HASH_NO_DEADLINE};
    for (int at = 2; at < c->argc; at++) {
        if (slice_is(c->argv[at], "fields"))
            return setex_fields(c, at, o);
        if (!setex_option(c, &at, o))
            return false;
    }
    reply_error(c, "ERR missing FIELDS argument");
    return false;
}

static bool setex_allowed(struct call *c, const struct place *p, const struct setex *o)
{
    char scratch[PACK_TEXT_MAX];
    struct slice old;
    int there = 0;
    if (!o->if_all && !o->if_none)
        return true;
    for (int i = 0; i < o->fields.n && p->e != NULL; i++) {
        struct value v = place_value(p);
        there += hash_get(&v, c->argv[o->fields.first + 2 * i], hash_now(c), scratch, &old);
    }
    return o->if_all ? there == o->fields.n : there == 0;
}

/* The deadlines that fields have kept, as they may all be different ones. */
static void effect_kept(struct call *c, const struct value *v, struct slice field)
{
    struct hash_effect e;
    int64_t deadline;
    hash_deadline(v, field, hash_now(c), &deadline);
    if (deadline == HASH_NO_DEADLINE)
        return;
    hash_effect_hpexpireat(&e, c, deadline);
    hash_effect_add(&e, field);
    hash_effect_end(&e, c);
}

static void setex_values(struct call *c, struct place *p, const struct setex *o)
{
    struct value *v = place_change(c, p, VALUE_HASH);
    struct hash_effect set;
    hash_effect_begin(&set, c, "HSET");
    for (int i = 0; i < o->fields.n; i++) {
        struct slice field = c->argv[o->fields.first + 2 * i], value = c->argv[o->fields.first + 2 * i + 1];
        hash_set(v, field, value, hash_now(c), o->keep ? HASH_KEEP_DEADLINE : HASH_CLEAR_DEADLINE, call_limits(c));
        hash_effect_add(&set, field);
        hash_effect_add(&set, value);
    }
    place_changed(c, p, EVENT_HASH, "hset");
    hash_effect_end(&set, c);
    struct value now = place_value(p);
    for (int i = 0; i < o->fields.n && o->keep; i++)
        effect_kept(c, &now, c->argv[o->fields.first + 2 * i]);
}

static void setex_deadlines(struct call *c, struct place *p, const struct setex *o)
{
    struct hash_change ch;
    hash_change_begin(&ch, c, p, o->when);
    for (int i = 0; i < o->fields.n; i++)
        if (ch.past)
            hash_change_delete(&ch, c->argv[o->fields.first + 2 * i]);
        else
            hash_change_field(&ch, c->argv[o->fields.first + 2 * i]);
    hash_change_end(&ch);
}

static void hsetex_run(struct call *c)
{
    struct setex o;
    if (!parse_setex(c, &o))
        return;
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_HASH))
        return;
    if (!setex_allowed(c, &p, &o)) {
        reply_int(c, 0);
        return;
    }
    setex_values(c, &p, &o);
    if (o.when != HASH_NO_DEADLINE)
        setex_deadlines(c, &p, &o);
    reply_int(c, 1);
}

/* --- declarations --- */

#define EXPIRATION_OPTIONS(last, word)                                                                   \
    {                                                                                                    \
        ARG("seconds", "integer", .token = "EX"), ARG("milliseconds", "integer", .token = "PX"),         \
            ARG("unix-time-seconds", "unix-time", .token = "EXAT"),                                      \
            ARG("unix-time-milliseconds", "unix-time", .token = "PXAT"), ARG_TOKEN(last, word), ARG_END, \
    }
static const struct command_arg hgetex_expiration[] = EXPIRATION_OPTIONS("persist", "PERSIST");
static const struct command_arg hsetex_expiration[] = EXPIRATION_OPTIONS("keepttl", "KEEPTTL");
static const struct command_arg hgetex_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("expiration", hgetex_expiration, .flags = ARG_OPTIONAL),
    FIELDS_BLOCK,
    ARG_END,
};
static const struct command_arg hsetex_condition[] = {
    ARG_TOKEN("fnx", "FNX"),
    ARG_TOKEN("fxx", "FXX"),
    ARG_END,
};
static const struct command_arg hsetex_data[] = {
    ARG("field", "string"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg hsetex_fields[] = {
    ARG("numfields", "integer"),
    ARG_BLOCK("data", hsetex_data, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg hsetex_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("condition", hsetex_condition, .flags = ARG_OPTIONAL),
    ARG_ONEOF("expiration", hsetex_expiration, .flags = ARG_OPTIONAL),
    ARG_BLOCK("fields", hsetex_fields, .token = "FIELDS"),
    ARG_END,
};

#define N_FIELDS "O(N) where N is the number of specified fields"

struct command hash_ex_commands[] = {
    {.name = "hgetdel",
     .run = hgetdel_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_ACCESS | KEY_DELETE),
     .summary = "Returns the value of a field and deletes it from the hash.",
     .since = "8.0.0",
     .complexity = N_FIELDS,
     .args = hash_key_fields_args},
    {.name = "hgetex",
     .run = hgetex_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     .summary = "Get the value of one or more fields of a given hash key, and optionally set their expiration.",
     .since = "8.0.0",
     .complexity = N_FIELDS,
     .args = hgetex_args},
    {.name = "hsetex",
     .run = hsetex_run,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     HASH,
     .keys = HASH_KEY(KEY_RW | KEY_UPDATE),
     .summary = "Set the value of one or more fields of a given hash key, and optionally set their expiration.",
     .since = "8.0.0",
     .complexity = "O(N) where N is the number of fields being set.",
     .args = hsetex_args},
    {.name = NULL},
};
