/* A cut: the state of a keyspace at one instant, handed over entry by entry while it goes on changing (DESIGN section
 * 5). The owner walks it in steps; whatever is about to change before the walk has reached it is handed over first, by
 * the function that changes it (keyspace.c). So every entry of the instant is handed over exactly once, in the state
 * that it had then; entries that are born later never are.
 *
 * Which entries are still to come is told by one bit, ENTRY_CUT, compared with keyspace.cut_seen: a cut begins by
 * turning the latter over, and so all entries are unseen; handing over sets the bit; entries are born with it. Nothing
 * is remembered beside the entries, and a step costs what it hands over.
 *
 * What is no change of the state: fetching and dropping the value, temperature, and a write to flash that begins. One
 * that completes is: see cut_on_flash. Owned by who owns the keyspace. */
#ifndef KEYSPACE_CUT_H
#define KEYSPACE_CUT_H

#include "core/keyspace/keyspace.h"

struct cut {
    struct keyspace *ks;
    uint64_t cursor;
    /* Takes what it wants of the entry as it is; changes nothing. NULL: nobody wants anything any more. */
    void (*hand_over)(struct cut *c, const struct entry *e);
};

/* No other cut of `ks` may be under way. `c` is borrowed until cut_step has returned false. */
void cut_begin(struct cut *c, struct keyspace *ks, void (*hand_over)(struct cut *c, const struct entry *e));
/* Hands over the next few entries, at most a dozen. False: these were the last, and the cut has ended. */
bool cut_step(struct cut *c);
/* Whether `e` is still to be handed over. */
static inline bool cut_wants(const struct keyspace *ks, const struct entry *e)
{
    return (e->flags & ENTRY_CUT) != ks->cut_seen;
}
/* Called before `e` changes, while a cut is under way. */
void cut_touch(struct keyspace *ks, struct entry *e);
/* Whether a store's snapshot that was taken at the cut holds the value of this entry, which is being handed over. It
 * does if the value was cold or clean then. What was dirty or being written then still is, or has been handed over when
 * that ended. */
bool cut_on_flash(const struct keyspace *ks, const struct entry *e);

#endif
