/* A B+tree of small fixed-size elements in the order of a comparator. Elements are copied in. Used for the expiry index
 * now; rank and select (a count per child) come with sorted sets.
 *
 * Owned by one thread at a time. Nodes are some 1 KiB; all but the root and the rightmost leaf are at least a third
 * full; ascending inserts leave full leaves behind, so a growing index is dense. */
#ifndef DS_BTREE_H
#define DS_BTREE_H

#include "core/base/base.h"

struct btree;
/* <0, 0, >0 for a before, equal to, after b. `arg` is the tree's. Equal elements are kept. */
typedef int btree_cmp(const void *a, const void *b, void *arg);

/* elem_size 8..64, a multiple of 8. Caller frees with btree_free. */
struct btree *btree_new(size_t elem_size, btree_cmp *cmp, void *arg);
void btree_free(struct btree *t); /* O(n / 32) */
uint64_t btree_count(const struct btree *t);
size_t btree_memory(const struct btree *t); /* as mem_class counts; O(1) */
/* Inserts a copy, behind equal ones. O(log n). */
void btree_insert(struct btree *t, const void *elem);
/* Removes one element that compares equal. False if there is none. O(log n). */
bool btree_erase(struct btree *t, const void *elem);
/* The smallest element, borrowed until the tree changes; NULL if empty. O(log n), a few steps down the left edge. */
const void *btree_first(const struct btree *t);
/* Calls `each` in order. The tree must not change meanwhile. */
void btree_each(const struct btree *t, void (*each)(void *arg, const void *elem), void *arg);
/* Aborts if an invariant is broken. O(n). */
void btree_validate(const struct btree *t);

#endif
