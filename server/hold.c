#include "server/hold.h"

#include "core/base/panic.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/latency.h"
#include "server/memory.h"
#include "server/save.h"
#include "server/server.h"
#include "server/tracking.h"

static struct shard *shard_at(struct server *server, uint64_t mask) { return server->shards[__builtin_ctzll(mask)]; }

static void run_lend(struct task *t, void *arg)
{
    struct shard *s = arg;
    (void)t;
    s->lend_asked = true;
}

/* What the server itself asked for a hold of all for. */
static void own_marks(struct server *server)
{
    checkpoint_mark(server);
    save_mark(server);
}

/* --- long scripts --- */

bool hold_lender_serves(const struct server *server)
{
    return atomic_load(&server->holds.long_scripts) > 0 && !atomic_load(&server->holds.quiet);
}

/* Lenders stop serving; each is at most one pass of its loop away from that. */
static void quiet(struct server *server)
{
    atomic_store(&server->holds.quiet, true);
    for (uint64_t m = server->holds.held; m != 0; m &= m - 1)
        while (atomic_load(&shard_at(server, m)->serving)) {
            loop_wake(shard_at(server, m)->loop);
            server->clock->sleep_us(server->clock, 20);
        }
}

void hold_long_script(struct server *server, bool held)
{
    atomic_fetch_add(&server->holds.long_scripts, 1);
    if (held)
        atomic_store(&server->holds.quiet, false);
    for (unsigned i = 0; i < server->nshards; i++)
        shard_returned(server->shards[i]); /* who sleeps looks again */
}

void hold_long_script_ended(struct server *server, bool held)
{
    atomic_fetch_sub(&server->holds.long_scripts, 1);
    if (held)
        quiet(server);
}

/* --- grants --- */

static void run_grant(struct task *t, void *arg)
{
    struct shard *home = arg;
    (void)t;
    quiet(home->server);
    uint64_t from = latency_begin(&home->server->timing);
    stat_add(&home->stats.holds, 1);
    if (home->index == 0 && (uint64_t)__builtin_popcountll(home->server->holds.held) == home->server->nshards)
        own_marks(home->server);
    push_deliver(home); /* what the lenders have posted before they lent */
    dispatch_held(home);
    shard_append(home, home->server->holds.held);
    tracking_broadcast(home);
    push_post(home);
    for (uint64_t m = home->server->holds.held; m != 0; m &= m - 1)
        memory_publish(shard_at(home->server, m)); /* what was done shows, before any reply about it leaves */
    latency_mark(home, LATENCY_HOLD, &from);
    atomic_store(&home->server->holds.quiet, false);
    hold_done(home);
}

static void task_init(struct task *t, void (*run)(struct task *, void *))
{
    t->run = run;
    t->control = true;
}

void holds_init(struct holds *h)
{
    pthread_mutex_init(&h->lock, NULL);
    for (unsigned i = 0; i < SHARDS_MAX; i++) {
        task_init(&h->lend[i], run_lend);
        task_init(&h->grant[i], run_grant);
    }
}

/* With the lock: takes everything that is wanted into a new hold. Returns the shards to be asked to lend. */
static uint64_t begin(struct holds *h)
{
    if (h->held != 0 || h->closed)
        return 0;
    for (unsigned i = 0; i < SHARDS_MAX; i++)
        if (h->wanted[i] != 0) {
            h->held |= h->wanted[i];
            h->homes |= 1ull << i;
            h->wanted[i] = 0;
        }
    atomic_store(&h->to_lend, (unsigned)__builtin_popcountll(h->held));
    return h->held;
}

bool holds_close(struct holds *h)
{
    pthread_mutex_lock(&h->lock);
    h->closed = true;
    bool none = h->held == 0;
    pthread_mutex_unlock(&h->lock);
    return none;
}

static void post_each(struct server *server, uint64_t mask, struct task *tasks)
{
    for (; mask != 0; mask &= mask - 1) {
        struct shard *s = shard_at(server, mask);
        shard_post(s, &tasks[s->index]);
    }
}

void hold_ask(struct server *server, struct shard *home, uint64_t mask)
{
    struct holds *h = &server->holds;
    pthread_mutex_lock(&h->lock);
    h->wanted[home->index] |= mask;
    uint64_t lend = begin(h);
    pthread_mutex_unlock(&h->lock);
    post_each(server, lend, h->lend);
}

static void grant_next(struct server *server)
{
    struct shard *home = shard_at(server, server->holds.homes);
    shard_post(home, &server->holds.grant[home->index]);
}

void hold_lend(struct shard *s)
{
    struct holds *h = &s->server->holds;
    if (!s->lend_asked)
        return;
    ensure(stage_empty(&s->stage));
    s->lend_asked = false;
    atomic_store_explicit(&s->lent, 1, memory_order_release);
    if (atomic_fetch_sub_explicit(&h->to_lend, 1, memory_order_acq_rel) == 1)
        grant_next(s->server);
}

/* Gives everything back, then starts the next hold if somebody waits; lending happens only at the end of a turn, so
 * every shard runs a full turn between. Lenders are woken by their semaphore and not by a task: the next hold may begin
 * and end on some of these shards before this thread has told all, and a task must not be posted twice. */
static void give_back(struct server *server)
{
    struct holds *h = &server->holds;
    pthread_mutex_lock(&h->lock);
    uint64_t held = h->held;
    for (uint64_t m = held; m != 0; m &= m - 1)
        atomic_store(&shard_at(server, m)->lent, 0);
    h->held = 0;
    uint64_t lend = begin(h);
    pthread_mutex_unlock(&h->lock);
    for (uint64_t m = held; m != 0; m &= m - 1)
        shard_returned(shard_at(server, m));
    post_each(server, lend, h->lend);
}

void hold_done(struct shard *home)
{
    struct holds *h = &home->server->holds;
    pthread_mutex_lock(&h->lock);
    h->homes &= ~(1ull << home->index);
    bool more = h->homes != 0;
    pthread_mutex_unlock(&h->lock);
    if (more)
        grant_next(home->server);
    else
        give_back(home->server);
}
