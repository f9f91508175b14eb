/* Random operations on sorted sets against a plain array that is sorted anew for every question: every answer agrees,
 * every invariant stands, in both forms and over the change between them; what is encoded in parts of any size decodes
 * to the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/value/zset.h"
#include "tests/sim/tap.h"

#define UNIVERSE 1200
#define ROUNDS 60
#define STEPS 1500

static struct slice names[UNIVERSE];
static struct rng rng;

struct model {
    bool in[UNIVERSE];
    double score[UNIVERSE];
    unsigned order[UNIVERSE]; /* indexes of what is in, sorted by sort_model */
    unsigned n;
};
static struct model m;
static struct value v;
static struct value_limits limits;

/* --- the universe: integers, what almost is one, short and long strings, an empty one --- */

static void make_name(unsigned i)
{
    static char big[70000];
    static const size_t lengths[] = {63, 64, 65, 100, 4095, 65534, 65535, 65536, 69000};
    char text[64];
    size_t len = 0;
    if (i >= UNIVERSE - 20) {
        len = lengths[i % ARRAY_LEN(lengths)];
        memset(big, 'a' + (int)(i % 26), len);
    } else {
        if (i > 0)
            len = (size_t)snprintf(text, sizeof(text),
                                   i % 3 == 0   ? "%d"
                                   : i % 3 == 1 ? "0%d"
                                                : "member:%d",
                                   (int)i - 300);
        memcpy(big, text, len);
    }
    uint8_t *own = mem_alloc(len + 1);
    memcpy(own, big, len);
    names[i] = slice_of(own, len);
}

static unsigned index_of(struct slice name)
{
    for (unsigned i = 0; i < UNIVERSE; i++)
        if (slice_eq(names[i], name))
            return i;
    panic("a member that nobody added");
}

/* Few different ones, so that many are equal, of all kinds. */
static double any_score(void)
{
    static const double odd[] = {INFINITY, -INFINITY, 0, -0.0, 0.1, 1e300, -1e-300, 5e-324, 9007199254740993.0, 1e17};
    uint64_t pick = rng_below(&rng, 10);
    if (pick == 0)
        return odd[rng_below(&rng, ARRAY_LEN(odd))];
    if (pick < 4)
        return rng_unit(&rng) * 100;
    return (double)rng_below(&rng, 40) - 20;
}

static int compare_names(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    if (m.score[x] != m.score[y])
        return m.score[x] < m.score[y] ? -1 : 1;
    return slice_cmp(names[x], names[y]);
}

static void sort_model(void)
{
    m.n = 0;
    for (unsigned i = 0; i < UNIVERSE; i++)
        if (m.in[i])
            m.order[m.n++] = i;
    qsort(m.order, m.n, sizeof(m.order[0]), compare_names);
}

/* --- questions; each returns whether the answers agree --- */

static bool walk_agrees(const struct value *z, uint64_t from, bool reverse)
{
    struct zset_iter it;
    struct zset_item item;
    uint64_t rank = from;
    zset_iter_init(&it, z, from, reverse);
    while (zset_iter_next(&it, &item)) {
        if (rank >= m.n || !slice_eq(item.member, names[m.order[rank]]) || item.score != m.score[m.order[rank]])
            return false;
        rank += reverse ? (uint64_t)-1 : 1;
    }
    return from >= m.n || rank == (reverse ? (uint64_t)-1 : m.n);
}

static bool all_agree(const struct value *z)
{
    sort_model();
    uint64_t from = rng_below(&rng, m.n + 2);
    return zset_count(z) == m.n && walk_agrees(z, 0, false) && (m.n == 0 || walk_agrees(z, m.n - 1, true)) &&
           walk_agrees(z, from, false) && walk_agrees(z, from, true);
}

static bool member_agrees(unsigned i)
{
    double score = 0, other = 0;
    uint64_t rank = 0;
    bool there = zset_score(&v, names[i], &score), ranked = zset_rank(&v, names[i], &rank, &other);
    if (there != m.in[i] || ranked != there)
        return false;
    return !there || (score == m.score[i] && other == score && m.order[rank] == i);
}

static bool scores_agree(void)
{
    struct zset_scores r = {any_score(), any_score(), rng_below(&rng, 2), rng_below(&rng, 2)};
    struct zset_interval in = zset_in_scores(&v, &r);
    unsigned from = 0, to = 0;
    for (unsigned i = 0; i < m.n; i++) {
        double s = m.score[m.order[i]];
        from += r.min_open ? s <= r.min : s < r.min;
        to += r.max_open ? s < r.max : s <= r.max;
    }
    return to <= from ? zset_width(in) == 0 && in.to <= m.n : in.from == from && in.to == to;
}

static struct zset_lex_bound any_bound(void)
{
    struct zset_lex_bound b = {.infinite = (int)rng_below(&rng, 9) - 1, .open = rng_below(&rng, 2)};
    b.infinite = b.infinite > 1 ? 0 : b.infinite;
    b.member = names[rng_below(&rng, UNIVERSE)];
    return b;
}

/* Only if all scores are equal. */
static bool lex_agrees(void)
{
    struct zset_lex_bound min = any_bound(), max = any_bound();
    unsigned from = 0, to = 0;
    if (m.n == 0 || m.score[m.order[0]] != m.score[m.order[m.n - 1]])
        return true;
    struct zset_interval in = zset_in_lex(&v, min, max);
    for (unsigned i = 0; i < m.n; i++) {
        int low = slice_cmp(names[m.order[i]], min.member), high = slice_cmp(names[m.order[i]], max.member);
        from += min.infinite != 0 ? min.infinite > 0 : low < 0 || (low == 0 && min.open);
        to += max.infinite != 0 ? max.infinite > 0 : high < 0 || (high == 0 && !max.open);
    }
    return to <= from ? zset_width(in) == 0 : in.from == from && in.to == to;
}

static unsigned scanned[UNIVERSE];

static void scan_one(void *arg, const struct zset_item *item)
{
    unsigned i = index_of(item->member);
    ensure(m.in[i] && m.score[i] == item->score);
    scanned[i]++;
    ++*(unsigned *)arg;
}

static bool scan_agrees(void)
{
    uint64_t cursor = 0;
    unsigned n = 0;
    memset(scanned, 0, sizeof(scanned));
    do
        cursor = zset_scan(&v, cursor, 1 + rng_below(&rng, 50), scan_one, &n);
    while (cursor != 0);
    for (unsigned i = 0; i < UNIVERSE; i++)
        if (scanned[i] != m.in[i])
            return false;
    return n == m.n;
}

/* In parts, through bytes, to a value of the form that fits the limits. */
static bool survives_encoding(void)
{
    struct buf out = {0}, whole = {0};
    struct value back;
    uint64_t cursor = 0;
    uint8_t type = 0;
    if (m.n == 0)
        return true;
    do
        type = zset_class.encode(&v, &cursor, &out, 1 + rng_below(&rng, 3000));
    while (cursor != 0);
    value_encode(&v, &whole);
    bool good = whole.p[0] == type && slice_eq(buf_slice(&out), slice_of(whole.p + 1, whole.len - 1));
    good = good && zset_class.decode(type, buf_slice(&out), &limits, &back) == 0;
    if (good) {
        zset_validate(&back);
        good = all_agree(&back);
        zset_class.release(&v);
        v = back;
    }
    buf_free(&out);
    buf_free(&whole);
    return good;
}

static bool survives_copying(void)
{
    struct value copy = zset_class.copy(&v);
    zset_validate(&copy);
    zset_class.release(&v);
    v = copy;
    return all_agree(&v);
}

/* --- changes --- */

static enum zset_added model_add(unsigned i, double *score, int flags)
{
    double wanted = *score;
    if (!m.in[i]) {
        if (flags & ZSET_XX)
            return ZSET_REFUSED;
        m.in[i] = true;
        m.score[i] = wanted;
        return ZSET_ADDED;
    }
    if (flags & ZSET_NX)
        return ZSET_REFUSED;
    if (flags & ZSET_INCR)
        wanted += m.score[i];
    if (isnan(wanted))
        return ZSET_NAN;
    if (((flags & ZSET_GT) && wanted <= m.score[i]) || ((flags & ZSET_LT) && wanted >= m.score[i]))
        return ZSET_REFUSED;
    bool same = wanted == m.score[i];
    *score = m.score[i] = wanted;
    return same ? ZSET_SAME : ZSET_UPDATED;
}

static bool add_agrees(unsigned i, double score)
{
    static const int flags[] = {0,       0,       0,       0,         ZSET_INCR,           ZSET_NX,
                                ZSET_XX, ZSET_GT, ZSET_LT, ZSET_INCR, ZSET_GT | ZSET_INCR, ZSET_XX | ZSET_LT};
    int f = flags[rng_below(&rng, ARRAY_LEN(flags))];
    double ours = score, theirs = score;
    enum zset_added got = zset_add(&v, &limits, names[i], &ours, f), want = model_add(i, &theirs, f);
    return got == want && (got == ZSET_REFUSED || got == ZSET_NAN || ours == theirs);
}

static bool remove_agrees(unsigned i)
{
    bool was = m.in[i];
    m.in[i] = false;
    return zset_remove(&v, names[i]) == was;
}

static bool remove_ranks(void)
{
    uint64_t from = rng_below(&rng, m.n + 1), width = rng_below(&rng, m.n - from + 1);
    if (width > 20 && rng_below(&rng, 4) > 0)
        width = rng_below(&rng, 20);
    zset_remove_ranks(&v, (struct zset_interval){from, from + width});
    for (uint64_t i = from; i < from + width; i++)
        m.in[m.order[i]] = false;
    return true;
}

/* The same members, gathered in any order. */
static bool rebuild(void)
{
    struct zset_build *b = zset_build_new();
    bool added, good = true;
    unsigned start = (unsigned)rng_below(&rng, UNIVERSE), mode = (unsigned)rng_below(&rng, 3);
    for (unsigned i = 0; i < (mode == 0 ? UNIVERSE : m.n); i++) {
        unsigned at = mode == 0 ? (i + start) % UNIVERSE : mode == 1 ? m.order[i] : m.order[m.n - 1 - i];
        if (!m.in[at])
            continue;
        *zset_build_member(b, names[at], &added) = m.score[at];
        good = good && added;
        double *again = zset_build_member(b, names[at], &added);
        good = good && !added && *again == m.score[at];
    }
    good = good && zset_build_count(b) == m.n;
    zset_class.release(&v);
    v = zset_build_value(b, &limits);
    zset_validate(&v);
    return good && all_agree(&v);
}

static bool step(unsigned universe, bool one_score)
{
    unsigned i = (unsigned)rng_below(&rng, universe);
    uint64_t pick = rng_below(&rng, 1000);
    if (pick < 500)
        return one_score ? model_add(i, &(double){7}, 0) + 1 && zset_add(&v, &limits, names[i], &(double){7}, 0) + 1
                         : add_agrees(i, any_score());
    if (pick < 780)
        return remove_agrees(i);
    sort_model();
    if (pick < 900)
        return member_agrees(i) && scores_agree() && lex_agrees();
    if (pick < 960)
        return all_agree(&v);
    if (pick < 970)
        return scan_agrees();
    if (pick < 980)
        return survives_encoding();
    if (pick < 985)
        return survives_copying();
    return pick < 990 ? rebuild() : remove_ranks();
}

static bool round_agrees(unsigned universe, bool one_score)
{
    memset(m.in, 0, sizeof(m.in));
    v = zset_class.empty();
    bool good = true;
    for (int i = 0; i < STEPS && good; i++) {
        good = step(universe, one_score);
        if (i % 16 == 0)
            zset_validate(&v);
    }
    size_t memory = zset_class.memory(&v);
    good = good && memory > 0 && zset_class.length(&v) == zset_count(&v);
    zset_class.release(&v);
    return good;
}

static void rounds(void)
{
    static const unsigned universes[] = {5, 40, 150, UNIVERSE};
    static const int entries[] = {0, 1, 10, 128, 1 << 20};
    for (int i = 0; i < ROUNDS; i++) {
        unsigned universe = universes[rng_below(&rng, ARRAY_LEN(universes))];
        limits = value_limits_default;
        limits.zset_max_listpack_entries = entries[rng_below(&rng, ARRAY_LEN(entries))];
        limits.zset_max_listpack_value = rng_below(&rng, 3) == 0 ? 1 << 20 : 64;
        bool one_score = i % 5 == 0;
        ok(round_agrees(universe, one_score), "round %d: %u members, pack up to %d%s", i, universe,
           limits.zset_max_listpack_entries, one_score ? ", one score" : "");
    }
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    value_hash_seed = rng_u64(&rng);
    for (unsigned i = 0; i < UNIVERSE; i++)
        make_name(i);
    rounds();
    return tap_done();
}
