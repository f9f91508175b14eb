/* Where dictionaries come from (DESIGN section 6): samples of the values that shards clean, trained on a tier pool
 * thread, written to the store and flushed before the first record uses them. A crash in between leaves a dictionary
 * that nobody uses.
 *
 *              a window of payload has been seen              samples are full
 *   counting ------------------------------------> collecting -----------------> training
 *      ^   (a store without a dictionary begins with collecting)                    |
 *      '------------------- window doubled; adopted only if it pays ----------------'
 *
 * A candidate is trained on three quarters of the samples and judged on the rest: it is adopted if it saves a tenth of
 * what these take now. So the first dictionary, made of what came first, is replaced once more has been seen, and later
 * ones when the data has changed; the windows grow, and there are never more than DICTIONARIES_MAX. Old ones stay:
 * records name them.
 *
 * Records compress to the same bytes in any order: they stay independent of each other. */
#ifndef TIER_TRAINER_H
#define TIER_TRAINER_H

#include "core/base/logger.h"
#include "tier/dictionary.h"
#include "tier/pool.h"
#include "tier/store.h"

/* Payloads of these lengths are samples. */
#define TRAINER_FROM 64
#define TRAINER_TO 4096
/* One payload in so many is sampled, by chance: data often has a period. */
#define TRAINER_STRIDE 4

struct trainer;

struct trainer_config {
    struct store *store;
    struct pool *pool;
    struct logger *logger; /* may be NULL */
    bool train;            /* else the dictionaries that are there are only loaded */
    uint64_t sample_bytes; /* 0: what is usual (a MiB) */
    uint64_t window_bytes; /* of the first window; 0: what is usual (64 MiB) */
};
/* Before threads use it: loads the dictionaries of the store. 0, or a negative errno with the reason in `error` (512
 * bytes). Caller frees with trainer_free. */
int trainer_open(struct trainer **out, const struct trainer_config *cfg, char *error) must_check;
/* After the pool has been freed: a training may be under way in it. */
void trainer_free(struct trainer *tr);

const struct dictionaries *trainer_dictionaries(const struct trainer *tr);

/* Whether trainer_sample has any use for payloads now. Any thread; one relaxed load. */
bool trainer_collecting(const struct trainer *tr);
/* Copies a payload, unless somebody else is at it: nobody waits. Any thread. */
void trainer_sample(struct trainer *tr, struct slice payload);
/* So many more bytes of payload have been encoded. Once a batch. Any thread. */
void trainer_count(struct trainer *tr, uint64_t bytes);

struct trainer_stats {
    unsigned dictionaries;
    uint32_t newest; /* 0: none */
    uint64_t trainings, failures;
    bool training;
};
void trainer_stats(const struct trainer *tr, struct trainer_stats *out);

#endif
