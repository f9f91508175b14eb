/* Random inserts and erases, against a plain array: look-ups, scans, iteration and samples agree with it, a scan under
 * way meets every item exactly once however the table grows and shrinks, memory comes back, and every invariant
 * stands. */
#include "core/base/rng.h"
#include "core/ds/table.h"
#include "tests/sim/tap.h"

#include <string.h>

#define MAX 60000

struct item {
    uint64_t hash;
    bool in;
    unsigned seen;
};

static struct item items[MAX];
static size_t count;

/* What a table of this round holds: pointers with something in their top bits, as sets have them. */
static uint64_t tag;

static void *word_of(struct item *it) { return (void *)((uintptr_t)it | tag); }
static struct item *item_of(const void *word) { return (struct item *)((uintptr_t)word & TABLE_TAGGED); }

static uint64_t hash_of(const void *word, void *arg)
{
    (void)arg;
    return item_of(word)->hash;
}

static const struct table_type sparse = {.hash = hash_of, .address = TABLE_TAGGED};
static const struct table_type dense = {.hash = hash_of, .address = TABLE_TAGGED, .dense = true};

static bool found(struct table *t, struct item *it)
{
    struct table_probe p;
    for (void *x = table_first(t, it->hash, &p); x != NULL; x = table_next(&p))
        if (x == word_of(it))
            return true;
    return false;
}

static void see(void *arg, void *word)
{
    (void)arg;
    item_of(word)->seen++;
}

static void forget_seen(void)
{
    for (size_t i = 0; i < MAX; i++)
        items[i].seen = 0;
}

static bool all_seen_once(void)
{
    bool good = true;
    for (size_t i = 0; i < MAX; i++)
        good &= items[i].seen == (items[i].in ? 1u : 0u);
    return good;
}

static bool scan_sees_each_once(struct table *t)
{
    uint64_t cursor = 0;
    forget_seen();
    do
        cursor = table_scan(t, cursor, see, NULL);
    while (cursor != 0);
    return all_seen_once();
}

static bool iteration_sees_each_once(struct table *t)
{
    struct table_iter it;
    void *word;
    forget_seen();
    table_iter_init(&it, t);
    while ((word = table_iter_next(&it)) != NULL) {
        see(NULL, word);
        table_iter_replace(&it, word);
    }
    return all_seen_once() && table_iter_next(&it) == NULL;
}

static bool sample_is_sound(struct table *t, struct rng *rng)
{
    void *out[64];
    size_t n = table_sample(t, rng_u64(rng), out, 64);
    void *one = table_random(t, rng);
    bool good = count == 0 ? n == 0 && one == NULL : n > 0 && item_of(one)->in;
    for (size_t i = 0; i < n; i++) {
        good &= item_of(out[i])->in;
        for (size_t k = 0; k < i; k++)
            good &= out[i] != out[k];
    }
    return good;
}

static void toggle(struct table *t, struct item *it)
{
    if (it->in)
        table_erase(t, it->hash, word_of(it));
    else
        table_insert(t, it->hash, word_of(it));
    count += it->in ? (size_t)-1 : 1;
    it->in = !it->in;
}

static bool stays[MAX]; /* in the table during the whole scan */

/* Changes some items in a direction that changes every few hundred steps: bulk growth, bulk erasure. */
static void churn(struct table *t, struct rng *rng, bool growing, size_t range)
{
    for (int k = 0; k < 30; k++) {
        struct item *it = &items[rng_below(rng, range)];
        if (it->in == growing)
            continue;
        toggle(t, it);
        stays[it - items] = false;
    }
}

/* What is there during the whole scan is seen once, however the table grows and shrinks meanwhile. */
static bool scan_while_changing(struct table *t, struct rng *rng, size_t range)
{
    uint64_t cursor = 0;
    bool good = true;
    unsigned steps = 0;
    forget_seen();
    for (size_t i = 0; i < MAX; i++)
        stays[i] = items[i].in;
    do {
        cursor = table_scan(t, cursor, see, NULL);
        churn(t, rng, (steps++ / 256) % 2 == 0, range);
        table_validate(t);
    } while (cursor != 0);
    for (size_t i = 0; i < MAX; i++)
        good &= !stays[i] || items[i].seen == 1;
    return good;
}

static void erase_all(struct table *t, struct rng *rng)
{
    uint64_t grown = table_memory(t);
    size_t from = rng_below(rng, MAX), before = count;
    for (size_t i = 0; i < MAX; i++)
        if (items[(from + i) % MAX].in && rng_below(rng, 20) > 0)
            toggle(t, &items[(from + i) % MAX]);
    table_validate(t);
    if (before > 20000)
        ok(table_memory(t) < grown / 3, "with %zu of %zu left it takes %zu of %zu bytes", count, before,
           table_memory(t), (size_t)grown);
    for (size_t i = 0; i < MAX; i++)
        if (items[i].in)
            toggle(t, &items[i]);
}

static void round_of(struct rng *rng, const struct table_type *type, size_t range)
{
    struct table *t = table_new(type, NULL);
    size_t empty = table_memory(t);
    bool good = true;
    count = 0;
    tag = range == MAX ? 0 : rng_u64(rng) & ~TABLE_TAGGED;
    for (size_t i = 0; i < MAX; i++) /* some share their whole hash, some their place */
        items[i] = (struct item){.hash = rng_below(rng, 50) ? rng_u64(rng) : rng_below(rng, 4) << 40};
    for (size_t i = 0; i < 40000; i++) {
        toggle(t, &items[rng_below(rng, range)]);
        if (range < 100 || i % 1000 == 0)
            table_validate(t);
        if (i % 1000 == 0)
            good &= sample_is_sound(t, rng);
    }
    table_validate(t);
    for (size_t i = 0; i < MAX; i++)
        good &= found(t, &items[i]) == items[i].in;
    ok(good && table_count(t) == count, "%zu of %zu items are found, no other", count, range);
    ok(scan_sees_each_once(t), "a scan sees each once");
    ok(iteration_sees_each_once(t), "an iterator sees each once");
    ok(scan_while_changing(t, rng, range), "so does a scan while the table grows and shrinks");
    erase_all(t, rng);
    table_validate(t);
    ok(table_count(t) == 0 && sample_is_sound(t, rng), "empty again");
    ok(table_memory(t) == empty, "and as small as at first: %zu bytes", table_memory(t));
    toggle(t, &items[0]);
    ok(found(t, &items[0]), "and usable");
    table_free(t);
}

/* Pearson's chi-squared of `draws` draws from the table's items, a deviation from n - 1 in standard deviations. */
static double unevenness(struct table *t, struct rng *rng, size_t draws)
{
    double expected = (double)draws / (double)count, chi2 = 0;
    forget_seen();
    for (size_t i = 0; i < draws; i++)
        see(NULL, table_random(t, rng));
    for (size_t i = 0; i < MAX; i++)
        if (items[i].in)
            chi2 += ((double)items[i].seen - expected) * ((double)items[i].seen - expected) / expected;
    return (chi2 - (double)(count - 1)) / __builtin_sqrt(2 * (double)(count - 1));
}

static void chance(struct rng *rng, const struct table_type *type, size_t n)
{
    struct table *t = table_new(type, NULL);
    count = 0;
    tag = 0;
    for (size_t i = 0; i < MAX; i++)
        items[i] = (struct item){.hash = rng_u64(rng) >> (i % 10 == 0)}; /* not even */
    for (size_t i = 0; i < n; i++)
        toggle(t, &items[i]);
    for (size_t i = 0; i < n / 2; i++)
        toggle(t, &items[i]);
    double odd = unevenness(t, rng, 100 * count);
    ok(odd < 6 && odd > -6, "random items are uniform among %zu: %.1f sigma", count, odd);
    table_free(t);
}

static void dropped(void *arg, void *word)
{
    see(NULL, word);
    (*(size_t *)arg)++;
}

static void free_in_slices(struct rng *rng)
{
    struct table *t = table_new(&dense, NULL);
    size_t slices = 0, got = 0, last = 0, most = 0;
    bool good = true, done;
    count = 0;
    for (size_t i = 0; i < MAX; i++) {
        items[i] = (struct item){.hash = rng_u64(rng)};
        toggle(t, &items[i]);
    }
    do {
        size_t memory = table_memory(t);
        done = table_free_some(t, 1000, dropped, &got);
        most = got - last > most ? got - last : most;
        last = got;
        slices++;
        good &= done || (table_memory(t) < memory && table_count(t) == MAX - got);
    } while (!done);
    ok(good && got == MAX && all_seen_once() && most < 1600, "freed in %zu slices of at most %zu", slices, most);
}

static void measure(struct rng *rng, const struct table_type *type, const char *name)
{
    static const size_t at[] = {130, 1000, 10000, MAX};
    struct table *t = table_new(type, NULL);
    count = 0;
    for (size_t i = 0, k = 0; i < MAX; i++) {
        items[i] = (struct item){.hash = rng_u64(rng)};
        toggle(t, &items[i]);
        if (count == at[k])
            tap_diag("%s: %zu items, %.1f bytes an item", name, at[k++], (double)table_memory(t) / (double)count);
    }
    table_free(t);
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    for (int i = 0; i < 2; i++) {
        const struct table_type *type = i == 0 ? &sparse : &dense;
        round_of(&rng, type, 20);
        round_of(&rng, type, 1000);
        round_of(&rng, type, MAX);
        chance(&rng, type, 30);
        chance(&rng, type, 3000);
        chance(&rng, type, 20000);
        measure(&rng, type, i == 0 ? "sparse" : "dense");
    }
    free_in_slices(&rng);
    return tap_done();
}
