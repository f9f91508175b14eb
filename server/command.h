/* How a command is declared: one struct literal at the bottom of the file that implements it. COMMAND, COMMAND DOCS,
 * ACL categories, routing, admission and the generated reference come from it; nothing about a command is said twice.
 * Immutable after start; any thread. */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "core/base/slice.h"

struct call;
struct command;
struct key_ref;
struct needs;
struct server;
struct value;

/* Redis's command flags; names as COMMAND INFO prints them stand in command.c. */
enum command_flag {
    CMD_WRITE = 1 << 0,
    CMD_READONLY = 1 << 1,
    CMD_DENYOOM = 1 << 2,
    CMD_ADMIN = 1 << 3,
    CMD_PUBSUB = 1 << 4,
    CMD_NOSCRIPT = 1 << 5,
    CMD_BLOCKING = 1 << 6,
    CMD_LOADING = 1 << 7, /* may run while loading */
    CMD_STALE = 1 << 8,
    CMD_SKIP_MONITOR = 1 << 9,
    CMD_SKIP_SLOWLOG = 1 << 10,
    CMD_FAST = 1 << 11,
    CMD_NO_AUTH = 1 << 12,
    CMD_MAY_REPLICATE = 1 << 13,
    CMD_NO_MULTI = 1 << 14,
    CMD_ALLOW_BUSY = 1 << 15,
    CMD_NO_ASYNC_LOADING = 1 << 16,
    CMD_NO_MANDATORY_KEYS = 1 << 17,
    CMD_MOVABLE_KEYS = 1 << 18,
    CMD_PROTECTED = 1 << 19,
    CMD_TOUCHES_ARBITRARY_KEYS = 1 << 20,
    CMD_SCRIPT = 1 << 22,          /* ours: runs a script that may write */
    CMD_FOR_SUBSCRIBERS = 1 << 23, /* ours: a RESP2 client that has subscribed may call it */
    CMD_OF_SERVER = 1 << 26,       /* ours: its effect belongs to no database */
    CMD_NOT_QUEUED = 1 << 24,      /* ours: runs at once inside MULTI (EXEC, DISCARD, MULTI, WATCH, QUIT, RESET) */
};

enum command_acl { /* categories beside those that follow from flags (@write @read @admin @fast @slow @dangerous ...) */
                   ACL_KEYSPACE = 1 << 0,
                   ACL_STRING = 1 << 1,
                   ACL_CONNECTION = 1 << 2,
                   ACL_TRANSACTION = 1 << 3,
                   ACL_DANGEROUS = 1 << 4,
                   ACL_SCRIPTING = 1 << 5,
                   ACL_LIST = 1 << 6,
                   ACL_SET = 1 << 7,
                   ACL_SORTEDSET = 1 << 8,
                   ACL_HASH = 1 << 9,
                   ACL_BITMAP = 1 << 10,
                   ACL_HYPERLOGLOG = 1 << 11,
                   ACL_GEO = 1 << 12,
                   ACL_STREAM = 1 << 13,
                   ACL_PUBSUB = 1 << 14,
                   ACL_ADMIN = 1 << 15, /* without the admin flag (ROLE, LASTSAVE) */
};

/* Where a command runs (DESIGN section 2). */
enum command_route {
    ROUTE_KEYS,      /* where its keys are: inline, forward, or hold when they are on several shards */
    ROUTE_HOME,      /* connection state only: on the client's shard, no data */
    ROUTE_ALL,       /* about all: a hold of every shard */
    ROUTE_EXEC,      /* where the keys of the queued commands and the watched keys are */
    ROUTE_CHANNEL,   /* argv[1] is a channel to publish on: where it is owned */
    ROUTE_SUBSCRIBE, /* at home, holding the owners of the channels that are the arguments; of all, if there are none */
    ROUTE_ANY,       /* on data, but any one shard will do / it chooses itself (SCAN goes to its cursor's shard) */
};

/* What a key is needed for, before the command may run. */
enum key_need {
    NEED_META,  /* existence, type, expiry: a cold key is good enough */
    NEED_VALUE, /* the value must be in RAM */
};

/* Key specifications as in COMMAND INFO (Redis documentation, "Command key specifications"). */
enum key_flag {
    KEY_RO = 1 << 0,
    KEY_RW = 1 << 1,
    KEY_OW = 1 << 2,
    KEY_RM = 1 << 3,
    KEY_ACCESS = 1 << 4,
    KEY_UPDATE = 1 << 5,
    KEY_INSERT = 1 << 6,
    KEY_DELETE = 1 << 7,
    KEY_NOT_KEY = 1 << 8,
    KEY_INCOMPLETE = 1 << 9,
    KEY_VARIABLE_FLAGS = 1 << 10,
};
struct key_spec {
    uint16_t flags;
    int8_t first; /* index of the first key; 0: no such spec */
    int8_t last;  /* relative to first as in Redis's find_keys range: 0 only this one, -1 the last argument */
    int8_t step;
    bool counted;        /* `first` is where the number of keys stands; they follow */
    bool half;           /* with `keyword`: the first half of what is behind the first such word (XREAD STREAMS) */
    const char *keyword; /* not NULL: the key is behind the last such word at or behind `first` */
    bool unknown;        /* no specification describes it (`first` is 0): find_keys tells, or nobody */
    uint8_t need;        /* enum key_need */
    const char *notes;   /* or NULL */
};
#define COMMAND_KEY_SPECS 3

/* One argument in COMMAND DOCS. `type` as Redis names it: "key", "string", "integer", "double", "pattern", "unix-time",
 * "pure-token", "oneof", "block". What is NULL is left out of the reply. */
struct command_arg {
    const char *name;
    const char *type;
    const char *display; /* how a synopsis shows it; NULL: as its name */
    const char *token;
    const char *summary;
    const char *since, *deprecated_since;
    uint8_t flags;                 /* ARG_* */
    int8_t key_spec;               /* index, with type "key", or above 0 */
    const struct command_arg *sub; /* for oneof and block; ended by ARG_END */
};
enum { ARG_OPTIONAL = 1, ARG_MULTIPLE = 2, ARG_MULTIPLE_TOKEN = 4 };

/* A list of arguments is an array with one line for each, ended by ARG_END:
 *     ARG("seconds", "integer", .token = "EX", .since = "2.6.12"),
 * An argument that contains others names their list as its second word. */
#define ARG(n, t, ...)                        \
    {                                         \
        .name = (n), .type = (t), __VA_ARGS__ \
    }
#define ARG_TOKEN(n, word, ...) ARG(n, "pure-token", .token = (word), __VA_ARGS__)
#define ARG_ONEOF(n, list, ...) ARG(n, "oneof", .sub = (list), __VA_ARGS__)
#define ARG_BLOCK(n, list, ...) ARG(n, "block", .sub = (list), __VA_ARGS__)
#define ARG_END      \
    {                \
        .name = NULL \
    }
/* Lists that many commands have. */
extern const struct command_arg args_key[];    /* key */
extern const struct command_arg args_keys[];   /* key [key ...] */
extern const struct command_arg args_on_off[]; /* ON | OFF */

/* For tips and for history, which is a list of CHANGEs. */
#define STRINGS(...) \
    (const char *const[]) { __VA_ARGS__, NULL }
#define CHANGE(version, what) version, what

struct command {
    const char *name; /* lower case; subcommands: the last word only */
    void (*run)(struct call *c);
    int arity; /* as Redis: counts the name; negative: at least */
    uint32_t flags;
    uint32_t acl;
    uint8_t route;
    uint8_t channels; /* enum channel_kind, for ROUTE_CHANNEL and ROUTE_SUBSCRIBE */
    struct key_spec keys[COMMAND_KEY_SPECS];
    /* Optional: the need of argument `arg` where it depends on the options (SET ... GET). */
    enum key_need (*need)(const struct slice *argv, int argc, int arg);
    /* Optional: what a call does to its keys (KEY_*) where that depends on its arguments. */
    uint16_t (*key_flags)(const struct slice *argv, int argc);
    /* Optional: the keys, as command_keys gives them, where specifications cannot describe them. */
    int (*find_keys)(const struct slice *argv, int argc, struct key_ref *out, int max);
    /* Optional: names, with need_value, keys whose values the call needs beside those that are arguments, as far as
     * what is in RAM tells which they are; asked again when they have come. Leaves no trace. */
    void (*needs)(struct call *c, struct needs *n);
    /* Optional: how long a call makes the string at its first key at least, behind whose end it may write; 0 for what
     * is no such call. Memory for what the string lacks is found first. */
    uint64_t (*string_end)(const struct slice *argv, int argc);
    /* Optional: asks for the cache lines that the run will need inside the first key's value, of whatever type it is,
     * that is not a pack:
     * for all requests of a wave with `step` 0, then, when that has arrived, for all of them with 1. */
    void (*prefetch)(const struct value *v, const struct slice *argv, int argc, int step);
    /* Optional: whether an argument is a secret, which the slow log and MONITOR do not show. */
    bool (*secret)(const struct slice *argv, int argc, int arg);
    /* Optional: a route that depends on the arguments. */
    enum command_route (*route_of)(const struct server *server, const struct slice *argv, int argc);
    /* Optional, with CMD_SCRIPT: whether the script declares that it changes nothing. */
    bool (*no_writes)(const struct server *server, const struct slice *argv);
    /* Optional, with CMD_BLOCKING: whether this call may block; without it, it may. */
    bool (*may_block)(const struct slice *argv, int argc);
    const char *group, *summary, *since, *complexity;
    const char *const *tips;                    /* NULL-ended, or NULL */
    const struct command_arg *args;             /* ended by ARG_END, or NULL */
    const char *const *history;                 /* pairs version, change; NULL-ended, or NULL */
    const char *deprecated_since, *replaced_by; /* or NULL */
    bool internal;                              /* not for applications: "syscmd" in COMMAND DOCS */
    struct command *subcommands;                /* ended by a literal with name NULL, or NULL */
    /* Filled in by command_table_init (the only non-constant fields). */
    uint16_t id; /* dense, for statistics */
    const struct command *parent;
    const char *full_name; /* "config|get" */
};

/* Every file in server/cmd/ offers its commands as an array ended by a literal with name NULL; command.c lists them. */
/* clang-format off */
extern struct command string_commands[];
extern struct command lcs_commands[];
extern struct command generic_commands[];
extern struct command expire_commands[];
extern struct command scan_commands[];
extern struct command dump_commands[];
extern struct command connection_commands[];
extern struct command transaction_commands[];
extern struct command server_commands[];
extern struct command config_commands[];
extern struct command command_commands[];
extern struct command debug_commands[];
extern struct command info_commands[];
extern struct command function_commands[];
extern struct command bitfield_commands[];
extern struct command bitmap_commands[];
extern struct command geo_commands[];
extern struct command geo_search_commands[];
extern struct command hash_commands[];
extern struct command hash_ex_commands[];
extern struct command hash_expire_commands[];
extern struct command hash_scan_commands[];
extern struct command hyperloglog_commands[];
extern struct command latency_commands[];
extern struct command list_commands[];
extern struct command list_block_commands[];
extern struct command list_index_commands[];
extern struct command memory_commands[];
extern struct command monitor_commands[];
extern struct command pubsub_commands[];
extern struct command save_commands[];
extern struct command script_commands[];
extern struct command set_commands[];
extern struct command set_algebra_commands[];
extern struct command slowlog_commands[];
extern struct command sort_commands[];
extern struct command stream_commands[];
extern struct command stream_add_commands[];
extern struct command stream_claim_commands[];
extern struct command stream_group_commands[];
extern struct command stream_info_commands[];
extern struct command stream_read_commands[];
extern struct command zset_commands[];
extern struct command zset_block_commands[];
extern struct command zset_pop_commands[];
extern struct command zset_range_commands[];
extern struct command zset_store_commands[];
/* clang-format on */

/* Hashes all names. Once, before any thread. */
void command_table_init(void);
/* The command for argv (descends into subcommands). NULL: unknown name; *parent is set if only the subcommand is
 * unknown. */
const struct command *command_find(const struct slice *argv, int argc, const struct command **parent);
/* "get", "config", or "config|get"; NULL: none. */
const struct command *command_by_full_name(struct slice name);
static inline bool command_secret(const struct command *cmd, const struct slice *argv, int argc, int arg)
{
    return cmd->secret != NULL && cmd->secret(argv, argc, arg);
}
bool command_arity_ok(const struct command *cmd, int argc);
static inline bool command_may_block(const struct command *cmd, const struct slice *argv, int argc)
{
    return (cmd->flags & CMD_BLOCKING) && (cmd->may_block == NULL || cmd->may_block(argv, argc));
}
/* Calls `each` for every top-level command. */
void command_each(void (*each)(void *arg, const struct command *cmd), void *arg);
unsigned command_ids(void); /* number of dense ids */
/* Positions of the keys in argv (of a call with valid arity): writes at most `max`, returns how many there are, or -1
 * if the arguments make no sense. */
struct key_ref {
    int arg;
    uint8_t need;
    uint16_t flags;
};
int command_keys(const struct command *cmd, const struct slice *argv, int argc, struct key_ref *out, int max);
/* All of them, however many: more than fit in `few` are allocated. `n` as command_keys returns it. End with
 * key_refs_free. */
struct key_refs {
    struct key_ref few[16], *at;
    int n;
};
void command_key_refs(const struct command *cmd, const struct slice *argv, int argc, struct key_refs *out);
void key_refs_free(struct key_refs *r);

#endif
