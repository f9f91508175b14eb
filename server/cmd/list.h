/* What the files of the list commands share. */
#ifndef SERVER_CMD_LIST_H
#define SERVER_CMD_LIST_H

#include "core/value/list.h"
#include "server/reply.h"

/* The item that `it` has just given; a large one is sent by reference. */
void list_reply_item(struct call *c, const struct list_iter *it, struct pack_item item);
/* `n` items from `index` on, towards the tail or (`back`) the head. */
void list_reply_range(struct call *c, const struct value *v, uint64_t index, uint64_t n, bool back);
/* An argument to be put into a list; one that was received into a blob of its own is kept without being copied. */
struct list_item list_item_arg(const struct call *c, struct slice arg);

#endif
