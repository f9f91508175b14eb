/* After R. Giulietti, "The Schubfach way to render doubles" (2020). A double v = c * 2^q stands for all reals between
 * the middles to its two neighbours. The power of ten 10^k is chosen such that this interval, divided by it, is at
 * least 1 and less than 10 wide: so it holds an integer, and at most one multiple of ten, which is shorter and then
 * wins. The ends of the interval and v itself, times four to have the middles as integers, are multiplied with 10^-k,
 * known to 128 bits; the paper proves that rounding the product to odd is precise enough to compare with integers. */
#include "core/base/decimal.h"

#include <string.h>

#include "core/base/panic.h"

#define POWER_MIN (-292)
#define POWER_MAX 324
#define LIMBS 20

/* 10^i, scaled by a power of two to 2^127 <= g < 2^128, rounded up. */
static struct {
    uint64_t hi, lo;
} powers[POWER_MAX - POWER_MIN + 1];

/* --- making the powers: long numbers, least significant limb first --- */

/* The highest 128 bits; one is added unless nothing is cut off and the number is `exact`. */
static void keep_power(int i, const uint64_t *n, bool exact)
{
    int top = LIMBS - 1;
    while (n[top] == 0)
        top--;
    int shift = __builtin_clzll(n[top]);
    uint64_t word[3] = {top >= 2 ? n[top - 2] : 0, top >= 1 ? n[top - 1] : 0, n[top]};
    uint64_t hi = word[2] << shift, lo = word[1] << shift, rest = word[0] << shift;
    if (shift > 0) {
        hi |= word[1] >> (64 - shift);
        lo |= word[0] >> (64 - shift);
    }
    for (int j = 0; j < top - 2; j++)
        rest |= n[j];
    bool up = !exact || rest != 0;
    powers[i - POWER_MIN].lo = lo + up;
    powers[i - POWER_MIN].hi = hi + (up && lo == UINT64_MAX);
}

static void times_ten(uint64_t *n)
{
    unsigned __int128 carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (unsigned __int128)n[i] * 10;
        n[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

static void by_ten(uint64_t *n)
{
    unsigned __int128 left = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        left = left << 64 | n[i];
        n[i] = (uint64_t)(left / 10);
        left %= 10;
    }
}

/* Once, before main. Cost: some 50 us. */
__attribute__((constructor)) static void make_powers(void)
{
    uint64_t n[LIMBS] = {1};
    for (int i = 0; i <= POWER_MAX; i++, times_ten(n))
        keep_power(i, n, true);
    memset(n, 0, sizeof(n));
    n[LIMBS - 1] = 1;
    for (int i = -1; i >= POWER_MIN; i--) {
        by_ten(n);
        keep_power(i, n, false);
    }
}

/* --- the algorithm --- */

static int floor_log10_pow2(int e) { return (e * 1262611) >> 22; }
static int floor_log10_three_quarters_pow2(int e) { return (e * 1262611 - 524031) >> 22; }
static int floor_log2_pow10(int e) { return (e * 1741647) >> 19; }

/* The highest 64 bits of g * x, with the last bit set if anything was cut off. */
static uint64_t times_power(int power, uint64_t x)
{
    unsigned __int128 low = (unsigned __int128)powers[power - POWER_MIN].lo * x;
    unsigned __int128 high = (unsigned __int128)powers[power - POWER_MIN].hi * x + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The decimal in the interval around c * 2^q. `closer`: the neighbour below is only half as far as the one above. */
static struct decimal shortest_of(uint64_t c, int q, bool closer)
{
    int k = closer ? floor_log10_three_quarters_pow2(q) : floor_log10_pow2(q);
    int h = q + floor_log2_pow10(-k) + 1;
    uint64_t v = times_power(-k, 4 * c << h);
    /* The ends belong to the interval if reading rounds to even, that is, to this double. */
    uint64_t low = times_power(-k, (4 * c - 2 + closer) << h) + (c & 1),
             high = times_power(-k, (4 * c + 2) << h) - (c & 1);
    uint64_t s = v / 4, tens = s / 10;
    if (s >= 10) {
        bool below = low <= 40 * tens, above = 40 * tens + 40 <= high;
        if (below != above)
            return (struct decimal){tens + above, k + 1};
    }
    bool below = low <= 4 * s, above = 4 * s + 4 <= high;
    if (below != above)
        return (struct decimal){s + above, k};
    uint64_t middle = 4 * s + 2;
    return (struct decimal){s + (v > middle || (v == middle && (s & 1))), k};
}

struct decimal decimal_shortest(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52);
    ensure(bits > 0 && exponent < 2047);
    uint64_t c = exponent > 0 ? fraction | (uint64_t)1 << 52 : fraction;
    int q = (exponent > 0 ? exponent : 1) - 1075;
    struct decimal d = shortest_of(c, q, fraction == 0 && exponent > 1);
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    return d;
}
