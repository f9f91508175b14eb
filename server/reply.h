/* Replies, in Redis's wording. The only place where replies are made. Thin inline wrappers over core/proto/resp_writer.
 */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include "core/proto/resp_writer.h"
#include "server/call.h"

static inline void reply_ok(struct call *c) { buf_append(c->out, "+OK\r\n", 5); }
static inline void reply_simple(struct call *c, const char *text) { resp_simple(c->out, text); }
static inline void reply_int(struct call *c, int64_t v) { resp_int(c->out, v); }
static inline void reply_bulk(struct call *c, struct slice s) { resp_bulk(c->out, s); }
static inline void reply_bulk_str(struct call *c, const char *s) { resp_bulk_str(c->out, s); }
static inline void reply_null(struct call *c) { resp_null(c->out, c->proto); }
static inline void reply_null_array(struct call *c) { resp_null_array(c->out, c->proto); }
static inline void reply_array(struct call *c, size_t n) { resp_array(c->out, n); }
static inline void reply_map(struct call *c, size_t pairs) { resp_map(c->out, c->proto, pairs); }
static inline void reply_set(struct call *c, size_t n) { resp_set(c->out, c->proto, n); }
static inline void reply_double(struct call *c, double v) { resp_double(c->out, c->proto, v); }
static inline void reply_bool(struct call *c, bool v) { resp_bool(c->out, c->proto, v); }

/* An error; `text` begins with its code ("ERR ...", "WRONGTYPE ..."). Sets c->failed. */
void reply_error(struct call *c, const char *text);
void reply_errorf(struct call *c, const char *fmt, ...) printf_like(2, 3);
void reply_wrongtype(struct call *c);
void reply_syntax(struct call *c);      /* ERR syntax error */
void reply_not_integer(struct call *c); /* ERR value is not an integer or out of range */
void reply_wrong_arity(struct call *c);
/* A string value: large ones by reference where the output supports it. */
void reply_value(struct call *c, const struct value *v);
/* argv[1] names no subcommand of the container `cmd`. */
void reply_unknown_subcommand(struct call *c, const struct command *cmd);
/* The reply of X HELP: lines as Redis prints them ("<NAME> <subcommand> [<arg> ...]. Subcommands are:" ... HELP). */
void reply_help(struct call *c, const char *const *lines);

/* Random elements with repetition (a negative count): more of them are refused, as ERR value is out of range. Redis
 * begins such a reply, which no memory may hold. */
#define REPLY_REPEATS_MAX ((int64_t)1 << 27)

/* Argument parsing that replies on failure (ERR value is not an integer or out of range / out of the given text). */
bool arg_i64(struct call *c, struct slice s, int64_t *out);
bool arg_i64_or(struct call *c, struct slice s, int64_t *out, const char *error);
bool arg_int(struct call *c, struct slice s, int *out);
bool arg_range(struct call *c, struct slice s, int64_t lo, int64_t hi, int64_t *out, const char *error);
bool arg_db(struct call *c, struct slice s, uint32_t *db);        /* left alone on failure */
bool arg_timeout_ms(struct call *c, struct slice s, int64_t *ms); /* of WAIT, CLIENT PAUSE, XREAD */
bool arg_timeout_s(struct call *c, struct slice s, int64_t *ms);  /* seconds and fractions, of BLPOP and the like */

#endif
