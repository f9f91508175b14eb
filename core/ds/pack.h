/* A pack: small items in one run of bytes. Small hashes, lists, sets and sorted sets are packs, in RAM, on flash and in
 * RDB alike, so that they load and save by copying.
 *
 * Byte-compatible with the listpack of Redis 5 and later:
 *
 *     total bytes u32 | count u16 | entry ... | 0xFF            little endian; count 65535: not known, to be counted
 *     entry = encoding and data | their length, backwards       so that a pack is walked from either end
 *
 *     0xxxxxxx                  integer 0..127                  11110001 + 2 bytes   integer, as are
 *     10llllll                  string up to 63 bytes           11110010 + 3
 *     110xxxxx + 1 byte         integer -4096..4095             11110011 + 4
 *     1110llll + 1 byte         string up to 4095 bytes         11110100 + 8
 *     11110000 + 4 bytes        longer string
 *
 * The length behind an entry has its least significant 7 bits in its last byte; all but the first byte have the top bit
 * set. Strings that spell an int64 canonically are stored as integers.
 *
 * A pack is a bare pointer. Its block has the size that mem_class gives for its total bytes, so that nothing else has
 * to be stored, and appends within a size class neither move nor ask the allocator. Functions that change a pack take
 * ownership of it and return the pack that replaces it. Reading needs no block: it works on any bytes that
 * pack_validate has passed. Whoever holds a pack may use it from one thread at a time.
 *
 * A position is the offset of an entry. The end, where the 0xFF is, is a position too; 0 is none. */
#ifndef DS_PACK_H
#define DS_PACK_H

#include "core/base/mem.h"
#include "core/base/slice.h"

#define PACK_HEADER 6
#define PACK_EMPTY_BYTES 7
#define PACK_END 0xff
#define PACK_COUNT_UNKNOWN 65535
#define PACK_BYTES_MAX ((uint32_t)GIB) /* no pack may grow beyond this; Redis's limit too */
#define PACK_TEXT_MAX 21               /* room for any integer as text */

struct pack_item {
    bool is_int;
    int64_t integer;    /* if is_int */
    struct slice bytes; /* if not; borrowed until the pack changes */
};

static inline struct pack_item pack_int(int64_t v) { return (struct pack_item){.is_int = true, .integer = v}; }
/* Is stored as an integer if it spells one. */
static inline struct pack_item pack_str(struct slice s) { return (struct pack_item){.bytes = s}; }

/* --- The whole --- */

/* An empty one. Caller frees with pack_free. */
uint8_t *pack_new(void);
/* From bytes that pack_validate has passed. Caller frees with pack_free. */
uint8_t *pack_copy(struct slice bytes);
void pack_free(uint8_t *p); /* NULL is allowed */

static inline uint32_t pack_bytes(const uint8_t *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    return bytes;
}
static inline size_t pack_memory(const uint8_t *p) { return mem_class(pack_bytes(p)); } /* as mem_class counts */
static inline struct slice pack_slice(const uint8_t *p) { return slice_of(p, pack_bytes(p)); }
static inline uint32_t pack_end(const uint8_t *p) { return pack_bytes(p) - 1; }
static inline bool pack_empty(const uint8_t *p) { return p[PACK_HEADER] == PACK_END; }

uint32_t pack_count_slowly(const uint8_t *p);
/* O(1), beyond 65534 items O(n). */
static inline uint32_t pack_count(const uint8_t *p)
{
    uint16_t count;
    memcpy(&count, p + 4, sizeof(count));
    return likely(count != PACK_COUNT_UNKNOWN) ? count : pack_count_slowly(p);
}

/* Bytes that an item takes in a pack. */
size_t pack_cost(struct pack_item item);
/* At most what `n` strings of together `bytes` bytes cost, without looking at them. */
static inline uint64_t pack_cost_max(uint64_t n, uint64_t bytes) { return bytes + n * 10; }
/* Whether a pack may grow by so many bytes. To be asked before a change where strings may be large: a pack that would
 * exceed PACK_BYTES_MAX ends the process. */
static inline bool pack_fits(const uint8_t *p, uint64_t more)
{
    return more <= PACK_BYTES_MAX && pack_bytes(p) + more <= PACK_BYTES_MAX;
}

/* --- Reading --- */

uint32_t pack_after_long(const uint8_t *p, uint32_t at);

/* The width of the integer behind one of the encoding bytes 0xf1..0xf4. */
static inline unsigned pack_int_width(uint8_t encoding) { return 0x8432u >> (encoding - 0xf1) * 4 & 15; }

/* What follows the entry at `at`: an entry, or the end. */
static inline uint32_t pack_next(const uint8_t *p, uint32_t at)
{
    uint8_t e = p[at];
    if (e < 0xc0)
        return at + 2 + (e < 0x80 ? 0 : e & 0x3f);
    if (e < 0xe0)
        return at + 3;
    if (e > 0xf0)
        return at + 2 + pack_int_width(e);
    return pack_after_long(p, at);
}

/* The first entry; in an empty pack, the end. */
static inline uint32_t pack_first(const uint8_t *p) { return (void)p, PACK_HEADER; }

/* What precedes `at` (an entry, or the end); 0 before the first. */
static inline uint32_t pack_prev(const uint8_t *p, uint32_t at)
{
    if (at == PACK_HEADER)
        return 0;
    const uint8_t *b = p + at - 1;
    uint32_t len = *b & 0x7f, bytes = 1;
    for (; *b & 0x80; bytes++)
        len |= (uint32_t)(*--b & 0x7f) << 7 * bytes;
    return at - bytes - len;
}

/* The last entry; 0 in an empty pack. */
static inline uint32_t pack_last(const uint8_t *p) { return pack_prev(p, pack_end(p)); }

/* The item at a position that is not the end. */
static inline struct pack_item pack_get(const uint8_t *p, uint32_t at)
{
    const uint8_t *e = p + at;
    if (e[0] < 0x80)
        return pack_int(e[0]);
    if (e[0] < 0xc0)
        return pack_str(slice_of(e + 1, e[0] & 0x3f));
    if (e[0] < 0xe0) /* 13 bits, sign-extended */
        return pack_int(((e[0] & 0x1f) << 8 | e[1]) - ((e[0] & 0x10) << 9));
    if (e[0] < 0xf0)
        return pack_str(slice_of(e + 2, (size_t)(e[0] & 0x0f) << 8 | e[1]));
    if (e[0] == 0xf0) {
        uint32_t len;
        memcpy(&len, e + 1, sizeof(len));
        return pack_str(slice_of(e + 5, len));
    }
    /* The eight bytes that end with the integer lie in the pack: the header precedes every entry. */
    unsigned width = pack_int_width(e[0]);
    int64_t v;
    memcpy(&v, e + 1 + width - sizeof(v), sizeof(v));
    return pack_int(v >> (64 - 8 * width));
}

/* The item at *at, and a step behind it: pack_get and pack_next of short strings at once. */
static inline struct pack_item pack_step(const uint8_t *p, uint32_t *at)
{
    const uint8_t *e = p + *at;
    if (likely((e[0] & 0xc0) == 0x80)) {
        uint32_t len = e[0] & 0x3f;
        *at += len + 2;
        return pack_str(slice_of(e + 1, len));
    }
    struct pack_item item = pack_get(p, *at);
    *at = pack_next(p, *at);
    return item;
}

/* The entry at an index, from the tail if negative (-1 is the last); 0 if there is none. O(distance to the nearer end).
 */
uint32_t pack_at(const uint8_t *p, int64_t index);

struct slice pack_int_text(int64_t v, char scratch[static PACK_TEXT_MAX]);
/* The item as text, in `scratch` if it is an integer. */
static inline struct slice pack_text(struct pack_item item, char scratch[static PACK_TEXT_MAX])
{
    return item.is_int ? pack_int_text(item.integer, scratch) : item.bytes;
}
bool pack_equals(struct pack_item item, struct slice s);
/* Whether two items have the same text. */
bool pack_same(struct pack_item a, struct pack_item b);
/* The first entry from `from` (an entry or the end) on that equals `s`; 0 if there is none. `skip` entries behind each
 * one that is compared are passed over: 1 finds a field among fields and values. */
uint32_t pack_find(const uint8_t *p, uint32_t from, struct slice s, unsigned skip);

/* --- Changing: take ownership of `p`, return what replaces it. Items must not lie in `p`. --- */

/* Replaces `erase` entries from `at` on (an entry or the end) by `n` items, which begin at `at` afterwards; without
 * any, what followed the erased is at `at`. All else is made of it. O(bytes behind `at`). */
uint8_t *pack_splice(uint8_t *p, uint32_t at, uint32_t erase, const struct pack_item *items, size_t n) must_check;

static inline must_check uint8_t *pack_append_items(uint8_t *p, const struct pack_item *items, size_t n)
{
    return pack_splice(p, pack_end(p), 0, items, n);
}
static inline must_check uint8_t *pack_append(uint8_t *p, struct pack_item item)
{
    return pack_splice(p, pack_end(p), 0, &item, 1);
}
static inline must_check uint8_t *pack_append_pair(uint8_t *p, struct pack_item a, struct pack_item b)
{
    struct pack_item pair[2] = {a, b};
    return pack_splice(p, pack_end(p), 0, pair, 2);
}
static inline must_check uint8_t *pack_prepend(uint8_t *p, struct pack_item item)
{
    return pack_splice(p, PACK_HEADER, 0, &item, 1);
}
/* Before `at`, or behind it; `at` may be the end in pack_insert alone. The new entry's position is `at`, or behind `at`
 * what pack_next says. */
static inline must_check uint8_t *pack_insert(uint8_t *p, uint32_t at, struct pack_item item)
{
    return pack_splice(p, at, 0, &item, 1);
}
static inline must_check uint8_t *pack_insert_behind(uint8_t *p, uint32_t at, struct pack_item item)
{
    return pack_splice(p, pack_next(p, at), 0, &item, 1);
}
static inline must_check uint8_t *pack_replace(uint8_t *p, uint32_t at, struct pack_item item)
{
    return pack_splice(p, at, 1, &item, 1);
}
/* `n` entries from `at` on, which must exist. What followed them is at `at`: an entry or the end. */
static inline must_check uint8_t *pack_erase(uint8_t *p, uint32_t at, uint32_t n)
{
    return pack_splice(p, at, n, NULL, 0);
}
/* Up to `n` entries from an index on (negative: from the tail). */
uint8_t *pack_erase_range(uint8_t *p, int64_t index, uint32_t n) must_check;
/* `b`'s entries behind `a`'s; takes ownership of both. */
uint8_t *pack_join(uint8_t *a, uint8_t *b) must_check;
/* Entries from `at` (an entry or the end) on move into a pack of their own, *tail, which the caller frees. */
uint8_t *pack_split(uint8_t *p, uint32_t at, uint8_t **tail) must_check;

/* --- Bytes from outside --- */

/* False refuses the bytes. `index` counts from 0. The item is borrowed from the bytes under test. */
typedef bool pack_visit(void *arg, uint32_t index, struct pack_item item);

/* Whether `bytes` are exactly one pack on which every function here is safe; never reads beyond them. Encodings need
 * not be the shortest ones, so a string may spell an integer. */
bool pack_validate(struct slice bytes);
/* Also hands each item to `visit`, up to the first that it or the format refuses. */
bool pack_validate_each(struct slice bytes, pack_visit *visit, void *arg);

#endif
