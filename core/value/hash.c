#include "core/value/hash.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/ds/bare.h"
#include "core/value/hash_impl.h"

#define RANDOM_TRIES 100 /* beyond, nearly all fields are stale: they are walked through */

_Static_assert(VALUE_EMBED_MAX <= BARE_PACK_MAX, "what is embedded has a bare form");

/* --- Reading --- */

bool hash_in_table(const struct value *v) { return hash_is_table(v); }

static bool is_bare(const struct value *v) { return v->encoding == ENC_EMBED; }

uint64_t hash_length(const struct value *v, int64_t now_ms)
{
    if (is_bare(v))
        return bare_count(v->embed) / 2;
    if (hash_is_table(v))
        return hash_table_fields(v->ptr) - hash_table_stale(v->ptr, now_ms);
    return hash_pack_fields(v) - hash_pack_stale(v, now_ms);
}

static bool get_from_table(const struct value *v, struct slice field, int64_t now_ms, struct slice *value)
{
    void *item = hash_table_find(v->ptr, field);
    if (item == NULL)
        return false;
    struct hash_item f = hash_item_of(item);
    *value = f.value;
    return !hash_stale(f.deadline, now_ms);
}

static bool get_from_bare(struct slice bare, struct slice field, char scratch[static PACK_TEXT_MAX],
                          struct slice *value)
{
    uint32_t at = bare_find(bare, field, 1);
    if (at == bare.len)
        return false;
    *value = pack_text(bare_get(bare, bare_next(bare, at)), scratch);
    return true;
}

bool hash_get(const struct value *v, struct slice field, int64_t now_ms, char scratch[static PACK_TEXT_MAX],
              struct slice *value)
{
    if (is_bare(v))
        return get_from_bare(v->embed, field, scratch, value);
    if (hash_is_table(v))
        return get_from_table(v, field, now_ms, value);
    uint32_t at = hash_pack_find(v, field);
    if (at == 0 || hash_stale(hash_pack_deadline(v, at), now_ms))
        return false;
    *value = pack_text(pack_get(v->ptr, pack_next(v->ptr, at)), scratch);
    return true;
}

void hash_prefetch(const struct value *v, struct slice field, int step)
{
    if (hash_is_table(v))
        hash_table_prefetch(v->ptr, field, step);
}

enum hash_was hash_deadline(const struct value *v, struct slice field, int64_t now_ms, int64_t *deadline)
{
    *deadline = HASH_NO_DEADLINE;
    if (is_bare(v))
        return bare_find(v->embed, field, 1) < v->embed.len ? HASH_THERE : HASH_MISSING;
    if (hash_is_table(v)) {
        void *item = hash_table_find(v->ptr, field);
        if (item == NULL)
            return HASH_MISSING;
        *deadline = hash_item_of(item).deadline;
    } else {
        uint32_t at = hash_pack_find(v, field);
        if (at == 0)
            return HASH_MISSING;
        *deadline = hash_pack_deadline(v, at);
    }
    return hash_was_of(*deadline, now_ms);
}

int64_t hash_next_deadline(const struct value *v)
{
    if (hash_is_table(v))
        return hash_table_next_deadline(v->ptr);
    return v->encoding == HASH_PACK_EX ? hash_pack_deadline(v, PACK_HEADER) : HASH_NO_DEADLINE;
}

/* --- Iterating --- */

void hash_iter_init(struct hash_iter *it, const struct value *v, int64_t now_ms)
{
    it->now_ms = now_ms;
    if (hash_is_table(v)) {
        it->pack.p = NULL;
        table_iter_init(&it->table, ((struct hash_table *)v->ptr)->fields);
        return;
    }
    it->bare = is_bare(v);
    it->pack = it->bare ? v->embed : pack_slice(v->ptr);
    it->at = it->bare ? 0 : PACK_HEADER;
    it->end = (uint32_t)(it->bare ? v->embed.len : pack_end(v->ptr));
    it->deadlines = v->encoding == HASH_PACK_EX;
}

static void show_item(struct hash_iter *it, const void *item)
{
    struct hash_item f = hash_item_of(item);
    it->field = f.field;
    it->value = f.value;
    it->deadline = f.deadline;
}

/* Shows the field at it->at, steps behind it. */
static void step_bare(struct hash_iter *it)
{
    it->field = pack_text(bare_step(it->pack, &it->at), it->texts[0]);
    it->value = pack_text(bare_step(it->pack, &it->at), it->texts[1]);
    it->deadline = HASH_NO_DEADLINE;
}

static void step_pack(struct hash_iter *it)
{
    it->field = pack_text(pack_step(it->pack.p, &it->at), it->texts[0]);
    it->value = pack_text(pack_step(it->pack.p, &it->at), it->texts[1]);
    it->deadline = HASH_NO_DEADLINE;
    if (!it->deadlines)
        return;
    int64_t deadline = pack_step(it->pack.p, &it->at).integer;
    if (deadline != 0)
        it->deadline = deadline;
}

static bool step(struct hash_iter *it)
{
    if (it->pack.p == NULL) {
        void *item = table_iter_next(&it->table);
        if (item == NULL)
            return false;
        show_item(it, item);
        return true;
    }
    if (it->at == it->end)
        return false;
    if (it->bare)
        step_bare(it);
    else
        step_pack(it);
    return true;
}

bool hash_iter_next(struct hash_iter *it)
{
    while (step(it))
        if (likely(!hash_stale(it->deadline, it->now_ms)))
            return true;
    return false;
}

/* The `skip`th field that is not stale; there are more than so many. */
static void show_nth(struct hash_iter *it, const struct value *v, int64_t now_ms, uint64_t skip)
{
    hash_iter_init(it, v, now_ms);
    do {
        bool there = hash_iter_next(it);
        ensure(there);
    } while (skip-- > 0);
}

/* A pack without deadlines is as good as an array. */
static void show_at(struct hash_iter *it, const struct value *v, uint64_t index)
{
    hash_iter_init(it, v, HASH_TIMELESS);
    it->at = pack_at(v->ptr, (int64_t)index * 2);
    step_pack(it);
}

bool hash_random(const struct value *v, struct rng *rng, int64_t now_ms, struct hash_iter *it)
{
    uint64_t n = hash_length(v, now_ms);
    if (n == 0)
        return false;
    for (int tries = 0; hash_is_table(v) && tries < RANDOM_TRIES; tries++) {
        show_item(it, table_random(((struct hash_table *)v->ptr)->fields, rng));
        if (likely(!hash_stale(it->deadline, now_ms)))
            return true;
    }
    if (v->encoding == ENC_PACK)
        show_at(it, v, rng_below(rng, n));
    else
        show_nth(it, v, now_ms, rng_below(rng, n));
    return true;
}

struct scan {
    int64_t now_ms;
    uint64_t seen;
    hash_visit *visit;
    void *arg;
};

static void scan_item(void *arg, void *item)
{
    struct scan *s = arg;
    struct hash_item f = hash_item_of(item);
    s->seen++;
    if (!hash_stale(f.deadline, s->now_ms))
        s->visit(s->arg, f.field, f.value);
}

uint64_t hash_scan(const struct value *v, uint64_t cursor, int64_t now_ms, uint64_t *seen, hash_visit *visit, void *arg)
{
    struct scan s = {now_ms, *seen, visit, arg};
    if (hash_is_table(v)) {
        cursor = table_scan(((struct hash_table *)v->ptr)->fields, cursor, scan_item, &s);
        *seen = s.seen;
        return cursor;
    }
    struct hash_iter it;
    hash_iter_init(&it, v, now_ms);
    for (; hash_iter_next(&it); (*seen)++)
        visit(arg, it.field, it.value);
    return 0;
}

/* --- Changing --- */

bool hash_too_long(struct slice field, struct slice value, const struct value_limits *limits)
{
    size_t max = (size_t)limits->hash_max_listpack_value;
    return field.len > max || value.len > max;
}

void hash_to_table(struct value *v)
{
    struct hash_table *h = hash_table_new();
    struct hash_iter it;
    hash_iter_init(&it, v, HASH_TIMELESS);
    while (hash_iter_next(&it))
        hash_table_add(h, it.field, it.value, it.deadline);
    pack_free(v->ptr);
    v->encoding = HASH_TABLE;
    v->ptr = h;
}

static enum hash_was set_in_pack(struct value *v, struct slice field, struct slice value, int64_t now_ms,
                                 enum hash_keep keep, const struct value_limits *limits)
{
    uint32_t at = hash_pack_find(v, field);
    if (at == 0) {
        hash_pack_add(v, field, value);
        if (unlikely(hash_pack_fields(v) > (uint64_t)limits->hash_max_listpack_entries))
            hash_to_table(v);
        return HASH_MISSING;
    }
    enum hash_was was = hash_was_of(hash_pack_deadline(v, at), now_ms);
    hash_pack_set_value(v, at, value);
    if (was == HASH_STALE || keep == HASH_CLEAR_DEADLINE)
        hash_pack_set_deadline(v, at, HASH_NO_DEADLINE);
    return was;
}

enum hash_was hash_set(struct value *v, struct slice field, struct slice value, int64_t now_ms, enum hash_keep keep,
                       const struct value_limits *limits)
{
    if (!hash_is_table(v) &&
        (hash_too_long(field, value, limits) || !hash_pack_has_room(v, pack_cost_max(3, field.len + value.len))))
        hash_to_table(v);
    if (hash_is_table(v))
        return hash_table_set(v->ptr, field, value, now_ms, keep);
    return set_in_pack(v, field, value, now_ms, keep, limits);
}

enum hash_was hash_delete(struct value *v, struct slice field, int64_t now_ms)
{
    if (hash_is_table(v))
        return hash_table_delete(v->ptr, field, now_ms);
    uint32_t at = hash_pack_find(v, field);
    if (at == 0)
        return HASH_MISSING;
    enum hash_was was = hash_was_of(hash_pack_deadline(v, at), now_ms);
    hash_pack_erase(v, at);
    return was;
}

/* Deadlines in every field of a pack may be more than it can take: then it becomes a table first. */
void hash_set_deadline(struct value *v, struct slice field, int64_t deadline)
{
    debug_ensure(deadline == HASH_NO_DEADLINE || (deadline > 0 && deadline <= HASH_DEADLINE_MAX));
    if (!hash_is_table(v) && !hash_pack_has_room(v, pack_cost_max(hash_pack_fields(v), 0)))
        hash_to_table(v);
    if (hash_is_table(v)) {
        hash_table_set_deadline(v->ptr, field, deadline);
        return;
    }
    uint32_t at = hash_pack_find(v, field);
    ensure(at != 0);
    hash_pack_set_deadline(v, at, deadline);
}

static size_t expire_in_pack(struct value *v, int64_t now_ms, size_t max, hash_expiring *each, void *arg)
{
    size_t n = 0;
    char scratch[PACK_TEXT_MAX];
    for (bool more = true; more && n < max && hash_stale(hash_next_deadline(v), now_ms); n++) {
        more = each(arg, pack_text(pack_get(v->ptr, PACK_HEADER), scratch));
        hash_pack_erase(v, PACK_HEADER);
    }
    return n;
}

size_t hash_expire(struct value *v, int64_t now_ms, size_t max, hash_expiring *each, void *arg)
{
    if (hash_is_table(v))
        return hash_table_expire(v->ptr, now_ms, max, each, arg);
    return expire_in_pack(v, now_ms, max, each, arg);
}

/* --- The class --- */

static const char *encoding_name(const struct value *v)
{
    if (hash_is_table(v))
        return "hashtable";
    return v->encoding == HASH_PACK_EX ? "listpackex" : "listpack";
}

static struct value empty(void) { return (struct value){.type = VALUE_HASH, .encoding = ENC_PACK, .ptr = pack_new()}; }

static struct value copy(const struct value *v)
{
    struct value c = {.type = VALUE_HASH, .encoding = v->encoding};
    if (is_bare(v))
        return (struct value){.type = VALUE_HASH, .encoding = ENC_PACK, .ptr = bare_to_pack(v->embed)};
    c.ptr = hash_is_table(v) ? (void *)hash_table_copy(v->ptr) : pack_copy(pack_slice(v->ptr));
    return c;
}

static void release(struct value *v)
{
    if (hash_is_table(v))
        hash_table_free(v->ptr);
    else
        pack_free(v->ptr);
}

static size_t memory(const struct value *v)
{
    if (is_bare(v))
        return 0;
    return hash_is_table(v) ? hash_table_memory(v->ptr) : pack_memory(v->ptr);
}

static uint64_t length(const struct value *v) { return hash_length(v, HASH_TIMELESS); }
static uint64_t effort(const struct value *v) { return hash_is_table(v) ? hash_table_fields(v->ptr) : 1; }

/* A deadline is part of what a field is. */
static void digest(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg)
{
    struct value_digest d = {{0}};
    struct hash_iter it;
    hash_iter_init(&it, v, HASH_TIMELESS);
    while (hash_iter_next(&it)) {
        struct slice parts[3] = {it.field, it.value, slice_of(&it.deadline, sizeof(it.deadline))};
        value_digest_add(&d, parts, it.deadline == HASH_NO_DEADLINE ? 2 : 3);
    }
    mix(arg, value_digest_bytes(&d));
}

const struct value_class hash_class = {
    .name = "hash",
    .encoding_name = encoding_name,
    .encode = hash_encode,
    .reads = hash_reads,
    .decode = hash_decode,
    .empty = empty,
    .embed = bare_from_pack,
    .unembed = bare_to_pack,
    .copy = copy,
    .release = release,
    .memory = memory,
    .length = length,
    .effort = effort,
    .next_expiry = hash_next_deadline,
    .digest = digest,
};

/* --- Validation --- */

static void validate_pack(const struct value *v, const struct value_limits *limits)
{
    int64_t last = 0;
    bool deadlines = v->encoding == HASH_PACK_EX;
    struct hash_iter it;
    ensure(pack_validate(pack_slice(v->ptr)) && pack_count(v->ptr) % hash_pack_width(v) == 0);
    ensure(hash_pack_fields(v) <= (uint64_t)limits->hash_max_listpack_entries);
    hash_iter_init(&it, v, HASH_TIMELESS);
    for (bool first = true; hash_iter_next(&it); first = false) {
        int64_t deadline = it.deadline == HASH_NO_DEADLINE ? INT64_MAX : it.deadline;
        ensure(!hash_too_long(it.field, it.value, limits));
        ensure(!deadlines || (deadline >= last && (!first || deadline != INT64_MAX)));
        last = deadline;
    }
    ensure(!deadlines || hash_pack_fields(v) > 0);
}

void hash_validate(const struct value *v, const struct value_limits *limits)
{
    ensure(v->type == VALUE_HASH && !is_bare(v));
    if (hash_is_table(v))
        hash_table_validate(v->ptr);
    else
        validate_pack(v, limits);
}
