#include "server/reply.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/string.h"
#include "server/timing.h"

void reply_error(struct call *c, const char *text)
{
    c->failed = true;
    timing_error(c->shard, slice_str(text));
    resp_error(c->out, text);
}

void reply_errorf(struct call *c, const char *fmt, ...)
{
    char text[1024], *at = text;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    size_t cap = (size_t)(n > 0 ? n : 0) + 1;
    if (cap > sizeof(text)) { /* Redis repeats what it was sent, however long */
        at = mem_alloc(cap);
        va_start(ap, fmt);
        vsnprintf(at, cap, fmt, ap);
        va_end(ap);
    }
    /* As Redis: line ends at the end are cut (others become blanks). */
    for (size_t len = strlen(at); len > 0 && (at[len - 1] == '\r' || at[len - 1] == '\n'); len--)
        at[len - 1] = 0;
    reply_error(c, at);
    if (at != text)
        mem_free(at, cap);
}

void reply_wrongtype(struct call *c)
{
    reply_error(c, "WRONGTYPE Operation against a key holding the wrong kind of value");
}
void reply_syntax(struct call *c) { reply_error(c, "ERR syntax error"); }
void reply_not_integer(struct call *c) { reply_error(c, "ERR value is not an integer or out of range"); }
void reply_wrong_arity(struct call *c)
{
    reply_errorf(c, "ERR wrong number of arguments for '%s' command", c->cmd->full_name);
}

void reply_value(struct call *c, const struct value *v)
{
    char scratch[STRING_INT_CHARS + 1];
    if (v->encoding == ENC_BLOB && call_reply_blob(c, v->blob))
        return;
    resp_bulk(c->out, string_bytes(v, scratch));
}

static void upper_name(const struct command *cmd, char out[32])
{
    size_t n = 0;
    for (; cmd->name[n] != 0 && n < 31; n++)
        out[n] = (char)toupper((unsigned char)cmd->name[n]);
    out[n] = 0;
}

void reply_unknown_subcommand(struct call *c, const struct command *cmd)
{
    char name[32];
    upper_name(cmd, name);
    reply_errorf(c, "ERR unknown subcommand '%.*s'. Try %s HELP.", (int)min_u64(c->argv[1].len, 128),
                 (const char *)c->argv[1].p, name);
}

void reply_help(struct call *c, const char *const *lines)
{
    char name[32], first[96];
    size_t n = 0;
    while (lines[n] != NULL)
        n++;
    upper_name(c->cmd->parent ? c->cmd->parent : c->cmd, name);
    snprintf(first, sizeof(first), "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_array(c, n + 3);
    reply_simple(c, first);
    for (size_t i = 0; i < n; i++)
        reply_simple(c, lines[i]);
    reply_simple(c, "HELP");
    reply_simple(c, "    Prints this help.");
}

bool arg_i64_or(struct call *c, struct slice s, int64_t *out, const char *error)
{
    if (num_parse_i64(s, out))
        return true;
    reply_error(c, error);
    return false;
}

bool arg_i64(struct call *c, struct slice s, int64_t *out)
{
    if (num_parse_i64(s, out))
        return true;
    reply_not_integer(c);
    return false;
}

bool arg_int(struct call *c, struct slice s, int *out)
{
    int64_t v;
    if (!arg_i64(c, s, &v))
        return false;
    *out = (int)v;
    if (v == *out)
        return true;
    reply_error(c, "ERR value is out of range, value must between -2147483648 and 2147483647");
    return false;
}

bool arg_range(struct call *c, struct slice s, int64_t lo, int64_t hi, int64_t *out, const char *error)
{
    if (num_parse_i64(s, out) && *out >= lo && *out <= hi)
        return true;
    reply_error(c, error);
    return false;
}

bool arg_db(struct call *c, struct slice s, uint32_t *db)
{
    int v;
    if (!arg_int(c, s, &v))
        return false;
    if (v < 0 || (uint32_t)v >= call_databases(c)) {
        reply_error(c, "ERR DB index is out of range");
        return false;
    }
    *db = (uint32_t)v;
    return true;
}

bool arg_timeout_ms(struct call *c, struct slice s, int64_t *ms)
{
    if (!arg_i64_or(c, s, ms, "ERR timeout is not an integer or out of range"))
        return false;
    if (*ms >= 0)
        return true;
    reply_error(c, "ERR timeout is negative");
    return false;
}

bool arg_timeout_s(struct call *c, struct slice s, int64_t *ms)
{
    long double seconds;
    if (!num_parse_ld(s, &seconds)) {
        reply_error(c, "ERR timeout is not a float or out of range");
        return false;
    }
    long double v = ceill(seconds * 1000);
    if (v < 0 || v > (long double)(INT64_MAX - c->now_ms)) {
        reply_error(c, v < 0 ? "ERR timeout is negative" : "ERR timeout is out of range");
        return false;
    }
    *ms = (int64_t)v;
    return true;
}
