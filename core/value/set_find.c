/* Look-ups of many members in one set. */
#include "core/base/mem.h"
#include "core/ds/intset.h"
#include "core/value/set_forms.h"

/* Open addressing over the entries of a pack. */
struct set_index {
    uint32_t mask;
    struct {
        uint32_t hash;
        uint32_t at; /* position in the pack; 0: no entry */
    } slot[];
};

/* Below these, searching a pack from its beginning costs less than an index. */
#define INDEX_MEMBERS 8
#define INDEX_LOOKUPS 12

static size_t index_bytes(uint32_t mask)
{
    return sizeof(struct set_index) + sizeof(((struct set_index *)0)->slot[0]) * ((size_t)mask + 1);
}

static uint64_t hash_item(struct pack_item item)
{
    char scratch[PACK_TEXT_MAX];
    return set_hash(pack_text(item, scratch));
}

static struct set_index *index_pack(const uint8_t *pack)
{
    uint32_t mask = 15;
    while (mask < 2 * pack_count(pack))
        mask = 2 * mask + 1;
    struct set_index *x = mem_zalloc(index_bytes(mask));
    x->mask = mask;
    for (uint32_t at = pack_first(pack); at != pack_end(pack); at = pack_next(pack, at)) {
        uint64_t hash = hash_item(pack_get(pack, at));
        uint32_t i = (uint32_t)hash & mask;
        while (x->slot[i].at != 0)
            i = (i + 1) & mask;
        x->slot[i].hash = (uint32_t)(hash >> 32);
        x->slot[i].at = at;
    }
    return x;
}

static inline bool is_at(const uint8_t *pack, uint32_t at, const struct pack_item *member)
{
    struct pack_item item = pack_get(pack, at);
    return item.is_int || member->is_int ? pack_same(item, *member) : slice_eq(item.bytes, member->bytes);
}

static bool index_has(const struct set_index *x, const uint8_t *pack, const struct pack_item *member, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash & x->mask; x->slot[i].at != 0; i = (i + 1) & x->mask)
        if (x->slot[i].hash == (uint32_t)(hash >> 32) && is_at(pack, x->slot[i].at, member))
            return true;
    return false;
}

void set_finder_init(struct set_finder *f, const struct value *v, uint64_t lookups)
{
    *f = (struct set_finder){.v = v};
    if (v->encoding == ENC_PACK && lookups >= INDEX_LOOKUPS && pack_count(set_pack(v)) >= INDEX_MEMBERS)
        f->index = index_pack(set_pack(v));
}

void set_finder_free(struct set_finder *f)
{
    if (f->index != NULL)
        mem_free(f->index, index_bytes(f->index->mask));
}

/* Members of another intset come in order: a few steps from the last place are mostly enough. */
static bool find_int(struct set_finder *f, int64_t v)
{
    const uint8_t *ints = set_ints(f->v);
    uint32_t n = intset_count(ints), at = f->at;
    if (at > 0 && intset_at(ints, at - 1) >= v)
        return intset_find(ints, v, &f->at);
    for (uint32_t end = (uint32_t)min_u64(n, (uint64_t)at + 8); at < end; at++) {
        int64_t x = intset_at(ints, at);
        if (x >= v) {
            f->at = at;
            return x == v;
        }
    }
    return intset_find(ints, v, &f->at);
}

static void hash_batch(struct set_batch *b)
{
    for (unsigned i = 0; i < b->n; i++)
        b->hash[i] = hash_item(b->member[i]);
    b->hashed = true;
}

static void prefetch_batch(const struct table *t, const struct set_batch *b, uint32_t want)
{
    for (uint32_t m = want; m != 0; m &= m - 1)
        table_prefetch_bucket(t, b->hash[__builtin_ctz(m)]);
    for (uint32_t m = want; m != 0; m &= m - 1)
        table_prefetch_item(t, b->hash[__builtin_ctz(m)]);
}

void set_prefetch(const struct value *v, struct slice member, int step)
{
    if (v->encoding != SET_TABLE)
        return;
    if (step == 0)
        table_prefetch_bucket(set_table(v)->members, set_hash(member));
    else
        table_prefetch_item(set_table(v)->members, set_hash(member));
}

static bool has(struct set_finder *f, const struct pack_item *member, uint64_t hash)
{
    char scratch[PACK_TEXT_MAX];
    int64_t n;
    switch (f->v->encoding) {
    case SET_TABLE:
        return set_table_has(set_table(f->v), pack_text(*member, scratch), hash);
    case SET_INTSET:
        return set_member_int(*member, &n) && find_int(f, n);
    default:
        return f->index != NULL ? index_has(f->index, set_pack(f->v), member, hash) : set_has(f->v, *member);
    }
}

uint32_t set_find(struct set_finder *f, struct set_batch *b, uint32_t want)
{
    bool table = f->v->encoding == SET_TABLE;
    uint32_t found = 0;
    if ((table || f->index != NULL) && !b->hashed)
        hash_batch(b);
    if (table)
        prefetch_batch(set_table(f->v)->members, b, want);
    for (uint32_t m = want; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctz(m);
        if (has(f, &b->member[i], b->hash[i]))
            found |= 1u << i;
    }
    return found;
}
