/* A sorted array of reference-counted keys and values: copies (what is durable, snapshots) are cheap enough for tests.
 * What was written since the last flush is kept as a journal; a crash plays a prefix of it onto what is durable. */
#include "tests/sim/store_mem.h"

#include <errno.h>
#include <pthread.h>

#include "core/base/blob.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/base/rng.h"

struct item {
    struct blob *key, *value;
};

struct map {
    struct item *items; /* in the order of their keys */
    size_t n, cap;
};

/* One write: a batch, or a range deletion (its two ends are the keys of two deletions). */
struct journal_entry {
    bool range;
    struct store_batch batch;
};

struct store_mem_disk {
    struct map durable;
    struct rng rng;
    bool open;
};

struct store_mem {
    struct store base;
    struct store_mem_disk *disk;
    pthread_mutex_t lock;
    struct map now;
    struct journal_entry *journal;
    size_t journal_n, journal_cap;
    uint64_t fail_in[STORE_MEM_CALLS];
    int fail_with[STORE_MEM_CALLS];
    uint64_t written, snapshots;
};

struct store_snapshot {
    struct map map;
};

static const struct store_ops mem_ops;

/* --- the map --- */

/* The place of the first key at or behind `key`. */
static size_t lower_bound(const struct map *m, struct slice key)
{
    size_t from = 0, to = m->n;
    while (from < to) {
        size_t mid = (from + to) / 2;
        if (slice_cmp(blob_slice(m->items[mid].key), key) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static bool is_at(const struct map *m, size_t at, struct slice key)
{
    return at < m->n && slice_eq(blob_slice(m->items[at].key), key);
}

static void map_put(struct map *m, struct slice key, struct slice value)
{
    size_t at = lower_bound(m, key);
    if (is_at(m, at, key)) {
        blob_unref(m->items[at].value);
        m->items[at].value = blob_copy(value, value.len);
        return;
    }
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 16;
        m->items = mem_realloc(m->items, m->cap * sizeof(struct item), cap * sizeof(struct item));
        m->cap = cap;
    }
    memmove(m->items + at + 1, m->items + at, (m->n - at) * sizeof(struct item));
    m->items[at] = (struct item){blob_copy(key, key.len), blob_copy(value, value.len)};
    m->n++;
}

static void map_remove(struct map *m, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        blob_unref(m->items[i].key);
        blob_unref(m->items[i].value);
    }
    if (to > from)
        memmove(m->items + from, m->items + to, (m->n - to) * sizeof(struct item));
    m->n -= to - from;
}

static void map_delete_range(struct map *m, struct slice from, struct slice to)
{
    size_t first = lower_bound(m, from), last = lower_bound(m, to);
    if (first < last)
        map_remove(m, first, last);
}

static void map_free(struct map *m)
{
    map_remove(m, 0, m->n);
    mem_free(m->items, m->cap * sizeof(struct item));
    *m = (struct map){0};
}

static struct map map_copy(const struct map *m)
{
    struct map copy = {mem_alloc(m->n * sizeof(struct item)), m->n, m->n};
    for (size_t i = 0; i < m->n; i++)
        copy.items[i] = (struct item){blob_ref(m->items[i].key), blob_ref(m->items[i].value)};
    if (m->n == 0)
        map_free(&copy);
    return copy;
}

static int map_get(const struct map *m, struct slice key, struct buf *out)
{
    size_t at = lower_bound(m, key);
    buf_clear(out);
    if (!is_at(m, at, key))
        return -ENOENT;
    buf_append_slice(out, blob_slice(m->items[at].value));
    return 0;
}

static void apply(struct map *m, const struct journal_entry *e)
{
    struct slice key, value, to;
    size_t pos = 0;
    bool put;
    while (store_batch_next(&e->batch, &pos, &put, &key, &value)) {
        if (e->range) {
            ensure(store_batch_next(&e->batch, &pos, &put, &to, &value));
            map_delete_range(m, key, to);
        } else if (put) {
            map_put(m, key, value);
        } else if (is_at(m, lower_bound(m, key), key)) {
            map_remove(m, lower_bound(m, key), lower_bound(m, key) + 1);
        }
    }
}

/* --- the disk --- */

struct store_mem_disk *store_mem_disk_new(uint64_t seed)
{
    struct store_mem_disk *d = mem_zalloc(sizeof(*d));
    rng_seed(&d->rng, seed);
    return d;
}

void store_mem_disk_free(struct store_mem_disk *d)
{
    ensure(!d->open);
    map_free(&d->durable);
    mem_free(d, sizeof(*d));
}

struct store *store_mem_open(struct store_mem_disk *d)
{
    struct store_mem *s = mem_zalloc(sizeof(*s));
    ensure(!d->open);
    d->open = true;
    s->base.ops = &mem_ops;
    s->disk = d;
    s->now = map_copy(&d->durable);
    pthread_mutex_init(&s->lock, NULL);
    return &s->base;
}

/* The first `n` writes since the last flush are durable. */
static void make_durable(struct store_mem *s, size_t n)
{
    for (size_t i = 0; i < s->journal_n; i++) {
        if (i < n)
            apply(&s->disk->durable, &s->journal[i]);
        store_batch_free(&s->journal[i].batch);
    }
    s->journal_n = 0;
}

static void let_go(struct store_mem *s)
{
    ensure(s->snapshots == 0);
    map_free(&s->now);
    mem_free(s->journal, s->journal_cap * sizeof(*s->journal));
    pthread_mutex_destroy(&s->lock);
    s->disk->open = false;
    mem_free(s, sizeof(*s));
}

void store_mem_crash(struct store *base)
{
    struct store_mem *s = (struct store_mem *)base;
    make_durable(s, rng_below(&s->disk->rng, s->journal_n + 1));
    let_go(s);
}

static void mem_close(struct store *base)
{
    struct store_mem *s = (struct store_mem *)base;
    make_durable(s, s->journal_n);
    let_go(s);
}

/* --- the store --- */

void store_mem_fail(struct store *base, enum store_mem_call kind, uint64_t n, int error)
{
    struct store_mem *s = (struct store_mem *)base;
    pthread_mutex_lock(&s->lock);
    s->fail_in[kind] = n;
    s->fail_with[kind] = error;
    pthread_mutex_unlock(&s->lock);
}

/* Takes the lock; 0, or the failure asked for, and then the lock is not held. */
static int enter(struct store_mem *s, enum store_mem_call kind)
{
    pthread_mutex_lock(&s->lock);
    if (s->fail_in[kind] == 0 || --s->fail_in[kind] > 0)
        return 0;
    int err = s->fail_with[kind];
    pthread_mutex_unlock(&s->lock);
    return err;
}

static int leave(struct store_mem *s, int err)
{
    pthread_mutex_unlock(&s->lock);
    return err;
}

static struct journal_entry *journal_add(struct store_mem *s, bool range)
{
    if (s->journal_n == s->journal_cap) {
        size_t cap = s->journal_cap ? s->journal_cap * 2 : 16;
        s->journal = mem_realloc(s->journal, s->journal_cap * sizeof(*s->journal), cap * sizeof(*s->journal));
        s->journal_cap = cap;
    }
    struct journal_entry *e = &s->journal[s->journal_n++];
    *e = (struct journal_entry){.range = range};
    return e;
}

static int mem_write(struct store *base, struct store_batch *b)
{
    struct store_mem *s = (struct store_mem *)base;
    int err = enter(s, STORE_MEM_WRITE);
    if (err < 0)
        return err;
    struct journal_entry *e = journal_add(s, false);
    buf_append_slice(&e->batch.ops, buf_slice(&b->ops));
    e->batch.count = b->count;
    s->written += b->ops.len;
    apply(&s->now, e);
    return leave(s, 0);
}

static int mem_delete_range(struct store *base, struct slice from, struct slice to)
{
    struct store_mem *s = (struct store_mem *)base;
    int err = enter(s, STORE_MEM_DELETE_RANGE);
    if (err < 0)
        return err;
    struct journal_entry *e = journal_add(s, true);
    store_batch_delete(&e->batch, from);
    store_batch_delete(&e->batch, to);
    apply(&s->now, e);
    return leave(s, 0);
}

static int mem_get(struct store *base, struct slice key, struct buf *out)
{
    struct store_mem *s = (struct store_mem *)base;
    int err = enter(s, STORE_MEM_GET);
    buf_clear(out);
    return err < 0 ? err : leave(s, map_get(&s->now, key, out));
}

struct store_cursor {
    struct store_snapshot *snap;
    struct buf value;
};

static struct store_cursor *mem_cursor(struct store *base, struct store_snapshot *snap)
{
    struct store_cursor *c = mem_zalloc(sizeof(*c));
    (void)base;
    c->snap = snap;
    return c;
}

static int mem_seek(struct store *base, struct store_cursor *c, struct slice key, struct slice *value)
{
    struct store_mem *s = (struct store_mem *)base;
    int err = enter(s, STORE_MEM_GET);
    buf_clear(&c->value);
    err = err < 0 ? err : leave(s, map_get(&c->snap->map, key, &c->value));
    *value = buf_slice(&c->value);
    return err;
}

static void mem_cursor_free(struct store *base, struct store_cursor *c)
{
    (void)base;
    buf_free(&c->value);
    mem_free(c, sizeof(*c));
}

static int mem_flush(struct store *base)
{
    struct store_mem *s = (struct store_mem *)base;
    int err = enter(s, STORE_MEM_FLUSH);
    if (err < 0)
        return err;
    make_durable(s, s->journal_n);
    return leave(s, 0);
}

/* Over a copy: `each` may use the store. */
static int mem_scan(struct store *base, struct slice from, struct slice to,
                    int (*each)(void *arg, struct slice key, struct slice value), void *arg)
{
    struct store_mem *s = (struct store_mem *)base;
    int err = enter(s, STORE_MEM_SCAN);
    if (err < 0)
        return err;
    struct map copy = map_copy(&s->now);
    leave(s, 0);
    for (size_t i = lower_bound(&copy, from); err == 0 && i < lower_bound(&copy, to); i++)
        err = each(arg, blob_slice(copy.items[i].key), blob_slice(copy.items[i].value));
    map_free(&copy);
    return err;
}

static struct store_snapshot *mem_snapshot(struct store *base)
{
    struct store_mem *s = (struct store_mem *)base;
    struct store_snapshot *snap = mem_alloc(sizeof(*snap));
    pthread_mutex_lock(&s->lock);
    snap->map = map_copy(&s->now);
    s->snapshots++;
    pthread_mutex_unlock(&s->lock);
    return snap;
}

static void mem_release(struct store *base, struct store_snapshot *snap)
{
    struct store_mem *s = (struct store_mem *)base;
    pthread_mutex_lock(&s->lock);
    map_free(&snap->map);
    s->snapshots--;
    pthread_mutex_unlock(&s->lock);
    mem_free(snap, sizeof(*snap));
}

static void mem_store_stats(struct store *base, struct store_stats *out)
{
    struct store_mem *s = (struct store_mem *)base;
    uint64_t bytes = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->disk->durable.n; i++)
        bytes += s->disk->durable.items[i].key->len + s->disk->durable.items[i].value->len;
    *out = (struct store_stats){.bytes_on_disk = bytes, .bytes_current = bytes, .written_user = s->written};
    pthread_mutex_unlock(&s->lock);
}

static const struct store_ops mem_ops = {
    .name = "memory",
    .write = mem_write,
    .get = mem_get,
    .flush = mem_flush,
    .delete_range = mem_delete_range,
    .scan = mem_scan,
    .snapshot = mem_snapshot,
    .release = mem_release,
    .cursor = mem_cursor,
    .seek = mem_seek,
    .cursor_free = mem_cursor_free,
    .stats = mem_store_stats,
    .close = mem_close,
};
