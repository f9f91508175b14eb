#include "core/base/clock.h"

#include <errno.h>
#include <time.h>

static uint64_t real_mono_us(struct clock *c)
{
    struct timespec ts;
    (void)c;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int64_t real_wall_us(struct clock *c)
{
    struct timespec ts;
    (void)c;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void real_sleep_us(struct clock *c, uint64_t us)
{
    struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    (void)c;
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
        ;
}

struct clock *clock_real(void)
{
    static struct clock clock = {real_mono_us, real_wall_us, real_sleep_us};
    return &clock;
}

static uint64_t manual_mono_us(struct clock *c) { return ((struct clock_manual *)c)->now_us; }

static int64_t manual_wall_us(struct clock *c)
{
    struct clock_manual *m = (struct clock_manual *)c;
    return (int64_t)m->now_us + m->offset_us;
}

static void manual_sleep_us(struct clock *c, uint64_t us) { ((struct clock_manual *)c)->now_us += us; }

void clock_manual_init(struct clock_manual *c, uint64_t now_us, int64_t wall_us)
{
    *c = (struct clock_manual){{manual_mono_us, manual_wall_us, manual_sleep_us}, now_us, wall_us - (int64_t)now_us};
}
