/* Random operations on sets against an array of flags: every answer agrees, every invariant stands, through all forms
 * and the changes between them, and what is encoded in parts of any size decodes to the same set. */
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/value/rdb.h"
#include "core/value/set.h"
#include "tests/sim/tap.h"

#define UNIVERSE 1500
#define SETS 5
#define ROUNDS 60
#define STEPS 1500

static struct slice names[UNIVERSE];
static struct rng rng;
static uint64_t seen[UNIVERSE];

struct model {
    struct value v;
    bool in[UNIVERSE];
    unsigned count;
};

static struct model sets[SETS];

/* --- the universe: integers of all widths, what almost is one, short, long and very long strings --- */

static struct slice text_of(const void *p, size_t len)
{
    uint8_t *own = mem_alloc(len + 1);
    if (len > 0)
        memcpy(own, p, len);
    return slice_of(own, len);
}

static void make_name(unsigned i)
{
    static char big[70000];
    char text[64];
    size_t len = 0;
    if (i == 0)
        len = 0;
    else if (i < 400)
        len = num_format_i64(text, (int64_t)i - 200);
    else if (i < 500)
        len = num_format_i64(text, (int64_t)((uint64_t)1 << (i % 63)) * (i % 2 ? 1 : -1) - 1000 - (int64_t)i);
    else if (i < 520)
        len = (size_t)snprintf(text, sizeof(text), "0%u", i);
    else if (i < 1450)
        len = (size_t)snprintf(text, sizeof(text), "member:%u", i);
    if (i < 1450) {
        names[i] = text_of(text, len);
        return;
    }
    static const size_t lengths[] = {63, 64, 65, 100, 4095, 65534, 65535, 65536, 65537, 69000};
    memset(big, 'a' + (int)(i % 26), sizeof(big));
    memcpy(big, &i, sizeof(i));
    names[i] = text_of(big, lengths[i % ARRAY_LEN(lengths)]);
}

static int name_index(struct slice s)
{
    for (int i = 0; i < UNIVERSE; i++)
        if (slice_eq(names[i], s))
            return i;
    return -1;
}

static int index_of(struct pack_item member)
{
    char scratch[PACK_TEXT_MAX];
    return name_index(pack_text(member, scratch));
}

/* Sometimes as a number, where it is one. */
static struct pack_item item_of(unsigned i)
{
    int64_t n;
    if (rng_below(&rng, 2) && num_parse_i64(names[i], &n))
        return pack_int(n);
    return pack_str(names[i]);
}

/* --- comparing --- */

static bool visit_seen(void *arg, struct pack_item member)
{
    int i = index_of(member);
    uint64_t *n = arg;
    ensure(i >= 0);
    seen[i]++;
    ++*n;
    return true;
}

static void scan_seen(void *arg, struct pack_item member) { visit_seen(arg, member); }

static bool seen_is(const bool *in)
{
    bool good = true;
    for (unsigned i = 0; i < UNIVERSE; i++) {
        good &= seen[i] == (in[i] ? 1u : 0u);
        seen[i] = 0;
    }
    return good;
}

static bool holds(const struct value *v, const struct model *m)
{
    struct set_iter it;
    struct pack_item member;
    uint64_t n = 0, cursor = 0;
    bool good = set_count(v) == m->count;
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member))
        visit_seen(&n, member);
    good &= n == m->count && seen_is(m->in);
    do
        cursor = set_scan(v, cursor, scan_seen, &n);
    while (cursor != 0);
    return good && seen_is(m->in);
}

static bool batch_agrees(const struct model *m)
{
    struct set_batch b = {.n = (unsigned)rng_below(&rng, SET_BATCH + 1)};
    unsigned index[SET_BATCH];
    uint32_t want = (uint32_t)rng_u64(&rng) & set_batch_all(&b);
    for (unsigned i = 0; i < b.n; i++)
        b.member[i] = item_of(index[i] = (unsigned)rng_below(&rng, UNIVERSE));
    struct set_finder f;
    set_finder_init(&f, &m->v, rng_below(&rng, 20));
    uint32_t got = set_find(&f, &b, want);
    set_finder_free(&f);
    for (unsigned i = 0; i < b.n; i++)
        if ((got >> i & 1) != ((want >> i & 1) && m->in[index[i]]))
            return false;
    return true;
}

static bool memory_agrees(const struct value *v)
{
    struct value again = set_class.copy(v);
    /* A table's segments depend on its history; what is exact is the sum over members. */
    bool good = set_class.memory(&again) > 0 && set_class.memory(v) > 0;
    set_class.release(&again);
    return good;
}

/* --- encoding --- */

static void digest_into(void *arg, struct slice s) { buf_append_slice(arg, s); }

static bool round_trips(const struct model *m, const struct value_limits *limits)
{
    struct buf out = {0}, whole = {0}, a = {0}, b = {0};
    struct value again, copy = set_class.copy(&m->v);
    uint64_t cursor = 0;
    uint8_t type;
    size_t budget = 1 + rng_below(&rng, 300);
    do
        type = set_class.encode(&m->v, &cursor, &out, budget);
    while (cursor != 0);
    value_encode(&copy, &whole);
    bool good =
        set_class.reads(type) && whole.p[0] == type && set_class.decode(type, buf_slice(&out), limits, &again) == 0;
    ensure(good);
    set_validate(&again);
    set_validate(&copy);
    set_class.digest(&m->v, digest_into, &a);
    set_class.digest(&again, digest_into, &b);
    good = holds(&again, m) && holds(&copy, m) && slice_eq(buf_slice(&a), buf_slice(&b));
    set_class.release(&again);
    set_class.release(&copy);
    buf_free(&out);
    buf_free(&whole);
    buf_free(&a);
    buf_free(&b);
    return good;
}

/* --- algebra --- */

enum { INTER, UNION, DIFF };

static void expected(int what, struct model *const *chosen, unsigned n, bool *in)
{
    for (unsigned i = 0; i < UNIVERSE; i++) {
        in[i] = chosen[0]->in[i];
        for (unsigned s = 1; s < n; s++)
            in[i] = what == INTER   ? in[i] && chosen[s]->in[i]
                    : what == UNION ? in[i] || chosen[s]->in[i]
                                    : in[i] && !chosen[s]->in[i];
    }
}

struct limited {
    uint64_t n, limit;
};

static bool visit_limited(void *arg, struct pack_item member)
{
    struct limited *l = arg;
    (void)member;
    return ++l->n < l->limit;
}

static bool algebra_agrees(void)
{
    static void (*const functions[])(const struct value *const *, unsigned, set_visit *,
                                     void *) = {set_inter, set_union, set_diff};
    struct model *chosen[40];
    const struct value *values[40];
    bool in[UNIVERSE];
    unsigned n = 1 + (unsigned)rng_below(&rng, rng_below(&rng, 4) ? 4 : 40);
    int what = (int)rng_below(&rng, 3);
    uint64_t visited = 0, count = 0;
    for (unsigned i = 0; i < n; i++) {
        chosen[i] = &sets[rng_below(&rng, SETS)];
        values[i] = chosen[i]->count > 0 || rng_below(&rng, 2) ? &chosen[i]->v : NULL;
    }
    expected(what, chosen, n, in);
    for (unsigned i = 0; i < UNIVERSE; i++)
        count += in[i];
    functions[what](values, n, visit_seen, &visited);
    struct limited l = {0, 1 + rng_below(&rng, 5)};
    functions[what](values, n, visit_limited, &l);
    return seen_is(in) && visited == count && l.n == min_u64(l.limit, count);
}

/* --- steps --- */

static bool change(struct model *m, const struct value_limits *limits, unsigned span)
{
    unsigned i = (unsigned)rng_below(&rng, span);
    bool was = m->in[i];
    if (rng_below(&rng, 100) < 60) {
        m->in[i] = true;
        m->count += !was;
        return set_add(&m->v, item_of(i), limits) == !was;
    }
    m->in[i] = false;
    m->count -= was;
    return set_remove(&m->v, item_of(i)) == was;
}

static bool pop(struct model *m)
{
    struct pack_item member = set_random(&m->v, &rng);
    int i = index_of(member);
    ensure(i >= 0);
    bool good = m->in[i] && set_remove(&m->v, member);
    m->in[i] = false;
    m->count--;
    return good;
}

static bool step(struct model *m, const struct value_limits *limits, unsigned span)
{
    unsigned i = (unsigned)rng_below(&rng, UNIVERSE);
    switch (rng_below(&rng, 40)) {
    case 0:
        return m->count == 0 || pop(m);
    case 1:
        return holds(&m->v, m);
    case 2:
        return batch_agrees(m);
    case 3:
        return m->count == 0 || round_trips(m, limits);
    case 4:
        return algebra_agrees();
    case 5:
        return m->count == 0 || memory_agrees(&m->v);
    case 6:
    case 7:
        return set_has(&m->v, item_of(i)) == m->in[i];
    default:
        return change(m, limits, span);
    }
}

static void empty_again(struct model *m)
{
    set_class.release(&m->v);
    m->v = set_class.empty();
    memset(m->in, 0, sizeof(m->in));
    m->count = 0;
    if (rng_below(&rng, 2))
        set_expect(&m->v, rng_below(&rng, 300));
}

static bool round_of(unsigned *forms)
{
    struct value_limits limits = value_limits_default;
    static const unsigned spans[] = {10, 200, 450, 1450, UNIVERSE};
    if (rng_below(&rng, 2)) {
        limits.set_max_intset_entries = (int)rng_below(&rng, 40);
        limits.set_max_listpack_entries = (int)rng_below(&rng, 40);
        limits.set_max_listpack_value = (int)rng_below(&rng, 70);
    }
    unsigned span = spans[rng_below(&rng, ARRAY_LEN(spans))];
    bool good = true;
    for (int i = 0; i < SETS; i++)
        empty_again(&sets[i]);
    for (int i = 0; i < STEPS && good; i++) {
        struct model *m = &sets[rng_below(&rng, SETS)];
        good = step(m, &limits, span);
        if (i % 16 == 0)
            set_validate(&m->v);
        *forms |= 1u << m->v.encoding;
    }
    return good;
}

/* --- apart from the model --- */

/* What a Redis of 7.2 and later writes for small sets. */
static void packs_are_read(void)
{
    struct buf bytes = {0};
    struct value v;
    uint8_t *pack = pack_append_pair(pack_new(), pack_str(SLICE_LIT("a")), pack_int(12));
    rdb_put_string(&bytes, pack_slice(pack));
    ok(set_class.decode(20, buf_slice(&bytes), &value_limits_default, &v) == 0 && set_count(&v) == 2 &&
           set_has(&v, pack_str(SLICE_LIT("12"))),
       "a set in a listpack is read");
    set_class.release(&v);
    buf_clear(&bytes);
    pack = pack_append(pack, pack_str(SLICE_LIT("a")));
    rdb_put_string(&bytes, pack_slice(pack));
    ok(set_class.decode(20, buf_slice(&bytes), &value_limits_default, &v) < 0,
       "a member that is there twice is refused");
    buf_clear(&bytes);
    pack_free(pack);
    pack = pack_new();
    rdb_put_string(&bytes, pack_slice(pack));
    ok(set_class.decode(20, buf_slice(&bytes), &value_limits_default, &v) < 0, "an empty set is refused");
    pack_free(pack);
    buf_free(&bytes);
}

static void counts_are_not_believed(void)
{
    static const uint8_t lie[] = {0x80, 0x7f, 0xff, 0xff, 0xff, 1, 'a'}, twice[] = {2, 1, 'a', 1, 'a'}, none[] = {0};
    struct value v;
    ok(set_class.decode(2, slice_of(lie, sizeof(lie)), &value_limits_default, &v) < 0, "a count beyond the bytes");
    ok(set_class.decode(2, slice_of(twice, sizeof(twice)), &value_limits_default, &v) < 0, "a member twice");
    ok(set_class.decode(2, slice_of(none, sizeof(none)), &value_limits_default, &v) < 0, "no member");
}

#define DRAWS 20000

/* Each of 100 members should come about DRAWS / 100 times; ten standard deviations are allowed. */
static void random_is_fair(const struct value_limits *limits, bool ints, const char *form)
{
    struct value v = set_class.empty();
    unsigned from = ints ? 200 : 600, n = 100, worst = 0;
    for (unsigned i = 0; i < n; i++)
        set_add(&v, pack_str(names[from + i]), limits);
    for (unsigned i = 0; i < DRAWS; i++)
        seen[index_of(set_random(&v, &rng))]++;
    for (unsigned i = 0; i < n; i++) {
        int64_t off = (int64_t)seen[from + i] - DRAWS / n;
        worst = (unsigned)max_u64(worst, (uint64_t)(off < 0 ? -off : off));
        seen[from + i] = 0;
    }
    ok(slice_eq(slice_str(set_class.encoding_name(&v)), slice_str(form)) && worst < 140, "random members of a %s (%u)",
       form, worst);
    set_class.release(&v);
}

int main(void)
{
    static const struct value_limits none = {0};
    unsigned forms = 0;
    bool good = true;
    uint64_t seed = tap_seed();
    rng_seed(&rng, seed);
    value_hash_seed = rng_u64(&rng);
    for (unsigned i = 0; i < UNIVERSE; i++)
        make_name(i);
    for (int i = 0; i < SETS; i++)
        sets[i].v = set_class.empty();
    for (int i = 0; i < ROUNDS && good; i++)
        good = round_of(&forms);
    ok(good, "sets agree with their models");
    ok(__builtin_popcount(forms & ~(3u << 7)) >= 2 && __builtin_popcount(forms) >= 3, "through all forms (%x)", forms);
    packs_are_read();
    counts_are_not_believed();
    random_is_fair(&value_limits_default, true, "intset");
    random_is_fair(&value_limits_default, false, "listpack");
    random_is_fair(&none, false, "hashtable");
    for (int i = 0; i < SETS; i++)
        set_class.release(&sets[i].v);
    for (unsigned i = 0; i < UNIVERSE; i++)
        mem_free((void *)names[i].p, names[i].len + 1);
    return tap_done();
}
