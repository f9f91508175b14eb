/* Inside the engine: one Lua state, and the run that uses it. Included by server/script/ alone.
 *
 * An environment is data of its shard: used by the shard's thread, or by who holds the shard. One run at a time.
 *
 * C functions that scripts call raise errors by lua_error, which unwinds C frames: they own nothing while they may
 * raise. What needs memory for longer has it in the environment (`reply`, `text`) or as a userdata. */
#ifndef SERVER_SCRIPT_ENV_H
#define SERVER_SCRIPT_ENV_H

#include <luajit-2.1/lauxlib.h>
#include <luajit-2.1/lua.h>
#include <luajit-2.1/lualib.h>

#include "server/script/engine.h"

#define NAMES 64
#define NAME_MAX_LEN 23
/* Instructions between two looks at the clock: few at first, then as many as take about TICK_US; few to the end once
 * there is a value of a megabyte, which one instruction copies or compares. */
#define TICK_FIRST 1000
#define TICK_MOST 100000
#define TICK_LARGE 64
#define TICK_US 5000

/* Why a run has to end. Each is an error that no pcall of the script's can keep: from then on every instruction raises
 * it anew. */
enum stop { STOP_NOT, STOP_KILLED, STOP_AGAIN, STOP_TIMEOUT };

struct script_env {
    struct server *server;
    struct shard *shard; /* NULL: nobody's yet */
    enum script_kind kind;
    lua_State *L;
    size_t used, limit; /* bytes */
    const char *stack;  /* where the C stack stood when Lua was entered */
    struct run *run;    /* NULL: none */
    struct script_loader *loader;
    enum stop stop;
    int tick;
    uint32_t compared;  /* by table.sort */
    bool large;         /* something large was made in this run */
    uint64_t ticked_us; /* when the last look at the clock ended */
    uint64_t rand;      /* 48 bits: the state of math.random */
    int body, handler;
    struct buf reply;       /* of a nested command */
    struct buf text;        /* what library functions build */
    uint64_t load_until_us; /* 0: no limit */
    size_t kept;            /* bytes in use after the last full collection between runs */
    size_t collected;       /* bytes in use after the last full collection that the limit made necessary */
    struct command_name {
        const struct command *cmd;
        uint8_t len;
        char name[NAME_MAX_LEN];
    } names[NAMES]; /* by the address of the Lua string: the same few names again and again */
};

struct script_env *script_env_at(lua_State *L);
/* Between two instructions, or two nested commands: the clock, kills, memory. Raises if the run has to end. */
void script_tick(lua_State *L, struct script_env *env);
/* The run has to end: raises, now and from now on. The error object is on top. */
int script_stop(lua_State *L, struct script_env *env, enum stop why) __attribute__((noreturn));
void push_stop_error(lua_State *L, const struct script_env *env);
/* Calls what is on the stack as lua_pcall does; what is on top afterwards is the result, or the error. */
int script_protected(struct script_env *env, lua_CFunction body, void *arg);

/* The limit of memory as it is configured now. */
void script_env_limit(struct script_env *env);
/* By C functions that call Lua: raises when they are nested so deeply that the thread's stack could end. Lua counts its
 * own stack only, and each coroutine has another one. */
void script_check_stack(lua_State *L);
/* After a run: ready for the next one. */
void script_env_rest(struct script_env *env);

/* Appends what LuaJIT has to read for a text in Lua 5.1 (dialect.c). False: the text itself. */
bool as_lua51(struct slice text, struct buf *out);
/* Appends the text of a script with its tail calls changed so that errors in them have a line (returns.c). False: it
 * has none that could be changed; `out` is not to be used. */
bool keep_frames(struct slice text, struct buf *out);

/* --- sandbox.c --- */

/* The libraries, what is left of them, and the protection of all of them. Raises. */
void sandbox_open(lua_State *L);
/* The table on top is replaced by one that reads the same and cannot be changed. */
void sandbox_protect(lua_State *L);
/* Of the function kind: which globals there are from now on, those of functions or those of a library that is being
 * loaded. Code that was compiled before sees the same. */
void sandbox_show(lua_State *L, bool loading);
/* Sets a global, which scripts cannot, to the value on top (pops it). */
void sandbox_set_global(lua_State *L, const char *name);

/* --- libraries: each leaves its table on the stack --- */

void open_redis(lua_State *L);
void open_redis_loading(lua_State *L); /* what a library sees of it while it is loaded */
void open_cjson(lua_State *L);
void open_cmsgpack(lua_State *L);
void open_struct(lua_State *L);
void open_patterns(lua_State *L); /* these replace functions in the table on top: in the string library, */
void open_random(lua_State *L);   /* in math, */
void open_load(lua_State *L);     /* and load and loadstring among the globals */
int library_register_function(lua_State *L);

/* Appends to env->text within the limit of memory: raises when it does not fit. */
void text_append(lua_State *L, struct script_env *env, const void *p, size_t n);

/* --- reply.c --- */

/* One RESP value at *at becomes a Lua value on the stack. */
void reply_to_lua(lua_State *L, const uint8_t **at);
/* The value on top becomes the reply of the call (pops it). */
void lua_to_reply(lua_State *L, struct call *c, int resp, size_t limit);
/* Pushes {err = text}; a text without a code gets "ERR". */
void push_error(lua_State *L, struct slice text);
/* The same of a command's error, which has been counted, and is not when it is replied. */
void push_counted_error(lua_State *L, struct slice text);
bool counted_error(lua_State *L, int table);

/* --- api.c --- */

int on_error(lua_State *L); /* message handler: notes where and what in env->run */

/* --- a run --- */

struct run {
    const struct script_run *what;
    struct call *call;
    struct script_env *env;
    uint64_t id;
    uint32_t db;
    int resp;   /* redis.setresp */
    bool wrote; /* a write command was run: it cannot be killed any more */
    bool busy;  /* past busy-reply-threshold */
    bool failed;
    bool counted;       /* the error it failed with is in the statistics */
    bool changed;       /* something may have changed: it cannot be run again any more */
    uint64_t reach;     /* shards whose keys it may touch */
    uint64_t overdrawn; /* bytes that it has taken from a full memory */
    uint64_t started_us;
    int64_t time_us; /* what TIME says; 0: nobody has asked yet */
    uint64_t commands;
    char source[64]; /* where an error was raised */
    int line;        /* 0: unknown */
};

/* Runs redis.call's command: its reply is in env->reply. What stands in argv is borrowed. (nested.c) */
void nested_run(lua_State *L, struct run *r, const struct command *cmd, struct slice *argv, int argc);
const struct command *nested_command(struct script_env *env, struct slice *argv, int argc);

#endif
