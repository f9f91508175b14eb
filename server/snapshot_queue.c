/* Chunks on their way from the shards to the consumer. Values that are on flash are read meanwhile, by the pool. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/snapshot_impl.h"
#include "tier/record.h"

#define READERS 4 /* chunks whose values are being read: the rest of the pool is left to clients */

bool snapshot_crowded(const struct snapshot *sn)
{
    return atomic_load_explicit(&sn->queued, memory_order_relaxed) >= sn->limit && !snapshot_abandoned(sn);
}

/* The next item of a chunk; false at the end. */
static bool next_item(struct snapshot_chunk *c, struct snapshot_item *item, struct slice *name, struct slice *payload)
{
    if (c->at == c->bytes.len)
        return false;
    struct reader r = reader_of(slice_of(c->bytes.p + c->at, c->bytes.len - c->at));
    memcpy(item, reader_bytes(&r, sizeof(*item)).p, sizeof(*item));
    *name = reader_bytes(&r, item->name_len);
    *payload = reader_bytes(&r, item->payload_len);
    ensure(!r.bad);
    c->at = (size_t)(r.p - c->bytes.p);
    return true;
}

static void free_chunk(struct snapshot *sn, struct snapshot_chunk *c)
{
    struct snapshot_item item;
    struct slice name, payload;
    for (c->at = 0; next_item(c, &item, &name, &payload);)
        if (item.late != NULL)
            sn->server->store->ops->release(sn->server->store, item.late);
    for (size_t i = 0; c->values != NULL && i < c->stored; i++)
        buf_free(&c->values[i]);
    mem_free(c->values, c->stored * sizeof(*c->values));
    buf_free(&c->bytes);
    mem_free(c, sizeof(*c));
}

/* --- values on flash --- */

static int read_value(struct snapshot *sn, struct store_cursor *from, const struct snapshot_item *item,
                      struct slice name, struct buf *store_key, struct buf *payload)
{
    struct store *store = sn->server->store;
    struct slice record;
    uint64_t stamp;
    record_value_key(store_key, item->space, (struct key){name, item->hash});
    int err = store->ops->seek(store, from, buf_slice(store_key), &record);
    if (err == 0)
        err = record_value_decode(buf_slice(store_key), record, trainer_dictionaries(sn->server->trainer), &stamp,
                                  payload);
    return err;
}

static int read_late(struct snapshot *sn, const struct snapshot_item *item, struct slice name, struct buf *store_key,
                     struct buf *payload)
{
    struct store *store = sn->server->store;
    struct store_cursor *from = store->ops->cursor(store, item->late);
    int err = read_value(sn, from, item, name, store_key, payload);
    store->ops->cursor_free(store, from);
    return err;
}

struct wanted {
    struct snapshot_item item;
    struct slice name;
    size_t index; /* among the chunk's items that are on flash */
};

static int flash_order(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    return x->item.hash < y->item.hash ? -1 : x->item.hash > y->item.hash;
}

static struct wanted *wanted_of(struct snapshot_chunk *c)
{
    struct wanted *all = mem_alloc(c->stored * sizeof(*all)), *next = all;
    struct slice payload;
    while (next < all + c->stored && next_item(c, &next->item, &next->name, &payload))
        if (next->item.payload_len == 0) {
            next->index = (size_t)(next - all);
            next++;
        }
    c->at = 0;
    qsort(all, c->stored, sizeof(*all), flash_order);
    return all;
}

/* Reads the values of a chunk that are on flash, in its order: that of the walk, but for neighbours. */
static void read_chunk(struct snapshot *sn, struct snapshot_chunk *c)
{
    struct store *store = sn->server->store;
    struct store_cursor *cursor = store->ops->cursor(store, sn->store);
    struct wanted *all = wanted_of(c);
    struct buf store_key = {0};
    c->values = mem_zalloc(c->stored * sizeof(*c->values));
    for (size_t i = 0; i < c->stored && c->error == 0; i++) {
        const struct wanted *w = &all[i];
        struct buf *to = &c->values[w->index];
        c->error = snapshot_abandoned(sn) ? -ECANCELED
                   : w->item.late != NULL ? read_late(sn, &w->item, w->name, &store_key, to)
                                          : read_value(sn, cursor, &w->item, w->name, &store_key, to);
    }
    buf_free(&store_key);
    mem_free(all, c->stored * sizeof(*all));
    store->ops->cursor_free(store, cursor);
}

static void read_run(struct pool_job *job);

/* With the lock. */
static void read_ahead(struct snapshot *sn)
{
    struct snapshot_chunk *c = sn->unread;
    while (c != NULL && sn->reading < READERS) {
        if (c->state == CHUNK_UNREAD) {
            c->state = CHUNK_READING;
            c->job.run = read_run;
            sn->reading++;
            pool_submit(sn->server->pool, POOL_READ, &c->job);
        }
        c = c->next;
    }
    sn->unread = c;
}

static void read_run(struct pool_job *job)
{
    struct snapshot_chunk *c = container_of(job, struct snapshot_chunk, job);
    struct snapshot *sn = c->snapshot;
    read_chunk(sn, c);
    pthread_mutex_lock(&sn->lock);
    bool orphan = c->orphan;
    c->state = CHUNK_READY;
    if (!orphan) {
        sn->reading--;
        read_ahead(sn);
        pthread_cond_signal(&sn->more);
    }
    pthread_mutex_unlock(&sn->lock);
    if (!orphan)
        return;
    free_chunk(sn, c);
    pthread_mutex_lock(&sn->lock);
    sn->reading--;
    pthread_cond_signal(&sn->more);
    pthread_mutex_unlock(&sn->lock);
}

/* --- the queue --- */

void snapshot_give(struct snapshot *sn, struct buf *bytes, size_t stored, uint64_t stored_bytes)
{
    struct snapshot_chunk *c = mem_zalloc(sizeof(*c));
    c->snapshot = sn;
    c->bytes = *bytes;
    c->stored = stored;
    c->weight = bytes->len + stored_bytes;
    c->state = stored > 0 ? CHUNK_UNREAD : CHUNK_READY;
    *bytes = (struct buf){0};
    pthread_mutex_lock(&sn->lock);
    bool wanted = !snapshot_abandoned(sn);
    if (wanted) {
        fifo_push(sn, c);
        if (sn->unread == NULL)
            sn->unread = c;
        atomic_fetch_add(&sn->queued, c->weight);
        read_ahead(sn);
        pthread_cond_signal(&sn->more);
    }
    pthread_mutex_unlock(&sn->lock);
    if (!wanted)
        free_chunk(sn, c);
}

void snapshot_abandon(struct snapshot *sn)
{
    pthread_mutex_lock(&sn->lock);
    struct snapshot_chunk *c = sn->first;
    sn->first = sn->last = sn->unread = NULL;
    for (struct snapshot_chunk *o = c; o != NULL; o = o->next)
        o->orphan = o->state == CHUNK_READING;
    atomic_store(&sn->abandoned, true);
    atomic_store(&sn->queued, 0);
    pthread_cond_signal(&sn->more);
    struct snapshot_chunk *mine = NULL; /* the others are freed by who reads them */
    for (struct snapshot_chunk *next; c != NULL; c = next) {
        next = c->next;
        if (c->orphan)
            continue;
        c->next = mine;
        mine = c;
    }
    pthread_mutex_unlock(&sn->lock);
    for (struct snapshot_chunk *next; mine != NULL; mine = next) {
        next = mine->next;
        free_chunk(sn, mine);
    }
}

/* --- the consumer --- */

struct snapshot_chunk *snapshot_take(struct snapshot *sn)
{
    pthread_mutex_lock(&sn->lock);
    while (sn->first != NULL ? sn->first->state != CHUNK_READY : atomic_load(&sn->left) > 0 && !snapshot_abandoned(sn))
        pthread_cond_wait(&sn->more, &sn->lock);
    struct snapshot_chunk *c = sn->first;
    if (c != NULL)
        fifo_pop(sn);
    pthread_mutex_unlock(&sn->lock);
    return c;
}

/* The next value that was on flash; the one before is not needed any more. */
static int take_stored(struct snapshot_chunk *c, struct slice *payload)
{
    if (c->taken > 0)
        buf_free(&c->values[c->taken - 1]);
    *payload = buf_slice(&c->values[c->taken++]);
    return c->error;
}

int snapshot_next(struct snapshot *sn, struct snapshot_chunk *c, struct rdb_entry *e)
{
    struct snapshot_item item;
    struct slice name, payload;
    int err = 0;
    if (!next_item(c, &item, &name, &payload))
        return 0;
    if (item.payload_len == 0) {
        err = take_stored(c, &payload);
    }
    *e = (struct rdb_entry){.db = item.db,
                            .name = name,
                            .expire_ms = item.expire_ms,
                            .idle_s = item.idle_s,
                            .freq = item.freq,
                            .payload = payload};
    atomic_fetch_add_explicit(&sn->taken, 1, memory_order_relaxed);
    return err < 0 ? err : 1;
}

/* Shards that paused are woken when half of the room is there again. */
void snapshot_give_back(struct snapshot *sn, struct snapshot_chunk *c)
{
    uint64_t weight = c->weight;
    pthread_mutex_lock(&sn->lock);
    uint64_t before = atomic_load(&sn->queued), now = before > weight ? before - weight : 0;
    atomic_store(&sn->queued, now);
    pthread_mutex_unlock(&sn->lock);
    free_chunk(sn, c);
    if (before >= sn->limit / 2 && now < sn->limit / 2)
        for (unsigned i = 0; i < sn->server->nshards; i++)
            loop_wake(sn->server->shards[i]->loop);
}

bool snapshot_finish(struct snapshot *sn)
{
    pthread_mutex_lock(&sn->lock);
    bool whole = atomic_load(&sn->left) == 0 && sn->first == NULL && !snapshot_abandoned(sn);
    pthread_mutex_unlock(&sn->lock);
    if (!whole)
        snapshot_abandon(sn);
    pthread_mutex_lock(&sn->lock);
    while (sn->reading > 0)
        pthread_cond_wait(&sn->more, &sn->lock);
    pthread_mutex_unlock(&sn->lock);
    sn->server->store->ops->release(sn->server->store, sn->store);
    atomic_store(&sn->consuming, false);
    return whole;
}
