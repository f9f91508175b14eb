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

enum cut_why {
    CUT_WALK,    /* its turn has come */
    CUT_CHANGE,  /* it is about to change or to be deleted */
    CUT_DELETE,  /* it is about to be deleted, and its value would be released */
    CUT_CLEANED, /* a write of it to flash has just completed */
};

struct cut {
    struct keyspace *ks;
    uint64_t cursor;
    bool took; /* in CUT_DELETE: hand_over has taken over the value, and will release it */
    /* Takes what it wants of the entry as it is; changes nothing. False, in CUT_WALK only: not now; then it has to be
     * seen to (cut_touch, or cut_done) before the cut ends. */
    bool (*hand_over)(struct cut *c, const struct entry *e, enum cut_why why);
};

/* No other cut of `ks` may be under way. `c` is borrowed until cut_end. */
void cut_begin(struct cut *c, struct keyspace *ks,
               bool (*hand_over)(struct cut *c, const struct entry *e, enum cut_why why));
/* Hands over the next few entries, at most some dozen. False: the walk is at its end. */
bool cut_step(struct cut *c);
/* After that, and when what was put off has been seen to. */
void cut_end(struct cut *c);
/* Whether `e` is still to be handed over. */
static inline bool cut_wants(const struct keyspace *ks, const struct entry *e)
{
    return (e->flags & ENTRY_CUT) != ks->cut_seen;
}
/* Hands `e` over, unless that has been done. Called before `e` changes, while a cut is under way. */
void cut_touch(struct keyspace *ks, struct entry *e, enum cut_why why);
/* The same before `e` is deleted. True if its value is the taker's now: whoever deletes `e` does not release it. */
bool cut_delete(struct keyspace *ks, struct entry *e);
/* It has been handed over otherwise. */
static inline void cut_done(struct entry *e) { e->flags ^= ENTRY_CUT; }
/* Whether a store's snapshot that was taken at the cut holds the value of this entry, which is being handed over. It
 * does if the value was cold or clean then. What was dirty or being written then still is, or has been handed over when
 * that ended. */
bool cut_on_flash(const struct keyspace *ks, const struct entry *e);

#endif
