/* Bits of strings against one bit at a time. */
#include "core/value/bits.h"

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/sim/tap.h"

#define LONGEST 9000

static struct rng rng;

static uint64_t below(uint64_t n) { return rng_u64(&rng) % n; }

/* Mostly ones, mostly zeros or mixed, so that long runs occur. */
static void fill(uint8_t *p, size_t len)
{
    uint8_t common = (uint8_t)(below(2) ? 0xff : 0);
    uint64_t odd = below(3) == 0 ? 1 : 1 + below(300);
    for (size_t i = 0; i < len; i++)
        p[i] = below(odd) == 0 ? (uint8_t)rng_u64(&rng) : common;
}

static uint64_t slow_count(struct slice s, uint64_t first, uint64_t last)
{
    uint64_t n = 0;
    for (uint64_t i = first; i <= last; i++)
        n += s.p[i / 8] >> (7 - i % 8) & 1;
    return n;
}

static int64_t slow_find(struct slice s, uint64_t first, uint64_t last, bool on)
{
    for (uint64_t i = first; i <= last; i++)
        if ((s.p[i / 8] >> (7 - i % 8) & 1) == on)
            return (int64_t)i;
    return -1;
}

static void ranges(void)
{
    uint8_t *p = mem_alloc(LONGEST);
    bool good = true;
    for (int round = 0; round < 3000; round++) {
        struct slice s = slice_of(p, 1 + below(round % 2 ? 40 : 1000));
        fill(p, s.len);
        uint64_t first = below(s.len * 8), last = below(s.len * 8);
        bool on = below(2);
        good &= bits_count(s, first, last) == slow_count(s, first, last);
        good &= bits_find(s, first, last, on) == slow_find(s, first, last, on);
        good &= bits_get(s, first) == slow_count(s, first, first);
    }
    ok(good, "counting and searching in ranges");
    ok(!bits_get(slice_of(p, 1), 8) && !bits_get(slice_of(p, 0), 0), "zeros follow the end");
    bits_set(p, 13, true);
    ok(bits_get(slice_of(p, 2), 13), "a bit is set");
    bits_set(p, 13, false);
    ok(!bits_get(slice_of(p, 2), 13), "and cleared");
    mem_free(p, LONGEST);
}

static bool expected(enum bits_op op, const bool *bit, size_t n)
{
    size_t ones = 0;
    for (size_t i = 0; i < n; i++)
        ones += bit[i];
    switch (op) {
    case BITS_AND:
        return ones == n;
    case BITS_OR:
        return ones > 0;
    case BITS_XOR:
        return ones % 2;
    case BITS_NOT:
        return ones == 0;
    case BITS_DIFF:
        return bit[0] && ones == 1;
    case BITS_DIFF1:
        return !bit[0] && ones > 0;
    case BITS_ANDOR:
        return bit[0] && ones > 1;
    default:
        return ones == 1;
    }
}

#define SOURCES 5

static bool combination(enum bits_op op, uint8_t **p, uint8_t *out)
{
    struct slice s[SOURCES];
    size_t n = op == BITS_NOT ? 1 : 1 + below(SOURCES), len = 0;
    for (size_t i = 0; i < n; i++) {
        s[i] = slice_of(p[i], below(below(3) ? 60 : LONGEST));
        fill(p[i], s[i].len);
        len = s[i].len > len ? s[i].len : len;
    }
    memset(out, 0x55, LONGEST);
    bits_combine(op, s, n, out, len);
    for (uint64_t at = 0; at < len * 8; at++) {
        bool bit[SOURCES];
        for (size_t i = 0; i < n; i++)
            bit[i] = bits_get(s[i], at);
        if (bits_get(slice_of(out, len), at) != expected(op, bit, n))
            return false;
    }
    return len == LONGEST || out[len] == 0x55;
}

static void combinations(void)
{
    uint8_t *p[SOURCES], *out = mem_alloc(LONGEST);
    for (int i = 0; i < SOURCES; i++)
        p[i] = mem_alloc(LONGEST);
    for (int op = BITS_AND; op <= BITS_ONE; op++) {
        bool good = true;
        for (int round = 0; round < 60 && good; round++)
            good = combination((enum bits_op)op, p, out);
        ok(good, "operation %d", op);
    }
    for (int i = 0; i < SOURCES; i++)
        mem_free(p[i], LONGEST);
    mem_free(out, LONGEST);
}

static void fields(void)
{
    uint8_t p[32], before[32];
    bool good = true;
    for (int round = 0; round < 20000 && good; round++) {
        bool is_signed = below(2);
        struct bits_type type = {is_signed, (uint8_t)(1 + below(63 + is_signed))};
        uint64_t at = below(sizeof(p) * 8 - type.width + 1);
        int64_t v = (int64_t)rng_u64(&rng), want = v;
        fill(p, sizeof(p));
        memcpy(before, p, sizeof(p));
        bits_write(p, at, type, v);
        if (type.width < 64) {
            uint64_t low = (uint64_t)v & (((uint64_t)1 << type.width) - 1);
            want = (int64_t)low;
            if (is_signed && low >> (type.width - 1))
                want = (int64_t)(low - ((uint64_t)1 << type.width));
        }
        good = bits_read(slice_of(p, sizeof(p)), at, type) == want;
        for (uint64_t i = 0; i < sizeof(p) * 8; i++)
            if (i < at || i >= at + type.width)
                good &= bits_get(slice_of(p, sizeof(p)), i) == bits_get(slice_of(before, sizeof(before)), i);
    }
    ok(good, "a field is read as it was written, and its neighbours stay");
    ok(bits_read(slice_of("\xff", 1), 4, (struct bits_type){false, 8}) == 0xf0, "zeros follow the end");
}

static bool adds(bool is_signed, uint8_t width, int64_t a, int64_t b, enum bits_overflow how, int64_t want)
{
    int64_t out = 4711;
    struct bits_type type = {is_signed, width};
    return bits_add(type, a, b, how, &out) && out == want;
}

static bool fails(bool is_signed, uint8_t width, int64_t a, int64_t b)
{
    int64_t out = 4711;
    return !bits_add((struct bits_type){is_signed, width}, a, b, BITS_FAIL, &out) && out == 4711;
}

static void sums(void)
{
    ok(adds(false, 8, 250, 5, BITS_FAIL, 255) && fails(false, 8, 250, 6) && fails(false, 8, 0, -1), "u8");
    ok(adds(false, 8, 250, 10, BITS_WRAP, 4) && adds(false, 8, 3, -4, BITS_WRAP, 255), "u8 wraps");
    ok(adds(false, 8, 250, INT64_MAX, BITS_SAT, 255) && adds(false, 8, 3, INT64_MIN, BITS_SAT, 0), "u8 saturates");
    ok(adds(false, 8, -1, 0, BITS_SAT, 255), "a negative number is a large unsigned one");
    ok(adds(true, 8, 127, 1, BITS_WRAP, -128) && adds(true, 8, -128, -1, BITS_WRAP, 127), "i8 wraps");
    ok(adds(true, 8, 127, 1, BITS_SAT, 127) && adds(true, 8, INT64_MIN, 0, BITS_SAT, -128), "i8 saturates");
    ok(adds(true, 1, 0, 0, BITS_FAIL, 0) && adds(true, 1, -1, 0, BITS_FAIL, -1) && fails(true, 1, 1, 0), "i1");
    ok(adds(true, 64, INT64_MAX, 1, BITS_WRAP, INT64_MIN) && adds(true, 64, INT64_MAX, 1, BITS_SAT, INT64_MAX) &&
           adds(true, 64, INT64_MIN, -1, BITS_SAT, INT64_MIN) && fails(true, 64, INT64_MIN, -1),
       "i64");
    ok(adds(false, 63, INT64_MAX, 1, BITS_WRAP, 0) && adds(false, 63, INT64_MAX, 1, BITS_SAT, INT64_MAX), "u63");
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    ranges();
    combinations();
    fields();
    sums();
    return tap_done();
}
