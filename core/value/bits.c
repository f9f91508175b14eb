#include "core/value/bits.h"

#include <endian.h>

#include "core/base/panic.h"

/* A word of the string with its first bit as the most significant one. */
static uint64_t load_be(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return be64toh(w);
}

bool bits_get(struct slice s, uint64_t at) { return at >> 3 < s.len && (s.p[at >> 3] & 0x80 >> (at & 7)); }

/* Bits from `at` to the end of their byte, and from the start of it to `at`: inclusive. */
static uint8_t mask_from(uint64_t at) { return (uint8_t)(0xff >> (at & 7)); }
static uint8_t mask_to(uint64_t at) { return (uint8_t)(0xff00 >> ((at & 7) + 1)); }

/* --- counting --- */

static inline __attribute__((always_inline)) uint64_t count_words(const uint8_t *p, size_t len)
{
    uint64_t sum = 0, w[4];
    for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
        memcpy(w, p, sizeof(w));
        sum += (uint64_t)(__builtin_popcountll(w[0]) + __builtin_popcountll(w[1]) + __builtin_popcountll(w[2]) +
                          __builtin_popcountll(w[3]));
    }
    for (; len > 0; p++, len--)
        sum += (uint64_t)__builtin_popcount(*p);
    return sum;
}

#if defined(__x86_64__)
/* The instruction is on every machine of this century, but not in the baseline that the compiler may assume: without it
 * a word costs a dozen operations. */
__attribute__((target("popcnt"))) static uint64_t count_popcnt(const uint8_t *p, size_t len)
{
    return count_words(p, len);
}
static uint64_t count_bytes(const uint8_t *p, size_t len)
{
    return __builtin_cpu_supports("popcnt") ? count_popcnt(p, len) : count_words(p, len);
}
#else
static uint64_t count_bytes(const uint8_t *p, size_t len) { return count_words(p, len); }
#endif

uint64_t bits_count(struct slice s, uint64_t first, uint64_t last)
{
    if (first > last)
        return 0;
    size_t from = first >> 3, to = last >> 3;
    ensure(to < s.len);
    if (from == to)
        return (uint64_t)__builtin_popcount(s.p[from] & mask_from(first) & mask_to(last));
    return (uint64_t)__builtin_popcount(s.p[from] & mask_from(first)) + count_bytes(s.p + from + 1, to - from - 1) +
           (uint64_t)__builtin_popcount(s.p[to] & mask_to(last));
}

/* --- searching --- */

static int64_t first_one(size_t byte, uint8_t bits) { return (int64_t)(byte * 8) + __builtin_clz(bits) - 24; }

/* Searches ones in whole bytes from..to (exclusive) of the string, all of whose bits `flip` inverts. */
static int64_t find_bytes(const uint8_t *p, size_t from, size_t to, uint64_t flip)
{
    for (; to - from >= 32; from += 32) { /* long runs: four words at a time */
        uint64_t w[4];
        memcpy(w, p + from, sizeof(w));
        if (((w[0] ^ flip) | (w[1] ^ flip) | (w[2] ^ flip) | (w[3] ^ flip)) != 0)
            break;
    }
    for (; to - from >= 8; from += 8) {
        uint64_t w = load_be(p + from) ^ flip;
        if (w != 0)
            return (int64_t)(from * 8) + __builtin_clzll(w);
    }
    for (; from < to; from++)
        if ((uint8_t)(p[from] ^ flip) != 0)
            return first_one(from, (uint8_t)(p[from] ^ flip));
    return -1;
}

int64_t bits_find(struct slice s, uint64_t first, uint64_t last, bool on)
{
    if (first > last)
        return -1;
    size_t from = first >> 3, to = last >> 3;
    uint64_t flip = on ? 0 : UINT64_MAX;
    ensure(to < s.len);
    uint8_t head = (uint8_t)((s.p[from] ^ flip) & mask_from(first));
    if (from == to)
        head &= mask_to(last);
    if (head != 0)
        return first_one(from, head);
    if (from == to)
        return -1;
    int64_t found = find_bytes(s.p, from + 1, to, flip);
    uint8_t tail = (uint8_t)((s.p[to] ^ flip) & mask_to(last));
    return found >= 0 ? found : tail != 0 ? first_one(to, tail) : -1;
}

/* --- combining: block by block, so that what is being folded stays in the first-level cache --- */

#define BLOCK 4096

typedef uint64_t lane __attribute__((vector_size(32), may_alias, aligned(1)));
#define LANES (BLOCK / sizeof(lane))

struct block {
    lane v[LANES];
};

/* The block of a source at byte `at`: in place, or where the source ends zero-filled in *spare. */
static const struct block *block_of(struct slice s, size_t at, struct block *spare)
{
    size_t have = s.len > at ? s.len - at : 0;
    if (have >= BLOCK)
        return (const struct block *)(s.p + at);
    if (have > 0)
        memcpy(spare, s.p + at, have);
    memset((uint8_t *)spare + have, 0, BLOCK - have);
    return spare;
}

#define EACH_LANE(expr)                  \
    for (size_t i = 0; i < LANES; i++) { \
        (expr);                          \
    }

/* Folds one more source into *a. BITS_ONE: *a is what was seen, *twice what was seen more than once. */
static void block_fold(enum bits_op op, struct block *a, struct block *twice, const struct block *b)
{
    switch (op) {
    case BITS_AND:
        EACH_LANE(a->v[i] &= b->v[i])
        break;
    case BITS_XOR:
        EACH_LANE(a->v[i] ^= b->v[i])
        break;
    case BITS_ONE:
        EACH_LANE((twice->v[i] |= a->v[i] & b->v[i], a->v[i] |= b->v[i]))
        break;
    default:
        EACH_LANE(a->v[i] |= b->v[i])
    }
}

/* Whether the first source stands apart, and only the others are folded (by OR). */
static bool first_apart(enum bits_op op) { return op == BITS_DIFF || op == BITS_DIFF1 || op == BITS_ANDOR; }

/* What remains when all sources are folded; `b` is the first source where that stands apart, else *twice. */
static void block_finish(enum bits_op op, struct block *a, const struct block *b)
{
    if (op == BITS_NOT)
        EACH_LANE(a->v[i] = ~a->v[i])
    else if (op == BITS_DIFF)
        EACH_LANE(a->v[i] = b->v[i] & ~a->v[i])
    else if (op == BITS_DIFF1 || op == BITS_ONE)
        EACH_LANE(a->v[i] &= ~b->v[i])
    else if (op == BITS_ANDOR)
        EACH_LANE(a->v[i] &= b->v[i])
}

static void combine_block(enum bits_op op, const struct slice *sources, size_t n, size_t at, struct block *a)
{
    struct block spare, first, twice;
    const struct block *apart = &twice;
    size_t i = 0;
    if (first_apart(op))
        apart = block_of(sources[i++], at, &first);
    else if (op == BITS_ONE)
        memset(&twice, 0, sizeof(twice));
    if (i < n)
        memcpy(a, block_of(sources[i++], at, &spare), sizeof(*a));
    else
        memset(a, 0, sizeof(*a));
    for (; i < n; i++)
        if (sources[i].len > at || op == BITS_AND) /* zeros change nothing else */
            block_fold(op, a, &twice, block_of(sources[i], at, &spare));
    block_finish(op, a, apart);
}

void bits_combine(enum bits_op op, const struct slice *sources, size_t n, uint8_t *out, size_t len)
{
    struct block last;
    size_t at = 0;
    ensure(n > 0 && (op != BITS_NOT || n == 1));
    for (; len - at >= BLOCK; at += BLOCK)
        combine_block(op, sources, n, at, (struct block *)(out + at));
    if (at == len)
        return;
    combine_block(op, sources, n, at, &last);
    memcpy(out + at, &last, len - at);
}

/* --- fields --- */

/* Up to 72 bits are touched by a field of 64: eight bytes and one more. */
#define FIELD_BYTES 9

static uint64_t low_bits(unsigned n) { return n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1; }

static int64_t extend(struct bits_type type, uint64_t v)
{
    unsigned spare = 64u - type.width;
    v &= low_bits(type.width);
    return type.is_signed ? (int64_t)(v << spare) >> spare : (int64_t)v;
}

int64_t bits_read(struct slice s, uint64_t at, struct bits_type type)
{
    uint8_t bytes[FIELD_BYTES] = {0};
    size_t byte = at >> 3;
    unsigned shift = at & 7;
    if (byte < s.len)
        memcpy(bytes, s.p + byte, min_u64(s.len - byte, FIELD_BYTES));
    uint64_t top = load_be(bytes) << shift | (uint64_t)bytes[8] >> (8 - shift);
    return extend(type, top >> (64 - type.width));
}

void bits_write(uint8_t *p, uint64_t at, struct bits_type type, int64_t v)
{
    for (unsigned left = type.width; left > 0;) {
        unsigned room = 8 - (at & 7);
        unsigned n = left < room ? left : room;
        uint8_t mask = (uint8_t)(low_bits(n) << (room - n));
        uint8_t bits = (uint8_t)((uint64_t)v >> (left - n) << (room - n));
        p[at >> 3] = (uint8_t)((p[at >> 3] & ~mask) | (bits & mask));
        at += n;
        left -= n;
    }
}

bool bits_add(struct bits_type type, int64_t a, int64_t b, enum bits_overflow how, int64_t *out)
{
    unsigned magnitude = type.width - type.is_signed;
    __int128 max = (__int128)low_bits(magnitude);
    __int128 min = type.is_signed ? -max - 1 : 0;
    __int128 sum = (type.is_signed ? (__int128)a : (__int128)(uint64_t)a) + b;
    if (sum >= min && sum <= max)
        *out = (int64_t)sum;
    else if (how == BITS_FAIL)
        return false;
    else if (how == BITS_SAT)
        *out = (int64_t)(sum > max ? max : min);
    else
        *out = extend(type, (uint64_t)sum);
    return true;
}
