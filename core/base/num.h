/* Numbers in text, with Redis's strictness: no blanks, no plus sign, no leading zeros, the whole input or nothing. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "core/base/slice.h"

#define NUM_I64_MAX 21        /* longest decimal int64 and a NUL */
#define NUM_LD_MAX (5 * 1024) /* holds any finite long double as num_format_ld writes it, and any that is parsed */

/* True and *out set iff `s` is exactly a decimal int64 in canonical form ("0", "-7", not "+7", "007", "-0"). */
bool num_parse_i64(struct slice s, int64_t *out);
bool num_parse_u64(struct slice s, uint64_t *out);
/* Write without a NUL; return the length (at most 20). */
size_t num_format_i64(char *out, int64_t v);
size_t num_format_u64(char *out, uint64_t v);
/* A long double as INCRBYFLOAT takes it: what strtold accepts whole, no leading space, no NaN (infinity parses). */
bool num_parse_ld(struct slice s, long double *out);
/* As INCRBYFLOAT writes it: %.17Lf with trailing zeros cut, "-0" becomes "0"; length, or 0 if out is too small or v is
 * not finite. */
size_t num_format_ld(char *out, size_t cap, long double v);
/* A double as ZADD takes it (inf allowed, NaN not). */
bool num_parse_double(struct slice s, double *out);
/* The shortest decimal that reads back as `v`, in the spelling of Redis 7.2 (integers up to 2^62 in full, "1e-7",
 * "1.2345678901234567e+4", "inf", "-inf", "nan"). */
size_t num_format_double(char out[static 40], double v);
/* "100", "64mb", "1gb", "1k" (1000), "1kb" (1024): configuration units. False on bad text or overflow. */
bool num_parse_bytes(struct slice s, uint64_t *out);

/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int num_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
