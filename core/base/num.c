/* Integers are read and written by hand: they are on every path. So are doubles, as scores are, as far as
 * that is exact (decimal.h); else floating point goes through libc, which rounds correctly. What Redis refuses on top
 * of it is checked here. */
#include "core/base/num.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/decimal.h"
#include "core/base/mem.h"

#define INTEGER_MAX 0x1p62 /* integral doubles up to this are written as integers */

bool num_parse_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0 || s.len > 20 || (s.p[0] == '0' && s.len > 1))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

bool num_parse_i64(struct slice s, int64_t *out)
{
    bool negative = s.len > 0 && s.p[0] == '-';
    uint64_t v;
    if (negative)
        s = slice_of(s.p + 1, s.len - 1);
    if (!num_parse_u64(s, &v) || (negative && v == 0))
        return false;
    if (v > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static const char pairs[201] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static size_t decimal_digits(uint64_t v)
{
    for (size_t n = 1;; n += 4, v /= 10000) {
        if (v < 10)
            return n;
        if (v < 100)
            return n + 1;
        if (v < 1000)
            return n + 2;
        if (v < 10000)
            return n + 3;
    }
}

size_t num_format_u64(char *out, uint64_t v)
{
    size_t n = decimal_digits(v);
    char *p = out + n;
    while (v >= 100) {
        memcpy(p -= 2, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10)
        memcpy(out, pairs + v * 2, 2);
    else
        *out = (char)('0' + v);
    return n;
}

size_t num_format_i64(char *out, int64_t v)
{
    if (v >= 0)
        return num_format_u64(out, (uint64_t)v);
    *out = '-';
    return 1 + num_format_u64(out + 1, 0 - (uint64_t)v);
}

static bool is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* What libc's parsers would take and Redis does not: nothing, leading blanks, and bytes behind a NUL. */
static bool plain_text(struct slice s) { return s.len > 0 && !is_blank(s.p[0]) && memchr(s.p, 0, s.len) == NULL; }

bool num_parse_ld(struct slice s, long double *out)
{
    char text[NUM_LD_MAX], *end;
    if (s.len >= sizeof(text) || !plain_text(s))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    errno = 0;
    long double v = strtold(text, &end);
    if (*end != 0 || isnan(v) || (errno == ERANGE && (isinf(v) || v == 0)))
        return false;
    *out = v;
    return true;
}

size_t num_format_ld(char *out, size_t cap, long double v)
{
    if (isinf(v) || isnan(v))
        return 0;
    int n = snprintf(out, cap, "%.17Lf", v);
    if (n < 0 || (size_t)n >= cap)
        return 0;
    size_t len = (size_t)n;
    while (out[len - 1] == '0')
        len--;
    if (out[len - 1] == '.')
        len--;
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return len;
}

/* Powers of ten that a double holds exactly. With an integer below 2^53 such a quotient or product is rounded once, as
 * the decimal that it stands for would be (Clinger 1990). */
#define TENS_MAX 22
static const double tens[TENS_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                          1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define EXACT_MAX ((uint64_t)1 << 53)

/* Digits with at most one point, few enough to be exact: what most scores look like. False says nothing about others.
 */
static bool parse_short_decimal(struct slice s, double *out)
{
    uint64_t digits = 0;
    size_t i = s.len > 0 && s.p[0] == '-', begin = i, point = s.len;
    if (s.len - i > DBL_DIG + 1)
        return false;
    for (; i < s.len; i++) {
        if (s.p[i] >= '0' && s.p[i] <= '9')
            digits = digits * 10 + (s.p[i] - '0');
        else if (s.p[i] == '.' && point == s.len)
            point = i;
        else
            return false;
    }
    size_t behind = point < s.len ? s.len - point - 1 : 0;
    if (i - begin - (point < s.len) == 0 || digits > EXACT_MAX)
        return false;
    double v = (double)digits / tens[behind];
    *out = begin ? -v : v;
    return true;
}

/* `text` is NUL-terminated. */
static bool parse_double(const char *text, double *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (*end != 0 || isnan(v) || (errno == ERANGE && (isinf(v) || v == 0)))
        return false;
    *out = v;
    return true;
}

bool num_parse_double(struct slice s, double *out)
{
    char near[128];
    if (likely(parse_short_decimal(s, out)))
        return true;
    if (!plain_text(s))
        return false;
    char *text = s.len < sizeof(near) ? near : mem_alloc(s.len + 1);
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    bool ok = parse_double(text, out);
    if (text != near)
        mem_free(text, s.len + 1);
    return ok;
}

/* d.ddde-X */
static size_t format_scientific(char *out, const char *digits, size_t n, int exponent)
{
    char *p = out;
    *p++ = digits[0];
    if (n > 1) {
        *p++ = '.';
        p = mempcpy(p, digits + 1, n - 1);
    }
    *p++ = 'e';
    *p++ = exponent < 0 ? '-' : '+';
    return (size_t)(p - out) + num_format_u64(p, (uint64_t)abs(exponent));
}

static size_t format_fraction(char *out, const char *digits, size_t n, int exponent)
{
    char *p = out;
    size_t whole = exponent < 0 ? 0 : (size_t)exponent + 1;
    if (whole == 0)
        *p++ = '0';
    p = mempcpy(p, digits, whole);
    *p++ = '.';
    for (int i = -1; i > exponent; i--)
        *p++ = '0';
    return (size_t)((char *)mempcpy(p, digits + whole, n - whole) - out);
}

/* A fraction, or an integer above INTEGER_MAX, above 0. Where Redis writes an exponent is its own: up to seven zeros
 * behind all digits, up to six places, or three places between the point and the first digit, go without. */
static size_t format_shortest(char *out, double v)
{
    struct decimal d = decimal_shortest(v);
    char digits[DECIMAL_DIGITS_MAX + 3];
    size_t n = num_format_u64(digits, d.digits);
    int exponent = (int)n - 1 + d.exponent; /* of the first digit */
    if (d.exponent >= 0 && d.exponent <= 7) {
        memset(mempcpy(out, digits, n), '0', (size_t)d.exponent);
        return n + (size_t)d.exponent;
    }
    if (d.exponent < 0 && (d.exponent > -7 || abs(exponent) < 4))
        return format_fraction(out, digits, n, exponent);
    return format_scientific(out, digits, n, exponent);
}

static size_t format_word(char *out, const char *word)
{
    size_t len = strlen(word);
    memcpy(out, word, len);
    return len;
}

size_t num_format_double(char out[static 40], double v)
{
    if (isnan(v))
        return format_word(out, "nan");
    if (isinf(v))
        return format_word(out, v > 0 ? "inf" : "-inf");
    if (v == 0)
        return format_word(out, signbit(v) ? "-0" : "0");
    if (fabs(v) <= INTEGER_MAX && v == (double)(int64_t)v)
        return num_format_i64(out, (int64_t)v);
    bool minus = v < 0;
    out[0] = '-';
    return minus + format_shortest(out + minus, fabs(v));
}

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"", 1},     {"b", 1},          {"k", 1000}, {"kb", KIB},          {"m", 1000000},
    {"mb", MIB}, {"g", 1000000000}, {"gb", GIB}, {"t", 1000000000000}, {"tb", GIB *KIB},
};

bool num_parse_bytes(struct slice s, uint64_t *out)
{
    size_t digits = 0;
    uint64_t v;
    while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    if (!num_parse_u64(slice_of(s.p, digits), &v))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_is(slice_of(s.p + digits, s.len - digits), units[i].name))
            return !__builtin_mul_overflow(v, units[i].bytes, out);
    return false;
}
