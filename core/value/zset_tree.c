#include "core/value/zset_tree.h"

#include <math.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/panic.h"

/* --- items --- */

static uint64_t hash_member(struct slice member) { return hash_key(member, value_hash_seed); }

static size_t node_size(size_t len)
{
    return sizeof(struct zset_node) + (len < ZSET_LEN_LONG ? 0 : sizeof(uint64_t)) + len;
}

static uint64_t node_new(struct zset_tree *t, struct slice member, double score)
{
    size_t size = node_size(member.len);
    struct zset_node *node = mem_alloc(size);
    uint8_t *bytes = node->bytes;
    uint64_t tag = min_u64(member.len, ZSET_LEN_LONG), len = member.len;
    ensure(((uintptr_t)node & ~TABLE_TAGGED) == 0);
    node->score = score;
    if (unlikely(tag == ZSET_LEN_LONG))
        bytes = mempcpy(bytes, &len, sizeof(len));
    if (len > 0)
        memcpy(bytes, member.p, len);
    t->items_bytes += mem_class(size);
    return (uintptr_t)node | tag << ZSET_LEN_SHIFT;
}

static void node_free(struct zset_tree *t, uint64_t word)
{
    size_t size = node_size(zset_node_member(word).len);
    t->items_bytes -= mem_class(size);
    mem_free(zset_node(word), size);
}

static void *word_item(uint64_t word) { return (void *)(uintptr_t)word; }
static uint64_t item_word(const void *item) { return (uint64_t)(uintptr_t)item; }

static uint64_t hash_of_item(const void *item, void *arg)
{
    (void)arg;
    return hash_member(zset_node_member(item_word(item)));
}

static const struct table_type by_member = {.hash = hash_of_item, .address = TABLE_TAGGED, .dense = true};

/* --- the order --- */

enum probe_by { BY_BOTH, BY_SCORE, BY_MEMBER };

struct probe {
    double score;
    struct slice member;
    enum probe_by by;
};

struct separator {
    double score;
    uint64_t word;
};

static uint64_t elem_word(const void *elem)
{
    uint64_t word;
    memcpy(&word, elem, sizeof(word));
    return word;
}

static inline int compare_scores(double a, double b) { return a < b ? -1 : a > b; }

int zset_compare(struct zset_item a, struct zset_item b)
{
    int order = compare_scores(a.score, b.score);
    return order != 0 ? order : slice_cmp(a.member, b.member);
}

static inline int compare_at(double score, uint64_t word, const struct probe *p)
{
    int order = p->by == BY_MEMBER ? 0 : compare_scores(score, p->score);
    return order != 0 || p->by == BY_SCORE ? order : slice_cmp(zset_node_member(word), p->member);
}

static int compare_elem(const void *elem, const void *probe, void *arg)
{
    uint64_t word = elem_word(elem);
    (void)arg;
    return compare_at(zset_node(word)->score, word, probe);
}

static int compare_separator(const void *key, const void *probe, void *arg)
{
    const struct separator *s = key;
    (void)arg;
    return compare_at(s->score, s->word, probe);
}

static void make_separator(void *key, const void *elem, void *arg)
{
    uint64_t word = elem_word(elem);
    struct separator s = {zset_node(word)->score, word};
    (void)arg;
    memcpy(key, &s, sizeof(s));
}

static const struct btree_type by_score = {
    .elem_size = sizeof(uint64_t),
    .key_size = sizeof(struct separator),
    .cmp = compare_elem,
    .key = make_separator,
    .cmp_key = compare_separator,
    .address = TABLE_TAGGED,
};

static struct probe probe_of(uint64_t word)
{
    return (struct probe){.score = zset_node(word)->score, .member = zset_node_member(word)};
}

/* --- the whole --- */

struct zset_tree *zset_tree_new(void)
{
    struct zset_tree *t = mem_alloc(sizeof(*t));
    t->table = table_new(&by_member, NULL);
    t->order = btree_new(&by_score, NULL);
    t->items_bytes = 0;
    return t;
}

static void drop_item(void *arg, void *item) { node_free(arg, item_word(item)); }

void zset_tree_free(struct zset_tree *t)
{
    while (!table_free_some(t->table, SIZE_MAX, drop_item, t))
        continue;
    btree_free(t->order);
    debug_ensure(t->items_bytes == 0);
    mem_free(t, sizeof(*t));
}

size_t zset_tree_memory(const struct zset_tree *t)
{
    return mem_class(sizeof(*t)) + table_memory(t->table) + btree_memory(t->order) + t->items_bytes;
}

/* The word of the member, with the probe at it; 0 if there is none. */
static uint64_t find_at(const struct zset_tree *t, struct slice member, struct table_probe *p)
{
    for (void *item = table_first(t->table, hash_member(member), p); item != NULL; item = table_next(p))
        if (slice_eq(zset_node_member(item_word(item)), member))
            return item_word(item);
    return 0;
}

uint64_t zset_tree_find(const struct zset_tree *t, struct slice member)
{
    struct table_probe p;
    return find_at(t, member, &p);
}

void zset_tree_prefetch(const struct zset_tree *t, struct slice member, int step)
{
    if (step == 0)
        table_prefetch_bucket(t->table, hash_member(member));
    else
        table_prefetch_item(t->table, hash_member(member));
}

uint64_t zset_tree_put(struct zset_tree *t, struct slice member, double score)
{
    uint64_t word = node_new(t, member, score);
    table_insert(t->table, hash_member(member), word_item(word));
    return word;
}

void zset_tree_append(struct zset_tree *t, uint64_t word) { btree_append(t->order, &word); }

static void order_insert(struct zset_tree *t, uint64_t word)
{
    struct probe p = probe_of(word);
    btree_insert(t->order, &word, &p);
}

static void order_erase(struct zset_tree *t, uint64_t word)
{
    struct probe p = probe_of(word);
    bool there = btree_erase(t->order, &p, NULL);
    ensure(there);
}

void zset_tree_insert(struct zset_tree *t, struct slice member, double score)
{
    order_insert(t, zset_tree_put(t, member, score));
}

/* The score may change only while the item is not in the tree: its place and separators depend on it. */
void zset_tree_rescore(struct zset_tree *t, uint64_t word, double score)
{
    order_erase(t, word);
    zset_node(word)->score = score;
    order_insert(t, word);
}

bool zset_tree_remove(struct zset_tree *t, struct slice member)
{
    struct table_probe p;
    uint64_t word = find_at(t, member, &p);
    if (word == 0)
        return false;
    table_erase_at(&p);
    order_erase(t, word);
    node_free(t, word);
    return true;
}

static void drop_elem(void *arg, void *elem)
{
    struct zset_tree *t = arg;
    uint64_t word = elem_word(elem);
    table_erase(t->table, hash_member(zset_node_member(word)), word_item(word));
    node_free(t, word);
}

void zset_tree_remove_ranks(struct zset_tree *t, struct zset_interval in)
{
    struct btree_iter it;
    btree_select(t->order, in.from, &it, NULL);
    btree_erase_n(&it, zset_width(in), drop_elem, t);
}

/* --- ranks --- */

uint64_t zset_tree_rank(const struct zset_tree *t, uint64_t word)
{
    struct probe p = probe_of(word);
    return btree_rank_lt(t->order, &p);
}

static struct zset_interval interval(uint64_t from, uint64_t to)
{
    return (struct zset_interval){from, max_u64(from, to)};
}

/* How many lie before the bound, the equal ones among them or not. */
static uint64_t before(const struct zset_tree *t, const struct probe *p, bool equal)
{
    return equal ? btree_rank_le(t->order, p) : btree_rank_lt(t->order, p);
}

struct zset_interval zset_tree_in_scores(const struct zset_tree *t, const struct zset_scores *range)
{
    struct probe min = {.score = range->min, .by = BY_SCORE}, max = {.score = range->max, .by = BY_SCORE};
    return interval(before(t, &min, range->min_open), before(t, &max, !range->max_open));
}

static uint64_t before_lex(const struct zset_tree *t, struct zset_lex_bound bound, bool equal)
{
    struct probe p = {.member = bound.member, .by = BY_MEMBER};
    if (bound.infinite != 0)
        return bound.infinite < 0 ? 0 : btree_count(t->order);
    return before(t, &p, equal);
}

struct zset_interval zset_tree_in_lex(const struct zset_tree *t, struct zset_lex_bound min, struct zset_lex_bound max)
{
    return interval(before_lex(t, min, min.open), before_lex(t, max, !max.open));
}

/* --- checks --- */

struct check {
    const struct zset_tree *t;
    uint64_t n, last;
    size_t bytes;
};

static void check_item(void *arg, const void *elem)
{
    struct check *c = arg;
    uint64_t word = elem_word(elem);
    ensure(!isnan(zset_node(word)->score));
    ensure(c->n++ == 0 || zset_compare(zset_node_item(c->last), zset_node_item(word)) < 0);
    ensure(zset_tree_find(c->t, zset_node_member(word)) == word);
    c->bytes += mem_class(node_size(zset_node_member(word).len));
    c->last = word;
}

void zset_tree_validate(const struct zset_tree *t)
{
    struct check c = {.t = t};
    table_validate(t->table);
    btree_validate(t->order);
    btree_each(t->order, check_item, &c);
    ensure(c.n == btree_count(t->order) && c.n == table_count(t->table));
    ensure(c.bytes == t->items_bytes);
}
