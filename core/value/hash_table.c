/* The big form of a hash: a table of fields, and beside it, once a field has a deadline, a tree of {deadline, hash of
 * the field}. The tree holds hashes, not addresses: a field may move when its value changes.
 *
 * A field is one allocation, the table's item:
 *
 *     deadline 8 (if the item is tagged) | field length 1 | value length 1 | field length 4 (if that is 255) | value
 *     length 4 (if that is 255) | field | value
 *
 * Blocks have the sizes that mem_class gives, so that a value changes in place while its size class stays the same. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/value/hash_impl.h"

#define TAG_DEADLINE ((uintptr_t)1 << 48)
#define LEN_WIDE 255

struct due {
    int64_t when_ms;
    uint64_t hash;
};

static int due_cmp(const void *elem, const void *probe, void *arg)
{
    const struct due *a = elem, *b = probe;
    (void)arg;
    if (a->when_ms != b->when_ms)
        return a->when_ms < b->when_ms ? -1 : 1;
    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static const struct btree_type due_type = {.elem_size = sizeof(struct due), .cmp = due_cmp};

/* --- items --- */

static bool has_deadline(const void *item) { return ((uintptr_t)item & TAG_DEADLINE) != 0; }
static uint8_t *address(const void *item) { return (uint8_t *)((uintptr_t)item & TABLE_TAGGED); }

static inline size_t read_len(uint8_t len8, const uint8_t **rest)
{
    uint32_t wide;
    if (likely(len8 != LEN_WIDE))
        return len8;
    memcpy(&wide, *rest, sizeof(wide));
    *rest += sizeof(wide);
    return wide;
}

static inline struct slice item_field(const void *item)
{
    const uint8_t *p = address(item) + (has_deadline(item) ? 8 : 0), *rest = p + 2;
    size_t len = read_len(p[0], &rest);
    return slice_of(p[1] == LEN_WIDE ? rest + 4 : rest, len);
}

struct hash_item hash_item_of(const void *item)
{
    struct hash_item it = {.deadline = HASH_NO_DEADLINE};
    const uint8_t *p = address(item);
    if (has_deadline(item)) {
        memcpy(&it.deadline, p, 8);
        p += 8;
    }
    const uint8_t *rest = p + 2;
    it.field.len = read_len(p[0], &rest);
    it.value.len = read_len(p[1], &rest);
    it.field.p = rest;
    it.value.p = rest + it.field.len;
    return it;
}

static size_t bytes_of(size_t field, size_t value, bool deadline)
{
    return (deadline ? 8 : 0) + 2 + (field >= LEN_WIDE ? 4 : 0) + (value >= LEN_WIDE ? 4 : 0) + field + value;
}

/* The size of an item's block. */
static size_t block_bytes(const void *item)
{
    struct hash_item it = hash_item_of(item);
    return mem_class(bytes_of(it.field.len, it.value.len, has_deadline(item)));
}

static uint8_t *put_len(uint8_t *p, uint8_t *len8, size_t len)
{
    ensure(len <= UINT32_MAX);
    *len8 = (uint8_t)(len < LEN_WIDE ? len : LEN_WIDE);
    return len < LEN_WIDE ? p : mempcpy(p, &(uint32_t){(uint32_t)len}, 4);
}

static void *item_new(struct slice field, struct slice value, int64_t deadline)
{
    bool expires = deadline != HASH_NO_DEADLINE;
    uint8_t *block = mem_alloc(mem_class(bytes_of(field.len, value.len, expires))), *p = block;
    if (expires)
        p = mempcpy(p, &deadline, 8);
    uint8_t *rest = put_len(p + 2, &p[0], field.len);
    rest = put_len(rest, &p[1], value.len);
    if (field.len > 0)
        rest = mempcpy(rest, field.p, field.len);
    if (value.len > 0)
        memcpy(rest, value.p, value.len);
    return (void *)((uintptr_t)block | (expires ? TAG_DEADLINE : 0));
}

static void item_free(void *item) { mem_free(address(item), block_bytes(item)); }

static uint64_t field_hash(struct slice field) { return hash_key(field, value_hash_seed); }

static uint64_t item_hash(const void *item, void *arg)
{
    (void)arg;
    return field_hash(item_field(item));
}

/* Not dense: a faster HGET is worth some six bytes a field. */
static const struct table_type fields_type = {.hash = item_hash, .address = TABLE_TAGGED};

/* Another value (which may be its own) and deadline in the same block, if that is of the right size. */
static bool item_rewrite(void *item, struct slice value, int64_t deadline)
{
    struct hash_item it = hash_item_of(item);
    bool expires = deadline != HASH_NO_DEADLINE;
    if (expires != has_deadline(item) || (it.value.len >= LEN_WIDE) != (value.len >= LEN_WIDE) ||
        !mem_same_class(bytes_of(it.field.len, it.value.len, expires), bytes_of(it.field.len, value.len, expires)))
        return false;
    uint8_t *p = address(item);
    if (expires)
        p = mempcpy(p, &deadline, 8);
    put_len(p + 2 + (it.field.len >= LEN_WIDE ? 4 : 0), &p[1], value.len);
    if (value.len > 0)
        memmove((uint8_t *)it.value.p, value.p, value.len);
    return true;
}

/* --- the table --- */

struct hash_table *hash_table_new(void)
{
    struct hash_table *h = mem_zalloc(sizeof(*h));
    h->fields = table_new(&fields_type, NULL);
    return h;
}

static void drop_item(void *arg, void *item)
{
    (void)arg;
    item_free(item);
}

void hash_table_free(struct hash_table *h)
{
    while (!table_free_some(h->fields, SIZE_MAX, drop_item, NULL))
        ;
    if (h->due != NULL)
        btree_free(h->due);
    mem_free(h, sizeof(*h));
}

struct hash_table *hash_table_copy(struct hash_table *h)
{
    struct hash_table *copy = hash_table_new();
    struct table_iter it;
    table_iter_init(&it, h->fields);
    for (void *item; (item = table_iter_next(&it)) != NULL;) {
        struct hash_item f = hash_item_of(item);
        hash_table_add(copy, f.field, f.value, f.deadline);
    }
    return copy;
}

size_t hash_table_memory(const struct hash_table *h)
{
    return mem_class(sizeof(*h)) + table_memory(h->fields) + h->item_bytes +
           (h->due != NULL ? btree_memory(h->due) : 0);
}

uint64_t hash_table_fields(const struct hash_table *h) { return table_count(h->fields); }

uint64_t hash_table_stale(const struct hash_table *h, int64_t now_ms)
{
    return h->due != NULL ? btree_rank_le(h->due, &(struct due){now_ms, UINT64_MAX}) : 0;
}

static void *find(struct hash_table *h, struct slice field, uint64_t hash, struct table_probe *p)
{
    for (void *item = table_first(h->fields, hash, p); item != NULL; item = table_next(p))
        if (likely(slice_eq(item_field(item), field)))
            return item;
    return NULL;
}

void *hash_table_find(struct hash_table *h, struct slice field)
{
    struct table_probe p;
    return find(h, field, field_hash(field), &p);
}

void hash_table_prefetch(const struct hash_table *h, struct slice field, int step)
{
    if (step == 0)
        table_prefetch_bucket(h->fields, field_hash(field));
    else
        table_prefetch_item(h->fields, field_hash(field));
}

/* --- deadlines --- */

static void due_add(struct hash_table *h, int64_t deadline, uint64_t hash)
{
    struct due due = {deadline, hash};
    if (deadline == HASH_NO_DEADLINE)
        return;
    if (h->due == NULL)
        h->due = btree_new(&due_type, NULL);
    btree_insert(h->due, &due, &due);
}

static void due_remove(struct hash_table *h, int64_t deadline, uint64_t hash)
{
    if (deadline == HASH_NO_DEADLINE)
        return;
    bool found = btree_erase(h->due, &(struct due){deadline, hash}, NULL);
    ensure(found);
    if (btree_count(h->due) > 0)
        return;
    btree_free(h->due);
    h->due = NULL;
}

int64_t hash_table_next_deadline(const struct hash_table *h)
{
    return h->due != NULL ? ((const struct due *)btree_first(h->due))->when_ms : HASH_NO_DEADLINE;
}

/* --- changes --- */

static void insert(struct hash_table *h, uint64_t hash, struct slice field, struct slice value, int64_t deadline)
{
    void *item = item_new(field, value, deadline);
    h->item_bytes += block_bytes(item);
    table_insert(h->fields, hash, item);
    due_add(h, deadline, hash);
}

void hash_table_add(struct hash_table *h, struct slice field, struct slice value, int64_t deadline)
{
    insert(h, field_hash(field), field, value, deadline);
}

/* The probe's candidate gets this value (which may be its own) and deadline. */
static void rewrite(struct hash_table *h, struct table_probe *p, void *item, struct slice value, int64_t deadline)
{
    int64_t old = hash_item_of(item).deadline;
    if (!item_rewrite(item, value, deadline)) {
        void *moved = item_new(item_field(item), value, deadline);
        h->item_bytes += block_bytes(moved) - block_bytes(item);
        table_replace_at(p, moved);
        item_free(item);
    }
    if (deadline == old)
        return;
    due_add(h, deadline, p->hash); /* first: the tree of an only deadline is not taken down for this */
    due_remove(h, old, p->hash);
}

enum hash_was hash_table_set(struct hash_table *h, struct slice field, struct slice value, int64_t now_ms,
                             enum hash_keep keep)
{
    struct table_probe p;
    uint64_t hash = field_hash(field);
    void *item = find(h, field, hash, &p);
    if (item == NULL) {
        insert(h, hash, field, value, HASH_NO_DEADLINE);
        return HASH_MISSING;
    }
    int64_t deadline = has_deadline(item) ? hash_item_of(item).deadline : HASH_NO_DEADLINE;
    enum hash_was was = hash_was_of(deadline, now_ms);
    rewrite(h, &p, item, value, keep == HASH_KEEP_DEADLINE && was == HASH_THERE ? deadline : HASH_NO_DEADLINE);
    return was;
}

void hash_table_set_deadline(struct hash_table *h, struct slice field, int64_t deadline)
{
    struct table_probe p;
    void *item = find(h, field, field_hash(field), &p);
    ensure(item != NULL);
    rewrite(h, &p, item, hash_item_of(item).value, deadline);
}

static void erase(struct hash_table *h, struct table_probe *p, void *item)
{
    due_remove(h, hash_item_of(item).deadline, p->hash);
    table_erase_at(p);
    h->item_bytes -= block_bytes(item);
    item_free(item);
}

enum hash_was hash_table_delete(struct hash_table *h, struct slice field, int64_t now_ms)
{
    struct table_probe p;
    void *item = find(h, field, field_hash(field), &p);
    if (item == NULL)
        return HASH_MISSING;
    enum hash_was was = hash_was_of(hash_item_of(item).deadline, now_ms);
    erase(h, &p, item);
    return was;
}

static void *find_due(struct hash_table *h, const struct due *due, struct table_probe *p)
{
    for (void *item = table_first(h->fields, due->hash, p); item != NULL; item = table_next(p))
        if (has_deadline(item) && hash_item_of(item).deadline == due->when_ms && item_hash(item, NULL) == due->hash)
            return item;
    return NULL;
}

size_t hash_table_expire(struct hash_table *h, int64_t now_ms, size_t max, hash_expiring *each, void *arg)
{
    size_t n = 0;
    for (bool more = true; more && n < max && hash_stale(hash_table_next_deadline(h), now_ms); n++) {
        struct table_probe p;
        struct due due = *(const struct due *)btree_first(h->due);
        void *item = find_due(h, &due, &p);
        ensure(item != NULL);
        more = each(arg, item_field(item));
        erase(h, &p, item);
    }
    return n;
}

/* --- validation --- */

void hash_table_validate(struct hash_table *h)
{
    size_t bytes = 0, due = 0;
    struct table_iter it;
    table_validate(h->fields);
    table_iter_init(&it, h->fields);
    for (void *item; (item = table_iter_next(&it)) != NULL;) {
        struct hash_item f = hash_item_of(item);
        bytes += block_bytes(item);
        due += f.deadline != HASH_NO_DEADLINE;
        ensure(!has_deadline(item) || (f.deadline > 0 && f.deadline <= HASH_DEADLINE_MAX));
        ensure(hash_table_find(h, f.field) == item);
        ensure(f.deadline == HASH_NO_DEADLINE ||
               btree_rank_lt(h->due, &(struct due){f.deadline, item_hash(item, NULL)}) <
                   btree_rank_le(h->due, &(struct due){f.deadline, item_hash(item, NULL)}));
    }
    ensure(bytes == h->item_bytes && (h->due == NULL ? due == 0 : due > 0 && btree_count(h->due) == due));
    if (h->due != NULL)
        btree_validate(h->due);
}
