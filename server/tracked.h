/* Who may have cached what: names of keys, each with the set of numbers (clients) that have read it since it was last
 * changed. What is told of a change is forgotten by that. Knows nothing of clients and shards.
 *
 * A name takes some 40 bytes beside its own, with one number; more numbers are an intset. Owned by one thread. */
#ifndef SERVER_TRACKED_H
#define SERVER_TRACKED_H

#include "core/base/slice.h"

struct rng;
struct tracked;

/* Caller frees with tracked_free. */
struct tracked *tracked_new(void);
void tracked_free(struct tracked *t); /* O(names); NULL is allowed */
/* The hash is the name's, the same in every call. Numbers are below 2^62. O(1), O(numbers of the name) in the worst
 * case. */
void tracked_add(struct tracked *t, uint64_t hash, struct slice name, uint64_t who);
/* Forgets the name, calling `tell` for each of its numbers, in ascending order. False if it was not there. */
bool tracked_take(struct tracked *t, uint64_t hash, struct slice name, void (*tell)(void *arg, uint64_t who),
                  void *arg);
/* The same with a random name, which `begin` gets first; both may use it until they return. False if there is none. */
bool tracked_take_random(struct tracked *t, struct rng *rng, void (*begin)(void *arg, struct slice name),
                         void (*tell)(void *arg, uint64_t who), void *arg);
/* Removes the numbers of the intset `gone` from a part of the names, those at `cursor` (begin with 0), and names that
 * nobody is left for. Returns the next cursor, 0 at the end; names that were there all the time have been seen then. */
uint64_t tracked_sweep(struct tracked *t, uint64_t cursor, const uint8_t *gone);
/* Frees some of it; true when all is gone. Nothing but this may be done with it after the first call. */
bool tracked_free_some(struct tracked *t);

uint64_t tracked_names(const struct tracked *t);
uint64_t tracked_numbers(const struct tracked *t); /* summed up over the names */

#endif
