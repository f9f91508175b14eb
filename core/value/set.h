/* Sets of strings, in three forms:
 *
 *   intset      all members spell integers, and there are at most set-max-intset-entries of them (core/ds/intset.h)
 *   pack        at most set-max-listpack-entries members of at most set-max-listpack-value bytes (core/ds/pack.h)
 *   hashtable   a table of members, each an allocation of exactly its bytes; its length stands in the table's item
 *
 * A set changes its form when it outgrows it, and never back. Members are given and taken as pack items: an integer, or
 * bytes that may spell one; the two are the same member. Knows no entries, no replies. Sets are owned like any value.
 */
#ifndef VALUE_SET_H
#define VALUE_SET_H

#include "core/ds/pack.h"
#include "core/ds/table.h"
#include "core/value/value.h"

struct rng;

extern const struct value_class set_class;

uint64_t set_count(const struct value *v);                    /* O(1) */
bool set_has(const struct value *v, struct pack_item member); /* O(1), in a pack O(n), in an intset O(log n) */

/* False if it was there already. Bytes are copied; they must not lie in this set. */
bool set_add(struct value *v, struct pack_item member, const struct value_limits *limits);
/* False if it was not there. The member may be one that the set itself has given. */
bool set_remove(struct value *v, struct pack_item member);
/* A hint that an empty set will have so many members: spares it forms that it would outgrow. */
void set_expect(struct value *v, uint64_t count);

/* One member, each with the same probability, borrowed until the set changes. The set is not empty. */
struct pack_item set_random(const struct value *v, struct rng *rng);

/* All members, each once; borrowed until the set changes, and it must not change meanwhile:
 *     struct set_iter it;
 *     struct pack_item member;
 *     set_iter_init(&it, &v);
 *     while (set_iter_next(&it, &member)) ... */
struct set_iter {
    const struct value *v;
    uint32_t at; /* position in the pack, index in the intset */
    struct table_iter table;
};
void set_iter_init(struct set_iter *it, const struct value *v); /* borrows `v` */
/* Up to `max` members; 0 when there are no more. */
unsigned set_iter_some(struct set_iter *it, struct pack_item *members, unsigned max);
static inline bool set_iter_next(struct set_iter *it, struct pack_item *member)
{
    return set_iter_some(it, member, 1) > 0;
}

/* False ends the enumeration. The member is borrowed during the call. */
typedef bool set_visit(void *arg, struct pack_item member);

/* Visits the members at `cursor` (0 to begin with) and returns the next cursor, 0 at the end: packs and intsets at
 * once, tables a bucket group at a time in hash order (see table_scan). The set must not change meanwhile. */
uint64_t set_scan(const struct value *v, uint64_t cursor, void (*visit)(void *arg, struct pack_item member), void *arg);

/* --- Many members at once (core/value/set_find.c) --- */

#define SET_BATCH 32

struct set_batch {
    unsigned n;
    bool hashed;
    struct pack_item member[SET_BATCH];
    uint64_t hash[SET_BATCH]; /* if hashed */
};
static inline uint32_t set_batch_all(const struct set_batch *b) { return (uint32_t)(((uint64_t)1 << b->n) - 1); }

/* For many look-ups in one set, which must not change meanwhile: in a big table the misses of a batch overlap, a pack
 * is indexed by hash, an intset is searched from where the last one was found. */
struct set_finder {
    const struct value *v;
    struct set_index *index; /* of a pack, or NULL */
    uint32_t at;             /* in an intset */
};
/* Borrows `v`; `lookups` is about how many there will be. Free with set_finder_free. */
void set_finder_init(struct set_finder *f, const struct value *v, uint64_t lookups);
void set_finder_free(struct set_finder *f);
/* For one look-up that is soon to come, among others: with `step` 0 asks for the line of the table where the member
 * would be, with 1, when that has arrived, for the member. Not for cold values. */
void set_prefetch(const struct value *v, struct slice member, int step);
/* Which of the batch's members are in the set: bit i for member i. Only those in `want` are looked up. */
uint32_t set_find(struct set_finder *f, struct set_batch *b, uint32_t want);

/* --- Algebra (core/value/set_algebra.c); a NULL among `sets` is an empty set; n > 0 --- */

/* What is in all of them. The smallest one is walked: O(its members * n). */
void set_inter(const struct value *const *sets, unsigned n, set_visit *visit, void *arg);
/* What is in any of them, each member once. */
void set_union(const struct value *const *sets, unsigned n, set_visit *visit, void *arg);
/* What is in the first and in none of the others. */
void set_diff(const struct value *const *sets, unsigned n, set_visit *visit, void *arg);

/* Aborts if an invariant is broken (tests, debug builds). O(n). */
void set_validate(const struct value *v);

#endif
