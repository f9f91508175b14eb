/* HyperLogLog: the sparse and the dense form, and an array of registers, given the same marks. */
#include "core/value/hll.h"

#include <math.h>

#include "core/base/rng.h"
#include "tests/sim/tap.h"

static struct rng rng;

/* Adds a mark as the commands do; `limit` as hll-sparse-max-bytes. */
static bool add(struct blob *b, struct hll_mark m, size_t limit)
{
    struct hll_spot spot = {0};
    enum hll_found found = hll_find(blob_slice(b), m, &spot, &spot);
    if (found == HLL_RAISE && !hll_raise(b, m, &spot, limit))
        return hll_make_dense(b) && hll_raise(b, m, &spot, 0);
    return found != HLL_CORRUPT;
}

static bool same_registers(struct blob *b, const uint8_t *model)
{
    uint8_t reg[HLL_REGISTERS];
    return hll_is(blob_slice(b)) && hll_registers(blob_slice(b), reg) && memcmp(reg, model, HLL_REGISTERS) == 0;
}

static struct hll_mark mark(uint64_t registers, uint64_t values)
{
    return (struct hll_mark){(uint16_t)(rng_u64(&rng) % registers), (uint8_t)(1 + rng_u64(&rng) % values)};
}

/* Few registers and few values, so that runs are split and joined; more of them later, so that it becomes dense. */
static void model(void)
{
    static uint8_t reg[HLL_REGISTERS];
    struct blob *sparse = hll_new(HLL_DENSE_BYTES * 2), *dense = hll_new(HLL_DENSE_BYTES);
    uint64_t count[2];
    bool good = hll_make_dense(dense);
    for (int i = 0; i < 20000 && good; i++) {
        struct hll_mark m = i < 3000 ? mark(300, 4) : i < 6000 ? mark(HLL_REGISTERS, 8) : mark(HLL_REGISTERS, 51);
        reg[m.index] = m.value > reg[m.index] ? m.value : reg[m.index];
        good = add(sparse, m, i < 6000 ? HLL_DENSE_BYTES : 3000) && add(dense, m, 0);
        if (i % 200 == 0 || i < 500)
            good = good && same_registers(sparse, reg) && same_registers(dense, reg);
        if (i == 5999)
            ok(!hll_is_dense(blob_slice(sparse)), "without limit it stays sparse");
    }
    ok(good, "both forms have the registers of the model");
    ok(hll_is_dense(blob_slice(sparse)), "it became dense");
    ok(hll_count(blob_slice(sparse), &count[0]) && hll_count(blob_slice(dense), &count[1]) && count[0] == count[1] &&
           count[0] == hll_count_registers(reg),
       "all forms give the same estimate");
    blob_unref(sparse);
    blob_unref(dense);
}

/* In order, going on from the last spot, the bytes are the same as when each look-up begins at the front. */
static void in_order(void)
{
    bool good = true;
    for (int round = 0; round < 300 && good; round++) {
        struct blob *a = hll_new(HLL_DENSE_BYTES * 2), *b = hll_new(HLL_DENSE_BYTES * 2);
        struct hll_spot spot = {0};
        for (int i = 0; i < 100; i++) {
            struct hll_mark m = mark(round % 2 ? 300 : HLL_REGISTERS, 3);
            good &= add(a, m, SIZE_MAX) && add(b, m, SIZE_MAX);
        }
        for (uint32_t i = 0; i < HLL_REGISTERS; i += 1 + (uint32_t)(rng_u64(&rng) % 3)) {
            struct hll_mark m = {(uint16_t)i, (uint8_t)(1 + rng_u64(&rng) % 4)};
            enum hll_found found = hll_find(blob_slice(a), m, &spot, &spot);
            good &= found != HLL_CORRUPT && (found == HLL_SAME || hll_raise(a, m, &spot, SIZE_MAX));
            good &= add(b, m, SIZE_MAX);
            if (i > 1000 && round % 2)
                break;
        }
        good &= slice_eq(blob_slice(a), blob_slice(b));
        blob_unref(a);
        blob_unref(b);
    }
    ok(good, "going on from the last spot gives the same bytes");
}

static void estimates(void)
{
    struct blob *b = hll_new(HLL_DENSE_BYTES);
    uint64_t count, next = 10;
    for (uint64_t i = 1; i <= 1000000; i++) {
        uint64_t element = rng_u64(&rng);
        add(b, hll_mark_of(slice_of(&element, sizeof(element))), 3000);
        if (i < next)
            continue;
        next *= 10;
        bool counted = hll_count(blob_slice(b), &count);
        ok(counted && fabs((double)count / (double)i - 1) < 0.05, "%llu elements: %llu", (unsigned long long)i,
           (unsigned long long)count);
    }
    ok(!hll_cached(blob_slice(b), &count), "the cache is not valid after a change");
    hll_cache(b->data, 12345);
    ok(hll_cached(blob_slice(b), &count) && count == 12345, "the cache is kept");
    blob_unref(b);
}

/* What redis-server 7.0 makes of the elements a, b, c. */
static void known_bytes(void)
{
    struct blob *b = hll_new(64);
    struct buf text = {0};
    for (const char *element = "abc"; *element != 0; element++)
        ok(add(b, hll_mark_of(slice_of(element, 1)), 3000), "%c is added", *element);
    ok(hll_decode(blob_slice(b), &text) && slice_is(buf_slice(&text), "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603"),
       "runs: %.*s", (int)text.len, text.p);
    buf_free(&text);
    blob_unref(b);
}

static void broken(void)
{
    struct blob *b = hll_new(HLL_DENSE_BYTES);
    uint64_t count;
    struct buf text = {0};
    ok(hll_is(blob_slice(b)) && hll_count(blob_slice(b), &count) && count == 0, "an empty one");
    b->data[HLL_EMPTY_BYTES - 1] = 0xfe;
    ok(!hll_count(blob_slice(b), &count) && !hll_make_dense(b) && !hll_is_dense(blob_slice(b)),
       "a register is missing");
    ok(!add(b, (struct hll_mark){HLL_REGISTERS - 1, 1}, 3000) && add(b, (struct hll_mark){5, 1}, 3000),
       "only who needs it sees that");
    b->data[HLL_HEADER] = 0x7f;
    b->len = HLL_HEADER + 1;
    ok(!hll_decode(blob_slice(b), &text) && !add(b, (struct hll_mark){5, 1}, 3000), "half a run");
    b->data[4] = 2;
    ok(!hll_is(blob_slice(b)), "an unknown encoding");
    b->data[4] = 0;
    ok(!hll_is(blob_slice(b)), "a dense one that is too short");
    buf_free(&text);
    blob_unref(b);
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    model();
    in_order();
    estimates();
    known_bytes();
    broken();
    return tap_done();
}
