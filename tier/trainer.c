#include "tier/trainer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <zdict.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "tier/record.h"

#define ERROR_MAX 512
#define DICTIONARY_BYTES ((size_t)32 * KIB)
#define SAMPLE_BYTES (MIB)
#define WINDOW_FIRST (64 * MIB)
#define WINDOW_LAST (16 * GIB)

enum phase { COUNTING, COLLECTING, TRAINING, FINISHED };

struct trainer {
    struct trainer_config cfg;
    struct dictionaries dictionaries;
    _Atomic int phase;
    _Atomic uint64_t seen;   /* payload bytes of the running window */
    _Atomic uint64_t window; /* its length */
    _Atomic uint64_t trainings, failures;
    pthread_mutex_t lock; /* the samples, while collecting; then they are the job's */
    struct buf samples;
    size_t *sizes;
    unsigned n, max;
    struct pool_job job;
};

static void set_phase(struct trainer *tr, enum phase phase)
{
    atomic_store_explicit(&tr->phase, phase, memory_order_release);
}

static enum phase phase_of(const struct trainer *tr)
{
    return (enum phase)atomic_load_explicit(&tr->phase, memory_order_relaxed);
}

static bool full(const struct trainer *tr) { return atomic_load(&tr->dictionaries.n) == DICTIONARIES_MAX; }

/* --- collecting --- */

bool trainer_collecting(const struct trainer *tr) { return phase_of(tr) == COLLECTING; }

static void take(struct trainer *tr, struct slice payload)
{
    if (tr->sizes == NULL) {
        tr->sizes = mem_alloc(sizeof(*tr->sizes) * tr->max);
        buf_reserve(&tr->samples, tr->cfg.sample_bytes + TRAINER_TO);
    }
    buf_append_slice(&tr->samples, payload);
    tr->sizes[tr->n++] = payload.len;
    if (tr->samples.len < tr->cfg.sample_bytes && tr->n < tr->max)
        return;
    set_phase(tr, TRAINING);
    pool_submit(tr->cfg.pool, POOL_WRITE, &tr->job);
}

void trainer_sample(struct trainer *tr, struct slice payload)
{
    if (payload.len < TRAINER_FROM || payload.len > TRAINER_TO || pthread_mutex_trylock(&tr->lock) != 0)
        return;
    if (phase_of(tr) == COLLECTING)
        take(tr, payload);
    pthread_mutex_unlock(&tr->lock);
}

void trainer_count(struct trainer *tr, uint64_t bytes)
{
    int counting = COUNTING;
    if (phase_of(tr) != COUNTING)
        return;
    uint64_t seen = atomic_fetch_add_explicit(&tr->seen, bytes, memory_order_relaxed) + bytes;
    if (seen >= atomic_load_explicit(&tr->window, memory_order_relaxed))
        atomic_compare_exchange_strong(&tr->phase, &counting, COLLECTING);
}

static void forget_samples(struct trainer *tr)
{
    buf_free(&tr->samples);
    mem_free(tr->sizes, sizeof(*tr->sizes) * tr->max);
    tr->sizes = NULL;
    tr->n = 0;
}

/* --- training --- */

/* What the samples from `first` on take in records that use `d` (NULL: as they are). */
static uint64_t judge(const struct trainer *tr, const struct dictionary *d, unsigned first)
{
    static const struct slice name = {(const uint8_t *)"", 0};
    struct buf record = {0};
    uint64_t sum = 0;
    size_t at = 0;
    for (unsigned i = 0; i < tr->n; at += tr->sizes[i++]) {
        if (i < first)
            continue;
        record_value_encode(&record, name, 0, RECORD_ZSTD, d, slice_of(tr->samples.p + at, tr->sizes[i]));
        sum += record.len;
    }
    buf_free(&record);
    return sum;
}

/* Durable before its first use. */
static int save(struct trainer *tr, uint32_t id, struct slice content)
{
    struct store *store = tr->cfg.store;
    struct store_batch batch = {0};
    struct buf key = {0}, record = {0};
    record_dictionary_key(&key, id);
    record_dictionary_encode(&record, buf_slice(&key), content);
    store_batch_put(&batch, buf_slice(&key), buf_slice(&record));
    int err = store->ops->write(store, &batch);
    if (err == 0)
        err = store->ops->flush(store);
    store_batch_free(&batch);
    buf_free(&key);
    buf_free(&record);
    return err;
}

static void tell(const struct trainer *tr, uint32_t id, size_t bytes, uint64_t was, uint64_t is)
{
    logger_line(tr->cfg.logger, LOG_NOTICE,
                "Tier: dictionary %u of %zu bytes is in use; sampled records take %.0f%% of what they took", id, bytes,
                100 * (double)is / (double)max_u64(was, 1));
}

static int adopt(struct trainer *tr, struct slice content)
{
    const struct dictionary *newest = dictionaries_newest(&tr->dictionaries);
    uint32_t id = newest != NULL ? dictionary_id(newest) + 1 : 1;
    struct dictionary *d = dictionary_new(id, content);
    unsigned rest = tr->n - tr->n / 4;
    int err = 0;

    if (d == NULL)
        return -EINVAL;
    uint64_t was = judge(tr, newest, rest), is = judge(tr, d, rest);
    bool pays = is <= was - was / 10;
    if (pays)
        err = save(tr, id, content);
    if (!pays || err < 0) {
        dictionary_free(d);
        return err;
    }
    dictionaries_add(&tr->dictionaries, d);
    tell(tr, id, content.len, was, is);
    return 0;
}

/* Samples that have nothing in common make no dictionary: that is no failure. */
static int train(struct trainer *tr)
{
    uint8_t *content = mem_alloc(DICTIONARY_BYTES);
    size_t len = ZDICT_trainFromBuffer(content, DICTIONARY_BYTES, tr->samples.p, tr->sizes, tr->n - tr->n / 4);
    int err = ZDICT_isError(len) ? 0 : adopt(tr, slice_of(content, len));
    mem_free(content, DICTIONARY_BYTES);
    return err;
}

static void train_run(struct pool_job *job)
{
    struct trainer *tr = container_of(job, struct trainer, job);
    uint64_t window = atomic_load(&tr->window);
    pthread_mutex_lock(&tr->lock); /* whoever filled the samples has let go of them */
    pthread_mutex_unlock(&tr->lock);
    int err = train(tr);
    forget_samples(tr);
    atomic_fetch_add(&tr->trainings, 1);
    if (err < 0) {
        atomic_fetch_add(&tr->failures, 1);
        logger_line(tr->cfg.logger, LOG_WARNING, "Tier: a dictionary could not be stored: %s", strerror(-err));
    }
    atomic_store(&tr->window, min_u64(window * 2, max_u64(WINDOW_LAST, window)));
    atomic_store(&tr->seen, 0);
    set_phase(tr, full(tr) ? FINISHED : COUNTING);
}

/* --- life --- */

struct loading {
    struct trainer *trainer;
    char *error;
};

static int load_one(void *arg, struct slice key, struct slice value)
{
    struct loading *l = arg;
    struct dictionary *d = NULL;
    struct slice content;
    uint32_t id;

    if (record_dictionary_decode(key, value, &id, &content) == 0 && !full(l->trainer))
        d = dictionary_new(id, content);
    if (d == NULL) {
        snprintf(l->error, ERROR_MAX,
                 "a dictionary on flash is damaged: values that were compressed with it cannot be read");
        return -EBADMSG;
    }
    dictionaries_add(&l->trainer->dictionaries, d);
    return 0;
}

static int load(struct trainer *tr, char *error)
{
    struct loading l = {tr, error};
    struct store *store = tr->cfg.store;
    struct buf from = {0}, to = {0};
    record_dictionary_range(&from, &to);
    int err = store->ops->scan(store, buf_slice(&from), buf_slice(&to), load_one, &l);
    if (err < 0 && err != -EBADMSG)
        snprintf(error, ERROR_MAX, "the dictionaries on flash cannot be read: %s", strerror(-err));
    buf_free(&from);
    buf_free(&to);
    return err;
}

int trainer_open(struct trainer **out, const struct trainer_config *cfg, char *error)
{
    struct trainer *tr = mem_zalloc(sizeof(*tr));
    tr->cfg = *cfg;
    if (tr->cfg.sample_bytes == 0)
        tr->cfg.sample_bytes = SAMPLE_BYTES;
    tr->max = (unsigned)(tr->cfg.sample_bytes / TRAINER_FROM);
    tr->job.run = train_run;
    atomic_store(&tr->window, cfg->window_bytes > 0 ? cfg->window_bytes : WINDOW_FIRST);
    pthread_mutex_init(&tr->lock, NULL);
    error[0] = 0;
    int err = load(tr, error);
    if (err < 0) {
        trainer_free(tr);
        return err;
    }
    bool any = dictionaries_newest(&tr->dictionaries) != NULL;
    set_phase(tr, !cfg->train || full(tr) ? FINISHED : any ? COUNTING : COLLECTING);
    *out = tr;
    return 0;
}

void trainer_free(struct trainer *tr)
{
    forget_samples(tr);
    dictionaries_clear(&tr->dictionaries);
    pthread_mutex_destroy(&tr->lock);
    mem_free(tr, sizeof(*tr));
}

const struct dictionaries *trainer_dictionaries(const struct trainer *tr) { return &tr->dictionaries; }

void trainer_stats(const struct trainer *tr, struct trainer_stats *out)
{
    const struct dictionary *newest = dictionaries_newest(&tr->dictionaries);
    *out = (struct trainer_stats){
        .dictionaries = atomic_load(&tr->dictionaries.n),
        .newest = newest != NULL ? dictionary_id(newest) : 0,
        .trainings = atomic_load(&tr->trainings),
        .failures = atomic_load(&tr->failures),
        .training = phase_of(tr) == TRAINING,
    };
}
