/* COMMAND and its subcommands: everything is read from the declarations. */
#include <ctype.h>
#include <stdio.h>

#include "core/base/glob.h"
#include "server/reply.h"

struct flag_name {
    uint32_t flag;
    const char *name;
};

static const struct flag_name flag_names[] = {
    {CMD_WRITE, "write"},
    {CMD_READONLY, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_SKIP_MONITOR, "skip_monitor"},
    {CMD_SKIP_SLOWLOG, "skip_slowlog"},
    {CMD_FAST, "fast"},
    {CMD_NO_AUTH, "no_auth"},
    {CMD_NO_ASYNC_LOADING, "no_async_loading"},
    {CMD_NO_MULTI, "no_multi"},
    {CMD_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {CMD_MOVABLE_KEYS, "movablekeys"},
    {CMD_ALLOW_BUSY, "allow_busy"},
};

/* A command is in a category that it declares, or whose flag it has; @slow is what is not @fast. In Redis's order. */
static const struct {
    uint32_t acl, flag;
    const char *name;
} categories[] = {
    {ACL_KEYSPACE, 0, "@keyspace"},
    {0, CMD_READONLY, "@read"},
    {0, CMD_WRITE, "@write"},
    {ACL_SET, 0, "@set"},
    {ACL_SORTEDSET, 0, "@sortedset"},
    {ACL_LIST, 0, "@list"},
    {ACL_HASH, 0, "@hash"},
    {ACL_STRING, 0, "@string"},
    {ACL_BITMAP, 0, "@bitmap"},
    {ACL_HYPERLOGLOG, 0, "@hyperloglog"},
    {ACL_GEO, 0, "@geo"},
    {ACL_STREAM, 0, "@stream"},
    {ACL_PUBSUB, CMD_PUBSUB, "@pubsub"},
    {ACL_ADMIN, CMD_ADMIN, "@admin"},
    {0, CMD_FAST, "@fast"},
    {0, 0, "@slow"},
    {0, CMD_BLOCKING, "@blocking"},
    {ACL_DANGEROUS, CMD_ADMIN, "@dangerous"},
    {ACL_CONNECTION, 0, "@connection"},
    {ACL_TRANSACTION, 0, "@transaction"},
    {ACL_SCRIPTING, 0, "@scripting"},
};

static const struct flag_name key_flag_names[] = {
    {KEY_RO, "RO"},
    {KEY_RW, "RW"},
    {KEY_OW, "OW"},
    {KEY_RM, "RM"},
    {KEY_ACCESS, "access"},
    {KEY_UPDATE, "update"},
    {KEY_INSERT, "insert"},
    {KEY_DELETE, "delete"},
    {KEY_NOT_KEY, "not_key"},
    {KEY_INCOMPLETE, "incomplete"},
    {KEY_VARIABLE_FLAGS, "variable_flags"},
};

static size_t put_flags(struct buf *b, const struct flag_name *names, size_t max, uint32_t flags)
{
    size_t n = 0;
    for (size_t i = 0; i < max; i++)
        if (flags & names[i].flag) {
            resp_simple(b, names[i].name);
            n++;
        }
    return n;
}

/* What a script reads is not said by its command. */
static bool belongs(const struct command *cmd, uint32_t acl, uint32_t flag)
{
    if (acl == 0 && (cmd->acl & ACL_SCRIPTING))
        flag &= ~(uint32_t)CMD_READONLY;
    return (cmd->acl & acl) || (cmd->flags & flag);
}

static size_t put_categories(struct buf *b, const struct command *cmd)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
        bool slow = (categories[i].acl | categories[i].flag) == 0;
        if (slow ? !(cmd->flags & CMD_FAST) : belongs(cmd, categories[i].acl, categories[i].flag)) {
            resp_simple(b, categories[i].name);
            n++;
        }
    }
    return n;
}

static void reply_set_of(struct call *c, size_t n, struct buf *items)
{
    reply_set(c, n);
    buf_append_slice(c->out, buf_slice(items));
    buf_clear(items);
}

/* {type, spec: {...}} with so many facts in the spec. */
static void reply_typed(struct call *c, const char *type, size_t facts)
{
    reply_map(c, 2);
    reply_bulk_str(c, "type");
    reply_bulk_str(c, type);
    reply_bulk_str(c, "spec");
    reply_map(c, facts);
}

static void reply_fact(struct call *c, const char *name, int64_t v)
{
    reply_bulk_str(c, name);
    reply_int(c, v);
}

static void reply_begin_search(struct call *c, const struct key_spec *k)
{
    reply_bulk_str(c, "begin_search");
    if (k->unknown) {
        reply_typed(c, "unknown", 0);
        return;
    }
    if (k->keyword == NULL) {
        reply_typed(c, "index", 1);
        reply_fact(c, "index", k->first);
        return;
    }
    reply_typed(c, "keyword", 2);
    reply_bulk_str(c, "keyword");
    reply_bulk_str(c, k->keyword);
    reply_fact(c, "startfrom", k->first);
}

static void reply_find_keys(struct call *c, const struct key_spec *k)
{
    reply_bulk_str(c, "find_keys");
    if (k->unknown) {
        reply_typed(c, "unknown", 0);
        return;
    }
    if (k->counted) {
        reply_typed(c, "keynum", 3);
        reply_fact(c, "keynumidx", 0);
        reply_fact(c, "firstkey", 1);
        reply_fact(c, "keystep", 1);
        return;
    }
    reply_typed(c, "range", 3);
    reply_fact(c, "lastkey", k->last);
    reply_fact(c, "keystep", k->step ? k->step : 1);
    reply_fact(c, "limit", k->half ? 2 : 0);
}

static void reply_key_spec(struct call *c, const struct key_spec *k)
{
    struct buf flags = {0};
    reply_map(c, k->notes ? 4 : 3);
    if (k->notes) {
        reply_bulk_str(c, "notes");
        reply_bulk_str(c, k->notes);
    }
    reply_bulk_str(c, "flags");
    reply_set_of(c, put_flags(&flags, key_flag_names, ARRAY_LEN(key_flag_names), k->flags), &flags);
    buf_free(&flags);
    reply_begin_search(c, k);
    reply_find_keys(c, k);
}

static int key_specs(const struct command *cmd)
{
    int n = 0;
    while (n < COMMAND_KEY_SPECS && (cmd->keys[n].first > 0 || cmd->keys[n].unknown))
        n++;
    return n;
}

/* first, last, step over all specs that are ranges, as clients of old read them. */
static void reply_key_range(struct call *c, const struct command *cmd)
{
    int n = 0;
    while (n < COMMAND_KEY_SPECS && cmd->keys[n].first > 0 && !cmd->keys[n].counted && cmd->keys[n].keyword == NULL)
        n++;
    const struct key_spec *end = &cmd->keys[n > 0 ? n - 1 : 0];
    int last = n == 0 ? 0 : end->last < 0 ? end->last : end->first + end->last;
    reply_int(c, n ? cmd->keys[0].first : 0);
    reply_int(c, last);
    reply_int(c, n == 0 ? 0 : cmd->keys[0].step ? cmd->keys[0].step : 1);
}

static void reply_info(struct call *c, const struct command *cmd)
{
    struct buf items = {0};
    size_t subs = 0;
    reply_array(c, 10);
    reply_bulk_str(c, cmd->full_name);
    reply_int(c, cmd->arity);
    reply_set_of(c, put_flags(&items, flag_names, ARRAY_LEN(flag_names), cmd->flags), &items);
    reply_key_range(c, cmd);
    reply_set_of(c, put_categories(&items, cmd), &items);
    buf_free(&items);
    size_t tips = 0;
    while (cmd->tips != NULL && cmd->tips[tips] != NULL)
        tips++;
    reply_set(c, tips);
    for (size_t i = 0; i < tips; i++)
        reply_bulk_str(c, cmd->tips[i]);
    reply_set(c, (size_t)key_specs(cmd));
    for (int i = 0; i < key_specs(cmd); i++)
        reply_key_spec(c, &cmd->keys[i]);
    while (cmd->subcommands != NULL && cmd->subcommands[subs].name != NULL)
        subs++;
    reply_set(c, subs);
    for (size_t i = 0; i < subs; i++)
        reply_info(c, &cmd->subcommands[i]);
}

static void count_one(void *arg, const struct command *cmd)
{
    (void)cmd;
    ++*(size_t *)arg;
}

static size_t count_all(void)
{
    size_t n = 0;
    command_each(count_one, &n);
    return n;
}

static void info_one(void *arg, const struct command *cmd) { reply_info(arg, cmd); }

static void command_run(struct call *c)
{
    reply_array(c, count_all());
    command_each(info_one, c);
}

static void command_count_run(struct call *c) { reply_int(c, (int64_t)count_all()); }

static void command_info_run(struct call *c)
{
    if (c->argc == 2) {
        command_run(c);
        return;
    }
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_by_full_name(c->argv[i]);
        if (cmd == NULL)
            reply_null(c);
        else
            reply_info(c, cmd);
    }
}

/* --- DOCS --- */

static void doc_field(struct buf *b, size_t *n, const char *name, const char *value)
{
    if (value == NULL)
        return;
    resp_bulk_str(b, name);
    resp_bulk_str(b, value);
    ++*n;
}

/* A field that is a set of words; absent if all of them are NULL. */
static void doc_words(struct buf *b, size_t *n, int proto, const char *name, const char *const words[3])
{
    size_t many = 0;
    for (int i = 0; i < 3; i++)
        many += words[i] != NULL;
    if (many == 0)
        return;
    resp_bulk_str(b, name);
    resp_set(b, proto, many);
    for (int i = 0; i < 3; i++)
        if (words[i] != NULL)
            resp_simple(b, words[i]);
    ++*n;
}

static void doc_arg_flags(struct buf *b, size_t *n, int proto, uint8_t flags)
{
    const char *words[3] = {
        flags & ARG_OPTIONAL ? "optional" : NULL,
        flags & ARG_MULTIPLE ? "multiple" : NULL,
        flags & ARG_MULTIPLE_TOKEN ? "multiple_token" : NULL,
    };
    doc_words(b, n, proto, "flags", words);
}

static void doc_args(struct buf *b, int proto, const struct command_arg *args);

static void doc_arg(struct buf *b, int proto, const struct command_arg *a)
{
    struct buf fields = {0};
    size_t n = 0;
    doc_field(&fields, &n, "name", a->name);
    doc_field(&fields, &n, "type", a->type);
    if (a->sub == NULL)
        doc_field(&fields, &n, "display_text", a->display ? a->display : a->name);
    if (strcmp(a->type, "key") == 0 || a->key_spec > 0) {
        resp_bulk_str(&fields, "key_spec_index");
        resp_int(&fields, a->key_spec);
        n++;
    }
    doc_field(&fields, &n, "token", a->token);
    doc_field(&fields, &n, "summary", a->summary);
    doc_field(&fields, &n, "since", a->since);
    doc_field(&fields, &n, "deprecated_since", a->deprecated_since);
    doc_arg_flags(&fields, &n, proto, a->flags);
    if (a->sub != NULL) {
        resp_bulk_str(&fields, "arguments");
        doc_args(&fields, proto, a->sub);
        n++;
    }
    resp_map(b, proto, n);
    buf_append_slice(b, buf_slice(&fields));
    buf_free(&fields);
}

static void doc_args(struct buf *b, int proto, const struct command_arg *args)
{
    size_t n = 0;
    while (args[n].name != NULL)
        n++;
    resp_array(b, n);
    for (size_t i = 0; i < n; i++)
        doc_arg(b, proto, &args[i]);
}

static void doc_flags(struct buf *b, size_t *n, int proto, const struct command *cmd)
{
    const char *words[3] = {cmd->deprecated_since ? "deprecated" : NULL, cmd->internal ? "syscmd" : NULL};
    doc_words(b, n, proto, "doc_flags", words);
}

static void doc_history(struct buf *b, size_t *n, int proto, const char *const *history)
{
    size_t strings = 0;
    if (history == NULL)
        return;
    while (history[strings] != NULL)
        strings++;
    resp_bulk_str(b, "history");
    resp_set(b, proto, strings / 2);
    for (size_t i = 0; i + 1 < strings; i += 2) {
        resp_array(b, 2);
        resp_bulk_str(b, history[i]);
        resp_bulk_str(b, history[i + 1]);
    }
    ++*n;
}

static void reply_doc(struct call *c, const struct command *cmd)
{
    struct buf b = {0};
    size_t n = 0, subs = 0;
    reply_bulk_str(c, cmd->full_name);
    doc_field(&b, &n, "summary", cmd->summary);
    doc_field(&b, &n, "since", cmd->since);
    doc_field(&b, &n, "group", cmd->group);
    doc_field(&b, &n, "complexity", cmd->complexity);
    doc_flags(&b, &n, c->proto, cmd);
    doc_field(&b, &n, "deprecated_since", cmd->deprecated_since);
    doc_field(&b, &n, "replaced_by", cmd->replaced_by);
    doc_history(&b, &n, c->proto, cmd->history);
    if (cmd->args != NULL) {
        resp_bulk_str(&b, "arguments");
        doc_args(&b, c->proto, cmd->args);
        n++;
    }
    while (cmd->subcommands != NULL && cmd->subcommands[subs].name != NULL)
        subs++;
    reply_map(c, n + (subs > 0));
    buf_append_slice(c->out, buf_slice(&b));
    buf_free(&b);
    if (subs == 0)
        return;
    reply_bulk_str(c, "subcommands");
    reply_map(c, subs);
    for (size_t i = 0; i < subs; i++)
        reply_doc(c, &cmd->subcommands[i]);
}

static void doc_one(void *arg, const struct command *cmd) { reply_doc(arg, cmd); }

static void command_docs_run(struct call *c)
{
    size_t n = 0;
    if (c->argc == 2) {
        reply_map(c, count_all());
        command_each(doc_one, c);
        return;
    }
    for (int i = 2; i < c->argc; i++)
        n += command_by_full_name(c->argv[i]) != NULL;
    reply_map(c, n);
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_by_full_name(c->argv[i]);
        if (cmd != NULL)
            reply_doc(c, cmd);
    }
}

/* --- LIST --- */

struct list_names {
    struct buf names;
    size_t n;
    struct slice pattern, category;
    bool by_pattern, by_category, by_module;
};

static bool in_category(const struct command *cmd, struct slice category)
{
    struct buf names = {0};
    char line[64];
    int len = snprintf(line, sizeof(line), "+@%.*s\r\n", (int)min_u64(category.len, 50), (const char *)category.p);
    put_categories(&names, cmd);
    buf_append_byte(&names, 0);
    for (char *p = line; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    bool found = len > 0 && strstr((const char *)names.p, line) != NULL;
    buf_free(&names);
    return found;
}

static void list_name(void *arg, const struct command *cmd)
{
    struct list_names *l = arg;
    for (const struct command *sub = cmd->subcommands; sub != NULL && sub->name != NULL; sub++)
        list_name(arg, sub);
    if (l->by_module || (l->by_pattern && !glob_match(l->pattern, slice_str(cmd->full_name), true)) ||
        (l->by_category && !in_category(cmd, l->category)))
        return;
    resp_bulk_str(&l->names, cmd->full_name);
    l->n++;
}

static void command_list_run(struct call *c)
{
    struct list_names l = {0};
    if (c->argc == 5 && slice_is(c->argv[2], "filterby")) {
        l.by_module = slice_is(c->argv[3], "module");
        l.by_category = slice_is(c->argv[3], "aclcat");
        l.by_pattern = slice_is(c->argv[3], "pattern");
        l.pattern = l.category = c->argv[4];
    }
    if (c->argc != 2 && !l.by_module && !l.by_category && !l.by_pattern) {
        reply_syntax(c);
        return;
    }
    command_each(list_name, &l);
    reply_array(c, l.n);
    buf_append_slice(c->out, buf_slice(&l.names));
    buf_free(&l.names);
}

/* --- GETKEYS --- */

/* The keys of the call that the arguments are; false if it is none, which has been replied. None of a command that need
 * not have any: also where it makes no sense. */
static bool keys_of(struct call *c, struct key_refs *refs)
{
    const struct command *parent, *cmd = command_find(c->argv + 2, c->argc - 2, &parent);
    if (cmd == NULL) {
        reply_error(c, "ERR Invalid command specified");
        return false;
    }
    if (key_specs(cmd) == 0) {
        reply_error(c, "ERR The command has no key arguments");
        return false;
    }
    if (!command_arity_ok(cmd, c->argc - 2)) {
        reply_error(c, "ERR Invalid number of arguments specified for command");
        return false;
    }
    command_key_refs(cmd, c->argv + 2, c->argc - 2, refs);
    if (refs->n < 0 && (cmd->flags & CMD_NO_MANDATORY_KEYS))
        refs->n = 0;
    if (refs->n >= 0)
        return true;
    reply_error(c, "ERR Invalid arguments specified for command");
    return false;
}

/* SET reads the old value only if asked to: what a call does to its key then follows from its need. */
static uint16_t flags_of_call(const struct key_ref *ref)
{
    if (!(ref->flags & KEY_VARIABLE_FLAGS))
        return ref->flags;
    return ref->need == NEED_VALUE ? KEY_RW | KEY_ACCESS | KEY_UPDATE : KEY_OW | KEY_UPDATE;
}

static void getkeys(struct call *c, bool with_flags)
{
    struct key_refs refs;
    if (!keys_of(c, &refs))
        return;
    reply_array(c, (size_t)refs.n);
    for (int i = 0; i < refs.n; i++) {
        struct buf flags = {0};
        if (with_flags)
            reply_array(c, 2);
        reply_bulk(c, c->argv[2 + refs.at[i].arg]);
        if (with_flags)
            reply_set_of(c, put_flags(&flags, key_flag_names, ARRAY_LEN(key_flag_names), flags_of_call(&refs.at[i])),
                         &flags);
        buf_free(&flags);
    }
    key_refs_free(&refs);
}

static void command_getkeys_run(struct call *c) { getkeys(c, false); }
static void command_getkeysandflags_run(struct call *c) { getkeys(c, true); }

static void command_help_run(struct call *c)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    reply_help(c, lines);
}

static const struct command_arg list_filters[] = {
    ARG("module-name", "string", .token = "MODULE"),
    ARG("category", "string", .token = "ACLCAT"),
    ARG("pattern", "pattern", .token = "PATTERN"),
    ARG_END,
};
static const struct command_arg list_args[] = {
    ARG_ONEOF("filterby", list_filters, .token = "FILTERBY", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg names_args[] = {
    ARG("command-name", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg call_args[] = {
    ARG("command", "string"),
    ARG("arg", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};

#define ANY_ORDER .tips = STRINGS("nondeterministic_output_order")
#define SUB(n, fn, ar, sum, sn, cx, ...)                                                                   \
    {                                                                                                      \
        .name = n, .run = fn, .arity = ar, .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,        \
        .route = ROUTE_HOME, .group = "server", .summary = sum, .since = sn, .complexity = cx, __VA_ARGS__ \
    }

static struct command subcommands[] = {
    SUB("count", command_count_run, 2, "Returns a count of commands.", "2.8.13", "O(1)"),
    SUB("list", command_list_run, -2, "Returns a list of command names.", "7.0.0",
        "O(N) where N is the total number of Redis commands", .args = list_args, ANY_ORDER),
    SUB("info", command_info_run, -2, "Returns information about one, multiple or all commands.", "2.8.13",
        "O(N) where N is the number of commands to look up", .args = names_args, ANY_ORDER,
        .history = STRINGS(CHANGE("7.0.0", "Allowed to be called with no argument to get info on all commands."))),
    SUB("docs", command_docs_run, -2, "Returns documentary information about one, multiple or all commands.", "7.0.0",
        "O(N) where N is the number of commands to look up", .args = names_args, ANY_ORDER),
    SUB("getkeys", command_getkeys_run, -3, "Extracts the key names from an arbitrary command.", "2.8.13",
        "O(N) where N is the number of arguments to the command", .args = call_args),
    SUB("getkeysandflags", command_getkeysandflags_run, -3,
        "Extracts the key names and access flags for an arbitrary command.", "7.0.0",
        "O(N) where N is the number of arguments to the command", .args = call_args),
    SUB("help", command_help_run, 2, "Returns helpful text about the different subcommands.", "5.0.0", "O(1)"),
    {.name = NULL},
};

struct command command_commands[] = {
    {.name = "command",
     .run = command_run,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_CONNECTION,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns detailed information about all commands.",
     .since = "2.8.13",
     .complexity = "O(N) where N is the total number of Redis commands",
     ANY_ORDER,
     .subcommands = subcommands},
    {.name = NULL},
};
