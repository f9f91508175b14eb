#include "core/value/lzf.h"

#define LITERALS_MAX 32
#define DISTANCE_MAX 8192
#define MATCH_MIN 3
#define MATCH_MAX 264
#define TABLE_BITS 14

struct writer {
    uint8_t *p, *end;
};

static bool put(struct writer *w, const uint8_t *p, size_t n)
{
    if (n > (size_t)(w->end - w->p))
        return false;
    memcpy(w->p, p, n);
    w->p += n;
    return true;
}

static bool put_literals(struct writer *w, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t run = n < LITERALS_MAX ? n : LITERALS_MAX;
        uint8_t control = (uint8_t)(run - 1);
        if (!put(w, &control, 1) || !put(w, p, run))
            return false;
        p += run;
        n -= run;
    }
    return true;
}

static bool put_match(struct writer *w, size_t distance, size_t len)
{
    size_t back = distance - 1, more = len - 2;
    uint8_t head[3];
    size_t n = 0;
    head[n++] = (uint8_t)((more < 7 ? more : 7) << 5 | back >> 8);
    if (more >= 7)
        head[n++] = (uint8_t)(more - 7);
    head[n++] = (uint8_t)back;
    return put(w, head, n);
}

static unsigned place(const uint8_t *p, unsigned bits)
{
    return (((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) * 2654435761u) >> (32 - bits);
}

static size_t match_len(const uint8_t *a, const uint8_t *b, size_t max)
{
    size_t n = 0;
    while (n < max && a[n] == b[n])
        n++;
    return n;
}

/* The table is cleared for each string: for a short one it is small. */
static unsigned table_bits(size_t len)
{
    unsigned bits = 6;
    while (bits < TABLE_BITS && (size_t)1 << bits < len)
        bits++;
    return bits;
}

size_t lzf_compress(struct slice in, uint8_t *out, size_t cap)
{
    uint32_t last[1 << TABLE_BITS]; /* by hash of three bytes: where they stood, plus one */
    struct writer w = {out, out + cap};
    unsigned bits = table_bits(in.len);
    size_t at = 0, written = 0; /* bytes before `written` are in the output */

    if (in.len >= UINT32_MAX)
        return 0;
    memset(last, 0, sizeof(*last) << bits);
    while (at + MATCH_MIN <= in.len) {
        uint32_t *slot = &last[place(in.p + at, bits)];
        size_t ref = *slot, len = 0;
        *slot = (uint32_t)at + 1;
        if (ref > 0 && at - (ref - 1) <= DISTANCE_MAX)
            len = match_len(in.p + ref - 1, in.p + at, min_u64(in.len - at, MATCH_MAX));
        if (len < MATCH_MIN) {
            at++;
            continue;
        }
        if (!put_literals(&w, in.p + written, at - written) || !put_match(&w, at - (ref - 1), len))
            return 0;
        at += len;
        written = at;
    }
    return put_literals(&w, in.p + written, in.len - written) ? (size_t)(w.p - out) : 0;
}
