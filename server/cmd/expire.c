/* The EXPIRE and TTL families. All of them need only metadata: a cold key stays cold. */
#include "server/reply.h"

enum { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool expire_flags(struct call *c, int *flags)
{
    *flags = 0;
    for (int i = 3; i < c->argc; i++) {
        int flag = slice_is(c->argv[i], "nx")   ? EXPIRE_NX
                   : slice_is(c->argv[i], "xx") ? EXPIRE_XX
                   : slice_is(c->argv[i], "gt") ? EXPIRE_GT
                   : slice_is(c->argv[i], "lt") ? EXPIRE_LT
                                                : 0;
        if (flag == 0) {
            reply_errorf(c, "ERR Unsupported option %.*s", (int)c->argv[i].len, (const char *)c->argv[i].p);
            return false;
        }
        *flags |= flag;
    }
    if ((*flags & EXPIRE_NX) && (*flags & (EXPIRE_XX | EXPIRE_GT | EXPIRE_LT))) {
        reply_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*flags & EXPIRE_GT) && (*flags & EXPIRE_LT)) {
        reply_error(c, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* No expiry counts as the far future. */
static bool allowed(int flags, int64_t now, int64_t when)
{
    bool has = now != ENTRY_NO_EXPIRY;
    if ((flags & EXPIRE_NX) && has)
        return false;
    if ((flags & EXPIRE_XX) && !has)
        return false;
    if ((flags & EXPIRE_GT) && (!has || when <= now))
        return false;
    return !((flags & EXPIRE_LT) && has && when >= now);
}

static void expire_at(struct call *c, int flags, int64_t when)
{
    struct place p = place_write(c, 1);
    if (p.e == NULL || !allowed(flags, entry_expiry(p.e), when)) {
        reply_int(c, 0);
        return;
    }
    if (call_past(c, when))
        place_remove(c, &p);
    else
        place_expire(c, &p, when);
    reply_int(c, 1);
}

static void expire_with(struct call *c, bool seconds, bool absolute)
{
    int flags;
    int64_t v;
    if (!expire_flags(c, &flags) || !arg_i64(c, c->argv[2], &v))
        return;
    bool overflow = seconds && (v > INT64_MAX / 1000 || v < INT64_MIN / 1000);
    if (!overflow && seconds)
        v *= 1000;
    if (!overflow && !absolute)
        overflow = __builtin_add_overflow(v, c->now_ms, &v);
    if (overflow) {
        reply_errorf(c, "ERR invalid expire time in '%s' command", c->cmd->full_name);
        return;
    }
    /* A negative time is past; the entry's own marks for "none" and "keep" must not be met. */
    expire_at(c, flags, v < 0 ? 0 : v);
}

static void expire_run(struct call *c) { expire_with(c, true, false); }
static void pexpire_run(struct call *c) { expire_with(c, false, false); }
static void expireat_run(struct call *c) { expire_with(c, true, true); }
static void pexpireat_run(struct call *c) { expire_with(c, false, true); }

/* -2: no such key, -1: no expiry, else what `answer` makes of the absolute time. */
static void ttl_with(struct call *c, bool seconds, bool absolute)
{
    struct place p = place_peek(c, 1);
    key_missed(c, &p);
    if (p.e == NULL || entry_expiry(p.e) == ENTRY_NO_EXPIRY) {
        reply_int(c, p.e == NULL ? -2 : -1);
        return;
    }
    int64_t ms = entry_expiry(p.e) - (absolute ? 0 : c->now_ms);
    ms = ms < 0 ? 0 : ms;
    reply_int(c, !seconds ? ms : absolute ? ms / 1000 : (ms + 500) / 1000);
}

static void ttl_run(struct call *c) { ttl_with(c, true, false); }
static void pttl_run(struct call *c) { ttl_with(c, false, false); }
static void expiretime_run(struct call *c) { ttl_with(c, true, true); }
static void pexpiretime_run(struct call *c) { ttl_with(c, false, true); }

static void persist_run(struct call *c)
{
    struct place p = place_write(c, 1);
    if (p.e == NULL || entry_expiry(p.e) == ENTRY_NO_EXPIRY) {
        reply_int(c, 0);
        return;
    }
    place_expire(c, &p, ENTRY_NO_EXPIRY);
    reply_int(c, 1);
}

static const struct command_arg expire_condition[] = {
    ARG_TOKEN("nx", "NX"), ARG_TOKEN("xx", "XX"), ARG_TOKEN("gt", "GT"), ARG_TOKEN("lt", "LT"), ARG_END,
};
#define EXPIRE_CONDITION ARG_ONEOF("condition", expire_condition, .since = "7.0.0", .flags = ARG_OPTIONAL)

static const struct command_arg expire_args[] = {
    ARG("key", "key"),
    ARG("seconds", "integer"),
    EXPIRE_CONDITION,
    ARG_END,
};
static const struct command_arg pexpire_args[] = {
    ARG("key", "key"),
    ARG("milliseconds", "integer"),
    EXPIRE_CONDITION,
    ARG_END,
};
static const struct command_arg expireat_args[] = {
    ARG("key", "key"),
    ARG("unix-time-seconds", "unix-time"),
    EXPIRE_CONDITION,
    ARG_END,
};
static const struct command_arg pexpireat_args[] = {
    ARG("key", "key"),
    ARG("unix-time-milliseconds", "unix-time"),
    EXPIRE_CONDITION,
    ARG_END,
};

#define EXP(n, fn, arg, sum, sn)                                                                                    \
    {                                                                                                               \
        .name = n, .run = fn, .arity = -3, .flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE, .route = ROUTE_KEYS, \
        .keys = {{.flags = KEY_RW | KEY_UPDATE, .first = 1, .step = 1}}, .group = "generic", .summary = sum,        \
        .since = sn, .complexity = "O(1)", .args = arg,                                                             \
        .history = STRINGS(CHANGE("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."))                            \
    }
#define TTL(n, fn, sum, sn, ...)                                                                                      \
    {                                                                                                                 \
        .name = n, .run = fn, .arity = 2, .flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE, .route = ROUTE_KEYS, \
        .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1}}, .group = "generic", .summary = sum,          \
        .since = sn, .complexity = "O(1)", .args = args_key, __VA_ARGS__                                              \
    }
#define RELATIVE .tips = STRINGS("nondeterministic_output"), .history = STRINGS(CHANGE("2.8.0", "Added the -2 reply."))

struct command expire_commands[] = {
    EXP("expire", expire_run, expire_args, "Sets the expiration time of a key in seconds.", "1.0.0"),
    EXP("pexpire", pexpire_run, pexpire_args, "Sets the expiration time of a key in milliseconds.", "2.6.0"),
    EXP("expireat", expireat_run, expireat_args, "Sets the expiration time of a key to a Unix timestamp.", "1.2.0"),
    EXP("pexpireat", pexpireat_run, pexpireat_args,
        "Sets the expiration time of a key to a Unix milliseconds timestamp.", "2.6.0"),
    TTL("ttl", ttl_run, "Returns the expiration time in seconds of a key.", "1.0.0", RELATIVE),
    TTL("pttl", pttl_run, "Returns the expiration time in milliseconds of a key.", "2.6.0", RELATIVE),
    TTL("expiretime", expiretime_run, "Returns the expiration time of a key as a Unix timestamp.", "7.0.0"),
    TTL("pexpiretime", pexpiretime_run, "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        "7.0.0"),
    {.name = "persist",
     .run = persist_run,
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RW | KEY_UPDATE, .first = 1, .step = 1}},
     .group = "generic",
     .summary = "Removes the expiration time of a key.",
     .since = "2.2.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = NULL},
};
