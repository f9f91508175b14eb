/* The 24 bits. LRU: Unix seconds modulo 2^24 (194 days). LFU: minutes modulo 2^16 of the last decay, then an 8-bit
 * counter that grows with probability 1 / ((counter - 5) * lfu_log_factor + 1) and loses one per decay interval.
 * Source: Redis documentation, "Key eviction", figures for lfu-log-factor and lfu-decay-time. */
#include "core/keyspace/temperature.h"

#define LFU_START 5
#define LFU_MAX 255

static uint32_t minutes(const struct temperature *t) { return (t->now_s / 60) & 0xffff; }
static uint32_t lfu_pack(const struct temperature *t, uint32_t counter) { return minutes(t) << 8 | counter; }

static uint32_t lfu_decayed(const struct temperature *t, uint32_t temp)
{
    uint32_t counter = temp & 0xff;
    uint32_t elapsed = (minutes(t) - (temp >> 8)) & 0xffff;
    uint32_t periods = t->lfu_decay_minutes ? elapsed / t->lfu_decay_minutes : 0;
    return periods > counter ? 0 : counter - periods;
}

uint32_t temperature_new(const struct temperature *t)
{
    return t->lfu ? lfu_pack(t, LFU_START) : t->now_s & TEMPERATURE_MAX;
}

uint32_t temperature_touch_lfu(const struct temperature *t, uint32_t old, struct rng *rng)
{
    uint32_t counter = lfu_decayed(t, old);
    uint32_t base = counter > LFU_START ? counter - LFU_START : 0;
    if (counter < LFU_MAX && rng_below(rng, (uint64_t)base * t->lfu_log_factor + 1) == 0)
        counter++;
    return lfu_pack(t, counter);
}

uint32_t temperature_idle_s(const struct temperature *t, uint32_t temp) { return (t->now_s - temp) & TEMPERATURE_MAX; }
uint32_t temperature_freq(const struct temperature *t, uint32_t temp) { return lfu_decayed(t, temp); }

uint32_t temperature_coldness(const struct temperature *t, uint32_t temp)
{
    return t->lfu ? LFU_MAX - lfu_decayed(t, temp) : temperature_idle_s(t, temp);
}

uint32_t temperature_from_idle(const struct temperature *t, uint64_t idle_s)
{
    return idle_s > TEMPERATURE_MAX ? (t->now_s + 1) & TEMPERATURE_MAX
                                    : (t->now_s - (uint32_t)idle_s) & TEMPERATURE_MAX;
}

uint32_t temperature_from_freq(const struct temperature *t, uint8_t freq) { return lfu_pack(t, freq); }
