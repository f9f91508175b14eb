/* The cut, the walks of the shards, and what they hand over. */

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/keyspace/cut.h"
#include "server/dispatch.h"
#include "server/lazy.h"
#include "server/snapshot_impl.h"

#define CHUNK_BYTES (64 * KIB)   /* handed over at once … */
#define CHUNK_VALUES (256 * KIB) /* … or so much, with the values that are on flash */
#define SLICE_STEPS 48           /* some 300 keys */
#define SLICE_BYTES (64 * KIB)
#define LARGE (64 * KIB) /* a value that has to be encoded, which is done in parts */
#define PART_BYTES (64 * KIB)
#define FROM_FLASH 4096 /* a value in RAM from this size on is read from flash, if it is there too */
#define QUEUED_MIN (MIB)
#define QUEUED_MAX (16 * MIB)
#define WAIT_US 200

/* One keyspace of one shard. */
struct walk {
    struct cut cut;
    struct snapshot_part *part;
    uint32_t db;
    bool orphan; /* flushed away: ours */
};

/* A large entry that the walk has put off, or that a writer waits for. One that is deleted meanwhile leaves its value
 * here: to encode it in one go would take long, and nobody else needs it. */
struct large {
    struct large *next;
    struct walk *walk;
    bool deleted;
    struct value value; /* then ours, as are the two below */
    uint64_t value_bytes;
    struct buf item; /* without its payload */
    uint32_t name_len;
    uint8_t name[];
};

/* One shard's part: belongs to the shard's data. */
struct snapshot_part {
    cache_aligned struct snapshot *snapshot;
    struct shard *shard;
    struct walk *walks; /* by database; those with a keyspace that held keys */
    unsigned n, at;
    struct buf building;
    size_t stored;                    /* items of it that are on flash */
    uint64_t stored_bytes;            /* what their values take in RAM */
    struct large *large, **large_end; /* empty when the walk goes on */
    struct buf encoded;               /* of the first of them, as an item, as far as it is done */
    uint64_t encode_cursor;
    uint64_t given; /* bytes handed over */
    bool walking;   /* the walk at `at` has not come to its end */
    bool paused;    /* it was crowded at the last slice */
};

struct snapshot *snapshot_new(struct server *server)
{
    struct snapshot *sn = mem_zalloc(sizeof(*sn));
    size_t databases = (size_t)server->config->databases;
    sn->server = server;
    sn->sizes = mem_zalloc(sizeof(*sn->sizes) * databases);
    sn->parts = mem_alloc_aligned(sizeof(*sn->parts) * server->nshards, 64);
    memset(sn->parts, 0, sizeof(*sn->parts) * server->nshards);
    for (unsigned i = 0; i < server->nshards; i++) {
        sn->parts[i].snapshot = sn;
        sn->parts[i].shard = server->shards[i];
        sn->parts[i].walks = mem_zalloc(sizeof(struct walk) * databases);
        sn->parts[i].large_end = &sn->parts[i].large;
    }
    pthread_mutex_init(&sn->lock, NULL);
    pthread_cond_init(&sn->more, NULL);
    return sn;
}

void snapshot_free(struct snapshot *sn)
{
    size_t databases = (size_t)sn->server->config->databases;
    ensure(!snapshot_busy(sn) && sn->first == NULL);
    for (unsigned i = 0; i < sn->server->nshards; i++) {
        mem_free(sn->parts[i].walks, sizeof(struct walk) * databases);
        buf_free(&sn->parts[i].building);
        buf_free(&sn->parts[i].encoded);
    }
    mem_free_aligned(sn->parts, sizeof(*sn->parts) * sn->server->nshards, 64);
    mem_free(sn->sizes, sizeof(*sn->sizes) * databases);
    pthread_mutex_destroy(&sn->lock);
    pthread_cond_destroy(&sn->more);
    mem_free(sn, sizeof(*sn));
}

bool snapshot_wanted(const struct snapshot *sn) { return !snapshot_abandoned(sn); }
bool snapshot_busy(const struct snapshot *sn) { return atomic_load(&sn->consuming) || atomic_load(&sn->left) > 0; }

/* --- handing over --- */

static void post(struct snapshot_part *p)
{
    snapshot_give(p->snapshot, &p->building, p->stored, p->stored_bytes);
    p->stored = 0;
    p->stored_bytes = 0;
}

/* What the policy of its database knows of an entry's use, as Redis tells it. */
static void put_heat(const struct shard *s, uint32_t db, const struct entry *e, struct snapshot_item *item)
{
    int policy = s->server->config->db[db].eviction;
    if (policy == EVICT_ALLKEYS_LRU || policy == EVICT_VOLATILE_LRU)
        item->idle_s = temperature_idle_s(&s->temperature[db], e->temperature);
    else if (policy == EVICT_ALLKEYS_LFU || policy == EVICT_VOLATILE_LFU)
        item->freq = temperature_freq(&s->temperature[db], e->temperature);
}

static bool from_flash(const struct keyspace *ks, const struct entry *e)
{
    return cut_on_flash(ks, e) && (entry_cold(e) || keyspace_ram_bytes(e) >= FROM_FLASH);
}

static bool is_large(const struct keyspace *ks, const struct entry *e)
{
    return !cut_on_flash(ks, e) && keyspace_ram_bytes(e) >= LARGE;
}

/* Appends an item without its payload, and then its payload's first byte, the type, if there is to be one. */
static void put_item(struct buf *b, const struct walk *w, const struct entry *e, bool flash)
{
    const struct keyspace *ks = w->cut.ks;
    struct slice name = entry_key(e);
    struct snapshot_item item = {.space = ks->id,
                                 .expire_ms = entry_expiry(e),
                                 .idle_s = -1,
                                 .freq = -1,
                                 .db = w->db,
                                 .name_len = (uint32_t)name.len,
                                 .hash = flash ? key_of(ks, name).hash : 0};
    put_heat(w->part->shard, w->db, e, &item);
    if (flash) {
        w->part->stored++;
        w->part->stored_bytes += keyspace_ram_bytes(e);
    }
    buf_append(b, &item, sizeof(item));
    buf_append_slice(b, name);
}

static void patch(struct buf *b, size_t item_at, size_t field, const void *p, size_t len)
{
    memcpy(b->p + item_at + field, p, len);
}

static void put_encoded(struct buf *b, const struct walk *w, const struct entry *e)
{
    size_t at = b->len;
    put_item(b, w, e, false);
    size_t from = b->len;
    struct value v = entry_value(e);
    value_encode(&v, b);
    uint64_t len = b->len - from;
    patch(b, at, offsetof(struct snapshot_item, payload_len), &len, sizeof(len));
}

/* A large value whose write has just completed is read from flash as it is now: if what has changed since is known. In
 * a database that is neither logged nor tiered, since a SWAPDB while it was written, it is not. */
static void put_late(struct buf *b, const struct walk *w, const struct entry *e)
{
    struct store *store = w->part->shard->server->store;
    struct store_snapshot *late = store->ops->snapshot(store);
    size_t at = b->len;
    put_item(b, w, e, true);
    patch(b, at, offsetof(struct snapshot_item, late), &late, sizeof(late));
}

static struct large *put_off(struct walk *w, const struct entry *e)
{
    struct snapshot_part *p = w->part;
    struct slice name = entry_key(e);
    struct large *l = mem_alloc(sizeof(*l) + name.len);
    *l = (struct large){.walk = w, .name_len = (uint32_t)name.len};
    memcpy(l->name, name.p, name.len);
    *p->large_end = l;
    p->large_end = &l->next;
    return l;
}

static struct large *find_large(const struct walk *w, struct slice name)
{
    struct large *l = w->part->large;
    while (l != NULL && !(l->walk == w && slice_eq(slice_of(l->name, l->name_len), name)))
        l = l->next;
    return l;
}

/* Parts of it that have been encoded already stand. */
static void keep_deleted(struct walk *w, const struct entry *e)
{
    struct large *l = find_large(w, entry_key(e));
    if (l == NULL)
        l = put_off(w, e);
    l->deleted = true;
    l->value = entry_value(e);
    l->value_bytes = keyspace_ram_bytes(e);
    put_item(&l->item, w, e, false);
}

static bool hand_over(struct cut *c, const struct entry *e, enum cut_why why)
{
    struct walk *w = container_of(c, struct walk, cut);
    struct snapshot_part *p = w->part;
    struct buf *b = &p->building;
    size_t before = b->len;
    if (snapshot_abandoned(p->snapshot))
        return true;
    bool large = is_large(c->ks, e);
    if (large && why == CUT_WALK) {
        put_off(w, e);
        return false;
    }
    if (large && why == CUT_DELETE) {
        keep_deleted(w, e);
        c->took = true;
        return true;
    }
    if (from_flash(c->ks, e))
        put_item(b, w, e, true);
    else if (large && why == CUT_CLEANED && c->ks->track && !entry_cold(e) && !(e->flags & ENTRY_DIRTY))
        put_late(b, w, e);
    else
        put_encoded(b, w, e);
    p->given += b->len - before;
    if (b->len >= CHUNK_BYTES || p->stored_bytes >= CHUNK_VALUES)
        post(p);
    return true;
}

/* --- large entries --- */

static void free_large(struct large *l, struct lazy *lazy)
{
    if (l->deleted && lazy != NULL)
        lazy_free_value(lazy, &l->value, l->value_bytes);
    else if (l->deleted)
        value_release(&l->value);
    buf_free(&l->item);
    mem_free(l, sizeof(*l) + l->name_len);
}

static void drop_first_large(struct snapshot_part *p)
{
    struct large *l = p->large;
    p->large = l->next;
    if (p->large == NULL)
        p->large_end = &p->large;
    free_large(l, p->shard->server->lazy);
    buf_reset(&p->encoded, 0);
    p->encode_cursor = 0;
    p->shard->retry_now = true; /* somebody may have waited for it */
}

/* The next part of its payload. True when it was the last. `e` is NULL if it has been deleted. */
static bool encode_part(struct snapshot_part *p, const struct large *l, const struct entry *e)
{
    struct buf *b = &p->encoded;
    struct value v = e != NULL ? entry_value(e) : l->value;
    size_t before = b->len;
    if (b->len == 0) {
        /* growing would copy; what is not touched is not resident */
        buf_reserve(b, e != NULL ? keyspace_ram_bytes(e) : l->value_bytes);
        if (e != NULL)
            put_item(b, l->walk, e, false);
        else
            buf_append_slice(b, buf_slice(&l->item));
        buf_append_byte(b, 0);
    }
    size_t type_at = sizeof(struct snapshot_item) + l->name_len;
    uint8_t type = value_class_of(v.type)->encode(&v, &p->encode_cursor, b, PART_BYTES);
    b->p[type_at] = type;
    p->given += b->len - before;
    if (p->encode_cursor != 0)
        return false;
    uint64_t len = b->len - type_at;
    patch(b, 0, offsetof(struct snapshot_item, payload_len), &len, sizeof(len));
    return true;
}

/* Its item makes a chunk of its own: it is not copied. */
static void post_encoded(struct snapshot_part *p)
{
    if (p->building.len > 0)
        post(p);
    buf_free(&p->building);
    p->building = p->encoded;
    p->encoded = (struct buf){0};
    post(p);
}

/* Whether the entry, which lives, is still to be handed over in parts. It may have been handed over in one go, by a
 * change that did not wait, or have become cold. */
static bool still_large(struct snapshot_part *p, struct keyspace *ks, struct entry *e)
{
    if (e == NULL || !cut_wants(ks, e))
        return false;
    if (is_large(ks, e) && !snapshot_abandoned(p->snapshot))
        return true;
    cut_touch(ks, e, CUT_CHANGE);
    return false;
}

/* A part of the first large entry. */
static void step_large(struct snapshot_part *p)
{
    struct large *l = p->large;
    struct keyspace *ks = l->walk->cut.ks;
    struct entry *e = NULL;
    bool wanted = l->deleted && !snapshot_abandoned(p->snapshot);
    if (!l->deleted) {
        e = keyspace_find(ks, key_of(ks, slice_of(l->name, l->name_len)));
        wanted = still_large(p, ks, e);
    }
    if (wanted && !encode_part(p, l, e))
        return;
    if (wanted && e != NULL)
        cut_done(e);
    if (wanted)
        post_encoded(p);
    drop_first_large(p);
}

bool snapshot_makes_wait(struct shard *s, const struct keyspace *ks, const struct entry *e)
{
    struct snapshot_part *p = s->cut_part;
    if (p == NULL || ks->cut == NULL || !cut_wants(ks, e) || snapshot_abandoned(p->snapshot))
        return false;
    if (!is_large(ks, e))
        return snapshot_crowded(p->snapshot);
    struct walk *w = container_of(ks->cut, struct walk, cut);
    if (find_large(w, entry_key(e)) == NULL)
        put_off(w, e);
    return true;
}

/* --- the cut --- */

static void begin_part(struct snapshot *sn, struct snapshot_part *p)
{
    struct shard *s = p->shard;
    p->n = p->at = 0;
    p->paused = false;
    p->walking = true;
    for (uint32_t db = 0; db < (uint32_t)sn->server->config->databases; db++) {
        struct keyspace *ks = s->spaces[db];
        if (ks->keys == 0)
            continue;
        struct walk *w = &p->walks[p->n++];
        *w = (struct walk){.part = p, .db = db};
        cut_begin(&w->cut, ks, hand_over);
        sn->sizes[db].keys += ks->keys;
        sn->sizes[db].expires += ks->expires;
        sn->keys += ks->keys;
    }
    s->cut_part = p;
}

void snapshot_begin(struct snapshot *sn)
{
    struct server *server = sn->server;
    ensure(!snapshot_busy(sn));
    sn->lsn = log_appended(server->log);
    sn->wall_ms = clock_wall_ms(server->clock);
    sn->keys = 0;
    sn->limit = server->config->maxmemory == 0
                    ? QUEUED_MAX
                    : max_u64(QUEUED_MIN, min_u64(QUEUED_MAX, server->config->maxmemory / 64));
    memset(sn->sizes, 0, sizeof(*sn->sizes) * (size_t)server->config->databases);
    atomic_store(&sn->abandoned, false);
    atomic_store(&sn->taken, 0);
    sn->store = server->store->ops->snapshot(server->store);
    atomic_store(&sn->consuming, true);
    atomic_store(&sn->left, server->nshards);
    for (unsigned i = 0; i < server->nshards; i++) {
        ensure(stage_empty(&server->shards[i]->stage));
        begin_part(sn, &sn->parts[i]);
    }
    for (unsigned i = 0; i < server->nshards; i++)
        loop_wake(server->shards[i]->loop);
}

/* --- walking --- */

static void end_walk(struct snapshot_part *p, struct walk *w)
{
    struct lazy *lazy = p->shard->server->lazy;
    if (!w->orphan)
        return;
    if (lazy != NULL)
        lazy_free_keyspace(lazy, w->cut.ks);
    else
        keyspace_free(w->cut.ks);
}

/* This one is done, and so is what it has put off. */
static void next_walk(struct snapshot_part *p)
{
    struct walk *w = &p->walks[p->at++];
    cut_end(&w->cut);
    end_walk(p, w);
    p->walking = true;
}

static void end_part(struct snapshot_part *p)
{
    struct snapshot *sn = p->snapshot;
    if (p->building.len > 0)
        post(p);
    p->shard->cut_part = NULL;
    p->shard->retry_now = true;
    pthread_mutex_lock(&sn->lock);
    atomic_fetch_sub(&sn->left, 1);
    pthread_cond_signal(&sn->more);
    pthread_mutex_unlock(&sn->lock);
}

/* True if the part is not at its end. */
static bool walk(struct snapshot_part *p, unsigned steps, size_t bytes)
{
    uint64_t until = p->given + bytes;
    while (p->at < p->n) {
        if (p->large != NULL)
            step_large(p);
        else if (p->walking && !cut_step(&p->walks[p->at].cut))
            p->walking = false;
        else if (!p->walking)
            next_walk(p);
        if (--steps == 0 || p->given >= until)
            return true;
    }
    end_part(p);
    return false;
}

bool snapshot_slice(struct shard *s)
{
    struct snapshot_part *p = s->cut_part;
    if (likely(p == NULL))
        return false;
    if (snapshot_crowded(p->snapshot)) {
        p->paused = true;
        return false;
    }
    if (p->paused)
        s->retry_now = true;
    p->paused = false;
    return walk(p, SLICE_STEPS, SLICE_BYTES);
}

void snapshot_walk_all(struct snapshot *sn)
{
    for (unsigned i = 0; i < sn->server->nshards; i++)
        while (sn->parts[i].shard->cut_part != NULL && walk(&sn->parts[i], SLICE_STEPS, SLICE_BYTES))
            while (snapshot_crowded(sn))
                sn->server->clock->sleep_us(sn->server->clock, WAIT_US);
}

bool snapshot_keep(struct shard *s, struct keyspace *ks)
{
    struct snapshot_part *p = s->cut_part;
    if (likely(ks->cut == NULL))
        return false;
    ensure(p != NULL);
    container_of(ks->cut, struct walk, cut)->orphan = true;
    return true;
}

void snapshot_end_walks(struct snapshot *sn)
{
    snapshot_abandon(sn);
    for (unsigned i = 0; i < sn->server->nshards; i++)
        while (sn->parts[i].shard->cut_part != NULL)
            walk(&sn->parts[i], UINT32_MAX, SIZE_MAX / 2);
}

void snapshot_about(const struct snapshot *sn, struct snapshot_about *out)
{
    *out = (struct snapshot_about){
        .lsn = sn->lsn, .wall_ms = sn->wall_ms, .keys = sn->keys, .taken = atomic_load(&sn->taken)};
}

void snapshot_sizes(const struct snapshot *sn, uint32_t db, uint64_t *keys, uint64_t *expires)
{
    *keys = sn->sizes[db].keys;
    *expires = sn->sizes[db].expires;
}
