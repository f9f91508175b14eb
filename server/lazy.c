#include "server/lazy.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"

#define PURGE_FROM (4 * MIB) /* after more than that the pages are given back at once, not when they have aged */

struct item {
    struct item *next;
    struct keyspace *ks; /* or, if NULL, … */
    struct value value;
    uint64_t bytes, objects;
};

struct lazy {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct item *first, *last;
    bool stop;
    _Atomic uint64_t bytes, objects, freed;
};

static struct item *take(struct lazy *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->first == NULL && !l->stop)
        pthread_cond_wait(&l->work, &l->lock);
    struct item *i = l->first;
    if (i != NULL)
        fifo_pop(l);
    pthread_mutex_unlock(&l->lock);
    return i;
}

static void *lazy_main(void *arg)
{
    struct lazy *l = arg;
    struct item *i;
    pthread_setname_np(pthread_self(), "lazy-free");
    while ((i = take(l)) != NULL) {
        if (i->ks != NULL)
            keyspace_free(i->ks);
        else
            value_release(&i->value);
        if (i->bytes >= PURGE_FROM)
            mem_purge();
        atomic_fetch_sub(&l->bytes, i->bytes);
        atomic_fetch_sub(&l->objects, i->objects);
        atomic_fetch_add(&l->freed, i->objects);
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

static void give(struct lazy *l, const struct item *what)
{
    struct item *i = mem_alloc(sizeof(*i));
    *i = *what;
    atomic_fetch_add(&l->bytes, i->bytes);
    atomic_fetch_add(&l->objects, i->objects);
    pthread_mutex_lock(&l->lock);
    fifo_push(l, i);
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

void lazy_free_keyspace(struct lazy *l, struct keyspace *ks)
{
    give(l, &(struct item){.ks = ks, .bytes = keyspace_memory(ks), .objects = ks->keys});
}

void lazy_free_value(struct lazy *l, const struct value *v, uint64_t bytes)
{
    give(l, &(struct item){.value = *v, .bytes = bytes, .objects = 1});
}

uint64_t lazy_pending_bytes(const struct lazy *l) { return l != NULL ? atomic_load(&l->bytes) : 0; }
uint64_t lazy_pending_objects(const struct lazy *l) { return atomic_load(&l->objects); }

uint64_t lazy_freed_objects(const struct lazy *l) { return l != NULL ? atomic_load(&l->freed) : 0; }
void lazy_reset_stats(struct lazy *l) { atomic_store(&l->freed, 0); }
