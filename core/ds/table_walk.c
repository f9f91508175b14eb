/* Scan, iteration, random items, validation. */
#include "core/ds/table_layout.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/base/rng.h"

/* --- walking --- */

/* The least hash that belongs to the bucket of `hash`'s segment; behind its last bucket that of the next segment, 0
 * behind the last segment. */
static uint64_t bucket_start(uint64_t ref, uint64_t hash, uint32_t bucket)
{
    uint32_t depth = depth_at(ref), buckets = buckets_at(ref);
    uint64_t prefix = top_bits(hash, depth);
    if (bucket == buckets)
        return depth ? (prefix + 1) << (64 - depth) : 0;
    uint64_t below = (((uint64_t)bucket << 32) + buckets - 1) / buckets;
    return (depth ? prefix << (64 - depth) : 0) | below << 32 >> depth;
}

struct scan {
    const struct table *t;
    uint64_t cursor;
    void (*visit)(void *arg, void *item);
    void *arg;
};

static void visit_from_cursor(void *arg, void *item)
{
    const struct scan *s = arg;
    if (hash_of(s->t, item) >= s->cursor)
        s->visit(s->arg, item);
}

uint64_t table_scan(struct table *t, uint64_t cursor, void (*visit)(void *arg, void *item), void *arg)
{
    uint64_t ref = ref_of(t, cursor);
    uint32_t index = bucket_index(ref, cursor);
    uint64_t next = bucket_start(ref, cursor, index + 1);
    struct bucket *b = &seg_at(ref)->bucket[index];
    struct scan s = {t, cursor, visit, arg};
    /* The bucket began elsewhere when the cursor was given out: what lies before the cursor has been visited. */
    if (unlikely(bucket_start(ref, cursor, index) != cursor))
        each_item(t, b, visit_from_cursor, &s);
    else
        each_item(t, b, visit, arg);
    return next;
}

void table_iter_init(struct table_iter *it, struct table *t) { *it = (struct table_iter){.t = t}; }

static void enter(struct table_iter *it, struct bucket *b)
{
    it->bucket = b;
    it->mask = used(b);
}

static void enter_next(struct table_iter *it)
{
    if (it->index == it->buckets) {
        uint64_t ref = it->t->dir[it->dir];
        it->seg = seg_at(ref);
        it->buckets = buckets_at(ref);
        it->dir += span_of(it->t, ref);
        it->index = 0;
    }
    struct bucket *b = &((struct seg *)it->seg)->bucket[it->index++];
    enter(it, b);
    for (uint32_t mask = it->index < it->buckets ? used(b + 1) : 0; mask != 0; mask &= mask - 1)
        prefetch(it->t, b[1].slot[__builtin_ctz(mask)]);
}

void *table_iter_next(struct table_iter *it)
{
    while (it->mask == 0) {
        struct bucket *chain = it->bucket ? chain_of(it->bucket) : NULL;
        if (chain != NULL)
            enter(it, chain);
        else if (it->index < it->buckets || it->dir < (size_t)1 << it->t->depth)
            enter_next(it);
        else
            return NULL;
    }
    it->slot = (uint32_t)__builtin_ctz(it->mask);
    it->mask &= it->mask - 1;
    return ((struct bucket *)it->bucket)->slot[it->slot];
}

void table_iter_replace(struct table_iter *it, void *item) { ((struct bucket *)it->bucket)->slot[it->slot] = item; }

/* --- chance --- */

struct sample {
    void **out;
    size_t n, want;
};

static void sample_bucket(struct sample *sm, const struct bucket *b)
{
    for (; b != NULL; b = chain_of(b))
        for (uint32_t mask = used(b); mask != 0 && sm->n < sm->want; mask &= mask - 1)
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
        uint64_t ref = ref_of(t, cursor);
        const struct seg *s = seg_at(ref);
        /* An empty segment is passed over at once. */
        uint32_t index = s->count == 0 ? buckets_at(ref) - 1 : bucket_index(ref, cursor);
        uint64_t next = bucket_start(ref, cursor, index + 1);
        if (around && (next == 0 || next > random))
            break; /* this one holds the place where it began */
        if (s->count > 0)
            sample_bucket(&sm, &s->bucket[index]);
        around |= next == 0;
        cursor = next;
    }
    return sm.n;
}

/* The `n`th item of a segment. */
static void *nth_item(uint64_t ref, uint64_t n)
{
    for (uint32_t i = 0; i < buckets_at(ref); i++)
        for (const struct bucket *b = &seg_at(ref)->bucket[i]; b != NULL; b = chain_of(b))
            for (uint32_t mask = used(b); mask != 0; mask &= mask - 1)
                if (n-- == 0)
                    return b->slot[__builtin_ctz(mask)];
    panic("a segment's count is wrong");
}

/* Each slot that the segment has or could have is drawn with the same probability, until one holds an item. */
static void *random_in(uint64_t ref, struct rng *rng)
{
    const struct seg *s = seg_at(ref);
    uint32_t slots = SLOTS + s->chain * OVERFLOW_SLOTS;
    for (int tries = 0; tries < 16; tries++) {
        uint64_t draw = rng_below(rng, (uint64_t)slots * buckets_at(ref));
        const struct bucket *b = &s->bucket[draw / slots];
        uint32_t slot = (uint32_t)(draw % slots), hops = 0;
        if (slot >= SLOTS) {
            hops = 1 + (slot - SLOTS) / OVERFLOW_SLOTS;
            slot = (slot - SLOTS) % OVERFLOW_SLOTS;
        }
        for (; hops > 0 && b != NULL; hops--)
            b = chain_of(b);
        if (b != NULL && b->fp[slot] != 0)
            return b->slot[slot];
    }
    return nth_item(ref, rng_below(rng, s->count));
}

/* A segment is drawn with a probability that falls with its depth, and accepted with one that grows with depth and
 * count; so items are equally likely. After too many refusals they are counted off. */
void *table_random(const struct table *t, struct rng *rng)
{
    if (t->count == 0)
        return NULL;
    for (int tries = 0; tries < 64; tries++) {
        uint64_t ref = ref_of(t, rng_u64(rng));
        if (rng_below(rng, (uint64_t)t->peak << (t->depth - depth_at(ref))) < seg_at(ref)->count)
            return random_in(ref, rng);
    }
    uint64_t n = rng_below(rng, t->count);
    size_t i = 0;
    while (n >= seg_at(t->dir[i])->count) {
        n -= seg_at(t->dir[i])->count;
        i += span_of(t, t->dir[i]);
    }
    return nth_item(t->dir[i], n);
}

/* --- validation --- */

struct check {
    const struct table *t;
    uint64_t ref;
    uint32_t bucket;
    size_t n;
};

static void check_item(void *arg, void *item)
{
    struct check *c = arg;
    uint64_t hash = hash_of(c->t, item);
    ensure(item != NULL && ref_of(c->t, hash) == c->ref && bucket_index(c->ref, hash) == c->bucket);
    c->n++;
}

static size_t check_bucket(const struct bucket *b, const struct seg *s)
{
    size_t bytes = 0;
    for (uint32_t chain = 0; (b = chain_of(b)) != NULL; bytes += mem_class(OVERFLOW_BYTES))
        ensure(++chain <= s->chain);
    return bytes;
}

/* Returns the bytes it holds; adds to *total. */
static size_t check_seg(const struct table *t, uint64_t ref, size_t *total)
{
    struct check c = {.t = t, .ref = ref};
    const struct seg *s = seg_at(ref);
    size_t bytes = mem_class(seg_bytes(buckets_at(ref)));
    for (c.bucket = 0; c.bucket < buckets_at(ref); c.bucket++) {
        each_item(t, &seg_at(ref)->bucket[c.bucket], check_item, &c);
        bytes += check_bucket(&s->bucket[c.bucket], s);
    }
    ensure(c.n == s->count && s->count <= t->peak && s->count <= s->limit + s->limit / 2);
    *total += c.n;
    return bytes;
}

void table_validate(struct table *t)
{
    size_t total = 0, n = (size_t)1 << t->depth, deepest = 0;
    size_t bytes = mem_class(sizeof(*t)) + (t->depth ? mem_class(dir_bytes(t->depth)) : 0);
    for (size_t i = 0, span; i < n; i += span) {
        uint64_t ref = t->dir[i];
        ensure(depth_at(ref) <= t->depth && i % (span = span_of(t, ref)) == 0);
        for (size_t k = 0; k < span; k++)
            ensure(t->dir[i + k] == ref);
        bytes += check_seg(t, ref, &total);
        deepest += depth_at(ref) == t->depth;
    }
    ensure(total == t->count && bytes == t->memory && deepest == t->deepest);
}
