/* How a counted B+tree lies in memory; private to btree.c (change) and btree_walk.c (search, iterators, validation).
 *
 * A leaf holds elements; an inner node up to `fan` children, each with its weight and a separator.
 *
 *   leaf    header | elements ...
 *   inner   header | separators [cap] | children [cap] | weights [cap]
 *
 * Separator i is that of the smallest element below child i, always exactly (separator 0 of a node is unused: the
 * parent has it, and merging fetches it from there). Only the first element of a leaf is ever named by a separator, by
 * the one above it where the path to the leaf is not at child 0: first_changed() keeps it true.
 *
 * Changes go from the leaf up, along the iterator's path: make_room() before an insert, refill() after an erase. A full
 * node first gives entries to a sibling; when both are full, they become three, each two thirds full. An append at the
 * right edge leaves the full leaf as it is and begins a new one. Inner nodes always have two children or more. The root
 * is as small as its content allows; all other nodes have room for a full one's entries. */
#ifndef DS_BTREE_NODE_H
#define DS_BTREE_NODE_H

#include <string.h>

#include "core/ds/btree.h"

#define NODE_BYTES 1024

struct btree_node {
    uint16_t n;   /* elements of a leaf, children of an inner node */
    uint16_t cap; /* how many it has room for */
    uint32_t leaf;
    uint8_t bytes[];
};

struct btree {
    const struct btree_type *type;
    void *arg;
    struct btree_node *root; /* NULL: empty */
    uint64_t count;
    uint64_t weight;
    size_t memory;
    uint16_t height; /* levels, 0: empty */
    uint16_t size;   /* of an element */
    uint16_t key_size;
    uint16_t fan;
};

/* --- nodes --- */

static inline uint16_t leaf_cap(const struct btree *t, size_t bytes)
{
    return (uint16_t)((bytes - sizeof(struct btree_node)) / t->size);
}
static inline uint16_t full_cap(const struct btree *t, bool leaf) { return leaf ? leaf_cap(t, NODE_BYTES) : t->fan; }

static inline size_t node_bytes(const struct btree *t, bool leaf, uint32_t cap)
{
    return sizeof(struct btree_node) + cap * (leaf ? t->size : t->key_size + sizeof(void *) + sizeof(uint64_t));
}

static inline uint8_t *elem(const struct btree *t, const struct btree_node *n, uint32_t i)
{
    return (uint8_t *)n->bytes + (size_t)i * t->size;
}
static inline uint8_t *key(const struct btree *t, const struct btree_node *n, uint32_t i)
{
    return (uint8_t *)n->bytes + (size_t)i * t->key_size;
}
static inline struct btree_node **children(const struct btree *t, const struct btree_node *n)
{
    return (struct btree_node **)((uint8_t *)n->bytes + (size_t)n->cap * t->key_size);
}
static inline struct btree_node *child(const struct btree *t, const struct btree_node *n, uint32_t i)
{
    return children(t, n)[i];
}
static inline uint64_t *weights(const struct btree *t, const struct btree_node *n)
{
    return (uint64_t *)(children(t, n) + n->cap);
}

static inline uint64_t weight_of(const struct btree *t, const void *e)
{
    return t->type->weight ? t->type->weight(e, t->arg) : 1;
}

/* The weight of `count` entries from `from` on. */
static inline uint64_t weigh(const struct btree *t, const struct btree_node *n, uint32_t from, uint32_t count)
{
    uint64_t sum = 0;
    if (n->leaf && t->type->weight == NULL)
        return count;
    for (uint32_t i = from; i < from + count; i++)
        sum += n->leaf ? weight_of(t, elem(t, n, i)) : weights(t, n)[i];
    return sum;
}

static inline void make_key(const struct btree *t, void *to, const void *e)
{
    if (t->type->key != NULL)
        t->type->key(to, e, t->arg);
    else
        memcpy(to, e, t->key_size);
}

/* To the place before the first element that is greater (`strict`) or not less; perhaps behind the end of a leaf, where
 * an insert is cheapest. */
void btree_descend(struct btree *t, const void *probe, bool strict, struct btree_iter *it);
/* From behind a leaf's last element to the first of the next leaf, if there is one. Returns the element at the place.
 */
void *btree_settle(struct btree_iter *it);

#endif
