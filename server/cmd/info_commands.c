/* INFO about commands: how often, how long, and which errors. */
#include <stdlib.h>

#include "core/base/num.h"
#include "server/cmd/info.h"
#include "server/server.h"

struct lines {
    struct server *server;
    struct buf *b;
    void (*line)(struct lines *l, const struct command *cmd);
};

static void with_subcommands(void *arg, const struct command *cmd)
{
    struct lines *l = arg;
    for (const struct command *sub = cmd->subcommands; sub != NULL && sub->name != NULL; sub++)
        with_subcommands(arg, sub);
    l->line(l, cmd);
}

static void each_command(struct call *c, struct buf *b, void (*line)(struct lines *l, const struct command *cmd))
{
    struct lines l = {c->server, b, line};
    command_each(with_subcommands, &l);
}

/* --- commandstats --- */

static void calls_line(struct lines *l, const struct command *cmd)
{
    struct command_sums s;
    timing_sums(l->server, cmd, &s, NULL);
    if (s.calls + s.rejected > 0)
        buf_printf(l->b, "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
                   cmd->full_name, (unsigned long long)s.calls, (unsigned long long)s.us,
                   s.calls > 0 ? (double)s.us / (double)s.calls : 0.0, (unsigned long long)s.rejected,
                   (unsigned long long)s.failed);
}

void info_commandstats(struct call *c, struct buf *b) { each_command(c, b, calls_line); }

/* --- latencystats --- */

/* The value below which `percent` of `total` calls are, in nanoseconds. */
static uint64_t percentile_ns(const struct ticks *t, const uint64_t *times, uint64_t total, double percent)
{
    uint64_t wanted = (uint64_t)(percent / 100 * (double)total + 0.5), seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += times[i];
        if (seen >= wanted && seen > 0)
            return ticks_ns(t, histogram_upper(i));
    }
    return 0;
}

static void percentiles_line(struct lines *l, const struct command *cmd)
{
    const struct percentiles *p = &l->server->config->latency_percentiles;
    uint64_t times[HISTOGRAM_BUCKETS], total = 0;
    struct command_sums s;
    timing_sums(l->server, cmd, &s, times);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += times[i];
    if (total == 0)
        return;
    buf_printf(l->b, "latency_percentiles_usec_%s:", cmd->full_name);
    for (int i = 0; i < p->n; i++) {
        char name[40];
        size_t len = num_format_double(name, p->at[i]);
        buf_printf(l->b, "%sp%.*s=%.3f", i ? "," : "", (int)len, name,
                   (double)percentile_ns(&l->server->timing.ticks, times, total, p->at[i]) / 1000);
    }
    buf_append_str(l->b, "\r\n");
}

void info_latencystats(struct call *c, struct buf *b) { each_command(c, b, percentiles_line); }

/* --- errorstats --- */

struct error_sum {
    const char *name;
    uint64_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct error_sum *)a)->name, ((const struct error_sum *)b)->name);
}

static void append_error(struct buf *b, const char *name, uint64_t count)
{
    if (count > 0)
        buf_printf(b, "errorstat_%s:count=%llu\r\n", name, (unsigned long long)count);
}

void info_errorstats(struct call *c, struct buf *b)
{
    struct buf all = {0};
    uint64_t others = 0;
    for (unsigned i = 0; i < c->server->nshards; i++) {
        struct error_stats *e = &c->server->shards[i]->errors;
        unsigned n = atomic_load_explicit(&e->n, memory_order_acquire);
        for (unsigned k = 0; k < n; k++) {
            struct error_sum sum = {e->kind[k].name, atomic_load_explicit(&e->kind[k].count, memory_order_relaxed)};
            buf_append(&all, &sum, sizeof(sum));
        }
        others += atomic_load_explicit(&e->others, memory_order_relaxed);
    }
    struct error_sum *at = (struct error_sum *)all.p;
    size_t n = all.len / sizeof(*at);
    if (n > 1)
        qsort(at, n, sizeof(*at), by_name);
    for (size_t i = 0; i < n; i++) {
        uint64_t count = at[i].count;
        while (i + 1 < n && strcmp(at[i].name, at[i + 1].name) == 0)
            count += at[++i].count;
        append_error(b, at[i].name, count);
    }
    append_error(b, "ERRORSTATS_OVERFLOW", others);
    buf_free(&all);
}
