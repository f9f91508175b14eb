#include "core/value/hll.h"

#include <endian.h>
#include <math.h>

#include "core/base/panic.h"

enum { ENCODING_AT = 4, CARDINALITY_AT = 8, STALE_AT = 15 }; /* offsets in the header */
enum { DENSE = 0, SPARSE = 1 };
#define STALE 0x80

#define INDEX_BITS 14
#define VALUE_BITS (64 - INDEX_BITS) /* of the hash: a register is at most this + 1 */
#define HASH_SEED 0xadc83b19u

#define ZERO_MAX 64
#define VAL_MAX 4
#define VAL_VALUE_MAX 32

/* --- header --- */

bool hll_is(struct slice s)
{
    return s.len >= HLL_HEADER && memcmp(s.p, "HYLL", 4) == 0 && s.p[ENCODING_AT] <= SPARSE &&
           (s.p[ENCODING_AT] == SPARSE || s.len == HLL_DENSE_BYTES);
}

bool hll_is_dense(struct slice s) { return s.p[ENCODING_AT] == DENSE; }

bool hll_cached(struct slice s, uint64_t *out)
{
    memcpy(out, s.p + CARDINALITY_AT, sizeof(*out));
    *out = le64toh(*out);
    return !(s.p[STALE_AT] & STALE);
}

void hll_cache(uint8_t *p, uint64_t count)
{
    count = htole64(count);
    memcpy(p + CARDINALITY_AT, &count, sizeof(count));
}

void hll_uncache(uint8_t *p) { p[STALE_AT] |= STALE; }

/* --- runs of the sparse form --- */

struct run {
    uint32_t len; /* registers */
    uint8_t value;
    uint8_t bytes; /* 0: there is none */
};

static inline struct run run_at(const uint8_t *p, const uint8_t *end)
{
    if (p >= end)
        return (struct run){0};
    if (*p & 0x80)
        return (struct run){(*p & 3u) + 1, (uint8_t)((*p >> 2 & 31) + 1), 1};
    if (!(*p & 0x40))
        return (struct run){(*p & 63u) + 1, 0, 1};
    if (end - p < 2)
        return (struct run){0};
    return (struct run){((*p & 63u) << 8 | p[1]) + 1, 0, 2};
}

static bool is_val(const uint8_t *p, const uint8_t *end) { return p < end && (*p & 0x80); }

static uint8_t *put_val(uint8_t *p, uint8_t value, uint32_t len)
{
    *p = (uint8_t)(0x80 | (value - 1) << 2 | (len - 1));
    return p + 1;
}

static uint8_t *put_zeros(uint8_t *p, uint32_t len)
{
    if (len > ZERO_MAX)
        *p++ = (uint8_t)(0x40 | (len - 1) >> 8);
    *p = (uint8_t)(len - 1);
    return p + 1;
}

static uint8_t *put_run(uint8_t *p, uint8_t value, uint32_t len)
{
    if (len == 0)
        return p;
    return value > 0 ? put_val(p, value, len) : put_zeros(p, len);
}

struct blob *hll_new(size_t cap)
{
    struct blob *b = blob_new(cap < HLL_EMPTY_BYTES ? HLL_EMPTY_BYTES : cap);
    memset(b->data, 0, HLL_HEADER);
    memcpy(b->data, "HYLL", 4);
    b->data[ENCODING_AT] = SPARSE;
    hll_uncache(b->data);
    put_zeros(b->data + HLL_HEADER, HLL_REGISTERS);
    b->len = HLL_EMPTY_BYTES;
    return b;
}

/* --- registers of the dense form --- */

static uint8_t dense_get(const uint8_t *reg, uint32_t i)
{
    uint32_t at = i * 6 / 8, shift = i * 6 & 7;
    uint32_t v = reg[at];
    if (shift > 2) /* else it ends in this byte, and at the last register nothing follows */
        v |= (uint32_t)reg[at + 1] << 8;
    return v >> shift & 63;
}

static void dense_set(uint8_t *reg, uint32_t i, uint8_t value)
{
    uint32_t at = i * 6 / 8, shift = i * 6 & 7;
    reg[at] = (uint8_t)((reg[at] & ~(63u << shift)) | (uint32_t)value << shift);
    if (shift > 2)
        reg[at + 1] = (uint8_t)((reg[at + 1] & ~(63u >> (8 - shift))) | (uint32_t)value >> (8 - shift));
}

/* Four registers lie in three bytes. */
static uint32_t dense_four(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16; }

static void dense_merge(uint8_t *out, const uint8_t *reg)
{
    for (uint32_t i = 0; i < HLL_REGISTERS; i += 4, reg += 3) {
        uint32_t w = dense_four(reg);
        for (uint32_t k = 0; k < 4; k++, w >>= 6)
            out[i + k] = out[i + k] > (w & 63) ? out[i + k] : w & 63;
    }
}

/* --- adding --- */

/* MurmurHash64A, which is in the public domain. */
static uint64_t murmur(struct slice s, uint64_t seed)
{
    const uint64_t m = 0xc6a4a7935bd1e995ull;
    uint64_t h = seed ^ s.len * m, w;
    for (; s.len >= 8; s.p += 8, s.len -= 8) {
        memcpy(&w, s.p, 8);
        w = le64toh(w) * m;
        h = (h ^ (w ^ w >> 47) * m) * m;
    }
    if (s.len > 0) {
        w = 0;
        memcpy(&w, s.p, s.len);
        h = (h ^ le64toh(w)) * m;
    }
    h = (h ^ h >> 47) * m;
    return h ^ h >> 47;
}

struct hll_mark hll_mark_of(struct slice element)
{
    uint64_t h = murmur(element, HASH_SEED);
    uint64_t rest = h >> INDEX_BITS | (uint64_t)1 << VALUE_BITS; /* the guard bit ends the run of zeros */
    return (struct hll_mark){(uint16_t)(h & (HLL_REGISTERS - 1)), (uint8_t)(__builtin_ctzll(rest) + 1)};
}

struct cursor {
    const uint8_t *p;
    uint32_t first;
};

#define STRIDE 8 /* runs */

/* Goes on by a stride, or less: to the run that covers the register, or to where two bytes cannot be read. The inner
 * loop of adding. Three branches on purpose: as far as the kind of a run is predicted, the next one is looked at before
 * this one's size is known. */
static inline bool stride(struct cursor *at, const uint8_t *end, uint32_t index)
{
    const uint8_t *p = at->p;
    uint32_t first = at->first, len;
    int n = 0;
    for (; n < STRIDE && p + 1 < end; n++, first += len) {
        uint32_t b = *p;
        if (b & 0x80) {
            if (index < first + (len = (b & 3) + 1))
                break;
            p++;
        } else if (!(b & 0x40)) {
            if (index < first + (len = b + 1))
                break;
            p++;
        } else {
            if (index < first + (len = ((b & 63) << 8 | p[1]) + 1))
                break;
            p += 2;
        }
    }
    *at = (struct cursor){p, first};
    return n == STRIDE;
}

/* Most of the way is made in strides; what lies before the spot is looked at from the stride before its own on. */
static enum hll_found sparse_find(struct slice s, struct hll_mark m, const struct hll_spot *from, struct hll_spot *out)
{
    const uint8_t *end = s.p + s.len;
    struct cursor ahead = {s.p + HLL_HEADER, 0}, here, at, before = {s.p, 0}, resume = {s.p, 0};

    if (from->resume > 0)
        ahead = (struct cursor){s.p + from->resume, from->resume_first};
    at = here = ahead;
    while (stride(&ahead, end, m.index)) {
        at = here;
        here = ahead;
    }
    struct run r = run_at(at.p, end);
    while (at.p != ahead.p) {
        resume = before;
        before = at;
        at = (struct cursor){at.p + r.bytes, at.first + r.len};
        r = run_at(at.p, end);
    }
    if (m.index >= at.first + r.len) /* the last byte, of which strides keep off, or nothing */
        return HLL_CORRUPT;
    *out = (struct hll_spot){
        .at = (size_t)(at.p - s.p),
        .before = (size_t)(before.p - s.p),
        .first = at.first,
        .span = r.len,
        .resume = (size_t)(resume.p - s.p),
        .resume_first = resume.first,
    };
    return r.value >= m.value ? HLL_SAME : HLL_RAISE;
}

enum hll_found hll_find(struct slice s, struct hll_mark m, const struct hll_spot *from, struct hll_spot *out)
{
    if (!hll_is_dense(s))
        return sparse_find(s, m, from, out);
    return dense_get(s.p + HLL_HEADER, m.index) >= m.value ? HLL_SAME : HLL_RAISE;
}

/* Joins neighbouring VAL runs of one value, looking at five runs from `p` on. */
static void sparse_join(struct blob *b, uint8_t *p)
{
    uint8_t *end = b->data + b->len;
    for (int steps = 5; p < end && steps > 0; steps--) {
        struct run r = run_at(p, end), next = run_at(p + r.bytes, end);
        if (is_val(p, end) && is_val(p + 1, end) && r.value == next.value && r.len + next.len <= VAL_MAX) {
            put_val(p + 1, r.value, r.len + next.len);
            memmove(p, p + 1, (size_t)(end - p - 1));
            end--;
        } else {
            p += r.bytes > 0 ? r.bytes : 1;
        }
    }
    b->len = (size_t)(end - b->data);
}

/* Splits the run at the spot into what lies before the register, the register and what lies behind. */
static bool sparse_raise(struct blob *b, struct hll_mark m, const struct hll_spot *spot, size_t limit)
{
    uint8_t seq[5], *p = b->data + spot->at, *end = b->data + b->len;
    struct run r = run_at(p, end);
    uint32_t last = spot->first + spot->span - 1;
    if (m.value > VAL_VALUE_MAX)
        return false;
    uint8_t *n = put_run(seq, r.value, m.index - spot->first);
    n = put_val(n, m.value, 1);
    n = put_run(n, r.value, last - m.index);
    size_t len = (size_t)(n - seq);
    if (len > r.bytes && b->len + len - r.bytes > limit)
        return false;
    ensure(b->len + len - r.bytes <= blob_cap(b));
    memmove(p + len, p + r.bytes, (size_t)(end - p - r.bytes));
    memcpy(p, seq, len);
    b->len = b->len + len - r.bytes;
    sparse_join(b, b->data + (spot->before > 0 ? spot->before : HLL_HEADER));
    return true;
}

bool hll_raise(struct blob *b, struct hll_mark m, const struct hll_spot *spot, size_t limit)
{
    if (hll_is_dense(blob_slice(b)))
        dense_set(b->data + HLL_HEADER, m.index, m.value);
    else if (!sparse_raise(b, m, spot, limit))
        return false;
    hll_uncache(b->data);
    return true;
}

void hll_set_dense(struct blob *b, const uint8_t reg[HLL_REGISTERS])
{
    uint8_t *p = b->data + HLL_HEADER;
    ensure(blob_cap(b) >= HLL_DENSE_BYTES);
    b->data[ENCODING_AT] = DENSE;
    b->len = HLL_DENSE_BYTES;
    for (uint32_t i = 0; i < HLL_REGISTERS; i += 4, p += 3) {
        uint32_t w = reg[i] | (uint32_t)reg[i + 1] << 6 | (uint32_t)reg[i + 2] << 12 | (uint32_t)reg[i + 3] << 18;
        p[0] = (uint8_t)w;
        p[1] = (uint8_t)(w >> 8);
        p[2] = (uint8_t)(w >> 16);
    }
}

bool hll_make_dense(struct blob *b)
{
    uint8_t reg[HLL_REGISTERS];
    if (!hll_registers(blob_slice(b), reg))
        return false;
    hll_set_dense(b, reg);
    return true;
}

/* --- reading --- */

static bool sparse_merge(uint8_t *out, struct slice s)
{
    const uint8_t *p = s.p + HLL_HEADER, *end = s.p + s.len;
    uint32_t i = 0;
    for (struct run r; (r = run_at(p, end)).bytes > 0; p += r.bytes) {
        if (i + r.len > HLL_REGISTERS)
            return false;
        for (uint32_t k = 0; r.value > 0 && k < r.len; k++)
            out[i + k] = out[i + k] > r.value ? out[i + k] : r.value;
        i += r.len;
    }
    return p == end && i == HLL_REGISTERS;
}

bool hll_merge(uint8_t out[HLL_REGISTERS], struct slice s)
{
    if (!hll_is_dense(s))
        return sparse_merge(out, s);
    dense_merge(out, s.p + HLL_HEADER);
    return true;
}

bool hll_registers(struct slice s, uint8_t out[HLL_REGISTERS])
{
    memset(out, 0, HLL_REGISTERS);
    return hll_merge(out, s);
}

bool hll_decode(struct slice s, struct buf *out)
{
    const uint8_t *p = s.p + HLL_HEADER, *end = s.p + s.len;
    for (struct run r; (r = run_at(p, end)).bytes > 0; p += r.bytes) {
        const char *gap = p == s.p + HLL_HEADER ? "" : " ";
        if (r.value > 0)
            buf_printf(out, "%sv:%u,%u", gap, r.value, r.len);
        else
            buf_printf(out, "%s%c:%u", gap, r.bytes == 2 ? 'Z' : 'z', r.len);
    }
    return p == end;
}

/* --- estimating --- */

/* How many registers have each value. Four tables where four registers are counted at a time: an increment need not
 * wait for the one before it. */
struct histogram {
    uint32_t n[4][64];
};

static void dense_histogram(struct histogram *h, const uint8_t *reg)
{
    for (const uint8_t *end = reg + HLL_DENSE_BYTES - HLL_HEADER; reg < end; reg += 3) {
        uint32_t w = dense_four(reg);
        h->n[0][w & 63]++;
        h->n[1][w >> 6 & 63]++;
        h->n[2][w >> 12 & 63]++;
        h->n[3][w >> 18]++;
    }
}

static bool sparse_histogram(struct histogram *h, struct slice s)
{
    const uint8_t *p = s.p + HLL_HEADER, *end = s.p + s.len;
    uint32_t i = 0;
    for (struct run r; i <= HLL_REGISTERS && (r = run_at(p, end)).bytes > 0; p += r.bytes) {
        h->n[0][r.value] += r.len;
        i += r.len;
    }
    return p == end && i == HLL_REGISTERS;
}

/* Ertl's sigma and tau: the series that stand for the registers that are still 0, and those that are full. */
static double sigma(double x)
{
    double y = 1, z = x, before;
    if (x == 1)
        return INFINITY;
    do {
        before = z;
        x *= x;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

static double tau(double x)
{
    double y = 1, z = 1 - x, before;
    if (x == 0 || x == 1)
        return 0;
    do {
        before = z;
        x = sqrt(x);
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

static uint64_t estimate(const struct histogram *h)
{
    const double m = HLL_REGISTERS, alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    double n[64];
    for (int i = 0; i < 64; i++)
        n[i] = (double)h->n[0][i] + h->n[1][i] + h->n[2][i] + h->n[3][i];
    double z = m * tau((m - n[VALUE_BITS + 1]) / m);
    for (int i = VALUE_BITS; i >= 1; i--)
        z = (z + n[i]) * 0.5;
    z += m * sigma(n[0] / m);
    /* Registers beyond what a hash can give, all of them: a forged string. Redis's answer to infinity. */
    return z > 0 ? (uint64_t)llround(alpha * m * m / z) : (uint64_t)1 << 63;
}

bool hll_count(struct slice s, uint64_t *out)
{
    struct histogram h = {0};
    if (hll_is_dense(s))
        dense_histogram(&h, s.p + HLL_HEADER);
    else if (!sparse_histogram(&h, s))
        return false;
    *out = estimate(&h);
    return true;
}

uint64_t hll_count_registers(const uint8_t reg[HLL_REGISTERS])
{
    struct histogram h = {0};
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        h.n[i & 3][reg[i] & 63]++;
    return estimate(&h);
}
