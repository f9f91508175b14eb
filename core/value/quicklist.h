/* The big form of a list: packs (core/ds/pack.h) of limited size in a row, its *nodes*. The first and the last node
 * stand in the structure itself, so that pushing and popping at the ends touches one pack and nothing else; those
 * between are in a positional B+tree weighted by their items, so that any index is found in O(log n).
 *
 *   head | middle: a tree of nodes, or none | tail
 *
 * A node holds as many items as its limit allows; an item that is too large for that is a node of its own and lies in a
 * blob, which pushes and replies share without copying it. Without a tail there is no middle; without a head there is
 * nothing. A node that an erase has made small is joined with a neighbour, unless the two would fill more than three
 * quarters of the limit: what is split next would be joined again.
 *
 * Items are addressed by their index from the head. Owned by one thread at a time. */
#ifndef VALUE_QUICKLIST_H
#define VALUE_QUICKLIST_H

#include "core/base/blob.h"
#include "core/ds/btree.h"
#include "core/ds/pack.h"

struct list_node {
    union {
        uint8_t *pack;
        struct blob *blob;
    };
    uint32_t count; /* items; 0: no node */
    uint32_t plain; /* `blob` is its only item */
};

struct quicklist {
    uint64_t count; /* items */
    size_t memory;  /* packs and blobs, as mem_class counts */
    int compress;   /* nodes at each end that are encoded as they are, those between them compressed; 0: all */
    struct list_node head, tail;
    struct btree *middle; /* NULL: not needed so far */
};

/* How much fits into a node. */
struct list_limit {
    uint32_t bytes; /* of the pack */
    uint32_t items;
    uint32_t plain_from; /* items of so many bytes are plain in any case; 0: none */
};
/* Of the directive list-max-listpack-size: a number of items (in no more than 8 KiB), or -1 … -5: 4 … 64 KiB. */
struct list_limit list_limit_of(int max_listpack_size);

enum list_end { LIST_HEAD, LIST_TAIL };

/* An item that is put into a list. Borrowed during the call. */
struct list_item {
    struct slice bytes;
    struct blob *blob; /* holds exactly `bytes`, and may be kept (a reference is taken); or NULL */
};

/* --- nodes --- */

static inline size_t list_node_memory(const struct list_node *n)
{
    return n->plain ? blob_memory(blob_cap(n->blob)) : pack_memory(n->pack);
}
void list_node_free(struct list_node *n);
/* Puts a node, which changes owner, behind all others. Its pack is not empty. */
void quicklist_append_node(struct quicklist *q, struct list_node n);

static inline uint64_t quicklist_middle(const struct quicklist *q)
{
    return q->middle != NULL ? btree_count(q->middle) : 0;
}
static inline uint64_t quicklist_nodes(const struct quicklist *q)
{
    return (q->head.count > 0) + quicklist_middle(q) + (q->tail.count > 0);
}
/* Frees all nodes; the structure itself is the caller's. */
void quicklist_clear(struct quicklist *q);

/* --- walking; a change of the list ends it --- */

struct quicklist_cursor {
    struct quicklist *q;
    enum { AT_HEAD, AT_MIDDLE, AT_TAIL, AT_END } where;
    struct btree_iter it; /* in the middle */
};
/* To the node with this index; the index of its first item is `index` - *within. At the end if index >= count. */
void quicklist_seek(struct quicklist *q, uint64_t index, struct quicklist_cursor *c, uint32_t *within);
/* NULL at the end. */
struct list_node *quicklist_node(const struct quicklist_cursor *c);
/* To the next or previous node. False, and at the end, if there is none. */
bool quicklist_step(struct quicklist_cursor *c, bool back);

/* --- changing --- */

void quicklist_push(struct quicklist *q, enum list_end end, const struct list_item *item, struct list_limit limit);
/* Removes the item at an end of a list that is not empty. */
void quicklist_drop(struct quicklist *q, enum list_end end);
/* The item will have index `index` <= count. O(log n + a node). */
void quicklist_insert(struct quicklist *q, uint64_t index, const struct list_item *item, struct list_limit limit);
void quicklist_set(struct quicklist *q, uint64_t index, const struct list_item *item, struct list_limit limit);
/* `n` items from `index` on, which must exist. O(log n + nodes removed). */
void quicklist_erase(struct quicklist *q, uint64_t index, uint64_t n, struct list_limit limit);
/* Removes the first `most` items that equal `s`, or (`back`) the last ones. Returns how many there were. */
uint64_t quicklist_remove(struct quicklist *q, struct slice s, uint64_t most, bool back, struct list_limit limit);
/* All in one pack that fills at most half the limit: joins head and tail if that makes it so. */
bool quicklist_fits_pack(struct quicklist *q, struct list_limit limit);

/* Aborts if an invariant is broken. O(n). */
void quicklist_validate(const struct quicklist *q);

#endif
