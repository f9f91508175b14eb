/* What is measured of commands: how often each ran, how long it took and how that is distributed, which errors were
 * replied, and which runs are slow enough for the slow log (slowlog.h) or the latency monitor (latency.h).
 *
 * A shard's thread reads the time once a command: where one ends the next begins. So a run's time has in it what it
 * took to get to it (admission); what it waited for has not. Counters are written by the thread that runs, relaxed,
 * and read by any. */
#ifndef SERVER_TIMING_H
#define SERVER_TIMING_H

#include "core/base/histogram.h"
#include "core/base/ticks.h"
#include "server/call.h"

struct shard;
struct server;

struct command_stats {
    _Atomic uint64_t calls, rejected, failed, ticks;
    struct histogram *_Atomic times; /* in ticks; allocated when the first is counted */
};

/* Of the server. Any thread. */
struct timing {
    struct ticks ticks;
    /* In ticks, UINT64_MAX where it is off: */
    _Atomic uint64_t slowlog; /* slowlog-log-slower-than */
    _Atomic uint64_t latency; /* latency-monitor-threshold */
    _Atomic uint64_t least;   /* runs that take less need no closer look */
};

#define ERROR_KINDS 128

/* Errors by their first word. */
struct error_stats {
    _Atomic unsigned n;
    struct error_kind {
        char name[40];
        _Atomic uint64_t count;
    } kind[ERROR_KINDS];
    _Atomic uint64_t others; /* of more kinds than that */
};

void timing_init(struct server *server);
/* The directives have changed, or the ticks were calibrated. */
void timing_follow(struct server *server);
/* The commands of this thread that come now begin now. */
void timing_start(struct shard *s);
static inline uint64_t timing_now(const struct timing *t) { return ticks_now(&t->ticks); }
/* Books a run from `from` to `now`, where the next one begins. True if it took so long that the shard's clock is to be
 * looked at again before the next one. */
bool timing_book(struct call *c, uint64_t from, uint64_t now);
/* Counts an error that is replied: "ERR syntax error" as an ERR. */
void timing_error(struct shard *s, struct slice text);
/* CONFIG RESETSTAT, and the end. */
void timing_reset(struct shard *s);
void timing_free(struct shard *s);

/* Of all commands. */
uint64_t timing_calls(const struct server *server);
/* The sums over all shards. `times` has HISTOGRAM_BUCKETS elements, or is NULL. */
struct command_sums {
    uint64_t calls, rejected, failed, us;
};
void timing_sums(struct server *server, const struct command *cmd, struct command_sums *out, uint64_t *times);

#endif
