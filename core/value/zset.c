#include "core/value/zset.h"

#include <math.h>

#include "core/base/panic.h"
#include "core/value/zset_codec.h"
#include "core/value/zset_pack.h"
#include "core/value/zset_tree.h"

#define AHEAD 8 /* so many items before it is there, an iterator over a tree asks for one */

static bool is_pack(const struct value *v) { return v->encoding == ENC_PACK; }
static struct zset_tree *tree_of(const struct value *v) { return v->ptr; }

uint64_t zset_count(const struct value *v)
{
    return is_pack(v) ? zset_pack_count(v->ptr) : btree_count(tree_of(v)->order);
}

bool zset_score(const struct value *v, struct slice member, double *score)
{
    if (is_pack(v)) {
        uint32_t at = zset_pack_find(v->ptr, member);
        if (at != 0)
            *score = zset_pack_score(v->ptr, pack_next(v->ptr, at));
        return at != 0;
    }
    uint64_t word = zset_tree_find(tree_of(v), member);
    if (word != 0)
        *score = zset_node(word)->score;
    return word != 0;
}

bool zset_rank(const struct value *v, struct slice member, uint64_t *rank, double *score)
{
    double found;
    if (is_pack(v)) {
        uint32_t at = zset_pack_find(v->ptr, member);
        if (at == 0)
            return false;
        *rank = zset_pack_rank(v->ptr, at);
        found = zset_pack_score(v->ptr, pack_next(v->ptr, at));
    } else {
        uint64_t word = zset_tree_find(tree_of(v), member);
        if (word == 0)
            return false;
        *rank = zset_tree_rank(tree_of(v), word);
        found = zset_node(word)->score;
    }
    if (score != NULL)
        *score = found;
    return true;
}

void zset_prefetch(const struct value *v, struct slice member, int step)
{
    if (!is_pack(v))
        zset_tree_prefetch(tree_of(v), member, step);
}

/* --- changes --- */

/* The pack becomes a tree. It is in order and has no duplicates. */
static void grow_into_tree(struct value *v)
{
    struct zset_tree *t = zset_tree_new();
    uint8_t *p = v->ptr;
    char scratch[PACK_TEXT_MAX];
    for (uint32_t at = pack_first(p); at != pack_end(p); at = pack_next(p, pack_next(p, at))) {
        struct zset_item item = zset_pack_item(p, at, scratch);
        zset_tree_append(t, zset_tree_put(t, item.member, item.score));
    }
    pack_free(p);
    v->encoding = ENC_ZSET_TREE;
    v->ptr = t;
}

static bool fits_pack(const struct value *v, const struct value_limits *limits, struct slice member)
{
    return (int64_t)zset_pack_count(v->ptr) < limits->zset_max_listpack_entries &&
           (int64_t)member.len <= limits->zset_max_listpack_value &&
           pack_fits(v->ptr, pack_cost_max(2, member.len + 40));
}

static void insert(struct value *v, const struct value_limits *limits, struct slice member, double score)
{
    if (is_pack(v) && !fits_pack(v, limits, member))
        grow_into_tree(v);
    if (is_pack(v))
        v->ptr = zset_pack_insert(v->ptr, member, score);
    else
        zset_tree_insert(tree_of(v), member, score);
}

/* What becomes of a member that has the score `old` and is to get *score; if it is UPDATED, *score is to be set. */
static enum zset_added judge(double old, double *score, int flags)
{
    if (flags & ZSET_NX)
        return ZSET_REFUSED;
    double wanted = flags & ZSET_INCR ? old + *score : *score;
    if (isnan(wanted))
        return ZSET_NAN;
    if (((flags & ZSET_GT) && wanted <= old) || ((flags & ZSET_LT) && wanted >= old))
        return ZSET_REFUSED;
    *score = wanted + 0.0; /* minus zero becomes zero */
    return wanted == old ? ZSET_SAME : ZSET_UPDATED;
}

static enum zset_added update_pack(struct value *v, uint32_t at, struct slice member, double *score, int flags)
{
    enum zset_added outcome = judge(zset_pack_score(v->ptr, pack_next(v->ptr, at)), score, flags);
    if (outcome == ZSET_UPDATED)
        v->ptr = zset_pack_rescore(v->ptr, at, member, *score);
    return outcome;
}

static enum zset_added update_tree(struct value *v, uint64_t word, double *score, int flags)
{
    enum zset_added outcome = judge(zset_node(word)->score, score, flags);
    if (outcome == ZSET_UPDATED)
        zset_tree_rescore(tree_of(v), word, *score);
    return outcome;
}

enum zset_added zset_add(struct value *v, const struct value_limits *limits, struct slice member, double *score,
                         int flags)
{
    if (is_pack(v)) {
        uint32_t at = zset_pack_find(v->ptr, member);
        if (at != 0)
            return update_pack(v, at, member, score, flags);
    } else {
        uint64_t word = zset_tree_find(tree_of(v), member);
        if (word != 0)
            return update_tree(v, word, score, flags);
    }
    if (flags & ZSET_XX)
        return ZSET_REFUSED;
    *score += 0.0;
    insert(v, limits, member, *score);
    return ZSET_ADDED;
}

bool zset_remove(struct value *v, struct slice member)
{
    if (!is_pack(v))
        return zset_tree_remove(tree_of(v), member);
    uint32_t at = zset_pack_find(v->ptr, member);
    if (at != 0)
        v->ptr = pack_erase(v->ptr, at, 2);
    return at != 0;
}

void zset_remove_ranks(struct value *v, struct zset_interval in)
{
    if (zset_width(in) == 0)
        return;
    if (is_pack(v))
        v->ptr = pack_erase_range(v->ptr, (int64_t)(2 * in.from), (uint32_t)(2 * zset_width(in)));
    else
        zset_tree_remove_ranks(tree_of(v), in);
}

/* --- intervals --- */

struct zset_interval zset_in_scores(const struct value *v, const struct zset_scores *range)
{
    return is_pack(v) ? zset_pack_in_scores(v->ptr, range) : zset_tree_in_scores(tree_of(v), range);
}

struct zset_interval zset_in_lex(const struct value *v, struct zset_lex_bound min, struct zset_lex_bound max)
{
    return is_pack(v) ? zset_pack_in_lex(v->ptr, min, max) : zset_tree_in_lex(tree_of(v), min, max);
}

/* --- walking --- */

/* Goes on with the items side by side from `elem` on, which is where the tree's iterator stands; NULL: it has come to
 * the end. */
static void begin_run(struct zset_iter *it, const void *elem)
{
    it->word = elem;
    it->left = elem != NULL ? btree_run(&it->tree, it->reverse) : 0;
    for (uint32_t i = 1; i < AHEAD && i < it->left; i++)
        __builtin_prefetch(zset_node(it->reverse ? it->word[-(int)i] : it->word[i]));
}

void zset_iter_init(struct zset_iter *it, const struct value *v, uint64_t rank, bool reverse)
{
    uint64_t count = zset_count(v);
    it->reverse = reverse;
    it->pack = is_pack(v) ? v->ptr : NULL;
    it->at = it->left = 0;
    if (rank >= count)
        return;
    if (it->pack != NULL)
        it->at = pack_at(it->pack, (int64_t)(2 * rank));
    else
        begin_run(it, btree_select(tree_of(v)->order, rank, &it->tree, NULL));
}

static bool next_of_pack(struct zset_iter *it, struct zset_item *out)
{
    const uint8_t *p = it->pack;
    if (it->at == 0)
        return false;
    uint32_t at = it->at;
    out->member = pack_text(pack_step(p, &at), it->scratch);
    out->score = zset_pack_score(p, at);
    if (it->reverse) {
        uint32_t score = pack_prev(p, it->at);
        it->at = score == 0 ? 0 : pack_prev(p, score);
    } else {
        at = pack_next(p, at);
        it->at = at == pack_end(p) ? 0 : at;
    }
    return true;
}

static bool next_of_tree(struct zset_iter *it, struct zset_item *out)
{
    if (unlikely(it->left == 0))
        return false;
    int step = it->reverse ? -1 : 1;
    if (it->left > AHEAD)
        __builtin_prefetch(zset_node(it->word[step * AHEAD]));
    *out = zset_node_item(*it->word);
    it->word += step;
    if (--it->left == 0)
        begin_run(it, btree_leave(&it->tree, it->reverse));
    return true;
}

bool zset_iter_next(struct zset_iter *it, struct zset_item *out)
{
    return it->pack != NULL ? next_of_pack(it, out) : next_of_tree(it, out);
}

struct scan {
    void (*visit)(void *arg, const struct zset_item *item);
    void *arg;
    uint64_t seen;
};

static void visit_item(void *arg, void *item)
{
    struct scan *s = arg;
    struct zset_item found = zset_node_item((uint64_t)(uintptr_t)item);
    s->seen++;
    s->visit(s->arg, &found);
}

static void visit_pack(const struct value *v, const struct scan *s)
{
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, 0, false);
    while (zset_iter_next(&it, &item))
        s->visit(s->arg, &item);
}

uint64_t zset_scan(const struct value *v, uint64_t cursor, uint64_t count,
                   void (*visit)(void *arg, const struct zset_item *item), void *arg)
{
    struct scan s = {visit, arg, 0};
    if (is_pack(v)) {
        visit_pack(v, &s);
        return 0;
    }
    /* Sparse tables: some groups may be empty, and a call may not look at all of them. */
    uint64_t groups = count > UINT64_MAX / 10 ? UINT64_MAX : 10 * count;
    do
        cursor = table_scan(tree_of(v)->table, cursor, visit_item, &s);
    while (cursor != 0 && s.seen < count && --groups > 0);
    return cursor;
}

void zset_validate(const struct value *v)
{
    if (is_pack(v))
        ensure(zset_pack_valid(pack_slice(v->ptr)) || pack_empty(v->ptr));
    else
        zset_tree_validate(tree_of(v));
}

/* --- the class --- */

static const char *encoding_name(const struct value *v) { return is_pack(v) ? "listpack" : "skiplist"; }

static struct value empty(void) { return (struct value){.type = VALUE_ZSET, .encoding = ENC_PACK, .ptr = pack_new()}; }

static struct value copy(const struct value *v)
{
    struct value c = {.type = VALUE_ZSET, .encoding = v->encoding};
    if (is_pack(v)) {
        c.ptr = pack_copy(pack_slice(v->ptr));
        return c;
    }
    struct zset_tree *t = zset_tree_new();
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, 0, false);
    while (zset_iter_next(&it, &item))
        zset_tree_append(t, zset_tree_put(t, item.member, item.score));
    c.ptr = t;
    return c;
}

static void release(struct value *v)
{
    if (is_pack(v))
        pack_free(v->ptr);
    else
        zset_tree_free(tree_of(v));
}

static size_t memory(const struct value *v) { return is_pack(v) ? pack_memory(v->ptr) : zset_tree_memory(tree_of(v)); }

static uint64_t effort(const struct value *v) { return is_pack(v) ? 1 : zset_count(v); }

static void digest(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg)
{
    struct zset_iter it;
    struct zset_item item;
    zset_iter_init(&it, v, 0, false);
    while (zset_iter_next(&it, &item)) {
        mix(arg, item.member);
        mix(arg, slice_of(&item.score, sizeof(item.score)));
    }
}

const struct value_class zset_class = {
    .name = "zset",
    .encoding_name = encoding_name,
    .encode = zset_encode,
    .reads = zset_reads,
    .decode = zset_decode,
    .empty = empty,
    .copy = copy,
    .release = release,
    .memory = memory,
    .length = zset_count,
    .effort = effort,
    .digest = digest,
};
