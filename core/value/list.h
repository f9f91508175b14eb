/* Lists of strings, in two forms:
 *
 *   listpack    one pack (core/ds/pack.h), within list-max-listpack-size
 *   quicklist   packs of that size in a row (core/value/quicklist.h)
 *
 * A list that outgrows the pack becomes a quicklist, and a pack again when half the limit is enough. Items are
 * addressed by their index from the head. Knows no entries, no replies. Lists are owned like any value. */
#ifndef VALUE_LIST_H
#define VALUE_LIST_H

#include "core/value/quicklist.h"
#include "core/value/value.h"

extern const struct value_class list_class;

uint64_t list_count(const struct value *v); /* O(1) */

/* --- reading --- */

/* Items in order, borrowed until the list changes, and it must not change meanwhile:
 *     struct list_iter it;
 *     struct pack_item item;
 *     list_iter_init(&it, &v, 0, false);
 *     while (list_iter_next(&it, &item)) ...
 * O(log n + a node) to begin. */
struct list_iter {
    const uint8_t *pack; /* NULL: before a node, or done */
    uint32_t at;         /* the entry that is next */
    bool back;
    struct blob *blob; /* holds the item just given; NULL if it lies in a pack */
    struct quicklist_cursor node;
};
/* From the item at `index` towards the tail or (`back`) the head; nothing if index >= count. Borrows `v`. */
void list_iter_init(struct list_iter *it, const struct value *v, uint64_t index, bool back);
/* What comes behind a pack, or first of all. */
bool list_iter_next_node(struct list_iter *it, struct pack_item *item);
static inline bool list_iter_next(struct list_iter *it, struct pack_item *item)
{
    const uint8_t *p = it->pack;
    it->blob = NULL;
    if (p == NULL || it->at == 0 || p[it->at] == PACK_END)
        return list_iter_next_node(it, item);
    if (likely(!it->back)) {
        *item = pack_step(p, &it->at);
    } else {
        *item = pack_get(p, it->at);
        it->at = pack_prev(p, it->at);
    }
    return true;
}

/* --- changing; the list may be empty before and afterwards --- */

void list_push(struct value *v, enum list_end end, const struct list_item *item, const struct value_limits *limits);
/* The item will have index `index` <= count. O(log n + a node), as are all that follow. */
void list_insert(struct value *v, uint64_t index, const struct list_item *item, const struct value_limits *limits);
void list_set(struct value *v, uint64_t index, const struct list_item *item, const struct value_limits *limits);
/* `n` items from `index` on, which must exist. At the ends O(1) for one. */
void list_erase(struct value *v, uint64_t index, uint64_t n, const struct value_limits *limits);
/* Removes the first `most` items that equal `s`, or (`back`) the last ones; returns how many there were. O(n). */
uint64_t list_remove(struct value *v, struct slice s, uint64_t most, bool back, const struct value_limits *limits);

/* Aborts if an invariant is broken (tests, debug builds). O(n). */
void list_validate(const struct value *v);

#endif
