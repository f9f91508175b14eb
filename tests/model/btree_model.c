/* Random inserts and erases, against a sorted array: the tree holds the same, first is first, and every invariant
 * stands. */
#include "core/base/rng.h"
#include "core/ds/btree.h"
#include "tests/sim/tap.h"

#include <string.h>

#define MAX 5000

struct elem {
    uint64_t key, tag;
};

static struct elem model[MAX];
static size_t n;

static int cmp(const void *a, const void *b, void *arg)
{
    const struct elem *x = a, *y = b;
    (void)arg;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->tag < y->tag ? -1 : x->tag > y->tag;
}

static size_t place(const struct elem *e)
{
    size_t i = 0;
    while (i < n && cmp(&model[i], e, NULL) < 0)
        i++;
    return i;
}

struct walk {
    size_t i;
    bool same;
};

static void compare(void *arg, const void *elem)
{
    struct walk *w = arg;
    w->same &= w->i < n && cmp(elem, &model[w->i], NULL) == 0;
    w->i++;
}

static bool agrees(struct btree *t)
{
    struct walk w = {0, true};
    btree_each(t, compare, &w);
    btree_validate(t);
    const void *first = btree_first(t);
    return w.same && w.i == n && btree_count(t) == n && (n == 0 ? first == NULL : cmp(first, &model[0], NULL) == 0);
}

static void step(struct btree *t, struct rng *rng, uint64_t range, unsigned grow)
{
    struct elem e = {rng_below(rng, range), rng_below(rng, 4)};
    if (n < MAX && rng_below(rng, 100) < grow) {
        size_t at = place(&e);
        memmove(model + at + 1, model + at, (n - at) * sizeof(e));
        model[at] = e;
        n++;
        btree_insert(t, &e);
        return;
    }
    if (n > 0 && rng_below(rng, 4) > 0)
        e = model[rng_below(rng, 3) ? 0 : rng_below(rng, n)];
    size_t at = place(&e);
    bool there = at < n && cmp(&model[at], &e, NULL) == 0;
    if (btree_erase(t, &e) != there)
        tap_ok(false, __FILE__, __LINE__, "erase answers whether it was there");
    if (there) {
        memmove(model + at, model + at + 1, (n - at - 1) * sizeof(e));
        n--;
    }
}

static void ascending(void)
{
    struct btree *t = btree_new(sizeof(struct elem), cmp, NULL);
    bool good = true;
    for (uint64_t i = 0; i < 100000; i++)
        btree_insert(t, &(struct elem){i, 0});
    ok(btree_memory(t) < 100000 * 20, "ascending inserts are dense: %zu bytes for 100000", btree_memory(t));
    btree_validate(t);
    for (uint64_t i = 0; i < 100000; i++) {
        const struct elem *first = btree_first(t);
        good &= first != NULL && first->key == i && btree_erase(t, &(struct elem){i, 0});
        if (i % 1000 == 0)
            btree_validate(t);
    }
    ok(good && btree_count(t) == 0 && btree_first(t) == NULL, "taken off the front in order");
    btree_free(t);
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    ascending();
    for (int round = 0; round < 12; round++) {
        struct btree *t = btree_new(sizeof(struct elem), cmp, NULL);
        uint64_t range = round % 3 == 0 ? 50 : 1000000;
        bool good = true;
        n = 0;
        for (int phase = 0; phase < 4; phase++)
            for (int i = 0; i < 3000; i++) {
                step(t, &rng, range, phase % 2 == 0 ? 75 : 20);
                if (i % 100 == 0)
                    good &= agrees(t);
            }
        ok(good && agrees(t), "round %d: %zu elements", round, n);
        btree_free(t);
    }
    return tap_done();
}
