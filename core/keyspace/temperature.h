/* Temperature: Redis's 24 bits in each entry. By policy either the LRU clock (seconds, wraps) or the LFU pair (16 bits
 * minutes of last decay, 8 bits logarithmic counter). Source: Redis documentation, "Key eviction". */
#ifndef KEYSPACE_TEMPERATURE_H
#define KEYSPACE_TEMPERATURE_H

#include "core/base/rng.h"

struct temperature {
    bool lfu;
    uint32_t lfu_log_factor;
    uint32_t lfu_decay_minutes;
    uint32_t now_s; /* Unix seconds, set once a turn */
};

#define TEMPERATURE_MAX 0xffffffu

uint32_t temperature_new(const struct temperature *t);
uint32_t temperature_touch_lfu(const struct temperature *t, uint32_t old, struct rng *rng);
/* The temperature after one more access. */
static inline uint32_t temperature_touch(const struct temperature *t, uint32_t old, struct rng *rng)
{
    return unlikely(t->lfu) ? temperature_touch_lfu(t, old, rng) : t->now_s & TEMPERATURE_MAX;
}
/* How cold: greater is colder; comparable among entries of one policy. LRU: idle seconds; LFU: 255 - decayed counter.
 */
uint32_t temperature_coldness(const struct temperature *t, uint32_t temp);
uint32_t temperature_idle_s(const struct temperature *t, uint32_t temp); /* OBJECT IDLETIME */
uint32_t temperature_freq(const struct temperature *t, uint32_t temp);   /* OBJECT FREQ */
/* A temperature as RESTORE IDLETIME / FREQ give it. */
uint32_t temperature_from_idle(const struct temperature *t, uint64_t idle_s);
uint32_t temperature_from_freq(const struct temperature *t, uint8_t freq);

#endif
