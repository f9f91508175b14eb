/* The 24 bits of temperature: the LRU clock, the logarithmic LFU counter and its decay, on a clock that stands still
 * unless told. */
#include "core/keyspace/temperature.h"

#include "tests/sim/tap.h"

#define BITS24 0xffffffu
#define NOW 1700000000u

static struct temperature lru(uint32_t now_s) { return (struct temperature){false, 10, 1, now_s}; }
static struct temperature lfu(uint32_t now_s, uint32_t factor, uint32_t decay)
{
    return (struct temperature){true, factor, decay, now_s};
}

static void clock_of_accesses(struct rng *rng)
{
    struct temperature t = lru(NOW);
    uint32_t old = temperature_new(&t), touched;
    ok(old <= BITS24 && temperature_idle_s(&t, old) == 0 && temperature_coldness(&t, old) == 0,
       "LRU: a new key is warm");
    t.now_s += 1000;
    touched = temperature_touch(&t, old, rng);
    ok(temperature_idle_s(&t, old) == 1000 && temperature_coldness(&t, old) == 1000, "idle seconds are its coldness");
    ok(temperature_idle_s(&t, touched) == 0 && touched <= BITS24, "an access makes it warm");
    t = lru(BITS24 - 10);
    old = temperature_new(&t);
    t.now_s += 100;
    ok(temperature_idle_s(&t, old) == 100, "across the wrap of 24 bits");
    t.now_s += BITS24 - 100;
    ok(temperature_idle_s(&t, old) == BITS24, "up to 194 days");
    t = lru(NOW);
    ok(temperature_idle_s(&t, temperature_from_idle(&t, 0)) == 0 &&
           temperature_idle_s(&t, temperature_from_idle(&t, 12345)) == 12345 &&
           temperature_idle_s(&t, temperature_from_idle(&t, BITS24)) == BITS24,
       "RESTORE IDLETIME");
    ok(temperature_idle_s(&t, temperature_from_idle(&t, (uint64_t)BITS24 + 1)) == BITS24 &&
           temperature_idle_s(&t, temperature_from_idle(&t, UINT64_MAX)) == BITS24,
       "more than can be said is the most that can");
}

static uint32_t after_hits(struct rng *rng, uint32_t factor, int hits)
{
    struct temperature t = lfu(NOW, factor, 1);
    uint32_t temp = temperature_new(&t);
    for (int i = 0; i < hits; i++)
        temp = temperature_touch(&t, temp, rng);
    return temperature_freq(&t, temp);
}

/* The average of many, within a fifth of the figure in Redis's documentation ("Key eviction"). */
static bool about(struct rng *rng, uint32_t factor, int hits, double want)
{
    double sum = 0;
    int n = hits > 10000 ? 20 : 200;
    for (int i = 0; i < n; i++)
        sum += after_hits(rng, factor, hits);
    double mean = sum / n;
    tap_diag("factor %u, %d hits: %.1f, documented %.0f", factor, hits, mean, want);
    return mean > want * 0.8 - 1 && mean < want * 1.2 + 1;
}

static void counter(struct rng *rng)
{
    struct temperature t = lfu(NOW, 10, 1);
    uint32_t temp = temperature_new(&t);
    ok(temp <= BITS24 && temperature_freq(&t, temp) == 5 && temperature_coldness(&t, temp) == 250,
       "LFU: a new key has 5");
    ok(after_hits(rng, 0, 250) == 255 && after_hits(rng, 0, 1000) == 255,
       "with factor 0 each access counts, up to 255");
    ok(about(rng, 1, 100, 18) && about(rng, 1, 1000, 49), "factor 1 as documented");
    ok(about(rng, 10, 100, 10) && about(rng, 10, 1000, 18) && about(rng, 10, 100000, 142), "factor 10");
    ok(about(rng, 100, 100, 8) && about(rng, 100, 1000, 11) && about(rng, 100, 100000, 49), "factor 100");
    temp = temperature_from_freq(&t, 200);
    ok(temperature_freq(&t, temp) == 200 && temperature_coldness(&t, temp) == 55, "RESTORE FREQ");
}

static void decay(struct rng *rng)
{
    struct temperature t = lfu(NOW, 10, 1);
    uint32_t temp = temperature_from_freq(&t, 100);
    t.now_s += 60 * 30;
    ok(temperature_freq(&t, temp) == 70, "one is lost a minute");
    ok(temperature_freq(&t, temperature_touch(&t, temp, rng)) >= 70 &&
           temperature_freq(&t, temperature_touch(&t, temp, rng)) <= 71,
       "also when the key is accessed");
    temp = temperature_touch(&t, temp, rng);
    t.now_s += 60 * 10;
    ok(temperature_freq(&t, temp) >= 60 && temperature_freq(&t, temp) <= 61, "which starts the next minute");
    t.now_s += 60 * 1000;
    ok(temperature_freq(&t, temp) == 0 && temperature_coldness(&t, temp) == 255, "down to nothing");
    ok(temperature_freq(&t, temperature_touch(&t, temp, rng)) == 1, "from where the first access counts for certain");
    t = lfu(NOW, 10, 10);
    temp = temperature_from_freq(&t, 100);
    t.now_s += 60 * 39;
    ok(temperature_freq(&t, temp) == 97, "with lfu-decay-time 10 one in ten minutes");
    t = lfu(NOW, 10, 0);
    temp = temperature_from_freq(&t, 100);
    t.now_s += 60 * 1000;
    ok(temperature_freq(&t, temp) == 100, "with 0 never");
    t = lfu(65535 * 60, 10, 1);
    temp = temperature_from_freq(&t, 100);
    t.now_s += 60 * 5;
    ok(temperature_freq(&t, temp) == 95, "across the wrap of 16 bits of minutes");
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    clock_of_accesses(&rng);
    counter(&rng);
    decay(&rng);
    return tap_done();
}
