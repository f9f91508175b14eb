/* The queue is Vyukov's intrusive multi-producer queue: producers exchange the head, then link the old one to theirs;
 * between the two steps the consumer sees a gap and simply finds nothing for a moment. The stub keeps it from being
 * empty. */
#include "core/run/mailbox.h"

void mailbox_init(struct mailbox *m, void (*wake)(void *arg), void *wake_arg)
{
    atomic_init(&m->stub.next, NULL);
    atomic_init(&m->head, &m->stub);
    atomic_init(&m->sleeping, false);
    m->tail = &m->stub;
    m->wake = wake;
    m->wake_arg = wake_arg;
}

static void push(struct mailbox *m, struct task *t)
{
    atomic_store_explicit(&t->next, NULL, memory_order_relaxed);
    struct task *before = atomic_exchange_explicit(&m->head, t, memory_order_seq_cst);
    atomic_store_explicit(&before->next, t, memory_order_release);
}

void mailbox_post(struct mailbox *m, struct task *t)
{
    push(m, t);
    if (atomic_load_explicit(&m->sleeping, memory_order_seq_cst) &&
        atomic_exchange_explicit(&m->sleeping, false, memory_order_seq_cst))
        m->wake(m->wake_arg);
}

struct task *mailbox_take(struct mailbox *m)
{
    struct task *tail = m->tail;
    struct task *next = atomic_load_explicit(&tail->next, memory_order_acquire);
    if (tail == &m->stub) {
        if (next == NULL)
            return NULL;
        m->tail = tail = next;
        next = atomic_load_explicit(&tail->next, memory_order_acquire);
    }
    if (next == NULL) {
        if (tail != atomic_load_explicit(&m->head, memory_order_acquire))
            return NULL; /* a producer is between its two steps */
        push(m, &m->stub);
        next = atomic_load_explicit(&tail->next, memory_order_acquire);
        if (next == NULL)
            return NULL;
    }
    m->tail = next;
    return tail;
}

bool mailbox_try_sleep(struct mailbox *m)
{
    atomic_store_explicit(&m->sleeping, true, memory_order_seq_cst);
    if (m->tail == &m->stub && atomic_load_explicit(&m->head, memory_order_seq_cst) == &m->stub)
        return true;
    atomic_store_explicit(&m->sleeping, false, memory_order_seq_cst);
    return false;
}

void mailbox_awake(struct mailbox *m) { atomic_store_explicit(&m->sleeping, false, memory_order_relaxed); }
