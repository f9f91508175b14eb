/* Inner nodes hold up to FAN children and, for each child but the first, a separator: a copy of the smallest element of
 * that child's subtree at the time of the split. Everything in child i is >= separator i and <= separator i + 1. */
#include "core/ds/btree.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

#define FAN 32
#define NODE_BYTES 1008
#define HEIGHT_MAX 16

struct node {
    uint32_t n; /* elements of a leaf, children of an inner node */
    uint32_t leaf;
    uint8_t elems[]; /* leaf: elements; inner: separators (elems[0] unused), then the children */
};

struct btree {
    size_t size; /* of an element */
    btree_cmp *cmp;
    void *arg;
    struct node *root;
    uint64_t count;
    size_t memory;
    uint32_t leaf_cap;
};

/* --- nodes --- */

static size_t node_bytes(const struct btree *t, bool leaf)
{
    return sizeof(struct node) + (leaf ? t->leaf_cap * t->size : FAN * (t->size + sizeof(struct node *)));
}

static struct node *node_new(struct btree *t, bool leaf)
{
    struct node *n = mem_alloc(node_bytes(t, leaf));
    n->n = 0;
    n->leaf = leaf;
    t->memory += mem_class(node_bytes(t, leaf));
    return n;
}

static void node_free(struct btree *t, struct node *n)
{
    t->memory -= mem_class(node_bytes(t, n->leaf));
    mem_free(n, node_bytes(t, n->leaf));
}

static uint8_t *elem(const struct btree *t, const struct node *n, uint32_t i)
{
    return (uint8_t *)n->elems + i * t->size;
}
static struct node **children(const struct btree *t, const struct node *n)
{
    return (struct node **)((uint8_t *)n->elems + FAN * t->size);
}
static uint32_t cap_of(const struct btree *t, const struct node *n) { return n->leaf ? t->leaf_cap : FAN; }

struct btree *btree_new(size_t elem_size, btree_cmp *cmp, void *arg)
{
    struct btree *t = mem_zalloc(sizeof(*t));
    ensure(elem_size >= 8 && elem_size <= 64 && elem_size % 8 == 0);
    t->size = elem_size;
    t->cmp = cmp;
    t->arg = arg;
    t->leaf_cap = (uint32_t)(NODE_BYTES / elem_size);
    t->memory = mem_class(sizeof(*t));
    return t;
}

static void free_tree(struct btree *t, struct node *n)
{
    for (uint32_t i = 0; !n->leaf && i < n->n; i++)
        free_tree(t, children(t, n)[i]);
    node_free(t, n);
}

void btree_free(struct btree *t)
{
    if (t->root != NULL)
        free_tree(t, t->root);
    mem_free(t, sizeof(*t));
}

uint64_t btree_count(const struct btree *t) { return t->count; }
size_t btree_memory(const struct btree *t) { return t->memory; }

/* --- search in a node --- */

/* The first index in [from, n) whose element is greater than `e`. */
static uint32_t upper(const struct btree *t, const struct node *n, uint32_t from, const void *e)
{
    uint32_t lo = from, hi = n->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (t->cmp(elem(t, n, mid), e, t->arg) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first index in [from, n) whose element is not less than `e`. */
static uint32_t lower(const struct btree *t, const struct node *n, uint32_t from, const void *e)
{
    uint32_t lo = from, hi = n->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (t->cmp(elem(t, n, mid), e, t->arg) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* --- moving entries (elements, and children of inner nodes) --- */

static void open_gap(const struct btree *t, struct node *n, uint32_t at)
{
    memmove(elem(t, n, at + 1), elem(t, n, at), (n->n - at) * t->size);
    if (!n->leaf)
        memmove(children(t, n) + at + 1, children(t, n) + at, (n->n - at) * sizeof(struct node *));
    n->n++;
}

static void close_gap(const struct btree *t, struct node *n, uint32_t at)
{
    n->n--;
    memmove(elem(t, n, at), elem(t, n, at + 1), (n->n - at) * t->size);
    if (!n->leaf)
        memmove(children(t, n) + at, children(t, n) + at + 1, (n->n - at) * sizeof(struct node *));
}

/* The last `count` entries of `from` become the first of `to`. */
static void shift_right(const struct btree *t, struct node *from, struct node *to, uint32_t count)
{
    uint32_t at = from->n - count;
    memmove(elem(t, to, count), elem(t, to, 0), to->n * t->size);
    memcpy(elem(t, to, 0), elem(t, from, at), count * t->size);
    if (!from->leaf) {
        memmove(children(t, to) + count, children(t, to), to->n * sizeof(struct node *));
        memcpy(children(t, to), children(t, from) + at, count * sizeof(struct node *));
    }
    from->n -= count;
    to->n += count;
}

/* The first `count` entries of `from` become the last of `to`. */
static void shift_left(const struct btree *t, struct node *from, struct node *to, uint32_t count)
{
    memcpy(elem(t, to, to->n), elem(t, from, 0), count * t->size);
    memmove(elem(t, from, 0), elem(t, from, count), (from->n - count) * t->size);
    if (!from->leaf) {
        memcpy(children(t, to) + to->n, children(t, from), count * sizeof(struct node *));
        memmove(children(t, from), children(t, from) + count, (from->n - count) * sizeof(struct node *));
    }
    from->n -= count;
    to->n += count;
}

/* --- insert --- */

/* Splits full child `i` of `p`. At the right edge the left half keeps as much as it can: ascending inserts stay dense.
 * An inner node must never be left with a single child: a leaf that empties needs a sibling to merge with. */
static void split_child(struct btree *t, struct node *p, uint32_t i, bool right_edge)
{
    struct node *left = children(t, p)[i], *right = node_new(t, left->leaf);
    uint32_t moved = !right_edge ? left->n / 2 : left->leaf ? 1 : FAN / 3;

    shift_right(t, left, right, moved);
    open_gap(t, p, i + 1);
    /* For inner nodes the first entry's separator is the lower bound of its subtree: it moves up, and stays unused. */
    memcpy(elem(t, p, i + 1), elem(t, right, 0), t->size);
    children(t, p)[i + 1] = right;
}

static void grow_root(struct btree *t)
{
    struct node *root = node_new(t, false);
    memset(elem(t, root, 0), 0, t->size);
    children(t, root)[0] = t->root;
    root->n = 1;
    t->root = root;
}

void btree_insert(struct btree *t, const void *e)
{
    bool right_edge = true;
    if (t->root == NULL)
        t->root = node_new(t, true);
    if (t->root->n == cap_of(t, t->root))
        grow_root(t);
    struct node *n = t->root;
    while (!n->leaf) {
        uint32_t i = upper(t, n, 1, e) - 1;
        struct node *child = children(t, n)[i];
        right_edge &= i == n->n - 1;
        if (child->n == cap_of(t, child)) {
            split_child(t, n, i, right_edge && child->n > 2);
            if (t->cmp(elem(t, n, i + 1), e, t->arg) <= 0)
                child = children(t, n)[i + 1];
            else
                right_edge = false;
        }
        n = child;
    }
    uint32_t at = upper(t, n, 0, e);
    open_gap(t, n, at);
    memcpy(elem(t, n, at), e, t->size);
    t->count++;
}

/* --- erase --- */

static void merge_children(struct btree *t, struct node *p, uint32_t i)
{
    struct node *left = children(t, p)[i], *right = children(t, p)[i + 1];
    if (!right->leaf)
        memcpy(elem(t, right, 0), elem(t, p, i + 1), t->size);
    shift_left(t, right, left, right->n);
    node_free(t, right);
    close_gap(t, p, i + 1);
}

static void balance_children(struct btree *t, struct node *p, uint32_t i)
{
    struct node *left = children(t, p)[i], *right = children(t, p)[i + 1];
    uint32_t half = (left->n + right->n) / 2;
    if (!right->leaf)
        memcpy(elem(t, right, 0), elem(t, p, i + 1), t->size);
    if (left->n > half)
        shift_right(t, left, right, left->n - half);
    else
        shift_left(t, right, left, half - left->n);
    memcpy(elem(t, p, i + 1), elem(t, right, 0), t->size);
}

/* Child `i` of `p` may have become too small. */
static void refill(struct btree *t, struct node *p, uint32_t i)
{
    struct node *child = children(t, p)[i];
    if (child->n >= cap_of(t, child) / 3 || p->n < 2)
        return;
    if (i == p->n - 1)
        i--;
    uint32_t both = children(t, p)[i]->n + children(t, p)[i + 1]->n;
    if (both <= cap_of(t, child) * 3 / 4)
        merge_children(t, p, i);
    else
        balance_children(t, p, i);
}

static bool erase_in(struct btree *t, struct node *n, const void *e)
{
    if (n->leaf) {
        uint32_t at = lower(t, n, 0, e);
        if (at == n->n || t->cmp(elem(t, n, at), e, t->arg) != 0)
            return false;
        close_gap(t, n, at);
        return true;
    }
    /* Equal elements may lie on both sides of an equal separator: try each child whose range can hold `e`. */
    for (uint32_t i = lower(t, n, 1, e) - 1; i < n->n; i++) {
        if (i > 0 && t->cmp(elem(t, n, i), e, t->arg) > 0)
            return false;
        if (erase_in(t, children(t, n)[i], e)) {
            refill(t, n, i);
            return true;
        }
    }
    return false;
}

bool btree_erase(struct btree *t, const void *e)
{
    if (t->root == NULL || !erase_in(t, t->root, e))
        return false;
    t->count--;
    while (!t->root->leaf && t->root->n == 1) {
        struct node *old = t->root;
        t->root = children(t, old)[0];
        node_free(t, old);
    }
    if (t->root->n == 0) {
        node_free(t, t->root);
        t->root = NULL;
    }
    return true;
}

/* --- reading --- */

const void *btree_first(const struct btree *t)
{
    const struct node *n = t->root;
    if (n == NULL)
        return NULL;
    while (!n->leaf)
        n = children(t, n)[0];
    return elem(t, n, 0);
}

static void each_in(const struct btree *t, const struct node *n, void (*each)(void *arg, const void *elem), void *arg)
{
    for (uint32_t i = 0; i < n->n; i++) {
        if (n->leaf)
            each(arg, elem(t, n, i));
        else
            each_in(t, children(t, n)[i], each, arg);
    }
}

void btree_each(const struct btree *t, void (*each)(void *arg, const void *elem), void *arg)
{
    if (t->root != NULL)
        each_in(t, t->root, each, arg);
}

/* Returns the height; adds to *count. lo and hi bound the subtree (NULL: unbounded). */
static unsigned check(const struct btree *t, const struct node *n, const void *lo, const void *hi, uint64_t *count)
{
    unsigned height = 0;
    ensure(n->n > 0 && n->n <= cap_of(t, n));
    for (uint32_t i = 0; i < n->n; i++) {
        if (n->leaf || i > 0) {
            const void *before = i > (n->leaf ? 0u : 1u) ? elem(t, n, i - 1) : lo;
            ensure(before == NULL || t->cmp(before, elem(t, n, i), t->arg) <= 0);
            ensure(hi == NULL || t->cmp(elem(t, n, i), hi, t->arg) <= 0);
        }
        if (n->leaf)
            continue;
        unsigned h =
            check(t, children(t, n)[i], i > 0 ? elem(t, n, i) : lo, i + 1 < n->n ? elem(t, n, i + 1) : hi, count);
        ensure(i == 0 || h == height);
        height = h;
    }
    if (n->leaf)
        *count += n->n;
    return height + 1;
}

void btree_validate(const struct btree *t)
{
    uint64_t count = 0;
    if (t->root != NULL)
        ensure(check(t, t->root, NULL, NULL, &count) <= HEIGHT_MAX);
    ensure(count == t->count);
}
