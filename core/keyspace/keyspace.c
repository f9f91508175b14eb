/* The states of an entry and the functions behind each transition stand in keyspace.h. Three rules hold everywhere
 * here:
 *   - whatever allocates or frees goes through charge/discharge, so that ks->bytes is exact at all times;
 *   - an entry that moves (its layout changes) is replaced in the table by relocate, which keeps flags and temperature;
 *   - what changes an entry calls before_change first: a snapshot may still want it as it is.
 */
#include "core/keyspace/keyspace.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/ds/pack.h"
#include "core/keyspace/cut.h"

struct due {
    int64_t when_ms;
    uint64_t hash;
};

static uint64_t entry_hash(const void *item, void *arg)
{
    const struct keyspace *ks = arg;
    return hash_key(entry_key(item), ks->hash_seed);
}

static const struct table_type entry_table = {.hash = entry_hash};

static int due_cmp(const void *a, const void *b, void *arg)
{
    const struct due *x = a, *y = b;
    if (x->when_ms != y->when_ms)
        return x->when_ms < y->when_ms ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static const struct btree_type due_tree = {.elem_size = sizeof(struct due), .cmp = due_cmp};

struct keyspace *keyspace_new(struct space_id id, uint64_t hash_seed)
{
    struct keyspace *ks = mem_zalloc(sizeof(*ks));
    ks->id = id;
    ks->hash_seed = hash_seed;
    ks->entries = table_new(&entry_table, ks);
    ks->tombs = table_new(&entry_table, ks);
    ks->expiry = btree_new(&due_tree, NULL);
    ks->inner_expiry = btree_new(&due_tree, NULL);
    queue_init(&ks->dirty);
    return ks;
}

/* --- accounts --- */

static bool owns_memory(uint8_t encoding)
{
    return encoding != ENC_COLD && encoding != ENC_INT && encoding != ENC_EMBED;
}

static size_t value_memory(const struct entry *e)
{
    if (!owns_memory(e->encoding))
        return 0;
    struct value v = entry_raw(e);
    return value_class_of(v.type)->memory(&v);
}

static size_t entry_memory(const struct entry *e) { return mem_class(entry_bytes(e)) + value_memory(e); }

static void charge(struct keyspace *ks, const struct entry *e)
{
    size_t bytes = entry_memory(e);
    ks->changes++;
    ks->bytes += bytes;
    if (e->flags & ENTRY_DIRTY)
        ks->dirty_bytes += bytes;
}

static void discharge(struct keyspace *ks, const struct entry *e)
{
    size_t bytes = entry_memory(e);
    debug_ensure(ks->bytes >= bytes);
    ks->changes++;
    ks->bytes -= bytes;
    if (e->flags & ENTRY_DIRTY)
        ks->dirty_bytes -= bytes;
}

uint64_t keyspace_memory(const struct keyspace *ks)
{
    return ks->bytes + table_memory(ks->entries) + table_memory(ks->tombs) + btree_memory(ks->expiry) +
           btree_memory(ks->inner_expiry) + ks->dirty.memory + sizeof(*ks);
}

static void release_value(struct keyspace *ks, struct value *raw)
{
    if (!owns_memory(raw->encoding))
        return;
    const struct value_class *cls = value_class_of(raw->type);
    if (ks->discard != NULL && cls->effort != NULL && unlikely(cls->effort(raw) > VALUE_EFFORT_MAX))
        ks->discard(ks->arg, raw, cls->memory(raw));
    else
        cls->release(raw);
}

static void free_item(void *arg, void *item)
{
    struct entry *e = item;
    struct value raw = entry_raw(e);
    release_value(arg, &raw);
    entry_free_shell(e);
}

static void free_items(struct keyspace *ks, struct table *t)
{
    uint64_t cursor = 0;
    do
        cursor = table_scan(t, cursor, free_item, ks);
    while (cursor != 0);
    table_free(t);
}

void keyspace_free(struct keyspace *ks)
{
    ensure(ks->cut == NULL);
    ks->discard = NULL;
    free_items(ks, ks->entries);
    free_items(ks, ks->tombs);
    btree_free(ks->expiry);
    btree_free(ks->inner_expiry);
    queue_free(&ks->dirty);
    mem_free(ks, sizeof(*ks));
}

/* --- look-up --- */

static struct entry *find_in(struct table *t, struct key key, struct table_probe *p)
{
    for (struct entry *e = table_first(t, key.hash, p); e != NULL; e = table_next(p))
        if (likely(slice_eq(entry_key(e), key.name)))
            return e;
    return NULL;
}

struct entry *keyspace_find(struct keyspace *ks, struct key key)
{
    struct table_probe p;
    return find_in(ks->entries, key, &p);
}

/* --- dirty queue and expiry index --- */

static void mark(struct keyspace *ks, struct entry *e, uint64_t hash, uint16_t flag)
{
    if (!ks->track)
        return;
    ks->changes++;
    if (!(e->flags & (ENTRY_DIRTY | ENTRY_META_DIRTY)))
        ks->dirty_keys++;
    if (flag & ~e->flags & ENTRY_DIRTY)
        ks->dirty_bytes += entry_memory(e);
    e->flags |= flag;
    if (ks->queue_dirty && !(e->flags & ENTRY_QUEUED)) {
        e->flags |= ENTRY_QUEUED;
        queue_push(&ks->dirty, hash);
    }
}

static void unmark(struct keyspace *ks, struct entry *e)
{
    ks->changes++;
    if (e->flags & (ENTRY_DIRTY | ENTRY_META_DIRTY))
        ks->dirty_keys--;
    if (e->flags & ENTRY_DIRTY)
        ks->dirty_bytes -= entry_memory(e);
    e->flags &= (uint16_t) ~(ENTRY_DIRTY | ENTRY_META_DIRTY);
}

static void index_one(struct btree *index, int64_t when_ms, uint64_t hash)
{
    struct due due = {when_ms, hash};
    if (when_ms != ENTRY_NO_EXPIRY)
        btree_insert(index, &due, &due);
}

static void unindex_one(struct btree *index, int64_t when_ms, uint64_t hash)
{
    bool found = when_ms == ENTRY_NO_EXPIRY || btree_erase(index, &(struct due){when_ms, hash}, NULL);
    ensure(found);
}

static void reindex(struct keyspace *ks, struct entry_times old, struct entry_times now, uint64_t hash)
{
    if (old.expire_ms != now.expire_ms) {
        ks->changes++;
        unindex_one(ks->expiry, old.expire_ms, hash);
        index_one(ks->expiry, now.expire_ms, hash);
        ks->expires = btree_count(ks->expiry);
    }
    if (unlikely(old.inner_ms != now.inner_ms)) {
        ks->changes++;
        unindex_one(ks->inner_expiry, old.inner_ms, hash);
        index_one(ks->inner_expiry, now.inner_ms, hash);
    }
}

/* When the first part of a value that is not cold falls due. */
static int64_t inner_expiry_of(const struct value *v)
{
    if (!owns_memory(v->encoding))
        return ENTRY_NO_EXPIRY;
    const struct value_class *cls = value_class_of(v->type);
    return cls->next_expiry != NULL ? cls->next_expiry(v) : ENTRY_NO_EXPIRY;
}

/* --- creating, replacing, deleting --- */

#define KEPT_FLAGS                                                                                                    \
    (ENTRY_QUEUED | ENTRY_ON_FLASH | ENTRY_WRITING | ENTRY_DIRTY | ENTRY_META_DIRTY | ENTRY_PROBATION | ENTRY_FRESH | \
     ENTRY_CUT | ENTRY_ENCODING)

static inline void before_change(struct keyspace *ks, struct entry *e)
{
    if (unlikely(ks->cut != NULL))
        cut_touch(ks, e, CUT_CHANGE);
}

/* A new key takes over what its tomb knows of flash. */
static void inherit_tomb(struct keyspace *ks, struct entry *e, struct key key)
{
    struct table_probe p;
    struct entry *tomb = table_count(ks->tombs) ? find_in(ks->tombs, key, &p) : NULL;
    if (tomb == NULL)
        return;
    e->flags |= tomb->flags & (ENTRY_QUEUED | ENTRY_WRITING | ENTRY_ON_FLASH);
    table_erase_at(&p);
    unmark(ks, tomb);
    discharge(ks, tomb);
    entry_free_shell(tomb);
}

static void count_added(struct keyspace *ks, const struct entry *e)
{
    ks->keys++;
    if (e->flags & ENTRY_ON_FLASH)
        ks->flash_keys++;
    if (entry_cold(e)) {
        ks->cold++;
        ks->cold_bytes += entry_cold_size(e);
    }
}

static void count_removed(struct keyspace *ks, const struct entry *e)
{
    ks->keys--;
    if (e->flags & ENTRY_ON_FLASH)
        ks->flash_keys--;
    if (entry_cold(e)) {
        ks->cold--;
        ks->cold_bytes -= entry_cold_size(e);
    }
}

static struct entry *create(struct keyspace *ks, struct key key, const struct value *v, struct entry_times times)
{
    struct entry *e = entry_new(key.name, v, times);
    e->flags |= ks->cut_seen;
    inherit_tomb(ks, e, key);
    charge(ks, e);
    count_added(ks, e);
    table_insert(ks->entries, key.hash, e);
    reindex(ks, ENTRY_NO_TIMES, times, key.hash);
    return e;
}

/* `e` becomes an entry with value `v` and these times, in a new allocation; the old value is not freed. */
static struct entry *relocate(struct keyspace *ks, struct entry *e, struct key key, const struct value *v,
                              struct entry_times times)
{
    struct entry *moved = entry_new(key.name, v, times);
    moved->flags |= e->flags & KEPT_FLAGS;
    moved->temperature = e->temperature;
    table_replace(ks->entries, key.hash, e, moved);
    return moved;
}

/* How an entry takes a small pack: in `room`, or borrowed. */
static struct slice embed_pack(const struct value *v, uint8_t room[static VALUE_EMBED_MAX])
{
    const struct value_class *cls = value_class_of(v->type);
    return cls->embed != NULL ? slice_of(room, cls->embed(v->ptr, room)) : pack_slice(v->ptr);
}

static uint8_t *unembed_pack(uint8_t type, struct slice bytes)
{
    const struct value_class *cls = value_class_of(type);
    return cls->unembed != NULL ? cls->unembed(bytes) : pack_copy(bytes);
}

/* What is small belongs into its entry: a short string that came in a blob of its own, a small pack. *small is how
 * entries take it; it borrows from `v` or stands in `room`. */
static bool can_embed(const struct value *v, struct value *small, uint8_t room[static VALUE_EMBED_MAX])
{
    *small = (struct value){.type = v->type, .encoding = ENC_EMBED};
    if (v->encoding == ENC_PACK && pack_bytes(v->ptr) <= VALUE_EMBED_MAX)
        small->embed = embed_pack(v, room);
    else if (v->type == VALUE_STRING && v->encoding == ENC_BLOB && v->blob->len <= STRING_EMBED_MAX)
        small->embed = blob_slice(v->blob);
    else
        return false;
    return true;
}

/* The form in which an entry takes the value, in *raw; true if the caller has to release `v` then. */
static bool fit(const struct value *v, size_t key_len, bool expires, struct value *raw,
                uint8_t room[static VALUE_EMBED_MAX])
{
    bool small = can_embed(v, raw, room);
    if (v->type == VALUE_STRING && (small || v->encoding == ENC_EMBED)) {
        struct slice bytes = small ? raw->embed : v->embed;
        if (!entry_embeds(key_len, bytes.len, expires)) {
            *raw = *v;
            if (!small)
                *raw = (struct value){.type = VALUE_STRING, .encoding = ENC_BLOB, .blob = blob_copy(bytes, bytes.len)};
            return false;
        }
    }
    if (!small)
        *raw = *v;
    return small;
}

/* The new value's bytes may be the old one's, so that is freed last. */
static struct entry *replace_raw(struct keyspace *ks, struct entry *e, struct key key, const struct value *v,
                                 struct entry_times times)
{
    struct entry_times old_times = entry_times_of(e);
    struct entry *now = e;

    count_removed(ks, e);
    discharge(ks, e);
    struct value old = entry_raw(e);
    if (!entry_write(e, v, times)) {
        now = relocate(ks, e, key, v, times);
        entry_free_shell(e);
    }
    release_value(ks, &old);
    charge(ks, now);
    count_added(ks, now);
    reindex(ks, old_times, times, key.hash);
    return now;
}

/* Puts a value into a new entry (`e` NULL) or an old one; a value that is embedded instead is freed. */
static struct entry *put(struct keyspace *ks, struct entry *e, struct key key, const struct value *v, int64_t expire_ms)
{
    uint8_t room[VALUE_EMBED_MAX];
    struct value raw, owned = *v;
    struct entry_times times = {expire_ms, inner_expiry_of(v)};
    bool spare = fit(v, key.name.len, expire_ms != ENTRY_NO_EXPIRY, &raw, room);
    e = e == NULL ? create(ks, key, &raw, times) : replace_raw(ks, e, key, &raw, times);
    if (spare)
        value_release(&owned);
    return e;
}

static void contents_changed(struct keyspace *ks, struct entry *e, struct key key)
{
    e->flags &= (uint16_t) ~(ENTRY_PROBATION | ENTRY_FRESH | ENTRY_ENCODING);
    mark(ks, e, key.hash, ENTRY_DIRTY);
}

static void changed_in_place(struct keyspace *ks, struct entry *e, struct key key)
{
    if (!(e->flags & ENTRY_DIRTY))
        ks->rewritten += keyspace_ram_bytes(e);
    contents_changed(ks, e, key);
}

struct entry *keyspace_put(struct keyspace *ks, struct key key, const struct value *v, int64_t expire_ms)
{
    return keyspace_put_at(ks, keyspace_find(ks, key), key, v, expire_ms);
}

struct entry *keyspace_put_at(struct keyspace *ks, struct entry *e, struct key key, const struct value *v,
                              int64_t expire_ms)
{
    if (expire_ms == EXPIRE_KEEP)
        expire_ms = e == NULL ? ENTRY_NO_EXPIRY : entry_expiry(e);
    if (e != NULL)
        before_change(ks, e);
    e = put(ks, e, key, v, expire_ms);
    contents_changed(ks, e, key);
    return e;
}

struct entry *keyspace_set_value(struct keyspace *ks, struct entry *e, struct key key, const struct value *v)
{
    before_change(ks, e);
    e = put(ks, e, key, v, entry_expiry(e));
    contents_changed(ks, e, key);
    return e;
}

/* Head room for a growing string: half of its length, at most a mebibyte. */
static size_t roomy(size_t len, size_t old) { return len <= old ? len : len + min_u64(len / 2, MIB); }

struct blob *keyspace_writable(struct keyspace *ks, struct entry **e, struct key key, size_t len)
{
    char scratch[STRING_INT_CHARS + 1];
    struct value old = entry_value(*e);
    struct slice bytes = string_bytes(&old, scratch);

    ensure(old.type == VALUE_STRING);
    (*e)->flags &= (uint16_t)~ENTRY_ENCODING;
    before_change(ks, *e);
    if (old.encoding == ENC_RAW && blob_unique(old.blob) && blob_cap(old.blob) >= len)
        return old.blob;
    size_t cap = roomy(len < bytes.len ? bytes.len : len, bytes.len);
    struct value fresh = {.type = VALUE_STRING, .encoding = ENC_RAW, .blob = blob_copy(bytes, cap)};
    *e = replace_raw(ks, *e, key, &fresh, entry_times_of(*e));
    return fresh.blob;
}

void keyspace_written(struct keyspace *ks, struct entry *e, struct key key) { changed_in_place(ks, e, key); }

struct value keyspace_change(struct keyspace *ks, struct entry *e)
{
    struct value v = entry_value(e);
    ensure(!entry_cold(e) && e->type != VALUE_STRING);
    before_change(ks, e);
    discharge(ks, e);
    e->flags &= (uint16_t)~ENTRY_ENCODING;
    if (e->encoding == ENC_EMBED)
        v = (struct value){.type = v.type, .encoding = ENC_PACK, .ptr = unembed_pack(v.type, v.embed)};
    return v;
}

struct entry *keyspace_changed(struct keyspace *ks, struct entry *e, struct key key, const struct value *v,
                               bool contents)
{
    struct value small;
    uint8_t room[VALUE_EMBED_MAX];
    bool embed = can_embed(v, &small, room);
    const struct value *raw = embed ? &small : v;
    struct entry_times old = entry_times_of(e), times = {old.expire_ms, inner_expiry_of(v)};
    if (!entry_write(e, raw, times)) {
        struct entry *moved = relocate(ks, e, key, raw, times);
        entry_free_shell(e);
        e = moved;
    }
    reindex(ks, old, times, key.hash);
    if (embed)
        pack_free(v->ptr);
    charge(ks, e);
    if (contents)
        changed_in_place(ks, e, key);
    return e;
}

struct entry *keyspace_set_expiry(struct keyspace *ks, struct entry *e, struct key key, int64_t expire_ms)
{
    struct entry_times old = entry_times_of(e), times = {expire_ms, old.inner_ms};
    if (old.expire_ms == expire_ms)
        return e;
    before_change(ks, e);
    reindex(ks, old, times, key.hash);
    if (old.expire_ms != ENTRY_NO_EXPIRY && expire_ms != ENTRY_NO_EXPIRY) {
        memcpy(e->rest, &expire_ms, 8);
    } else {
        struct value v = entry_raw(e);
        struct entry *moved;
        discharge(ks, e);
        moved = relocate(ks, e, (struct key){entry_key(e), key.hash}, &v, times);
        entry_free_shell(e);
        charge(ks, moved);
        e = moved;
    }
    mark(ks, e, key.hash, ENTRY_META_DIRTY);
    return e;
}

/* A tomb is a cold entry without expiry in the tombs table, dirty from birth. It takes over the entry's flash flags. */
static void bury(struct keyspace *ks, struct slice name, uint64_t hash, uint16_t flags)
{
    struct value none = {.type = VALUE_STRING, .encoding = ENC_COLD};
    struct entry *tomb = entry_new(name, &none, ENTRY_NO_TIMES);
    tomb->flags |= ENTRY_TOMB | ENTRY_ON_FLASH | (flags & (ENTRY_QUEUED | ENTRY_WRITING));
    charge(ks, tomb);
    table_insert(ks->tombs, hash, tomb);
    mark(ks, tomb, hash, ENTRY_DIRTY);
}

static void unlink_entry(struct keyspace *ks, struct entry *e, uint64_t hash)
{
    before_change(ks, e);
    table_erase(ks->entries, hash, e);
    reindex(ks, entry_times_of(e), ENTRY_NO_TIMES, hash);
    count_removed(ks, e);
    unmark(ks, e);
    discharge(ks, e);
    if (!ks->track || !(e->flags & ENTRY_ON_FLASH))
        return;
    ks->freed += entry_bytes(e) + keyspace_ram_bytes(e);
    bury(ks, entry_key(e), hash, e->flags);
}

void keyspace_delete(struct keyspace *ks, struct entry *e, struct key key)
{
    struct value raw = entry_raw(e);
    bool taken = unlikely(ks->cut != NULL) && cut_delete(ks, e);
    unlink_entry(ks, e, key.hash);
    if (!taken)
        release_value(ks, &raw);
    entry_free_shell(e);
}

struct value keyspace_take(struct keyspace *ks, struct entry *e, struct key key)
{
    struct value v = entry_raw(e);
    ensure(!entry_cold(e));
    unlink_entry(ks, e, key.hash);
    if (v.encoding == ENC_EMBED && v.type == VALUE_STRING)
        v = (struct value){.type = v.type, .encoding = ENC_BLOB, .blob = blob_copy(v.embed, v.embed.len)};
    else if (v.encoding == ENC_EMBED)
        v = (struct value){.type = v.type, .encoding = ENC_PACK, .ptr = unembed_pack(v.type, v.embed)};
    entry_free_shell(e);
    return v;
}

/* --- expiry --- */

static struct entry *find_due(struct keyspace *ks, const struct due *due)
{
    struct table_probe p;
    for (struct entry *e = table_first(ks->entries, due->hash, &p); e != NULL; e = table_next(&p))
        if (entry_expiry(e) == due->when_ms && entry_hash(e, ks) == due->hash)
            return e;
    return NULL;
}

struct entry *keyspace_next_expired(struct keyspace *ks, int64_t now_ms)
{
    const struct due *due = btree_first(ks->expiry);
    struct entry *e;
    if (due == NULL || due->when_ms > now_ms)
        return NULL;
    e = find_due(ks, due);
    ensure(e != NULL);
    return e;
}

struct entry *keyspace_inner_expired(struct keyspace *ks, int64_t now_ms, uint64_t skip)
{
    struct btree_iter it;
    struct table_probe p;
    const struct due *due = btree_select(ks->inner_expiry, skip, &it, NULL);
    if (due == NULL || due->when_ms > now_ms)
        return NULL;
    for (struct entry *e = table_first(ks->entries, due->hash, &p); e != NULL; e = table_next(&p))
        if (entry_inner_expiry(e) == due->when_ms && entry_hash(e, ks) == due->hash)
            return e;
    panic("an expiry without its key");
}

int64_t keyspace_next_expiry(struct keyspace *ks)
{
    const struct due *due = btree_first(ks->expiry);
    return due ? due->when_ms : INT64_MAX;
}

int64_t keyspace_mean_expiry(struct keyspace *ks)
{
    uint64_t n = btree_count(ks->expiry), samples = min_u64(n, 16);
    __int128 sum = 0;
    for (uint64_t i = 0; i < samples; i++) {
        struct btree_iter it;
        const struct due *due = btree_select(ks->expiry, (2 * i + 1) * n / (2 * samples), &it, NULL);
        sum += due->when_ms;
    }
    return samples > 0 ? (int64_t)(sum / (int64_t)samples) : 0;
}

/* --- movement between RAM and flash --- */

static struct value cold_value(uint8_t type, uint64_t size, uint32_t ticket)
{
    return (struct value){.type = type, .encoding = ENC_COLD, .integer = (int64_t)(size << ENTRY_TICKET_BITS | ticket)};
}

uint64_t keyspace_ram_bytes(const struct entry *e)
{
    if (entry_cold(e))
        return entry_cold_size(e);
    if (e->encoding == ENC_EMBED)
        return entry_raw(e).embed.len;
    return e->encoding == ENC_INT ? 8 : value_memory(e);
}

struct entry *keyspace_load_cold(struct keyspace *ks, struct key key, uint8_t type, uint64_t ram_bytes,
                                 struct entry_times times, uint32_t temperature)
{
    struct value v = cold_value(type, ram_bytes, 0);
    struct entry *e = create(ks, key, &v, times);
    e->flags |= ENTRY_ON_FLASH;
    e->temperature = temperature;
    ks->flash_keys++;
    return e;
}

void keyspace_load_tomb(struct keyspace *ks, struct key key)
{
    if (ks->track)
        bury(ks, key.name, key.hash, 0);
}

uint32_t keyspace_fetching(struct keyspace *ks, struct entry *e)
{
    ensure(entry_cold(e));
    ks->ticket = (ks->ticket + 1) & ENTRY_TICKET_MASK;
    if (ks->ticket == 0)
        ks->ticket = 1;
    entry_set_word(e, entry_cold_size(e) << ENTRY_TICKET_BITS | ks->ticket);
    return ks->ticket;
}

struct entry *keyspace_install(struct keyspace *ks, struct entry *e, struct key key, struct value *v)
{
    ensure(entry_cold(e) && !(e->flags & ENTRY_DIRTY));
    e = put(ks, e, key, v, entry_expiry(e));
    e->flags |= ENTRY_PROBATION | ENTRY_FRESH;
    return e;
}

struct entry *keyspace_drop(struct keyspace *ks, struct entry *e, struct key key)
{
    ensure(!(e->flags & (ENTRY_DIRTY | ENTRY_WRITING)) && (e->flags & ENTRY_ON_FLASH) && !entry_cold(e));
    struct value v = cold_value(e->type, keyspace_ram_bytes(e), 0);
    struct slice name = entry_key(e);
    e = replace_raw(ks, e, (struct key){name, key.hash}, &v, entry_times_of(e));
    e->flags &= (uint16_t) ~(ENTRY_PROBATION | ENTRY_FRESH);
    return e;
}

void keyspace_encoding(struct entry *e)
{
    ensure((e->flags & ENTRY_DIRTY) && !(e->flags & ENTRY_WRITING));
    e->flags |= ENTRY_ENCODING;
}

void keyspace_cleaning(struct keyspace *ks, struct entry *e)
{
    ensure(!(e->flags & ENTRY_WRITING));
    unmark(ks, e);
    e->flags &= (uint16_t)~ENTRY_ENCODING;
    if (!(e->flags & (ENTRY_ON_FLASH | ENTRY_TOMB)))
        ks->flash_keys++;
    e->flags |= ENTRY_WRITING | ENTRY_ON_FLASH;
}

static struct entry *find_anywhere(struct keyspace *ks, struct key key, struct table_probe *p)
{
    struct entry *e = find_in(ks->entries, key, p);
    return e != NULL ? e : find_in(ks->tombs, key, p);
}

void keyspace_cleaned(struct keyspace *ks, struct key key)
{
    struct table_probe p;
    struct entry *e = find_anywhere(ks, key, &p);
    if (e == NULL || !(e->flags & ENTRY_WRITING))
        return;
    if (ks->cut != NULL && !(e->flags & ENTRY_TOMB))
        cut_touch(ks, e,
                  CUT_CLEANED); /* a value that becomes clean now is not in a snapshot of the store from before */
    e->flags &= (uint16_t)~ENTRY_WRITING;
    if (e->flags & ENTRY_FORGET) {
        table_erase_at(&p);
        discharge(ks, e);
        entry_free_shell(e);
    }
}

void keyspace_not_cleaned(struct keyspace *ks, struct key key)
{
    struct table_probe p;
    struct entry *e = find_anywhere(ks, key, &p);
    if (e == NULL || !(e->flags & ENTRY_WRITING))
        return;
    e->flags &= (uint16_t) ~(ENTRY_WRITING | ENTRY_FORGET);
    mark(ks, e, key.hash, entry_cold(e) && !(e->flags & ENTRY_TOMB) ? ENTRY_META_DIRTY : ENTRY_DIRTY);
}

struct entry *keyspace_forgetting(struct keyspace *ks, uint64_t hash)
{
    struct table_probe p;
    for (struct entry *e = table_first(ks->tombs, hash, &p); e != NULL; e = table_next(&p))
        if (!(e->flags & (ENTRY_DIRTY | ENTRY_WRITING)) && entry_hash(e, ks) == hash) {
            e->flags |= ENTRY_WRITING | ENTRY_FORGET;
            return e;
        }
    return NULL;
}

static struct entry *find_dirty_in(struct keyspace *ks, struct table *t, uint64_t hash)
{
    struct table_probe p;
    for (struct entry *e = table_first(t, hash, &p); e != NULL; e = table_next(&p))
        if ((e->flags & ENTRY_QUEUED) && entry_hash(e, ks) == hash)
            return e;
    return NULL;
}

size_t keyspace_take_dirty(struct keyspace *ks, uint64_t until, uint64_t *out, size_t max)
{
    size_t n = 0;
    while (n < max && !queue_empty(&ks->dirty) && ks->dirty.head < until)
        out[n++] = queue_pop(&ks->dirty);
    ks->changes++;
    return n;
}

struct dirty_item keyspace_find_dirty(struct keyspace *ks, uint64_t hash)
{
    struct entry *e = find_dirty_in(ks, ks->entries, hash);
    if (e == NULL && table_count(ks->tombs) > 0)
        e = find_dirty_in(ks, ks->tombs, hash);
    bool dirty = e != NULL && (e->flags & (ENTRY_DIRTY | ENTRY_META_DIRTY));
    if (dirty && (e->flags & (ENTRY_WRITING | ENTRY_ENCODING)))
        return (struct dirty_item){e, true};
    if (e != NULL)
        e->flags &= (uint16_t)~ENTRY_QUEUED;
    return (struct dirty_item){dirty ? e : NULL, false};
}

static void mark_item(void *arg, void *item)
{
    struct keyspace *ks = arg;
    struct entry *e = item;
    mark(ks, e, entry_hash(e, ks), entry_cold(e) ? ENTRY_META_DIRTY : ENTRY_DIRTY);
}

void keyspace_dirty_all(struct keyspace *ks)
{
    uint64_t cursor = 0;
    do
        cursor = table_scan(ks->entries, cursor, mark_item, ks);
    while (cursor != 0);
}

/* --- validation --- */

struct tally {
    struct keyspace *ks;
    uint64_t bytes, keys, cold, expires, inner, dirty, flash, cold_bytes, dirty_bytes;
};

static void tally_item(void *arg, void *item)
{
    struct tally *t = arg;
    const struct entry *e = item;
    t->bytes += entry_memory(e);
    t->dirty += (e->flags & (ENTRY_DIRTY | ENTRY_META_DIRTY)) != 0;
    t->dirty_bytes += e->flags & ENTRY_DIRTY ? entry_memory(e) : 0;
    ensure(!(e->flags & (ENTRY_DIRTY | ENTRY_META_DIRTY)) || (e->flags & ENTRY_QUEUED) || !t->ks->queue_dirty);
    if (e->flags & ENTRY_TOMB)
        return;
    ensure(t->ks->cut != NULL || !cut_wants(t->ks, e));
    t->keys++;
    t->cold += entry_cold(e);
    t->cold_bytes += entry_cold(e) ? entry_cold_size(e) : 0;
    t->expires += (e->flags & ENTRY_EXPIRES) != 0;
    t->inner += (e->flags & ENTRY_INNER) != 0;
    if (!entry_cold(e)) {
        struct value raw = entry_raw(e);
        ensure(entry_inner_expiry(e) == inner_expiry_of(&raw));
    }
    t->flash += (e->flags & ENTRY_ON_FLASH) != 0;
    ensure(!entry_cold(e) || (e->flags & ENTRY_ON_FLASH));
    ensure(!entry_cold(e) || !(e->flags & ENTRY_DIRTY));
}

static void tally_table(struct table *table, struct tally *t)
{
    uint64_t cursor = 0;
    do
        cursor = table_scan(table, cursor, tally_item, t);
    while (cursor != 0);
}

void keyspace_validate(struct keyspace *ks)
{
    struct tally t = {.ks = ks};
    table_validate(ks->entries);
    table_validate(ks->tombs);
    btree_validate(ks->expiry);
    btree_validate(ks->inner_expiry);
    tally_table(ks->entries, &t);
    tally_table(ks->tombs, &t);
    ensure(t.bytes == ks->bytes && t.keys == ks->keys && t.cold == ks->cold && t.expires == ks->expires);
    ensure(t.dirty_bytes == ks->dirty_bytes);
    ensure(t.dirty == ks->dirty_keys && t.flash == ks->flash_keys && t.cold_bytes == ks->cold_bytes);
    ensure(btree_count(ks->inner_expiry) == t.inner);
    ensure(btree_count(ks->expiry) == ks->expires && table_count(ks->entries) == ks->keys);
}
