/* Making, changing and freeing; the rules stand in btree_node.h. */
#include "core/ds/btree_node.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

#define SMALLEST_BYTES 64 /* of a leaf that is the root */
#define SMALLEST_FAN 4    /* of an inner node that is the root */

/* --- nodes --- */

static struct btree_node *node_new(struct btree *t, bool leaf, uint16_t cap)
{
    struct btree_node *n = mem_alloc(node_bytes(t, leaf, cap));
    n->n = 0;
    n->cap = cap;
    n->leaf = leaf;
    t->memory += mem_class(node_bytes(t, leaf, cap));
    return n;
}

static void node_free(struct btree *t, struct btree_node *n)
{
    t->memory -= mem_class(node_bytes(t, n->leaf, n->cap));
    mem_free(n, node_bytes(t, n->leaf, n->cap));
}

struct btree *btree_new(const struct btree_type *type, void *arg)
{
    struct btree *t = mem_zalloc(sizeof(*t));
    ensure(type->elem_size >= 8 && type->elem_size <= 64 && type->elem_size % 8 == 0);
    ensure((type->key == NULL) == (type->cmp_key == NULL) && type->key_size <= 64 && type->key_size % 8 == 0);
    t->type = type;
    t->arg = arg;
    t->size = (uint16_t)type->elem_size;
    t->key_size = (uint16_t)(type->key ? type->key_size : type->cmp ? type->elem_size : 0);
    t->fan = (uint16_t)((NODE_BYTES - sizeof(struct btree_node)) / (t->key_size + 16u));
    t->memory = mem_class(sizeof(*t));
    return t;
}

uint64_t btree_count(const struct btree *t) { return t->count; }
uint64_t btree_weight(const struct btree *t) { return t->weight; }
size_t btree_memory(const struct btree *t) { return t->memory; }

/* --- freeing --- */

/* Takes the last leaf (and the inner nodes that lose their last child) away. Returns how many nodes that was. */
static uint32_t free_last_leaf(struct btree *t, void (*drop)(void *arg, void *elem), void *arg)
{
    struct btree_node *path[BTREE_HEIGHT_MAX], *n = t->root;
    uint32_t up = 0, freed = 1;
    for (; !n->leaf; n = child(t, n, n->n - 1u))
        path[up++] = n;
    for (uint32_t i = 0; drop != NULL && i < n->n; i++)
        drop(arg, elem(t, n, i));
    t->count -= n->n;
    node_free(t, n);
    while (up > 0 && --path[up - 1]->n == 0) {
        node_free(t, path[--up]);
        freed++;
    }
    if (up == 0)
        t->root = NULL;
    return freed;
}

bool btree_free_some(struct btree *t, uint32_t max_nodes, void (*drop)(void *arg, void *elem), void *arg)
{
    for (uint32_t freed = 0; t->root != NULL && freed < max_nodes;)
        freed += free_last_leaf(t, drop, arg);
    if (t->root != NULL)
        return false;
    mem_free(t, sizeof(*t));
    return true;
}

void btree_free(struct btree *t)
{
    while (!btree_free_some(t, UINT32_MAX, NULL, NULL))
        ;
}

/* --- moving entries --- */

/* Moves `count` entries inside a node or into another one of the same kind. */
static void copy_entries(const struct btree *t, struct btree_node *to, uint32_t at, const struct btree_node *from,
                         uint32_t i, uint32_t count)
{
    if (to->leaf) {
        memmove(elem(t, to, at), elem(t, from, i), (size_t)count * t->size);
        return;
    }
    memmove(key(t, to, at), key(t, from, i), (size_t)count * t->key_size);
    memmove(children(t, to) + at, children(t, from) + i, count * sizeof(struct btree_node *));
    memmove(weights(t, to) + at, weights(t, from) + i, count * sizeof(uint64_t));
}

static void open_gap(const struct btree *t, struct btree_node *n, uint32_t at)
{
    copy_entries(t, n, at + 1, n, at, n->n - at);
    n->n++;
}

static void close_gap(const struct btree *t, struct btree_node *n, uint32_t at, uint32_t count)
{
    copy_entries(t, n, at, n, at + count, n->n - at - count);
    n->n = (uint16_t)(n->n - count);
}

/* The first entry of an inner child has no separator of its own: it gets its parent's, to be moved with. */
static void fetch_first_key(const struct btree *t, const struct btree_node *p, uint32_t i)
{
    if (!child(t, p, i)->leaf)
        memcpy(key(t, child(t, p, i), 0), key(t, p, i), t->key_size);
}

static void set_first_key(const struct btree *t, struct btree_node *p, uint32_t i)
{
    const struct btree_node *c = child(t, p, i);
    if (t->key_size == 0)
        return;
    if (c->leaf)
        make_key(t, key(t, p, i), elem(t, c, 0));
    else
        memcpy(key(t, p, i), key(t, c, 0), t->key_size);
}

static void move_weight(const struct btree *t, struct btree_node *p, uint32_t from, uint32_t to, uint64_t weight)
{
    weights(t, p)[from] -= weight;
    weights(t, p)[to] += weight;
}

/* The last `count` entries of child `i` become the first of child `i` + 1. */
static void move_right(const struct btree *t, struct btree_node *p, uint32_t i, uint32_t count)
{
    struct btree_node *from = child(t, p, i), *to = child(t, p, i + 1);
    uint32_t at = from->n - count;
    move_weight(t, p, i, i + 1, weigh(t, from, at, count));
    fetch_first_key(t, p, i + 1);
    copy_entries(t, to, count, to, 0, to->n);
    copy_entries(t, to, 0, from, at, count);
    from->n = (uint16_t)at;
    to->n = (uint16_t)(to->n + count);
    set_first_key(t, p, i + 1);
}

/* The first `count` entries of child `i` + 1 become the last of child `i`. */
static void move_left(const struct btree *t, struct btree_node *p, uint32_t i, uint32_t count)
{
    struct btree_node *from = child(t, p, i + 1), *to = child(t, p, i);
    move_weight(t, p, i + 1, i, weigh(t, from, 0, count));
    fetch_first_key(t, p, i + 1);
    copy_entries(t, to, to->n, from, 0, count);
    to->n = (uint16_t)(to->n + count);
    close_gap(t, from, 0, count);
    if (from->n > 0)
        set_first_key(t, p, i + 1);
}

/* --- the iterator's path --- */

/* Moving entries between the children from `first` on leaves the place `offset` entries behind the first of them: finds
 * it again. The place behind the last entry of a leaf is preferred to that before the first of the next. */
static void relocate(struct btree_iter *it, uint32_t level, uint32_t first, uint32_t offset)
{
    const struct btree_node *p = it->at[level + 1].node;
    uint32_t spare = level == 0;
    while (offset >= child(it->t, p, first)->n + spare)
        offset -= child(it->t, p, first++)->n;
    it->at[level + 1].i = first;
    it->at[level].node = child(it->t, p, first);
    it->at[level].i = offset;
}

/* The place's entry counted from the first one of child `first` of the parent. */
static uint32_t offset_from(const struct btree_iter *it, uint32_t level, uint32_t first)
{
    const struct btree_node *p = it->at[level + 1].node;
    uint32_t offset = it->at[level].i;
    for (uint32_t i = first; i < it->at[level + 1].i; i++)
        offset += child(it->t, p, i)->n;
    return offset;
}

/* The leaf has another first element: the separator that names it follows. */
static void first_changed(struct btree_iter *it)
{
    struct btree *t = it->t;
    for (uint32_t level = 1; t->key_size > 0 && level < t->height; level++)
        if (it->at[level].i > 0) {
            make_key(t, key(t, it->at[level].node, it->at[level].i), elem(t, it->at[0].node, 0));
            return;
        }
}

static void add_weight(struct btree_iter *it, uint64_t weight)
{
    for (uint32_t level = 1; level < it->t->height; level++)
        weights(it->t, it->at[level].node)[it->at[level].i] += weight;
    it->t->weight += weight;
}

/* --- insert --- */

static void grow_root(struct btree_iter *it)
{
    struct btree *t = it->t;
    struct btree_node *root = node_new(t, false, SMALLEST_FAN);
    ensure(t->height < BTREE_HEIGHT_MAX);
    memset(key(t, root, 0), 0, t->key_size);
    children(t, root)[0] = t->root;
    weights(t, root)[0] = t->weight;
    root->n = 1;
    t->root = root;
    it->at[t->height].node = root;
    it->at[t->height].i = 0;
    t->height++;
}

/* The root moves into a bigger or smaller node. */
static void resize_root(struct btree_iter *it, uint16_t cap)
{
    struct btree *t = it->t;
    struct btree_node *root = node_new(t, t->root->leaf, cap);
    copy_entries(t, root, 0, t->root, 0, t->root->n);
    root->n = t->root->n;
    node_free(t, t->root);
    t->root = it->at[t->height - 1].node = root;
}

static void enlarge_root(struct btree_iter *it)
{
    struct btree *t = it->t;
    size_t bytes = mem_class(node_bytes(t, t->root->leaf, t->root->cap)) * 2;
    if (!t->root->leaf)
        resize_root(it, (uint16_t)min_u64(t->root->cap * 2u, t->fan));
    else
        resize_root(it, leaf_cap(t, min_u64(bytes, NODE_BYTES)));
}

/* An empty child behind child `i`: no weight, and no separator yet. */
static void add_child(struct btree *t, struct btree_node *p, uint32_t i)
{
    bool leaf = child(t, p, i)->leaf;
    struct btree_node *n = node_new(t, leaf, full_cap(t, leaf));
    open_gap(t, p, i + 1);
    children(t, p)[i + 1] = n;
    weights(t, p)[i + 1] = 0;
}

/* Whether a sibling could take enough entries to be worth the moving; *first is the left one of both. */
static bool sibling_has_room(const struct btree *t, const struct btree_node *p, uint32_t i, uint32_t *first)
{
    uint32_t room = 0;
    if (i > 0) {
        room = child(t, p, i - 1)->cap - child(t, p, i - 1)->n;
        *first = i - 1;
    }
    if (i + 1u < p->n && child(t, p, i + 1)->cap - child(t, p, i + 1)->n > (int)room) {
        room = child(t, p, i + 1)->cap - child(t, p, i + 1)->n;
        *first = i;
    }
    return room > child(t, p, i)->cap / 16u + 1;
}

/* Both children hold the same number afterwards. */
static void balance(const struct btree *t, struct btree_node *p, uint32_t i)
{
    uint32_t left = child(t, p, i)->n, half = (left + child(t, p, i + 1)->n) / 2;
    if (left > half)
        move_right(t, p, i, left - half);
    else if (left < half)
        move_left(t, p, i, half - left);
}

/* The only child becomes two. */
static void split_one(struct btree *t, struct btree_node *p)
{
    add_child(t, p, 0);
    balance(t, p, 0);
}

/* Two full children become three. */
static void split_two(struct btree *t, struct btree_node *p, uint32_t i)
{
    add_child(t, p, i);
    move_right(t, p, i, child(t, p, i)->n / 3u);
    move_left(t, p, i + 1, child(t, p, i + 2)->n / 3u);
}

/* Full child `i` and both its siblings become four. */
static void split_three(struct btree *t, struct btree_node *p, uint32_t i)
{
    add_child(t, p, i);
    move_right(t, p, i, child(t, p, i)->n / 2u);
    move_left(t, p, i + 1, child(t, p, i + 2)->n / 4u);
    move_right(t, p, i - 1, child(t, p, i - 1)->n / 4u);
}

static bool at_right_edge(const struct btree_iter *it)
{
    for (uint32_t level = 1; level < it->t->height; level++)
        if (it->at[level].i + 1 != it->at[level].node->n)
            return false;
    return it->at[0].i == it->at[0].node->n;
}

/* A new leaf behind the last one, and the place in it. */
static void new_last_leaf(struct btree_iter *it)
{
    add_child(it->t, it->at[1].node, it->at[1].i);
    it->at[1].i++;
    it->at[0].node = child(it->t, it->at[1].node, it->at[1].i);
    it->at[0].i = 0;
}

/* A full node gives entries to a sibling, or, if its parent has room, to a new one. */
static void spread(struct btree_iter *it, uint32_t level)
{
    struct btree *t = it->t;
    struct btree_node *p = it->at[level + 1].node;
    uint32_t i = it->at[level + 1].i, first, offset;
    if (sibling_has_room(t, p, i, &first)) {
        offset = offset_from(it, level, first);
        balance(t, p, first);
    } else {
        first = i - (i > 0);
        offset = offset_from(it, level, first);
        if (i > 0 && i + 1 < p->n)
            split_three(t, p, i);
        else if (p->n > 1)
            split_two(t, p, first);
        else
            split_one(t, p);
    }
    relocate(it, level, first, offset);
}

/* The node at `level` gets room for one more entry at the iterator's place, which may move to another node. */
static void make_room(struct btree_iter *it, uint32_t level)
{
    struct btree *t = it->t;
    uint32_t first;
    if (it->at[level].node->n < it->at[level].node->cap)
        return;
    if (level + 1 == t->height && t->root->cap < full_cap(t, t->root->leaf)) {
        enlarge_root(it);
        return;
    }
    if (level + 1 == t->height)
        grow_root(it);
    if (level == 0 && at_right_edge(it)) {
        make_room(it, 1);
        new_last_leaf(it);
        return;
    }
    /* Room above may come with other siblings. */
    if (!sibling_has_room(t, it->at[level + 1].node, it->at[level + 1].i, &first))
        make_room(it, level + 1);
    spread(it, level);
}

/* Puts the element at the iterator's place, which may be behind the last element of any leaf. */
static void put(struct btree_iter *it, const void *e)
{
    struct btree *t = it->t;
    if (t->height == 0) {
        uint16_t cap = leaf_cap(t, SMALLEST_BYTES);
        t->root = it->at[0].node = node_new(t, true, cap ? cap : 1);
        it->at[0].i = 0;
        t->height = 1;
    }
    make_room(it, 0);
    struct btree_node *leaf = it->at[0].node;
    open_gap(t, leaf, it->at[0].i);
    memcpy(elem(t, leaf, it->at[0].i), e, t->size);
    if (it->at[0].i == 0)
        first_changed(it);
    add_weight(it, weight_of(t, e));
    t->count++;
}

void btree_insert_at(struct btree_iter *it, const void *e) { put(it, e); }

void btree_insert(struct btree *t, const void *e, const void *probe)
{
    struct btree_iter it;
    btree_descend(t, probe, true, &it);
    put(&it, e);
}

void btree_append(struct btree *t, const void *e)
{
    struct btree_iter it;
    btree_end(t, &it);
    put(&it, e);
}

/* --- erase --- */

/* The node at `level` may have become too small. */
static void refill(struct btree_iter *it, uint32_t level)
{
    struct btree *t = it->t;
    struct btree_node *p = it->at[level + 1].node, *n = it->at[level].node;
    uint32_t i = it->at[level + 1].i;
    if (n->n >= n->cap / 3)
        return;
    if (i == p->n - 1u)
        i--;
    uint32_t offset = offset_from(it, level, i), both = child(t, p, i)->n + child(t, p, i + 1)->n;
    if (both <= n->cap * 3u / 4) {
        move_left(t, p, i, child(t, p, i + 1)->n);
        node_free(t, child(t, p, i + 1));
        close_gap(t, p, i + 1, 1);
    } else {
        balance(t, p, i);
    }
    relocate(it, level, i, offset);
}

static void shrink_root(struct btree_iter *it)
{
    struct btree *t = it->t;
    while (t->height > 1 && t->root->n == 1) {
        struct btree_node *old = t->root;
        t->root = child(t, old, 0);
        t->height--;
        node_free(t, old);
    }
    if (t->root->n == 0) {
        node_free(t, t->root);
        t->root = NULL;
        t->height = 0;
    } else if (t->height == 1 && t->root->n <= t->root->cap / 4) {
        size_t bytes = mem_class(node_bytes(t, true, t->root->cap)) / 2;
        if (bytes >= SMALLEST_BYTES && leaf_cap(t, bytes) >= t->root->n && leaf_cap(t, bytes) > 0)
            resize_root(it, leaf_cap(t, bytes));
    }
}

/* Removes `count` elements of the iterator's leaf. */
static void erase_here(struct btree_iter *it, uint32_t count)
{
    struct btree *t = it->t;
    add_weight(it, 0 - weigh(t, it->at[0].node, it->at[0].i, count));
    t->count -= count;
    close_gap(t, it->at[0].node, it->at[0].i, count);
    bool first = it->at[0].i == 0;
    if (t->height > 1)
        refill(it, 0);
    /* Before an inner node moves: it takes the separator along. */
    if (first && t->count > 0)
        first_changed(it);
    for (uint32_t level = 1; level + 1 < t->height; level++)
        refill(it, level);
    shrink_root(it);
}

uint64_t btree_erase_n(struct btree_iter *it, uint64_t n, void (*drop)(void *arg, void *elem), void *arg)
{
    uint64_t left = n;
    while (left > 0 && btree_settle(it) != NULL) {
        uint32_t here = it->at[0].node->n - it->at[0].i, count = left < here ? (uint32_t)left : here;
        for (uint32_t i = 0; drop != NULL && i < count; i++)
            drop(arg, elem(it->t, it->at[0].node, it->at[0].i + i));
        erase_here(it, count);
        left -= count;
    }
    btree_settle(it);
    return n - left;
}

void *btree_erase_at(struct btree_iter *it)
{
    ensure(btree_at(it) != NULL);
    erase_here(it, 1);
    return btree_settle(it);
}

bool btree_erase(struct btree *t, const void *probe, void *out)
{
    struct btree_iter it;
    void *e = btree_seek_ge(t, probe, &it);
    if (e == NULL || t->type->cmp(e, probe, t->arg) != 0)
        return false;
    if (out != NULL)
        memcpy(out, e, t->size);
    erase_here(&it, 1);
    return true;
}

void btree_update(struct btree_iter *it, const void *e)
{
    void *old = btree_at(it);
    ensure(old != NULL);
    add_weight(it, weight_of(it->t, e) - weight_of(it->t, old));
    memcpy(old, e, it->t->size);
    if (it->at[0].i == 0)
        first_changed(it);
}
