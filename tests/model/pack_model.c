/* Random changes of a pack, against an array of texts: reading from both ends, by index and by value agrees with it
 * after every step, and the bytes are those that writing the items anew gives. */
#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/ds/pack.h"
#include "tests/sim/tap.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAX 400
#define TEXT_MAX 20000

static struct slice model[MAX];
static size_t n;
static struct rng rng;

static uint64_t below(uint64_t limit) { return rng_below(&rng, limit); }

/* Integers near the limits of encodings, short strings of few letters that repeat, and now and then long ones. */
static struct slice random_text(void)
{
    static const uint32_t lengths[] = {0, 1, 62, 63, 64, 124, 125, 126, 4095, 4096, 16376, 16377, 16378, 16379};
    char *text = malloc(TEXT_MAX);
    size_t len = 0;
    if (below(2) == 0) {
        uint64_t v = (UINT64_C(1) << below(64)) + below(5) - 2;
        len = num_format_i64(text, (int64_t)(below(2) ? v : 0 - v));
    } else {
        len = below(30) == 0 ? lengths[below(ARRAY_LEN(lengths))] : below(4);
        for (size_t i = 0; i < len; i++)
            text[i] = "a1-0"[below(4)];
    }
    return slice_of(text, len);
}

static struct pack_item item_of(struct slice s)
{
    int64_t v;
    return below(2) && num_parse_i64(s, &v) ? pack_int(v) : pack_str(s);
}

static void model_erase(size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        free((void *)model[i].p);
    memmove(model + at, model + at + count, (n - at - count) * sizeof(*model));
    n -= count;
}

static void model_insert(size_t at, struct slice s)
{
    memmove(model + at + 1, model + at, (n - at) * sizeof(*model));
    model[at] = s;
    n++;
}

/* The position of an index, or the end. */
static uint32_t position(const uint8_t *p, size_t index)
{
    return index == n ? pack_end(p) : pack_at(p, below(2) ? (int64_t)index : (int64_t)index - (int64_t)n);
}

static uint8_t *splice(uint8_t *p)
{
    struct pack_item items[40];
    size_t at = below(n + 1), erase = below(min_u64(n - at, 3) + 1), put = below(20) ? below(4) : below(40);
    uint32_t where = position(p, at);
    put = min_u64(put, MAX - n);
    model_erase(at, erase);
    for (size_t i = 0; i < put; i++) {
        model_insert(at + i, random_text());
        items[i] = item_of(model[at + i]);
    }
    p = pack_splice(p, where, (uint32_t)erase, items, put);
    ensure(put == 0 || pack_equals(pack_get(p, where), model[at]));
    return p;
}

static uint8_t *insert(uint8_t *p)
{
    size_t at = below(n + 1);
    struct slice s = random_text();
    struct pack_item item = item_of(s);
    if (at == 0 && below(2))
        p = pack_prepend(p, item);
    else if (at == n && below(2))
        p = pack_append(p, item);
    else if (at > 0 && below(2))
        p = pack_insert_behind(p, position(p, at - 1), item);
    else
        p = pack_insert(p, position(p, at), item);
    model_insert(at, s);
    return p;
}

static uint8_t *replace(uint8_t *p)
{
    size_t at = below(n);
    uint32_t where = position(p, at);
    free((void *)model[at].p);
    model[at] = random_text();
    return pack_replace(p, where, item_of(model[at]));
}

static uint8_t *erase_range(uint8_t *p)
{
    size_t at = below(n), count = below(4);
    p = pack_erase_range(p, below(2) ? (int64_t)at : (int64_t)at - (int64_t)n, (uint32_t)count);
    model_erase(at, min_u64(count, n - at));
    return p;
}

/* Apart and together again, in the other order too. */
static uint8_t *split(uint8_t *p)
{
    uint8_t *tail;
    size_t at = below(n + 1);
    p = pack_split(p, position(p, at), &tail);
    ensure(pack_validate(pack_slice(p)) && pack_validate(pack_slice(tail)));
    ensure(pack_count(p) == at && pack_count(tail) == n - at);
    if (below(2))
        return pack_join(p, tail);
    struct slice turned[MAX];
    memcpy(turned, model + at, (n - at) * sizeof(*model));
    memcpy(turned + n - at, model, at * sizeof(*model));
    memcpy(model, turned, n * sizeof(*model));
    return pack_join(tail, p);
}

static uint8_t *step(uint8_t *p, unsigned grow)
{
    if (n == 0 || (n < MAX && below(100) < grow))
        return below(3) == 0 && n < MAX ? splice(p) : insert(p);
    switch (below(5)) {
    case 0:
        return splice(p);
    case 1:
        return replace(p);
    case 2:
        return split(p);
    default:
        return erase_range(p);
    }
}

static bool same_from_both_ends(const uint8_t *p)
{
    uint32_t at = pack_first(p), back = pack_end(p);
    bool same = pack_count(p) == n && pack_empty(p) == (n == 0);
    for (size_t i = 0; i < n && same; i++, at = pack_next(p, at)) {
        back = pack_prev(p, back);
        same = at != pack_end(p) && back != 0 && pack_equals(pack_get(p, at), model[i]) &&
               pack_equals(pack_get(p, back), model[n - 1 - i]);
    }
    return same && at == pack_end(p) && pack_prev(p, back) == 0;
}

static bool same_by_index(const uint8_t *p)
{
    char scratch[PACK_TEXT_MAX];
    if (pack_at(p, (int64_t)n) != 0 || pack_at(p, -(int64_t)n - 1) != 0)
        return false;
    if (n == 0)
        return true;
    size_t i = below(n);
    uint32_t at = pack_at(p, (int64_t)i);
    return at != 0 && at == pack_at(p, (int64_t)i - (int64_t)n) &&
           slice_eq(pack_text(pack_get(p, at), scratch), model[i]);
}

static bool same_when_searched(const uint8_t *p)
{
    struct slice s = n > 0 && below(2) ? model[below(n)] : random_text();
    unsigned skip = (unsigned)below(3);
    size_t i = below(n + 1);
    uint32_t from = position(p, i), found = pack_find(p, from, s, skip);
    while (i < n && !slice_eq(model[i], s))
        i += skip + 1;
    bool same = i < n ? found == pack_at(p, (int64_t)i) : found == 0;
    bool borrowed = false;
    for (size_t k = 0; k < n; k++)
        borrowed |= model[k].p == s.p;
    if (!borrowed)
        free((void *)s.p);
    return same;
}

/* How a pack came about does not show in its bytes. */
static bool same_when_written_anew(const uint8_t *p)
{
    uint8_t *q = pack_new();
    size_t cost = PACK_EMPTY_BYTES;
    for (size_t i = 0; i < n; i++) {
        q = pack_append(q, pack_str(model[i]));
        cost += pack_cost(pack_str(model[i]));
    }
    bool same = slice_eq(pack_slice(p), pack_slice(q)) && cost == pack_bytes(p);
    pack_free(q);
    return same;
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    for (int round = 0; round < 20; round++) {
        uint8_t *p = pack_new();
        bool good = true;
        for (int i = 0; i < 1500 && good; i++) {
            p = step(p, i / 500 % 2 == 0 ? 70 : 30);
            good = pack_validate(pack_slice(p)) && same_from_both_ends(p) && same_by_index(p) &&
                   same_when_searched(p) && (i % 50 != 0 || same_when_written_anew(p));
        }
        ok(good, "round %d: %zu items, %" PRIu32 " bytes", round, n, pack_bytes(p));
        pack_free(p);
        model_erase(0, n);
    }
    return tap_done();
}
