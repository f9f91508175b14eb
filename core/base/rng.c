#include "core/base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include "core/base/panic.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* Multiply-shift with rejection (Lemire 2019). */
uint64_t rng_below(struct rng *r, uint64_t n)
{
    ensure(n > 0);
    unsigned __int128 m = (unsigned __int128)rng_u64(r) * n;
    if ((uint64_t)m < n) {
        uint64_t floor = -n % n;
        while ((uint64_t)m < floor)
            m = (unsigned __int128)rng_u64(r) * n;
    }
    return (uint64_t)(m >> 64);
}

double rng_unit(struct rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

static void real_fill(struct entropy *e, void *p, size_t len)
{
    uint8_t *at = p;
    (void)e;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        ensure(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

struct entropy *entropy_real(void)
{
    static struct entropy e = {real_fill};
    return &e;
}

static void seeded_fill(struct entropy *e, void *p, size_t len)
{
    struct entropy_seeded *s = (struct entropy_seeded *)e;
    uint8_t *at = p;
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)rng_u64(&s->rng);
}

void entropy_seeded_init(struct entropy_seeded *e, uint64_t seed)
{
    e->base.fill = seeded_fill;
    rng_seed(&e->rng, seed);
}

void entropy_hex(struct entropy *e, char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte;
        e->fill(e, &byte, 1);
        out[i] = "0123456789abcdef"[byte & 15];
    }
    out[len] = 0;
}
