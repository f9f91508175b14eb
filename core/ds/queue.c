#include "core/ds/queue.h"

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"

#define WORDS 510 /* a chunk is 4 KiB */

struct queue_chunk {
    struct queue_chunk *next;
    uint64_t first; /* position of word[0] */
    uint64_t word[WORDS];
};

void queue_init(struct queue *q) { *q = (struct queue){0}; }

static void drop_first(struct queue *q)
{
    struct queue_chunk *c = q->first;
    fifo_pop(q);
    q->memory -= mem_class(sizeof(*c));
    mem_free(c, sizeof(*c));
}

void queue_free(struct queue *q)
{
    while (q->first != NULL)
        drop_first(q);
    *q = (struct queue){0};
}

void queue_push(struct queue *q, uint64_t word)
{
    if (q->last == NULL || q->tail - q->last->first == WORDS) {
        struct queue_chunk *c = mem_alloc(sizeof(*c));
        c->first = q->tail;
        fifo_push(q, c);
        q->memory += mem_class(sizeof(*c));
    }
    q->last->word[q->tail++ - q->last->first] = word;
}

uint64_t queue_peek_at(const struct queue *q, uint64_t offset)
{
    uint64_t at = q->head + offset;
    const struct queue_chunk *c = q->first;
    ensure(at < q->tail);
    while (at - c->first >= WORDS)
        c = c->next;
    return c->word[at - c->first];
}

uint64_t queue_peek(const struct queue *q) { return queue_peek_at(q, 0); }

uint64_t queue_pop(struct queue *q)
{
    uint64_t word = queue_peek(q);
    q->head++;
    if (q->head - q->first->first == WORDS)
        drop_first(q);
    return word;
}
