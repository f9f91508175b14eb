/* What goes to flash: batches of records on their way to the store. */
#include "tier/tier_impl.h"

#define BATCHES_MAX 8 /* under way at once, before no more are begun */

bool tier_can_write(const struct tier *t) { return t->batches < BATCHES_MAX && t->in_flight < t->cfg.in_flight_bytes; }

static void put_large(struct batch *b)
{
    struct buf payload = {0};
    const struct tier_config *cfg = &b->tier->cfg;
    size_t at = store_batch_put_begin(&b->ops, buf_slice(&b->large_key));
    parts_join(&b->large, &payload);
    record_value_append(&b->ops.ops, buf_slice(&b->large_key), b->stamp, cfg->compression,
                        dictionaries_newest(trainer_dictionaries(cfg->trainer)), buf_slice(&payload));
    buf_free(&payload);
    store_batch_put_end(&b->ops, at);
}

/* Never more than two copies are in memory: parts and payload, payload and record, record and what the store makes of
 * it, that and its memtable. Only the meta record of the value's key is left: the shard is spared to free the rest. */
static int write_large(struct batch *b)
{
    struct store_batch meta = {.count = b->ops.count};
    buf_append_slice(&meta.ops, buf_slice(&b->ops.ops));
    put_large(b);
    bool big = b->ops.ops.len >= PURGE_FROM;
    b->ops.once = true;
    int err = b->tier->cfg.store->ops->write(b->tier->cfg.store, &b->ops);
    store_batch_free(&b->ops);
    b->ops = meta;
    if (big)
        mem_purge();
    return err;
}

/* On a pool thread. */
static void batch_run(struct pool_job *job)
{
    struct batch *b = container_of(job, struct batch, job);
    if (b->large.n > 0)
        b->result = write_large(b);
    else
        b->result = b->tier->cfg.store->ops->write(b->tier->cfg.store, &b->ops);
    b->tier->cfg.post(b->tier->cfg.arg, &b->done);
}

/* Every key of the batch has exactly one meta operation in it. */
static void batch_each_key(struct batch *b, void (*done)(struct keyspace *ks, struct key key))
{
    struct slice store_key, value;
    struct space_id id;
    struct key key;
    size_t pos = 0;
    bool put;
    char kind;

    while (store_batch_next(&b->ops, &pos, &put, &store_key, &value)) {
        ensure(record_parse_key(store_key, &kind, &id, &key));
        struct space *s = kind == 'm' ? tier_space_by_id(b->tier, id) : NULL;
        if (s != NULL)
            done(s->ks, key_of(s->ks, key.name));
    }
}

void tier_publish_transit(struct tier *t)
{
    atomic_store_explicit(&t->transit, t->in_flight + t->encoding.payload.bytes, memory_order_relaxed);
}

static void live_remove(struct tier *t, uint64_t seq)
{
    unsigned i = 0;
    while (t->live[i] != seq)
        i++;
    t->live[i] = t->live[--t->batches];
}

uint64_t tier_barrier(const struct tier *t) { return t->seq; }

bool tier_passed(const struct tier *t, uint64_t barrier)
{
    for (unsigned i = 0; i < t->batches; i++)
        if (t->live[i] <= barrier)
            return false;
    return true;
}

static void batch_done(struct task *task, void *arg)
{
    struct batch *b = container_of(task, struct batch, done);
    struct tier *t = b->tier;
    (void)arg;

    if (b->seq > t->past)
        batch_each_key(b, b->result == 0 ? keyspace_cleaned : keyspace_not_cleaned);
    if (b->result < 0)
        add(&t->stats.clean_errors, 1);
    live_remove(t, b->seq);
    t->batches_done++;
    t->in_flight -= b->bytes;
    tier_publish_transit(t);
    atomic_fetch_sub_explicit(&t->pending, b->bytes, memory_order_relaxed);
    buf_free(&b->large_key);
    store_batch_free(&b->ops);
    mem_free(b, sizeof(*b));
}

struct batch *batch_open(struct tier *t)
{
    if (t->building == NULL) {
        struct batch *b = mem_zalloc(sizeof(*b));
        b->tier = t;
        b->job.run = batch_run;
        b->done.run = batch_done;
        t->building = b;
    }
    return t->building;
}

static void batch_wait(struct tier *t, struct batch *b)
{
    fifo_push(&t->waiting, b);
    add(&t->stats.batches_waiting, 1);
    t->cfg.want_durable(t->cfg.arg, b->stamp);
}

/* I7: a batch with values of a logged database goes on only when the log is durable up to its stamp. */
void batch_close(struct tier *t)
{
    struct batch *b = t->building;
    if (b == NULL)
        return;
    t->building = NULL;
    store_batch_join(&b->ops, &b->values);
    ensure(t->batches < BATCHES_LIVE);
    b->seq = t->live[t->batches++] = ++t->seq;
    trainer_count(t->cfg.trainer, t->uncounted);
    t->uncounted = 0;
    add(&t->stats.clean_batches, 1);
    b->bytes = b->ops.ops.len + b->large.bytes;
    t->in_flight += b->bytes;
    tier_publish_transit(t);
    add(&t->stats.clean_bytes, b->bytes);
    atomic_fetch_add_explicit(&t->pending, b->bytes, memory_order_relaxed);
    if (b->stamp > t->cfg.durable(t->cfg.arg))
        batch_wait(t, b);
    else
        pool_submit(t->cfg.pool, POOL_WRITE, &b->job);
}

void tier_ignore_past(struct tier *t)
{
    ensure(t->building == NULL);
    t->past = t->seq;
}

bool tier_waits_for_log(const struct tier *t) { return t->waiting.first != NULL; }

void tier_log_progress(struct tier *t, uint64_t durable)
{
    while (t->waiting.first != NULL && t->waiting.first->stamp <= durable) {
        struct batch *b = t->waiting.first;
        fifo_pop(&t->waiting);
        add(&t->stats.batches_waiting, (uint64_t)-1);
        pool_submit(t->cfg.pool, POOL_WRITE, &b->job);
    }
}
