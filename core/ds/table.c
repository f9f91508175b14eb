/* Layout.
 *
 *   directory   2^depth pointers to segments, indexed by the top bits of the hash; several neighbours may point to one
 *   segment     4 KiB: one header line and 63 buckets; covers the hashes that begin with its `depth` prefix bits
 *   bucket      one cache line: 7 item pointers, 7 fingerprints (0: empty), and a byte that says whether slot 6 holds
 *               not an item but a pointer to an overflow bucket of the same form
 *
 * A bucket holds a contiguous range of hashes: bucket = (bits below the prefix) * 63 >> 32. So storage order is hash
 * order, a split only refines it, and the start of a bucket's range is its scan cursor.
 *
 * A segment splits when it holds more than its limit (some 85 % of its slots). The limits differ from segment to
 * segment – they are drawn from the prefix – so that under a uniform hash not all split at about the same time, and the
 * average fill stays near its mean instead of swinging between one half and full. Segments never merge; a table that
 * has become empty starts again with one segment at the next insert. */
#include "core/ds/table.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

#define SLOTS 7
#define BUCKETS 63
#define CHAINED 0x80 /* in bucket.meta: slot 6 is the next bucket */
#define LAST (SLOTS - 1)
#define LIMIT_MIN 360
#define LIMIT_SPREAD 48
#define DEPTH_MAX 31
#define HUGE_FROM (4 * MIB)

struct bucket {
    union {
        uint8_t fp[8]; /* fp[7] is meta */
        uint64_t word;
    };
    void *slot[SLOTS];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");

struct seg {
    uint32_t depth;
    uint32_t count;
    uint32_t limit;
    uint32_t unused[13];
    struct bucket bucket[BUCKETS];
};
_Static_assert(sizeof(struct seg) == 4096, "a segment is one page");

struct table {
    struct table_type type;
    struct seg **dir;
    uint32_t depth;
    size_t count;
    size_t memory;
};

/* --- places --- */

static uint8_t fingerprint(uint64_t hash)
{
    uint8_t fp = (uint8_t)hash;
    return fp ? fp : 1;
}

static size_t dir_index(uint64_t hash, uint32_t depth) { return depth ? (size_t)(hash >> (64 - depth)) : 0; }
static uint32_t below_prefix(uint64_t hash, uint32_t depth) { return (uint32_t)((hash << depth) >> 32); }
static uint32_t bucket_index(uint64_t hash, uint32_t depth)
{
    return (uint32_t)(((uint64_t)below_prefix(hash, depth) * BUCKETS) >> 32);
}
static struct seg *seg_of(const struct table *t, uint64_t hash) { return t->dir[dir_index(hash, t->depth)]; }
static bool chained(const struct bucket *b) { return b->fp[SLOTS] & CHAINED; }
static struct bucket *chain_of(const struct bucket *b) { return chained(b) ? b->slot[LAST] : NULL; }
static uint32_t slots_of(const struct bucket *b) { return chained(b) ? (1u << LAST) - 1 : (1u << SLOTS) - 1; }

/* A bit for each slot whose fingerprint equals fp (exact zero-byte test on the word). */
static uint32_t match(const struct bucket *b, uint8_t fp)
{
    uint64_t x = b->word ^ (0x0101010101010101ull * fp);
    uint64_t low = 0x7f7f7f7f7f7f7f7full;
    uint64_t zero = ~(((x & low) + low) | x | low);
    uint32_t mask = (uint32_t)((zero >> 7) * 0x0102040810204080ull >> 56);
    return mask & slots_of(b);
}

/* --- memory --- */

static size_t dir_bytes(uint32_t depth) { return sizeof(struct seg *) << depth; }

static struct seg *seg_new(struct table *t, uint32_t depth, uint64_t prefix)
{
    struct seg *s = mem_alloc_aligned(sizeof(*s), 64);
    memset(s, 0, sizeof(*s));
    s->depth = depth;
    s->limit = LIMIT_MIN + (uint32_t)(((prefix + 1) * 0x9e3779b97f4a7c15ull) >> 58) % LIMIT_SPREAD;
    t->memory += mem_class(sizeof(*s));
    return s;
}

static void chain_free(struct table *t, struct bucket *b)
{
    while (b != NULL) {
        struct bucket *next = chain_of(b);
        mem_free_aligned(b, sizeof(*b), 64);
        t->memory -= mem_class(sizeof(*b));
        b = next;
    }
}

static void seg_free(struct table *t, struct seg *s)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        chain_free(t, chain_of(&s->bucket[i]));
    mem_free_aligned(s, sizeof(*s), 64);
    t->memory -= mem_class(sizeof(*s));
}

static void start(struct table *t)
{
    t->depth = 0;
    t->dir = mem_alloc(dir_bytes(0));
    t->memory += mem_class(dir_bytes(0));
    t->dir[0] = seg_new(t, 0, 0);
}

static void clear(struct table *t)
{
    size_t n = (size_t)1 << t->depth;
    for (size_t i = 0; i < n;) {
        struct seg *s = t->dir[i];
        i += (size_t)1 << (t->depth - s->depth);
        seg_free(t, s);
    }
    t->memory -= mem_class(dir_bytes(t->depth));
    mem_free(t->dir, dir_bytes(t->depth));
}

struct table *table_new(const struct table_type *type)
{
    struct table *t = mem_zalloc(sizeof(*t));
    t->type = *type;
    t->memory = mem_class(sizeof(*t));
    start(t);
    return t;
}

void table_free(struct table *t)
{
    clear(t);
    mem_free(t, sizeof(*t));
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
    struct seg *s = seg_of(t, hash);
    struct bucket *b = &s->bucket[bucket_index(hash, s->depth)];
    p->t = t;
    p->seg = s;
    p->bucket = b;
    p->hash = hash;
    p->mask = match(b, fingerprint(hash));
    return candidate(p);
}

void *table_next(struct table_probe *p) { return candidate(p); }

void table_prefetch_bucket(const struct table *t, uint64_t hash)
{
    const struct seg *s = seg_of(t, hash);
    /* The depth of almost all segments is the directory's or one less; reading it here would be the miss we avoid. */
    __builtin_prefetch(&s->depth);
    __builtin_prefetch(&s->bucket[bucket_index(hash, t->depth)]);
    if (t->depth > 0)
        __builtin_prefetch(&s->bucket[bucket_index(hash, t->depth - 1)]);
}

void table_prefetch_item(const struct table *t, uint64_t hash)
{
    const struct seg *s = seg_of(t, hash);
    const struct bucket *b = &s->bucket[bucket_index(hash, s->depth)];
    for (uint32_t mask = match(b, fingerprint(hash)); mask != 0; mask &= mask - 1)
        __builtin_prefetch(b->slot[__builtin_ctz(mask)]);
}

/* --- change --- */

static void extend_chain(struct table *t, struct bucket *b)
{
    struct bucket *next = mem_alloc_aligned(sizeof(*next), 64);
    memset(next, 0, sizeof(*next));
    t->memory += mem_class(sizeof(*next));
    next->fp[0] = b->fp[LAST];
    next->slot[0] = b->slot[LAST];
    b->fp[LAST] = 0;
    b->slot[LAST] = next;
    b->fp[SLOTS] |= CHAINED;
}

static void place(struct table *t, struct seg *s, uint64_t hash, void *item)
{
    struct bucket *b = &s->bucket[bucket_index(hash, s->depth)];
    for (;;) {
        uint32_t empty = match(b, 0);
        if (empty != 0) {
            uint32_t i = (uint32_t)__builtin_ctz(empty);
            b->fp[i] = fingerprint(hash);
            b->slot[i] = item;
            s->count++;
            return;
        }
        if (!chained(b))
            extend_chain(t, b);
        b = chain_of(b);
    }
}

static void double_dir(struct table *t)
{
    size_t n = (size_t)1 << t->depth;
    struct seg **dir = mem_alloc(dir_bytes(t->depth + 1));
    ensure(t->depth < DEPTH_MAX);
    if (dir_bytes(t->depth + 1) >= HUGE_FROM)
        mem_advise_huge(dir, dir_bytes(t->depth + 1));
    for (size_t i = 0; i < n; i++)
        dir[2 * i] = dir[2 * i + 1] = t->dir[i];
    t->memory += mem_class(dir_bytes(t->depth + 1)) - mem_class(dir_bytes(t->depth));
    mem_free(t->dir, dir_bytes(t->depth));
    t->dir = dir;
    t->depth++;
}

/* Calls `each` for the items of a bucket and its chain; prefetches them first, since `each` looks into them. */
static void each_item(struct bucket *b, void (*each)(void *arg, void *item), void *arg)
{
    for (struct bucket *at = b; at != NULL; at = chain_of(at))
        for (uint32_t mask = slots_of(at) & ~match(at, 0); mask != 0; mask &= mask - 1)
            __builtin_prefetch(at->slot[__builtin_ctz(mask)]);
    for (struct bucket *at = b; at != NULL; at = chain_of(at))
        for (uint32_t mask = slots_of(at) & ~match(at, 0); mask != 0; mask &= mask - 1)
            each(arg, at->slot[__builtin_ctz(mask)]);
}

struct split {
    struct table *t;
    struct seg *child[2];
    uint32_t depth; /* of the children */
};

static void move_item(void *arg, void *item)
{
    struct split *sp = arg;
    uint64_t hash = sp->t->type.hash(item, sp->t->type.arg);
    place(sp->t, sp->child[(hash >> (64 - sp->depth)) & 1], hash, item);
}

static void split(struct table *t, struct seg *s, uint64_t hash)
{
    struct split sp = {.t = t, .depth = s->depth + 1};
    uint64_t prefix = s->depth ? hash >> (64 - s->depth) : 0;

    if (s->depth == t->depth)
        double_dir(t);
    for (unsigned i = 0; i < 2; i++)
        sp.child[i] = seg_new(t, sp.depth, prefix * 2 + i);
    for (unsigned i = 0; i < BUCKETS; i++)
        each_item(&s->bucket[i], move_item, &sp);
    size_t span = (size_t)1 << (t->depth - sp.depth), first = (size_t)(prefix * 2) * span;
    for (size_t i = 0; i < 2 * span; i++)
        t->dir[first + i] = sp.child[i / span];
    seg_free(t, s);
}

void table_insert(struct table *t, uint64_t hash, void *item)
{
    if (unlikely(t->count == 0 && t->depth > 0)) {
        clear(t);
        start(t);
    }
    struct seg *s = seg_of(t, hash);
    while (unlikely(s->count >= s->limit && s->depth < DEPTH_MAX)) {
        split(t, s, hash);
        s = seg_of(t, hash);
    }
    place(t, s, hash, item);
    t->count++;
}

void table_replace_at(struct table_probe *p, void *item)
{
    struct bucket *b = p->bucket;
    b->slot[p->slot] = item;
}

void table_erase_at(struct table_probe *p)
{
    struct bucket *b = p->bucket;
    struct seg *s = p->seg;
    ensure(b->fp[p->slot] != 0);
    b->fp[p->slot] = 0;
    b->slot[p->slot] = NULL;
    s->count--;
    p->t->count--;
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

/* --- walking --- */

/* Where the range of the bucket behind this one begins; 0 behind the last. */
static uint64_t next_cursor(uint64_t cursor, uint32_t depth, uint32_t bucket)
{
    uint64_t prefix = depth ? cursor >> (64 - depth) : 0;
    if (bucket + 1 < BUCKETS) {
        uint64_t below = (((uint64_t)(bucket + 1) << 32) + BUCKETS - 1) / BUCKETS;
        return (depth ? prefix << (64 - depth) : 0) | below << 32 >> depth;
    }
    return depth ? (prefix + 1) << (64 - depth) : 0; /* wraps to 0 behind the last segment */
}

uint64_t table_scan(struct table *t, uint64_t cursor, void (*visit)(void *arg, void *item), void *arg)
{
    struct seg *s = seg_of(t, cursor);
    uint32_t bucket = bucket_index(cursor, s->depth);
    uint64_t next = next_cursor(cursor, s->depth, bucket);
    each_item(&s->bucket[bucket], visit, arg);
    return next;
}

struct sample {
    void **out;
    size_t n, want;
};

static void sample_bucket(struct sample *sm, const struct bucket *b)
{
    for (; b != NULL; b = chain_of(b))
        for (uint32_t mask = slots_of(b) & ~match(b, 0); mask != 0 && sm->n < sm->want; mask &= mask - 1)
            sm->out[sm->n++] = b->slot[__builtin_ctz(mask)];
}

/* Neighbouring buckets from a random place on, once around at most: no item comes twice. */
size_t table_sample(struct table *t, uint64_t random, void **out, size_t want)
{
    struct sample sm = {out, 0, want};
    uint64_t cursor = random;
    size_t looked = 0, enough = 4 * want + 64;
    bool around = false;

    while (t->count > 0 && sm.n < want && (looked++ < enough || sm.n == 0)) {
        struct seg *s = seg_of(t, cursor);
        /* An empty segment is passed over at once. */
        uint32_t bucket = s->count == 0 ? BUCKETS - 1 : bucket_index(cursor, s->depth);
        uint64_t next = next_cursor(cursor, s->depth, bucket);
        if (around && (next == 0 || next > random))
            break; /* this one holds the place where it began */
        if (s->count > 0)
            sample_bucket(&sm, &s->bucket[bucket]);
        around |= next == 0;
        cursor = next;
    }
    return sm.n;
}

/* --- validation --- */

struct check {
    struct table *t;
    struct seg *seg;
    uint32_t bucket;
    size_t n;
};

static void check_item(void *arg, void *item)
{
    struct check *c = arg;
    uint64_t hash = c->t->type.hash(item, c->t->type.arg);
    ensure(item != NULL && seg_of(c->t, hash) == c->seg && bucket_index(hash, c->seg->depth) == c->bucket);
    c->n++;
}

void table_validate(struct table *t)
{
    size_t total = 0, n = (size_t)1 << t->depth;
    for (size_t i = 0; i < n;) {
        struct check c = {.t = t, .seg = t->dir[i]};
        size_t span = (size_t)1 << (t->depth - c.seg->depth);
        ensure(c.seg->depth <= t->depth && i % span == 0);
        for (size_t k = 0; k < span; k++)
            ensure(t->dir[i + k] == c.seg);
        for (c.bucket = 0; c.bucket < BUCKETS; c.bucket++)
            each_item(&c.seg->bucket[c.bucket], check_item, &c);
        ensure(c.n == c.seg->count);
        total += c.n;
        i += span;
    }
    ensure(total == t->count);
}
