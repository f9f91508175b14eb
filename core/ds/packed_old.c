/* ziplist:
 *
 *     total bytes u32 | offset of the last entry u32 | count u16 (65535: unknown) | entry ... | 0xFF
 *     entry = length of the entry before (a byte, or 254 and a u32) | encoding | data
 *
 *     00llllll                  string                          11000000 + 2 bytes   integer, as are
 *     01llllll + 1 byte         string, length big endian       11010000 + 4
 *     10...... + 4 bytes        string, length big endian       11100000 + 8
 *     1111xxxx                  integer x - 1, x from 1 to 13   11110000 + 3
 *                                                               11111110 + 1
 * zipmap:
 *
 *     count (254 or more: unknown) | { length | key | length | unused | value | unused bytes } ... | 0xFF
 *     length = a byte below 254, or 254 and a u32
 *
 * Little endian where nothing else is said. */
#include "core/ds/packed_old.h"

#define END 0xff
#define BIG_LENGTH 254 /* a u32 follows */

#define ZIPLIST_HEADER 10
#define ZIPLIST_COUNT_UNKNOWN 65535

/* What is left to read. Every `take` shortens it or fails. */
struct rest {
    const uint8_t *p;
    size_t len;
};

static bool take(struct rest *r, size_t n, const uint8_t **out)
{
    if (r->len < n)
        return false;
    *out = r->p;
    r->p += n;
    r->len -= n;
    return true;
}

static bool take_slice(struct rest *r, size_t n, struct slice *out)
{
    out->len = n;
    return take(r, n, &out->p);
}

static bool take_u8(struct rest *r, uint8_t *out)
{
    const uint8_t *b;
    if (!take(r, 1, &b))
        return false;
    *out = *b;
    return true;
}

static bool take_u32(struct rest *r, uint32_t *out)
{
    const uint8_t *b;
    if (!take(r, sizeof(*out), &b))
        return false;
    memcpy(out, b, sizeof(*out));
    return true;
}

/* A length as both formats have it; fails at the end mark. */
static bool take_length(struct rest *r, uint32_t *out)
{
    uint8_t b;
    if (!take_u8(r, &b) || b == END)
        return false;
    *out = b;
    return b < BIG_LENGTH || take_u32(r, out);
}

static bool take_int(struct rest *r, unsigned width, struct pack_item *out)
{
    const uint8_t *b;
    uint64_t v = 0;
    if (!take(r, width, &b))
        return false;
    for (unsigned i = 0; i < width; i++)
        v |= (uint64_t)b[i] << 8 * i;
    unsigned unused = 64 - 8 * width;
    *out = pack_int((int64_t)(v << unused) >> unused);
    return true;
}

/* --- ziplist --- */

static bool ziplist_string(struct rest *r, uint8_t encoding, struct slice *out)
{
    const uint8_t *b;
    switch (encoding >> 6) {
    case 0:
        return take_slice(r, encoding & 0x3f, out);
    case 1:
        return take(r, 1, &b) && take_slice(r, (size_t)(encoding & 0x3f) << 8 | b[0], out);
    default:
        return take(r, 4, &b) && take_slice(r, (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3], out);
    }
}

static bool ziplist_item(struct rest *r, struct pack_item *out)
{
    uint8_t encoding;
    if (!take_u8(r, &encoding))
        return false;
    if (encoding < 0xc0) {
        *out = pack_str(slice_of(NULL, 0));
        return ziplist_string(r, encoding, &out->bytes);
    }
    switch (encoding) {
    case 0xc0:
        return take_int(r, 2, out);
    case 0xd0:
        return take_int(r, 4, out);
    case 0xe0:
        return take_int(r, 8, out);
    case 0xf0:
        return take_int(r, 3, out);
    case 0xfe:
        return take_int(r, 1, out);
    default:
        *out = pack_int((encoding & 0x0f) - 1);
        return encoding >= 0xf1 && encoding <= 0xfd;
    }
}

/* Where the entries end and what the header says of them; false if there is no header or no end mark. */
static bool ziplist_frame(struct slice bytes, uint32_t *last, uint16_t *count)
{
    uint32_t total;
    if (bytes.len < ZIPLIST_HEADER + 1 || bytes.p[bytes.len - 1] != END)
        return false;
    memcpy(&total, bytes.p, sizeof(total));
    memcpy(last, bytes.p + 4, sizeof(*last));
    memcpy(count, bytes.p + 8, sizeof(*count));
    return total == bytes.len;
}

bool ziplist_each(struct slice bytes, pack_visit *visit, void *arg)
{
    uint32_t last, index = 0, before, before_len = 0;
    uint16_t count;
    if (!ziplist_frame(bytes, &last, &count))
        return false;
    struct rest r = {bytes.p + ZIPLIST_HEADER, bytes.len - ZIPLIST_HEADER - 1};
    const uint8_t *entry = r.p;
    for (; r.len > 0; index++) {
        struct pack_item item;
        entry = r.p;
        if (!take_length(&r, &before) || before != before_len || !ziplist_item(&r, &item))
            return false;
        if (visit != NULL && !visit(arg, index, item))
            return false;
        before_len = (uint32_t)(r.p - entry);
    }
    return (size_t)(entry - bytes.p) == last && (count == ZIPLIST_COUNT_UNKNOWN || count == index);
}

/* --- zipmap --- */

static bool zipmap_pair(struct rest *r, struct pack_item pair[2])
{
    uint32_t len;
    uint8_t unused;
    const uint8_t *skipped;
    pair[0] = pair[1] = pack_str(slice_of(NULL, 0));
    return take_length(r, &len) && take_slice(r, len, &pair[0].bytes) && take_length(r, &len) && take_u8(r, &unused) &&
           take_slice(r, len, &pair[1].bytes) && take(r, unused, &skipped);
}

bool zipmap_each(struct slice bytes, pack_visit *visit, void *arg)
{
    if (bytes.len < 2 || bytes.p[bytes.len - 1] != END)
        return false;
    struct rest r = {bytes.p + 1, bytes.len - 2};
    uint32_t index = 0;
    for (struct pack_item pair[2]; r.len > 0; index += 2) {
        if (!zipmap_pair(&r, pair))
            return false;
        if (visit != NULL && (!visit(arg, index, pair[0]) || !visit(arg, index + 1, pair[1])))
            return false;
    }
    return bytes.p[0] >= BIG_LENGTH || bytes.p[0] == index / 2;
}

/* --- Conversion --- */

static bool append(void *arg, uint32_t index, struct pack_item item)
{
    uint8_t **p = arg;
    (void)index;
    if (!pack_fits(*p, pack_cost_max(1, item.is_int ? sizeof(int64_t) : item.bytes.len)))
        return false;
    *p = pack_append(*p, item);
    return true;
}

static uint8_t *to_pack(struct slice bytes, bool each(struct slice, pack_visit *, void *))
{
    uint8_t *p = pack_new();
    if (each(bytes, append, &p))
        return p;
    pack_free(p);
    return NULL;
}

uint8_t *ziplist_to_pack(struct slice bytes) { return to_pack(bytes, ziplist_each); }
uint8_t *zipmap_to_pack(struct slice bytes) { return to_pack(bytes, zipmap_each); }
