/* CONFIG. It changes what every shard reads, so SET runs under a hold of all. */
#include <stdio.h>

#include "core/base/glob.h"
#include "core/base/num.h"
#include "server/admin.h"
#include "server/config_table.h"
#include "server/reply.h"

#define NAME_MAX_BYTES 64

static bool of_db(struct slice pattern) { return pattern.len > 3 && memcmp(pattern.p, "db.", 3) == 0; }

static bool asked_for(const struct call *c, int db, const char *name, bool hidden)
{
    for (int i = 2; i < c->argc; i++)
        if ((db < 0 || of_db(c->argv[i])) &&
            (hidden ? slice_is(c->argv[i], name) : glob_match(c->argv[i], slice_str(name), true)))
            return true;
    return false;
}

/* The defaults (db -1), or what is set for one database, under names that say so. Each comes once. */
static size_t get_matching(struct call *c, int db, struct buf *out)
{
    size_t n = 0;
    for (const struct directive *d = config_directives; d->name != NULL; d++) {
        char name[NAME_MAX_BYTES];
        struct buf value = {0};
        if (db < 0 ? d->flags & DIRECTIVE_DB_ONLY : !(d->flags & DIRECTIVE_DB))
            continue;
        if (db < 0)
            snprintf(name, sizeof(name), "%s", d->name);
        else
            snprintf(name, sizeof(name), "db.%d.%s", db, d->name);
        if (!asked_for(c, db, name, d->flags & DIRECTIVE_HIDDEN))
            continue;
        config_format(admin_config(c), d, db, &value);
        resp_bulk_str(out, name);
        resp_bulk(out, buf_slice(&value));
        buf_free(&value);
        n++;
    }
    return n;
}

static void config_get_run(struct call *c)
{
    struct buf out = {0};
    bool by_db = false;
    for (int i = 2; i < c->argc; i++)
        by_db |= of_db(c->argv[i]);
    size_t n = get_matching(c, -1, &out);
    for (int db = 0; by_db && db < (int)call_databases(c); db++)
        n += get_matching(c, db, &out);
    reply_map(c, n);
    buf_append_slice(c->out, buf_slice(&out));
    buf_free(&out);
}

/* "db.3.maxmemory" -> 3 and "maxmemory"; anything else -> -1 and itself. */
static int split_name(struct call *c, struct slice name, struct slice *rest)
{
    int64_t db;
    *rest = name;
    if (name.len < 6 || memcmp(name.p, "db.", 3) != 0)
        return -1;
    const uint8_t *dot = memchr(name.p + 3, '.', name.len - 3);
    if (dot == NULL || !num_parse_i64(slice_of(name.p + 3, (size_t)(dot - name.p - 3)), &db) || db < 0 ||
        db >= (int64_t)call_databases(c))
        return -1;
    *rest = slice_of(dot + 1, (size_t)(name.p + name.len - dot - 1));
    return (int)db;
}

static bool is_value(struct call *c, const struct directive *d, int db, struct slice text)
{
    struct buf value = {0};
    config_format(admin_config(c), d, db, &value);
    bool same = slice_eq(buf_slice(&value), text);
    buf_free(&value);
    return same;
}

/* What cannot change may be set to what it is: so all that GET gives can be set. */
static bool check_names(struct call *c)
{
    for (int i = 2; i < c->argc; i += 2) {
        struct slice rest;
        int db = split_name(c, c->argv[i], &rest);
        const struct directive *d = config_find(rest, db >= 0);
        if (d == NULL) {
            reply_errorf(c, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                         (int)min_u64(c->argv[i].len, 128), (const char *)c->argv[i].p);
            return false;
        }
        for (int k = 2; k < i; k += 2)
            if (slice_eq(c->argv[i], c->argv[k])) {
                reply_errorf(c, "ERR CONFIG SET failed (possibly related to argument '%s') - duplicate parameter",
                             d->name);
                return false;
            }
        if ((d->flags & DIRECTIVE_FIXED) && !is_value(c, d, db, c->argv[i + 1])) {
            reply_errorf(c, "ERR CONFIG SET failed (possibly related to argument '%s') - can't set immutable config",
                         d->name);
            return false;
        }
    }
    return true;
}

static int words_of(struct slice value, const struct directive *d, struct slice *out, int max)
{
    int n = 0;
    if (!(d->flags & DIRECTIVE_MANY)) {
        out[0] = value;
        return 1;
    }
    for (size_t i = 0; i < value.len && n < max;) {
        while (i < value.len && value.p[i] == ' ')
            i++;
        size_t from = i;
        while (i < value.len && value.p[i] != ' ')
            i++;
        if (i > from)
            out[n++] = slice_of(value.p + from, i - from);
    }
    return n;
}

/* Sets the parameter at `arg` to `value`; what it was is put into `old` if that is not NULL. */
static bool set_one(struct call *c, int arg, struct slice value, struct buf *old, char *error)
{
    struct slice rest, words[16];
    int db = split_name(c, c->argv[arg], &rest);
    const struct directive *d = config_find(rest, db >= 0);
    if (d->flags & DIRECTIVE_FIXED)
        return true;
    if (old != NULL)
        config_format(admin_config(c), d, db, old);
    return config_set(admin_config(c), db, rest, words, words_of(value, d, words, ARRAY_LEN(words)), error);
}

static void set_back(struct call *c, int until, struct buf *old)
{
    char ignored[512];
    for (int i = until - 2; i >= 2; i -= 2)
        set_one(c, i, buf_slice(&old[i / 2 - 1]), NULL, ignored);
}

/* All or nothing: what was set before a failure is set back. */
static bool set_all(struct call *c, struct buf *old)
{
    char error[512];
    int i = 2;
    while (i < c->argc && set_one(c, i, c->argv[i + 1], &old[i / 2 - 1], error))
        i += 2;
    if (i == c->argc && admin_config_prepare(c, error))
        return true;
    if (i == c->argc) {
        reply_errorf(c, "ERR CONFIG SET failed - %s", error);
    } else {
        struct slice rest;
        int db = split_name(c, c->argv[i], &rest);
        reply_errorf(c, "ERR CONFIG SET failed (possibly related to argument '%s') - %s",
                     config_find(rest, db >= 0)->name, error);
    }
    set_back(c, i, old);
    return false;
}

static void config_set_run(struct call *c)
{
    struct buf old[32] = {0};
    if (c->argc % 2 != 0 || c->argc > 2 + 2 * (int)ARRAY_LEN(old)) {
        reply_wrong_arity(c);
        return;
    }
    if (!check_names(c))
        return;
    bool ok = set_all(c, old);
    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        buf_free(&old[i]);
    if (!ok)
        return;
    admin_config_changed(c);
    reply_ok(c);
}

static bool is_secret(const struct slice *argv, int argc, int arg)
{
    const struct directive *d = arg >= 3 && arg % 2 == 1 ? config_find(argv[arg - 1], false) : NULL;
    (void)argc;
    return d != NULL && (d->flags & DIRECTIVE_SECRET);
}

static void config_rewrite_run(struct call *c)
{
    char error[512];
    if (admin_config(c)->path[0] == 0) {
        reply_error(c, "ERR The server is running without a config file");
        return;
    }
    if (config_rewrite(admin_config(c), error) < 0)
        reply_errorf(c, "ERR Rewriting config file: %s", error);
    else
        reply_ok(c);
}

static void config_resetstat_run(struct call *c)
{
    admin_reset_stats(c);
    reply_ok(c);
}

static void config_help_run(struct call *c)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    reply_help(c, lines);
}

static const struct command_arg get_args[] = {
    ARG("parameter", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg set_pair[] = {
    ARG("parameter", "string"),
    ARG("value", "string"),
    ARG_END,
};
static const struct command_arg set_args[] = {
    ARG_BLOCK("data", set_pair, .flags = ARG_MULTIPLE),
    ARG_END,
};

#define ALL_NODES .tips = STRINGS("request_policy:all_nodes", "response_policy:all_succeeded")
#define SUB(n, fn, ar, rt, sum, sn, cx, ...)                                                                 \
    {                                                                                                        \
        .name = n, .run = fn, .arity = ar, .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,      \
        .acl = ACL_DANGEROUS, .route = rt, .group = "server", .summary = sum, .since = sn, .complexity = cx, \
        __VA_ARGS__                                                                                          \
    }

static struct command config_subcommands[] = {
    SUB("get", config_get_run, -3, ROUTE_HOME, "Returns the effective values of configuration parameters.", "2.0.0",
        "O(N) when N is the number of configuration parameters provided", .args = get_args,
        .history = STRINGS(CHANGE("7.0.0", "Added the ability to pass multiple pattern parameters in one call"))),
    SUB("set", config_set_run, -4, ROUTE_ALL, "Sets configuration parameters in-flight.", "2.0.0",
        "O(N) when N is the number of configuration parameters provided", .args = set_args, .secret = is_secret,
        ALL_NODES, .history = STRINGS(CHANGE("7.0.0", "Added the ability to set multiple parameters in one call."))),
    SUB("rewrite", config_rewrite_run, 2, ROUTE_ALL, "Persists the effective configuration to file.", "2.8.0", "O(1)",
        ALL_NODES),
    SUB("resetstat", config_resetstat_run, 2, ROUTE_ALL, "Resets the server's statistics.", "2.0.0", "O(1)", ALL_NODES),
    {.name = "help",
     .run = config_help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "5.0.0",
     .complexity = "O(1)"},
    {.name = NULL},
};

struct command config_commands[] = {
    {.name = "config",
     .arity = -2,
     .group = "server",
     .summary = "A container for server configuration commands.",
     .since = "2.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = config_subcommands},
    {.name = NULL},
};
