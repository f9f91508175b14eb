/* What the two files of the quicklist share. */
#ifndef VALUE_QUICKLIST_NODE_H
#define VALUE_QUICKLIST_NODE_H

#include "core/value/quicklist.h"

/* A node of this item alone. */
struct list_node list_node_of(const struct list_item *item, struct list_limit limit);
/* Whether the item has to be a node of its own. */
bool list_item_plain(const struct list_item *item, struct list_limit limit);
/* Whether the pack, `less` bytes and `fewer` items smaller, has room for the item. */
bool list_node_takes(const struct list_node *n, uint32_t less, uint32_t fewer, const struct list_item *item,
                     struct list_limit limit);

/* Takes the node at the cursor out, to be changed; it has to be followed by quicklist_put. */
struct list_node quicklist_lift(const struct quicklist_cursor *c);
/* Puts these nodes (n <= 3), which change owner, in the place of the one that was taken out. The cursor is spent. */
void quicklist_put(struct quicklist_cursor *c, const struct list_node *nodes, uint32_t n);
/* Joins the node that holds this index (if it is the count: the last) with its neighbours if together they are small.
 */
void quicklist_tidy(struct quicklist *q, uint64_t index, struct list_limit limit);

#endif
