/* The latency monitor: what took longer than latency-monitor-threshold, by kind of event. Each shard keeps the last
 * LATENCY_SAMPLES seconds in which an event was that slow, and the worst of each such second; LATENCY puts the shards'
 * together. Off (threshold 0, the default) it costs one test a turn, and a command nothing beside the slow log's.
 *
 * Owned by the shard's thread; read and reset under a hold of all. */
#ifndef SERVER_LATENCY_H
#define SERVER_LATENCY_H

#include "server/timing.h"

enum latency_event {
    LATENCY_COMMAND,
    LATENCY_FAST_COMMAND,
    LATENCY_FETCH,      /* a command's wait for values from flash */
    LATENCY_HOLD,       /* the data of several shards in one hand, and their threads waiting */
    LATENCY_EXPIRE,     /* slices of a turn: */
    LATENCY_EVICTION,   /* room is made in memory and on flash */
    LATENCY_CHECKPOINT, /* dirty values are encoded and handed to the store */
    LATENCY_SNAPSHOT,   /* values are handed to an RDB file */
    LATENCY_LOG_WRITE,  /* the write of a turn's frame */
    LATENCY_LOG_FSYNC,  /* an fsync of the log thread */
    LATENCY_EVENTS
};

#define LATENCY_SAMPLES 160

struct latency_sample {
    uint32_t at_s, ms;
};
struct latency {
    struct latency_series {
        unsigned n, next; /* of the ring */
        uint32_t max_ms;  /* ever */
        struct latency_sample ring[LATENCY_SAMPLES];
    } of[LATENCY_EVENTS];
};

const char *latency_name(enum latency_event e);
/* The event with this name, or LATENCY_EVENTS. */
enum latency_event latency_find(struct slice name);

/* Adds a sample, whatever its length. */
void latency_add(struct shard *s, enum latency_event e, uint64_t ticks);
/* Measures one stretch behind another: `*from` is when this one began, and becomes now. 0: nothing is measured. */
static inline uint64_t latency_begin(const struct timing *t)
{
    return likely(atomic_load_explicit(&t->latency, memory_order_relaxed) == UINT64_MAX) ? 0 : timing_now(t);
}
void latency_mark(struct shard *s, enum latency_event e, uint64_t *from);

/* The samples of all shards, oldest first, one a second, at most the last LATENCY_SAMPLES; returns how many. *max_ms:
 * the longest ever. All are held. */
unsigned latency_history(struct server *server, enum latency_event e, struct latency_sample out[LATENCY_SAMPLES],
                         uint32_t *max_ms);
/* True if there was something. */
bool latency_reset(struct server *server, enum latency_event e);

#endif
