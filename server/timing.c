#include "server/timing.h"

#include "core/base/mem.h"
#include "server/latency.h"
#include "server/server.h"
#include "server/slowlog.h"

#define LONG_US 1000 /* the clock is looked at again */

/* --- thresholds --- */

void timing_init(struct server *server)
{
    ticks_init(&server->timing.ticks, server->clock);
    timing_follow(server);
}

void timing_follow(struct server *server)
{
    struct timing *t = &server->timing;
    const struct config *cfg = server->config;
    uint64_t slow = UINT64_MAX, latency = UINT64_MAX;
    if (cfg->slowlog_log_slower_than >= 0 && cfg->slowlog_max_len > 0)
        slow = ticks_of_us(&t->ticks, (uint64_t)cfg->slowlog_log_slower_than);
    if (cfg->latency_monitor_threshold > 0)
        latency = ticks_of_us(&t->ticks, (uint64_t)cfg->latency_monitor_threshold * 1000);
    atomic_store_explicit(&t->slowlog, slow, memory_order_relaxed);
    atomic_store_explicit(&t->latency, latency, memory_order_relaxed);
    uint64_t least = min_u64(min_u64(slow, latency), min_u64(ticks_of_us(&t->ticks, LONG_US), HISTOGRAM_LIMIT));
    atomic_store_explicit(&t->least, cfg->latency_tracking ? least : 0, memory_order_relaxed);
}

/* --- runs --- */

void timing_start(struct shard *s) { s->tick = timing_now(&s->server->timing); }

static inline void count(struct call *c, struct command_stats *stats, struct histogram *times, uint64_t took)
{
    stat_add(&stats->calls, 1);
    stat_add(&stats->ticks, took);
    if (unlikely(c->failed))
        stat_add(&stats->failed, 1);
    if (likely(times != NULL))
        histogram_add(times, took);
}

static struct histogram *new_times(struct command_stats *stats)
{
    struct histogram *h = mem_zalloc(sizeof(*h));
    atomic_store_explicit(&stats->times, h, memory_order_release);
    return h;
}

/* It was slow, or is the first of its command on this shard, or times are not counted. */
static cold_fn bool book_rare(struct call *c, uint64_t took)
{
    const struct timing *t = &c->server->timing;
    struct command_stats *stats = &c->shard->commands[c->cmd->id];
    struct histogram *times = atomic_load_explicit(&stats->times, memory_order_relaxed);
    bool tracked = c->server->config->latency_tracking;

    took = took > INT64_MAX ? 0 : min_u64(took, HISTOGRAM_LIMIT - 1); /* two processors' counters differ a little */
    count(c, stats, tracked && times == NULL ? new_times(stats) : tracked ? times : NULL, took);
    if (took + c->waited >= atomic_load_explicit(&t->slowlog, memory_order_relaxed) &&
        !(c->cmd->flags & CMD_SKIP_SLOWLOG))
        slowlog_add(c, took);
    if (took >= atomic_load_explicit(&t->latency, memory_order_relaxed))
        latency_add(c->shard, c->cmd->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, took);
    return ticks_ns(&t->ticks, took) >= LONG_US * 1000;
}

/* What is rare is called last: so nothing has to be kept on the stack for it. */
bool timing_book(struct call *c, uint64_t from, uint64_t now)
{
    struct shard *s = c->shard;
    struct command_stats *stats = &s->commands[c->cmd->id];
    struct histogram *times = atomic_load_explicit(&stats->times, memory_order_relaxed);
    uint64_t took = now - from;

    s->tick = now;
    if (unlikely(took + c->waited >= atomic_load_explicit(&s->server->timing.least, memory_order_relaxed) ||
                 times == NULL))
        return book_rare(c, took);
    count(c, stats, times, took);
    return false;
}

/* --- errors --- */

static struct error_kind *find_kind(struct error_stats *e, const char *name, size_t len)
{
    unsigned n = atomic_load_explicit(&e->n, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++)
        if (memcmp(e->kind[i].name, name, len) == 0 && e->kind[i].name[len] == 0)
            return &e->kind[i];
    if (n == ERROR_KINDS)
        return NULL;
    memcpy(e->kind[n].name, name, len);
    atomic_store_explicit(&e->n, n + 1, memory_order_release);
    return &e->kind[n];
}

void timing_error(struct shard *s, struct slice text)
{
    struct error_stats *e = &s->errors;
    size_t len = 0;
    while (len < text.len && text.p[len] > ' ' && len < sizeof(e->kind[0].name) - 1)
        len++;
    bool word = len > 0 && (len == text.len || text.p[len] == ' ');
    struct error_kind *kind = word ? find_kind(e, (const char *)text.p, len) : find_kind(e, "ERR", 3);
    stat_add(kind != NULL ? &kind->count : &e->others, 1);
    stat_add(&s->stats.errors, 1);
}

/* --- reading and resetting --- */

void timing_sums(struct server *server, const struct command *cmd, struct command_sums *out, uint64_t *times)
{
    uint64_t ticks = 0;
    memset(out, 0, sizeof(*out));
    if (times != NULL)
        memset(times, 0, sizeof(*times) * HISTOGRAM_BUCKETS);
    for (unsigned i = 0; i < server->nshards; i++) {
        struct command_stats *st = &server->shards[i]->commands[cmd->id];
        const struct histogram *h = atomic_load_explicit(&st->times, memory_order_acquire);
        out->calls += atomic_load_explicit(&st->calls, memory_order_relaxed);
        out->rejected += atomic_load_explicit(&st->rejected, memory_order_relaxed);
        out->failed += atomic_load_explicit(&st->failed, memory_order_relaxed);
        ticks += atomic_load_explicit(&st->ticks, memory_order_relaxed);
        if (h != NULL && times != NULL)
            histogram_sum(h, times);
    }
    out->us = ticks_ns(&server->timing.ticks, ticks) / 1000;
}

uint64_t timing_calls(const struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        for (unsigned id = 0; id < command_ids(); id++)
            sum += atomic_load_explicit(&server->shards[i]->commands[id].calls, memory_order_relaxed);
    return sum;
}

void timing_reset(struct shard *s)
{
    for (unsigned i = 0; i < command_ids(); i++) {
        struct command_stats *st = &s->commands[i];
        struct histogram *h = atomic_load_explicit(&st->times, memory_order_relaxed);
        st->calls = st->rejected = st->failed = st->ticks = 0;
        if (h != NULL)
            memset(h, 0, sizeof(*h));
    }
    memset(&s->errors, 0, sizeof(s->errors));
}

void timing_free(struct shard *s)
{
    for (unsigned i = 0; i < command_ids(); i++)
        mem_free(atomic_load(&s->commands[i].times), sizeof(struct histogram));
}
