/* The redis table: redis.call and what is beside it. */
#include <stdio.h>

#include "core/base/logger.h"
#include "core/base/num.h"
#include "core/base/sha1.h"
#include "server/script/env.h"
#include "server/server.h"

enum { REPL_NONE = 0, REPL_AOF = 1, REPL_REPLICA = 2, REPL_ALL = 3 };

/* --- errors --- */

void push_error(lua_State *L, struct slice text)
{
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, (const char *)text.p, text.len);
    lua_setfield(L, -2, "err");
}

/* The field that Redis marks such errors with. */
#define COUNTED "ignore_error_stats_update"

void push_counted_error(lua_State *L, struct slice text)
{
    push_error(L, text);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, COUNTED);
}

bool counted_error(lua_State *L, int table)
{
    lua_pushvalue(L, table);
    lua_pushliteral(L, COUNTED);
    lua_rawget(L, -2);
    bool counted = lua_toboolean(L, -1);
    lua_pop(L, 2);
    return counted;
}

static int fail(lua_State *L, const char *text)
{
    push_error(L, slice_str(text));
    return lua_error(L);
}

/* "return redis.call(...)" has left its frame behind: it stands at the end of what runs, most likely. */
static void guess_line(lua_State *L, struct run *r, lua_Debug *ar)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->what->ref);
    lua_getinfo(L, ">S", ar);
    r->line = ar->lastlinedefined - (ar->linedefined > 0 && ar->lastlinedefined > ar->linedefined);
}

/* What happened, and where: noted in the run, while the stack is still there. */
int on_error(lua_State *L)
{
    struct run *r = script_env_at(L)->run;
    lua_Debug ar;
    if (r == NULL)
        return 1;
    r->line = 0;
    if (!lua_getstack(L, 1, &ar))
        return 1;
    lua_getinfo(L, "Sl", &ar);
    if (ar.what[0] == 'C' && lua_getstack(L, 2, &ar))
        lua_getinfo(L, "Sl", &ar);
    r->line = ar.currentline;
    if (r->line < 0)
        guess_line(L, r, &ar);
    snprintf(r->source, sizeof(r->source), "%s", ar.source);
    return 1;
}

/* --- redis.call --- */

#define FEW_ARGS 32

/* A number is written with all its digits. */
static void number_to_string(lua_State *L, int at)
{
    char text[40];
    double v = lua_tonumber(L, at);
    int64_t i = (int64_t)(v > -1e17 && v < 1e17 ? v : 0); /* from there on with an exponent */
    int n =
        (double)i == v && (i != 0 || v == 0) ? (int)num_format_i64(text, i) : snprintf(text, sizeof(text), "%.17g", v);
    lua_pushlstring(L, text, (size_t)n);
    lua_replace(L, at);
}

static bool take_arguments(lua_State *L, struct slice *argv, int argc)
{
    for (int i = 0; i < argc; i++) {
        int type = lua_type(L, i + 1);
        if (type == LUA_TNUMBER)
            number_to_string(L, i + 1);
        else if (type != LUA_TSTRING)
            return false;
        size_t len;
        const char *p = lua_tolstring(L, i + 1, &len);
        argv[i] = slice_of(p, len);
    }
    return true;
}

static int call_command(lua_State *L, bool raise)
{
    struct script_env *env = script_env_at(L);
    struct run *r = env->run;
    struct slice few[FEW_ARGS], *argv = few;
    int argc = lua_gettop(L);
    bool failed = true;

    if (r == NULL)
        return fail(L, "ERR redis.call/pcall can only be called inside a script invocation");
    if (argc > FEW_ARGS) /* behind the arguments, so it lives as long as they do */
        argv = lua_newuserdata(L, sizeof(*argv) * (size_t)argc);
    if (argc == 0) {
        push_error(L, SLICE_LIT("ERR Please specify at least one argument for this redis lib call"));
    } else if (!take_arguments(L, argv, argc)) {
        push_error(L, SLICE_LIT("ERR Lua redis lib command arguments must be strings or integers"));
    } else {
        const uint8_t *at;
        nested_run(L, r, nested_command(env, argv, argc), argv, argc);
        at = env->reply.p;
        failed = *at == '-';
        lua_settop(L, 0); /* there may have been as many arguments as the stack can hold */
        reply_to_lua(L, &at);
        if (unlikely(++r->commands % 16 == 0))
            script_tick(L, env);
    }
    return failed && raise ? lua_error(L) : 1;
}

static int redis_call(lua_State *L) { return call_command(L, true); }
static int redis_pcall(lua_State *L) { return call_command(L, false); }

/* --- replies --- */

static int one_string(lua_State *L)
{
    if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING)
        return 1;
    push_error(L, SLICE_LIT("ERR wrong number or type of arguments"));
    return 0;
}

static int status_reply(lua_State *L)
{
    if (!one_string(L))
        return 1;
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "ok");
    return 1;
}

/* The first word is the error's code. A single word, with or without a minus, is none: it gets one. */
static int error_reply(lua_State *L)
{
    size_t len;
    if (!one_string(L))
        return 1;
    const char *text = lua_tolstring(L, 1, &len);
    if (len > 0 && text[0] == '-') {
        text++;
        len--;
    }
    lua_createtable(L, 0, 1);
    lua_pushstring(L, memchr(text, ' ', len) == NULL ? "ERR " : "");
    lua_pushlstring(L, text, len);
    lua_concat(L, 2);
    lua_setfield(L, -2, "err");
    return 1;
}

/* --- the rest --- */

static int sha1hex(lua_State *L)
{
    char hex[41];
    size_t len;
    if (lua_gettop(L) != 1)
        return fail(L, "ERR wrong number of arguments");
    const char *p = lua_tolstring(L, 1, &len);
    sha1_hex(slice_of(p, p ? len : 0), hex);
    lua_pushlstring(L, hex, 40);
    return 1;
}

static int redis_log(lua_State *L)
{
    struct script_env *env = script_env_at(L);
    int n = lua_gettop(L), level;
    if (n < 2)
        return fail(L, "ERR redis.log() requires two arguments or more.");
    if (!lua_isnumber(L, 1))
        return fail(L, "ERR First argument must be a number (log level).");
    level = (int)lua_tonumber(L, 1);
    if (level < LOG_DEBUG || level > LOG_WARNING)
        return fail(L, "ERR Invalid debug level.");
    buf_clear(&env->text);
    for (int i = 2; i <= n; i++) {
        size_t len;
        const char *p = lua_tolstring(L, i, &len);
        if (p == NULL)
            continue;
        if (env->text.len > 0)
            text_append(L, env, " ", 1);
        text_append(L, env, p, len);
    }
    logger_line(env->server->logger, (enum log_level)level, "%.*s", (int)min_u64(env->text.len, 1024),
                env->text.len ? (const char *)env->text.p : "");
    return 0;
}

static int setresp(lua_State *L)
{
    struct run *r = script_env_at(L)->run;
    if (lua_gettop(L) != 1)
        return fail(L, "ERR redis.setresp() requires one argument.");
    int version = (int)lua_tonumber(L, 1);
    if (version != 2 && version != 3)
        return fail(L, "ERR RESP version must be 2 or 3.");
    if (r != NULL)
        r->resp = version;
    return 0;
}

/* The log is also what replicas follow: what a script does is in both, always. */
static int set_repl(lua_State *L)
{
    if (lua_gettop(L) != 1)
        return fail(L, "ERR redis.set_repl() requires two arguments.");
    int flags = (int)lua_tonumber(L, 1);
    if (flags < REPL_NONE || flags > REPL_ALL)
        return fail(L, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    if (flags != REPL_ALL)
        return fail(L, "ERR redis.set_repl() is supported with REPL_ALL only: what a script does is always logged.");
    return 0;
}

static int replicate_commands(lua_State *L)
{
    lua_pushboolean(L, true);
    return 1;
}

/* There is no debugger: as in Redis when a script is not being debugged. */
static int breakpoint(lua_State *L)
{
    lua_pushboolean(L, false);
    return 1;
}

static int debug(lua_State *L)
{
    (void)L;
    return 0;
}

static int acl_check_cmd(lua_State *L)
{
    struct slice few[FEW_ARGS], *argv = few;
    int argc = lua_gettop(L);
    if (argc == 0)
        return fail(L, "ERR Please specify at least one argument for this redis lib call");
    if (argc > FEW_ARGS)
        argv = lua_newuserdata(L, sizeof(*argv) * (size_t)argc);
    if (!take_arguments(L, argv, argc))
        return fail(L, "ERR Lua redis lib command arguments must be strings or integers");
    if (nested_command(script_env_at(L), argv, argc) == NULL)
        return fail(L, "ERR Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(L, true); /* there is one user, who may do everything */
    return 1;
}

/* --- the table --- */

static int version_number(void)
{
    int a = 0, b = 0, c = 0;
    sscanf(KELVIN_REDIS_VERSION, "%d.%d.%d", &a, &b, &c);
    return a << 16 | b << 8 | c;
}

struct number {
    const char *name;
    int value;
};

static void set_numbers(lua_State *L, const struct number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, numbers[i].value);
        lua_setfield(L, -2, numbers[i].name);
    }
}

/* What a library finds while it is loaded, too. */
static void set_common(lua_State *L)
{
    static const struct number levels[] = {
        {"LOG_DEBUG", LOG_DEBUG},
        {"LOG_VERBOSE", LOG_VERBOSE},
        {"LOG_NOTICE", LOG_NOTICE},
        {"LOG_WARNING", LOG_WARNING},
    };
    set_numbers(L, levels, ARRAY_LEN(levels));
    lua_pushcfunction(L, redis_log);
    lua_setfield(L, -2, "log");
    lua_pushliteral(L, KELVIN_REDIS_VERSION);
    lua_setfield(L, -2, "REDIS_VERSION");
    lua_pushinteger(L, version_number());
    lua_setfield(L, -2, "REDIS_VERSION_NUM");
}

void open_redis_loading(lua_State *L)
{
    lua_createtable(L, 0, 8);
    set_common(L);
    lua_pushcfunction(L, library_register_function);
    lua_setfield(L, -2, "register_function");
}

void open_redis(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction f;
        bool everywhere; /* false: scripts of EVAL only */
    } functions[] = {
        {"call", redis_call, true},
        {"pcall", redis_pcall, true},
        {"setresp", setresp, true},
        {"error_reply", error_reply, true},
        {"status_reply", status_reply, true},
        {"sha1hex", sha1hex, true},
        {"set_repl", set_repl, true},
        {"acl_check_cmd", acl_check_cmd, true},
        {"replicate_commands", replicate_commands, false},
        {"breakpoint", breakpoint, false},
        {"debug", debug, false},
    };
    static const struct number replication[] = {
        {"REPL_NONE", REPL_NONE},       {"REPL_AOF", REPL_AOF}, {"REPL_SLAVE", REPL_REPLICA},
        {"REPL_REPLICA", REPL_REPLICA}, {"REPL_ALL", REPL_ALL},
    };
    bool eval = script_env_at(L)->kind == SCRIPT_EVAL;
    lua_createtable(L, 0, 32);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (functions[i].everywhere || eval) {
            lua_pushcfunction(L, functions[i].f);
            lua_setfield(L, -2, functions[i].name);
        }
    set_common(L);
    set_numbers(L, replication, ARRAY_LEN(replication));
}
