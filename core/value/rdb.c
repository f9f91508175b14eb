/* Two top bits of the first byte: 00 six bits of length; 01 fourteen bits, big-endian; 10 then 0x80: 32 bits
 * big-endian, 0x81: 64 bits big-endian; 11: a special string – 0, 1, 2: an 8, 16, 32-bit little-endian integer, 3: LZF.
 */
#include "core/value/rdb.h"

#include "core/base/num.h"
#include "core/value/lzf.h"

#define LEN_32 0x80
#define LEN_64 0x81
#define SPECIAL 0xc0
#define LZF (SPECIAL | 3)
#define LZF_GAIN 8 /* bytes that make it worth while */
#define EXPANDED_MAX ((uint64_t)1 << 32)

static void put_be(struct buf *out, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        buf_append_byte(out, (uint8_t)(v >> (8 * i)));
}

void rdb_put_length(struct buf *out, uint64_t n)
{
    if (n < 64) {
        buf_append_byte(out, (uint8_t)n);
    } else if (n < 16384) {
        buf_append_byte(out, (uint8_t)(0x40 | n >> 8));
        buf_append_byte(out, (uint8_t)n);
    } else if (n <= UINT32_MAX) {
        buf_append_byte(out, LEN_32);
        put_be(out, n, 4);
    } else {
        buf_append_byte(out, LEN_64);
        put_be(out, n, 8);
    }
}

static bool put_integer(struct buf *out, int64_t v)
{
    if (v >= INT8_MIN && v <= INT8_MAX) {
        buf_append_byte(out, SPECIAL | 0);
        buf_append_byte(out, (uint8_t)v);
    } else if (v >= INT16_MIN && v <= INT16_MAX) {
        buf_append_byte(out, SPECIAL | 1);
        buf_put_u16(out, (uint16_t)v);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        buf_append_byte(out, SPECIAL | 2);
        buf_put_u32(out, (uint32_t)v);
    } else {
        return false;
    }
    return true;
}

void rdb_put_string(struct buf *out, struct slice s)
{
    int64_t v;
    if (s.len <= 11 && num_parse_i64(s, &v) && put_integer(out, v))
        return;
    rdb_put_length(out, s.len);
    buf_append_slice(out, s);
}

void rdb_put_compressed(struct buf *out, struct slice s)
{
    struct buf packed = {0};
    size_t n = s.len > LZF_GAIN ? lzf_compress(s, buf_reserve(&packed, s.len), s.len - LZF_GAIN) : 0;
    if (n == 0) {
        rdb_put_string(out, s);
    } else {
        buf_append_byte(out, LZF);
        rdb_put_length(out, n);
        rdb_put_length(out, s.len);
        buf_append(out, packed.p, n);
    }
    buf_free(&packed);
}

static uint64_t get_be(struct reader *r, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | reader_u8(r);
    return v;
}

uint64_t rdb_get_length(struct reader *r, int *special)
{
    uint8_t first = reader_u8(r);
    *special = -1;
    switch (first >> 6) {
    case 0:
        return first & 0x3f;
    case 1:
        return (uint64_t)(first & 0x3f) << 8 | reader_u8(r);
    case 2:
        if (first == LEN_32)
            return get_be(r, 4);
        if (first == LEN_64)
            return get_be(r, 8);
        r->bad = true;
        return 0;
    default:
        *special = first & 0x3f;
        return 0;
    }
}

static bool put_decimal(struct buf *out, int64_t v)
{
    char text[NUM_I64_MAX];
    buf_append(out, text, num_format_i64(text, v));
    return true;
}

/* LZF: a control byte below 32 is a run of that many literals plus one; else the top three bits are a length (7: one
 * more byte), and the other five with the next byte the distance back. */
static bool expand_lzf(struct slice in, uint8_t *out, size_t len)
{
    size_t i = 0, o = 0;
    while (i < in.len) {
        size_t ctrl = in.p[i++];
        if (ctrl < 32) {
            ctrl++;
            if (ctrl > in.len - i || ctrl > len - o)
                return false;
            memcpy(out + o, in.p + i, ctrl);
            i += ctrl;
            o += ctrl;
            continue;
        }
        size_t n = ctrl >> 5, back = (ctrl & 31) << 8;
        if (n == 7) {
            if (i >= in.len)
                return false;
            n += in.p[i++];
        }
        if (i >= in.len)
            return false;
        back += (size_t)in.p[i++] + 1;
        n += 2;
        if (back > o || n > len - o)
            return false;
        for (; n > 0; n--, o++)
            out[o] = out[o - back];
    }
    return o == len;
}

static bool get_lzf(struct reader *r, struct buf *out)
{
    int special, special_len;
    uint64_t packed = rdb_get_length(r, &special), len = rdb_get_length(r, &special_len);
    struct slice in = reader_bytes(r, packed);
    /* LZF expands at most by 264 / 3: a claim beyond that is a lie, and nothing is allocated for it. */
    if (r->bad || special >= 0 || special_len >= 0 || len > EXPANDED_MAX || len > in.len * 100 + 100)
        return false;
    uint8_t *p = buf_reserve(out, len);
    if (!expand_lzf(in, p, len))
        return false;
    out->len += len;
    return true;
}

static bool get_special(struct reader *r, struct buf *out, int code)
{
    switch (code) {
    case 0:
        return put_decimal(out, (int8_t)reader_u8(r));
    case 1:
        return put_decimal(out, (int16_t)reader_u16(r));
    case 2:
        return put_decimal(out, (int32_t)reader_u32(r));
    case 3:
        return get_lzf(r, out);
    default:
        return false;
    }
}

bool rdb_get_string(struct reader *r, struct buf *out)
{
    int special;
    uint64_t len = rdb_get_length(r, &special);
    if (special >= 0) {
        if (!get_special(r, out, special))
            r->bad = true;
        return !r->bad;
    }
    struct slice s = reader_bytes(r, len);
    if (r->bad)
        return false;
    buf_append_slice(out, s);
    return true;
}
