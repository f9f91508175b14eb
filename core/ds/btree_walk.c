/* Search, iterators, ranks, validation. */
#include "core/ds/btree_node.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

/* --- search --- */

static int cmp_elem(const struct btree *t, const struct btree_node *n, uint32_t i, const void *probe)
{
    return t->type->cmp(elem(t, n, i), probe, t->arg);
}
static int cmp_key(const struct btree *t, const struct btree_node *n, uint32_t i, const void *probe)
{
    return (t->type->key ? t->type->cmp_key : t->type->cmp)(key(t, n, i), probe, t->arg);
}

#define AHEAD 3 /* steps of a binary search */

/* Asks for all that the next `steps` steps of a search in [lo, hi) of a leaf may look at. */
static void ask_for(const struct btree *t, const struct btree_node *n, uint32_t lo, uint32_t hi, int steps)
{
    if (lo >= hi || steps == 0)
        return;
    uint64_t word;
    uint32_t mid = (lo + hi) / 2;
    memcpy(&word, elem(t, n, mid), sizeof(word));
    __builtin_prefetch((const void *)(uintptr_t)(word & t->type->address));
    ask_for(t, n, lo, mid, steps - 1);
    ask_for(t, n, mid + 1, hi, steps - 1);
}

/* The leaf itself: which of its lines a search will read depends on what it reads first. */
static void ask_for_leaf(const struct btree_node *n)
{
    for (size_t i = 0; i < n->n * sizeof(uint64_t); i += 64)
        __builtin_prefetch(n->bytes + i);
}

/* The first index in [from, n) whose element or separator is greater than the probe (`strict`), or not less. */
static uint32_t search(const struct btree *t, const struct btree_node *n, uint32_t from, const void *probe, bool strict)
{
    uint32_t lo = from, hi = n->n;
    bool ahead = n->leaf && t->type->address != 0;
    if (ahead)
        ask_for_leaf(n);
    for (int step = 0; lo < hi; step++) {
        uint32_t mid = (lo + hi) / 2;
        if (ahead && step % AHEAD == 0)
            ask_for(t, n, lo, hi, AHEAD);
        int c = n->leaf ? cmp_elem(t, n, mid, probe) : cmp_key(t, n, mid, probe);
        if (c < 0 || (strict && c == 0))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void *btree_settle(struct btree_iter *it)
{
    struct btree *t = it->t;
    uint32_t level = 0;
    if (t->height == 0)
        return NULL;
    if (it->at[0].i < it->at[0].node->n)
        return elem(t, it->at[0].node, it->at[0].i);
    do {
        if (++level == t->height)
            return NULL;
    } while (it->at[level].i + 1 == it->at[level].node->n);
    it->at[level].i++;
    for (; level > 0; level--) {
        it->at[level - 1].node = child(t, it->at[level].node, it->at[level].i);
        it->at[level - 1].i = 0;
    }
    return elem(t, it->at[0].node, 0);
}

void btree_descend(struct btree *t, const void *probe, bool strict, struct btree_iter *it)
{
    struct btree_node *n = t->root;
    it->t = t;
    for (uint32_t level = t->height; level-- > 0;) {
        it->at[level].node = n;
        it->at[level].i = level > 0 ? search(t, n, 1, probe, strict) - 1 : search(t, n, 0, probe, strict);
        if (level > 0)
            n = child(t, n, it->at[level].i);
    }
}

void *btree_seek_ge(struct btree *t, const void *probe, struct btree_iter *it)
{
    btree_descend(t, probe, false, it);
    return btree_settle(it);
}

void *btree_seek_gt(struct btree *t, const void *probe, struct btree_iter *it)
{
    btree_descend(t, probe, true, it);
    return btree_settle(it);
}

void *btree_begin(struct btree *t, struct btree_iter *it)
{
    struct btree_node *n = t->root;
    it->t = t;
    for (uint32_t level = t->height; level-- > 0; n = level > 0 ? child(t, n, 0) : n) {
        it->at[level].node = n;
        it->at[level].i = 0;
    }
    return btree_at(it);
}

void *btree_end(struct btree *t, struct btree_iter *it)
{
    struct btree_node *n = t->root;
    it->t = t;
    for (uint32_t level = t->height; level-- > 0;) {
        it->at[level].node = n;
        it->at[level].i = level > 0 ? n->n - 1u : n->n;
        if (level > 0)
            n = child(t, n, n->n - 1u);
    }
    return NULL;
}

void *btree_rbegin(struct btree *t, struct btree_iter *it)
{
    btree_end(t, it);
    return btree_prev(it);
}

void *btree_select(struct btree *t, uint64_t rank, struct btree_iter *it, uint64_t *within)
{
    struct btree_node *n = t->root;
    if (rank >= t->weight)
        return btree_end(t, it);
    it->t = t;
    for (uint32_t level = t->height; level-- > 0;) {
        uint32_t i = 0;
        uint64_t w;
        if (n->leaf && t->type->weight == NULL) {
            i = (uint32_t)rank;
            rank = 0;
        } else {
            while (rank >= (w = n->leaf ? weight_of(t, elem(t, n, i)) : weights(t, n)[i])) {
                rank -= w;
                i++;
            }
        }
        it->at[level].node = n;
        it->at[level].i = i;
        if (level > 0)
            n = child(t, n, i);
    }
    if (within != NULL)
        *within = rank;
    return btree_at(it);
}

void *btree_at(const struct btree_iter *it)
{
    if (it->t->height == 0 || it->at[0].i == it->at[0].node->n)
        return NULL;
    return elem(it->t, it->at[0].node, it->at[0].i);
}

void *btree_next(struct btree_iter *it)
{
    if (btree_at(it) == NULL)
        return NULL;
    it->at[0].i++;
    return btree_settle(it);
}

void *btree_prev(struct btree_iter *it)
{
    struct btree *t = it->t;
    uint32_t level = 0;
    while (level < t->height && it->at[level].i == 0)
        level++;
    if (level == t->height)
        return NULL;
    it->at[level].i--;
    for (; level > 0; level--) {
        struct btree_node *n = child(t, it->at[level].node, it->at[level].i);
        it->at[level - 1].node = n;
        it->at[level - 1].i = n->n - 1u;
    }
    return btree_at(it);
}

uint32_t btree_run(const struct btree_iter *it, bool back)
{
    if (btree_at(it) == NULL)
        return 0;
    return back ? it->at[0].i + 1 : it->at[0].node->n - it->at[0].i;
}

void *btree_leave(struct btree_iter *it, bool back)
{
    if (btree_at(it) == NULL)
        return NULL;
    it->at[0].i = back ? 0 : it->at[0].node->n - 1u;
    return back ? btree_prev(it) : btree_next(it);
}

uint64_t btree_rank(const struct btree_iter *it)
{
    uint64_t rank = 0;
    for (uint32_t level = 0; level < it->t->height; level++)
        rank += weigh(it->t, it->at[level].node, 0, it->at[level].i);
    return rank;
}

static uint64_t rank_of(const struct btree *t, const void *probe, bool strict)
{
    const struct btree_node *n = t->root;
    uint64_t rank = 0;
    for (uint32_t level = t->height; level-- > 0;) {
        uint32_t i = level > 0 ? search(t, n, 1, probe, strict) - 1 : search(t, n, 0, probe, strict);
        rank += weigh(t, n, 0, i);
        if (level > 0)
            n = child(t, n, i);
    }
    return rank;
}

uint64_t btree_rank_lt(const struct btree *t, const void *probe) { return rank_of(t, probe, false); }
uint64_t btree_rank_le(const struct btree *t, const void *probe) { return rank_of(t, probe, true); }

void *btree_first(const struct btree *t)
{
    const struct btree_node *n = t->root;
    if (n == NULL)
        return NULL;
    while (!n->leaf)
        n = child(t, n, 0);
    return elem(t, n, 0);
}

void *btree_last(const struct btree *t)
{
    const struct btree_node *n = t->root;
    if (n == NULL)
        return NULL;
    while (!n->leaf)
        n = child(t, n, n->n - 1u);
    return elem(t, n, n->n - 1u);
}

/* --- the whole --- */

static void each_in(const struct btree *t, const struct btree_node *n, void (*each)(void *arg, const void *elem),
                    void *arg)
{
    for (uint32_t i = 0; i < n->n; i++) {
        if (n->leaf)
            each(arg, elem(t, n, i));
        else
            each_in(t, child(t, n, i), each, arg);
    }
}

void btree_each(const struct btree *t, void (*each)(void *arg, const void *elem), void *arg)
{
    if (t->root != NULL)
        each_in(t, t->root, each, arg);
}

struct check {
    const struct btree *t;
    uint64_t count;
    size_t memory;
    bool right_edge;
};

/* The first element below a node. */
static const void *first_below(const struct btree *t, const struct btree_node *n)
{
    while (!n->leaf)
        n = child(t, n, 0);
    return elem(t, n, 0);
}

/* Adds to the check; returns the weight below. */
static uint64_t check_node(struct check *c, const struct btree_node *n, uint32_t level, bool right_edge)
{
    const struct btree *t = c->t;
    uint64_t sum = 0;
    uint8_t made[64];
    ensure(n->leaf == (level == 0) && n->n > 0 && n->n <= n->cap);
    ensure(n == t->root || n->cap == full_cap(t, n->leaf));
    ensure(n == t->root || (n->leaf && right_edge) || n->n >= n->cap / 3);
    ensure(n->leaf || n->n >= 2);
    c->memory += mem_class(node_bytes(t, n->leaf, n->cap));
    c->count += n->leaf ? n->n : 0;
    for (uint32_t i = 0; !n->leaf && i < n->n; i++) {
        if (i > 0 && t->key_size > 0) {
            make_key(t, made, first_below(t, child(t, n, i)));
            ensure(memcmp(made, key(t, n, i), t->key_size) == 0);
        }
        ensure(check_node(c, child(t, n, i), level - 1, right_edge && i + 1u == n->n) == weights(t, n)[i]);
        sum += weights(t, n)[i];
    }
    return n->leaf ? weigh(t, n, 0, n->n) : sum;
}

static void check_order(const struct btree *t)
{
    struct btree_iter it;
    const void *last = btree_begin((struct btree *)t, &it), *e;
    if (t->type->cmp == NULL || t->type->key != NULL)
        return; /* two elements cannot be compared */
    for (; last != NULL && (e = btree_next(&it)) != NULL; last = e)
        ensure(t->type->cmp(last, e, t->arg) <= 0);
}

void btree_validate(const struct btree *t)
{
    struct check c = {.t = t, .memory = mem_class(sizeof(*t))};
    uint64_t weight = t->root ? check_node(&c, t->root, t->height - 1u, true) : 0;
    ensure(c.count == t->count && weight == t->weight && c.memory == t->memory);
    ensure((t->root == NULL) == (t->height == 0));
    check_order(t);
}
