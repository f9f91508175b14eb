/* Intersection, union and difference. Members are looked up in batches, so that in big sets the misses of many members
 * overlap. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/value/set.h"

static uint64_t count_of(const struct value *v) { return v != NULL ? set_count(v) : 0; }

static bool fill(struct set_batch *b, struct set_iter *it)
{
    b->hashed = false;
    b->n = set_iter_some(it, b->member, SET_BATCH);
    return b->n > 0;
}

static bool visit_some(const struct set_batch *b, uint32_t some, set_visit *visit, void *arg)
{
    for (; some != 0; some &= some - 1)
        if (!visit(arg, b->member[__builtin_ctz(some)]))
            return false;
    return true;
}

/* Finders for all of them but the one at `skip`; those of a missing set have no value. */
static struct set_finder *finders_new(const struct value *const *sets, unsigned n, unsigned skip, uint64_t lookups)
{
    struct set_finder *f = mem_alloc(sizeof(*f) * n);
    for (unsigned i = 0; i < n; i++)
        if (i != skip && sets[i] != NULL)
            set_finder_init(&f[i], sets[i], lookups);
        else
            f[i] = (struct set_finder){0};
    return f;
}

static void finders_free(struct set_finder *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        set_finder_free(&f[i]);
    mem_free(f, sizeof(*f) * n);
}

/* --- intersection --- */

static unsigned smallest(const struct value *const *sets, unsigned n)
{
    unsigned least = 0;
    for (unsigned i = 1; i < n; i++)
        if (count_of(sets[i]) < count_of(sets[least]))
            least = i;
    return least;
}

void set_inter(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    struct set_batch b;
    struct set_iter it;
    unsigned walked = smallest(sets, n);
    uint64_t count = count_of(sets[walked]);
    if (count == 0)
        return;
    struct set_finder *f = finders_new(sets, n, walked, count);
    set_iter_init(&it, sets[walked]);
    for (bool more = true; more && fill(&b, &it);) {
        uint32_t in = set_batch_all(&b);
        for (unsigned i = 0; i < n && in != 0; i++)
            if (i != walked)
                in = set_find(&f[i], &b, in);
        more = visit_some(&b, in, visit, arg);
    }
    finders_free(f, n);
}

/* --- difference --- */

/* What is in `v` and in none of the finders' sets. False if the visitor has had enough. */
static bool visit_others(const struct value *v, struct set_finder *f, unsigned n, set_visit *visit, void *arg)
{
    struct set_batch b;
    struct set_iter it;
    set_iter_init(&it, v);
    while (fill(&b, &it)) {
        uint32_t left = set_batch_all(&b);
        for (unsigned i = 0; i < n && left != 0; i++)
            if (f[i].v != NULL)
                left &= ~set_find(&f[i], &b, left);
        if (!visit_some(&b, left, visit, arg))
            return false;
    }
    return true;
}

static void diff_by_lookup(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    struct set_finder *f = finders_new(sets, n, 0, set_count(sets[0]));
    visit_others(sets[0], f, n, visit, arg);
    finders_free(f, n);
}

static void visit_all(const struct value *v, set_visit *visit, void *arg)
{
    struct set_iter it;
    struct pack_item member;
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member) && visit(arg, member))
        ;
}

/* All members of the others are taken out of a copy of the first: for a big one and many small ones. */
static void diff_by_removal(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    struct value left = set_class.copy(sets[0]);
    for (unsigned i = 1; i < n && set_count(&left) > 0; i++) {
        struct set_iter it;
        struct pack_item member;
        if (sets[i] == NULL)
            continue;
        set_iter_init(&it, sets[i]);
        while (set_iter_next(&it, &member))
            set_remove(&left, member);
    }
    visit_all(&left, visit, arg);
    set_class.release(&left);
}

/* Copying costs an allocation a member, so it has to save much. */
#define COPY_COST 8

static bool removal_pays(const struct value *const *sets, unsigned n)
{
    uint64_t first = set_count(sets[0]), lookups = 0, removals = first * COPY_COST;
    for (unsigned i = 1; i < n; i++) {
        lookups += sets[i] != NULL ? first : 0;
        removals += count_of(sets[i]);
    }
    return removals < lookups;
}

void set_diff(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    if (sets[0] == NULL)
        return;
    if (removal_pays(sets, n))
        diff_by_removal(sets, n, visit, arg);
    else
        diff_by_lookup(sets, n, visit, arg);
}

/* --- union --- */

static int by_count_descending(const void *a, const void *b)
{
    uint64_t x = count_of(*(const struct value *const *)a), y = count_of(*(const struct value *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Few sets: the biggest comes first, without any look-up; each other member is looked up in the sets before its own. */
static void union_by_lookup(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    uint64_t lookups = 0;
    for (unsigned i = 1; i < n; i++)
        lookups += count_of(sets[i]);
    struct set_finder *f = finders_new(sets, n, n, lookups);
    for (unsigned i = 0; i < n && count_of(sets[i]) > 0; i++)
        if (!visit_others(sets[i], f, i, visit, arg))
            break;
    finders_free(f, n);
}

/* Many sets: what has been visited is kept. */
static void union_by_collecting(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    struct value seen = set_class.empty();
    bool more = true;
    set_expect(&seen, count_of(sets[0]));
    for (unsigned i = 0; i < n && more && count_of(sets[i]) > 0; i++) {
        struct set_iter it;
        struct pack_item member;
        set_iter_init(&it, sets[i]);
        while (more && set_iter_next(&it, &member))
            if (set_add(&seen, member, &value_limits_default))
                more = visit(arg, member);
    }
    set_class.release(&seen);
}

#define UNION_LOOKUP_SETS 6

void set_union(const struct value *const *sets, unsigned n, set_visit *visit, void *arg)
{
    size_t bytes = sizeof(*sets) * n;
    const struct value **sorted = mem_alloc(bytes);
    memcpy(sorted, sets, bytes);
    qsort(sorted, n, sizeof(*sorted), by_count_descending);
    if (n <= UNION_LOOKUP_SETS)
        union_by_lookup(sorted, n, visit, arg);
    else
        union_by_collecting(sorted, n, visit, arg);
    mem_free(sorted, bytes);
}
