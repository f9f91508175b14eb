/* The command table: an open-addressing hash of lower-case names, made once. */
#include "server/command.h"

#include <ctype.h>
#include <stdio.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"

#define SLOTS 1024
#define NAME_MAX_BYTES 32

static struct command *const groups[] = {
    /* A line for each, so that additions do not meet. */
    /* clang-format off */
    string_commands,
    lcs_commands,
    generic_commands,
    expire_commands,
    scan_commands,
    dump_commands,
    connection_commands,
    transaction_commands,
    server_commands,
    config_commands,
    command_commands,
    debug_commands,
    info_commands,
    function_commands,
    bitfield_commands,
    bitmap_commands,
    geo_commands,
    geo_search_commands,
    hash_commands,
    hash_ex_commands,
    hash_expire_commands,
    hash_scan_commands,
    hyperloglog_commands,
    latency_commands,
    list_commands,
    list_block_commands,
    list_index_commands,
    memory_commands,
    monitor_commands,
    pubsub_commands,
    save_commands,
    script_commands,
    set_commands,
    set_algebra_commands,
    slowlog_commands,
    sort_commands,
    stream_commands,
    stream_add_commands,
    stream_claim_commands,
    stream_group_commands,
    stream_info_commands,
    stream_read_commands,
    zset_commands,
    zset_block_commands,
    zset_pop_commands,
    zset_range_commands,
    zset_store_commands,
    /* clang-format on */
};
static const struct command *table[SLOTS];

const struct command_arg args_key[] = {
    ARG("key", "key"),
    ARG_END,
};
const struct command_arg args_keys[] = {
    ARG("key", "key", .flags = ARG_MULTIPLE),
    ARG_END,
};
const struct command_arg args_on_off[] = {
    ARG_TOKEN("on", "ON"),
    ARG_TOKEN("off", "OFF"),
    ARG_END,
};

static unsigned ids;

/* FNV-1a over the name with letter case folded: names are short. */
static uint32_t name_hash(const uint8_t *p, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (p[i] | 0x20)) * 16777619u;
    return h ^ h >> 15;
}

static void add(struct command *cmd)
{
    uint32_t at = name_hash((const uint8_t *)cmd->name, strlen(cmd->name)) % SLOTS;
    while (table[at] != NULL)
        at = (at + 1) % SLOTS;
    table[at] = cmd;
}

static void name_subcommands(struct command *cmd)
{
    for (struct command *sub = cmd->subcommands; sub != NULL && sub->name != NULL; sub++) {
        size_t len = strlen(cmd->name) + strlen(sub->name) + 2;
        char *full = mem_alloc(len);
        snprintf(full, len, "%s|%s", cmd->name, sub->name);
        sub->full_name = full;
        sub->parent = cmd;
        sub->id = (uint16_t)ids++;
    }
}

void command_table_init(void)
{
    if (ids > 0)
        return;
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (struct command *cmd = groups[g]; cmd->name != NULL; cmd++) {
            cmd->id = (uint16_t)ids++;
            cmd->full_name = cmd->name;
            add(cmd);
            name_subcommands(cmd);
        }
    ensure(ids < SLOTS / 2);
}

unsigned command_ids(void) { return ids; }

void command_each(void (*each)(void *arg, const struct command *cmd), void *arg)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (struct command *cmd = groups[g]; cmd->name != NULL; cmd++)
            each(arg, cmd);
}

static const struct command *find_name(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return NULL;
    for (uint32_t at = name_hash(name.p, name.len) % SLOTS; table[at] != NULL; at = (at + 1) % SLOTS)
        if (slice_is(name, table[at]->name))
            return table[at];
    return NULL;
}

static const struct command *find_sub(const struct command *cmd, struct slice name)
{
    for (const struct command *sub = cmd->subcommands; sub->name != NULL; sub++)
        if (slice_is(name, sub->name))
            return sub;
    return NULL;
}

const struct command *command_find(const struct slice *argv, int argc, const struct command **parent)
{
    const struct command *cmd = find_name(argv[0]);
    *parent = NULL;
    if (cmd == NULL || cmd->subcommands == NULL || argc < 2)
        return cmd;
    const struct command *sub = find_sub(cmd, argv[1]);
    if (sub == NULL)
        *parent = cmd;
    return sub;
}

bool command_arity_ok(const struct command *cmd, int argc)
{
    if (cmd->run == NULL)
        return false; /* a container without its subcommand */
    return cmd->arity >= 0 ? argc == cmd->arity : argc >= -cmd->arity;
}

struct key_range {
    int first, last, step;
};

static bool counted_range(const struct slice *argv, int argc, struct key_range *r)
{
    int64_t count;
    if (!num_parse_i64(argv[r->first], &count) || count < 1 || count >= argc - r->first)
        return false;
    r->last = r->first++ + (int)count;
    return true;
}

/* An option that is given twice counts as it is given last. */
static void keyword_range(const char *word, const struct slice *argv, int argc, struct key_range *r)
{
    int key = argc;
    for (int i = r->first; i < argc; i++)
        if (slice_is(argv[i], word))
            key = ++i;
    r->first = r->last = key;
}

/* Lists of the same length follow the word: keys, then what belongs to each. */
static bool half_range(const char *word, const struct slice *argv, int argc, struct key_range *r)
{
    int at = r->first;
    while (at < argc && !slice_is(argv[at], word))
        at++;
    int n = argc - at - 1;
    r->first = at + 1;
    r->last = at + n / 2;
    return n > 1;
}

/* Which arguments the specification means; none if last < first or first >= argc. False if they make no sense. */
static bool find_range(const struct key_spec *k, const struct slice *argv, int argc, struct key_range *r)
{
    *r = (struct key_range){.first = k->first, .step = k->step > 0 ? k->step : 1};
    if (k->half)
        return half_range(k->keyword, argv, argc, r);
    if (k->keyword != NULL) {
        keyword_range(k->keyword, argv, argc, r);
        return true;
    }
    if (k->first >= argc)
        return false;
    if (k->counted)
        return counted_range(argv, argc, r);
    r->last = k->last >= 0 ? k->first + k->last : argc + k->last;
    return true;
}

int command_keys(const struct command *cmd, const struct slice *argv, int argc, struct key_ref *out, int max)
{
    int n = 0;
    if (cmd->find_keys != NULL)
        return cmd->find_keys(argv, argc, out, max);
    for (int s = 0; s < COMMAND_KEY_SPECS && cmd->keys[s].first > 0; s++) {
        const struct key_spec *k = &cmd->keys[s];
        uint16_t flags = cmd->key_flags ? cmd->key_flags(argv, argc) : k->flags;
        struct key_range r;
        if (k->flags & KEY_NOT_KEY)
            continue;
        if (!find_range(k, argv, argc, &r)) {
            if (s == 0 || k->counted)
                return -1;
            continue; /* of a later list there may be none: PFMERGE with a destination alone */
        }
        for (int i = r.first; i <= r.last && i < argc; i += r.step, n++)
            if (n < max)
                out[n] = (struct key_ref){i, (uint8_t)(cmd->need ? cmd->need(argv, argc, i) : k->need), flags};
    }
    return n;
}

void command_key_refs(const struct command *cmd, const struct slice *argv, int argc, struct key_refs *out)
{
    out->at = out->few;
    out->n = command_keys(cmd, argv, argc, out->few, ARRAY_LEN(out->few));
    if (out->n <= (int)ARRAY_LEN(out->few))
        return;
    out->at = mem_alloc(sizeof(*out->at) * (size_t)out->n);
    command_keys(cmd, argv, argc, out->at, out->n);
}

void key_refs_free(struct key_refs *r)
{
    if (r->at != r->few)
        mem_free(r->at, sizeof(*r->at) * (size_t)r->n);
}

const struct command *command_by_full_name(struct slice name)
{
    const struct command *parent;
    const uint8_t *bar = name.len ? memchr(name.p, '|', name.len) : NULL;
    struct slice argv[2] = {name};
    if (bar == NULL)
        return command_find(argv, 1, &parent);
    argv[0].len = (size_t)(bar - name.p);
    argv[1] = slice_of(bar + 1, (size_t)(name.p + name.len - bar - 1));
    const struct command *cmd = command_find(argv, 2, &parent);
    return cmd != NULL && cmd->parent != NULL ? cmd : NULL;
}
