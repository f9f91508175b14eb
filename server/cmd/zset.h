/* What the command files of sorted sets and geo share. */
#ifndef SERVER_CMD_ZSET_H
#define SERVER_CMD_ZSET_H

#include "core/value/zset.h"
#include "server/reply.h"

/* A score; replies on failure (NULL: ERR value is not a valid float). */
bool arg_double(struct call *c, struct slice s, double *out, const char *error);

/* The sorted set at argument `arg`, to be read. False: there is none, or -WRONGTYPE has been replied (c->failed). */
bool read_zset(struct call *c, int arg, struct value *v);

/* A reply of `n` members; with scores they are pairs, nested in RESP3 and flat in RESP2. */
void reply_items(struct call *c, uint64_t n, bool with_scores);
void reply_item(struct call *c, const struct zset_item *item, bool with_scores);

/* Removes the members of an interval that is not empty, between place_change and what ends it, which is done here. If
 * they are all, the key is deleted: what is large is freed by others. */
void remove_ranks(struct call *c, struct place *p, struct zset_interval in, const char *event);

/* Takes `n` members, at least one and not more than there are, and replies them and their scores, pairs `nested` in
 * arrays of their own; what they are all in has been begun. Records it. */
void zset_pop(struct call *c, struct place *p, uint64_t n, bool max, bool nested);
/* The arguments of ZMPOP from the number of keys, argv[at], on. */
struct zset_mpop {
    int64_t keys, count;
    int first; /* the first key's argument */
    bool max;
};
bool zset_mpop_options(struct call *c, int at, struct zset_mpop *o);
/* Pops from the first of the keys that exists: false if none does, and nothing was replied then. */
bool zset_mpop(struct call *c, const struct zset_mpop *o);

/* ZADD, also run with arguments that GEOADD has made of its own. */
void zadd_run(struct call *c);

/* For the declarations. */
#define ZSET .acl = ACL_SORTEDSET, .group = "sorted-set"
#define KEY1(f)                                                    \
    {                                                              \
        {.flags = (f), .first = 1, .step = 1, .need = NEED_VALUE}, \
    }

#endif
