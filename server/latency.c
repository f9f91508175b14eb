#include "server/latency.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "server/server.h"

static const char *const names[] = {
    [LATENCY_COMMAND] = "command",
    [LATENCY_FAST_COMMAND] = "fast-command",
    [LATENCY_FETCH] = "fetch",
    [LATENCY_HOLD] = "hold",
    [LATENCY_EXPIRE] = "expire-cycle",
    [LATENCY_EVICTION] = "eviction-cycle",
    [LATENCY_CHECKPOINT] = "checkpoint-slice",
    [LATENCY_SNAPSHOT] = "snapshot-slice",
    [LATENCY_LOG_WRITE] = "aof-write",
    [LATENCY_LOG_FSYNC] = "aof-fsync",
};

const char *latency_name(enum latency_event e) { return names[e]; }

enum latency_event latency_find(struct slice name)
{
    int e = 0;
    while (e < LATENCY_EVENTS && !slice_eq(name, slice_str(names[e])))
        e++;
    return (enum latency_event)e;
}

/* --- samples --- */

static struct latency_sample *newest(struct latency_series *series)
{
    return series->n == 0 ? NULL : &series->ring[(series->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
}

static void add(struct latency_series *series, struct latency_sample sample)
{
    struct latency_sample *last = newest(series);
    if (sample.ms > series->max_ms)
        series->max_ms = sample.ms;
    if (last != NULL && last->at_s == sample.at_s) {
        last->ms = sample.ms > last->ms ? sample.ms : last->ms;
        return;
    }
    series->ring[series->next] = sample;
    series->next = (series->next + 1) % LATENCY_SAMPLES;
    series->n += series->n < LATENCY_SAMPLES;
}

void latency_add(struct shard *s, enum latency_event e, uint64_t ticks)
{
    struct server *server = s->server;
    if (s->latency == NULL)
        s->latency = mem_zalloc(sizeof(*s->latency));
    add(&s->latency->of[e],
        (struct latency_sample){(uint32_t)(clock_wall_ms(server->clock) / 1000),
                                (uint32_t)min_u64(ticks_ns(&server->timing.ticks, ticks) / 1000000, UINT32_MAX)});
}

void latency_mark(struct shard *s, enum latency_event e, uint64_t *from)
{
    const struct timing *t = &s->server->timing;
    if (likely(*from == 0))
        return;
    uint64_t now = timing_now(t);
    if (now > *from && now - *from >= atomic_load_explicit(&t->latency, memory_order_relaxed))
        latency_add(s, e, now - *from);
    *from = now;
}

/* --- reading --- */

static int by_time(const void *a, const void *b)
{
    const struct latency_sample *x = a, *y = b;
    return x->at_s < y->at_s ? -1 : x->at_s > y->at_s;
}

/* One a second, the longest of it. */
static unsigned merge_seconds(struct latency_sample *at, unsigned n)
{
    unsigned to = 0;
    for (unsigned i = 0; i < n; i++) {
        if (to > 0 && at[to - 1].at_s == at[i].at_s)
            at[to - 1].ms = at[i].ms > at[to - 1].ms ? at[i].ms : at[to - 1].ms;
        else
            at[to++] = at[i];
    }
    return to;
}

unsigned latency_history(struct server *server, enum latency_event e, struct latency_sample out[LATENCY_SAMPLES],
                         uint32_t *max_ms)
{
    size_t bytes = sizeof(struct latency_sample) * LATENCY_SAMPLES * server->nshards;
    struct latency_sample *all = mem_alloc(bytes);
    unsigned n = 0;
    *max_ms = 0;
    for (unsigned i = 0; i < server->nshards; i++) {
        const struct latency *l = server->shards[i]->latency;
        const struct latency_series *series = l ? &l->of[e] : NULL;
        for (unsigned k = 0; series != NULL && k < series->n; k++)
            all[n++] = series->ring[k];
        if (series != NULL && series->max_ms > *max_ms)
            *max_ms = series->max_ms;
    }
    qsort(all, n, sizeof(*all), by_time);
    n = merge_seconds(all, n);
    unsigned shown = n < LATENCY_SAMPLES ? n : LATENCY_SAMPLES;
    memcpy(out, all + n - shown, sizeof(*all) * shown);
    mem_free(all, bytes);
    return shown;
}

bool latency_reset(struct server *server, enum latency_event e)
{
    bool any = false;
    for (unsigned i = 0; i < server->nshards; i++) {
        struct latency *l = server->shards[i]->latency;
        any |= l != NULL && l->of[e].n > 0;
        if (l != NULL)
            memset(&l->of[e], 0, sizeof(l->of[e]));
    }
    return any;
}
