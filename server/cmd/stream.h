/* What the command files about streams share. */
#ifndef SERVER_CMD_STREAM_H
#define SERVER_CMD_STREAM_H

#include "core/value/stream_group.h"
#include "server/reply.h"
#include "server/words.h"

/* --- arguments; they reply on failure --- */

/* "ms-seq", or "ms" alone with this `seq`. */
bool arg_stream_id(struct call *c, struct slice s, uint64_t seq, struct stream_id *out);
/* The ids from argument `from` up to `until`; caller frees with stream_ids_free. NULL: one was bad, it has been
 * replied.
 */
struct stream_id *arg_stream_ids(struct call *c, int from, int until);
static inline struct stream_id *arg_stream_ids_rest(struct call *c, int from)
{
    return arg_stream_ids(c, from, c->argc);
}
void stream_ids_free(struct stream_id *ids, int n);
/* The ends of an interval: "-", "+", an id, or "(" and an id for those beyond it; both are inclusive afterwards. */
bool arg_stream_from(struct call *c, struct slice s, struct stream_id *out);
bool arg_stream_to(struct call *c, struct slice s, struct stream_id *out);

/* [KEEPREF | DELREF | ACKED] IDS numids id ... from argument `at` on, in either order. */
struct stream_selection {
    enum stream_refs refs;
    struct stream_id *ids;
    int n;
};
bool arg_stream_selection(struct call *c, int at, struct stream_selection *out);
bool stream_refs_of(struct slice word, enum stream_refs *refs);

/* --- places --- */

/* The stream at argument `arg`, to be read. NULL: there is none, or -WRONGTYPE has been replied (c->failed). */
struct stream *read_stream(struct call *c, int arg);

/* --- replies --- */

void put_stream_id(struct buf *out, struct stream_id id);
/* Id and fields. */
void put_stream_entry(struct buf *out, const struct stream_entry *e);
static inline void reply_stream_id(struct call *c, struct stream_id id) { put_stream_id(c->out, id); }
/* -NOGROUP No such key '…' or consumer group '…' */
void reply_no_group(struct call *c, struct slice key, struct slice group);
/* Elements that were replied from offset `at` of c->out on become an array, or a map, of so many. */
void reply_array_around(struct call *c, size_t at, size_t n);
void reply_map_around(struct call *c, size_t at, size_t n);

extern const struct command_arg stream_refs_args[]; /* KEEPREF | DELREF | ACKED */

/* --- effects --- */

/* A list of arguments with ids in it. */
void words_add_stream_id(struct words *w, struct stream_id id);
/* XCLAIM effects for ids that have become pending with a consumer at one time, after as many deliveries each: those
 * that follow each other and have the same are one effect. */
struct claim_effect {
    struct call *c;
    struct slice key, group, consumer;
    int64_t delivered_ms;
    uint64_t deliveries;
    struct words words; /* used if `any` */
    bool any;
};
void claim_effect_add(struct claim_effect *e, const struct stream_pending *p);
void claim_effect_end(struct claim_effect *e);
void effect_consumer_created(struct call *c, struct slice key, struct slice group, struct slice consumer);
void effect_group_last(struct call *c, struct slice key, const struct stream_group *g);
/* XACK of one id. */
void effect_acked(struct call *c, struct slice key, struct slice group, struct stream_id id);

/* For the declarations. */
#define STREAM .acl = ACL_STREAM, .route = ROUTE_KEYS, .group = "stream"
#define STREAM_KEY(f, at)                                              \
    {                                                                  \
        {                                                              \
            .flags = (f), .first = (at), .step = 1, .need = NEED_VALUE \
        }                                                              \
    }

#endif
