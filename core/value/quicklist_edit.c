/* Changes of a quicklist at any index: a node is taken out, changed, perhaps divided, and put back. */
#include "core/base/panic.h"
#include "core/value/quicklist.h"
#include "core/value/quicklist_node.h"

/* --- one item put, or in the place of another --- */

/* The first `within` items and the others, of which the first `erase` go. Those without items are no nodes. */
static void divide(struct list_node *n, uint32_t within, uint32_t erase, struct list_node *left,
                   struct list_node *right)
{
    *left = *right = (struct list_node){0};
    if (n->plain) {
        if (erase > 0)
            list_node_free(n);
        else
            *right = *n;
        return;
    }
    left->pack = pack_split(n->pack, pack_at(n->pack, within), &right->pack);
    left->count = within;
    right->pack = pack_erase(right->pack, pack_first(right->pack), erase);
    right->count = n->count - within - erase;
    if (left->count == 0)
        pack_free(left->pack);
    if (right->count == 0)
        pack_free(right->pack);
}

static void put_between(struct quicklist_cursor *c, uint32_t within, uint32_t erase, const struct list_item *item,
                        struct list_limit limit)
{
    struct list_node old = quicklist_lift(c), left, right, parts[3];
    uint32_t n = 0;
    divide(&old, within, erase, &left, &right);
    if (left.count > 0)
        parts[n++] = left;
    parts[n++] = list_node_of(item, limit);
    if (right.count > 0)
        parts[n++] = right;
    quicklist_put(c, parts, n);
}

static void splice(struct quicklist *q, uint64_t index, uint32_t erase, const struct list_item *item,
                   struct list_limit limit)
{
    struct quicklist_cursor c;
    uint32_t within, at = 0, less = 0;
    quicklist_seek(q, index, &c, &within);
    const struct list_node *n = quicklist_node(&c);
    if (!n->plain) {
        at = pack_at(n->pack, within);
        less = erase > 0 ? pack_next(n->pack, at) - at : 0;
    }
    if (!list_item_plain(item, limit) && list_node_takes(n, less, erase, item, limit)) {
        struct pack_item put = pack_str(item->bytes);
        struct list_node changed = quicklist_lift(&c);
        changed.pack = pack_splice(changed.pack, at, erase, &put, 1);
        changed.count += 1 - erase;
        quicklist_put(&c, &changed, 1);
    } else {
        put_between(&c, within, erase, item, limit);
    }
    quicklist_tidy(q, index, limit);
}

void quicklist_insert(struct quicklist *q, uint64_t index, const struct list_item *item, struct list_limit limit)
{
    ensure(index <= q->count);
    if (index == 0)
        quicklist_push(q, LIST_HEAD, item, limit);
    else if (index == q->count)
        quicklist_push(q, LIST_TAIL, item, limit);
    else
        splice(q, index, 0, item, limit);
}

void quicklist_set(struct quicklist *q, uint64_t index, const struct list_item *item, struct list_limit limit)
{
    ensure(index < q->count);
    splice(q, index, 1, item, limit);
}

/* --- erasing --- */

static void cut(struct list_node *n, uint32_t within, uint32_t count)
{
    if (count == n->count) {
        list_node_free(n);
        return;
    }
    n->pack = pack_erase_range(n->pack, within, count);
    n->count -= count;
}

void quicklist_erase(struct quicklist *q, uint64_t index, uint64_t n, struct list_limit limit)
{
    ensure(index <= q->count && n <= q->count - index);
    while (n > 0) {
        struct quicklist_cursor c;
        uint32_t within;
        quicklist_seek(q, index, &c, &within);
        struct list_node node = quicklist_lift(&c);
        uint32_t count = (uint32_t)min_u64(n, node.count - within);
        cut(&node, within, count);
        quicklist_put(&c, &node, node.count > 0);
        n -= count;
    }
    quicklist_tidy(q, index, limit);
}

/* --- erasing by value --- */

/* How many entries from `at` on equal `s`, at most `most`. */
static uint32_t run_length(const uint8_t *p, uint32_t at, struct slice s, uint64_t most)
{
    uint32_t n = 0;
    for (; n < most && p[at] != PACK_END && pack_equals(pack_get(p, at), s); at = pack_next(p, at))
        n++;
    return n;
}

/* From the entry with index `within` on. */
static uint32_t remove_forward(uint8_t **p, uint32_t within, struct slice s, uint64_t most)
{
    uint32_t removed = 0, at = pack_at(*p, within);
    while (removed < most && (*p)[at] != PACK_END && (at = pack_find(*p, at, s, 0)) != 0) {
        uint32_t n = run_length(*p, at, s, most - removed);
        *p = pack_erase(*p, at, n);
        removed += n;
    }
    return removed;
}

/* From the entry with index `within` back to the first. */
static uint32_t remove_back(uint8_t **p, uint32_t within, struct slice s, uint64_t most)
{
    uint32_t removed = 0;
    for (uint32_t at = pack_at(*p, within), before; at != 0 && removed < most; at = before) {
        before = pack_prev(*p, at);
        if (pack_equals(pack_get(*p, at), s)) {
            *p = pack_erase(*p, at, 1);
            removed++;
        }
    }
    return removed;
}

static uint32_t remove_from_node(struct list_node *n, uint32_t within, struct slice s, uint64_t most, bool back)
{
    uint32_t removed;
    if (n->plain) {
        removed = slice_eq(blob_slice(n->blob), s);
    } else {
        removed = (back ? remove_back : remove_forward)(&n->pack, within, s, most);
    }
    if (removed == n->count)
        list_node_free(n);
    else
        n->count -= removed;
    return removed;
}

/* What is left of the node begins at `*start`, and has *left items. */
static uint32_t remove_at(struct quicklist *q, uint64_t index, struct slice s, uint64_t most, bool back,
                          struct list_limit limit, uint64_t *start, uint32_t *left)
{
    struct quicklist_cursor c;
    uint32_t within;
    quicklist_seek(q, index, &c, &within);
    struct list_node n = quicklist_lift(&c);
    uint32_t removed = remove_from_node(&n, within, s, most, back);
    *start = index - within;
    *left = n.count;
    quicklist_put(&c, &n, n.count > 0);
    if (removed > 0)
        quicklist_tidy(q, *start, limit);
    return removed;
}

uint64_t quicklist_remove(struct quicklist *q, struct slice s, uint64_t most, bool back, struct list_limit limit)
{
    uint64_t removed = 0, start;
    uint32_t left;
    if (back) {
        for (uint64_t end = q->count; end > 0 && removed < most; end = start)
            removed += remove_at(q, end - 1, s, most - removed, true, limit, &start, &left);
    } else {
        for (uint64_t from = 0; from < q->count && removed < most; from = start + left)
            removed += remove_at(q, from, s, most - removed, false, limit, &start, &left);
    }
    return removed;
}
