/* Strings that say they are HyperLogLogs, as any SET may make them. Nothing is read or written outside; all that read
 * whole strings agree on whether the runs are corrupt; on a sound one adding elements raises their registers and no
 * other. The first bytes of the input are marks to add, 3 for each, their number in front. */
#include "core/value/hll.h"
#include "core/base/panic.h"
#include "fuzz/replay.h"

#define MARKS_MAX 40

static bool sound(struct slice s)
{
    uint8_t reg[HLL_REGISTERS];
    uint64_t count, again;
    bool good = hll_registers(s, reg);
    ensure(hll_count(s, &count) == good);
    ensure(!good || hll_count_registers(reg) == count);
    ensure(!hll_cached(s, &again) || again >> 63 == 0);
    return good;
}

static void decode(struct slice s)
{
    struct buf text = {0};
    if (!hll_is_dense(s))
        (void)!hll_decode(s, &text);
    buf_free(&text);
}

static void densify(struct slice s, bool good)
{
    struct blob *b = blob_copy(s, HLL_DENSE_BYTES);
    uint8_t before[HLL_REGISTERS], after[HLL_REGISTERS];
    if (good)
        ensure(hll_registers(s, before));
    ensure(hll_make_dense(b) == good);
    ensure(!good ||
           (hll_is(blob_slice(b)) && hll_registers(blob_slice(b), after) && memcmp(before, after, HLL_REGISTERS) == 0));
    ensure(good || slice_eq(blob_slice(b), s));
    blob_unref(b);
}

static struct blob *room(struct blob *b, size_t len)
{
    struct blob *moved = blob_copy(blob_slice(b), len);
    blob_unref(b);
    return moved;
}

/* False if the string is found corrupt. */
static bool add(struct blob **b, struct hll_mark m, size_t limit)
{
    struct hll_spot spot = {0};
    enum hll_found found = hll_find(blob_slice(*b), m, &spot, &spot);
    if (found != HLL_RAISE)
        return found == HLL_SAME;
    *b = room(*b, (*b)->len + HLL_GROWTH);
    if (hll_raise(*b, m, &spot, limit))
        return true;
    *b = room(*b, HLL_DENSE_BYTES);
    return hll_make_dense(*b) && hll_raise(*b, m, &spot, 0);
}

static void add_all(struct slice s, bool good, const uint8_t *marks, size_t n)
{
    uint8_t want[HLL_REGISTERS], have[HLL_REGISTERS];
    struct blob *b = blob_copy(s, 0);
    if (good)
        ensure(hll_registers(s, want));
    for (size_t i = 0; i < n; i++, marks += 3) {
        struct hll_mark m = {(uint16_t)((marks[0] << 8 | marks[1]) % HLL_REGISTERS), (uint8_t)(1 + marks[2] % 51)};
        bool added = add(&b, m, marks[2] & 0x80 ? SIZE_MAX : 3000);
        ensure(added || !good);
        if (good && want[m.index] < m.value)
            want[m.index] = m.value;
    }
    ensure(hll_is(blob_slice(b)));
    ensure(!good || (hll_registers(blob_slice(b), have) && memcmp(want, have, HLL_REGISTERS) == 0));
    blob_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size > 0 ? data[0] % MARKS_MAX : 0;
    if (size < 1 + 3 * n)
        return 0;
    struct slice s = slice_of(data + 1 + 3 * n, size - 1 - 3 * n);
    if (!hll_is(s))
        return 0;
    bool good = sound(s);
    decode(s);
    densify(s, good);
    add_all(s, good, data + 1, n);
    return 0;
}
