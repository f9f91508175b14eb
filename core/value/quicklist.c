/* Nodes, cursors, the ends, and joining; changes in the middle are in quicklist_edit.c. */
#include "core/value/quicklist.h"

#include "core/base/panic.h"
#include "core/value/quicklist_node.h"

#define COUNTED_BYTES 8192 /* of a node that is limited by its number of items */
#define HEAD_BYTES 2048    /* about: of a head that comes from the middle */

struct list_limit list_limit_of(int max_listpack_size)
{
    if (max_listpack_size > 0)
        return (struct list_limit){.bytes = COUNTED_BYTES, .items = (uint32_t)max_listpack_size};
    if (max_listpack_size == 0)
        return (struct list_limit){.bytes = COUNTED_BYTES, .items = 1};
    int step = max_listpack_size < -5 ? 5 : -max_listpack_size;
    return (struct list_limit){.bytes = 2048u << step, .items = UINT32_MAX};
}

/* --- nodes --- */

static uint64_t node_weight(const void *elem, void *arg)
{
    (void)arg;
    return ((const struct list_node *)elem)->count;
}

static const struct btree_type middle_type = {.elem_size = sizeof(struct list_node), .weight = node_weight};

static void gain(struct quicklist *q, const struct list_node *n)
{
    q->count += n->count;
    q->memory += list_node_memory(n);
}

static void lose(struct quicklist *q, const struct list_node *n)
{
    q->count -= n->count;
    q->memory -= list_node_memory(n);
}

void list_node_free(struct list_node *n)
{
    if (n->count == 0)
        return;
    if (n->plain)
        blob_unref(n->blob);
    else
        pack_free(n->pack);
    n->count = 0;
}

bool list_item_plain(const struct list_item *item, struct list_limit limit)
{
    if (item->bytes.len <= PACK_TEXT_MAX) /* it may be an integer */
        return false;
    return (limit.plain_from > 0 && item->bytes.len >= limit.plain_from) ||
           PACK_EMPTY_BYTES + pack_cost(pack_str(item->bytes)) > limit.bytes;
}

struct list_node list_node_of(const struct list_item *item, struct list_limit limit)
{
    if (!list_item_plain(item, limit))
        return (struct list_node){.pack = pack_append(pack_new(), pack_str(item->bytes)), .count = 1};
    struct blob *b = item->blob != NULL ? blob_ref(item->blob) : blob_copy(item->bytes, item->bytes.len);
    return (struct list_node){.blob = b, .count = 1, .plain = true};
}

bool list_node_takes(const struct list_node *n, uint32_t less, uint32_t fewer, const struct list_item *item,
                     struct list_limit limit)
{
    if (n->plain || n->count - fewer >= limit.items || (limit.plain_from > 0 && list_item_plain(item, limit)))
        return false;
    uint64_t bytes = pack_bytes(n->pack) - less;
    return bytes + pack_cost_max(1, item->bytes.len) <= limit.bytes ||
           bytes + pack_cost(pack_str(item->bytes)) <= limit.bytes;
}

/* --- the middle --- */

static void middle_insert(struct quicklist *q, enum list_end end, const struct list_node *n)
{
    struct btree_iter it;
    if (q->middle == NULL)
        q->middle = btree_new(&middle_type, NULL);
    if (end == LIST_HEAD)
        btree_begin(q->middle, &it);
    else
        btree_end(q->middle, &it);
    btree_insert_at(&it, n);
}

static struct list_node take_last(struct quicklist *q)
{
    struct btree_iter it;
    struct list_node n = *(struct list_node *)btree_rbegin(q->middle, &it);
    btree_erase_at(&it);
    return n;
}

/* Each pop from the head moves what is behind it in its pack: of a large pack only the front becomes the head. */
static struct list_node take_first(struct quicklist *q)
{
    struct btree_iter it;
    struct list_node n = *(struct list_node *)btree_begin(q->middle, &it), rest = n;
    uint32_t items = n.plain ? 0 : (uint32_t)((uint64_t)n.count * HEAD_BYTES / pack_bytes(n.pack));
    if (items == 0 || items > n.count / 2) {
        btree_erase_at(&it);
        return n;
    }
    lose(q, &n);
    n.pack = pack_split(n.pack, pack_at(n.pack, items), &rest.pack);
    n.count = items;
    rest.count -= items;
    gain(q, &n);
    gain(q, &rest);
    btree_update(&it, &rest);
    return n;
}

/* Head and tail are there again as far as there are nodes for them. */
static void fill_ends(struct quicklist *q)
{
    if (q->head.count == 0 && quicklist_middle(q) > 0)
        q->head = take_first(q);
    if (q->tail.count == 0 && quicklist_middle(q) > 0)
        q->tail = take_last(q);
    if (q->head.count == 0 && q->tail.count > 0) {
        q->head = q->tail;
        q->tail.count = 0;
    }
}

/* The place for a new node at an end, all others having moved inwards. */
static struct list_node *open_end(struct quicklist *q, enum list_end end)
{
    if (q->head.count == 0)
        return &q->head;
    if (q->tail.count == 0) {
        if (end == LIST_TAIL)
            return &q->tail;
        q->tail = q->head;
        return &q->head;
    }
    struct list_node *n = end == LIST_HEAD ? &q->head : &q->tail;
    middle_insert(q, end, n);
    return n;
}

void quicklist_append_node(struct quicklist *q, struct list_node n)
{
    *open_end(q, LIST_TAIL) = n;
    gain(q, &n);
}

static void free_elem(void *arg, void *elem)
{
    (void)arg;
    list_node_free(elem);
}

void quicklist_clear(struct quicklist *q)
{
    list_node_free(&q->head);
    list_node_free(&q->tail);
    while (q->middle != NULL && !btree_free_some(q->middle, UINT32_MAX, free_elem, NULL))
        ;
    *q = (struct quicklist){0};
}

/* --- cursors --- */

void quicklist_seek(struct quicklist *q, uint64_t index, struct quicklist_cursor *c, uint32_t *within)
{
    uint64_t in_middle = q->middle != NULL ? btree_weight(q->middle) : 0, rest;
    c->q = q;
    *within = (uint32_t)index;
    c->where = AT_HEAD;
    if (index < q->head.count)
        return;
    index -= q->head.count;
    if (index < in_middle) {
        btree_select(q->middle, index, &c->it, &rest);
        *within = (uint32_t)rest;
        c->where = AT_MIDDLE;
        return;
    }
    index -= in_middle;
    *within = (uint32_t)index;
    c->where = index < q->tail.count ? AT_TAIL : AT_END;
}

struct list_node *quicklist_node(const struct quicklist_cursor *c)
{
    switch (c->where) {
    case AT_HEAD:
        return &c->q->head;
    case AT_MIDDLE:
        return btree_at(&c->it);
    case AT_TAIL:
        return &c->q->tail;
    default:
        return NULL;
    }
}

static void step_on(struct quicklist_cursor *c)
{
    struct quicklist *q = c->q;
    if (c->where == AT_HEAD && quicklist_middle(q) > 0) {
        btree_begin(q->middle, &c->it);
        c->where = AT_MIDDLE;
    } else if (c->where == AT_TAIL || q->tail.count == 0) {
        c->where = AT_END;
    } else if (c->where != AT_MIDDLE || btree_next(&c->it) == NULL) {
        c->where = AT_TAIL;
    }
}

static void step_back(struct quicklist_cursor *c)
{
    struct quicklist *q = c->q;
    if (c->where == AT_TAIL && quicklist_middle(q) > 0) {
        btree_rbegin(q->middle, &c->it);
        c->where = AT_MIDDLE;
    } else if (c->where == AT_HEAD) {
        c->where = AT_END;
    } else if (c->where != AT_MIDDLE || btree_prev(&c->it) == NULL) {
        c->where = AT_HEAD;
    }
}

bool quicklist_step(struct quicklist_cursor *c, bool back)
{
    if (c->where == AT_END)
        return false;
    (back ? step_back : step_on)(c);
    return c->where != AT_END;
}

/* --- the ends --- */

void quicklist_push(struct quicklist *q, enum list_end end, const struct list_item *item, struct list_limit limit)
{
    struct list_node *n = end == LIST_TAIL && q->tail.count > 0 ? &q->tail : &q->head;
    if (n->count > 0 && list_node_takes(n, 0, 0, item, limit)) {
        size_t before = pack_memory(n->pack);
        n->pack =
            pack_insert(n->pack, end == LIST_HEAD ? pack_first(n->pack) : pack_end(n->pack), pack_str(item->bytes));
        q->memory += pack_memory(n->pack) - before;
        n->count++;
        q->count++;
        return;
    }
    n = open_end(q, end);
    *n = list_node_of(item, limit);
    gain(q, n);
}

void quicklist_drop(struct quicklist *q, enum list_end end)
{
    struct list_node *n = end == LIST_TAIL && q->tail.count > 0 ? &q->tail : &q->head;
    ensure(n->count > 0);
    if (n->count == 1) {
        lose(q, n);
        list_node_free(n);
        fill_ends(q);
        return;
    }
    size_t before = pack_memory(n->pack);
    n->pack = pack_erase(n->pack, end == LIST_HEAD ? pack_first(n->pack) : pack_last(n->pack), 1);
    q->memory -= before - pack_memory(n->pack);
    n->count--;
    q->count--;
}

/* --- putting nodes in the place of others --- */

/* What stays in its place until quicklist_put is a copy whose contents are gone. */
struct list_node quicklist_lift(const struct quicklist_cursor *c)
{
    struct list_node n = *quicklist_node(c);
    lose(c->q, &n);
    return n;
}

static void put_at_head(struct quicklist *q, const struct list_node *nodes, uint32_t n)
{
    q->head = n > 0 ? nodes[0] : (struct list_node){0};
    if (n > 1 && q->tail.count == 0)
        q->tail = nodes[--n];
    while (n > 1)
        middle_insert(q, LIST_HEAD, &nodes[--n]);
}

static void put_at_tail(struct quicklist *q, const struct list_node *nodes, uint32_t n)
{
    for (uint32_t i = 0; i + 1 < n; i++)
        middle_insert(q, LIST_TAIL, &nodes[i]);
    q->tail = n > 0 ? nodes[n - 1] : (struct list_node){0};
}

static void put_in_middle(struct btree_iter *it, const struct list_node *nodes, uint32_t n)
{
    if (n == 0)
        btree_erase_at(it);
    else
        btree_update(it, &nodes[0]);
    for (uint32_t i = 1; i < n; i++) {
        btree_next(it);
        btree_insert_at(it, &nodes[i]);
    }
}

void quicklist_put(struct quicklist_cursor *c, const struct list_node *nodes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        gain(c->q, &nodes[i]);
    if (c->where == AT_HEAD)
        put_at_head(c->q, nodes, n);
    else if (c->where == AT_TAIL)
        put_at_tail(c->q, nodes, n);
    else
        put_in_middle(&c->it, nodes, n);
    fill_ends(c->q);
}

/* --- joining --- */

static bool joinable(const struct list_node *a, const struct list_node *b, struct list_limit limit)
{
    return !a->plain && !b->plain && (uint64_t)a->count + b->count <= limit.items &&
           (uint64_t)pack_bytes(a->pack) + pack_bytes(b->pack) <= limit.bytes / 4 * 3;
}

/* Joins the node that begins at `index` with the one before it. */
static void join_at(struct quicklist *q, uint64_t index, struct list_limit limit)
{
    struct quicklist_cursor a, b;
    uint32_t within;
    if (index == 0 || index >= q->count)
        return;
    quicklist_seek(q, index - 1, &a, &within);
    b = a;
    quicklist_step(&b, false);
    if (!joinable(quicklist_node(&a), quicklist_node(&b), limit))
        return;
    struct list_node right = quicklist_lift(&b);
    quicklist_put(&b, NULL, 0);
    quicklist_seek(q, index - 1, &a, &within);
    struct list_node left = quicklist_lift(&a);
    left.pack = pack_join(left.pack, right.pack);
    left.count += right.count;
    quicklist_put(&a, &left, 1);
}

void quicklist_tidy(struct quicklist *q, uint64_t index, struct list_limit limit)
{
    struct quicklist_cursor c;
    uint32_t within;
    if (q->count == 0)
        return;
    index -= index == q->count;
    quicklist_seek(q, index, &c, &within);
    uint64_t start = index - within, end = start + quicklist_node(&c)->count;
    join_at(q, end, limit);
    join_at(q, start, limit);
}

bool quicklist_fits_pack(struct quicklist *q, struct list_limit limit)
{
    bool two = q->tail.count > 0;
    if (quicklist_middle(q) > 0 || q->head.count == 0 || q->head.plain || (two && q->tail.plain))
        return false;
    uint64_t bytes = (uint64_t)pack_bytes(q->head.pack) + (two ? pack_bytes(q->tail.pack) : 0);
    if (bytes > limit.bytes / 2 || q->count > limit.items / 2)
        return false;
    if (two) {
        q->head.pack = pack_join(q->head.pack, q->tail.pack);
        q->head.count += q->tail.count;
        q->tail.count = 0;
        q->memory = pack_memory(q->head.pack);
    }
    return true;
}

/* --- validation --- */

static void check_node(const struct list_node *n, struct quicklist *sum)
{
    ensure(n->count > 0);
    if (n->plain)
        ensure(n->count == 1);
    else
        ensure(pack_validate(pack_slice(n->pack)) && pack_count(n->pack) == n->count);
    gain(sum, n);
}

static void check_elem(void *arg, const void *elem) { check_node(elem, arg); }

void quicklist_validate(const struct quicklist *q)
{
    struct quicklist sum = {0};
    if (q->head.count > 0)
        check_node(&q->head, &sum);
    if (q->middle != NULL) {
        btree_validate(q->middle);
        btree_each(q->middle, check_elem, &sum);
    }
    if (q->tail.count > 0)
        check_node(&q->tail, &sum);
    ensure(q->head.count > 0 || q->count == 0);
    ensure(q->tail.count > 0 || quicklist_middle(q) == 0);
    ensure(sum.count == q->count && sum.memory == q->memory);
}
