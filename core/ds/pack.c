#include "core/ds/pack.h"

#include <assert.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"

#define ENTRY_MIN 2 /* bytes */
#define BATCH 16    /* items that are encoded before room is made for them */
#define BACKLEN_MAX 5

static_assert(PACK_TEXT_MAX >= NUM_I64_MAX, "an integer fits");
static_assert(PACK_EMPTY_BYTES == PACK_HEADER + 1, "header and terminator");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are stored as they lie in memory");

/* --- Header --- */

static void set_bytes(uint8_t *p, uint32_t bytes)
{
    memcpy(p, &bytes, sizeof(bytes));
    p[bytes - 1] = PACK_END;
}

static uint16_t header_count(const uint8_t *p)
{
    uint16_t count;
    memcpy(&count, p + 4, sizeof(count));
    return count;
}

static void set_count(uint8_t *p, uint64_t count)
{
    uint16_t stored = (uint16_t)min_u64(count, PACK_COUNT_UNKNOWN);
    memcpy(p + 4, &stored, sizeof(stored));
}

static uint32_t count_from(const uint8_t *p, uint32_t at)
{
    uint32_t count = 0;
    for (; p[at] != PACK_END; at = pack_next(p, at))
        count++;
    return count;
}

uint32_t pack_count_slowly(const uint8_t *p) { return count_from(p, PACK_HEADER); }

/* Once unknown, the count stays so until the pack is so short that it must be representable again. */
static void adjust_count(uint8_t *p, uint32_t erased, size_t put)
{
    uint16_t count = header_count(p);
    if (likely(count != PACK_COUNT_UNKNOWN))
        set_count(p, count - erased + put);
    else if (erased > 0 && pack_bytes(p) < PACK_EMPTY_BYTES + ENTRY_MIN * PACK_COUNT_UNKNOWN)
        set_count(p, pack_count_slowly(p));
}

/* --- Blocks --- */

static uint8_t *block_new(uint32_t bytes)
{
    uint8_t *p = mem_alloc(mem_class(bytes));
    set_bytes(p, bytes);
    return p;
}

static uint8_t *block_resize(uint8_t *p, uint32_t old, uint32_t bytes)
{
    size_t had = mem_class(old), needs = mem_class(bytes);
    return had == needs ? p : mem_realloc(p, had, needs);
}

uint8_t *pack_new(void)
{
    uint8_t *p = block_new(PACK_EMPTY_BYTES);
    set_count(p, 0);
    return p;
}

uint8_t *pack_copy(struct slice bytes)
{
    uint8_t *p = block_new((uint32_t)bytes.len);
    memcpy(p, bytes.p, bytes.len);
    return p;
}

void pack_free(uint8_t *p)
{
    if (p != NULL)
        mem_free(p, pack_memory(p));
}

/* --- Encoding --- */

/* An entry but for its length behind: the first bytes, which hold all of an integer, and what is copied after them. */
struct coded {
    uint8_t head[9];
    uint8_t head_len;
    struct slice data;
};

static uint32_t coded_len(const struct coded *c) { return c->head_len + (uint32_t)c->data.len; }

/* The limits of the two- to four-byte lengths are one too low, and part of the format. */
static uint32_t backlen_size(uint32_t len)
{
    if (likely(len <= 127))
        return 1;
    return len < 16383 ? 2 : len < 2097151 ? 3 : len < 268435455 ? 4 : 5;
}

static uint8_t *put_backlen(uint8_t *out, uint32_t len)
{
    uint32_t size = backlen_size(len);
    out[0] = (uint8_t)(len >> 7 * (size - 1));
    for (uint32_t i = 1; i < size; i++)
        out[i] = (uint8_t)(len >> 7 * (size - 1 - i) & 0x7f) | 0x80;
    return out + size;
}

static void code_wide(struct coded *c, int64_t v)
{
    unsigned width = v == (int16_t)v ? 2 : v >= -(1 << 23) && v < 1 << 23 ? 3 : v == (int32_t)v ? 4 : 8;
    c->head[0] = width == 8 ? 0xf4 : (uint8_t)(0xf1 + width - 2);
    memcpy(c->head + 1, &v, sizeof(v));
    c->head_len = (uint8_t)(1 + width);
}

static void code_int(struct coded *c, int64_t v)
{
    c->data = slice_of(NULL, 0);
    if (v >= 0 && v <= 127) {
        c->head[0] = (uint8_t)v;
        c->head_len = 1;
    } else if (v >= -4096 && v <= 4095) {
        c->head[0] = 0xc0 | (v >> 8 & 0x1f);
        c->head[1] = (uint8_t)v;
        c->head_len = 2;
    } else {
        code_wide(c, v);
    }
}

static void code_str(struct coded *c, struct slice s)
{
    c->data = s;
    if (s.len <= 63) {
        c->head[0] = 0x80 | (uint8_t)s.len;
        c->head_len = 1;
    } else if (s.len <= 4095) {
        c->head[0] = 0xe0 | (uint8_t)(s.len >> 8);
        c->head[1] = (uint8_t)s.len;
        c->head_len = 2;
    } else {
        uint32_t len = (uint32_t)s.len;
        c->head[0] = 0xf0;
        memcpy(c->head + 1, &len, sizeof(len));
        c->head_len = 5;
    }
}

/* Most strings show by length or first byte that they are no integer. */
static inline bool parse_int(struct slice s, int64_t *v)
{
    return s.len > 0 && s.len < NUM_I64_MAX && (s.p[0] <= '9' && s.p[0] >= '-') && num_parse_i64(s, v);
}

static void code(struct coded *c, struct pack_item item)
{
    ensure(item.is_int || item.bytes.len < PACK_BYTES_MAX);
    if (item.is_int || parse_int(item.bytes, &item.integer))
        code_int(c, item.integer);
    else
        code_str(c, item.bytes);
}

static uint8_t *put_coded(uint8_t *out, const struct coded *c)
{
    for (unsigned i = 0; i < c->head_len; i++)
        *out++ = c->head[i];
    if (c->data.len > 0)
        memcpy(out, c->data.p, c->data.len);
    return put_backlen(out + c->data.len, coded_len(c));
}

size_t pack_cost(struct pack_item item)
{
    struct coded c;
    code(&c, item);
    return coded_len(&c) + backlen_size(coded_len(&c));
}

/* --- Reading --- */

uint32_t pack_after_long(const uint8_t *p, uint32_t at)
{
    uint32_t len;
    if (p[at] == 0xf0) {
        memcpy(&len, p + at + 1, sizeof(len));
        len += 5;
    } else {
        len = 2 + ((p[at] & 0x0fu) << 8 | p[at + 1]);
    }
    return at + len + backlen_size(len);
}

static uint32_t walk_forward(const uint8_t *p, uint64_t index)
{
    uint32_t at = PACK_HEADER;
    while (p[at] != PACK_END && index-- > 0)
        at = pack_next(p, at);
    return p[at] != PACK_END ? at : 0;
}

static uint32_t walk_back(const uint8_t *p, uint64_t steps)
{
    uint32_t at = pack_end(p);
    while (at != 0 && steps-- > 0)
        at = pack_prev(p, at);
    return at;
}

uint32_t pack_at(const uint8_t *p, int64_t index)
{
    int64_t count = header_count(p);
    if (likely(count != PACK_COUNT_UNKNOWN)) {
        if (index < -count || index >= count)
            return 0;
        if (index < 0)
            index += count;
        if (index > count / 2)
            index -= count;
    }
    return index >= 0 ? walk_forward(p, (uint64_t)index) : walk_back(p, 0 - (uint64_t)index);
}

struct slice pack_int_text(int64_t v, char scratch[static PACK_TEXT_MAX])
{
    return slice_of(scratch, num_format_i64(scratch, v));
}

bool pack_equals(struct pack_item item, struct slice s)
{
    int64_t v;
    return item.is_int ? parse_int(s, &v) && v == item.integer : slice_eq(item.bytes, s);
}

bool pack_same(struct pack_item a, struct pack_item b)
{
    if (a.is_int && b.is_int)
        return a.integer == b.integer;
    return a.is_int ? pack_equals(a, b.bytes) : pack_equals(b, a.bytes);
}

static inline uint32_t pass_over(const uint8_t *p, uint32_t at, unsigned skip)
{
    for (; skip > 0 && p[at] != PACK_END; skip--)
        at = pack_next(p, at);
    return at;
}

/* Any needle. Bytes from outside may hold as a string what spells an integer. */
static uint32_t find_any(const uint8_t *p, uint32_t from, struct slice s, unsigned skip)
{
    int64_t v = 0;
    bool is_int = parse_int(s, &v);
    for (uint32_t at = from; p[at] != PACK_END; at = pass_over(p, pack_next(p, at), skip)) {
        struct pack_item item = pack_get(p, at);
        if (item.is_int ? is_int && item.integer == v : slice_eq(item.bytes, s))
            return at;
    }
    return 0;
}

static inline bool is_longer_string(uint8_t e) { return e >= 0xe0 && e <= 0xf0; }

/* The last bytes, at most 8, of a string that ends at `end`. The load may begin before the string: in a pack the header
 * is there. */
static inline uint64_t last_bytes(const uint8_t *end, unsigned unused_bits)
{
    uint64_t v;
    memcpy(&v, end - sizeof(v), sizeof(v));
    return v >> unused_bits;
}

/* A needle of 1 to 63 bytes that is no integer. Fields of a hash are often as long as each other and begin alike: the
 * ends are compared first, without a call. */
static uint32_t find_short(const uint8_t *p, uint32_t from, struct slice s, unsigned skip)
{
    uint8_t padded[8 + 63], head = 0x80 | (uint8_t)s.len;
    unsigned unused_bits = s.len < 8 ? 64 - 8 * (unsigned)s.len : 0;
    memset(padded, 0, 8);
    memcpy(padded + 8, s.p, s.len);
    uint64_t want = last_bytes(padded + 8 + s.len, unused_bits);
    for (uint32_t at = from, next; p[at] != PACK_END; at = pass_over(p, next, skip)) {
        const uint8_t *e = p + at;
        if (*e == head) {
            if (last_bytes(e + 1 + s.len, unused_bits) == want && memcmp(e + 1, s.p, s.len) == 0)
                return at;
            next = at + (uint32_t)s.len + 2; /* not read from the entry: the loads of entries as long overlap */
        } else {
            if (unlikely(is_longer_string(*e)) && pack_equals(pack_get(p, at), s))
                return at; /* an encoding longer than needed */
            next = pack_next(p, at);
        }
    }
    return 0;
}

uint32_t pack_find(const uint8_t *p, uint32_t from, struct slice s, unsigned skip)
{
    int64_t v;
    return s.len - 1 < 63 && !parse_int(s, &v) ? find_short(p, from, s, skip) : find_any(p, from, s, skip);
}

/* --- Changing --- */

/* Makes [at, until) as long as `put` bytes; what it held is lost. */
static uint8_t *reshape(uint8_t *p, uint32_t at, uint32_t until, uint64_t put)
{
    uint32_t old = pack_bytes(p);
    uint64_t bytes = old - (until - at) + put;
    if (bytes == old)
        return p;
    ensure(bytes <= PACK_BYTES_MAX);
    if (bytes > old)
        p = block_resize(p, old, (uint32_t)bytes);
    memmove(p + at + put, p + until, old - until);
    if (bytes < old)
        p = block_resize(p, old, (uint32_t)bytes);
    set_bytes(p, (uint32_t)bytes);
    return p;
}

/* Puts up to BATCH items into the place of [*at, until); *at is behind them afterwards. */
static uint8_t *put_batch(uint8_t *p, uint32_t *at, uint32_t until, const struct pack_item *items, size_t n)
{
    struct coded coded[BATCH];
    uint64_t size = 0;
    for (size_t i = 0; i < n; i++) {
        code(&coded[i], items[i]);
        size += coded_len(&coded[i]) + backlen_size(coded_len(&coded[i]));
    }
    p = reshape(p, *at, until, size);
    uint8_t *out = p + *at;
    for (size_t i = 0; i < n; i++)
        out = put_coded(out, &coded[i]);
    *at = (uint32_t)(out - p);
    return p;
}

uint8_t *pack_splice(uint8_t *p, uint32_t at, uint32_t erase, const struct pack_item *items, size_t n)
{
    uint32_t until = at;
    for (uint32_t i = 0; i < erase; i++) {
        ensure(p[until] != PACK_END);
        until = pack_next(p, until);
    }
    for (size_t i = 0; i == 0 || i < n; i += BATCH) {
        p = put_batch(p, &at, until, items + i, min_u64(n - i, BATCH));
        until = at;
    }
    adjust_count(p, erase, n);
    return p;
}

uint8_t *pack_erase_range(uint8_t *p, int64_t index, uint32_t n)
{
    uint32_t at = pack_at(p, index), there = 0;
    if (at == 0)
        return p;
    for (uint32_t next = at; there < n && p[next] != PACK_END; next = pack_next(p, next))
        there++;
    return pack_erase(p, at, there);
}

uint8_t *pack_join(uint8_t *a, uint8_t *b)
{
    uint32_t at = pack_end(a), more = pack_end(b) - PACK_HEADER;
    uint64_t count = (uint64_t)header_count(a) + header_count(b); /* unknown plus anything is unknown */
    a = reshape(a, at, at, more);
    memcpy(a + at, b + PACK_HEADER, more);
    set_count(a, count);
    pack_free(b);
    return a;
}

uint8_t *pack_split(uint8_t *p, uint32_t at, uint8_t **tail)
{
    uint32_t end = pack_end(p), moved = count_from(p, at), old = pack_bytes(p);
    uint8_t *t = block_new(PACK_EMPTY_BYTES + end - at);
    memcpy(t + PACK_HEADER, p + at, end - at);
    set_count(t, moved);
    *tail = t;
    p[at] = PACK_END;
    set_count(p, header_count(p) != PACK_COUNT_UNKNOWN ? header_count(p) - moved : pack_count_slowly(p));
    p = block_resize(p, old, at + 1);
    set_bytes(p, at + 1);
    return p;
}

/* --- Bytes from outside --- */

/* Bytes from the start of an entry to its string, or to its end if it is an integer; 0: no such encoding. */
static uint32_t head_size(uint8_t e)
{
    if (e < 0xc0)
        return 1;
    if (e < 0xf0)
        return 2;
    if (e == 0xf0)
        return 5;
    return e <= 0xf4 ? 1 + pack_int_width(e) : 0;
}

/* The size of the length behind an entry of `len` bytes that ends at `e`, if it is there and right; else 0. */
static uint32_t checked_backlen(const uint8_t *e, uint64_t room, uint32_t len)
{
    uint8_t want[BACKLEN_MAX];
    if (likely(len <= 127))
        return room > 0 && *e == len;
    uint32_t size = (uint32_t)(put_backlen(want, len) - want);
    return size <= room && memcmp(e, want, size) == 0 ? size : 0;
}

/* What follows the entry at `at`, if it lies wholly in [at, end); else 0. */
static uint32_t checked_next(const uint8_t *p, uint32_t at, uint32_t end)
{
    uint32_t room = end - at, head = head_size(p[at]);
    if (head == 0 || head > room)
        return 0;
    struct pack_item item = pack_get(p, at);
    uint64_t len = head + (uint64_t)(item.is_int ? 0 : item.bytes.len);
    if (len > room)
        return 0;
    uint32_t size = checked_backlen(p + at + len, room - len, (uint32_t)len);
    return size == 0 ? 0 : at + (uint32_t)len + size;
}

static bool valid_frame(struct slice bytes)
{
    return bytes.len >= PACK_EMPTY_BYTES && bytes.len <= PACK_BYTES_MAX && pack_bytes(bytes.p) == bytes.len &&
           bytes.p[bytes.len - 1] == PACK_END;
}

bool pack_validate_each(struct slice bytes, pack_visit *visit, void *arg)
{
    if (!valid_frame(bytes))
        return false;
    const uint8_t *p = bytes.p;
    uint32_t end = pack_end(p), index = 0;
    for (uint32_t at = PACK_HEADER, next; at < end; at = next, index++) {
        next = checked_next(p, at, end);
        if (next == 0 || (visit != NULL && !visit(arg, index, pack_get(p, at))))
            return false;
    }
    return header_count(p) == PACK_COUNT_UNKNOWN || header_count(p) == index;
}

bool pack_validate(struct slice bytes) { return pack_validate_each(bytes, NULL, NULL); }
