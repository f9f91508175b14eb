#include "core/value/sort.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/list.h"
#include "core/value/set.h"
#include "core/value/zset.h"

#define TEXT_BYTES (16 * KIB)

struct sort_text {
    struct sort_text *next;
    size_t used, cap;
    uint8_t bytes[];
};

/* --- loading --- */

bool sort_takes(enum value_type type) { return type == VALUE_LIST || type == VALUE_SET || type == VALUE_ZSET; }

struct slice sort_keep(struct sort_vector *s, struct slice bytes)
{
    struct sort_text *t = s->texts;
    if (t == NULL || t->cap - t->used < bytes.len) {
        size_t cap = max_u64(bytes.len, TEXT_BYTES);
        t = mem_alloc(sizeof(*t) + cap);
        *t = (struct sort_text){.next = s->texts, .cap = cap};
        s->texts = t;
    }
    uint8_t *p = t->bytes + t->used;
    if (bytes.len > 0)
        memcpy(p, bytes.p, bytes.len);
    t->used += bytes.len;
    return slice_of(p, bytes.len);
}

static void add(struct sort_vector *s, struct slice text)
{
    if (s->n == s->cap) {
        uint64_t cap = s->cap ? 2 * s->cap : 16;
        s->at = mem_realloc(s->at, sizeof(*s->at) * s->cap, sizeof(*s->at) * cap);
        s->cap = cap;
    }
    s->at[s->n] = (struct sort_item){.text = text, .at = s->n};
    s->n++;
}

static void add_item(struct sort_vector *s, struct pack_item item)
{
    char scratch[PACK_TEXT_MAX];
    add(s, item.is_int ? sort_keep(s, pack_int_text(item.integer, scratch)) : item.bytes);
}

static void load_list(struct sort_vector *s, const struct value *v, uint64_t from, uint64_t n, bool back)
{
    struct list_iter it;
    struct pack_item item;
    list_iter_init(&it, v, from, back);
    while (n-- > 0 && list_iter_next(&it, &item))
        add_item(s, item);
}

static void load_set(struct sort_vector *s, const struct value *v)
{
    struct set_iter it;
    struct pack_item item;
    set_iter_init(&it, v);
    while (set_iter_next(&it, &item))
        add_item(s, item);
}

/* What the iterator gives is borrowed for one step only. */
static void load_zset(struct sort_vector *s, const struct value *v, uint64_t from, uint64_t n, bool back)
{
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, from, back);
    while (n-- > 0 && zset_iter_next(&it, &item))
        add(s, sort_keep(s, item.member));
}

void sort_load(struct sort_vector *s, const struct value *v, uint64_t from, uint64_t n, bool back)
{
    if (v->type == VALUE_SET)
        load_set(s, v);
    else if (v->type == VALUE_LIST)
        load_list(s, v, from, n, back);
    else
        load_zset(s, v, from, n, back);
}

void sort_free(struct sort_vector *s)
{
    for (struct sort_text *t = s->texts, *next; t != NULL; t = next) {
        next = t->next;
        mem_free(t, sizeof(*t) + t->cap);
    }
    mem_free(s->at, sizeof(*s->at) * s->cap);
    *s = (struct sort_vector){0};
}

/* --- numbers --- */

bool sort_parse(struct slice text, double *score)
{
    char few[64], *end, *copy = few;
    int64_t integer;
    if (num_parse_i64(text, &integer)) {
        *score = (double)integer;
        return true;
    }
    if (text.len >= sizeof(few))
        copy = mem_alloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    errno = 0;
    *score = strtod(copy, &end);
    bool good = *end == 0 && errno != ERANGE && !isnan(*score);
    if (copy != few)
        mem_free(copy, text.len + 1);
    return good;
}

/* --- order --- */

static int compare_by(struct slice a, struct slice b)
{
    if (a.p == NULL || b.p == NULL)
        return (a.p != NULL) - (b.p != NULL);
    return slice_cmp(a, b);
}

static int compare(const struct sort_item *a, const struct sort_item *b, unsigned how)
{
    int order;
    if (how & SORT_ALPHA)
        order = how & SORT_BY ? compare_by(a->by, b->by) : slice_cmp(a->text, b->text);
    else
        order = a->score != b->score ? (a->score > b->score) - (a->score < b->score) : slice_cmp(a->text, b->text);
    if (order != 0)
        return how & SORT_DESC ? -order : order;
    return (a->at > b->at) - (a->at < b->at);
}

static int compare_items(const void *a, const void *b, void *how) { return compare(a, b, *(const unsigned *)how); }

static void swap(struct sort_item *a, struct sort_item *b)
{
    struct sort_item t = *a;
    *a = *b;
    *b = t;
}

/* heap[0] is the last one in order of the first n. */
static void sift_down(struct sort_item *heap, uint64_t n, uint64_t i, unsigned how)
{
    for (uint64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && compare(&heap[child + 1], &heap[child], how) > 0)
            child++;
        if (compare(&heap[i], &heap[child], how) >= 0)
            return;
        swap(&heap[i], &heap[child]);
    }
}

/* Brings the `keep` items that are first in order to the front. */
static void select_first(struct sort_vector *s, uint64_t keep, unsigned how)
{
    for (uint64_t i = keep / 2; i-- > 0;)
        sift_down(s->at, keep, i, how);
    for (uint64_t i = keep; i < s->n; i++)
        if (compare(&s->at[i], &s->at[0], how) < 0) {
            swap(&s->at[i], &s->at[0]);
            sift_down(s->at, keep, 0, how);
        }
}

void sort_order(struct sort_vector *s, unsigned how, uint64_t keep)
{
    uint64_t n = s->n;
    if (keep == 0)
        return;
    if (keep < n / 4) {
        select_first(s, keep, how);
        n = keep;
    }
    qsort_r(s->at, n, sizeof(*s->at), compare_items, &how);
}
