#include "server/lazy.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

struct item {
    struct item *next;
    struct keyspace *ks;
    uint64_t bytes, keys;
};

struct lazy {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct item *first, *last;
    bool stop;
    _Atomic uint64_t bytes, objects;
};

static struct item *take(struct lazy *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->first == NULL && !l->stop)
        pthread_cond_wait(&l->work, &l->lock);
    struct item *i = l->first;
    if (i != NULL) {
        l->first = i->next;
        if (l->first == NULL)
            l->last = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    return i;
}

static void *lazy_main(void *arg)
{
    struct lazy *l = arg;
    struct item *i;
    pthread_setname_np(pthread_self(), "lazy-free");
    while ((i = take(l)) != NULL) {
        keyspace_free(i->ks);
        atomic_fetch_sub(&l->bytes, i->bytes);
        atomic_fetch_sub(&l->objects, i->keys);
        mem_free(i, sizeof(*i));
    }
    return NULL;
}

struct lazy *lazy_start(void)
{
    struct lazy *l = mem_zalloc(sizeof(*l));
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    ensure(pthread_create(&l->thread, NULL, lazy_main, l) == 0);
    return l;
}

void lazy_stop(struct lazy *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    mem_free(l, sizeof(*l));
}

void lazy_free_keyspace(struct lazy *l, struct keyspace *ks)
{
    struct item *i = mem_alloc(sizeof(*i));
    *i = (struct item){NULL, ks, keyspace_memory(ks), ks->keys};
    atomic_fetch_add(&l->bytes, i->bytes);
    atomic_fetch_add(&l->objects, i->keys);
    pthread_mutex_lock(&l->lock);
    if (l->last != NULL)
        l->last->next = i;
    else
        l->first = i;
    l->last = i;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

uint64_t lazy_pending_bytes(const struct lazy *l) { return atomic_load(&l->bytes); }
uint64_t lazy_pending_objects(const struct lazy *l) { return atomic_load(&l->objects); }
