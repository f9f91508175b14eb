/* Checkpoints clean in hash order, the order of flash (record.h): hashes are taken from a dirty queue and sorted. */
#include <stdlib.h>

#include "tier/tier_impl.h"

#define RUN_MAX 1048576 /* words sorted together */
#define TAKES_A_SLICE 65536
#define SORT_HERE 2048 /* words that are sorted on the spot */

/* Hashes taken from a dirty queue, to be cleaned in hash order: the order of flash (record.h). */
struct run {
    struct pool_job job;
    struct task sorted;
    struct tier *tier;
    enum { RUN_FILLING, RUN_SORTING, RUN_READY } state;
    bool orphan;       /* its keyspace is gone: freed when it is sorted */
    size_t n, cap, at; /* words; those before `at` are done */
    size_t kept;       /* of those before `at`, moved to the front: busy, to be looked at again */
    bool encoding;     /* one more word: its value is large and being encoded in parts */
    uint64_t encoding_hash;
    uint64_t *hashes;
};

static void run_free(struct run *run)
{
    mem_free(run->hashes, sizeof(*run->hashes) * run->cap);
    mem_free(run, sizeof(*run));
}

void run_drop(struct space *s)
{
    if (s->run == NULL)
        return;
    if (s->run->state == RUN_SORTING)
        s->run->orphan = true;
    else
        run_free(s->run);
    s->run = NULL;
}

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

static void begin_large(struct tier *t, struct space *s, struct run *run, struct entry *e, uint64_t hash)
{
    e->flags |= ENTRY_QUEUED;
    if (large_begin(t, s->ks, e, hash)) {
        run->encoding = true;
        run->encoding_hash = hash;
    } else {
        run->hashes[run->kept++] = hash;
    }
}

/* Its word is done, even if it changes again before it is on flash: then it is queued anew, for the next checkpoint. A
 * value that always changes would else be written again and again, and the checkpoint not end before the changes do. */
void run_encoded(struct space *s, uint64_t hash, struct entry *cleaned)
{
    struct run *run = s->run;
    if (run == NULL || !run->encoding || run->encoding_hash != hash)
        return;
    run->encoding = false;
    if (cleaned != NULL)
        cleaned->flags &= (uint16_t)~ENTRY_QUEUED;
    else if (run->kept < run->at)
        run->hashes[run->kept++] = hash;
    else
        run->hashes[run->n++] = hash;
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
        } else if (item.e != NULL && large_value(item.e)) {
            begin_large(t, s, run, item.e, hash);
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
    struct space *s = tier_space(t, ks);
    struct run *run = run_ready(t, s, until);
    unsigned taken = run != NULL ? run_clean(t, s, run, stamp, max_keys) : 0;

    batch_close(t);
    if (run != NULL && run->n == 0 && !run->encoding)
        run_drop(s);
    *done = s->run == NULL && (queue_empty(&ks->dirty) || ks->dirty.head >= until);
    return taken;
}
