/* Time, behind an interface so that a test can own it. No product code calls time() or clock_gettime().
 * Immutable after start; any thread may read it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "core/base/base.h"

struct clock {
    uint64_t (*mono_us)(struct clock *c); /* monotonic, microseconds, arbitrary origin */
    int64_t (*wall_us)(struct clock *c);  /* Unix time in microseconds */
    void (*sleep_us)(struct clock *c, uint64_t us);
};

static inline uint64_t clock_mono_us(struct clock *c) { return c->mono_us(c); }
static inline int64_t clock_wall_us(struct clock *c) { return c->wall_us(c); }
static inline int64_t clock_wall_ms(struct clock *c) { return c->wall_us(c) / 1000; }

/* The machine's clock; one static object. */
struct clock *clock_real(void);

/* A clock that moves only when told. The holder writes the fields. */
struct clock_manual {
    struct clock base;
    uint64_t now_us;   /* monotonic */
    int64_t offset_us; /* wall = now_us + offset_us */
};
void clock_manual_init(struct clock_manual *c, uint64_t now_us, int64_t wall_us);

#endif
