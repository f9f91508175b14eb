/* The tier of one shard. See tier.h for what moves and when.
 *
 * Life of a batch: building -> (logged: waiting until the log is durable up to its stamp) -> writing (pool) -> done.
 * The keys of a batch are found again, when it completes, in the batch itself: its meta records carry space and key.
 * Nothing here keeps pointers to entries or keyspaces across turns: entries move and keyspaces are flushed away. */
#include "tier/tier.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "tier/parts.h"

#define SPACES_MAX 1024
#define PIN_SLOTS 65536
#define BATCH_KEYS 512
#define BATCHES_MAX 8   /* under way at once, before no more are begun */
#define BATCHES_LIVE 64 /* a slice that was begun may close some more */
#define SAMPLE 64       /* items looked at to find victims */
#define DROPS_A_SLICE 256
#define CLEANS_A_SLICE 512
#define BURIALS_A_SLICE 64 /* buckets */
#define RUN_MAX 1048576    /* words sorted together */
#define TAKES_A_SLICE 65536
#define SCRATCH_KEEP (64 * KIB)
#define SORT_HERE 2048       /* words that are sorted on the spot */
#define LARGE (256 * KIB)    /* a value of more RAM is encoded in parts … */
#define PURGE_FROM (4 * MIB) /* pages of what was larger go back to the kernel at once, not when they have aged */
#define PART (64 * KIB)      /* … of about so many bytes: a turn of well below a millisecond */

/* Hashes taken from a dirty queue, to be cleaned in hash order: the order of flash (record.h). */
struct run {
    struct pool_job job;
    struct task sorted;
    struct tier *tier;
    enum { RUN_FILLING, RUN_SORTING, RUN_READY } state;
    bool orphan;       /* its keyspace is gone: freed when it is sorted */
    size_t n, cap, at; /* words; those before `at` are done */
    size_t kept;       /* of those before `at`, moved to the front: busy, to be looked at again */
    uint64_t *hashes;
};

struct space {
    struct keyspace *ks;
    struct run *run; /* being cleaned, or NULL */
    bool logged, tiered;
    uint64_t burying; /* where in the table of tombs */
    bool barren; /* the last full try to make room found nothing to drop and nothing to clean: true as long as … */
    uint64_t barren_bytes, barren_unpins; /* … these have not changed since */
};

struct batch {
    struct pool_job job;
    struct task done;
    struct tier *tier;
    struct batch *next;
    struct store_batch ops;    /* meta records, by hash; once closed, everything */
    struct store_batch values; /* value records, by hash: a run of one kind is what a memtable takes cheaply */
    uint64_t stamp;            /* 0: needs no log */
    uint64_t seq;              /* order in which batches were closed */
    uint64_t bytes;            /* handed over when it was closed */
    struct buf large_key;
    struct parts large; /* a value that the pool compresses and puts into `ops` */
    int result;
};

/* The value that is being encoded in parts. */
struct encoding {
    bool active;
    struct space_id space;
    struct buf name;
    uint64_t hash;
    uint64_t cursor;
    uint64_t ram_bytes;
    struct parts payload;
};

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

#define FETCH_BUCKETS 256

/* Tombs written with this stamp; when a checkpoint has passed it their records are removed. */
struct absent {
    struct space_id space;
    uint64_t hash, stamp;
};

struct tier {
    struct tier_config cfg;
    struct rng rng;
    struct space spaces[SPACES_MAX];
    unsigned nspaces;
    uint16_t pins[PIN_SLOTS];
    uint64_t unpins;                      /* how often a pin was taken away */
    struct fetch *fetches[FETCH_BUCKETS]; /* by ticket */
    unsigned fetching, sorting;
    struct batch *building;               /* not full yet; closed at the end of the slice */
    struct batch *waiting, *waiting_last; /* for the log */
    unsigned batches;                     /* waiting or writing */
    uint64_t seq;                         /* of the batch closed last */
    uint64_t past;                        /* batches up to this one were about keyspaces that are gone */
    uint64_t live[BATCHES_LIVE];          /* seqs of those batches */
    uint64_t in_flight;                   /* bytes in them */
    uint64_t batches_done;
    _Atomic uint64_t transit; /* in_flight, and what has been encoded of a large value */
    _Atomic uint64_t pending; /* bytes of values in those batches */
    struct queue absents;     /* words of struct absent */
    struct buf scratch, payload, encoded;
    struct encoding encoding;
    uint64_t uncounted; /* payload bytes that the trainer has not been told of */
    uint64_t unsampled; /* payloads to pass over before the next sample */
    struct {
        _Atomic uint64_t fetches, joined, fetch_errors, drops, dropped_probation, cleaned, clean_batches, clean_bytes,
            clean_errors, batches_waiting, fetches_waiting, value_bytes_in, value_bytes_out, with_dictionary;
    } stats;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

struct tier *tier_new(const struct tier_config *cfg)
{
    struct tier *t = mem_zalloc(sizeof(*t));
    t->cfg = *cfg;
    rng_seed(&t->rng, cfg->seed);
    queue_init(&t->absents);
    return t;
}

bool tier_idle(const struct tier *t)
{
    return t->fetching == 0 && t->sorting == 0 && t->batches == 0 && t->building == NULL;
}

void tier_free(struct tier *t)
{
    ensure(tier_idle(t));
    queue_free(&t->absents);
    buf_free(&t->scratch);
    buf_free(&t->payload);
    buf_free(&t->encoded);
    buf_free(&t->encoding.name);
    parts_free(&t->encoding.payload);
    mem_free(t, sizeof(*t));
}

/* --- spaces --- */

static void run_free(struct run *run)
{
    mem_free(run->hashes, sizeof(*run->hashes) * run->cap);
    mem_free(run, sizeof(*run));
}

static void run_drop(struct space *s)
{
    if (s->run == NULL)
        return;
    if (s->run->state == RUN_SORTING)
        s->run->orphan = true;
    else
        run_free(s->run);
    s->run = NULL;
}

static struct space *space_of(struct tier *t, const struct keyspace *ks)
{
    for (unsigned i = 0; i < t->nspaces; i++)
        if (t->spaces[i].ks == ks)
            return &t->spaces[i];
    panic("a keyspace that is not attached");
}

static struct space *space_by_id(struct tier *t, struct space_id id)
{
    for (unsigned i = 0; i < t->nspaces; i++)
        if (space_id_eq(t->spaces[i].ks->id, id))
            return &t->spaces[i];
    return NULL;
}

struct keyspace *tier_keyspace(struct tier *t, struct space_id id)
{
    struct space *s = space_by_id(t, id);
    return s ? s->ks : NULL;
}

void tier_attach(struct tier *t, struct keyspace *ks, bool logged, bool tiered)
{
    ensure(t->nspaces < SPACES_MAX);
    t->spaces[t->nspaces++] = (struct space){.ks = ks, .logged = logged, .tiered = tiered};
}

void tier_detach(struct tier *t, struct keyspace *ks)
{
    struct space *s = space_of(t, ks);
    run_drop(s);
    *s = t->spaces[--t->nspaces];
}

void tier_set_mode(struct tier *t, struct keyspace *ks, bool logged, bool tiered)
{
    struct space *s = space_of(t, ks);
    s->logged = logged;
    s->tiered = tiered;
}

/* --- pins --- */

void tier_pin(struct tier *t, uint64_t hash)
{
    uint16_t *n = &t->pins[hash % PIN_SLOTS];
    ensure(*n < UINT16_MAX);
    (*n)++;
}

void tier_unpin(struct tier *t, uint64_t hash)
{
    uint16_t *n = &t->pins[hash % PIN_SLOTS];
    ensure(*n > 0);
    (*n)--;
    t->unpins++;
}

static bool pinned(const struct tier *t, uint64_t hash) { return t->pins[hash % PIN_SLOTS] > 0; }

bool tier_can_write(const struct tier *t) { return t->batches < BATCHES_MAX && t->in_flight < t->cfg.in_flight_bytes; }

/* --- fetching --- */

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

static void tell_moved(const struct tier *t, const struct keyspace *ks, struct key key, bool dropped)
{
    if (t->cfg.moved != NULL)
        t->cfg.moved(t->cfg.arg, ks, key, dropped);
}

static int install(const struct tier *t, struct keyspace *ks, struct entry **e, struct key key, struct value *v)
{
    if (v->type != (*e)->type) {
        value_release(v);
        return -EBADMSG;
    }
    *e = keyspace_install(ks, *e, key, v);
    tell_moved(t, ks, key, false);
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
    struct space *s = space_by_id(t, f->space);
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

/* --- cleaning: batches --- */

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
        struct space *s = kind == 'm' ? space_by_id(b->tier, id) : NULL;
        if (s != NULL)
            done(s->ks, key_of(s->ks, key.name));
    }
}

static void publish_transit(struct tier *t)
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
    publish_transit(t);
    atomic_fetch_sub_explicit(&t->pending, b->bytes, memory_order_relaxed);
    buf_free(&b->large_key);
    store_batch_free(&b->ops);
    mem_free(b, sizeof(*b));
}

static struct batch *batch_open(struct tier *t)
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
    b->next = NULL;
    if (t->waiting_last != NULL)
        t->waiting_last->next = b;
    else
        t->waiting = b;
    t->waiting_last = b;
    add(&t->stats.batches_waiting, 1);
    t->cfg.want_durable(t->cfg.arg, b->stamp);
}

/* I7: a batch with values of a logged database goes on only when the log is durable up to its stamp. */
static void batch_close(struct tier *t)
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
    publish_transit(t);
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

bool tier_waits_for_log(const struct tier *t) { return t->waiting != NULL; }

void tier_log_progress(struct tier *t, uint64_t durable)
{
    while (t->waiting != NULL && t->waiting->stamp <= durable) {
        struct batch *b = t->waiting;
        t->waiting = b->next;
        if (t->waiting == NULL)
            t->waiting_last = NULL;
        add(&t->stats.batches_waiting, (uint64_t)-1);
        pool_submit(t->cfg.pool, POOL_WRITE, &b->job);
    }
}

/* --- cleaning: records --- */

static void put_meta(struct tier *t, struct batch *b, const struct keyspace *ks, struct key key,
                     const struct record_meta *meta)
{
    record_meta_key(&t->scratch, ks->id, key);
    record_meta_encode(&t->encoded, buf_slice(&t->scratch), meta);
    store_batch_put(&b->ops, buf_slice(&t->scratch), buf_slice(&t->encoded));
}

static void sample(struct tier *t, struct slice payload)
{
    t->uncounted += payload.len;
    if (likely(!trainer_collecting(t->cfg.trainer)) || t->unsampled-- > 0)
        return;
    t->unsampled = rng_below(&t->rng, 2 * TRAINER_STRIDE - 1);
    trainer_sample(t->cfg.trainer, payload);
}

static void encode_value(struct tier *t, struct slice store_key, uint64_t stamp, struct slice payload)
{
    const struct dictionary *d = dictionaries_newest(trainer_dictionaries(t->cfg.trainer));
    sample(t, payload);
    record_value_encode(&t->encoded, store_key, stamp, t->cfg.compression, d, payload);
    add(&t->stats.value_bytes_in, payload.len);
    add(&t->stats.value_bytes_out, t->encoded.len);
    if (record_value_compression(buf_slice(&t->encoded)) == RECORD_ZSTD_DICT)
        add(&t->stats.with_dictionary, 1);
}

static void put_value(struct tier *t, struct batch *b, const struct keyspace *ks, const struct entry *e, struct key key,
                      uint64_t stamp)
{
    struct value v = entry_value(e);

    buf_clear(&t->payload);
    value_encode(&v, &t->payload);
    record_value_key(&t->scratch, ks->id, key);
    encode_value(t, buf_slice(&t->scratch), stamp, buf_slice(&t->payload));
    store_batch_put(&b->values, buf_slice(&t->scratch), buf_slice(&t->encoded));
    buf_reset(&t->payload, SCRATCH_KEEP);
    buf_reset(&t->encoded, SCRATCH_KEEP);
}

static void delete_records(struct tier *t, struct batch *b, const struct keyspace *ks, struct key key)
{
    record_value_key(&t->scratch, ks->id, key);
    store_batch_delete(&b->values, buf_slice(&t->scratch));
    record_meta_key(&t->scratch, ks->id, key);
    store_batch_delete(&b->ops, buf_slice(&t->scratch));
}

static void remember_absent(struct tier *t, const struct keyspace *ks, struct key key, uint64_t stamp)
{
    queue_push(&t->absents, ks->id.lsn);
    queue_push(&t->absents, ks->id.db);
    queue_push(&t->absents, key.hash);
    queue_push(&t->absents, stamp);
}

/* A logged deletion leaves a record *absent, stamp*; an unlogged one just removes the records, and is forgotten at
 * once. */
static void clean_tomb(struct tier *t, struct batch *b, struct space *s, struct entry *tomb, struct key key,
                       uint64_t stamp)
{
    if (!s->logged) {
        delete_records(t, b, s->ks, key);
        keyspace_cleaning(s->ks, tomb);
        tomb->flags |= ENTRY_FORGET;
        return;
    }
    record_value_key(&t->scratch, s->ks->id, key);
    store_batch_delete(&b->values, buf_slice(&t->scratch));
    struct record_meta meta = {
        .type = RECORD_ABSENT, .expire_ms = ENTRY_NO_EXPIRY, .inner_ms = ENTRY_NO_EXPIRY, .stamp = stamp};
    put_meta(t, b, s->ks, key, &meta);
    remember_absent(t, s->ks, key, stamp);
    keyspace_cleaning(s->ks, tomb);
}

static struct record_meta meta_of(const struct space *s, const struct entry *e, uint64_t stamp)
{
    return (struct record_meta){.type = e->type,
                                .encoding = e->encoding,
                                .temperature = e->temperature,
                                .expire_ms = entry_expiry(e),
                                .inner_ms = entry_inner_expiry(e),
                                .ram_bytes = keyspace_ram_bytes(e),
                                .stamp = s->logged ? stamp : 0};
}

static void clean_entry(struct tier *t, struct batch *b, struct space *s, struct entry *e, struct key key,
                        uint64_t stamp)
{
    struct record_meta meta = meta_of(s, e, stamp);
    if (e->flags & ENTRY_DIRTY)
        put_value(t, b, s->ks, e, key, meta.stamp);
    put_meta(t, b, s->ks, key, &meta);
    keyspace_cleaning(s->ks, e);
}

static void clean_one(struct tier *t, struct space *s, struct entry *e, uint64_t hash, uint64_t stamp)
{
    struct key key = {entry_key(e), hash};
    struct batch *b = batch_open(t);
    if (e->flags & ENTRY_TOMB)
        clean_tomb(t, b, s, e, key, stamp);
    else
        clean_entry(t, b, s, e, key, stamp);
    if (s->logged && stamp > b->stamp)
        b->stamp = stamp;
    add(&t->stats.cleaned, 1);
    if (b->ops.count >= BATCH_KEYS || b->ops.ops.len + b->values.ops.len >= t->cfg.batch_bytes)
        batch_close(t);
}

/* --- cleaning: large values, in parts --- */

bool tier_encoding(const struct tier *t) { return t->encoding.active; }

bool tier_encoding_key(const struct tier *t, const struct keyspace *ks, uint64_t hash)
{
    return t->encoding.active && t->encoding.hash == hash && space_id_eq(t->encoding.space, ks->id);
}

static bool large(const struct entry *e) { return (e->flags & ENTRY_DIRTY) && keyspace_ram_bytes(e) > LARGE; }

/* Only one at a time: others stay as they are. */
static void begin_encoding(struct tier *t, const struct keyspace *ks, struct entry *e, uint64_t hash)
{
    struct encoding *g = &t->encoding;
    if (g->active)
        return;
    keyspace_encoding(e);
    g->active = true;
    g->space = ks->id;
    g->hash = hash;
    g->cursor = 0;
    g->ram_bytes = keyspace_ram_bytes(e);
    buf_clear(&g->name);
    buf_append_slice(&g->name, entry_key(e));
    atomic_fetch_add_explicit(&t->pending, g->ram_bytes, memory_order_relaxed);
}

static void end_encoding(struct tier *t)
{
    t->encoding.active = false;
    atomic_fetch_sub_explicit(&t->pending, t->encoding.ram_bytes, memory_order_relaxed);
    if (t->encoding.payload.n > 0)
        parts_discard(&t->encoding.payload, t->cfg.pool);
    publish_transit(t);
}

/* All parts are there: they go to the pool in a batch of their own. */
static void clean_large(struct tier *t, struct space *s, struct entry *e, uint64_t stamp)
{
    struct key key = {entry_key(e), t->encoding.hash};
    struct record_meta meta = meta_of(s, e, stamp);
    batch_close(t);
    struct batch *b = batch_open(t);
    b->stamp = meta.stamp;
    b->large = t->encoding.payload;
    t->encoding.payload = (struct parts){0};
    record_value_key(&b->large_key, s->ks->id, key);
    put_meta(t, b, s->ks, key, &meta);
    keyspace_cleaning(s->ks, e);
    add(&t->stats.cleaned, 1);
    add(&t->stats.value_bytes_in, b->large.bytes);
    batch_close(t);
}

/* The type byte comes before the first part. */
static void add_part(struct encoding *g, const struct value *v)
{
    struct buf part = {0};
    bool first = g->cursor == 0;
    buf_reserve(&part, PART + PART / 8);
    if (first)
        buf_append_byte(&part, 0);
    uint8_t type = value_class_of(v->type)->encode(v, &g->cursor, &part, PART);
    if (first)
        part.p[0] = type;
    parts_add(&g->payload, &part);
}

bool tier_encode_part(struct tier *t, uint64_t stamp)
{
    struct encoding *g = &t->encoding;
    if (likely(!g->active))
        return false;
    struct space *s = space_by_id(t, g->space);
    struct entry *e = s ? keyspace_find(s->ks, (struct key){buf_slice(&g->name), g->hash}) : NULL;
    if (e == NULL || !(e->flags & ENTRY_ENCODING)) {
        end_encoding(t);
        return false;
    }
    if (!tier_can_write(t))
        return false;
    struct value v = entry_value(e);
    add_part(g, &v);
    publish_transit(t);
    if (g->cursor != 0)
        return true;
    clean_large(t, s, e, stamp);
    end_encoding(t);
    return true;
}

/* --- cleaning: runs --- */

static int hash_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void run_sort(struct pool_job *job)
{
    struct run *run = container_of(job, struct run, job);
    qsort(run->hashes, run->n, sizeof(*run->hashes), hash_cmp);
    run->tier->cfg.post(run->tier->cfg.arg, &run->sorted);
}

static void run_sorted(struct task *task, void *arg)
{
    struct run *run = container_of(task, struct run, sorted);
    (void)arg;
    run->tier->sorting--;
    run->state = RUN_READY;
    if (run->orphan)
        run_free(run);
}

/* Few words are sorted on the spot, many by the pool. */
static void run_close(struct tier *t, struct run *run)
{
    run->state = RUN_READY;
    if (run->n <= SORT_HERE) {
        qsort(run->hashes, run->n, sizeof(*run->hashes), hash_cmp);
        return;
    }
    run->state = RUN_SORTING;
    t->sorting++;
    pool_submit(t->cfg.pool, POOL_WRITE, &run->job);
}

static struct run *run_new(struct tier *t, size_t cap)
{
    struct run *run = mem_zalloc(sizeof(*run));
    run->tier = t;
    run->job.run = run_sort;
    run->sorted.run = run_sorted;
    run->cap = cap;
    run->hashes = mem_alloc(sizeof(*run->hashes) * cap);
    return run;
}

/* A run that can be worked on, or NULL: there is nothing up to `until`, or it is being filled or sorted. */
static struct run *run_ready(struct tier *t, struct space *s, uint64_t until)
{
    struct queue *dirty = &s->ks->dirty;
    if (s->run == NULL && !queue_empty(dirty) && dirty->head < until)
        s->run = run_new(t, min_u64(min_u64(until, dirty->tail) - dirty->head, RUN_MAX));
    struct run *run = s->run;
    if (run != NULL && run->state == RUN_FILLING) {
        run->n += keyspace_take_dirty(s->ks, until, run->hashes + run->n, min_u64(run->cap - run->n, TAKES_A_SLICE));
        if (run->n == run->cap || dirty->head >= until)
            run_close(t, run);
    }
    return run != NULL && run->state == RUN_READY ? run : NULL;
}

/* Words of keys that are being written are kept for another round. */
static unsigned run_clean(struct tier *t, struct space *s, struct run *run, uint64_t stamp, unsigned max_keys)
{
    unsigned taken = 0;
    while (taken < max_keys && tier_can_write(t) && run->at < run->n) {
        uint64_t hash = run->hashes[run->at++];
        struct dirty_item item = keyspace_find_dirty(s->ks, hash);
        if (item.busy) {
            run->hashes[run->kept++] = hash;
        } else if (item.e != NULL && large(item.e)) {
            begin_encoding(t, s->ks, item.e, hash);
            item.e->flags |= ENTRY_QUEUED;
            run->hashes[run->kept++] = hash;
        } else if (item.e != NULL) {
            clean_one(t, s, item.e, hash, stamp);
            taken++;
        }
    }
    if (run->at == run->n) {
        run->n = run->kept;
        run->at = run->kept = 0;
    }
    return taken;
}

unsigned tier_clean(struct tier *t, struct keyspace *ks, uint64_t until, uint64_t stamp, unsigned max_keys, bool *done)
{
    struct space *s = space_of(t, ks);
    struct run *run = run_ready(t, s, until);
    unsigned taken = run != NULL ? run_clean(t, s, run, stamp, max_keys) : 0;

    batch_close(t);
    if (run != NULL && run->n == 0)
        run_drop(s);
    *done = s->run == NULL && (queue_empty(&ks->dirty) || ks->dirty.head >= until);
    return taken;
}

/* --- forgetting tombs --- */

bool tier_forget(struct tier *t, uint64_t l0)
{
    unsigned n = 0;
    while (!queue_empty(&t->absents) && n < CLEANS_A_SLICE && tier_can_write(t)) {
        struct absent a;
        if (queue_peek_at(&t->absents, 3) > l0)
            break;
        a.space.lsn = queue_pop(&t->absents);
        a.space.db = (uint32_t)queue_pop(&t->absents);
        a.hash = queue_pop(&t->absents);
        a.stamp = queue_pop(&t->absents);
        struct space *s = space_by_id(t, a.space);
        struct entry *tomb = s ? keyspace_forgetting(s->ks, a.hash) : NULL;
        if (tomb == NULL)
            continue;
        delete_records(t, batch_open(t), s->ks, (struct key){entry_key(tomb), a.hash});
        n++;
    }
    batch_close(t);
    return queue_empty(&t->absents) || queue_peek_at(&t->absents, 3) > l0;
}

/* --- burying tombs of unlogged keyspaces --- */

struct burial {
    struct tier *tier;
    struct space *space;
};

static void bury_one(void *arg, void *item)
{
    struct burial *b = arg;
    struct entry *tomb = item;
    if ((tomb->flags & ENTRY_DIRTY) && !(tomb->flags & ENTRY_WRITING))
        clean_one(b->tier, b->space, tomb, key_of(b->space->ks, entry_key(tomb)).hash, 0);
}

void tier_bury(struct tier *t, struct keyspace *ks)
{
    struct burial b = {t, space_of(t, ks)};
    if (b.space->logged)
        return;
    for (int i = 0; i < BURIALS_A_SLICE && tier_can_write(t); i++)
        if ((b.space->burying = table_scan(ks->tombs, b.space->burying, bury_one, &b)) == 0)
            break;
    batch_close(t);
}

/* --- making room --- */

static bool droppable(const struct entry *e)
{
    return !entry_cold(e) && (e->flags & ENTRY_ON_FLASH) && !(e->flags & (ENTRY_DIRTY | ENTRY_WRITING));
}

static bool cleanable(const struct entry *e)
{
    return !entry_cold(e) && (e->flags & ENTRY_DIRTY) && !(e->flags & (ENTRY_WRITING | ENTRY_ENCODING));
}

static uint32_t coldness(const struct entry *e, const struct temperature *temp)
{
    if (e->flags & ENTRY_PROBATION && !(e->flags & ENTRY_FRESH))
        return UINT32_MAX;
    return temperature_coldness(temp, e->temperature);
}

/* Dropping gains nothing where a cold entry takes as much (an 8-byte value in its entry). */
static bool worth_dropping(const struct entry *e) { return keyspace_ram_bytes(e) > 8; }

/* Hot entries of a sample that would make room and are not pinned, coldest first; at most the colder half of them. */
static unsigned victims(struct tier *t, struct keyspace *ks, const struct temperature *temp, struct entry **out)
{
    void *items[SAMPLE];
    uint32_t cold[SAMPLE];
    unsigned n = 0;
    size_t got = table_sample(ks->entries, rng_u64(&t->rng), items, SAMPLE);

    for (size_t i = 0; i < got; i++) {
        struct entry *e = items[i];
        if (entry_cold(e) || !worth_dropping(e) || pinned(t, key_of(ks, entry_key(e)).hash))
            continue;
        uint32_t c = coldness(e, temp);
        unsigned at = n++;
        for (; at > 0 && cold[at - 1] < c; at--) {
            cold[at] = cold[at - 1];
            out[at] = out[at - 1];
        }
        cold[at] = c;
        out[at] = e;
    }
    return (n + 1) / 2;
}

static uint64_t drop(struct tier *t, struct keyspace *ks, struct entry *e)
{
    uint64_t before = ks->bytes;
    add(&t->stats.drops, 1);
    if (e->flags & ENTRY_PROBATION)
        add(&t->stats.dropped_probation, 1);
    struct key key = key_of(ks, entry_key(e));
    e = keyspace_drop(ks, e, key);
    key.name = entry_key(e); /* the entry has moved */
    tell_moved(t, ks, key, true);
    return before > ks->bytes ? before - ks->bytes : 0;
}

uint64_t tier_reclaim(struct tier *t, struct keyspace *ks, uint64_t bytes, const struct temperature *temp,
                      uint64_t stamp)
{
    struct space *s = space_of(t, ks);
    unsigned dropped = 0, cleaned = 0, barren = 0;
    uint64_t freed = 0, leaving = tier_reclaim_pending(t);
    bool may_clean = stamp != TIER_DROP_ONLY;

    if (!s->tiered)
        return 0;
    while (freed < bytes && dropped < DROPS_A_SLICE && cleaned < CLEANS_A_SLICE && barren < 64 && ks->keys > ks->cold) {
        struct entry *v[SAMPLE];
        unsigned n = victims(t, ks, temp, v), before = dropped + cleaned;
        for (unsigned i = 0; i < n && freed < bytes; i++) {
            if (droppable(v[i])) {
                freed += drop(t, ks, v[i]);
                dropped++;
            } else if (may_clean && cleanable(v[i]) && tier_can_write(t) && leaving < bytes) {
                leaving += keyspace_ram_bytes(v[i]);
                cleaned++;
                if (large(v[i]))
                    begin_encoding(t, ks, v[i], key_of(ks, entry_key(v[i])).hash);
                else
                    clean_one(t, s, v[i], key_of(ks, entry_key(v[i])).hash, stamp);
            }
        }
        barren = dropped + cleaned == before ? barren + 1 : 0;
    }
    batch_close(t);
    if (freed > 0 || cleaned > 0)
        s->barren = false;
    else if (may_clean && t->batches == 0 && !t->encoding.active && freed < bytes) {
        s->barren = true;
        s->barren_bytes = ks->bytes;
        s->barren_unpins = t->unpins;
    }
    return freed;
}

uint64_t tier_transit(const struct tier *t) { return 2 * atomic_load_explicit(&t->transit, memory_order_relaxed); }
uint64_t tier_batches_done(const struct tier *t) { return t->batches_done; }

uint64_t tier_reclaim_pending(const struct tier *t) { return atomic_load_explicit(&t->pending, memory_order_relaxed); }

bool tier_exhausted(struct tier *t, const struct keyspace *ks)
{
    const struct space *s = space_of(t, ks);
    return ks->keys == ks->cold || (s->barren && s->barren_bytes == ks->bytes && s->barren_unpins == t->unpins);
}

struct entry *tier_sample_coldest(struct tier *t, struct keyspace *ks, unsigned samples, bool volatile_only,
                                  bool by_ttl, bool random, const struct temperature *temp)
{
    struct entry *best = NULL;
    uint64_t best_score = 0;
    unsigned seen = 0;

    for (unsigned round = 0; round < 16 && seen < samples; round++) {
        void *items[16];
        size_t got = table_sample(ks->entries, rng_u64(&t->rng), items, min_u64(samples, ARRAY_LEN(items)));
        for (size_t i = 0; i < got && seen < samples; i++) {
            struct entry *e = items[i];
            if (volatile_only && !(e->flags & ENTRY_EXPIRES))
                continue;
            seen++;
            uint64_t score = random   ? 1
                             : by_ttl ? (uint64_t)(INT64_MAX - entry_expiry(e))
                                      : (uint64_t)coldness(e, temp) + 1;
            if (best == NULL || score > best_score) {
                best = e;
                best_score = score;
            }
        }
    }
    return best;
}

void tier_stats(const struct tier *t, struct tier_stats *out)
{
    *out = (struct tier_stats){
        .fetches = atomic_load_explicit(&t->stats.fetches, memory_order_relaxed),
        .fetch_hits_joined = atomic_load_explicit(&t->stats.joined, memory_order_relaxed),
        .fetch_errors = atomic_load_explicit(&t->stats.fetch_errors, memory_order_relaxed),
        .drops = atomic_load_explicit(&t->stats.drops, memory_order_relaxed),
        .dropped_probation = atomic_load_explicit(&t->stats.dropped_probation, memory_order_relaxed),
        .cleaned = atomic_load_explicit(&t->stats.cleaned, memory_order_relaxed),
        .clean_batches = atomic_load_explicit(&t->stats.clean_batches, memory_order_relaxed),
        .clean_bytes = atomic_load_explicit(&t->stats.clean_bytes, memory_order_relaxed),
        .clean_errors = atomic_load_explicit(&t->stats.clean_errors, memory_order_relaxed),
        .batches_waiting = atomic_load_explicit(&t->stats.batches_waiting, memory_order_relaxed),
        .fetches_waiting = atomic_load_explicit(&t->stats.fetches_waiting, memory_order_relaxed),
        .value_bytes_in = atomic_load_explicit(&t->stats.value_bytes_in, memory_order_relaxed),
        .value_bytes_out = atomic_load_explicit(&t->stats.value_bytes_out, memory_order_relaxed),
        .values_with_dictionary = atomic_load_explicit(&t->stats.with_dictionary, memory_order_relaxed),
    };
}
