/* One FIFO mailbox a thread: many producers, one consumer, lock-free (an intrusive multi-producer queue after Vyukov).
 * A task is a function and whatever structure it is embedded in. Ownership of the structure passes with the post.
 * A wake-up is sent only to a sleeper: the consumer says that it is about to sleep, and the first producer after that
 * calls `wake`. */
#ifndef RUN_MAILBOX_H
#define RUN_MAILBOX_H

#include <stdatomic.h>

#include "core/base/base.h"

struct task {
    _Atomic(struct task *) next;
    void (*run)(struct task *t, void *arg);  /* arg: the consumer's (its shard) */
    void (*busy)(struct task *t, void *arg); /* NULL, or run instead while the consumer is in the middle of a script */
    bool control;                            /* runs even while the consumer has lent its data (see server/hold.h) */
};

struct mailbox {
    cache_aligned _Atomic(struct task *) head; /* producers */
    _Atomic bool sleeping;
    cache_aligned struct task *tail; /* consumer */
    struct task stub;
    void (*wake)(void *arg);
    void *wake_arg;
};

void mailbox_init(struct mailbox *m, void (*wake)(void *arg), void *wake_arg);
/* Any thread. Takes ownership of the structure around `t` until t->run is called. Cost: one atomic exchange, and a
 * wake-up if the consumer sleeps. */
void mailbox_post(struct mailbox *m, struct task *t);
/* Consumer only: the oldest task, or NULL. */
struct task *mailbox_take(struct mailbox *m);
/* Consumer only: announces sleep. False if there is work: do not sleep. After waking: mailbox_awake. */
bool mailbox_try_sleep(struct mailbox *m);
void mailbox_awake(struct mailbox *m);

#endif
