/* Time stamps: they run with the clock, whichever it is; and the histogram in which they are counted. */
#include "core/base/ticks.h"
#include "core/base/histogram.h"
#include "core/base/rng.h"
#include "tests/sim/tap.h"

static void owned_clock(void)
{
    struct clock_manual clock;
    struct ticks t = {0};
    clock_manual_init(&clock, 1000, 5000000);
    ticks_init(&t, &clock.base);
    uint64_t from = ticks_now(&t);
    clock.now_us += 1234;
    ok(ticks_ns(&t, ticks_now(&t) - from) == 1234000, "a test's clock is believed");
    ok(ticks_of_us(&t, 10) == 10 && ticks_of_us(&t, UINT64_MAX / 2) == UINT64_MAX / 2, "and counts microseconds");
}

/* Whether ticks are about as long as the clock says while so many microseconds are slept. */
static bool agree(struct ticks *t, struct clock *clock, uint64_t sleep_us)
{
    ticks_init(t, clock);
    uint64_t us = clock_mono_us(clock), from = ticks_now(t);
    clock->sleep_us(clock, sleep_us);
    uint64_t ticks = ticks_now(t) - from;
    us = clock_mono_us(clock) - us;
    ticks_calibrate(t);
    uint64_t measured = ticks_ns(t, ticks) / 1000;
    tap_diag("%llu for %llu us", (unsigned long long)measured, (unsigned long long)us);
    return measured > us / 2 && measured < us * 2;
}

static void machine(void)
{
    struct clock *clock = clock_real();
    struct ticks t = {0};
    uint64_t sleep_us = 50000;
    /* The pairs of readings may be interrupted, and for how long is anybody's guess: then it is tried for longer. */
    while (!agree(&t, clock, sleep_us) && sleep_us < 5000000)
        sleep_us *= 2;
    ok(sleep_us < 5000000, "ticks are as long as the clock says");
    uint64_t back = ticks_ns(&t, ticks_of_us(&t, 1000000));
    ok(back >= 999999000 && back < 1000100000, "there and back");
    ok(ticks_of_us(&t, UINT64_MAX) > (uint64_t)1 << 62, "the longest time does not overflow");
}

static void buckets(struct rng *rng)
{
    bool inside = true, close = true, rising = true;
    for (unsigned b = 1; b < HISTOGRAM_BUCKETS; b++)
        rising &= histogram_upper(b) > histogram_upper(b - 1) && histogram_bucket(histogram_upper(b)) == b;
    for (int i = 0; i < 100000; i++) {
        uint64_t v = i < 1000 ? (uint64_t)i : rng_u64(rng) >> (24 + rng_u64(rng) % 40);
        unsigned b = histogram_bucket(v);
        inside &= v <= histogram_upper(b) && (b == 0 || v > histogram_upper(b - 1));
        close &= histogram_upper(b) - v <= v / HISTOGRAM_SUB;
    }
    ok(rising, "bounds rise and lie in their buckets");
    ok(inside, "every value lies between its bucket's bounds");
    ok(close, "a sixteenth is the largest error");
    ok(histogram_bucket(HISTOGRAM_LIMIT - 1) < HISTOGRAM_BUCKETS, "the largest has a bucket");
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    owned_clock();
    machine();
    buckets(&rng);
    return tap_done();
}
