#include "server/cmd/dump.h"

#include "core/base/crc.h"
#include "core/base/num.h"
#include "core/keyspace/temperature.h"
#include "core/value/rdb_skip.h"
#include "server/reply.h"

#define FOOTER 10

void dump_encode(const struct value *v, struct buf *out)
{
    size_t at = out->len;
    value_encode(v, out);
    buf_put_u16(out, (uint16_t)max_u64(RDB_VERSION_LEAST, rdb_type_version(out->p[at])));
    buf_put_u64(out, crc64_jones(0, out->p + at, out->len - at));
}

int dump_decode(struct slice payload, bool sum, const struct value_limits *limits, struct value *out)
{
    if (payload.len < FOOTER + 1)
        return DUMP_BAD_CHECKSUM;
    struct reader r = reader_of(slice_of(payload.p + payload.len - FOOTER, FOOTER));
    uint16_t version = reader_u16(&r);
    uint64_t crc = reader_u64(&r);
    if (version > RDB_VERSION_NEWEST || (sum && crc != 0 && crc != crc64_jones(0, payload.p, payload.len - 8)))
        return DUMP_BAD_CHECKSUM;
    return value_decode(slice_of(payload.p, payload.len - FOOTER), limits, out) < 0 ? DUMP_BAD_FORMAT : DUMP_OK;
}

static void dump_run(struct call *c)
{
    struct buf out = {0};
    struct place p = place_peek(c, 1);
    key_missed(c, &p);
    if (p.e == NULL) {
        reply_null(c);
        return;
    }
    struct value v = entry_value(p.e);
    dump_encode(&v, &out);
    reply_bulk(c, buf_slice(&out));
    buf_free(&out);
}

struct restore {
    bool replace, absttl;
    int64_t idle_s, freq; /* -1: not given */
};

static bool restore_options(struct call *c, struct restore *o)
{
    *o = (struct restore){.idle_s = -1, .freq = -1};
    for (int i = 4; i < c->argc; i++) {
        bool more = i + 1 < c->argc;
        if (slice_is(c->argv[i], "replace")) {
            o->replace = true;
        } else if (slice_is(c->argv[i], "absttl")) {
            o->absttl = true;
        } else if (slice_is(c->argv[i], "idletime") && more && o->freq == -1) {
            if (!arg_i64(c, c->argv[++i], &o->idle_s))
                return false;
            if (o->idle_s < 0) {
                reply_error(c, "ERR Invalid IDLETIME value, must be >= 0");
                return false;
            }
        } else if (slice_is(c->argv[i], "freq") && more && o->idle_s == -1) {
            if (!arg_i64(c, c->argv[++i], &o->freq))
                return false;
            if (o->freq < 0 || o->freq > 255) {
                reply_error(c, "ERR Invalid FREQ value, must be >= 0 and <= 255");
                return false;
            }
        } else {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

void effect_restore(struct call *c, const struct place *p, int64_t expire_ms, struct slice payload)
{
    char text[NUM_I64_MAX];
    int64_t when = expire_ms == ENTRY_NO_EXPIRY ? 0 : expire_ms;
    struct slice argv[] = {
        SLICE_LIT("RESTORE"), p->key.name,        slice_of(text, num_format_i64(text, when)), payload,
        SLICE_LIT("REPLACE"), SLICE_LIT("ABSTTL")};
    effect_in(c, p->db, when == 0 ? 5 : 6, argv); /* ABSTTL says what a time is */
}

void effect_value(struct call *c, const struct place *p, int64_t expire_ms)
{
    struct value v = entry_value(p->e);
    struct buf payload = {0};
    if (effect_matters(c, p->db))
        dump_encode(&v, &payload);
    effect_restore(c, p, expire_ms, buf_slice(&payload));
    buf_free(&payload);
}

static void restore_value(struct call *c, struct place *p, const struct restore *o, int64_t ttl, struct value *v)
{
    int64_t when = ttl == 0 ? ENTRY_NO_EXPIRY : ttl;
    if (ttl != 0 && !o->absttl && __builtin_add_overflow(ttl, c->now_ms, &when))
        when = 0; /* as in Redis, where the sum turns negative: long past */
    if (when != ENTRY_NO_EXPIRY && call_past(c, when)) {
        value_release(v);
        if (p->e != NULL)
            place_remove(c, p);
        reply_ok(c);
        return;
    }
    bool replaced = p->e != NULL;
    place_put(c, p, v, when);
    if (replaced)
        key_event(c, p, EVENT_NEW, "new");
    key_event(c, p, EVENT_GENERIC, "restore");
    if (o->idle_s >= 0 || o->freq >= 0)
        place_set_temperature(c, p, o->idle_s, o->freq);
    effect_restore(c, p, when, c->argv[3]);
    reply_ok(c);
}

static void restore_run(struct call *c)
{
    struct restore o;
    struct value v;
    int64_t ttl;

    if (!restore_options(c, &o))
        return;
    struct place p = place_write(c, 1);
    if (p.e != NULL && !o.replace) {
        reply_error(c, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!arg_i64(c, c->argv[2], &ttl))
        return;
    if (ttl < 0) {
        reply_error(c, "ERR Invalid TTL value, must be >= 0");
        return;
    }
    int err = dump_decode(c->argv[3], call_checks_sums(c), call_limits(c), &v);
    if (err == DUMP_BAD_CHECKSUM)
        reply_error(c, "ERR DUMP payload version or checksum are wrong");
    else if (err == DUMP_BAD_FORMAT)
        reply_error(c, "ERR Bad data format");
    else
        restore_value(c, &p, &o, ttl, &v);
}

static const struct command_arg restore_args[] = {
    ARG("key", "key"),
    ARG("ttl", "integer"),
    ARG("serialized-value", "string"),
    ARG_TOKEN("replace", "REPLACE", .since = "3.0.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("absttl", "ABSTTL", .since = "5.0.0", .flags = ARG_OPTIONAL),
    ARG("seconds", "integer", .token = "IDLETIME", .since = "5.0.0", .flags = ARG_OPTIONAL),
    ARG("frequency", "integer", .token = "FREQ", .since = "5.0.0", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command dump_commands[] = {
    {.name = "dump",
     .run = dump_run,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .need = NEED_VALUE}},
     .group = "generic",
     .summary = "Returns a serialized representation of the value stored at a key.",
     .since = "2.6.0",
     .complexity = "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis "
                   "objects composing the value and M their average size. For small string values the time complexity "
                   "is thus O(1)+O(1*M) where M is small, so simply O(1).",
     .args = args_key,
     .tips = STRINGS("nondeterministic_output")},
    {.name = "restore",
     .run = restore_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_OW | KEY_UPDATE, .first = 1, .step = 1}},
     .group = "generic",
     .summary = "Creates a key from the serialized representation of a value.",
     .since = "2.6.0",
     .complexity = "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is "
                   "the number of Redis objects composing the value and M their average size. For small string values "
                   "the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set "
                   "values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
     .args = restore_args,
     .history =
         STRINGS(CHANGE("3.0.0", "Added the `REPLACE` modifier."), CHANGE("5.0.0", "Added the `ABSTTL` modifier."),
                 CHANGE("5.0.0", "Added the `IDLETIME` and `FREQ` options."))},
    {.name = NULL},
};
