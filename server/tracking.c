#include "server/tracking.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/ds/intset.h"
#include "server/dispatch.h"
#include "server/server.h"
#include "server/tracked.h"
#include "server/tracking_shard.h"

#define EVICTED_A_SLICE 100
#define SWEPT_A_SLICE 256 /* places of the table */

/* --- a shard's part --- */

static struct tracking *tracking_of(struct shard *s)
{
    if (s->tracking == NULL) {
        s->tracking = mem_zalloc(sizeof(*s->tracking));
        s->tracking->keys = tracked_new();
    }
    return s->tracking;
}

static void set(_Atomic uint64_t *figure, uint64_t v) { atomic_store_explicit(figure, v, memory_order_relaxed); }

static void publish(struct shard *s)
{
    const struct tracking *t = s->tracking;
    set(&s->tracking_figures.names, t != NULL ? tracked_names(t->keys) : 0);
    set(&s->tracking_figures.numbers, t != NULL ? tracked_numbers(t->keys) : 0);
    set(&s->tracking_figures.prefixes, t != NULL ? t->nprefixes : 0);
}

void tracking_end(struct shard *s)
{
    struct tracking *t = s->tracking;
    if (t == NULL)
        return;
    s->tracking = NULL;
    publish(s);
    prefixes_free(t);
    tracked_free(t->keys);
    tracked_free(t->old);
    intset_free(t->gone);
    intset_free(t->sweeping);
    mem_free(t, sizeof(*t));
}

/* --- keys --- */

struct telling {
    struct shard *here;
    const struct client *by;
    struct push message;
    struct slice name;
};

static void tell(void *arg, uint64_t number)
{
    struct telling *t = arg;
    if (t->by != NULL && number_id(number) == t->by->id && t->by->tracking != NULL && t->by->tracking->noloop)
        return;
    if (t->message.bytes == NULL)
        t->message.bytes = invalidation_of(&t->name, 1);
    invalidation_send(t->here, number, INVALIDATE_KEY, &t->message);
}

static void told(struct telling *t)
{
    if (t->message.bytes != NULL)
        blob_unref(t->message.bytes);
}

static void begin(void *arg, struct slice name)
{
    struct telling *t = arg;
    t->name = name;
}

static uint64_t limit(const struct server *server) { return (uint64_t)server->config->tracking_table_max_keys; }

static bool above_limit(struct server *server)
{
    uint64_t sum = 0;
    if (limit(server) == 0)
        return false;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit(&server->shards[i]->tracking_figures.names, memory_order_relaxed);
    return sum > limit(server);
}

/* True if it may go on. */
static bool forget_random(struct shard *here, struct shard *owner)
{
    struct telling t = {.here = here};
    bool found = tracked_take_random(owner->tracking->keys, &here->rng, begin, tell, &t);
    told(&t);
    publish(owner);
    return found;
}

void tracking_remember(struct call *c)
{
    struct key_refs refs;
    uint64_t number = number_of(c->origin);
    if (c->cmd->acl & ACL_SCRIPTING)
        return; /* of a script what its commands read counts */
    command_key_refs(c->cmd, c->argv, c->argc, &refs);
    for (int i = 0; i < refs.n; i++) {
        int arg = refs.at[i].arg;
        struct slice name = c->argv[arg];
        struct shard *owner = call_owner(c, name);
        uint64_t hash = arg == c->first_key ? c->first_hash : hash_key(name, c->server->hash_seed);
        tracked_add(tracking_of(owner)->keys, hash, name, number);
        publish(owner);
        while (unlikely(above_limit(c->server)) && forget_random(c->shard, owner))
            ;
    }
    key_refs_free(&refs);
}

void tracking_changed(struct shard *here, struct shard *owner, struct key key, const struct client *by, bool due)
{
    struct telling t = {.here = here, .by = by, .name = key.name};
    if (here->tracking != NULL && here->tracking->nprefixes > 0)
        prefixes_collect(here->tracking, key.name, due || by == NULL ? 0 : by->id);
    if (!tracked_take(owner->tracking->keys, key.hash, key.name, tell, &t))
        return;
    told(&t);
    publish(owner);
}

/* --- flush --- */

static void forget_all(struct shard *s)
{
    struct tracking *t = s->tracking;
    if (t == NULL || tracked_names(t->keys) == 0)
        return;
    tracked_free(t->old); /* the last one is not freed yet */
    t->old = t->keys;
    t->keys = tracked_new();
    publish(s);
}

void tracking_flushed(struct call *c)
{
    for (unsigned i = 0; i < c->server->nshards; i++)
        forget_all(c->server->shards[i]);
    if (atomic_load(&c->server->tracking_clients) > 0)
        invalidation_send_flushed(c->shard);
}

/* --- clients that are gone --- */

/* What a client that is closed, or broadcasts no more, leaves behind in a shard's data. */
struct leaving {
    struct task task;
    uint64_t number;
    uint32_t registration;
    bool gone;
};

static void run_leaving(struct task *task, void *arg)
{
    struct leaving *l = container_of(task, struct leaving, task);
    struct shard *s = arg;
    struct tracking *t = s->tracking;
    bool added;
    if (t != NULL) {
        prefixes_drop(t, l->number, l->registration);
        if (l->gone)
            t->gone = intset_add(t->gone != NULL ? t->gone : intset_new(), (int64_t)l->number, &added);
        publish(s);
    }
    mem_free(l, sizeof(*l));
}

static void leave(struct client *c, bool gone)
{
    struct server *server = c->home->server;
    for (unsigned i = 0; i < server->nshards; i++) {
        struct leaving *l = mem_zalloc(sizeof(*l));
        l->task.run = run_leaving;
        l->number = number_of(c);
        l->registration = c->tracking_registration;
        l->gone = gone;
        shard_post(server->shards[i], &l->task);
    }
}

static void sweep_begin(struct tracking *t, uint64_t now_us)
{
    t->sweeping = t->gone;
    t->gone = NULL;
    t->cursor = 0;
    t->sweep_began_us = now_us;
}

/* Clients that come and go all the time make one pass follow the other: a tenth of the time is spent on them. */
static void sweep_end(struct tracking *t, uint64_t now_us)
{
    intset_free(t->sweeping);
    t->sweeping = NULL;
    t->next_sweep_us = now_us + 9 * (now_us - t->sweep_began_us);
}

/* True if there is more to be done at once. */
static bool sweep(struct tracking *t, uint64_t now_us)
{
    if (t->sweeping == NULL && t->gone != NULL && now_us >= t->next_sweep_us)
        sweep_begin(t, now_us);
    for (int i = 0; t->sweeping != NULL && i < SWEPT_A_SLICE; i++) {
        t->cursor = tracked_sweep(t->keys, t->cursor, t->sweeping);
        if (t->cursor == 0)
            sweep_end(t, now_us);
    }
    return t->sweeping != NULL;
}

static bool unused(const struct shard *s)
{
    const struct tracking *t = s->tracking;
    return tracked_names(t->keys) == 0 && t->nprefixes == 0 && t->nchanged == 0 && t->old == NULL && t->gone == NULL &&
           t->sweeping == NULL && atomic_load_explicit(&s->server->tracking_clients, memory_order_relaxed) == 0;
}

bool tracking_slice(struct shard *s)
{
    struct tracking *t = s->tracking;
    bool more = false;
    if (likely(t == NULL))
        return false;
    for (int i = 0; i < EVICTED_A_SLICE && above_limit(s->server) && forget_random(s, s); i++)
        more = true;
    if (t->old != NULL && tracked_free_some(t->old))
        t->old = NULL;
    more |= t->old != NULL;
    more |= sweep(t, s->now_us);
    publish(s);
    if (!more && unused(s))
        tracking_end(s);
    return more;
}

/* --- modes --- */

struct tracking_mode *tracking_on(struct client *c)
{
    if (c->tracking == NULL) {
        c->tracking = mem_zalloc(sizeof(*c->tracking));
        words_init(&c->tracking->prefixes);
        c->has_tracked = true;
        atomic_fetch_add(&c->home->server->tracking_clients, 1);
    }
    return c->tracking;
}

void tracking_prefixes(struct shard *here, struct client *c)
{
    struct server *server = here->server;
    tracking_broadcast(here); /* what was changed before this is for those who were there */
    c->tracking_registration++;
    for (unsigned i = 0; i < server->nshards; i++) {
        struct shard *s = server->shards[i];
        prefixes_drop(tracking_of(s), number_of(c), c->tracking_registration);
        prefixes_add(s->tracking, &c->tracking->prefixes,
                     (struct listener_of){number_of(c), c->tracking_registration, c->tracking->noloop});
        publish(s);
    }
}

static void mode_free(struct client *c)
{
    words_free(&c->tracking->prefixes);
    mem_free(c->tracking, sizeof(*c->tracking));
    c->tracking = NULL;
}

void tracking_off(struct client *c)
{
    if (c->tracking == NULL)
        return;
    atomic_fetch_sub(&c->home->server->tracking_clients, 1);
    if (c->tracking->bcast)
        leave(c, false);
    mode_free(c);
}

void tracking_closed(struct client *c)
{
    if (c->tracking != NULL)
        atomic_fetch_sub(&c->home->server->tracking_clients, 1);
}

void tracking_free(struct client *c)
{
    if (c->has_tracked)
        leave(c, true);
    if (c->tracking != NULL)
        mode_free(c);
}

bool tracking_wanted(const struct client *c)
{
    const struct tracking_mode *m = c->tracking;
    return !m->bcast && (!m->optin || m->caching) && (!m->optout || !m->caching);
}

void tracking_ran(struct client *c, const struct command *cmd)
{
    bool of_client = cmd != NULL && cmd->parent != NULL && strcmp(cmd->parent->name, "client") == 0;
    if (!of_client && !tx_queueing(c))
        c->tracking->caching = false;
}
