/* Pseudo-random numbers from a seed (xoshiro256**, Blackman and Vigna 2018); one state a thread, never global.
 * Not for secrets: an entropy source (below) fills those. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "core/base/base.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed); /* expanded by splitmix64 */
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t rng_below(struct rng *r, uint64_t n);
double rng_unit(struct rng *r); /* [0, 1) */

/* Where seeds, hash keys and ids come from: the kernel, or in a simulation another seeded generator. */
struct entropy {
    void (*fill)(struct entropy *e, void *p, size_t len);
};
struct entropy *entropy_real(void);
struct entropy_seeded {
    struct entropy base;
    struct rng rng;
};
void entropy_seeded_init(struct entropy_seeded *e, uint64_t seed);
/* `len` lower-case hexadecimal digits and a NUL. */
void entropy_hex(struct entropy *e, char *out, size_t len);

#endif
