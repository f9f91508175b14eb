/* Sorted sets: members with scores, in the order of (score, member), in two forms:
 *
 *   listpack    a pack of member, score, member, score …, in order: up to zset-max-listpack-entries members of at most
 *               zset-max-listpack-value bytes. A score is an integer item if it is integral, else its shortest decimal
 *   skiplist    (so named for clients) a table by member and a counted B+tree by (score, member) over the same items;
 *               see zset_tree.h
 *
 * A sorted set changes its form when it outgrows it, and back only by being encoded and decoded. Scores are never NaN;
 * minus zero is zero. Members are given and taken as bytes. Knows no entries, no replies; owned like any value.
 *
 * Ranks count from 0, the lowest score. Whatever selects members by score or by bytes answers with an interval of
 * ranks, so that counting, paging, deleting and walking either way are the same for all. */
#ifndef VALUE_ZSET_H
#define VALUE_ZSET_H

#include "core/ds/btree.h"
#include "core/ds/pack.h"
#include "core/value/value.h"

struct rng;

extern const struct value_class zset_class;

struct zset_item {
    struct slice member;
    double score;
};

uint64_t zset_count(const struct value *v);
/* False if there is no such member. O(1), in a pack O(n). */
bool zset_score(const struct value *v, struct slice member, double *score);
/* The same with the rank; `score` may be NULL. O(log n), in a pack O(n). */
bool zset_rank(const struct value *v, struct slice member, uint64_t *rank, double *score);

/* Asks for what a look-up of the member will read: step 0 first, step 1 when that has arrived. */
void zset_prefetch(const struct value *v, struct slice member, int step);

/* --- changes --- */

enum zset_add_flag {
    ZSET_NX = 1 << 0,   /* only if it is not there */
    ZSET_XX = 1 << 1,   /* only if it is */
    ZSET_GT = 1 << 2,   /* of one that is there: only upwards */
    ZSET_LT = 1 << 3,   /* only downwards */
    ZSET_INCR = 1 << 4, /* the score is added to the one it has */
};
enum zset_added {
    ZSET_REFUSED, /* by a flag */
    ZSET_NAN,     /* inf - inf: nothing was changed */
    ZSET_SAME,    /* it has that score already */
    ZSET_ADDED,
    ZSET_UPDATED,
};
/* *score: what to set or to add, not NaN; then the score that the member has, if it was not refused. O(log n), in a
 * pack O(n). */
enum zset_added zset_add(struct value *v, const struct value_limits *limits, struct slice member, double *score,
                         int flags);
bool zset_remove(struct value *v, struct slice member);
struct zset_interval;
void zset_remove_ranks(struct value *v, struct zset_interval in);

/* --- intervals --- */

struct zset_interval {
    uint64_t from, to; /* from <= rank < to; both at most the count, from <= to */
};
static inline uint64_t zset_width(struct zset_interval in) { return in.to - in.from; }

struct zset_scores {
    double min, max;
    bool min_open, max_open; /* the bound itself is outside */
};
struct zset_interval zset_in_scores(const struct value *v, const struct zset_scores *range);

struct zset_lex_bound {
    int infinite; /* -1, +1: before, behind all members; 0: `member` */
    bool open;
    struct slice member;
};
/* Means what it says only if all scores are equal. */
struct zset_interval zset_in_lex(const struct value *v, struct zset_lex_bound min, struct zset_lex_bound max);

/* --- walking --- */

/* On the stack, without clean-up. The set must not change meanwhile. */
struct zset_iter {
    const uint8_t *pack; /* or the tree */
    uint32_t at;         /* of a pack: 0: none left */
    bool reverse;
    char scratch[PACK_TEXT_MAX];
    const uint64_t *word; /* of a tree: the next item, and how many are left in its node */
    uint32_t left;
    struct btree_iter tree; /* somewhere in that node */
};
/* Begins at a rank (>= the count: none), towards higher ranks, or with `reverse` towards lower ones. */
void zset_iter_init(struct zset_iter *it, const struct value *v, uint64_t rank, bool reverse);
/* The item here, borrowed until the next call; then steps. */
bool zset_iter_next(struct zset_iter *it, struct zset_item *out);

/* One step of a scan with a cursor that starts and ends with 0: every member that is there all the time is visited. A
 * pack is visited at once. */
uint64_t zset_scan(const struct value *v, uint64_t cursor, uint64_t count,
                   void (*visit)(void *arg, const struct zset_item *item), void *arg);

/* --- building --- */

/* Gathers members in any order, each with one score, and makes a sorted set of the form that the limits ask for. */
struct zset_build;
struct zset_build *zset_build_new(void);
/* Where the score of a member stands; *added tells whether it has just been added, with score 0. Borrowed until the
 * next call; the score may be changed at any time until zset_build_value, and must not become NaN. */
double *zset_build_member(struct zset_build *b, struct slice member, bool *added);
uint64_t zset_build_count(const struct zset_build *b);
/* Frees the builder; caller owns the value, which may be empty. */
struct value zset_build_value(struct zset_build *b, const struct value_limits *limits) must_check;
void zset_build_free(struct zset_build *b);

/* Aborts if an invariant is broken (tests). O(n). */
void zset_validate(const struct value *v);

#endif
