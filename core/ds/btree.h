/* A counted B+tree of small fixed-size elements: order statistics (rank, select) and ranges in O(log n). Elements are
 * copied in; the order is given by a comparator. Leaves are linked for range walks. Used for the expiry index now; for
 * sorted sets, streams and numeric indexes later.
 *
 * Owned by one thread at a time. Nodes are some 512 bytes to a few KiB; fill at least half but for the root; appends in
 * order leave full leaves behind (so a stream or a growing expiry index is dense). */
#ifndef DS_BTREE_H
#define DS_BTREE_H

#include "core/base/base.h"

struct btree;
/* <0, 0, >0 for a before, equal to, after b. `arg` is the tree's. Equal elements are kept, in insertion order. */
typedef int btree_cmp(const void *a, const void *b, void *arg);

/* elem_size 8..64, a multiple of 8. Caller frees with btree_free. */
struct btree *btree_new(size_t elem_size, btree_cmp *cmp, void *arg);
void btree_free(struct btree *t);
/* Frees at most `max_nodes` nodes; true when the tree is gone (then t is invalid). For freeing in slices. */
bool btree_free_some(struct btree *t, size_t max_nodes);
uint64_t btree_count(const struct btree *t);
size_t btree_memory(const struct btree *t); /* as mem_class counts; O(1) */

/* Inserts a copy, behind equal ones. */
void btree_insert(struct btree *t, const void *elem);
/* Removes one element that compares equal. False if there is none. */
bool btree_erase(struct btree *t, const void *elem);
/* A position: invalidated by any change of the tree. leaf NULL: at the end. */
struct btree_pos {
    void *leaf;
    uint32_t index;
};
/* The first element >= elem (lower) or > elem (upper). O(log n). */
struct btree_pos btree_lower(struct btree *t, const void *elem);
struct btree_pos btree_upper(struct btree *t, const void *elem);
struct btree_pos btree_begin(struct btree *t);
struct btree_pos btree_last(struct btree *t);
/* The element with `rank` others before it; at the end if rank >= count. O(log n). */
struct btree_pos btree_select(struct btree *t, uint64_t rank);
/* How many elements come before pos (count at the end). O(log n). */
uint64_t btree_rank(struct btree *t, struct btree_pos pos);
const void *btree_at(struct btree *t, struct btree_pos pos); /* borrows until the tree changes; NULL at the end */
struct btree_pos btree_next(struct btree *t, struct btree_pos pos);
struct btree_pos btree_prev(struct btree *t, struct btree_pos pos); /* at the end before the first */
/* Removes the first element, copying it to `out` (may be NULL). False if empty. Cheap. */
bool btree_pop_first(struct btree *t, void *out);
/* Removes ranks [from, to). */
void btree_erase_ranks(struct btree *t, uint64_t from, uint64_t to);
void btree_validate(struct btree *t);

#endif
