/* A time stamp of a few instructions, for what is measured a million times a second: the machine's cycle counter, laid
 * beside the clock. Where the clock is not the machine's (a test owns it), or the machine has no counter that runs
 * evenly, a tick is a microsecond of the clock.
 *
 * Any thread reads it; one thread calibrates. */
#ifndef BASE_TICKS_H
#define BASE_TICKS_H

#include <stdatomic.h>

#include "core/base/clock.h"

struct ticks {
    struct clock *clock;
    bool hardware;
    uint64_t first_tick, first_us;
    _Atomic uint64_t ns; /* nanoseconds of a tick, 32 bits of them behind the point */
};

/* The first calibration takes up to some milliseconds of sleep. */
void ticks_init(struct ticks *t, struct clock *clock);
/* The longer ago ticks_init was, the better. */
void ticks_calibrate(struct ticks *t);

static inline uint64_t ticks_now(const struct ticks *t)
{
#if defined(__x86_64__)
    if (likely(t->hardware))
        return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    if (likely(t->hardware)) {
        uint64_t v;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
        return v;
    }
#endif
    return clock_mono_us(t->clock);
}

static inline uint64_t ticks_ns(const struct ticks *t, uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * atomic_load_explicit(&t->ns, memory_order_relaxed) >> 32);
}

/* The number of ticks in so many microseconds, rounded up; at most UINT64_MAX. */
uint64_t ticks_of_us(const struct ticks *t, uint64_t us);

#endif
