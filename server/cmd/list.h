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

/* Takes `n` items, which must be there, off an end of the list and replies them; what it did is not recorded yet. */
void list_pop(struct call *c, struct place *p, enum list_end end, uint64_t n);
/* Records it: LPOP or RPOP of `n`. */
void effect_list_pop(struct call *c, struct slice key, enum list_end end, uint64_t n);
/* LMOVE of argv[1] to argv[2], with its reply. False if there is no source: then nothing was done or replied. */
bool list_move(struct call *c, enum list_end from, enum list_end to);
/* LEFT or RIGHT; replies on failure. */
bool arg_list_end(struct call *c, struct slice arg, enum list_end *out);
/* The arguments of LMPOP from the number of keys, argv[at], on. */
struct list_mpop {
    int64_t keys, count;
    int first; /* the first key's argument */
    enum list_end end;
};
bool list_mpop_options(struct call *c, int at, struct list_mpop *o);
/* Pops from the first of the keys that exists: false if none does, and nothing was replied then. */
bool list_mpop(struct call *c, const struct list_mpop *o);

#endif
