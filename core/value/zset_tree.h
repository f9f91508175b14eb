/* The big form of a sorted set (internal to zset*.c). An item is one allocation that table and tree share:
 *
 *     score 8 | member            up to 65534 bytes
 *     score 8 | length 8 | member
 *
 * Both hold it as a word: its address, and the member's length in the top 16 bits (65535: it stands in the item). The
 * tree's leaves are just words; its inner nodes hold {score, word}, so that a search reads items of one leaf only, but
 * for equal scores. A 16-byte member costs its 32-byte item, 12 bytes in the table and some 10 in the tree. */
#ifndef VALUE_ZSET_TREE_H
#define VALUE_ZSET_TREE_H

#include "core/ds/table.h"
#include "core/value/zset.h"

enum { ENC_ZSET_TREE = ENC_FIRST_OF_CLASS };

struct zset_tree {
    struct table *table;
    struct btree *order;
    size_t items_bytes; /* as mem_class counts */
};

struct zset_node {
    double score;
    uint8_t bytes[];
};

#define ZSET_LEN_SHIFT 48
#define ZSET_LEN_LONG 0xffff

static inline struct zset_node *zset_node(uint64_t word)
{
    return (struct zset_node *)(uintptr_t)(word & TABLE_TAGGED);
}

static inline struct slice zset_node_member(uint64_t word)
{
    const struct zset_node *node = zset_node(word);
    uint64_t len = word >> ZSET_LEN_SHIFT;
    if (likely(len != ZSET_LEN_LONG))
        return slice_of(node->bytes, len);
    memcpy(&len, node->bytes, sizeof(len));
    return slice_of(node->bytes + sizeof(len), len);
}

static inline struct zset_item zset_node_item(uint64_t word)
{
    return (struct zset_item){zset_node_member(word), zset_node(word)->score};
}

struct zset_tree *zset_tree_new(void);
void zset_tree_free(struct zset_tree *t); /* O(n) */
size_t zset_tree_memory(const struct zset_tree *t);
/* 0 if there is none. */
uint64_t zset_tree_find(const struct zset_tree *t, struct slice member);
void zset_tree_prefetch(const struct zset_tree *t, struct slice member, int step); /* see zset_prefetch */
/* The member must not be there. */
void zset_tree_insert(struct zset_tree *t, struct slice member, double score);
void zset_tree_rescore(struct zset_tree *t, uint64_t word, double score);
bool zset_tree_remove(struct zset_tree *t, struct slice member);
void zset_tree_remove_ranks(struct zset_tree *t, struct zset_interval in);
uint64_t zset_tree_rank(const struct zset_tree *t, uint64_t word);
struct zset_interval zset_tree_in_scores(const struct zset_tree *t, const struct zset_scores *range);
struct zset_interval zset_tree_in_lex(const struct zset_tree *t, struct zset_lex_bound min, struct zset_lex_bound max);
/* The two halves of an insert, for building: an item in the table alone, and one behind all others of the tree. */
uint64_t zset_tree_put(struct zset_tree *t, struct slice member, double score);
void zset_tree_append(struct zset_tree *t, uint64_t word);
/* The order of the tree. */
int zset_compare(struct zset_item a, struct zset_item b);
void zset_tree_validate(const struct zset_tree *t);

#endif
