/* Elements of a list, set or sorted set, to be put into an order of their own: the data part of SORT. */
#ifndef VALUE_SORT_H
#define VALUE_SORT_H

#include "core/value/value.h"

struct sort_item {
    struct slice text; /* the element */
    struct slice by;   /* what it is compared by with SORT_BY; p is NULL: nothing, which comes first */
    double score;      /* what it is compared by without SORT_ALPHA, not NaN */
    uint64_t at;       /* where it was: what else is alike stays in order */
};

struct sort_vector {
    struct sort_item *at;
    uint64_t n, cap;
    struct sort_text *texts; /* what is not borrowed from values */
};

bool sort_takes(enum value_type type);
/* Up to `n` elements from index `from` on, in the value's own order or (`back`) against it; a set has none, and is
 * taken whole. Borrows from the value. Zero-initialised `s` is empty; free with sort_free. */
void sort_load(struct sort_vector *s, const struct value *v, uint64_t from, uint64_t n, bool back);
void sort_free(struct sort_vector *s);
/* A copy that lives as long as `s`. */
struct slice sort_keep(struct sort_vector *s, struct slice bytes);

/* A number as SORT takes it: what strtod accepts whole, and neither NaN nor out of range; nothing is 0. */
bool sort_parse(struct slice text, double *score);

enum { SORT_ALPHA = 1, SORT_BY = 2, SORT_DESC = 4 };
/* Puts the items into order, at least the first `keep` of them. By score, then by text; with SORT_ALPHA by text, or
 * with SORT_BY too by `by`. O(n log keep). */
void sort_order(struct sort_vector *s, unsigned how, uint64_t keep);

#endif
