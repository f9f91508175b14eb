/* Packed formats from outside. Input: a mode, then
 *
 *   0  a pack         what is valid reads the same from both ends, keeps its items when it is written anew, split and
 *                     joined, and stays valid under changes that the bytes choose
 *   1  a ziplist      what is taken converts to a valid pack of the items that a visitor sees
 *   2  a zipmap       the same
 *   3  an intset      what is valid finds its integers, and takes and gives back others
 *
 * Totals and counts in headers are made right, else the fuzzer would hardly ever get behind them; modes from 4 on leave
 * them as they are. */
#include "core/base/panic.h"
#include "core/ds/intset.h"
#include "core/ds/packed_old.h"
#include "fuzz/replay.h"

#define MODES 4

static uint32_t at_most(uint32_t v, uint32_t limit) { return limit == 0 ? 0 : v % (limit + 1); }

/* What pack_validate_each sees is what reading from either end gives. */
struct reading {
    const uint8_t *p;
    uint32_t at;
};

static bool follow(void *arg, uint32_t index, struct pack_item item)
{
    struct reading *r = arg;
    (void)index;
    ensure(pack_same(item, pack_get(r->p, r->at)));
    uint32_t next = pack_next(r->p, r->at);
    ensure(pack_prev(r->p, next) == r->at);
    r->at = next;
    return true;
}

static void check_pack(const uint8_t *p)
{
    struct reading r = {p, pack_first(p)};
    ensure(pack_validate_each(pack_slice(p), follow, &r) && r.at == pack_end(p));
}

/* Every item can be found, at its place or before. */
static void search(const uint8_t *p)
{
    char scratch[PACK_TEXT_MAX];
    uint32_t at = pack_first(p);
    for (unsigned i = 0; i < 64 && at != pack_end(p); i++, at = pack_next(p, at)) {
        uint32_t found = pack_find(p, pack_first(p), pack_text(pack_get(p, at), scratch), i % 3);
        ensure((found != 0 && found <= at) || i % 3 != 0);
        ensure(pack_at(p, i) == at && (pack_count(p) > 1000 || pack_at(p, (int64_t)i - pack_count(p)) == at));
    }
}

static uint8_t *written_anew(const uint8_t *p)
{
    uint8_t *q = pack_new();
    for (uint32_t at = pack_first(p); at != pack_end(p); at = pack_next(p, at))
        q = pack_append(q, pack_get(p, at));
    uint32_t back = pack_last(q);
    for (uint32_t at = pack_last(p); at != 0; at = pack_prev(p, at), back = pack_prev(q, back))
        ensure(pack_same(pack_get(p, at), pack_get(q, back)));
    ensure(back == 0 && pack_count(p) == pack_count(q));
    return q;
}

static uint8_t *change(uint8_t *p, uint32_t seed)
{
    uint32_t count = pack_count(p), index = at_most(seed >> 8, count);
    uint32_t at = index == count ? pack_end(p) : pack_at(p, index);
    uint8_t *tail;
    switch (seed % 4) {
    case 0:
        return pack_insert(p, at, pack_int((int32_t)seed));
    case 1:
        return pack_splice(p, at, at_most(seed >> 4, count - index), (struct pack_item[]){pack_str(SLICE_LIT("x"))}, 1);
    case 2:
        return pack_erase_range(p, index, seed >> 4 & 7);
    default:
        p = pack_split(p, at, &tail);
        check_pack(p);
        check_pack(tail);
        return pack_join(tail, p);
    }
}

static void fuzz_pack(struct slice bytes)
{
    if (!pack_validate(bytes))
        return;
    uint8_t *p = pack_copy(bytes), *q = written_anew(p);
    check_pack(p);
    search(p);
    for (size_t i = PACK_HEADER; i + 4 <= bytes.len && i < 64; i += 4) {
        uint32_t seed;
        memcpy(&seed, bytes.p + i, sizeof(seed));
        p = change(p, seed);
        q = change(q, seed);
        check_pack(p);
        check_pack(q);
    }
    ensure(pack_count(p) == pack_count(q));
    pack_free(p);
    pack_free(q);
}

static void fuzz_old(struct slice bytes, bool each(struct slice, pack_visit *, void *), uint8_t *to_pack(struct slice))
{
    uint8_t *p = to_pack(bytes);
    ensure((p != NULL) == each(bytes, NULL, NULL));
    if (p == NULL)
        return;
    struct reading r = {p, pack_first(p)};
    ensure(each(bytes, follow, &r) && r.at == pack_end(p));
    check_pack(p);
    pack_free(p);
}

static void fuzz_intset(struct slice bytes)
{
    if (!intset_validate(bytes))
        return;
    uint8_t *s = intset_copy(bytes);
    uint32_t count = intset_count(s), at;
    for (uint32_t i = 0; i < count; i++)
        ensure(intset_find(s, intset_at(s, i), &at) && at == i);
    for (size_t i = 0; i + 8 <= bytes.len && i < 64; i += 5) {
        int64_t v;
        bool added, removed;
        memcpy(&v, bytes.p + i, sizeof(v));
        s = intset_add(s, v, &added);
        ensure(intset_validate(intset_slice(s)) && intset_find(s, v, &at) && intset_at(s, at) == v);
        if (added)
            s = intset_remove(s, v, &removed);
        ensure(intset_count(s) == count && intset_validate(intset_slice(s)));
    }
    intset_free(s);
}

/* The header's total, and the count as unknown where that can be said. */
static void make_right(unsigned mode, uint8_t *bytes, uint32_t len)
{
    uint32_t width = 0;
    switch (mode) {
    case 0:
        if (len >= PACK_EMPTY_BYTES)
            memcpy(memset(bytes, 0xff, 6), &len, 4);
        break;
    case 1:
        if (len >= 11)
            memcpy(bytes, &len, 4), bytes[8] = bytes[9] = 0xff;
        break;
    case 2:
        if (len >= 2)
            bytes[0] = 0xff;
        break;
    default:
        memcpy(&width, bytes, len < 4 ? 0 : 4);
        if (len >= INTSET_HEADER && (width == 2 || width == 4 || width == 8))
            memcpy(bytes + 4, &(uint32_t){(len - INTSET_HEADER) / width}, 4);
    }
    if (len > 0 && mode < 3)
        bytes[len - 1] = 0xff;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 100000)
        return 0;
    unsigned mode = data[0] % MODES;
    size_t len = size - 1;
    uint8_t *exact = calloc(1, len ? len : 1); /* of just the size: a sanitizer sees a look behind it */
    struct slice bytes = slice_of(exact, len);
    memcpy(exact, data + 1, len);
    if (data[0] < MODES)
        make_right(mode, exact, (uint32_t)len);
    if (mode == 0)
        fuzz_pack(bytes);
    else if (mode == 1)
        fuzz_old(bytes, ziplist_each, ziplist_to_pack);
    else if (mode == 2)
        fuzz_old(bytes, zipmap_each, zipmap_to_pack);
    else
        fuzz_intset(bytes);
    free(exact);
    return 0;
}
