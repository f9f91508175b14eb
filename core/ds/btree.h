/* A counted B+tree of small fixed-size elements: in the order of a comparator, or (without one) in the order in which
 * they are put; with rank, selection by rank and weights in O(log n). Elements are copied in. For sorted sets, the
 * expiry index, streams (by key) and lists (by position).
 *
 * Inner nodes hold a *separator* for each child: by default the child's smallest element, or what `key` makes of it. So
 * a leaf can hold 8-byte pointers, and inner nodes {score, pointer}: a search then follows pointers only in one leaf. A
 * separator always belongs to an element that is in the tree: what an element points to may be freed as soon as the
 * element has been erased.
 *
 * A *probe* is what one looks for: anything that the type's comparators understand, an element or not (a score without
 * a member, say).
 *
 * Owned by one thread at a time. Nodes are 1 KiB (a single leaf is as small as it can be); all but the rightmost leaf
 * are at least a third full, some four fifths on average under random inserts, full after ascending ones. */
#ifndef DS_BTREE_H
#define DS_BTREE_H

#include "core/base/base.h"

struct btree;
struct btree_node;

struct btree_type {
    uint32_t elem_size; /* of an element: 8..64, a multiple of 8 */
    uint32_t key_size;  /* of a separator: 8..64, a multiple of 8; used only with `key` */
    /* <0, 0, >0 for an element before, equal to, after the probe. Equal elements are kept, in the order in which they
     * came. NULL: the tree is positional, only select, begin, end and iterators find places in it. */
    int (*cmp)(const void *elem, const void *probe, void *arg);
    /* Makes a separator from an element, and compares it with a probe as cmp compares the element. Both or neither;
     * neither: a separator is a copy of the element. */
    void (*key)(void *key, const void *elem, void *arg);
    int (*cmp_key)(const void *key, const void *probe, void *arg);
    /* What an element counts for in ranks, from its own bytes (it must not change but through btree_update). NULL: 1.
     */
    uint64_t (*weight)(const void *elem, void *arg);
    /* Elements of 8 bytes that stand for something in memory: which of their bits are its address. A search asks for it
     * ahead, so that its cache misses overlap. 0: none. */
    uint64_t address;
};

/* `type` is borrowed for the tree's life; `arg` is handed to its functions. Caller frees with btree_free. */
struct btree *btree_new(const struct btree_type *type, void *arg);
void btree_free(struct btree *t); /* O(nodes) */
/* Frees up to max_nodes nodes (some hundred microseconds for 1000), first calling `drop`, if not NULL, for each element
 * in them; true when all of it, `t` included, is gone. Nothing but this may be done with the tree after the first call,
 * except btree_memory and btree_count, which go down. */
bool btree_free_some(struct btree *t, uint32_t max_nodes, void (*drop)(void *arg, void *elem), void *arg);

uint64_t btree_count(const struct btree *t);  /* elements */
uint64_t btree_weight(const struct btree *t); /* sum of the weights; without `weight` the same as count */
size_t btree_memory(const struct btree *t);   /* as mem_class counts; O(1) */

/* --- without iterators --- */

/* Inserts a copy of `elem`, behind equal ones. `probe` must compare equal to it. O(log n). */
void btree_insert(struct btree *t, const void *elem, const void *probe);
/* Puts a copy of `elem` behind all others; with a comparator it must not be smaller than the last. No comparisons, and
 * full leaves: the way to build a tree from sorted input. O(height). */
void btree_append(struct btree *t, const void *elem);
/* Removes the first element that compares equal, copied to *out (may be NULL). False if there is none. O(log n). */
bool btree_erase(struct btree *t, const void *probe, void *out);
/* The first / last element, borrowed until the tree changes; NULL if empty. O(height). */
void *btree_first(const struct btree *t);
void *btree_last(const struct btree *t);
/* Sum of the weights (the number) of elements < probe, or <= probe. O(log n). */
uint64_t btree_rank_lt(const struct btree *t, const void *probe);
uint64_t btree_rank_le(const struct btree *t, const void *probe);
/* Calls `each` in order. The tree must not change meanwhile. */
void btree_each(const struct btree *t, void (*each)(void *arg, const void *elem), void *arg);

/* --- iterators ---
 *
 * An iterator is a place: at an element, or at the end, behind the last one. It stands on the stack and needs no
 * clean-up. A change of the tree invalidates it, except a change through the iterator itself. Elements are borrowed
 * until the tree changes; they may be changed in place as long as order, separator and weight stay the same. */
#define BTREE_HEIGHT_MAX 16
struct btree_iter {
    struct btree *t;
    struct {
        struct btree_node *node;
        uint32_t i;
    } at[BTREE_HEIGHT_MAX]; /* from the leaf (0) up to the root */
};

/* Each returns the element at the place, NULL for the end. O(log n). */
void *btree_begin(struct btree *t, struct btree_iter *it);
void *btree_rbegin(struct btree *t, struct btree_iter *it);                     /* the last element */
void *btree_end(struct btree *t, struct btree_iter *it);                        /* the end: NULL */
void *btree_seek_ge(struct btree *t, const void *probe, struct btree_iter *it); /* first element >= probe */
void *btree_seek_gt(struct btree *t, const void *probe, struct btree_iter *it); /* first element > probe */
/* The element that covers rank `rank` (0-based); what of the rank is inside it goes to *within, if not NULL (0 without
 * weights). The end if rank >= btree_weight. */
void *btree_select(struct btree *t, uint64_t rank, struct btree_iter *it, uint64_t *within);

void *btree_at(const struct btree_iter *it); /* the element here, NULL at the end. O(1) */
/* Steps to the next / previous element and returns it. O(1) amortised. next at the end stays there; prev at the end is
 * the last element; prev at the first returns NULL and stays at the first. */
void *btree_next(struct btree_iter *it);
void *btree_prev(struct btree_iter *it);
/* For walks that look ahead: how many elements stand side by side in memory from the one here on, itself included, up
 * to the end of its node; with `back`, down to the beginning of it. 0 at the end. O(1). */
uint32_t btree_run(const struct btree_iter *it, bool back);
/* Steps to the element behind such a run and returns it; NULL if there is none. */
void *btree_leave(struct btree_iter *it, bool back);
/* Sum of the weights (the number) of elements before this place. O(height * fan-out), no comparisons. */
uint64_t btree_rank(const struct btree_iter *it);

/* Inserts a copy before this place (at the end: appends it); the iterator is then at the new element. With a comparator
 * the order must stay right. */
void btree_insert_at(struct btree_iter *it, const void *elem);
/* Overwrites the element here with one that belongs in the same place; its weight may be another one. */
void btree_update(struct btree_iter *it, const void *elem);
/* Removes the element here (there must be one); the iterator is then at the one behind it, which is returned. */
void *btree_erase_at(struct btree_iter *it);
/* Removes up to `n` elements from here on, calling `drop`, if not NULL, for each before it goes; the iterator is then
 * at the one behind them. Returns how many there were. O(n + log n * leaves touched). `drop` must not use the tree. */
uint64_t btree_erase_n(struct btree_iter *it, uint64_t n, void (*drop)(void *arg, void *elem), void *arg);

/* Aborts if an invariant is broken (tests, debug builds). O(n). */
void btree_validate(const struct btree *t);

#endif
