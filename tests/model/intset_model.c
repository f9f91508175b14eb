/* Random additions and removals, against a sorted array: every query agrees with it after every step, and the bytes
 * stay valid. Also known bytes, and bytes that are refused. */
#include "core/base/rng.h"
#include "core/ds/intset.h"
#include "tests/sim/tap.h"

#include <stdlib.h>

#define MAX 1000

static int64_t model[MAX];
static size_t n;
static struct rng rng;

static size_t rank(int64_t v)
{
    size_t i = 0;
    while (i < n && model[i] < v)
        i++;
    return i;
}

static uint8_t *add(uint8_t *s, int64_t v, bool *good)
{
    bool added;
    size_t at = rank(v);
    bool there = at < n && model[at] == v;
    s = intset_add(s, v, &added);
    *good &= added == !there;
    if (!there) {
        memmove(model + at + 1, model + at, (n - at) * sizeof(*model));
        model[at] = v;
        n++;
    }
    return s;
}

static uint8_t *drop(uint8_t *s, int64_t v, bool *good)
{
    bool removed;
    size_t at = rank(v);
    bool there = at < n && model[at] == v;
    s = intset_remove(s, v, &removed);
    *good &= removed == there;
    if (there) {
        memmove(model + at, model + at + 1, (n - at - 1) * sizeof(*model));
        n--;
    }
    return s;
}

/* Of at most so many bits, so that a set widens as it goes. */
static int64_t random_int(unsigned bits)
{
    uint64_t v = rng_u64(&rng) >> (64 - (1 + rng_below(&rng, bits)));
    return rng_below(&rng, 2) ? (int64_t)v : (int64_t)(0 - v);
}

static bool agrees(const uint8_t *s, int64_t v)
{
    uint32_t at;
    bool there = intset_find(s, v, &at);
    bool same = intset_count(s) == n && intset_validate(intset_slice(s)) && at == rank(v) &&
                there == (at < n && model[at] == v) && intset_find(s, v, NULL) == there;
    for (size_t i = 0; i < n; i++)
        same &= intset_at(s, (uint32_t)i) == model[i];
    return same;
}

static void random_steps(int round)
{
    static const unsigned widths[] = {6, 15, 16, 31, 32, 63, 64};
    uint8_t *s = intset_new();
    bool good = true;
    n = 0;
    for (size_t i = 0; i < 3 * MAX && good; i++) {
        unsigned bits = widths[min_u64(i * ARRAY_LEN(widths) / MAX, ARRAY_LEN(widths) - 1)];
        int64_t v = n > 0 && rng_below(&rng, 4) == 0 ? model[rng_below(&rng, n)] : random_int(bits);
        bool grow = n < MAX && rng_below(&rng, 100) < (i < 2 * MAX ? 70 : 20);
        s = grow ? add(s, v, &good) : drop(s, n > 0 && rng_below(&rng, 3) ? model[rng_below(&rng, n)] : v, &good);
        good &= agrees(s, v);
    }
    uint8_t *copy = intset_copy(intset_slice(s));
    good &= agrees(copy, 0);
    ok(good, "round %d: %zu integers of %u bytes", round, n, (unsigned)intset_width(s));
    intset_free(copy);
    intset_free(s);
}

static void limits(void)
{
    static const int64_t values[] = {INT16_MAX, INT16_MIN, INT32_MAX,        INT32_MIN, INT64_MAX,
                                     INT64_MIN, 32768,     INT64_C(1) << 31, -32769,    -(INT64_C(1) << 31) - 1};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        uint8_t *s = intset_new();
        bool good = true;
        n = 0;
        for (size_t j = 0; j < ARRAY_LEN(values); j++)
            s = add(s, values[(i + j) % ARRAY_LEN(values)], &good);
        for (size_t j = 0; j < ARRAY_LEN(values); j++)
            good &= agrees(s, values[j]);
        ok(good && intset_count(s) == ARRAY_LEN(values), "limits of widths, in order %zu", i);
        intset_free(s);
    }
}

static bool is(const uint8_t *s, const void *want, size_t len)
{
    return slice_eq(intset_slice(s), slice_of(want, len));
}

static void layout(void)
{
    bool good = true;
    uint8_t *s = intset_new();
    n = 0;
    s = add(add(s, 5, &good), -2, &good);
    ok(is(s, "\2\0\0\0\2\0\0\0\xfe\xff\5\0", 12), "two bytes each");
    s = add(s, 65536, &good);
    ok(is(s, "\4\0\0\0\3\0\0\0\xfe\xff\xff\xff\5\0\0\0\0\0\1\0", 20), "four");
    s = drop(add(s, -INT64_C(4294967297), &good), 65536, &good);
    ok(good &&
           is(s, "\10\0\0\0\3\0\0\0\xff\xff\xff\xff\xfe\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\5\0\0\0\0\0\0\0",
              32),
       "eight, and it stays so");
    intset_free(s);
    intset_free(NULL);
}

static bool valid(const void *bytes, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    memcpy(exact, bytes, len);
    bool good = intset_validate(slice_of(exact, len));
    free(exact);
    return good;
}

static void hostile(void)
{
    ok(valid("\2\0\0\0\0\0\0\0", 8) && valid("\2\0\0\0\2\0\0\0\1\0\2\0", 12), "good ones");
    ok(!valid("", 0) && !valid("\2\0\0\0\0\0\0", 7) && !valid("\2\0\0\0\2\0\0\0\1\0\2", 11) &&
           !valid("\2\0\0\0\1\0\0\0\1\0\2\0", 12) && !valid("\10\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16) &&
           !valid("\10\0\0\0\1\0\0\x20\0\0\0\0\0\0\0\0", 16),
       "size and count");
    ok(!valid("\0\0\0\0\0\0\0\0", 8) && !valid("\3\0\0\0\0\0\0\0", 8) && !valid("\2\1\0\0\0\0\0\0", 8), "width");
    ok(!valid("\2\0\0\0\2\0\0\0\2\0\1\0", 12) && !valid("\2\0\0\0\2\0\0\0\1\0\1\0", 12) &&
           !valid("\2\0\0\0\2\0\0\0\0\0\xff\xff", 12),
       "order, and twice the same");
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    layout();
    hostile();
    limits();
    for (int round = 0; round < 8; round++)
        random_steps(round);
    return tap_done();
}
