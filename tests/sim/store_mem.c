#include "tests/sim/store_mem.h"

#include <errno.h>
#include <pthread.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

struct record {
    struct buf key, value;
};

/* Sorted by key. */
struct map {
    struct record *at;
    size_t n, cap;
};

struct store_mem {
    struct store base;
    pthread_mutex_t lock;
    struct map now, durable;
    unsigned flushes;
    int error;
};

/* Where the key is, or belongs. */
static size_t place(const struct map *m, struct slice key)
{
    size_t lo = 0, hi = m->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (slice_cmp(buf_slice(&m->at[mid].key), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool there(const struct map *m, size_t i, struct slice key)
{
    return i < m->n && slice_eq(buf_slice(&m->at[i].key), key);
}

static void map_put(struct map *m, struct slice key, struct slice value)
{
    size_t i = place(m, key);
    if (!there(m, i, key)) {
        if (m->n == m->cap) {
            size_t cap = m->cap ? m->cap * 2 : 16;
            m->at = mem_realloc(m->at, sizeof(*m->at) * m->cap, sizeof(*m->at) * cap);
            m->cap = cap;
        }
        memmove(m->at + i + 1, m->at + i, sizeof(*m->at) * (m->n++ - i));
        m->at[i] = (struct record){0};
        buf_append_slice(&m->at[i].key, key);
    }
    buf_clear(&m->at[i].value);
    buf_append_slice(&m->at[i].value, value);
}

static void map_delete(struct map *m, struct slice key)
{
    size_t i = place(m, key);
    if (!there(m, i, key))
        return;
    buf_free(&m->at[i].key);
    buf_free(&m->at[i].value);
    memmove(m->at + i, m->at + i + 1, sizeof(*m->at) * (--m->n - i));
}

static void map_free(struct map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        buf_free(&m->at[i].key);
        buf_free(&m->at[i].value);
    }
    mem_free(m->at, sizeof(*m->at) * m->cap);
    *m = (struct map){0};
}

static void map_copy(struct map *to, const struct map *from)
{
    map_free(to);
    for (size_t i = 0; i < from->n; i++)
        map_put(to, buf_slice(&from->at[i].key), buf_slice(&from->at[i].value));
}

static struct store_mem *locked(struct store *s)
{
    struct store_mem *m = (struct store_mem *)s;
    pthread_mutex_lock(&m->lock);
    return m;
}

static int unlocked(struct store_mem *m, int err)
{
    pthread_mutex_unlock(&m->lock);
    return err;
}

static int mem_write(struct store *s, const struct store_batch *b)
{
    struct store_mem *m = locked(s);
    struct slice key, value;
    size_t pos = 0;
    bool put;
    while (m->error == 0 && store_batch_next(b, &pos, &put, &key, &value)) {
        if (put)
            map_put(&m->now, key, value);
        else
            map_delete(&m->now, key);
    }
    return unlocked(m, m->error);
}

static int mem_get(struct store *s, struct slice key, struct buf *out)
{
    struct store_mem *m = locked(s);
    size_t i = place(&m->now, key);
    bool found = there(&m->now, i, key);
    buf_clear(out);
    if (found)
        buf_append_slice(out, buf_slice(&m->now.at[i].value));
    return unlocked(m, found ? 0 : -ENOENT);
}

static int mem_flush(struct store *s)
{
    struct store_mem *m = locked(s);
    map_copy(&m->durable, &m->now);
    m->flushes++;
    return unlocked(m, 0);
}

static int mem_delete_range(struct store *s, struct slice from, struct slice to)
{
    struct store_mem *m = locked(s);
    size_t i = place(&m->now, from);
    while (i < m->now.n && slice_cmp(buf_slice(&m->now.at[i].key), to) < 0)
        map_delete(&m->now, buf_slice(&m->now.at[i].key));
    return unlocked(m, 0);
}

/* `each` must not call the store. */
static int mem_scan(struct store *s, struct slice from, struct slice to,
                    int (*each)(void *arg, struct slice key, struct slice value), void *arg)
{
    struct store_mem *m = locked(s);
    int err = 0;
    for (size_t i = place(&m->now, from); err == 0 && i < m->now.n; i++) {
        struct record *r = &m->now.at[i];
        if (slice_cmp(buf_slice(&r->key), to) >= 0)
            break;
        err = each(arg, buf_slice(&r->key), buf_slice(&r->value));
    }
    return unlocked(m, err);
}

static void mem_stats_of(struct store *s, struct store_stats *out)
{
    (void)s;
    *out = (struct store_stats){0};
}

static void mem_close(struct store *s)
{
    struct store_mem *m = (struct store_mem *)s;
    map_free(&m->now);
    map_free(&m->durable);
    pthread_mutex_destroy(&m->lock);
    mem_free(m, sizeof(*m));
}

/* Snapshots come when a test needs them. */
static const struct store_ops mem_ops = {
    .name = "memory",
    .write = mem_write,
    .get = mem_get,
    .flush = mem_flush,
    .delete_range = mem_delete_range,
    .scan = mem_scan,
    .stats = mem_stats_of,
    .close = mem_close,
};

struct store *store_mem_new(void)
{
    struct store_mem *m = mem_zalloc(sizeof(*m));
    m->base.ops = &mem_ops;
    pthread_mutex_init(&m->lock, NULL);
    return &m->base;
}

void store_mem_crash(struct store *s)
{
    struct store_mem *m = locked(s);
    map_copy(&m->now, &m->durable);
    unlocked(m, 0);
}

unsigned store_mem_flushes(struct store *s)
{
    struct store_mem *m = locked(s);
    unsigned n = m->flushes;
    unlocked(m, 0);
    return n;
}

void store_mem_fail(struct store *s, int error)
{
    struct store_mem *m = locked(s);
    m->error = error;
    unlocked(m, 0);
}
