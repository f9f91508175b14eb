/* Random inserts and erases, against a plain array: look-ups, scans and samples agree with it, and every invariant
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

static uint64_t hash_of(const void *item, void *arg)
{
    (void)arg;
    return ((const struct item *)item)->hash;
}

static bool found(struct table *t, const struct item *it)
{
    struct table_probe p;
    for (void *x = table_first(t, it->hash, &p); x != NULL; x = table_next(&p))
        if (x == it)
            return true;
    return false;
}

static void see(void *arg, void *item)
{
    (void)arg;
    ((struct item *)item)->seen++;
}

static bool scan_sees_each_once(struct table *t)
{
    uint64_t cursor = 0;
    bool good = true;
    for (size_t i = 0; i < MAX; i++)
        items[i].seen = 0;
    do
        cursor = table_scan(t, cursor, see, NULL);
    while (cursor != 0);
    for (size_t i = 0; i < MAX; i++)
        good &= items[i].seen == (items[i].in ? 1u : 0u);
    return good;
}

static bool sample_is_sound(struct table *t, struct rng *rng)
{
    void *out[64];
    size_t n = table_sample(t, rng_u64(rng), out, 64);
    bool good = count == 0 ? n == 0 : n > 0;
    for (size_t i = 0; i < n; i++) {
        good &= ((struct item *)out[i])->in;
        for (size_t k = 0; k < i; k++)
            good &= out[i] != out[k];
    }
    return good;
}

static void toggle(struct table *t, struct item *it)
{
    if (it->in)
        table_erase(t, it->hash, it);
    else
        table_insert(t, it->hash, it);
    count += it->in ? (size_t)-1 : 1;
    it->in = !it->in;
}

/* What is there during the whole scan is seen, however the table grows meanwhile. */
static bool scan_while_growing(struct table *t, struct rng *rng)
{
    uint64_t cursor = 0;
    bool good = true;
    static bool before[MAX];
    for (size_t i = 0; i < MAX; i++) {
        items[i].seen = 0;
        before[i] = items[i].in;
    }
    do {
        cursor = table_scan(t, cursor, see, NULL);
        for (int k = 0; k < 20; k++) {
            struct item *it = &items[rng_below(rng, MAX)];
            if (!it->in)
                toggle(t, it);
        }
    } while (cursor != 0);
    for (size_t i = 0; i < MAX; i++)
        good &= !before[i] || items[i].seen == 1;
    return good;
}

static void round_of(struct rng *rng, size_t range)
{
    struct table *t = table_new(&(struct table_type){hash_of, NULL});
    bool good = true;
    count = 0;
    for (size_t i = 0; i < MAX; i++) /* some share their whole hash, some their place */
        items[i] = (struct item){.hash = rng_below(rng, 50) ? rng_u64(rng) : rng_below(rng, 4) << 40};
    for (int i = 0; i < 40000; i++) {
        toggle(t, &items[rng_below(rng, range)]);
        if (i % 1000 == 0)
            good &= sample_is_sound(t, rng);
    }
    table_validate(t);
    for (size_t i = 0; i < MAX; i++)
        good &= found(t, &items[i]) == items[i].in;
    ok(good && table_count(t) == count, "%zu of %zu items are found, no other", count, range);
    ok(scan_sees_each_once(t), "a scan sees each once");
    ok(scan_while_growing(t, rng), "also while the table grows");
    for (size_t i = 0; i < MAX; i++)
        if (items[i].in)
            toggle(t, &items[i]);
    table_validate(t);
    ok(table_count(t) == 0 && sample_is_sound(t, rng), "empty again");
    toggle(t, &items[0]);
    ok(found(t, &items[0]) && table_memory(t) < 10000, "and small again");
    table_free(t);
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    round_of(&rng, 20);
    round_of(&rng, 1000);
    round_of(&rng, MAX);
    return tap_done();
}
