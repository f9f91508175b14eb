/* Strings in the RDB format: every encoding both ways, and bytes that are damaged, cut or hostile. */
#include "core/base/rng.h"
#include "core/value/rdb.h"
#include "core/value/string.h"
#include "tests/sim/tap.h"

#include <stdlib.h>

#define LIT(s) SLICE_LIT(s)

static bool writes(struct slice s, struct slice want)
{
    struct buf out = {0};
    rdb_put_string(&out, s);
    bool same = slice_eq(buf_slice(&out), want);
    buf_free(&out);
    return same;
}

/* The bytes lie in a block of just their size, so that a sanitizer sees a look behind them. */
static bool reads(struct slice bytes, struct slice want)
{
    uint8_t *exact = malloc(bytes.len ? bytes.len : 1);
    struct buf out = {0};
    memcpy(exact, bytes.p, bytes.len);
    struct reader r = reader_of(slice_of(exact, bytes.len));
    bool same = rdb_get_string(&r, &out) && !r.bad && reader_left(&r) == 0 && slice_eq(buf_slice(&out), want);
    buf_free(&out);
    free(exact);
    return same;
}

static bool refused(struct slice bytes)
{
    uint8_t *exact = malloc(bytes.len ? bytes.len : 1);
    struct buf out = {0};
    memcpy(exact, bytes.p, bytes.len);
    struct reader r = reader_of(slice_of(exact, bytes.len));
    bool bad = !rdb_get_string(&r, &out) && r.bad;
    buf_free(&out);
    free(exact);
    return bad;
}

static bool both(struct slice s, struct slice bytes) { return writes(s, bytes) && reads(bytes, s); }

static void integers(void)
{
    ok(both(LIT("0"), LIT("\xc0\0")) && both(LIT("127"), LIT("\xc0\x7f")) && both(LIT("-128"), LIT("\xc0\x80")),
       "8 bits");
    ok(both(LIT("128"), LIT("\xc1\x80\0")) && both(LIT("-129"), LIT("\xc1\x7f\xff")) &&
           both(LIT("32767"), LIT("\xc1\xff\x7f")) && both(LIT("-32768"), LIT("\xc1\0\x80")),
       "16 bits");
    ok(both(LIT("32768"), LIT("\xc2\0\x80\0\0")) && both(LIT("-32769"), LIT("\xc2\xff\x7f\xff\xff")) &&
           both(LIT("2147483647"), LIT("\xc2\xff\xff\xff\x7f")) && both(LIT("-2147483648"), LIT("\xc2\0\0\0\x80")),
       "32 bits");
    ok(both(LIT("2147483648"), LIT("\x0a"
                                   "2147483648")) &&
           both(LIT("-2147483649"), LIT("\x0b-2147483649")),
       "larger ones are text");
    ok(both(LIT("007"), LIT("\3"
                            "007")) &&
           both(LIT("-0"), LIT("\2-0")) && both(LIT("+1"), LIT("\2+1")) &&
           both(LIT("1 "), LIT("\2"
                               "1 ")) &&
           both(LIT(""), LIT("\0")) && both(LIT("-"), LIT("\1-")),
       "only canonical text is an integer");
}

static bool length_is(uint64_t n, struct slice want)
{
    struct buf out = {0};
    rdb_put_length(&out, n);
    bool same = slice_eq(buf_slice(&out), want);
    buf_free(&out);
    return same;
}

static void lengths(void)
{
    struct buf bytes = {0}, s = {0};
    static const size_t some[] = {1, 63, 64, 16383, 16384, 100000};
    bool good = true;
    ok(length_is(0, LIT("\0")) && length_is(63, LIT("\x3f")) && length_is(64, LIT("\x40\x40")) &&
           length_is(16383, LIT("\x7f\xff")),
       "6 and 14 bits");
    ok(length_is(16384, LIT("\x80\0\0\x40\0")) && length_is(UINT32_MAX, LIT("\x80\xff\xff\xff\xff")) &&
           length_is((uint64_t)UINT32_MAX + 1, LIT("\x81\0\0\0\1\0\0\0\0")),
       "32 and 64 bits");
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        buf_clear(&bytes);
        buf_clear(&s);
        memset(buf_reserve(&s, some[i]), 'x', some[i]);
        s.len = some[i];
        rdb_put_string(&bytes, buf_slice(&s));
        good &= reads(buf_slice(&bytes), buf_slice(&s));
    }
    ok(good, "strings of such lengths read back");
    ok(reads(LIT("\x40\3abc"), LIT("abc")) && reads(LIT("\x80\0\0\0\3abc"), LIT("abc")) &&
           reads(LIT("\x81\0\0\0\0\0\0\0\3abc"), LIT("abc")),
       "a length may be written longer than it need be");
    buf_free(&bytes);
    buf_free(&s);
}

static void lzf(void)
{
    ok(reads(LIT("\xc3\4\3\2abc"), LIT("abc")), "LZF: literals");
    ok(reads(LIT("\xc3\4\6\0a\x60\0"), LIT("aaaaaa")), "a copy that overlaps itself");
    ok(reads(LIT("\xc3\7\x0c\2abc\xe0\0\2"), LIT("abcabcabcabc")), "a long copy");
    ok(reads(LIT("\xc3\5\4\3abcd"), LIT("abcd")) && reads(LIT("\xc3\0\0"), LIT("")), "and nothing at all");
    ok(refused(LIT("\xc3\4\4\2abc")) && refused(LIT("\xc3\4\2\2abc")), "another length than it says");
    ok(refused(LIT("\xc3\2\3\x20\5")) && refused(LIT("\xc3\4\6\0a\x60\1")), "a copy from before the beginning");
    ok(refused(LIT("\xc3\5\x40\x64\0a\xe0\xff\0")), "a copy beyond the end");
    ok(refused(LIT("\xc3\3\3\2ab")) && refused(LIT("\xc3\3\4\0a\x60")) && refused(LIT("\xc3\3\5\0a\xe0")),
       "cut short inside");
    ok(refused(LIT("\xc3\4\x81\xff\xff\xff\xff\xff\xff\xff\xff\2abc")) &&
           refused(LIT("\xc3\4\x80\x7f\xff\xff\xff\2abc")),
       "a claim that no LZF can keep");
    ok(refused(LIT("\xc3\x81\xff\xff\xff\xff\xff\xff\xff\xff\3\2abc")), "more packed bytes than there are");
    ok(refused(LIT("\xc3\xc0\xc0")) && refused(LIT("\xc3\xc0\0\xc0\0")) && refused(LIT("\xc3\0\xc1")),
       "a length that is no length");
}

static void hostile(void)
{
    ok(refused(LIT("")) && refused(LIT("\xc0")) && refused(LIT("\xc1\1")) && refused(LIT("\xc2\1\2\3")) &&
           refused(LIT("\xc3")) && refused(LIT("\5abcd")) && refused(LIT("\x40")) && refused(LIT("\x80\0\0\0")) &&
           refused(LIT("\x81\0\0\0\0\0\0\0")),
       "whatever is cut short");
    ok(refused(LIT("\x81\xff\xff\xff\xff\xff\xff\xff\xffx")) && refused(LIT("\x80\xff\xff\xff\xffx")),
       "lengths of the sky");
    ok(refused(LIT("\x82xxxxxxxx")) && refused(LIT("\xbfxxxxxxxx")), "unknown lengths");
    ok(refused(LIT("\xc4x")) && refused(LIT("\xffx")), "unknown encodings");
}

/* In parts, as the flash tier takes what is large. */
static bool encoded(struct rng *rng, const struct value *v, struct buf *out)
{
    uint64_t cursor = 0;
    bool good = true;
    do
        good &= string_class.encode(v, &cursor, out, 1 + rng_below(rng, 3000)) == RDB_TYPE_STRING;
    while (cursor != 0);
    return good;
}

static int decoded(const struct buf *bytes, struct value *out)
{
    return string_class.decode(RDB_TYPE_STRING, buf_slice(bytes), &value_limits_default, out);
}

/* A string encodes and decodes to itself; every way of cutting it is refused; no other damage goes out of bounds. */
static bool survives(struct rng *rng, struct slice s)
{
    struct value v = string_value(s), back;
    struct buf bytes = {0};
    char digits[STRING_INT_CHARS + 1];
    bool good = encoded(rng, &v, &bytes);
    good &= decoded(&bytes, &back) == 0;
    if (good) {
        good &= back.encoding != ENC_EMBED && slice_eq(string_bytes(&back, digits), s);
        string_class.release(&back);
    }
    for (size_t cut = 0; cut < bytes.len; cut += 1 + bytes.len / 40)
        good &= refused(slice_of(bytes.p, cut));
    for (int i = 0; i < 20; i++) {
        uint8_t *p = &bytes.p[rng_below(rng, min_u64(bytes.len, 12))], was = *p;
        *p = (uint8_t)rng_u64(rng);
        if (decoded(&bytes, &back) == 0)
            string_class.release(&back);
        *p = was;
    }
    buf_append_byte(&bytes, 'x');
    good &= decoded(&bytes, &back) < 0;
    string_class.release(&v);
    buf_free(&bytes);
    return good;
}

static void round_trips(struct rng *rng)
{
    struct buf s = {0};
    bool good = true;
    for (int i = 0; i < 5000 && good; i++) {
        buf_clear(&s);
        if (i % 3 == 0)
            buf_printf(&s, "%lld", (long long)(rng_u64(rng) >> rng_below(rng, 64)) * (i % 2 ? 1 : -1));
        else
            for (uint64_t n = rng_below(rng, i % 100 ? 100 : 20000); n > 0; n--)
                buf_append_byte(&s, (uint8_t)rng_u64(rng));
        good = survives(rng, buf_slice(&s));
    }
    buf_free(&s);
    ok(good, "random strings as values: there and back; cut or with a rest they are refused");
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    integers();
    lengths();
    lzf();
    hostile();
    round_trips(&rng);
    return tap_done();
}
