/* Values from flash: at once, or by the pool. */
#include <errno.h>

#include "tier/tier_impl.h"

struct fetch {
    struct pool_job job;
    struct task done;
    struct tier *tier;
    struct fetch *next; /* in the bucket of fetches under way */
    struct tier_wait *waits;
    struct space_id space;
    uint32_t ticket;
    uint64_t hash;
    struct buf store_key;
    struct value_limits limits; /* as of the start: they may change while the pool decodes */
    struct value value;         /* decoded; when result is 0 */
    int result;
};

/* Reads and decodes one value. Any thread. */
static int read_value(struct tier *t, struct slice store_key, const struct value_limits *limits, struct value *out)
{
    struct buf record = {0}, payload = {0};
    uint64_t stamp;
    int err = t->cfg.store->ops->get(t->cfg.store, store_key, &record);
    if (err == 0)
        err =
            record_value_decode(store_key, buf_slice(&record), trainer_dictionaries(t->cfg.trainer), &stamp, &payload);
    buf_free(&record);
    if (err == 0)
        err = value_decode(buf_slice(&payload), limits, out);
    bool big = payload.len >= PURGE_FROM;
    buf_free(&payload);
    if (big)
        mem_purge();
    return err;
}

/* On a pool thread. */
static void fetch_run(struct pool_job *job)
{
    struct fetch *f = container_of(job, struct fetch, job);
    f->result = read_value(f->tier, buf_slice(&f->store_key), &f->limits, &f->value);
    f->tier->cfg.post(f->tier->cfg.arg, &f->done);
}

static int install(const struct tier *t, struct keyspace *ks, struct entry **e, struct key key, struct value *v)
{
    if (v->type != (*e)->type) {
        value_release(v);
        return -EBADMSG;
    }
    *e = keyspace_install(ks, *e, key, v);
    tier_tell_moved(t, ks, key, false);
    return 0;
}

static void fetch_unlink(struct tier *t, struct fetch *f)
{
    struct fetch **at = &t->fetches[f->ticket % FETCH_BUCKETS];
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    t->fetching--;
}

static struct slice store_key_name(const struct buf *store_key)
{
    struct space_id space;
    struct key key;
    char kind;
    ensure(record_parse_key(buf_slice(store_key), &kind, &space, &key));
    return key.name;
}

/* Installs only if the ticket still stands: then the value is the one that was asked for. */
static int fetch_install(struct tier *t, struct fetch *f)
{
    struct space *s = tier_space_by_id(t, f->space);
    struct key key = {store_key_name(&f->store_key), f->hash};
    struct entry *e = s ? keyspace_find(s->ks, key) : NULL;
    if (e == NULL || !entry_cold(e) || entry_ticket(e) != f->ticket) {
        if (f->result == 0)
            value_release(&f->value);
        return 0;
    }
    if (f->result == 0)
        return install(t, s->ks, &e, key, &f->value);
    entry_set_word(e, entry_cold_size(e) << ENTRY_TICKET_BITS); /* nobody fetches it any more */
    return f->result;
}

static void fetch_done(struct task *task, void *arg)
{
    struct fetch *f = container_of(task, struct fetch, done);
    struct tier *t = f->tier;
    (void)arg;

    int error = fetch_install(t, f);
    fetch_unlink(t, f);
    if (error < 0)
        add(&t->stats.fetch_errors, 1);
    for (struct tier_wait *w = f->waits, *next; w != NULL; w = next) {
        next = w->next;
        w->fetched(w, error);
    }
    atomic_store_explicit(&t->stats.fetches_waiting, t->fetching, memory_order_relaxed);
    buf_free(&f->store_key);
    mem_free(f, sizeof(*f));
}

static struct fetch *under_way(struct tier *t, const struct keyspace *ks, uint32_t ticket)
{
    if (ticket == 0)
        return NULL;
    for (struct fetch *f = t->fetches[ticket % FETCH_BUCKETS]; f != NULL; f = f->next)
        if (f->ticket == ticket && space_id_eq(f->space, ks->id))
            return f;
    return NULL;
}

void tier_fetch(struct tier *t, struct keyspace *ks, struct entry *e, struct key key, struct tier_wait *w)
{
    struct fetch *f = under_way(t, ks, entry_ticket(e));
    if (f != NULL) {
        w->next = f->waits;
        f->waits = w;
        add(&t->stats.joined, 1);
        return;
    }
    f = mem_zalloc(sizeof(*f));
    f->job.run = fetch_run;
    f->done.run = fetch_done;
    f->tier = t;
    f->space = ks->id;
    f->hash = key.hash;
    f->ticket = keyspace_fetching(ks, e);
    f->limits = *t->cfg.limits;
    f->waits = w;
    w->next = NULL;
    record_value_key(&f->store_key, ks->id, key);
    f->next = t->fetches[f->ticket % FETCH_BUCKETS];
    t->fetches[f->ticket % FETCH_BUCKETS] = f;
    t->fetching++;
    add(&t->stats.fetches, 1);
    atomic_store_explicit(&t->stats.fetches_waiting, t->fetching, memory_order_relaxed);
    pool_submit(t->cfg.pool, POOL_READ, &f->job);
}

int tier_fetch_now(struct tier *t, struct keyspace *ks, struct entry **e, struct key key)
{
    struct buf store_key = {0};
    struct value v;
    if (*e == NULL || !entry_cold(*e))
        return 0;
    record_value_key(&store_key, ks->id, key);
    int err = read_value(t, buf_slice(&store_key), t->cfg.limits, &v);
    buf_free(&store_key);
    return err == 0 ? install(t, ks, e, key, &v) : err;
}
