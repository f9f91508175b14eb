/* Commands on keys of any type. RENAME, COPY and MOVE carry a value from one key to another; what they record is one
 * RESTORE of the result and one DEL, each touching a single key. */
#include "core/base/num.h"
#include "server/cmd/dump.h"
#include "server/reply.h"

static void effect_del(struct call *c, const char *verb, struct slice key)
{
    struct slice argv[] = {slice_str(verb), key};
    effect(c, 2, argv);
}

static void delete_keys(struct call *c, const char *verb)
{
    int64_t n = 0;
    for (int i = 1; i < c->argc; i++) {
        struct place p = place_peek(c, i);
        if (p.e == NULL)
            continue;
        place_delete(c, &p);
        effect_del(c, verb, p.key.name);
        key_event(c, &p, EVENT_GENERIC, "del");
        n++;
    }
    reply_int(c, n);
}

static void del_run(struct call *c) { delete_keys(c, "DEL"); }
static void unlink_run(struct call *c) { delete_keys(c, "UNLINK"); }

static void exists_run(struct call *c)
{
    int64_t n = 0;
    for (int i = 1; i < c->argc; i++)
        n += place_read(c, i).e != NULL;
    reply_int(c, n);
}

/* It heats even for a client that otherwise does not (CLIENT NO-TOUCH). */
static void touch_run(struct call *c)
{
    c->no_touch = false;
    exists_run(c);
}

static void type_run(struct call *c)
{
    struct place p = place_peek(c, 1);
    key_missed(c, &p);
    reply_simple(c, p.e == NULL ? "none" : value_class_of(p.e->type)->name);
}

/* --- carrying values --- */

/* dst becomes what src is, or was if it is taken: value and expiry. */
static void carry(struct call *c, struct place *src, struct place *dst, bool take)
{
    struct value v = place_value(src);
    int64_t when = entry_expiry(src->e);
    bool replaced = dst->e != NULL;
    struct value carried = take ? place_take(c, src) : value_class_of(v.type)->copy(&v);
    place_put(c, dst, &carried, when);
    if (replaced)
        key_event(c, dst, EVENT_NEW, "new");
    effect_value(c, dst, when);
}

static void rename_with(struct call *c, bool only_new)
{
    struct place src = place_write(c, 1);
    bool same = slice_eq(c->argv[1], c->argv[2]);
    if (src.e == NULL) {
        reply_error(c, "ERR no such key");
        return;
    }
    if (same) {
        only_new ? reply_int(c, 0) : reply_ok(c);
        return;
    }
    struct place dst = place_write(c, 2);
    if (only_new && dst.e != NULL) {
        reply_int(c, 0);
        return;
    }
    carry(c, &src, &dst, true);
    effect_del(c, "DEL", src.key.name);
    key_event(c, &src, EVENT_GENERIC, "rename_from");
    key_event(c, &dst, EVENT_GENERIC, "rename_to");
    only_new ? reply_int(c, 1) : reply_ok(c);
}

static void rename_run(struct call *c) { rename_with(c, false); }
static void renamenx_run(struct call *c) { rename_with(c, true); }

static void copy_run(struct call *c)
{
    uint32_t db = c->db;
    bool replace = false;
    for (int i = 3; i < c->argc; i++) {
        if (slice_is(c->argv[i], "replace")) {
            replace = true;
        } else if (slice_is(c->argv[i], "db") && i + 1 < c->argc) {
            if (!arg_db(c, c->argv[++i], &db))
                return;
        } else {
            reply_syntax(c);
            return;
        }
    }
    if (db == c->db && slice_eq(c->argv[1], c->argv[2])) {
        reply_error(c, "ERR source and destination objects are the same");
        return;
    }
    struct place src = place_read(c, 1);
    if (src.e == NULL) {
        reply_int(c, 0);
        return;
    }
    struct place dst = place_in(c, db, c->argv[2]);
    if (dst.e != NULL && !replace) {
        reply_int(c, 0);
        return;
    }
    carry(c, &src, &dst, false);
    key_event(c, &dst, EVENT_GENERIC, "copy_to");
    reply_int(c, 1);
}

static void move_run(struct call *c)
{
    uint32_t db;
    if (!arg_db(c, c->argv[2], &db))
        return;
    if (db == c->db) {
        reply_error(c, "ERR source and destination objects are the same");
        return;
    }
    struct place src = place_write(c, 1);
    struct place dst = place_in(c, db, c->argv[1]);
    if (src.e == NULL || dst.e != NULL) {
        reply_int(c, 0);
        return;
    }
    carry(c, &src, &dst, true);
    effect_del(c, "DEL", src.key.name);
    key_event(c, &src, EVENT_GENERIC, "move_from");
    key_event(c, &dst, EVENT_GENERIC, "move_to");
    reply_int(c, 1);
}

/* --- databases --- */

static bool flush_mode(struct call *c, bool *async)
{
    *async = call_lazy_flush(c);
    if (c->argc == 1)
        return true;
    if (c->argc == 2 && (slice_is(c->argv[1], "async") || slice_is(c->argv[1], "sync"))) {
        *async = slice_is(c->argv[1], "async");
        return true;
    }
    reply_syntax(c);
    return false;
}

static void flush_one(struct call *c, uint32_t db, bool async)
{
    struct slice argv[] = {SLICE_LIT("FLUSHDB")};
    call_flush(c, db, async);
    effect_in(c, db, 1, argv);
}

static void flushdb_run(struct call *c)
{
    bool async;
    if (!flush_mode(c, &async))
        return;
    flush_one(c, c->db, async);
    call_flushed(c);
    reply_ok(c);
}

static void flushall_run(struct call *c)
{
    bool async;
    if (!flush_mode(c, &async))
        return;
    for (uint32_t db = 0; db < call_databases(c); db++)
        flush_one(c, db, async);
    call_flushed(c);
    call_flushed_all(c);
    reply_ok(c);
}

static void swapdb_run(struct call *c)
{
    int64_t a, b;
    if (!num_parse_i64(c->argv[1], &a) || a != (int)a) {
        reply_error(c, "ERR invalid first DB index");
        return;
    }
    if (!num_parse_i64(c->argv[2], &b) || b != (int)b) {
        reply_error(c, "ERR invalid second DB index");
        return;
    }
    if (a < 0 || b < 0 || a >= (int64_t)call_databases(c) || b >= (int64_t)call_databases(c)) {
        reply_error(c, "ERR DB index is out of range");
        return;
    }
    if (a != b && call_swap(c, (uint32_t)a, (uint32_t)b) < 0) {
        reply_error(c, "ERR SWAPDB between a logged and an unlogged database is refused");
        return;
    }
    if (a != b)
        effect_in(c, (uint32_t)a, c->argc, c->argv);
    reply_ok(c);
}

/* --- OBJECT --- */

static bool object_place(struct call *c, struct place *p)
{
    *p = place_peek(c, 2);
    if (p->e == NULL)
        reply_null(c);
    return p->e != NULL;
}

static void object_encoding_run(struct call *c)
{
    struct place p;
    if (!object_place(c, &p))
        return;
    struct value v = entry_value(p.e);
    reply_bulk_str(c, value_class_of(v.type)->encoding_name(&v));
}

static void object_refcount_run(struct call *c)
{
    struct place p;
    if (object_place(c, &p))
        reply_int(c, 1);
}

static void object_tier_run(struct call *c)
{
    struct place p;
    if (object_place(c, &p))
        reply_bulk_str(c, entry_cold(p.e) ? "cold" : "hot");
}

static void object_idletime_run(struct call *c)
{
    struct place p;
    const struct temperature *t;
    if (!object_place(c, &p))
        return;
    t = call_temperature(c, &p);
    if (t->lfu)
        reply_error(
            c,
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "
            "policies at runtime LRU and LFU data will take some time to adjust.");
    else
        reply_int(c, temperature_idle_s(t, p.e->temperature));
}

static void object_freq_run(struct call *c)
{
    struct place p;
    const struct temperature *t;
    if (!object_place(c, &p))
        return;
    t = call_temperature(c, &p);
    if (!t->lfu)
        reply_error(c,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
                    "switching between policies at runtime LRU and LFU data will take some time to adjust.");
    else
        reply_int(c, temperature_freq(t, p.e->temperature));
}

static void object_help_run(struct call *c)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "TIER <key>",
        "    Return where the value of the <key> is: hot (in RAM) or cold (on flash).",
        NULL,
    };
    reply_help(c, lines);
}

#define OBJ(n, fn, nd, sum, sn)                                                                             \
    {                                                                                                       \
        .name = n, .run = fn, .arity = 3, .flags = CMD_READONLY, .acl = ACL_KEYSPACE, .route = ROUTE_KEYS,  \
        .keys = {{.flags = KEY_RO, .first = 2, .step = 1, .need = nd}}, .group = "generic", .summary = sum, \
        .since = sn, .complexity = "O(1)", .args = args_key, .tips = STRINGS("nondeterministic_output")     \
    }

static struct command object_commands[] = {
    OBJ("encoding", object_encoding_run, NEED_VALUE, "Returns the internal encoding of a Redis object.", "2.2.3"),
    OBJ("freq", object_freq_run, NEED_META, "Returns the logarithmic access frequency counter of a Redis object.",
        "4.0.0"),
    OBJ("idletime", object_idletime_run, NEED_META, "Returns the time since the last access to a Redis object.",
        "2.2.3"),
    OBJ("refcount", object_refcount_run, NEED_META, "Returns the reference count of a value of a key.", "2.2.3"),
    OBJ("tier", object_tier_run, NEED_META, "Returns where the value of a key is: hot or cold.", "0.1.0"),
    {.name = "help",
     .run = object_help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_KEYSPACE,
     .route = ROUTE_HOME,
     .group = "generic",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "6.2.0",
     .complexity = "O(1)"},
    {.name = NULL},
};

#define GEN .acl = ACL_KEYSPACE, .route = ROUTE_KEYS, .group = "generic"
#define ALLK(f)                                             \
    {                                                       \
        {                                                   \
            .flags = (f), .first = 1, .last = -1, .step = 1 \
        }                                                   \
    }

#define MANY_SHARDS(how) .tips = STRINGS("request_policy:multi_shard", "response_policy:" how)

static const struct command_arg rename_args[] = {
    ARG("key", "key"),
    ARG("newkey", "key", .key_spec = 1),
    ARG_END,
};
static const struct command_arg copy_args[] = {
    ARG("source", "key"),
    ARG("destination", "key", .key_spec = 1),
    ARG("destination-db", "integer", .token = "DB", .flags = ARG_OPTIONAL),
    ARG_TOKEN("replace", "REPLACE", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg move_args[] = {
    ARG("key", "key"),
    ARG("db", "integer"),
    ARG_END,
};
static const struct command_arg flush_types[] = {
    ARG_TOKEN("async", "ASYNC", .since = "4.0.0"),
    ARG_TOKEN("sync", "SYNC", .since = "6.2.0"),
    ARG_END,
};
static const struct command_arg flush_args[] = {
    ARG_ONEOF("flush-type", flush_types, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const char *const flush_tips[] = {"request_policy:all_shards", "response_policy:all_succeeded", NULL};
static const char *const flush_history[] = {
    CHANGE("4.0.0", "Added the `ASYNC` flushing mode modifier."),
    CHANGE("6.2.0", "Added the `SYNC` flushing mode modifier."),
    NULL,
};
static const struct command_arg swapdb_args[] = {
    ARG("index1", "integer"),
    ARG("index2", "integer"),
    ARG_END,
};

struct command generic_commands[] = {
    {.name = "del",
     .run = del_run,
     .arity = -2,
     .flags = CMD_WRITE,
     GEN,
     .keys = ALLK(KEY_RM | KEY_DELETE),
     .summary = "Deletes one or more keys.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other "
                   "than a string, the individual complexity for this key is O(M) where M is the number of elements in "
                   "the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
     .args = args_keys,
     MANY_SHARDS("agg_sum")},
    {.name = "unlink",
     .run = unlink_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     GEN,
     .keys = ALLK(KEY_RM | KEY_DELETE),
     .summary = "Asynchronously deletes one or more keys.",
     .since = "4.0.0",
     .complexity =
         "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in "
         "order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
     .args = args_keys,
     MANY_SHARDS("agg_sum")},
    {.name = "exists",
     .run = exists_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     GEN,
     .keys = ALLK(KEY_RO),
     .summary = "Determines whether one or more keys exist.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys to check.",
     .args = args_keys,
     MANY_SHARDS("agg_sum"),
     .history = STRINGS(CHANGE("3.0.3", "Accepts multiple `key` arguments."))},
    {.name = "touch",
     .run = touch_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     GEN,
     .keys = ALLK(KEY_RO),
     .summary =
         "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
     .since = "3.2.1",
     .complexity = "O(N) where N is the number of keys that will be touched.",
     .args = args_keys,
     MANY_SHARDS("agg_sum")},
    {.name = "type",
     .run = type_run,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     GEN,
     .keys = {{.flags = KEY_RO, .first = 1, .step = 1}},
     .summary = "Determines the type of value stored at a key.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = args_key},
    {.name = "rename",
     .run = rename_run,
     .arity = 3,
     .flags = CMD_WRITE,
     GEN,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_OW | KEY_UPDATE, .first = 2, .step = 1}},
     .summary = "Renames a key and overwrites the destination.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = rename_args},
    {.name = "renamenx",
     .run = renamenx_run,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     GEN,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_OW | KEY_INSERT, .first = 2, .step = 1}},
     .summary = "Renames a key only when the target key name doesn't exist.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = rename_args,
     .history = STRINGS(
         CHANGE("3.2.0", "The command no longer returns an error when source and destination names are the same."))},
    {.name = "copy",
     .run = copy_run,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     GEN,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_OW | KEY_UPDATE, .first = 2, .step = 1}},
     .summary = "Copies the value of a key to a new key.",
     .since = "6.2.0",
     .complexity = "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
     .args = copy_args},
    {.name = "move",
     .run = move_run,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     GEN,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE, .first = 1, .step = 1, .need = NEED_VALUE}},
     .summary = "Moves a key to another database.",
     .since = "1.0.0",
     .complexity = "O(1)",
     .args = move_args},
    {.name = "flushdb",
     .run = flushdb_run,
     .arity = -1,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .route = ROUTE_ALL,
     .group = "server",
     .summary = "Remove all keys from the current database.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys in the selected database",
     .args = flush_args,
     .tips = flush_tips,
     .history = flush_history},
    {.name = "flushall",
     .run = flushall_run,
     .arity = -1,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .route = ROUTE_ALL,
     .group = "server",
     .summary = "Removes all keys from all databases.",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of keys in all databases",
     .args = flush_args,
     .tips = flush_tips,
     .history = flush_history},
    {.name = "swapdb",
     .run = swapdb_run,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .route = ROUTE_ALL,
     .group = "server",
     .summary = "Swaps two Redis databases.",
     .since = "4.0.0",
     .complexity = "O(N) where N is the count of clients watching or blocking on keys from both databases.",
     .args = swapdb_args},
    {.name = "object",
     .arity = -2,
     .group = "generic",
     .summary = "A container for object introspection commands.",
     .since = "2.2.3",
     .complexity = "Depends on subcommand.",
     .subcommands = object_commands},
    {.name = NULL},
};
