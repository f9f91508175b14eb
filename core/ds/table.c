/* Look-up, growing and shrinking; the rules for both stand in table_layout.h. */
#include "core/ds/table_layout.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

#define HUGE_FROM (4 * MIB)
#define GATHERED 640 /* items of a segment for which the stack has room */

/* --- segments --- */

/* Sizes for which the allocator has a class. */
static const uint8_t sparse_rungs[] = {3, 7, 15, 31, BUCKETS_MAX};
static const uint8_t dense_rungs[] = {3, 7, 11, 15, 23, 31, 47, BUCKETS_MAX};

static const uint8_t *rungs_of(const struct table *t) { return t->type->dense ? dense_rungs : sparse_rungs; }

/* The most items before a segment grows, by some 6 % up or down. */
static uint32_t limit_of(const struct table *t, uint32_t buckets, uint64_t prefix)
{
    uint32_t chance = (uint32_t)(((prefix + 1) * 0x9e3779b97f4a7c15ull) >> 57);
    uint32_t percent_x10 = (t->type->dense ? 1150 : 816) + chance;
    return buckets * SLOTS * percent_x10 / 1000;
}

/* The rung on which `n` items have room to grow by a quarter. */
static uint32_t fit(const struct table *t, size_t n)
{
    const uint8_t *rung = rungs_of(t);
    while (*rung < BUCKETS_MAX && limit_of(t, *rung, 0) < n + n / 4)
        rung++;
    return *rung;
}

static uint32_t next_rung(const struct table *t, uint32_t buckets)
{
    const uint8_t *rung = rungs_of(t);
    while (*rung <= buckets)
        rung++;
    return *rung;
}

static uint32_t low_of(const struct table *t, uint32_t buckets)
{
    const uint8_t *rung = rungs_of(t);
    uint32_t below = 0;
    for (; *rung < buckets; rung++)
        below = *rung;
    return below ? limit_of(t, below, 0) / 2 : 1;
}

static struct seg *seg_new(struct table *t, uint32_t buckets, uint64_t prefix)
{
    struct seg *s = mem_alloc_aligned(seg_bytes(buckets), 64);
    memset(s, 0, seg_bytes(buckets));
    s->limit = limit_of(t, buckets, prefix);
    s->low = low_of(t, buckets);
    t->memory += mem_class(seg_bytes(buckets));
    return s;
}

static void chain_free(struct table *t, struct bucket *b)
{
    while (b != NULL) {
        struct bucket *next = chain_of(b);
        mem_free(b, OVERFLOW_BYTES);
        t->memory -= mem_class(OVERFLOW_BYTES);
        b = next;
    }
}

static void seg_free(struct table *t, uint64_t ref)
{
    struct seg *s = seg_at(ref);
    for (unsigned i = 0; s->chain > 0 && i < buckets_at(ref); i++)
        chain_free(t, chain_of(&s->bucket[i]));
    mem_free_aligned(s, seg_bytes(buckets_at(ref)), 64);
    t->memory -= mem_class(seg_bytes(buckets_at(ref)));
}

static void set_refs(struct table *t, uint64_t prefix, uint64_t ref)
{
    size_t span = span_of(t, ref);
    for (size_t i = 0; i < span; i++)
        t->dir[prefix * span + i] = ref;
}

static void dir_free(struct table *t)
{
    if (t->depth == 0)
        return;
    t->memory -= mem_class(dir_bytes(t->depth));
    mem_free(t->dir, dir_bytes(t->depth));
}

struct table *table_new(const struct table_type *type, void *arg)
{
    struct table *t = mem_zalloc(sizeof(*t));
    t->type = type;
    t->arg = arg;
    t->address = type->address ? type->address : UINT64_MAX;
    t->memory = mem_class(sizeof(*t));
    t->dir = &t->one;
    t->one = make_ref(seg_new(t, rungs_of(t)[0], 0), 0, rungs_of(t)[0]);
    t->deepest = 1;
    return t;
}

bool table_free_some(struct table *t, size_t max_items, void (*drop)(void *arg, void *item), void *arg)
{
    size_t n = (size_t)1 << t->depth, done = 0;
    while (t->freed < n && done <= max_items) {
        uint64_t ref = t->dir[t->freed];
        for (uint32_t i = 0; drop != NULL && i < buckets_at(ref); i++)
            each_item(t, &seg_at(ref)->bucket[i], drop, arg);
        done += seg_at(ref)->count + 1;
        t->count -= seg_at(ref)->count;
        t->freed += span_of(t, ref);
        seg_free(t, ref);
    }
    if (t->freed < n)
        return false;
    dir_free(t);
    mem_free(t, sizeof(*t));
    return true;
}

void table_free(struct table *t)
{
    while (!table_free_some(t, SIZE_MAX - 1, NULL, NULL))
        ;
}

size_t table_count(const struct table *t) { return t->count; }
size_t table_memory(const struct table *t) { return t->memory; }

/* --- look-up --- */

static void *candidate(struct table_probe *p)
{
    struct bucket *b = p->bucket;
    while (p->mask == 0) {
        b = chain_of(b);
        if (b == NULL)
            return NULL;
        p->bucket = b;
        p->mask = match(b, fingerprint(p->hash));
    }
    p->slot = (uint32_t)__builtin_ctz(p->mask);
    p->mask &= p->mask - 1;
    return b->slot[p->slot];
}

void *table_first(struct table *t, uint64_t hash, struct table_probe *p)
{
    struct bucket *b = bucket_of(ref_of(t, hash), hash);
    p->t = t;
    p->bucket = b;
    p->hash = hash;
    p->mask = match(b, fingerprint(hash));
    return candidate(p);
}

void *table_next(struct table_probe *p) { return candidate(p); }

void table_prefetch_bucket(const struct table *t, uint64_t hash)
{
    uint64_t ref = ref_of(t, hash);
    __builtin_prefetch(seg_at(ref)); /* an insert counts there */
    __builtin_prefetch(bucket_of(ref, hash));
}

void *table_prefetch_item(const struct table *t, uint64_t hash)
{
    const struct bucket *b = bucket_of(ref_of(t, hash), hash);
    uint32_t mask = match(b, fingerprint(hash));
    void *likely_one = mask != 0 ? b->slot[__builtin_ctz(mask)] : NULL;
    for (; mask != 0; mask &= mask - 1)
        prefetch(t, b->slot[__builtin_ctz(mask)]);
    return likely_one;
}

/* --- rebuilding segments --- */

static struct bucket *extend_chain(struct table *t, struct bucket *b)
{
    uint32_t last = last_slot(b);
    struct bucket *next = mem_alloc(OVERFLOW_BYTES);
    memset(next, 0, OVERFLOW_BYTES);
    t->memory += mem_class(OVERFLOW_BYTES);
    next->fp[0] = b->fp[last];
    next->slot[0] = b->slot[last];
    next->fp[SLOTS] = SMALL;
    b->fp[last] = 0;
    b->slot[last] = next;
    b->fp[SLOTS] |= (uint8_t)(CHAINED | 1u << last);
    return next;
}

static void place(struct table *t, uint64_t ref, uint64_t hash, void *item)
{
    struct seg *s = seg_at(ref);
    struct bucket *b = bucket_of(ref, hash);
    uint32_t empty, length = 0;
    while (unlikely((empty = match(b, 0)) == 0)) {
        b = chained(b) ? chain_of(b) : extend_chain(t, b);
        if (++length > s->chain)
            s->chain = length;
    }
    uint32_t i = (uint32_t)__builtin_ctz(empty);
    b->fp[i] = fingerprint(hash);
    b->slot[i] = item;
    s->count++;
}

/* The items of segments on their way into others. */
struct gather {
    struct placed {
        uint64_t hash;
        void *item;
    } * item, few[GATHERED];
    size_t n, room;
};

static void gather_init(struct gather *g, size_t room)
{
    g->n = 0;
    g->room = room;
    g->item = room <= GATHERED ? g->few : mem_alloc(room * sizeof(*g->item));
}

static void gather_done(struct gather *g)
{
    if (g->item != g->few)
        mem_free(g->item, g->room * sizeof(*g->item));
}

static void gather_bucket(const struct table *t, struct gather *g, const struct bucket *b)
{
    for (; b != NULL; b = chain_of(b))
        for (uint32_t mask = used(b); mask != 0; mask &= mask - 1) {
            void *item = b->slot[__builtin_ctz(mask)];
            prefetch(t, item);
            g->item[g->n++].item = item;
        }
}

/* Takes the segment's items out and frees it. */
static void gather_seg(struct table *t, struct gather *g, uint64_t ref)
{
    size_t from = g->n;
    for (uint32_t i = 0; i < buckets_at(ref); i++)
        gather_bucket(t, g, &seg_at(ref)->bucket[i]);
    for (; from < g->n; from++)
        g->item[from].hash = hash_of(t, g->item[from].item);
    seg_free(t, ref);
}

/* An empty segment in the place of what covered its hashes before. */
static uint64_t new_seg_at(struct table *t, uint32_t depth, uint64_t prefix, uint32_t buckets)
{
    uint64_t ref = make_ref(seg_new(t, buckets, prefix), depth, buckets);
    set_refs(t, prefix, ref);
    return ref;
}

/* Puts the gathered items into the first or the second segment, by bit `depth` of their hashes. */
static void scatter(struct table *t, const struct gather *g, uint64_t zero, uint64_t one, uint32_t depth)
{
    for (size_t i = 0; i < g->n; i++)
        place(t, top_bits(g->item[i].hash, depth) & 1 ? one : zero, g->item[i].hash, g->item[i].item);
}

static void resize(struct table *t, uint64_t ref, uint64_t hash, uint32_t buckets)
{
    struct gather g;
    uint32_t depth = depth_at(ref);
    gather_init(&g, seg_at(ref)->count);
    gather_seg(t, &g, ref);
    ref = new_seg_at(t, depth, top_bits(hash, depth), buckets);
    scatter(t, &g, ref, ref, depth);
    gather_done(&g);
}

/* --- growing --- */

static void double_dir(struct table *t)
{
    size_t n = (size_t)1 << t->depth;
    uint64_t *dir = mem_alloc(dir_bytes(t->depth + 1));
    if (dir_bytes(t->depth + 1) >= HUGE_FROM)
        mem_advise_huge(dir, dir_bytes(t->depth + 1));
    for (size_t i = 0; i < n; i++)
        dir[2 * i] = dir[2 * i + 1] = t->dir[i];
    dir_free(t);
    t->dir = dir;
    t->depth++;
    t->memory += mem_class(dir_bytes(t->depth));
    t->deepest = 0;
}

/* Many equal hashes cannot be split apart: the directory does not grow out of proportion for them. */
static bool may_split(const struct table *t, uint32_t depth)
{
    return depth < DEPTH_MAX && (depth < t->depth || dir_bytes(depth) < t->count + 512);
}

static void split(struct table *t, uint64_t ref, uint64_t hash)
{
    struct gather g;
    uint32_t depth = depth_at(ref) + 1;
    uint64_t prefix = top_bits(hash, depth - 1) * 2;
    size_t ones = 0;

    if (depth > t->depth)
        double_dir(t);
    t->deepest += depth == t->depth ? 2 : 0;
    gather_init(&g, seg_at(ref)->count);
    gather_seg(t, &g, ref);
    for (size_t i = 0; i < g.n; i++)
        ones += top_bits(g.item[i].hash, depth) & 1;
    uint64_t left = new_seg_at(t, depth, prefix, fit(t, g.n - ones));
    scatter(t, &g, left, new_seg_at(t, depth, prefix + 1, fit(t, ones)), depth);
    gather_done(&g);
}

static cold_fn void grow(struct table *t, uint64_t ref, uint64_t hash)
{
    if (buckets_at(ref) < BUCKETS_MAX)
        resize(t, ref, hash, next_rung(t, buckets_at(ref)));
    else if (may_split(t, depth_at(ref)))
        split(t, ref, hash);
    else
        seg_at(ref)->limit += seg_at(ref)->limit / 4; /* chains must do */
}

void table_insert(struct table *t, uint64_t hash, void *item)
{
    uint64_t ref = ref_of(t, hash);
    debug_ensure(item != NULL);
    while (unlikely(seg_at(ref)->count >= seg_at(ref)->limit)) {
        grow(t, ref, hash);
        ref = ref_of(t, hash);
    }
    place(t, ref, hash, item);
    if (unlikely(seg_at(ref)->count > t->peak))
        t->peak = seg_at(ref)->count;
    t->count++;
}

/* --- shrinking --- */

static void halve_dir(struct table *t)
{
    size_t n = (size_t)1 << (t->depth - 1);
    uint64_t *dir = t->depth == 1 ? &t->one : mem_alloc(dir_bytes(t->depth - 1));
    for (size_t i = 0; i < n; i++)
        dir[i] = t->dir[2 * i];
    dir_free(t);
    t->dir = dir;
    t->depth--;
    t->memory += t->depth > 0 ? mem_class(dir_bytes(t->depth)) : 0;
    for (size_t i = 0; i < n; i++)
        t->deepest += depth_at(dir[i]) == t->depth;
}

/* Puts the segment and its buddy into one, if that would be no more than half full. */
static bool merge(struct table *t, uint64_t ref, uint64_t hash)
{
    struct gather g;
    uint32_t depth = depth_at(ref);
    if (depth == 0)
        return false;
    uint64_t buddy = ref_of(t, hash ^ (uint64_t)1 << (64 - depth));
    size_t n = seg_at(ref)->count + (depth_at(buddy) == depth ? seg_at(buddy)->count : 0);
    if (depth_at(buddy) != depth || n > limit_of(t, BUCKETS_MAX, 0) / 2)
        return false;
    gather_init(&g, n);
    gather_seg(t, &g, ref);
    gather_seg(t, &g, buddy);
    t->deepest -= depth == t->depth ? 2 : 0;
    ref = new_seg_at(t, depth - 1, top_bits(hash, depth - 1), fit(t, n));
    scatter(t, &g, ref, ref, depth);
    gather_done(&g);
    while (t->deepest == 0)
        halve_dir(t);
    return true;
}

static cold_fn void shrink(struct table *t, uint64_t hash)
{
    uint64_t ref = ref_of(t, hash);
    while (merge(t, ref, hash))
        ref = ref_of(t, hash);
    uint32_t buckets = fit(t, seg_at(ref)->count);
    bool too_big = seg_at(ref)->count < seg_at(ref)->low && buckets < buckets_at(ref);
    if (too_big || (seg_at(ref)->count == 0 && seg_at(ref)->chain > 0))
        resize(t, ref, hash, buckets);
    if (t->depth == 0)
        t->peak = seg_at(t->one)->count;
}

void table_replace_at(struct table_probe *p, void *item)
{
    struct bucket *b = p->bucket;
    b->slot[p->slot] = item;
}

void table_erase_at(struct table_probe *p)
{
    struct bucket *b = p->bucket;
    struct seg *s = seg_at(ref_of(p->t, p->hash));
    ensure(b->fp[p->slot] != 0);
    b->fp[p->slot] = 0;
    b->slot[p->slot] = NULL;
    s->count--;
    p->t->count--;
    if (unlikely(s->count < s->low))
        shrink(p->t, p->hash);
}

static void probe_to(struct table *t, uint64_t hash, const void *item, struct table_probe *p)
{
    void *at = table_first(t, hash, p);
    while (at != item) {
        ensure(at != NULL);
        at = table_next(p);
    }
}

void table_replace(struct table *t, uint64_t hash, const void *old, void *item)
{
    struct table_probe p;
    probe_to(t, hash, old, &p);
    table_replace_at(&p, item);
}

void table_erase(struct table *t, uint64_t hash, const void *item)
{
    struct table_probe p;
    probe_to(t, hash, item, &p);
    table_erase_at(&p);
}
