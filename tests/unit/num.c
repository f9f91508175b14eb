/* Numbers in text: what is taken and what is refused, as Redis does, and that what is written reads back. */
#include "core/base/num.h"
#include "core/base/rng.h"
#include "tests/sim/tap.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LIT(s) SLICE_LIT(s)

static bool is_i64(struct slice s, int64_t want)
{
    int64_t v;
    return num_parse_i64(s, &v) && v == want;
}

static bool no_i64(struct slice s)
{
    int64_t v = 42;
    return !num_parse_i64(s, &v) && v == 42;
}

static void integers(void)
{
    uint64_t u;
    ok(is_i64(LIT("0"), 0) && is_i64(LIT("7"), 7) && is_i64(LIT("-7"), -7), "small integers");
    ok(is_i64(LIT("9223372036854775807"), INT64_MAX) && is_i64(LIT("-9223372036854775808"), INT64_MIN), "the limits");
    ok(no_i64(LIT("9223372036854775808")) && no_i64(LIT("-9223372036854775809")), "one beyond them");
    ok(no_i64(LIT("18446744073709551617")) && no_i64(LIT("99999999999999999999999")), "far beyond");
    ok(no_i64(LIT("")) && no_i64(LIT("-")) && no_i64(slice_of(NULL, 0)), "nothing is no number");
    ok(no_i64(LIT("00")) && no_i64(LIT("007")) && no_i64(LIT("-07")) && no_i64(LIT("-0")), "leading zeros, minus zero");
    ok(no_i64(LIT("+7")) && no_i64(LIT(" 7")) && no_i64(LIT("7 ")) && no_i64(LIT("7\0")), "plus, blanks, a NUL");
    ok(no_i64(LIT("1.0")) && no_i64(LIT("1e3")) && no_i64(LIT("0x10")) && no_i64(LIT("--1")) && no_i64(LIT("1-")) &&
           no_i64(LIT("/")) && no_i64(LIT(":")),
       "other texts");
    ok(num_parse_u64(LIT("18446744073709551615"), &u) && u == UINT64_MAX, "the largest uint64");
    ok(!num_parse_u64(LIT("18446744073709551616"), &u) && !num_parse_u64(LIT("-1"), &u), "not one more, and no sign");
}

static bool formats(int64_t v)
{
    char got[NUM_I64_MAX], want[NUM_I64_MAX];
    size_t len = num_format_i64(got, v);
    int n = snprintf(want, sizeof(want), "%" PRId64, v);
    return len == (size_t)n && memcmp(got, want, len) == 0 && is_i64(slice_of(got, len), v);
}

static bool formats_u(uint64_t v)
{
    char got[NUM_I64_MAX], want[NUM_I64_MAX];
    size_t len = num_format_u64(got, v);
    return len == (size_t)snprintf(want, sizeof(want), "%" PRIu64, v) && memcmp(got, want, len) == 0;
}

static void written_integers(struct rng *rng)
{
    bool good = formats(0) && formats(INT64_MIN) && formats(INT64_MAX) && formats_u(UINT64_MAX);
    for (uint64_t p = 1; p <= 1000000000000000000; p *= 10)
        for (int d = -1; d <= 1; d++)
            good &= formats((int64_t)p + d) && formats(-(int64_t)p + d) && formats_u(p + (uint64_t)d);
    ok(good, "around every power of ten, and at the limits");
    for (int i = 0; i < 200000; i++) {
        uint64_t v = rng_u64(rng) >> rng_below(rng, 64);
        good &= formats((int64_t)v) && formats((int64_t)(0 - v)) && formats_u(v);
    }
    ok(good, "random ones of every length");
}

/* --- doubles --- */

static bool is_double(struct slice s, double want)
{
    double v;
    return num_parse_double(s, &v) && v == want;
}

static bool no_double(struct slice s)
{
    double v;
    return !num_parse_double(s, &v);
}

static void parsed_doubles(void)
{
    char digits[400];
    ok(is_double(LIT("1.5"), 1.5) && is_double(LIT("-.5"), -0.5) && is_double(LIT("3."), 3) &&
           is_double(LIT("1e3"), 1000) && is_double(LIT("007"), 7) && is_double(LIT("+1"), 1),
       "what strtod takes");
    ok(is_double(LIT("inf"), INFINITY) && is_double(LIT("-inf"), -INFINITY) && is_double(LIT("+Infinity"), INFINITY),
       "infinity has several names");
    ok(no_double(LIT("nan")) && no_double(LIT("-nan")) && no_double(LIT("")) && no_double(LIT("abc")), "no numbers");
    ok(no_double(LIT(" 1")) && no_double(LIT("\t1")) && no_double(LIT("1 ")) && no_double(LIT("1\0")) &&
           no_double(LIT("1x")),
       "blanks, a NUL, a rest");
    ok(no_double(LIT("1e400")) && no_double(LIT("-1e400")) && no_double(LIT("1e-400")), "too large, and too small");
    ok(is_double(LIT("1.7976931348623157e308"), DBL_MAX) && is_double(LIT("5e-324"), 5e-324), "the limits");
    memset(digits, '0', sizeof(digits));
    digits[0] = '1';
    ok(is_double(slice_of(digits, 301), 1e300) && no_double(slice_of(digits, 400)), "long texts");
}

static bool writes_double(double v, const char *want)
{
    char got[40];
    size_t len = num_format_double(got, v);
    if (slice_eq(slice_of(got, len), slice_str(want)))
        return true;
    tap_diag("got %.*s, not %s", (int)len, got, want);
    return false;
}

/* Reads back, and no shorter decimal does; integers up to 2^62 are written out. */
static bool shortest(double v)
{
    char got[40], shorter[400];
    double back;
    size_t len = num_format_double(got, v);
    int digits = 0;
    if (!num_parse_double(slice_of(got, len), &back) || back != v)
        return false;
    for (size_t i = 0; i < len && got[i] != 'e'; i++)
        digits += got[i] >= '0' && got[i] <= '9' && (digits > 0 || got[i] != '0');
    if (fabs(v) <= 0x1p62 && v == floor(v))
        return true;
    while (memchr(got, 'e', len) == NULL && got[len - 1] == '0') {
        len--;
        digits--;
    }
    snprintf(shorter, sizeof(shorter), "%.*g", digits - 1, v);
    return digits <= 1 || strtod(shorter, NULL) != v;
}

static void written_doubles(struct rng *rng)
{
    bool good = true;
    ok(writes_double(0, "0") && writes_double(-0.0, "-0") && writes_double(3, "3") && writes_double(-17, "-17"),
       "integers");
    ok(writes_double(0.1, "0.1") && writes_double(1.0 / 3, "0.3333333333333333") && writes_double(-2.5, "-2.5"),
       "fractions");
    ok(writes_double(99999999999999984, "99999999999999984") && writes_double(1e16, "10000000000000000") &&
           writes_double(-1e18, "-1000000000000000000") && writes_double(0x1p62, "4611686018427387904") &&
           writes_double(5e18, "5e+18") && writes_double(12345678901234567e3, "12345678901234567000") &&
           writes_double(1234567890123e8, "1.234567890123e+20"),
       "integers up to 2^62 have no exponent, nor have those of many digits with few zeros");
    ok(writes_double(DBL_MAX, "1.7976931348623157e+308") && writes_double(5e-324, "5e-324") &&
           writes_double(1e-7, "1e-7") && writes_double(1e-6, "0.000001") && writes_double(0.00125, "0.00125") &&
           writes_double(5.305637438600993e-05, "5.305637438600993e-5") &&
           writes_double(0.0012345678901234, "0.0012345678901234") &&
           writes_double(1234.567890123456, "1234.567890123456") &&
           writes_double(12345.678901234567, "1.2345678901234567e+4") && writes_double(12345.678901, "12345.678901") &&
           writes_double(12345.6789012, "1.23456789012e+4"),
       "exponents");
    ok(writes_double(INFINITY, "inf") && writes_double(-INFINITY, "-inf") && writes_double(NAN, "nan"),
       "what is no number");
    for (int i = 0; i < 20000 && good; i++) {
        uint64_t bits = rng_u64(rng);
        double v;
        memcpy(&v, &bits, sizeof(v));
        if (i % 3 == 0)
            v = (double)(int64_t)rng_below(rng, 1000000) / 1000;
        if (i % 3 == 1)
            v = ldexp(i % 2 ? 1 : rng_unit(rng), (int)rng_below(rng, 2098) - 1074); /* powers of two, small numbers */
        if (!isfinite(v))
            continue;
        good = shortest(v);
        if (!good)
            tap_diag("%a", v);
    }
    ok(good, "random ones read back, and no shorter text does");
}

/* --- long doubles --- */

static bool writes_ld(long double v, const char *want)
{
    char got[NUM_LD_MAX];
    return slice_eq(slice_of(got, num_format_ld(got, sizeof(got), v)), slice_str(want));
}

static void long_doubles(void)
{
    static char huge[NUM_LD_MAX + 1];
    char small[8];
    long double v;
    ok(num_parse_ld(LIT("10.5"), &v) && v == 10.5L && num_parse_ld(LIT("5.0e3"), &v) && v == 5000,
       "what strtold takes");
    ok(num_parse_ld(LIT("inf"), &v) && isinf(v), "infinity parses: whoever adds it refuses the result");
    ok(!num_parse_ld(LIT("nan"), &v) && !num_parse_ld(LIT(""), &v) && !num_parse_ld(LIT(" 1"), &v) &&
           !num_parse_ld(LIT("1 "), &v) && !num_parse_ld(LIT("1\0"), &v) && !num_parse_ld(LIT("1e5000"), &v),
       "what is refused");
    memset(huge, '1', sizeof(huge));
    ok(!num_parse_ld(slice_of(huge, NUM_LD_MAX), &v), "a text that is too long");
    ok(writes_ld(3, "3") && writes_ld(10.6L, "10.6") && writes_ld(-0.0L, "0") && writes_ld(0.1L, "0.1") &&
           writes_ld(1000000, "1000000") && writes_ld(-1.25L, "-1.25"),
       "without trailing zeros, minus zero as zero");
    ok(num_format_ld(huge, sizeof(huge), LDBL_MAX) == 4933, "the largest has 4933 digits");
    ok(num_format_ld(small, sizeof(small), 123456) == 0, "a text that does not fit is none");
    ok(writes_ld(INFINITY, "") && writes_ld(NAN, ""), "nor is what is no number");
}

/* --- sizes --- */

static bool is_bytes(struct slice s, uint64_t want)
{
    uint64_t v;
    return num_parse_bytes(s, &v) && v == want;
}

static void sizes(void)
{
    uint64_t v;
    ok(is_bytes(LIT("0"), 0) && is_bytes(LIT("100"), 100) && is_bytes(LIT("100b"), 100), "bytes");
    ok(is_bytes(LIT("1k"), 1000) && is_bytes(LIT("1kb"), 1024) && is_bytes(LIT("2M"), 2000000) &&
           is_bytes(LIT("2MB"), 2 * MIB) && is_bytes(LIT("3g"), 3000000000) && is_bytes(LIT("3Gb"), 3 * GIB) &&
           is_bytes(LIT("1tb"), 1024 * GIB),
       "units, in any letter case");
    ok(!num_parse_bytes(LIT(""), &v) && !num_parse_bytes(LIT("kb"), &v) && !num_parse_bytes(LIT("-1"), &v) &&
           !num_parse_bytes(LIT("1.5gb"), &v) && !num_parse_bytes(LIT("1 kb"), &v) && !num_parse_bytes(LIT("1xb"), &v),
       "other texts");
    ok(is_bytes(LIT("17179869183gb"), 17179869183 * GIB) && !num_parse_bytes(LIT("17179869184gb"), &v), "no overflow");
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    integers();
    written_integers(&rng);
    parsed_doubles();
    written_doubles(&rng);
    long_doubles();
    sizes();
    return tap_done();
}
