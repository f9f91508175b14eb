/* Bare packs: every encoding there and back to the byte, at the lengths where an entry's length behind it grows. */
#include "core/ds/bare.h"
#include "core/base/rng.h"
#include "tests/sim/tap.h"

static uint8_t room[8 + BARE_PACK_MAX];

/* Whether the pack has a bare form that reads the same, and becomes the same pack. */
static bool there_and_back(const uint8_t *pack)
{
    struct slice bare = slice_of(room + 8, bare_from_pack(pack, room + 8));
    uint8_t *again = bare_to_pack(bare);
    bool good = slice_eq(pack_slice(again), pack_slice(pack)) && bare_count(bare) == pack_count(pack);
    uint32_t in_bare = 0;
    for (uint32_t at = pack_first(pack); pack[at] != PACK_END; at = pack_next(pack, at)) {
        char text[PACK_TEXT_MAX];
        good &= pack_same(bare_get(bare, in_bare), pack_get(pack, at));
        uint32_t found = bare_find(bare, pack_text(pack_get(pack, at), text), 0);
        good &= found <= in_bare && pack_same(bare_get(bare, found), pack_get(pack, at));
        in_bare = bare_next(bare, in_bare);
    }
    pack_free(again);
    return good && in_bare == bare.len && bare.len < pack_bytes(pack);
}

static bool strings(size_t len)
{
    uint8_t bytes[BARE_PACK_MAX];
    memset(bytes, 'b', sizeof(bytes));
    uint8_t *p = pack_append_pair(pack_new(), pack_str(slice_of(bytes, len)), pack_str(SLICE_LIT("behind")));
    bool good = there_and_back(p);
    pack_free(p);
    return good;
}

static bool integers(void)
{
    static const int64_t limits[] = {0, 127, 128, 4095, 4096, 32767, 32768, 8388607, 8388608, INT32_MAX, INT64_MAX};
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        uint8_t *p = pack_append_pair(pack_new(), pack_int(limits[i]), pack_int(-limits[i] - 1));
        good &= there_and_back(p);
        pack_free(p);
    }
    return good;
}

static bool random_packs(struct rng *rng)
{
    uint8_t bytes[200];
    bool good = true;
    for (int i = 0; i < 5000; i++) {
        uint8_t *p = pack_new();
        for (;;) {
            size_t len = rng_below(rng, rng_below(rng, 4) ? 12 : sizeof(bytes));
            for (size_t k = 0; k < len; k++)
                bytes[k] = (uint8_t)(rng_below(rng, 2) ? '0' + rng_below(rng, 10) : rng_u64(rng));
            struct pack_item item =
                rng_below(rng, 3) ? pack_str(slice_of(bytes, len)) : pack_int((int64_t)rng_u64(rng));
            if (pack_bytes(p) + pack_cost(item) > BARE_PACK_MAX)
                break;
            p = pack_append(p, item);
        }
        good &= there_and_back(p);
        pack_free(p);
    }
    return good;
}

int main(void)
{
    struct rng rng;
    bool good = true;
    rng_seed(&rng, tap_seed());
    for (size_t len = 0; len < 230; len++)
        good &= strings(len);
    ok(good, "strings of all lengths");
    ok(integers(), "integers of all widths");
    ok(random_packs(&rng), "random packs");
    uint8_t *p = pack_new();
    ok(bare_from_pack(p, room + 8) == 0, "nothing");
    pack_free(p);
    p = pack_append_pair(pack_append_pair(pack_new(), pack_int(1), pack_int(2)), pack_int(2), pack_int(3));
    struct slice bare = slice_of(room + 8, bare_from_pack(p, room + 8));
    ok(bare_find(bare, SLICE_LIT("2"), 1) == 2 && bare_find(bare, SLICE_LIT("2"), 0) == 1 &&
           bare_find(bare, SLICE_LIT("3"), 1) == bare.len,
       "a field is not found among the values");
    pack_free(p);
    return tap_done();
}
