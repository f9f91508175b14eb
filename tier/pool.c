#include "tier/pool.h"

#include <pthread.h>
#include <stdio.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"

#define THREADS_MAX 64
/* The store takes one batch at a time, so more would only wait for each other, and mix what is in order. The second is
 * for other work: sorting, a checkpoint's record, training. */
#define WRITERS_MAX 2

struct jobs {
    struct pool_job *first, *last;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct jobs queue[2]; /* by class */
    unsigned writing, writers_max;
    size_t pending;
    bool stop;
    unsigned n;
    pthread_t thread[THREADS_MAX];
};

static struct pool_job *pop(struct jobs *q)
{
    struct pool_job *j = q->first;
    fifo_pop(q);
    return j;
}

/* With the lock: the next job that may run, reads first; NULL if there is none. */
static struct pool_job *next_job(struct pool *p, bool *writes)
{
    *writes = false;
    if (p->queue[POOL_READ].first != NULL)
        return pop(&p->queue[POOL_READ]);
    if (p->queue[POOL_WRITE].first == NULL || p->writing == p->writers_max)
        return NULL;
    *writes = true;
    p->writing++;
    return pop(&p->queue[POOL_WRITE]);
}

static void *pool_main(void *arg)
{
    struct pool *p = arg;
    bool writes;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_job *j = next_job(p, &writes);
        if (j == NULL) {
            if (p->stop && p->queue[POOL_WRITE].first == NULL)
                break;
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        j->run(j);
        pthread_mutex_lock(&p->lock);
        p->pending--;
        if (writes) {
            p->writing--;
            pthread_cond_signal(&p->work);
        }
    }
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(unsigned threads)
{
    struct pool *p = mem_zalloc(sizeof(*p));
    ensure(threads >= 1 && threads <= THREADS_MAX);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    p->n = threads;
    p->writers_max = threads > 3 ? WRITERS_MAX : 1;
    for (unsigned i = 0; i < threads; i++) {
        char name[16];
        ensure(pthread_create(&p->thread[i], NULL, pool_main, p) == 0);
        snprintf(name, sizeof(name), "tier-%u", i);
        pthread_setname_np(p->thread[i], name);
    }
    return p;
}

void pool_submit(struct pool *p, enum pool_class cls, struct pool_job *j)
{
    pthread_mutex_lock(&p->lock);
    fifo_push(&p->queue[cls], j);
    p->pending++;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

size_t pool_pending(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->pending;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void pool_free(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n; i++)
        pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    mem_free(p, sizeof(*p));
}
