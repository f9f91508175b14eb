/* The script engine: Lua (LuaJIT with its compiler off) behind a sandbox, for EVAL and for functions.
 *
 *   environment   one Lua state: the sandbox, what was compiled in it, its memory. A shard has one for EVAL and one for
 *                 functions, made when first used (script_env_of); whoever holds a shard may use its environments.
 *   run           one execution for one call: EVAL's or FCALL's. Nested commands are calls of their own that reply into
 *                 a buffer, which becomes Lua values; they belong to the outer call's group of effects.
 *
 * A run ends with a reply in the call's output, or is to be run again from the start (script_again): a value that it
 * reads is cold, and nothing has been changed yet. Then what it had replied is gone, and its waiter waits.
 *
 * Nothing that a script does raises past script_run or script_load: errors, lack of memory and kills become replies.
 * After busy-reply-threshold the thread that runs it serves its loop between two instructions (busy.h). */
#ifndef SERVER_SCRIPT_ENGINE_H
#define SERVER_SCRIPT_ENGINE_H

#include "server/call.h"

struct script_env;
struct server;
struct shard;

/* What a script declares: in its first line (#!lua flags=...), or redis.register_function's flags. */
enum script_flag {
    SCRIPT_NO_WRITES = 1 << 0,
    SCRIPT_ALLOW_OOM = 1 << 1,
    SCRIPT_ALLOW_STALE = 1 << 2,
    SCRIPT_NO_CLUSTER = 1 << 3,
    SCRIPT_CROSS_SLOT = 1 << 4, /* allow-cross-slot-keys */
    SCRIPT_UNDECLARED =
        1 << 8, /* EVAL without a first line: may touch any key, and what it may do is seen as it does */
};
/* The flag of this name as users write it ("no-writes"); 0: there is none. */
uint32_t script_flag_named(struct slice name);
/* Where a script with these flags runs, given that its keys are declared by EVAL's and FCALL's key specification: with
 * them, or on all shards. A call that declares no keys at all may touch any, too, unless script-undeclared-keys is no.
 * For command.route_of. */
enum command_route script_route(const struct server *server, uint32_t flags, const struct slice *argv);

/* Whether all shards are this call's: there is one, or it holds them. */
bool script_has_all(const struct call *c);

enum script_kind { SCRIPT_EVAL, SCRIPT_FUNCTION, SCRIPT_KINDS };

/* The environment of a shard, made now if there is none yet. Data of the shard: its thread, or who holds it. */
struct script_env *script_env_of(struct shard *s, enum script_kind kind);
/* One that no shard has yet (functions: a set of libraries is tried before it replaces the old one). NULL: no memory.
 */
struct script_env *script_env_new(struct server *server, enum script_kind kind);
void script_env_free(struct script_env *env); /* NULL is allowed */
/* Replaces a shard's environment (NULL: none; it is made again when used). The old one is freed. */
void script_env_set(struct shard *s, enum script_kind kind, struct script_env *env);
/* Bytes that all environments of this kind take. Any thread. */
uint64_t script_memory(const struct server *server, enum script_kind kind);

/* Compiles text (never bytecode) into a function, which is kept until script_unref. `chunk` names it in errors:
 * "@user_script". Returns its reference, above 0, or -1 with the compiler's message in `error`. */
int script_compile(struct script_env *env, struct slice text, const char *chunk, struct buf *error);
/* Whether it is so full between runs that what is not needed should go. */
bool script_crowded(struct script_env *env);
void script_unref(struct script_env *env, int ref);

/* A library's code is run once; it may call redis.register_function, redis.log, redis.setresp and nothing else of
 * redis. Each function that it registers is handed to `add`: 0, or an error text (static) that the library's call
 * raises. `name` and `description` (its p is NULL if there is none) are borrowed; `ref` stays until script_unref. */
struct script_loader {
    const char *(*add)(struct script_loader *l, struct slice name, int ref, uint32_t flags, struct slice description);
    uint64_t timeout_ms; /* 0: none (a start; a copy of what was loaded elsewhere) */
};
/* 0, or -1 with the message in `error` (what was added by then is the caller's to unref). */
int script_load(struct script_env *env, struct slice text, const char *chunk, struct script_loader *l,
                struct buf *error);

struct script_run {
    uint32_t flags; /* enum script_flag */
    bool read_only; /* EVAL_RO, FCALL_RO */
    enum script_kind kind;
    struct slice name;   /* in errors: the SHA1 of a script, the name of a function */
    int ref;             /* in the shard's environment of that kind */
    int first_key, keys; /* in the call's argv; the arguments are what follows */
};
/* Checks what the flags ask for, runs it, and replies. KEYS and ARGV are global for EVAL and the two arguments of a
 * function. The call has been admitted (its command has CMD_SCRIPT, unless it is read-only). */
void script_run(struct call *c, const struct script_run *r);

/* SCRIPT KILL, FUNCTION KILL: asks all runs of this kind to end, and replies +OK, -NOTBUSY, -UNKILLABLE or -BUSY. */
void script_kill(struct call *c, enum script_kind kind);
/* What everybody is told while a script runs for long: "BUSY ...". Any thread. */
const char *script_busy_error(const struct server *server);
/* FUNCTION STATS: replies what has been running for long, on whatever shard, or null. */
void script_reply_running(struct call *c, enum script_kind kind);

#endif
