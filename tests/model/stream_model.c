/* Random operations on streams against plain arrays: entries, and of each group what it has delivered and what is
 * pending, with whom, since when, how often. Every answer agrees, every invariant stands, whatever the limits of nodes;
 * what is encoded in parts of any size decodes to the same; damaged encodings are refused or valid. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/value/stream_group.h"
#include "tests/sim/tap.h"

#define ROUNDS 40
#define STEPS 3000
#define ENTRIES_MAX STEPS
#define GROUPS 3
#define CONSUMERS 4
#define FIELDS_MAX 90

static struct rng rng;
static struct value v;
static struct value_limits limits;

/* --- the model --- */

struct entry {
    struct stream_id id;
    uint64_t seed; /* of its fields */
};
struct pending {
    struct stream_id id;
    int consumer;
    int64_t ms;
    uint64_t deliveries;
};
struct group {
    bool there, from_zero;
    struct stream_id last;
    bool consumer[CONSUMERS];
    struct pending pending[ENTRIES_MAX];
    unsigned n;
};
static struct {
    struct entry entry[ENTRIES_MAX];
    unsigned n;
    struct stream_id last, max_deleted;
    uint64_t added;
    bool whole; /* nothing has been removed, no id was set: then lag has to be right */
    struct group group[GROUPS];
} m;

static const struct slice group_names[GROUPS] = {SLICE_LIT("workers"), SLICE_LIT(""), SLICE_LIT("audit")};
static const struct slice consumer_names[CONSUMERS] = {SLICE_LIT("alice"), SLICE_LIT("bob"), SLICE_LIT(""),
                                                       SLICE_LIT("a consumer whose name is somewhat longer")};

static struct stream *s(void) { return stream_of(&v); }

/* Its fields: names are mostly the same, in number and spelling. */
struct fields {
    struct slice items[2 * FIELDS_MAX];
    char text[2 * FIELDS_MAX][24];
    struct stream_input in;
};

static struct slice big_value(uint64_t seed)
{
    static char bytes[9000];
    memset(bytes, 'x', sizeof(bytes));
    return slice_of(bytes, 50 + seed % (sizeof(bytes) - 50));
}

static void make_fields(uint64_t seed, struct fields *f)
{
    unsigned kind = seed % 10;
    f->in = (struct stream_input){.items = f->items,
                                  .fields = kind < 7   ? 2
                                            : kind < 9 ? 1 + seed / 10 % 5
                                                       : FIELDS_MAX};
    for (unsigned i = 0; i < f->in.fields; i++) {
        int n = snprintf(f->text[2 * i], sizeof(f->text[0]), kind == 8 ? "other%u" : "field%u", i);
        f->items[2 * i] = slice_of(f->text[2 * i], (size_t)n);
        n = snprintf(f->text[2 * i + 1], sizeof(f->text[0]), i % 2 ? "%d" : "v%d", (int)(seed >> 8) % 100000);
        f->items[2 * i + 1] = slice_of(f->text[2 * i + 1], (size_t)n);
    }
    if (seed % 50 == 7)
        f->items[1] = big_value(seed);
    for (unsigned i = 0; i < 2 * f->in.fields; i++)
        f->in.bytes += f->items[i].len;
}

static int find_entry(struct stream_id id)
{
    for (unsigned i = 0; i < m.n; i++)
        if (stream_id_cmp(m.entry[i].id, id) == 0)
            return (int)i;
    return -1;
}

static void drop_entry(unsigned i)
{
    memmove(&m.entry[i], &m.entry[i + 1], (--m.n - i) * sizeof(m.entry[0]));
    m.whole = false;
}

/* Where a pending entry is, or would be. */
static unsigned pending_at(const struct group *g, struct stream_id id)
{
    unsigned i = 0;
    while (i < g->n && stream_id_cmp(g->pending[i].id, id) < 0)
        i++;
    return i;
}

static struct pending *find_pending(struct group *g, struct stream_id id)
{
    unsigned i = pending_at(g, id);
    return i < g->n && stream_id_cmp(g->pending[i].id, id) == 0 ? &g->pending[i] : NULL;
}

static bool drop_pending(struct group *g, struct stream_id id)
{
    struct pending *p = find_pending(g, id);
    if (p == NULL)
        return false;
    memmove(p, p + 1, (size_t)(&g->pending[--g->n] - p) * sizeof(*p));
    return true;
}

static struct pending *put_pending(struct group *g, struct stream_id id)
{
    struct pending *p = find_pending(g, id);
    if (p != NULL)
        return p;
    unsigned i = pending_at(g, id);
    memmove(&g->pending[i + 1], &g->pending[i], (g->n++ - i) * sizeof(*p));
    g->pending[i] = (struct pending){.id = id};
    return &g->pending[i];
}

static bool needed(struct stream_id id)
{
    for (int i = 0; i < GROUPS; i++)
        if (m.group[i].there && (stream_id_cmp(m.group[i].last, id) < 0 || find_pending(&m.group[i], id) != NULL))
            return true;
    return false;
}

static void unreference(struct stream_id id)
{
    for (int i = 0; i < GROUPS; i++)
        if (m.group[i].there)
            drop_pending(&m.group[i], id);
}

/* --- comparing --- */

static bool entry_agrees(const struct stream_entry *e, const struct entry *want)
{
    struct fields f;
    struct stream_fields it = stream_fields_of(e);
    struct pack_item name, value;
    unsigned i = 0;
    make_fields(want->seed, &f);
    if (stream_id_cmp(e->id, want->id) != 0 || e->fields != f.in.fields)
        return false;
    for (; stream_fields_next(&it, &name, &value); i++)
        if (!pack_equals(name, f.items[2 * i]) || !pack_equals(value, f.items[2 * i + 1]))
            return false;
    return i == f.in.fields;
}

static bool range_agrees(const struct stream *st, struct stream_id from, struct stream_id to, bool back)
{
    struct stream_iter it;
    stream_iter_init(&it, st, from, to, back);
    for (unsigned k = 0; k < m.n; k++) {
        const struct entry *e = &m.entry[back ? m.n - 1 - k : k];
        if (stream_id_cmp(e->id, from) < 0 || stream_id_cmp(e->id, to) > 0)
            continue;
        if (!stream_iter_next(&it) || !entry_agrees(&it.entry, e))
            return false;
    }
    return !stream_iter_next(&it);
}

static bool pending_agrees(const struct stream_group *g, const struct group *want)
{
    struct btree_iter it;
    const struct stream_pending *p = btree_begin(g->pending, &it);
    for (unsigned i = 0; i < want->n; i++, p = btree_next(&it)) {
        const struct pending *w = &want->pending[i];
        if (p == NULL || stream_id_cmp(p->id, w->id) != 0 || p->delivered_ms != w->ms ||
            p->deliveries != w->deliveries || !slice_eq(p->consumer->name, consumer_names[w->consumer]))
            return false;
    }
    return p == NULL;
}

static bool consumers_agree(const struct stream_group *g, const struct group *want)
{
    for (int c = 0; c < CONSUMERS; c++) {
        struct stream_consumer *consumer = stream_consumer_find(g, consumer_names[c]);
        struct btree_iter it;
        if ((consumer != NULL) != want->consumer[c])
            return false;
        if (consumer == NULL)
            continue;
        struct stream_id *id = stream_consumer_seek(consumer, STREAM_ID_MIN, &it);
        for (unsigned i = 0; i < want->n; i++) {
            if (want->pending[i].consumer != c)
                continue;
            if (id == NULL || stream_id_cmp(*id, want->pending[i].id) != 0)
                return false;
            id = btree_next(&it);
        }
        if (id != NULL)
            return false;
    }
    return true;
}

static bool lag_agrees(const struct stream *st, const struct stream_group *g, const struct group *want)
{
    int64_t lag, left = 0;
    for (unsigned i = 0; i < m.n; i++)
        left += stream_id_cmp(m.entry[i].id, want->last) > 0;
    return !m.whole || (stream_group_lag(st, g, &lag) ? lag == left : !want->from_zero);
}

static bool groups_agree(const struct stream *st)
{
    uint64_t n = 0;
    for (int i = 0; i < GROUPS; i++) {
        const struct group *want = &m.group[i];
        const struct stream_group *g = stream_group_find(st, group_names[i]);
        if ((g != NULL) != want->there)
            return false;
        n += want->there;
        if (g != NULL && (stream_id_cmp(g->last, want->last) != 0 || !pending_agrees(g, want) ||
                          !consumers_agree(g, want) || !lag_agrees(st, g, want)))
            return false;
    }
    return n == stream_groups(st);
}

static bool all_agree(const struct value *value)
{
    const struct stream *st = stream_of(value);
    stream_validate(value);
    return st->length == m.n && st->added == m.added && stream_id_cmp(st->last, m.last) == 0 &&
           stream_id_cmp(st->max_deleted, m.max_deleted) == 0 &&
           stream_id_cmp(stream_top(st), m.n > 0 ? m.entry[m.n - 1].id : STREAM_ID_MIN) == 0 &&
           range_agrees(st, STREAM_ID_MIN, STREAM_ID_MAX, rng_below(&rng, 2) == 0) && groups_agree(st);
}

/* --- entries --- */

static bool add(void)
{
    struct fields f;
    struct entry e = {m.last, rng_u64(&rng) >> 1};
    if (m.n == ENTRIES_MAX)
        return true;
    if (rng_below(&rng, 3) == 0)
        e.id.ms += 1 + rng_below(&rng, 1000);
    e.id.seq = e.id.ms > m.last.ms ? rng_below(&rng, 3) : e.id.seq + 1 + rng_below(&rng, 200);
    if (e.id.ms == 0 && e.id.seq == 0)
        e.id.seq = 1;
    make_fields(e.seed, &f);
    m.entry[m.n++] = e;
    m.last = e.id;
    m.added++;
    return stream_add(s(), e.id, &f.in, &limits) == 0;
}

/* Mostly of an entry that is there. */
static struct stream_id any_id(void)
{
    struct stream_id id = m.last;
    if (m.n > 0 && rng_below(&rng, 8) > 0)
        return m.entry[rng_below(&rng, 4) > 0 ? rng_below(&rng, m.n) : rng_below(&rng, m.n < 10 ? m.n : 10)].id;
    id.ms = rng_below(&rng, id.ms + 2);
    id.seq = rng_below(&rng, 4);
    return id;
}

static bool delete_one(void)
{
    static const enum stream_refs all[] = {STREAM_KEEPREF, STREAM_KEEPREF, STREAM_DELREF, STREAM_ACKED};
    enum stream_refs refs = all[rng_below(&rng, ARRAY_LEN(all))];
    struct stream_id id = any_id();
    int at = find_entry(id);
    bool changed = false;
    enum stream_erased want = at < 0 ? STREAM_ERASED_NOT : STREAM_ERASED;
    if (refs == STREAM_DELREF)
        unreference(id);
    if (at >= 0 && refs == STREAM_ACKED && needed(id))
        want = STREAM_NEEDED;
    if (want == STREAM_ERASED) {
        drop_entry((unsigned)at);
        if (stream_id_cmp(id, m.max_deleted) > 0)
            m.max_deleted = id;
    }
    enum stream_erased got = stream_erase(s(), id, refs, &changed);
    return got == want && (changed || got != STREAM_ERASED);
}

static uint64_t model_trim(const struct stream_trim *t)
{
    uint64_t removed = 0;
    for (unsigned i = 0; i < m.n;) {
        struct stream_id id = m.entry[i].id;
        if (t->by_id ? stream_id_cmp(id, t->id) >= 0 : m.n <= t->length)
            break;
        if (t->refs == STREAM_ACKED && needed(id)) {
            i++;
            continue;
        }
        if (t->refs == STREAM_DELREF)
            unreference(id);
        drop_entry(i);
        removed++;
    }
    return removed;
}

static bool trim(void)
{
    struct stream_trim t = {.by_id = rng_below(&rng, 2), .id = any_id(), .refs = (enum stream_refs)rng_below(&rng, 3)};
    t.length = m.n - (m.n > 0 ? rng_below(&rng, 1 + m.n / (1 + rng_below(&rng, 20))) : 0);
    if (t.by_id && rng_below(&rng, 3) > 0 && m.n > 0)
        t.id = m.entry[rng_below(&rng, 1 + m.n / 10)].id;
    t.whole_nodes = rng_below(&rng, 3) == 0;
    t.limit = t.whole_nodes && rng_below(&rng, 2) ? rng_below(&rng, 300) : 0;
    uint64_t before = m.n, got = stream_trim(s(), &t);
    if (!t.whole_nodes)
        return got == model_trim(&t);
    /* No more than what the exact one takes, and the same first ones. */
    struct stream_trim exact = {.length = before - got, .refs = t.refs};
    if (t.by_id && got > 0 && stream_id_cmp(m.entry[0].id, t.id) >= 0)
        return false;
    if ((t.limit > 0 && got > t.limit) || (!t.by_id && before - got < t.length && got > 0))
        return false;
    return model_trim(&exact) == got;
}

static bool set_last(void)
{
    struct stream_id id = m.last;
    if (rng_below(&rng, 2))
        id.ms += rng_below(&rng, 50);
    else /* back to the last live entry, or the greatest deleted one */
        id = m.n > 0 ? m.entry[m.n - 1].id : id;
    if (stream_id_cmp(id, m.max_deleted) < 0)
        id = m.max_deleted;
    m.last = id;
    m.whole = false;
    stream_set_last(s(), id);
    return true;
}

/* --- groups --- */

static bool change_groups(int i)
{
    struct group *want = &m.group[i];
    struct stream_group *g = stream_group_find(s(), group_names[i]);
    uint64_t pick = rng_below(&rng, 20);
    if (g == NULL || pick == 0) {
        struct stream_id last = rng_below(&rng, 2) ? STREAM_ID_MIN : m.last;
        bool fresh = stream_group_add(s(), group_names[i], last, STREAM_READ_UNKNOWN) != NULL;
        if (fresh != !want->there)
            return false;
        if (fresh)
            *want = (struct group){.there = true, .from_zero = stream_id_zero(last), .last = last};
    } else if (pick == 1) {
        stream_group_remove(s(), g);
        want->there = false;
    }
    return true;
}

static bool remove_consumer(struct group *want, struct stream_group *g, int c)
{
    struct stream_consumer *consumer = stream_consumer_find(g, consumer_names[c]);
    if ((consumer != NULL) != want->consumer[c])
        return false;
    if (consumer == NULL)
        return true;
    stream_consumer_remove(s(), g, consumer);
    want->consumer[c] = false;
    for (unsigned i = 0; i < want->n;)
        if (want->pending[i].consumer == c)
            drop_pending(want, want->pending[i].id);
        else
            i++;
    return true;
}

static struct stream_consumer *consumer_of(struct group *want, struct stream_group *g, int c)
{
    struct stream_consumer *consumer = stream_consumer_find(g, consumer_names[c]);
    if (consumer == NULL)
        consumer = stream_consumer_add(s(), g, consumer_names[c], (int64_t)rng_below(&rng, 1000));
    if (rng_below(&rng, 4) == 0)
        consumer->active_ms = (int64_t)rng_below(&rng, 1000);
    want->consumer[c] = true;
    return consumer;
}

static void assign(struct group *want, struct stream_group *g, int c, struct stream_id id)
{
    int64_t ms = (int64_t)rng_below(&rng, 1u << 30);
    struct stream_pending *p = stream_pending_assign(s(), g, id, consumer_of(want, g, c));
    struct pending *w = put_pending(want, id);
    w->consumer = c;
    p->delivered_ms = w->ms = ms;
    w->deliveries++;
    p->deliveries++;
}

/* The next few entries go to a consumer. */
static void deliver(struct group *want, struct stream_group *g, int c)
{
    struct stream_id from = want->last;
    struct stream_iter it;
    uint64_t count = 1 + rng_below(&rng, 20);
    if (!stream_id_next(&from))
        return;
    for (; count > 0; count--) {
        stream_iter_init(&it, s(), from, STREAM_ID_MAX, false);
        if (!stream_iter_next(&it))
            return;
        from = want->last = it.entry.id;
        stream_group_advance(s(), g, from);
        assign(want, g, c, from);
        stream_id_next(&from);
    }
}

static bool use_group(int i)
{
    struct group *want = &m.group[i];
    struct stream_group *g = stream_group_find(s(), group_names[i]);
    int c = (int)rng_below(&rng, CONSUMERS);
    uint64_t pick = rng_below(&rng, 100);
    if (g == NULL || want->n + 30 > ENTRIES_MAX)
        return (g != NULL) == want->there;
    if (pick < 50)
        deliver(want, g, c);
    else if (pick < 60)
        assign(want, g, c, any_id());
    else if (pick < 62)
        return remove_consumer(want, g, c);
    else
        for (uint64_t k = rng_below(&rng, 12); k > 0; k--) {
            struct stream_id id = want->n > 0 ? want->pending[rng_below(&rng, want->n)].id : any_id();
            if (stream_pending_remove(s(), g, id) != drop_pending(want, id))
                return false;
        }
    return true;
}

/* --- encodings --- */

static void hash_mix(void *arg, struct slice part)
{
    struct value_digest *d = arg;
    struct slice chain[] = {slice_of(d, sizeof(*d)), part};
    value_digest_add(d, chain, 2);
}

static struct value_digest digest_of(const struct value *value)
{
    struct value_digest d = {{0}};
    stream_class.digest(value, hash_mix, &d);
    return d;
}

static uint8_t encode_in_parts(struct buf *out)
{
    uint64_t cursor = 0;
    uint8_t type, first = 0;
    size_t budget = rng_below(&rng, 3) == 0 ? SIZE_MAX : rng_below(&rng, 2000);
    do {
        type = stream_class.encode(&v, &cursor, out, budget);
        first = first == 0 ? type : first;
        if (type != first)
            return 0;
    } while (cursor != 0);
    return type;
}

static bool survives_encoding(void)
{
    struct buf bytes = {0}, again = {0};
    struct value back;
    uint64_t cursor = 0;
    uint8_t type = encode_in_parts(&bytes);
    bool good = stream_class.encode(&v, &cursor, &again, SIZE_MAX) == type && cursor == 0 &&
                slice_eq(buf_slice(&bytes), buf_slice(&again)) &&
                stream_class.decode(type, buf_slice(&bytes), &limits, &back) == 0;
    if (good) {
        struct value_digest a = digest_of(&v), b = digest_of(&back);
        good = all_agree(&back) && memcmp(&a, &b, sizeof(a)) == 0;
        stream_class.release(&v);
        v = back;
    }
    buf_free(&bytes);
    buf_free(&again);
    return good;
}

/* What is accepted in spite of a wrong byte, or a missing end, is sound. */
static bool survives_damage(void)
{
    struct buf bytes = {0};
    uint8_t type = encode_in_parts(&bytes);
    for (int i = 0; i < 40; i++) {
        struct value back;
        size_t at = rng_below(&rng, bytes.len), len = rng_below(&rng, 5) == 0 ? at : bytes.len;
        uint8_t was = bytes.p[at];
        bytes.p[at] ^= (uint8_t)(1 << rng_below(&rng, 8));
        if (stream_class.decode(type, slice_of(bytes.p, len), &limits, &back) == 0) {
            stream_validate(&back);
            stream_class.release(&back);
        }
        bytes.p[at] = was;
    }
    buf_free(&bytes);
    return true;
}

static bool survives_copying(void)
{
    struct value c = stream_class.copy(&v);
    bool good = all_agree(&c) && stream_class.memory(&c) > 0;
    stream_class.release(&v);
    v = c;
    return good;
}

/* --- the run --- */

static bool ranges_agree(void)
{
    struct stream_id a = any_id(), b = any_id();
    return range_agrees(s(), a, b, rng_below(&rng, 2)) && stream_has(s(), a) == (find_entry(a) >= 0);
}

static bool step(unsigned adding)
{
    int g = (int)rng_below(&rng, GROUPS);
    uint64_t pick = rng_below(&rng, 1000);
    if (pick < adding)
        return add();
    if (pick < 640)
        return use_group(g);
    if (pick < 660)
        return change_groups(g);
    if (pick < 850)
        return m.whole && m.n < 300 ? true : delete_one();
    if (pick < 870)
        return m.whole && m.n < 300 ? true : trim();
    if (pick < 875)
        return m.whole ? true : set_last();
    if (pick < 980)
        return ranges_agree();
    return pick < 985 ? survives_copying() : pick < 995 ? survives_encoding() : survives_damage();
}

static bool round_agrees(unsigned adding)
{
    memset(&m, 0, sizeof(m));
    m.whole = true;
    v = stream_class.empty();
    bool good = true;
    for (int i = 0; i < STEPS && good; i++) {
        good = step(adding);
        if (good && i % 32 == 0)
            good = all_agree(&v);
        if (!good)
            tap_diag("step %d, %u entries", i, m.n);
    }
    stream_class.release(&v);
    return good;
}

int main(void)
{
    static const unsigned bytes[] = {0, 1, 300, 4096, 4096, 1 << 20}, entries[] = {0, 1, 3, 100, 100, 150};
    rng_seed(&rng, tap_seed());
    for (int i = 0; i < ROUNDS; i++) {
        limits = value_limits_default;
        limits.stream_node_max_bytes = bytes[rng_below(&rng, ARRAY_LEN(bytes))];
        limits.stream_node_max_entries = entries[rng_below(&rng, ARRAY_LEN(entries))];
        unsigned adding = rng_below(&rng, 3) == 0 ? 150 : 400;
        ok(round_agrees(adding), "round %d: nodes of %d bytes, %d entries", i, (int)limits.stream_node_max_bytes,
           (int)limits.stream_node_max_entries);
    }
    return tap_done();
}
