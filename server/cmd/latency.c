/* LATENCY: what was slow, and how long commands take. */
#include "server/latency.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "server/admin.h"
#include "server/reply.h"

/* --- events --- */

struct event_history {
    enum latency_event event;
    unsigned n;
    uint32_t max_ms;
    struct latency_sample at[LATENCY_SAMPLES];
};

static bool history_of(struct call *c, enum latency_event e, struct event_history *h)
{
    h->event = e;
    h->n = latency_history(c->server, e, h->at, &h->max_ms);
    return h->n > 0;
}

static void latest_run(struct call *c)
{
    struct event_history h;
    size_t n = 0;
    for (int e = 0; e < LATENCY_EVENTS; e++)
        n += history_of(c, (enum latency_event)e, &h);
    reply_array(c, n);
    for (int e = 0; e < LATENCY_EVENTS; e++) {
        if (!history_of(c, (enum latency_event)e, &h))
            continue;
        reply_array(c, 4);
        reply_bulk_str(c, latency_name(h.event));
        reply_int(c, h.at[h.n - 1].at_s);
        reply_int(c, h.at[h.n - 1].ms);
        reply_int(c, h.max_ms);
    }
}

static void history_run(struct call *c)
{
    struct event_history h = {.n = 0};
    enum latency_event e = latency_find(c->argv[2]);
    if (e < LATENCY_EVENTS)
        history_of(c, e, &h);
    reply_array(c, h.n);
    for (unsigned i = 0; i < h.n; i++) {
        reply_array(c, 2);
        reply_int(c, h.at[i].at_s);
        reply_int(c, h.at[i].ms);
    }
}

static void reset_run(struct call *c)
{
    int64_t n = 0;
    for (int e = 0; c->argc == 2 && e < LATENCY_EVENTS; e++)
        n += latency_reset(c->server, (enum latency_event)e);
    for (int i = 2; i < c->argc; i++) {
        enum latency_event e = latency_find(c->argv[i]);
        n += e < LATENCY_EVENTS && latency_reset(c->server, e);
    }
    reply_int(c, n);
}

/* --- GRAPH --- */

#define GRAPH_ROWS 4
#define GRAPH_LABEL 5

static void age_label(char out[GRAPH_LABEL + 1], int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t u = 0;
    while (seconds < units[u].seconds && u < ARRAY_LEN(units) - 1)
        u++;
    int64_t n = seconds < 0 ? 0 : seconds / units[u].seconds;
    snprintf(out, GRAPH_LABEL + 1, "%d%c", (int)(n > 999 ? 999 : n), units[u].unit);
}

static uint32_t least_ms(const struct event_history *h)
{
    uint32_t least = h->at[0].ms;
    for (unsigned i = 1; i < h->n; i++)
        least = h->at[i].ms < least ? h->at[i].ms : least;
    return least;
}

static uint32_t most_ms(const struct event_history *h)
{
    uint32_t most = h->at[0].ms;
    for (unsigned i = 1; i < h->n; i++)
        most = h->at[i].ms > most ? h->at[i].ms : most;
    return most;
}

/* Columns of three heights a row: "_", "o", "#", on bars. */
static char graph_cell(uint32_t ms, uint32_t lo, uint32_t hi, int row)
{
    int steps = GRAPH_ROWS * 3 - 1;
    int height = hi == lo ? steps : (int)((uint64_t)(ms - lo) * (uint64_t)steps / (hi - lo));
    if (height / 3 == row)
        return "_o#"[height % 3];
    return height / 3 > row ? '|' : ' ';
}

static void append_graph(struct buf *out, const struct event_history *h, int64_t now_s)
{
    uint32_t lo = least_ms(h), hi = most_ms(h);
    char labels[LATENCY_SAMPLES][GRAPH_LABEL + 1] = {{0}};
    for (int row = GRAPH_ROWS - 1; row >= 0; row--) {
        for (unsigned i = 0; i < h->n; i++)
            buf_append_byte(out, (uint8_t)graph_cell(h->at[i].ms, lo, hi, row));
        buf_append_byte(out, '\n');
    }
    for (unsigned i = 0; i < h->n; i++)
        age_label(labels[i], now_s - h->at[i].at_s);
    for (int line = 0; line < GRAPH_LABEL; line++) {
        bool any = false;
        size_t before = out->len;
        buf_append_byte(out, '\n');
        for (unsigned i = 0; i < h->n; i++) {
            bool there = line < (int)strlen(labels[i]);
            any |= there;
            buf_append_byte(out, there ? (uint8_t)labels[i][line] : ' ');
        }
        if (!any)
            out->len = before;
    }
    buf_append_byte(out, '\n');
}

static void graph_run(struct call *c)
{
    struct event_history h = {.n = 0};
    struct buf text = {0};
    enum latency_event e = latency_find(c->argv[2]);
    if (e == LATENCY_EVENTS || !history_of(c, e, &h)) {
        reply_errorf(c, "ERR No samples available for event '%.*s'", (int)min_u64(c->argv[2].len, 128),
                     (const char *)c->argv[2].p);
        return;
    }
    buf_printf(&text, "%s - high %u ms, low %u ms (all time high %u ms)\n", latency_name(e), most_ms(&h), least_ms(&h),
               h.max_ms);
    for (int i = 0; i < 80; i++)
        buf_append_byte(&text, '-');
    buf_append_byte(&text, '\n');
    append_graph(&text, &h, c->now_ms / 1000);
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&text));
    buf_free(&text);
}

/* --- DOCTOR --- */

static const char *const advice[LATENCY_EVENTS] = {
    [LATENCY_COMMAND] = "Some commands are slow by themselves: look at SLOWLOG GET for which, and prefer SCAN to KEYS, "
                        "UNLINK to DEL, and ranges with a limit to whole collections.",
    [LATENCY_FAST_COMMAND] = "Commands that should take constant time were slow: arguments or replies of many "
                             "megabytes, or a processor that others use too.",
    [LATENCY_FETCH] = "Commands waited for values from flash. If INFO tier shows many fetches, more maxmemory would "
                      "keep what is read often in RAM; if not, the device is slow or busy.",
    [LATENCY_HOLD] = "Commands on keys of several shards, or on all of them, kept the shards' threads waiting: hash "
                     "tags bring keys that are used together onto one shard.",
    [LATENCY_EXPIRE] = "Many keys or fields were due at once: spread their expiry times.",
    [LATENCY_EVICTION] = "Making room in memory or on flash took long: writes are faster than what is dropped or "
                         "evicted for them. Consider a larger maxmemory or tier-max-bytes.",
    [LATENCY_CHECKPOINT] = "Writing out dirty values took long: large collections change often. A larger "
                           "checkpoint-log-size or checkpoint-log-max makes checkpoints rarer.",
    [LATENCY_SNAPSHOT] = "Handing values to an RDB file took long: save less often, or at quieter times.",
    [LATENCY_LOG_WRITE] = "Writing the log took long: the disk is slow, or the system's page cache is full of what is "
                          "to be written.",
    [LATENCY_LOG_FSYNC] = "Syncing the log took long: the disk is slow or shared. Databases with durability always "
                          "wait for it.",
};

static void describe(struct buf *out, const struct event_history *h)
{
    uint64_t sum = 0;
    uint32_t seconds = h->at[h->n - 1].at_s - h->at[0].at_s;
    for (unsigned i = 0; i < h->n; i++)
        sum += h->at[i].ms;
    buf_printf(out, "%s: %u slow second%s (average %llu ms, worst %u ms, all time worst %u ms", latency_name(h->event),
               h->n, h->n == 1 ? "" : "s", (unsigned long long)(sum / h->n), most_ms(h), h->max_ms);
    if (h->n > 1)
        buf_printf(out, ", one in %.1f s", (double)seconds / (double)(h->n - 1));
    buf_printf(out, ").\n   %s\n", advice[h->event]);
}

static void doctor_run(struct call *c)
{
    struct buf text = {0};
    struct event_history h;
    for (int e = 0; e < LATENCY_EVENTS; e++)
        if (history_of(c, (enum latency_event)e, &h))
            describe(&text, &h);
    if (text.len == 0 && admin_config(c)->latency_monitor_threshold == 0)
        buf_append_str(&text, "Nothing is measured: the latency monitor is off. CONFIG SET latency-monitor-threshold "
                              "<milliseconds> turns it on.\n");
    else if (text.len == 0)
        buf_append_str(&text, "Nothing has taken longer than latency-monitor-threshold so far.\n");
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&text));
    buf_free(&text);
}

/* --- HISTOGRAM --- */

#define DISTRIBUTION_MAX 32

/* Calls by powers of two of 1024 ns. */
struct distribution {
    uint64_t calls, at[DISTRIBUTION_MAX];
};

static void distribution_of(struct server *server, const struct command *cmd, struct distribution *d)
{
    struct command_sums sums;
    uint64_t times[HISTOGRAM_BUCKETS];
    memset(d, 0, sizeof(*d));
    timing_sums(server, cmd, &sums, times);
    for (unsigned i = 0, k = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t ns = ticks_ns(&server->timing.ticks, histogram_upper(i));
        while (ns > 1024ull << k && k < DISTRIBUTION_MAX - 1)
            k++;
        d->at[k] += times[i];
        d->calls += times[i];
    }
}

/* Bounds as a histogram with two significant digits has them: 1, 2, 4, 8, 16, 33, 66, 132 ... */
static int64_t bound_us(unsigned k) { return (int64_t)(((1024ull << k) + (8ull << k) - 1) / 1000); }

static void reply_distribution(struct call *c, const struct command *cmd, const struct distribution *d)
{
    size_t n = 0;
    uint64_t below = 0;
    for (unsigned k = 0; k < DISTRIBUTION_MAX; k++)
        n += d->at[k] > 0;
    reply_bulk_str(c, cmd->full_name);
    reply_map(c, 2);
    reply_bulk_str(c, "calls");
    reply_int(c, (int64_t)d->calls);
    reply_bulk_str(c, "histogram_usec");
    reply_map(c, n);
    for (unsigned k = 0; k < DISTRIBUTION_MAX; k++) {
        if (d->at[k] == 0)
            continue;
        below += d->at[k];
        reply_int(c, bound_us(k));
        reply_int(c, (int64_t)below);
    }
}

struct chosen {
    struct server *server;
    struct buf commands; /* pointers */
};

/* A container stands for its subcommands. */
static void choose(void *arg, const struct command *cmd)
{
    struct chosen *ch = arg;
    struct distribution d;
    for (const struct command *sub = cmd->subcommands; sub != NULL && sub->name != NULL; sub++)
        choose(arg, sub);
    distribution_of(ch->server, cmd, &d);
    if (d.calls > 0)
        buf_append(&ch->commands, &cmd, sizeof(cmd));
}

static void histogram_run(struct call *c)
{
    struct chosen ch = {.server = c->server};
    if (c->argc == 2)
        command_each(choose, &ch);
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_by_full_name(c->argv[i]);
        if (cmd != NULL)
            choose(&ch, cmd);
    }
    const struct command **at = (const struct command **)ch.commands.p;
    size_t n = ch.commands.len / sizeof(*at);
    reply_map(c, n);
    for (size_t i = 0; i < n; i++) {
        struct distribution d;
        distribution_of(c->server, at[i], &d);
        reply_distribution(c, at[i], &d);
    }
    buf_free(&ch.commands);
}

static void help_run(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command "
        "names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    reply_help(c, lines);
}

static const struct command_arg event_args[] = {
    ARG("event", "string"),
    ARG_END,
};
static const struct command_arg events_args[] = {
    ARG("event", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg commands_args[] = {
    ARG("command", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};

#define SPECIAL .tips = STRINGS("nondeterministic_output", "request_policy:all_nodes", "response_policy:special")
#define SUB(n, fn, ar, sum, ...)                                                                        \
    {                                                                                                   \
        .name = n, .run = fn, .arity = ar, .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, \
        .acl = ACL_DANGEROUS, .route = ROUTE_ALL, .group = "server", .summary = sum, __VA_ARGS__        \
    }

static struct command latency_subcommands[] = {
    SUB("doctor", doctor_run, 2, "Returns a human-readable latency analysis report.", .since = "2.8.13",
        .complexity = "O(1)", SPECIAL),
    SUB("graph", graph_run, 3, "Returns a latency graph for an event.", .since = "2.8.13", .complexity = "O(1)",
        .args = event_args, SPECIAL),
    SUB("histogram", histogram_run, -2, "Returns the cumulative distribution of latencies of a subset or all commands.",
        .since = "7.0.0",
        .complexity = "O(N) where N is the number of commands with latency information being retrieved.",
        .args = commands_args, SPECIAL),
    SUB("history", history_run, 3, "Returns timestamp-latency samples for an event.", .since = "2.8.13",
        .complexity = "O(1)", .args = event_args, SPECIAL),
    SUB("latest", latest_run, 2, "Returns the latest latency samples for all events.", .since = "2.8.13",
        .complexity = "O(1)", SPECIAL),
    SUB("reset", reset_run, -2, "Resets the latency data for one or more events.", .since = "2.8.13",
        .complexity = "O(1)", .args = events_args,
        .tips = STRINGS("request_policy:all_nodes", "response_policy:all_succeeded")),
    {.name = "help",
     .run = help_run,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .route = ROUTE_HOME,
     .group = "server",
     .summary = "Returns helpful text about the different subcommands.",
     .since = "2.8.13",
     .complexity = "O(1)"},
    {.name = NULL},
};

struct command latency_commands[] = {
    {.name = "latency",
     .arity = -2,
     .group = "server",
     .summary = "A container for latency diagnostics commands.",
     .since = "2.8.13",
     .complexity = "Depends on subcommand.",
     .subcommands = latency_subcommands},
    {.name = NULL},
};
