/* What the files of the list share. */
#ifndef VALUE_LIST_FORM_H
#define VALUE_LIST_FORM_H

#include "core/value/list.h"

#define LIST_QUICK ENC_FIRST_OF_CLASS /* ptr is a struct quicklist */

/* A list opened for changes: a pack is seen as a quicklist of one node. Nothing is owned by the value meanwhile. */
struct list_open {
    struct quicklist *q, one;
};
void list_open(struct list_open *o, const struct value *v);
/* Stores what has become of it, in the form that fits. */
void list_close(struct list_open *o, struct value *v, struct list_limit limit);

uint8_t list_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget);
bool list_reads(uint8_t rdb_type);
int list_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out);

#endif
