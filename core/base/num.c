#include "core/base/num.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

size_t num_format_u64(char *out, uint64_t v)
{
    char tmp[20];
    size_t at = sizeof(tmp);
    while (v >= 100) {
        memcpy(tmp + (at -= 2), pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10)
        memcpy(tmp + (at -= 2), pairs + v * 2, 2);
    else
        tmp[--at] = (char)('0' + v);
    memcpy(out, tmp + at, sizeof(tmp) - at);
    return sizeof(tmp) - at;
}

size_t num_format_i64(char *out, int64_t v)
{
    if (v >= 0)
        return num_format_u64(out, (uint64_t)v);
    *out = '-';
    return 1 + num_format_u64(out + 1, 0 - (uint64_t)v);
}

/* A NUL-terminated copy for strtold; false if it does not fit or begins with a blank. */
static bool terminated(struct slice s, char *out, size_t cap)
{
    if (s.len == 0 || s.len >= cap || isspace(s.p[0]) || memchr(s.p, 0, s.len) != NULL)
        return false;
    memcpy(out, s.p, s.len);
    out[s.len] = 0;
    return true;
}

bool num_parse_ld(struct slice s, long double *out)
{
    char text[NUM_LD_MAX], *end;
    if (!terminated(s, text, sizeof(text)))
        return false;
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

bool num_parse_double(struct slice s, double *out)
{
    char text[512], *end;
    if (!terminated(s, text, sizeof(text)))
        return false;
    errno = 0;
    double v = strtod(text, &end);
    if (*end != 0 || isnan(v) || (errno == ERANGE && (isinf(v) || v == 0)))
        return false;
    *out = v;
    return true;
}

size_t num_format_double(char out[static 40], double v)
{
    if (isnan(v))
        return (size_t)snprintf(out, 40, "nan");
    if (isinf(v))
        return (size_t)snprintf(out, 40, v > 0 ? "inf" : "-inf");
    if (v == 0)
        return (size_t)snprintf(out, 40, signbit(v) ? "-0" : "0");
    if (v > -1e17 && v < 1e17 && v == (double)(int64_t)v)
        return num_format_i64(out, (int64_t)v);
    for (int digits = 1; digits <= 17; digits++) {
        int n = snprintf(out, 40, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            return (size_t)n;
    }
    return strlen(out);
}

bool num_parse_bytes(struct slice s, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"", 1},
                 {"b", 1},
                 {"k", 1000},
                 {"kb", KIB},
                 {"m", 1000 * 1000},
                 {"mb", MIB},
                 {"g", 1000ull * 1000 * 1000},
                 {"gb", GIB},
                 {"t", 1000ull * 1000 * 1000 * 1000},
                 {"tb", GIB * KIB}};
    size_t digits = 0;
    uint64_t v;
    while (digits < s.len && isdigit(s.p[digits]))
        digits++;
    if (!num_parse_u64(slice_of(s.p, digits), &v))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_is(slice_of(s.p + digits, s.len - digits), units[i].unit))
            return !__builtin_mul_overflow(v, units[i].factor, out);
    return false;
}
