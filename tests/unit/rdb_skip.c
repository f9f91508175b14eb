/* Values of every RDB type: collected to their last byte and not beyond, cut at every byte, with lying lengths; LZF
 * both ways; the join of CRC-64 sums. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/crc.h"
#include "core/base/rng.h"
#include "core/value/lzf.h"
#include "core/value/rdb.h"
#include "core/value/rdb_skip.h"
#include "tests/sim/tap.h"

#define LIT(s) SLICE_LIT(s)
#define G "gggggggggggggggg" /* 16 bytes: a stream's id */
#define T "tttttttt"         /* 8 bytes: a time */

/* Written out by hand from the format's description. */
static const struct sample {
    uint8_t type;
    struct slice bytes;
} samples[] = {
    {0, LIT("\x05hello")},
    {0, LIT("\xc0\x7f")},
    {0, LIT("\xc1\x7f\x01")},
    {0, LIT("\xc2\x7f\x01\x02\x03")},
    {0, LIT("\xc3\x04\x0a\x01"
            "aa\xff")},
    {0, LIT("\x40\x03"
            "abc")},
    {0, LIT("\x80\0\0\0\x03"
            "abc")},
    {0, LIT("\x81\0\0\0\0\0\0\0\x03"
            "abc")},
    {1, LIT("\x02\x01"
            "a\xc0\x05")},
    {2, LIT("\x01\x01x")},
    {3, LIT("\x03\x01"
            "a\x03"
            "1.5\x01"
            "b\xfe\x01"
            "c\xfd")},
    {4, LIT("\x02\x01"
            "f\x01v\x01g\x01w")},
    {5, LIT("\x02\x01"
            "a" T "\x01"
            "b" T)},
    {9, LIT("\x03zip")},
    {10, LIT("\x03zip")},
    {11, LIT("\x03set")},
    {12, LIT("\x03zip")},
    {13, LIT("\x03zip")},
    {14, LIT("\x02\x03zip\x03zap")},
    {15, LIT("\x01\x10" G "\x02lp\x01\x02\x03\x01\x01g\x04\x05\x01" G T "\x02\x01\x01"
             "c" T "\x01" G)},
    {16, LIT("\x02lp")},
    {17, LIT("\x02lp")},
    {18, LIT("\x02\x02\x02lp\x01\x05plain")},
    {19, LIT("\x01\x10" G "\x02lp\x01\x02\x03\x04\x05\x06\x07\x08\x01\x01g\x04\x05\x06\x01" G T "\x02\x01\x01"
             "c" T "\x01" G)},
    {20, LIT("\x02lp")},
    {21, LIT("\0\x01\x02\x03\x04\x05\x06\x07\x08\x01\x01g\x04\x05\x06\x01" G T "\x02\x01\x01"
             "c" T T "\x02" G G)},
    {22, LIT("\x02\x05\x01"
             "f\x01v\0\x01"
             "f\x01v")},
    {23, LIT("\x02lp")},
    {24, LIT(T "\x01\x05\x01"
               "f\x01v")},
    {25, LIT(T "\x02lp")},
    {26, LIT("\0\x01\x02\x03\x04\x05\x06\x07\x08\x01\x01g\x04\x05\x06\x01" G T "\x02\x01\x01"
             "c" T T "\x02" G G "\x07\x08\x01\x01p\x01\x01i\x01\x02\x03\x04")},
};

/* In a block of just their size, so that a sanitizer sees a look behind them. Returns what is left, or an error. */
static int64_t collect(uint8_t type, struct slice bytes, bool compress, struct buf *out)
{
    uint8_t *exact = malloc(bytes.len ? bytes.len : 1);
    struct rdb_slice_source s;
    memcpy(exact, bytes.p, bytes.len);
    rdb_slice_source_init(&s, slice_of(exact, bytes.len));
    buf_clear(out);
    int err = rdb_collect(type, &s.source, compress, out);
    free(exact);
    return err < 0 ? err : (int64_t)s.rest.len;
}

static void whole_and_cut(void)
{
    struct buf out = {0}, more = {0};
    bool whole = true, behind = true, cut = true, seen[27] = {false};
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        const struct sample *s = &samples[i];
        seen[s->type] = true;
        bool one = collect(s->type, s->bytes, false, &out) == 0 && slice_eq(buf_slice(&out), s->bytes);
        buf_clear(&more);
        buf_append_slice(&more, s->bytes);
        buf_append_str(&more, "behind");
        bool two = collect(s->type, buf_slice(&more), true, &out) == 6 && slice_eq(buf_slice(&out), s->bytes);
        if (!one || !two)
            tap_diag("sample %zu of type %u", i, s->type);
        whole &= one;
        behind &= two;
        for (size_t n = 0; n < s->bytes.len; n++)
            cut &= collect(s->type, slice_of(s->bytes.p, n), false, &out) == -EBADMSG;
    }
    ok(whole, "a value of each type is collected as it is");
    ok(behind, "what lies behind it is left");
    ok(cut, "cut at any byte it is refused");
    bool all = true;
    for (unsigned type = 0; type < 256; type++) {
        all &= (rdb_type_version((uint8_t)type) != 0) == (type < ARRAY_LEN(seen) && seen[type]);
        if (rdb_type_version((uint8_t)type) == 0)
            all &= collect((uint8_t)type,
                           LIT("\x03"
                               "abc"),
                           false, &out) == -ENOTSUP;
    }
    ok(all, "each type is among the samples; the others are refused");
    buf_free(&out);
    buf_free(&more);
}

static void lies(void)
{
    struct buf out = {0};
    ok(collect(0, LIT("\x80\xff\xff\xff\xff"), false, &out) == -EBADMSG && out.cap < 4096,
       "a length beyond the source allocates nothing");
    ok(collect(0,
               LIT("\x81\xff\xff\xff\xff\xff\xff\xff\xff"
                   "abc"),
               false, &out) == -EBADMSG &&
           out.cap < 4096,
       "of 64 bits neither");
    ok(collect(1,
               LIT("\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                   "a"),
               false, &out) == -EBADMSG,
       "a count beyond the source ends with it");
    ok(collect(1,
               LIT("\xc0\x01\x01"
                   "a"),
               false, &out) == -EBADMSG,
       "a special string is no count");
    ok(collect(0,
               LIT("\xc4\x01"
                   "a"),
               false, &out) == -EBADMSG,
       "an unknown special string");
    ok(collect(0,
               LIT("\x82\0\0\0\x01"
                   "a"),
               false, &out) == -EBADMSG,
       "an unknown form of length");
    buf_free(&out);
}

static void noise(struct rng *rng)
{
    struct buf out = {0};
    uint8_t bytes[64];
    for (int i = 0; i < 200000; i++) {
        size_t n = rng_below(rng, sizeof(bytes));
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)(rng_below(rng, 3) ? rng_below(rng, 8) : rng_u64(rng));
        collect((uint8_t)rng_below(rng, 26), slice_of(bytes, n), i & 1, &out);
    }
    ok(out.cap < MIB, "noise is survived, and costs no memory");
    buf_free(&out);
}

/* Text that repeats itself more or less. */
static size_t fill(struct rng *rng, uint8_t *p, size_t max)
{
    size_t n = rng_below(rng, max), letters = 1 + rng_below(rng, 256);
    for (size_t i = 0; i < n; i++) {
        if (i > 20 && rng_below(rng, 4)) {
            size_t len = min_u64(1 + rng_below(rng, 400), n - i), back = 1 + rng_below(rng, min_u64(i, 10000));
            for (size_t k = 0; k < len; k++)
                p[i + k] = p[i + k - back];
            i += len - 1;
        } else {
            p[i] = (uint8_t)rng_below(rng, letters);
        }
    }
    return n;
}

static void compression(struct rng *rng)
{
    static uint8_t text[40000];
    struct buf plain = {0}, packed = {0}, back = {0};
    bool same = true, smaller = true;
    size_t shrunk = 0;
    for (int i = 0; i < 3000; i++) {
        size_t n = fill(rng, text, i % 10 ? 300 : sizeof(text));
        buf_clear(&plain);
        buf_clear(&back);
        rdb_put_length(&plain, n);
        buf_append(&plain, text, n);
        same &= collect(0, buf_slice(&plain), true, &packed) == 0;
        smaller &= packed.len <= plain.len;
        shrunk += packed.len < plain.len;
        struct reader r = reader_of(buf_slice(&packed));
        same &= rdb_get_string(&r, &back) && reader_left(&r) == 0 && slice_eq(buf_slice(&back), slice_of(text, n));
    }
    ok(same, "compressed strings expand to what they were");
    ok(smaller && shrunk > 1000, "and are smaller (%zu of 3000)", shrunk);
    memset(text, 'x', sizeof(text));
    uint8_t out[1024];
    size_t n = lzf_compress(slice_of(text, 264 * 3 + 1), out, sizeof(out));
    ok(n > 0 && n < 20, "matches are as long as they can be (%zu bytes)", n);
    ok(lzf_compress(LIT("abcdefghijklmnop"), out, 15) == 0, "what does not get smaller is refused");
    buf_free(&plain);
    buf_free(&packed);
    buf_free(&back);
}

static void joins(struct rng *rng)
{
    uint8_t bytes[1000];
    bool same = true;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rng_u64(rng);
    for (size_t n = 0; n <= sizeof(bytes); n++)
        same &= crc64_jones_join(crc64_jones(0, bytes, n), crc64_jones(0, bytes + n, sizeof(bytes) - n),
                                 sizeof(bytes) - n) == crc64_jones(0, bytes, sizeof(bytes));
    ok(same, "the sum of two runs is joined from theirs");
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    whole_and_cut();
    lies();
    noise(&rng);
    compression(&rng);
    joins(&rng);
    return tap_done();
}
