/* The tier pool: threads that do the blocking work of the flash tier (reads, batch writes, flushes). Two queues: reads
 * go first. A job runs on a pool thread and posts its own completion (to a mailbox). */
#ifndef TIER_POOL_H
#define TIER_POOL_H

#include "core/base/base.h"

struct pool;
struct pool_job {
    struct pool_job *next;
    void (*run)(struct pool_job *j); /* on a pool thread; owns the structure around j */
};
enum pool_class { POOL_READ, POOL_WRITE };

/* `threads` in all, of which at most `threads - 2` (at least 1) run POOL_WRITE jobs at once, so reads always get
 * through. */
struct pool *pool_new(unsigned threads);
/* Any thread. */
void pool_submit(struct pool *p, enum pool_class cls, struct pool_job *j);
size_t pool_pending(struct pool *p);
/* Runs what is queued, joins the threads, frees. */
void pool_free(struct pool *p);

#endif
