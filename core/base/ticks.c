#include "core/base/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define FIRST_US 2000
#define SLOW_READ_US 20 /* the thread was interrupted between the two readings */

/* Whether the counter runs at one rate, whatever the processor does to save energy. */
static bool steady_counter(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
#elif defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

static bool read_both(const struct ticks *t, uint64_t *tick, uint64_t *us)
{
    uint64_t before = clock_mono_us(t->clock);
    *tick = ticks_now(t);
    *us = clock_mono_us(t->clock);
    return *us - before < SLOW_READ_US;
}

void ticks_init(struct ticks *t, struct clock *clock)
{
    t->clock = clock;
    t->hardware = clock == clock_real() && steady_counter();
    atomic_store(&t->ns, 1000ull << 32);
    if (!t->hardware)
        return;
    for (int tries = 0; tries < 10 && !read_both(t, &t->first_tick, &t->first_us); tries++)
        ;
    clock->sleep_us(clock, FIRST_US);
    ticks_calibrate(t);
}

void ticks_calibrate(struct ticks *t)
{
    uint64_t tick, us;
    if (!t->hardware || (!read_both(t, &tick, &us) && us - t->first_us > 2 * FIRST_US))
        return;
    if (tick > t->first_tick && us > t->first_us)
        atomic_store_explicit(&t->ns,
                              (uint64_t)(((unsigned __int128)(us - t->first_us) * 1000 << 32) / (tick - t->first_tick)),
                              memory_order_relaxed);
}

uint64_t ticks_of_us(const struct ticks *t, uint64_t us)
{
    uint64_t ns = atomic_load_explicit(&t->ns, memory_order_relaxed);
    unsigned __int128 n = (((unsigned __int128)us * 1000 << 32) + ns - 1) / ns;
    return n > UINT64_MAX ? UINT64_MAX : (uint64_t)n;
}
