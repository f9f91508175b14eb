/* MEMORY: what a key takes, and what the process has. */
#include "server/memory.h"
#include "core/base/mem.h"
#include "server/admin.h"
#include "server/dispatch.h"
#include "server/lazy.h"
#include "server/reply.h"

/* --- USAGE --- */

/* Sizes are kept, not sampled: the answer is exact however many SAMPLES are asked for. */
static bool usage_options(struct call *c)
{
    int64_t samples;
    for (int i = 3; i < c->argc; i += 2) {
        if (!slice_is(c->argv[i], "samples") || i + 1 >= c->argc) {
            reply_syntax(c);
            return false;
        }
        if (!arg_i64(c, c->argv[i + 1], &samples))
            return false;
        if (samples < 0) {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

/* The entry as the allocator counts it, and what lies outside. A cold value counts as if it were in RAM: the metadata
 * knows its size, and the answer does not depend on what has just been read. */
static void usage_run(struct call *c)
{
    if (!usage_options(c))
        return;
    struct place p = place_peek(c, 2);
    if (p.e == NULL) {
        reply_null(c);
        return;
    }
    bool inside = p.e->encoding == ENC_EMBED || p.e->encoding == ENC_INT;
    reply_int(c, (int64_t)(mem_class(entry_bytes(p.e)) + (inside ? 0 : keyspace_ram_bytes(p.e))));
}

/* --- STATS and DOCTOR --- */

struct figures {
    struct mem_stats m;
    uint64_t peak, data, pending_free, keys;
};

static void figures_of(struct call *c, struct figures *f)
{
    struct server *s = c->server;
    memory_publish(c->shard);
    mem_stats(&f->m);
    f->data = memory_data(s);
    f->peak = max_u64(atomic_load(&s->peak_memory), f->m.allocated);
    f->pending_free = lazy_pending_bytes(s->lazy);
    f->keys = 0;
    for (uint32_t db = 0; db < call_databases(c); db++)
        for (unsigned i = 0; i < s->nshards; i++)
            f->keys += atomic_load_explicit(&s->shards[i]->figures[db].keys, memory_order_relaxed);
}

static double ratio(uint64_t a, uint64_t b) { return b > 0 ? (double)a / (double)b : 0; }

static void stats_run(struct call *c)
{
    struct figures f;
    figures_of(c, &f);
    const struct {
        const char *name;
        uint64_t v;
    } counts[] = {
        {"peak.allocated", f.peak},
        {"total.allocated", f.m.allocated},
        {"overhead.total", f.m.allocated > f.data ? f.m.allocated - f.data : 0},
        {"keys.count", f.keys},
        {"keys.bytes-per-key", f.keys > 0 ? f.data / f.keys : 0},
        {"dataset.bytes", f.data},
        {"lazyfree.pending-bytes", f.pending_free},
        {"allocator.allocated", f.m.allocated},
        {"allocator.active", f.m.active},
        {"allocator.resident", f.m.resident},
        {"allocator-fragmentation.bytes", f.m.active - f.m.allocated},
        {"allocator-rss.bytes", f.m.resident - f.m.active},
        {"rss-overhead.bytes", f.m.rss - f.m.resident},
        {"fragmentation.bytes", f.m.rss - f.m.allocated},
    };
    const struct {
        const char *name;
        double v;
    } ratios[] = {
        {"dataset.percentage", 100 * ratio(f.data, f.m.allocated)},
        {"peak.percentage", 100 * ratio(f.m.allocated, f.peak)},
        {"allocator-fragmentation.ratio", ratio(f.m.active, f.m.allocated)},
        {"allocator-rss.ratio", ratio(f.m.resident, f.m.active)},
        {"rss-overhead.ratio", ratio(f.m.rss, f.m.resident)},
        {"fragmentation", ratio(f.m.rss, f.m.allocated)},
    };
    reply_map(c, ARRAY_LEN(counts) + ARRAY_LEN(ratios));
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        reply_bulk_str(c, counts[i].name);
        reply_int(c, (int64_t)counts[i].v); /* differences may be negative, as in Redis */
    }
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        reply_bulk_str(c, ratios[i].name);
        reply_double(c, ratios[i].v);
    }
}

#define LITTLE (5 * MIB) /* below this the figures say nothing */
#define NOTABLE (10 * MIB)

static void advise(struct buf *b, bool is_so, const char *text)
{
    if (is_so)
        buf_printf(b, " * %s\n", text);
}

static void diagnose(struct call *c, const struct figures *f, struct buf *b)
{
    uint64_t budget = memory_budget(c->server);
    advise(b, f->peak > f->m.allocated + f->m.allocated / 2,
           "Peak memory: more than 150% of what is used now. Pages may be fragmented; MEMORY PURGE gives back what is "
           "free.");
    advise(b, f->m.active > f->m.allocated + f->m.allocated / 10 * 4 && f->m.active - f->m.allocated > NOTABLE,
           "Fragmentation: pages with live data hold more than 140% of that data.");
    advise(b, f->m.rss > f->m.resident + f->m.resident / 10 && f->m.rss - f->m.resident > NOTABLE,
           "Resident memory that the allocator does not know of is more than 10% of what it does: stacks, libraries, "
           "files in memory.");
    advise(b, f->pending_free > f->m.allocated / 4,
           "Deleted values wait to be freed in the background: more than a quarter of the memory.");
    advise(b, budget != UINT64_MAX && f->data > budget,
           "The data is above its budget: see maxmemory, and INFO tier for what cannot be dropped.");
}

static void doctor_run(struct call *c)
{
    struct figures f;
    struct buf b = {0};
    figures_of(c, &f);
    if (f.m.allocated >= LITTLE)
        diagnose(c, &f, &b);
    if (f.m.allocated < LITTLE)
        buf_append_str(&b, "The instance is empty or uses very little memory: nothing can be said yet.\n");
    else if (b.len == 0)
        buf_append_str(&b, "No memory problem was found.\n");
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&b));
    buf_free(&b);
}

/* --- the allocator --- */

static void append_text(void *arg, const char *text) { buf_append_str(arg, text); }

static void malloc_stats_run(struct call *c)
{
    struct buf b = {0};
    if (mem_report(append_text, &b))
        resp_verbatim(c->out, c->proto, "txt", buf_slice(&b));
    else
        reply_bulk_str(c, "Stats not supported for the current allocator");
    buf_free(&b);
}

static void purge_run(struct call *c)
{
    mem_purge();
    reply_ok(c);
}

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Sizes are exact, whatever",
        "    the <count>; a value that is on flash counts as if it were in memory.",
        NULL,
    };
    reply_help(c, lines);
}

/* --- declarations --- */

#define SUB(n, fn, sum, cx, ...)                                                                                    \
    {                                                                                                               \
        .name = n, .run = fn, .arity = 2, .route = ROUTE_HOME, .group = "server", .summary = sum, .since = "4.0.0", \
        .complexity = cx, __VA_ARGS__                                                                               \
    }
#define SPECIAL .tips = STRINGS("nondeterministic_output", "request_policy:all_shards", "response_policy:special")

static const struct command_arg usage_args[] = {
    ARG("key", "key"),
    ARG("count", "integer", .token = "SAMPLES", .flags = ARG_OPTIONAL),
    ARG_END,
};

static struct command memory_subcommands[] = {
    SUB("doctor", doctor_run, "Outputs a memory problems report.", "O(1)", SPECIAL),
    SUB("help", help_run, "Returns helpful text about the different subcommands.", "O(1)",
        .flags = CMD_LOADING | CMD_STALE),
    SUB("malloc-stats", malloc_stats_run, "Returns the allocator statistics.",
        "Depends on how much memory is allocated, could be slow", SPECIAL),
    SUB("purge", purge_run, "Asks the allocator to release memory.",
        "Depends on how much memory is allocated, could be slow",
        .tips = STRINGS("request_policy:all_shards", "response_policy:all_succeeded")),
    SUB("stats", stats_run, "Returns details about memory usage.", "O(1)", SPECIAL),
    {.name = "usage",
     .run = usage_run,
     .arity = -3,
     .flags = CMD_READONLY,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RO, .first = 2, .step = 1, .need = NEED_META}},
     .group = "server",
     .summary = "Estimates the memory usage of a key.",
     .since = "4.0.0",
     .complexity = "O(N) where N is the number of samples.",
     .args = usage_args},
    {.name = NULL},
};

struct command memory_commands[] = {
    {.name = "memory",
     .arity = -2,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "A container for memory diagnostics commands.",
     .since = "4.0.0",
     .complexity = "Depends on subcommand.",
     .subcommands = memory_subcommands},
    {.name = NULL},
};
