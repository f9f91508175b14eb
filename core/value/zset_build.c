/* Gathering members: the table finds them again, an array keeps the order in which they came. What comes in order,
 * either way – as it does from files – needs no sorting. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/value/zset_pack.h"
#include "core/value/zset_tree.h"

struct gathered {
    double score;
    uint64_t word;
};

struct zset_build {
    struct zset_tree *tree;
    struct gathered *items;
    size_t n, cap;
    size_t bytes, longest; /* of the members */
};

struct zset_build *zset_build_new(void)
{
    struct zset_build *b = mem_zalloc(sizeof(*b));
    b->tree = zset_tree_new();
    return b;
}

static void free_shell(struct zset_build *b)
{
    mem_free(b->items, sizeof(*b->items) * b->cap);
    mem_free(b, sizeof(*b));
}

void zset_build_free(struct zset_build *b)
{
    zset_tree_free(b->tree);
    free_shell(b);
}

static void remember(struct zset_build *b, uint64_t word)
{
    if (b->n == b->cap) {
        size_t cap = b->cap == 0 ? 64 : 2 * b->cap;
        b->items = mem_realloc(b->items, sizeof(*b->items) * b->cap, sizeof(*b->items) * cap);
        b->cap = cap;
    }
    b->items[b->n++].word = word;
}

double *zset_build_member(struct zset_build *b, struct slice member, bool *added)
{
    uint64_t word = zset_tree_find(b->tree, member);
    *added = word == 0;
    if (word == 0) {
        word = zset_tree_put(b->tree, member, 0);
        remember(b, word);
        b->bytes += member.len;
        b->longest = max_u64(b->longest, member.len);
    }
    return &zset_node(word)->score;
}

uint64_t zset_build_count(const struct zset_build *b) { return b->n; }

/* --- the order --- */

static int compare(const struct gathered *a, const struct gathered *b)
{
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return slice_cmp(zset_node_member(a->word), zset_node_member(b->word));
}

static int compare_for_sort(const void *a, const void *b) { return compare(a, b); }

/* Whether each comes behind the one before it, or (-1) before it. */
static bool all_in_order(const struct zset_build *b, int direction)
{
    for (size_t i = 1; i < b->n; i++)
        if (direction * compare(&b->items[i], &b->items[i - 1]) <= 0)
            return false;
    return true;
}

static void reverse(struct zset_build *b)
{
    for (size_t i = 0, j = b->n; i + 1 < j; i++) {
        struct gathered other = b->items[--j];
        b->items[j] = b->items[i];
        b->items[i] = other;
    }
}

static void sort(struct zset_build *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct zset_node *node = zset_node(b->items[i].word);
        b->items[i].score = node->score += 0.0; /* minus zero becomes zero */
    }
    if (all_in_order(b, 1))
        return;
    if (all_in_order(b, -1))
        reverse(b);
    else
        qsort(b->items, b->n, sizeof(*b->items), compare_for_sort);
}

/* --- the result --- */

static bool fits_pack(const struct zset_build *b, const struct value_limits *limits)
{
    return (int64_t)b->n <= limits->zset_max_listpack_entries &&
           (int64_t)b->longest <= limits->zset_max_listpack_value &&
           pack_cost_max(2 * b->n, b->bytes + 40 * b->n) < PACK_BYTES_MAX;
}

static struct value pack_of(struct zset_build *b)
{
    uint8_t *p = pack_new();
    for (size_t i = 0; i < b->n; i++)
        p = zset_pack_append(p, zset_node_member(b->items[i].word), b->items[i].score);
    zset_tree_free(b->tree);
    return (struct value){.type = VALUE_ZSET, .encoding = ENC_PACK, .ptr = p};
}

static struct value tree_of(struct zset_build *b)
{
    for (size_t i = 0; i < b->n; i++)
        zset_tree_append(b->tree, b->items[i].word);
    return (struct value){.type = VALUE_ZSET, .encoding = ENC_ZSET_TREE, .ptr = b->tree};
}

struct value zset_build_value(struct zset_build *b, const struct value_limits *limits)
{
    sort(b);
    struct value v = fits_pack(b, limits) ? pack_of(b) : tree_of(b);
    free_shell(b);
    return v;
}
