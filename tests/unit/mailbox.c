/* The mailbox: who is woken when, and many producers with a consumer that sleeps. */
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/run/mailbox.h"
#include "tests/sim/tap.h"

#define PRODUCERS 4
#define TASKS 50000 /* a producer */

struct letter {
    struct task task;
    unsigned producer, number;
};

struct box {
    struct mailbox m;
    sem_t sem;
    _Atomic unsigned wakes;
    unsigned seen[PRODUCERS]; /* the number expected next */
    unsigned ran, disorder, sleeps;
    struct letter *letters;
};

static void wake(void *arg)
{
    struct box *b = arg;
    atomic_fetch_add(&b->wakes, 1);
    sem_post(&b->sem);
}

static void run(struct task *t, void *arg)
{
    struct letter *l = container_of(t, struct letter, task);
    struct box *b = arg;
    b->disorder += l->number != b->seen[l->producer];
    b->seen[l->producer] = l->number + 1;
    b->ran++;
}

static struct box *box_new(void)
{
    struct box *b = mem_alloc_aligned(sizeof(*b), 64);
    memset(b, 0, sizeof(*b)); /* clang 14 takes no {0} for an atomic pointer */
    sem_init(&b->sem, 0, 0);
    mailbox_init(&b->m, wake, b);
    b->letters = mem_zalloc(sizeof(*b->letters) * PRODUCERS * TASKS);
    for (unsigned i = 0; i < PRODUCERS * TASKS; i++)
        b->letters[i] = (struct letter){.task.run = run, .producer = i / TASKS, .number = i % TASKS};
    return b;
}

static void box_free(struct box *b)
{
    mem_free(b->letters, sizeof(*b->letters) * PRODUCERS * TASKS);
    sem_destroy(&b->sem);
    mem_free_aligned(b, sizeof(*b), 64);
}

static bool take_one(struct box *b)
{
    struct task *t = mailbox_take(&b->m);
    if (t != NULL)
        t->run(t, b);
    return t != NULL;
}

static void test_alone(void)
{
    struct box *b = box_new();
    struct letter *l = b->letters;
    ok(mailbox_take(&b->m) == NULL && !take_one(b), "a new mailbox is empty");
    mailbox_post(&b->m, &l[0].task);
    mailbox_post(&b->m, &l[1].task);
    ok(b->wakes == 0, "who does not sleep is not woken");
    ok(!mailbox_try_sleep(&b->m), "with work there is no sleep");
    mailbox_post(&b->m, &l[2].task);
    ok(b->wakes == 0, "and a refused sleep leaves no trace");
    ok(take_one(b) && take_one(b) && take_one(b) && !take_one(b) && b->disorder == 0, "first in, first out");
    ok(mailbox_try_sleep(&b->m), "an empty one may sleep");
    mailbox_post(&b->m, &l[3].task);
    mailbox_post(&b->m, &l[4].task);
    ok(b->wakes == 1, "only the first task wakes");
    mailbox_awake(&b->m);
    ok(take_one(b) && take_one(b) && !take_one(b) && b->disorder == 0, "both are there");
    ok(mailbox_try_sleep(&b->m), "asleep again");
    mailbox_awake(&b->m);
    mailbox_post(&b->m, &l[5].task);
    ok(b->wakes == 1 && take_one(b), "who woke by itself is not woken");
    mailbox_post(&b->m, &l[6].task);
    ok(take_one(b) && !take_one(b) && b->ran == 7, "a task may be taken at once");
    box_free(b);
}

struct producer {
    struct box *box;
    unsigned index;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (unsigned i = 0; i < TASKS; i++)
        mailbox_post(&p->box->m, &p->box->letters[p->index * TASKS + i].task);
    return NULL;
}

/* A wake-up that is lost would hang the test. */
static void consume_all(struct box *b)
{
    while (b->ran < PRODUCERS * TASKS) {
        if (take_one(b))
            continue;
        if (mailbox_try_sleep(&b->m)) {
            b->sleeps++;
            while (sem_wait(&b->sem) < 0)
                ;
        }
        mailbox_awake(&b->m);
    }
}

static void test_many(void)
{
    struct box *b = box_new();
    pthread_t threads[PRODUCERS];
    struct producer p[PRODUCERS];
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i] = (struct producer){b, i};
        ensure(pthread_create(&threads[i], NULL, produce, &p[i]) == 0);
    }
    consume_all(b);
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    ok(b->ran == PRODUCERS * TASKS, "every task of %d producers runs", PRODUCERS);
    ok(b->disorder == 0, "in each producer's order");
    /* A producer that meets a sleep which is just being refused wakes too. */
    ok(b->wakes >= b->sleeps, "a wake-up for every sleep (%u for %u)", b->wakes, b->sleeps);
    ok(!take_one(b) && mailbox_try_sleep(&b->m), "nothing is left");
    box_free(b);
}

int main(void)
{
    test_alone();
    test_many();
    return tap_done();
}
