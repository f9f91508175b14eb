/* The tier of one shard: its keyspaces, pins and counters. */
#include "tier/tier_impl.h"

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

struct space *tier_space(struct tier *t, const struct keyspace *ks)
{
    for (unsigned i = 0; i < t->nspaces; i++)
        if (t->spaces[i].ks == ks)
            return &t->spaces[i];
    panic("a keyspace that is not attached");
}

struct space *tier_space_by_id(struct tier *t, struct space_id id)
{
    for (unsigned i = 0; i < t->nspaces; i++)
        if (space_id_eq(t->spaces[i].ks->id, id))
            return &t->spaces[i];
    return NULL;
}

struct keyspace *tier_keyspace(struct tier *t, struct space_id id)
{
    struct space *s = tier_space_by_id(t, id);
    return s ? s->ks : NULL;
}

void tier_attach(struct tier *t, struct keyspace *ks, bool logged, bool tiered)
{
    ensure(t->nspaces < SPACES_MAX);
    t->spaces[t->nspaces++] = (struct space){.ks = ks, .logged = logged, .tiered = tiered};
}

void tier_detach(struct tier *t, struct keyspace *ks)
{
    struct space *s = tier_space(t, ks);
    run_drop(s);
    *s = t->spaces[--t->nspaces];
}

void tier_set_mode(struct tier *t, struct keyspace *ks, bool logged, bool tiered)
{
    struct space *s = tier_space(t, ks);
    s->logged = logged;
    s->tiered = tiered;
}

void tier_tell_moved(const struct tier *t, const struct keyspace *ks, struct key key, bool dropped)
{
    if (t->cfg.moved != NULL)
        t->cfg.moved(t->cfg.arg, ks, key, dropped);
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

/* --- counters --- */

uint64_t tier_transit(const struct tier *t) { return 2 * atomic_load_explicit(&t->transit, memory_order_relaxed); }
uint64_t tier_batches_done(const struct tier *t) { return t->batches_done; }

uint64_t tier_reclaim_pending(const struct tier *t) { return atomic_load_explicit(&t->pending, memory_order_relaxed); }

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
