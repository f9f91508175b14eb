/* Random changes of trees of four kinds (elements in the leaves; pointers in the leaves and keys above; by position
 * with weights; by key with weights), against an array: order, ranks, selection and iterators agree, what is erased is
 * never looked at again, and every invariant stands. */
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/ds/btree.h"
#include "tests/sim/tap.h"

#include <string.h>

#define MAX 6000

struct elem {
    uint64_t key, id, weight;
};

static struct elem *model[MAX]; /* owned, in order */
static size_t n;
static uint64_t next_id;

/* --- the kinds --- */

static int by_key(const void *elem, const void *probe, void *arg)
{
    const uint64_t *x = elem, *y = probe; /* the key is the first member of both */
    (void)arg;
    return *x < *y ? -1 : *x > *y;
}

static struct elem *alive(const void *leaf_elem)
{
    struct elem *e = *(struct elem *const *)leaf_elem;
    ensure(e->id != 0);
    return e;
}

static int by_pointed_key(const void *elem, const void *probe, void *arg)
{
    return by_key(&alive(elem)->key, probe, arg);
}

struct separator {
    uint64_t key;
    const struct elem *e;
};

static void make_separator(void *key, const void *elem, void *arg)
{
    *(struct separator *)key = (struct separator){alive(elem)->key, alive(elem)};
    (void)arg;
}

static int by_separator(const void *key, const void *probe, void *arg)
{
    const struct separator *s = key;
    ensure(s->e->id != 0 && s->key == s->e->key);
    return by_key(&s->key, probe, arg);
}

static uint64_t weight(const void *elem, void *arg)
{
    (void)arg;
    return ((const struct elem *)elem)->weight;
}

enum { DIRECT, POINTERS, POSITIONS, WEIGHTS, KINDS };
static const char *const names[] = {"elements", "pointers", "positions", "keys and weights"};
static const struct btree_type types[] = {
    [DIRECT] = {.elem_size = sizeof(struct elem), .cmp = by_key},
    [POINTERS] =
        {.elem_size = 8, .cmp = by_pointed_key, .key_size = 16, .key = make_separator, .cmp_key = by_separator},
    [POSITIONS] = {.elem_size = sizeof(struct elem), .weight = weight},
    [WEIGHTS] = {.elem_size = sizeof(struct elem), .cmp = by_key, .weight = weight},
};
static int kind;

static const void *as_element(struct elem *const *e) { return kind == POINTERS ? (const void *)e : *e; }
static bool is(const void *element, const struct elem *e)
{
    const struct elem *x = kind == POINTERS && element != NULL ? alive(element) : element;
    return element != NULL && x->id == e->id && x->weight == e->weight;
}
static bool same(const void *element, size_t i) { return i < n ? is(element, model[i]) : element == NULL; }
static uint64_t weight_at(size_t i) { return kind == POSITIONS || kind == WEIGHTS ? model[i]->weight : 1; }

/* --- the model --- */

static struct elem *new_elem(struct rng *rng, uint64_t key)
{
    struct elem *e = mem_alloc(sizeof(*e));
    *e = (struct elem){key, ++next_id, rng_below(rng, 10)};
    return e;
}

static void model_insert(size_t at, struct elem *e)
{
    memmove(model + at + 1, model + at, (n - at) * sizeof(*model));
    model[at] = e;
    n++;
}

static struct elem *graveyard[MAX]; /* kept readable, to be recognised */
static size_t buried;

static void bury(struct elem *e)
{
    e->id = 0;
    if (buried == MAX)
        for (; buried > 0; buried--)
            mem_free(graveyard[buried - 1], sizeof(*e));
    graveyard[buried++] = e;
}

static void model_erase(size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        bury(model[i]);
    memmove(model + at, model + at + count, (n - at - count) * sizeof(*model));
    n -= count;
}

static size_t first_from(uint64_t key, bool strict)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (model[mid]->key < key || (strict && model[mid]->key == key))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint64_t weight_before(size_t at)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < at; i++)
        sum += weight_at(i);
    return sum;
}

/* --- looking --- */

struct walk {
    size_t i;
    bool same;
};

static void compare(void *arg, const void *elem)
{
    struct walk *w = arg;
    w->same &= same(elem, w->i++);
}

static bool walks_agree(struct btree *t)
{
    struct walk w = {0, true};
    struct btree_iter it;
    bool good = true;
    size_t i = 0;
    btree_each(t, compare, &w);
    for (void *e = btree_begin(t, &it); e != NULL; e = btree_next(&it), i++)
        good &= same(e, i) && btree_at(&it) == e;
    good &= i == n && btree_next(&it) == NULL;
    for (void *e = btree_prev(&it); e != NULL && i > 0; e = btree_prev(&it))
        good &= same(e, --i);
    good &= i == 0 && same(btree_at(&it), 0);
    return good && w.same && w.i == n;
}

/* All elements, run by run: those beside each other in memory. */
static bool runs_agree(struct btree *t)
{
    struct btree_iter it;
    size_t size = types[kind].elem_size, i = 0;
    bool good = true;
    for (uint8_t *e = btree_begin(t, &it); e != NULL; e = btree_leave(&it, false))
        for (uint32_t left = btree_run(&it, false); left > 0; left--, e += size)
            good = good && i < n && same(e, i++);
    good = good && i == n && btree_run(&it, false) == 0;
    for (uint8_t *e = btree_rbegin(t, &it); e != NULL; e = btree_leave(&it, true))
        for (uint32_t left = btree_run(&it, true); left > 0; left--, e -= size)
            good = good && i > 0 && same(e, --i);
    return good && i == 0;
}

static bool agrees(struct btree *t)
{
    struct btree_iter it;
    btree_validate(t);
    return walks_agree(t) && runs_agree(t) && btree_count(t) == n && btree_weight(t) == weight_before(n) &&
           same(btree_first(t), 0) && same(btree_last(t), n ? n - 1 : 0) && same(btree_rbegin(t, &it), n ? n - 1 : 0);
}

static bool place_agrees(const struct btree_iter *it, void *e, size_t i)
{
    return same(e, i) && btree_at(it) == e && btree_rank(it) == weight_before(i);
}

/* To a random place, by one of the ways there are; its index. */
static size_t go_somewhere(struct btree *t, struct rng *rng, uint64_t range, struct btree_iter *it)
{
    uint64_t key = rng_below(rng, range + 2), within = 0, rank;
    bool strict = rng_below(rng, 2);
    size_t i = 0;
    void *e;
    if (kind == POSITIONS || rng_below(rng, 3) == 0) {
        rank = rng_below(rng, btree_weight(t) + 2);
        while (i < n && weight_before(i + 1) <= rank)
            i++;
        e = btree_select(t, rank, it, &within);
        if (!place_agrees(it, e, i) || (i < n && within != rank - weight_before(i)))
            ok(false, "select %zu", (size_t)rank);
        return i;
    }
    i = first_from(key, strict);
    rank = strict ? btree_rank_le(t, &key) : btree_rank_lt(t, &key);
    e = strict ? btree_seek_gt(t, &key, it) : btree_seek_ge(t, &key, it);
    if (!place_agrees(it, e, i) || rank != weight_before(i))
        ok(false, "seek %d %zu", strict, (size_t)key);
    return i;
}

/* --- changing --- */

static void insert_somewhere(struct btree *t, struct rng *rng, uint64_t range)
{
    struct btree_iter it;
    struct elem *e = new_elem(rng, rng_below(rng, range));
    size_t at = first_from(e->key, true);
    bool append = rng_below(rng, 3) == 0;
    if (kind == POSITIONS)
        at = append ? n : go_somewhere(t, rng, range, &it);
    else if (append && n > 0) {
        at = n;
        e->key = model[n - 1]->key + rng_below(rng, 2);
    }
    model_insert(at, e);
    if (append && at == n - 1) {
        btree_append(t, as_element(&e));
    } else if (kind == POSITIONS || rng_below(rng, 4) == 0) {
        if (kind != POSITIONS)
            btree_seek_gt(t, &e->key, &it);
        btree_insert_at(&it, as_element(&e));
        if (!place_agrees(&it, btree_at(&it), at))
            ok(false, "an iterator is at what it inserted");
    } else {
        btree_insert(t, as_element(&e), &e->key);
    }
}

static void erase_by_key(struct btree *t, struct rng *rng, uint64_t range)
{
    uint64_t key = n > 0 && rng_below(rng, 4) ? model[rng_below(rng, 2) ? 0 : rng_below(rng, n)]->key : range + 1;
    size_t at = first_from(key, false);
    bool there = at < n && model[at]->key == key;
    uint64_t out[8];
    if (btree_erase(t, &key, out) != there || (there && !is(out, model[at])))
        ok(false, "erase answers whether it was there, and hands it out");
    if (there)
        model_erase(at, 1);
}

static size_t dropped_from, dropped;
static bool dropped_well;
static void drop(void *arg, void *elem)
{
    (void)arg;
    dropped_well &= same(elem, dropped_from + dropped++);
}

static void erase_from(struct btree *t, struct rng *rng, uint64_t range)
{
    struct btree_iter it;
    size_t at = go_somewhere(t, rng, range, &it), many = rng_below(rng, 10) ? 3 : 600, count;
    if (at < n && rng_below(rng, 2)) {
        void *e = btree_erase_at(&it);
        model_erase(at, 1);
        if (!place_agrees(&it, e, at))
            ok(false, "an iterator is behind what it erased");
        return;
    }
    many = rng_below(rng, many);
    count = n - at < many ? n - at : many;
    dropped_from = at;
    dropped = 0;
    dropped_well = true;
    if (btree_erase_n(&it, many, drop, NULL) != count || dropped != count || !dropped_well)
        ok(false, "erase %zu of %zu from %zu", many, n, at);
    model_erase(at, count);
    if (!place_agrees(&it, btree_at(&it), at))
        ok(false, "an iterator is behind what it erased");
}

static void update_somewhere(struct btree *t, struct rng *rng, uint64_t range)
{
    struct btree_iter it;
    size_t at = go_somewhere(t, rng, range, &it);
    if (at == n)
        return;
    struct elem *e = new_elem(rng, model[at]->key);
    btree_update(&it, as_element(&e));
    bury(model[at]);
    model[at] = e;
    if (!place_agrees(&it, btree_at(&it), at))
        ok(false, "update in place");
}

static void step(struct btree *t, struct rng *rng, uint64_t range, unsigned grow)
{
    if (rng_below(rng, 10) == 0)
        update_somewhere(t, rng, range);
    else if (n < MAX && rng_below(rng, 100) < grow)
        insert_somewhere(t, rng, range);
    else if (kind == POSITIONS || rng_below(rng, 3) == 0)
        erase_from(t, rng, range);
    else
        erase_by_key(t, rng, range);
}

static void round_of(struct rng *rng, int which, uint64_t range)
{
    kind = which;
    struct btree *t = btree_new(&types[kind], NULL);
    size_t most = 0;
    bool good = true;
    n = 0;
    for (int phase = 0; phase < 4; phase++)
        for (int i = 0; i < 2500; i++) {
            step(t, rng, range, phase % 2 == 0 ? 97 : 30);
            btree_validate(t);
            most = n > most ? n : most;
            if (i % 100 == 0)
                good &= agrees(t);
        }
    ok(good && agrees(t), "%s, %zu keys: %zu elements, at most %zu", names[kind], (size_t)range, n, most);
    model_erase(0, n);
    btree_free(t);
}

/* --- density, ends, slices --- */

static void ascending(void)
{
    kind = DIRECT;
    struct btree *t = btree_new(&types[DIRECT], NULL);
    bool good = true;
    for (uint64_t i = 0; i < 100000; i++)
        btree_insert(t, &(struct elem){i, i + 1, 0}, &i);
    ok(btree_memory(t) < 100000 * 27, "ascending inserts are dense: %zu bytes for 100000", btree_memory(t));
    btree_validate(t);
    for (uint64_t i = 0; i < 100000; i++) {
        const struct elem *first = btree_first(t);
        good &= first != NULL && first->key == i && btree_erase(t, &i, NULL);
        if (i % 1000 == 0)
            btree_validate(t);
    }
    ok(good && btree_count(t) == 0 && btree_first(t) == NULL && btree_last(t) == NULL, "taken off the front in order");
    btree_free(t);
}

static void count_drop(void *arg, void *elem)
{
    (void)elem;
    (*(uint64_t *)arg)++;
}

static void slices(struct rng *rng)
{
    struct btree *t = btree_new(&types[DIRECT], NULL);
    uint64_t got = 0, calls = 1, before;
    bool good = true;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t key = rng_u64(rng);
        btree_insert(t, &(struct elem){key, i + 1, 0}, &key);
    }
    for (; before = btree_memory(t), !btree_free_some(t, 100, count_drop, &got); calls++)
        good &= btree_count(t) + got == 100000 && btree_memory(t) < before;
    ok(good && got == 100000 && calls > 20, "freed in %zu slices", (size_t)calls);
}

static int by_word(const void *elem, const void *probe, void *arg) { return by_key(elem, probe, arg); }
static void pair(void *key, const void *elem, void *arg)
{
    ((uint64_t *)key)[0] = ((uint64_t *)key)[1] = *(const uint64_t *)elem;
    (void)arg;
}

static void measure(struct rng *rng)
{
    static const struct btree_type words = {
        .elem_size = 8, .key_size = 16, .cmp = by_word, .key = pair, .cmp_key = by_word};
    static const size_t at[] = {10, 130, 1000, 10000, 100000, 1000000};
    for (size_t k = 0; k < ARRAY_LEN(at); k++) {
        struct btree *t = btree_new(&words, NULL), *dense = btree_new(&words, NULL);
        for (uint64_t i = 0; i < at[k]; i++) {
            uint64_t key = rng_u64(rng);
            btree_insert(t, &key, &key);
            btree_append(dense, &i);
        }
        double one = (double)btree_memory(t) / (double)at[k];
        tap_diag("%zu elements of 8 bytes: %.2f bytes each inserted at random, %.2f appended", at[k], one,
                 (double)btree_memory(dense) / (double)at[k]);
        if (at[k] == 1000000)
            ok(one < 10.5, "a million take %.2f bytes each", one);
        btree_validate(t);
        btree_free(t);
        btree_free(dense);
    }
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    ascending();
    slices(&rng);
    measure(&rng);
    for (int which = 0; which < KINDS; which++) {
        round_of(&rng, which, 50);
        round_of(&rng, which, 1000000);
    }
    for (; buried > 0; buried--)
        mem_free(graveyard[buried - 1], sizeof(struct elem));
    return tap_done();
}
