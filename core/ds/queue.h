/* A FIFO of 64-bit words in chunks: no copy on growth, memory given back as it drains. Positions are absolute counts of
 * words ever pushed, so "everything before this position has been taken" can be asked later. Owned by one thread. */
#ifndef DS_QUEUE_H
#define DS_QUEUE_H

#include "core/base/base.h"

struct queue_chunk;
struct queue {
    struct queue_chunk *first, *last;
    uint64_t head; /* position of the next word to be taken */
    uint64_t tail; /* position the next pushed word will get */
    size_t memory; /* bytes of chunks, as mem_class counts them */
};

void queue_init(struct queue *q);
void queue_free(struct queue *q);
void queue_push(struct queue *q, uint64_t word);
static inline bool queue_empty(const struct queue *q) { return q->head == q->tail; }
uint64_t queue_peek(const struct queue *q); /* must not be empty */
/* The word `offset` places behind the head; it must exist. O(chunks passed). */
uint64_t queue_peek_at(const struct queue *q, uint64_t offset);
uint64_t queue_pop(struct queue *q); /* must not be empty */

#endif
