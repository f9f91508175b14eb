#include "server/shard_impl.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/expire_fields.h"
#include "server/flash.h"
#include "server/forward.h"
#include "server/latency.h"
#include "server/lazy.h"
#include "server/memory.h"
#include "server/notify.h"
#include "server/script/engine.h"
#include "server/server.h"
#include "server/snapshot.h"
#include "server/tracking.h"

#define EXPIRE_SLICE 400 /* keys a turn; more only while nobody waits */
#define EXPIRE_SLICE_US 1000
#define SCAN_MAILBOX 10000 /* tasks a turn */
#define LENDER_POLL_US 20000
#define SHARD_STACK (32 * MIB) /* scripts nest C frames (script/env.c); untouched, it is no memory */

struct shard *shard_of(struct server *server, struct slice key)
{
    if (server->nshards == 1)
        return server->shards[0];
    return server->shards[hash_slot(key) % server->nshards];
}

void shard_post(struct shard *s, struct task *t) { mailbox_post(&s->mailbox, t); }

void shard_wake(void *arg)
{
    struct shard *s = arg;
    if (atomic_load(&s->waiting_lent))
        sem_post(&s->returned);
    else
        loop_wake(s->loop);
}

/* --- waiters that are tried again --- */

static void tell_paused(struct shard *s)
{
    if (!s->retry.running)
        atomic_store_explicit(&s->retry.blocked, s->retry.paused, memory_order_relaxed);
}

void shard_retry_later(struct shard *s, struct waiter *w, enum wait_why why)
{
    s->retry.paused += (why == WAIT_PAUSE) - w->paused;
    tell_paused(s);
    w->paused = why == WAIT_PAUSE;
    w->why = why;
    if (w->listed)
        return;
    w->listed = true;
    deque_push(&s->retry, w);
}

void shard_retry_cancel(struct shard *s, struct waiter *w)
{
    if (!w->listed)
        return;
    s->retry.paused -= w->paused;
    tell_paused(s);
    w->listed = w->paused = false;
    deque_remove(&s->retry, w);
}

/* Oldest first. Each runs again from the start; who still has to wait goes to the end of a new list. */
static void retry_all(struct shard *s)
{
    struct waiter *w = s->retry.first;
    s->retry_now = s->pushes.waited_for = false;
    memory_want_nothing(s);
    s->retry.first = s->retry.last = NULL;
    s->retry.paused = 0;
    s->retry.running = true;
    for (struct waiter *next; w != NULL; w = next) {
        next = w->next;
        w->listed = w->paused = false;
        w->again(w);
    }
    s->retry.running = false;
    tell_paused(s);
}

/* --- the log --- */

void stage_effect_in(struct shard *s, uint32_t db, int argc, const struct slice *argv)
{
    struct server *server = s->server;
    if (!server_logged(server, db))
        return; /* nobody follows yet: effects of unlogged databases have no reader */
    s->stage.logged = true;
    if (server->config->db[db].durability == DURABILITY_ALWAYS)
        s->stage.always = true;
    stage_effect(&s->stage, db, argc, argv);
}

void shard_append(struct shard *s, uint64_t touched)
{
    struct server *server = s->server;
    struct stage *stage = &s->stage;
    if (stage_empty(stage))
        return;
    struct iovec iov = {stage->bytes.p, stage->bytes.len};
    uint64_t from = latency_begin(&server->timing);
    uint64_t end = log_append(server->log, s->index, &iov, 1, stage->bytes.len, stage->logged);
    for (; touched != 0; touched &= touched - 1) {
        struct shard *t = server->shards[__builtin_ctzll(touched)];
        t->lsn = end;
        if (stage->always)
            t->always_lsn = end;
    }
    latency_mark(s, LATENCY_LOG_WRITE, &from);
    stage_clear(stage);
    if (server->nshards > 1)
        server_log_progress(server); /* another shard's replies may have waited for this write */
}

/* In the middle of a group: what was staged before it is appended, and the group goes on alone. False: it cannot be. */
static bool shard_append_before(struct shard *s, uint64_t touched)
{
    struct buf group = {0};
    bool logged = s->stage.logged, always = s->stage.always;
    if (s->stage.group_start == 0)
        return true;
    if (!stage_cut(&s->stage, &group))
        return false;
    int64_t db = s->stage.db;
    shard_append(s, touched);
    stage_resume(&s->stage, &group);
    if (s->stage.group > 0) {
        s->stage.db = db;
        s->stage.logged = logged;
        s->stage.always = always;
    }
    buf_free(&group);
    return true;
}

/* --- mailbox --- */

static void defer(struct shard *s, struct task *t)
{
    atomic_store_explicit(&t->next, NULL, memory_order_relaxed);
    if (s->deferred_last != NULL)
        atomic_store_explicit(&s->deferred_last->next, t, memory_order_relaxed);
    else
        s->deferred_first = t;
    s->deferred_last = t;
}

static bool lent(const struct shard *s) { return atomic_load_explicit(&s->lent, memory_order_acquire) != 0; }

static void run_deferred(struct shard *s)
{
    while (s->deferred_first != NULL && !lent(s)) {
        struct task *t = s->deferred_first;
        s->deferred_first = atomic_load_explicit(&t->next, memory_order_relaxed);
        if (s->deferred_first == NULL)
            s->deferred_last = NULL;
        t->run(t, s);
    }
}

static void run_mailbox(struct shard *s)
{
    struct task *t;
    if (!lent(s))
        push_deliver(s);
    run_deferred(s);
    for (int i = 0; i < SCAN_MAILBOX && (t = mailbox_take(&s->mailbox)) != NULL; i++) {
        if (t->control || (s->deferred_first == NULL && !lent(s)))
            t->run(t, s);
        else
            defer(s, t);
    }
}

/* --- expiry, and other deletions of its own accord --- */

bool shard_may_delete(const struct shard *s, uint32_t db)
{
    struct server *server = s->server;
    if (atomic_load_explicit(&server->paused_until_ms, memory_order_relaxed) > s->now_ms)
        return false;
    return !server_logged(server, db) || log_admit(server->log, 256 + s->stage.bytes.len, true) == LOG_ROOM_OK;
}

void shard_delete(struct shard *s, uint32_t db, struct entry *e, bool due)
{
    struct keyspace *ks = s->spaces[db];
    struct key key = key_of(ks, entry_key(e));
    struct slice argv[] = {due ? SLICE_LIT("DEL") : SLICE_LIT("UNLINK"), key.name};
    s->gave_always |= s->server->config->db[db].durability == DURABILITY_ALWAYS;
    stage_begin(&s->stage);
    stage_effect_in(s, db, 2, argv);
    stage_end(&s->stage);
    watch_touch(s, db, key);
    if (unlikely(s->tracking != NULL))
        tracking_changed(s, s, key, NULL, true);
    if (s->blocking.nkeys > 0)
        block_touch(s, db, key);
    notify_key(s, db, key.name, due ? EVENT_EXPIRED : EVENT_EVICTED, due ? "expired" : "evicted");
    keyspace_delete(ks, e, key);
}

/* At most a slice of keys that are due; true if there are more. The first look costs one comparison a database. *n
 * counts them. */
static bool expire_keys(struct shard *s, unsigned *n)
{
    struct server *server = s->server;
    uint64_t until = s->now_us + EXPIRE_SLICE_US;

    for (int db = 0; db < server->config->databases; db++) {
        struct entry *e;
        if (s->spaces[db]->expires == 0)
            continue;
        while ((e = keyspace_next_expired(s->spaces[db], s->now_ms)) != NULL) {
            if (!shard_may_delete(s, (uint32_t)db))
                return false;
            shard_delete(s, (uint32_t)db, e, true);
            stat_add(&s->stats.expired, 1);
            if (++*n % 64 == 0 && (*n >= EXPIRE_SLICE * 16 || clock_mono_us(server->clock) > until))
                return true;
        }
    }
    return false;
}

static bool expire_slice(struct shard *s)
{
    const struct timing *t = &s->server->timing;
    uint64_t from = timing_now(t);
    unsigned n = 0;
    if (!s->server->config->active_expire)
        return false;
    bool more = expire_keys(s, &n);
    if (n > 0)
        stat_add(&s->stats.expire_ticks, timing_now(t) - from);
    stat_add(&s->stats.expire_cut, more);
    return more;
}

/* --- the turn --- */

void shard_update_clock(struct shard *s)
{
    s->now_us = clock_mono_us(s->server->clock);
    s->now_ms = clock_wall_ms(s->server->clock);
}

void shard_update_temperatures(struct shard *s)
{
    const struct config *cfg = s->server->config;
    for (int db = 0; db < cfg->databases; db++) {
        int policy = cfg->db[db].eviction;
        s->temperature[db] = (struct temperature){
            .lfu = policy == EVICT_ALLKEYS_LFU || policy == EVICT_VOLATILE_LFU,
            .lfu_log_factor = (uint32_t)cfg->lfu_log_factor,
            .lfu_decay_minutes = (uint32_t)cfg->lfu_decay_time,
            .now_s = (uint32_t)(s->now_ms / 1000),
        };
    }
}

static void publish_expiry(struct shard *s)
{
    for (int db = 0; db < s->server->config->databases; db++)
        if (s->spaces[db]->expires > 0)
            atomic_store_explicit(&s->figures[db].mean_expiry_ms, (uint64_t)keyspace_mean_expiry(s->spaces[db]),
                                  memory_order_relaxed);
}

static void cron(struct shard *s)
{
    s->next_cron_us = s->now_us + 1000000 / (uint64_t)s->server->config->hz;
    shard_update_temperatures(s);
    if (!s->server->config->pause_cron)
        clients_cron(s);
    publish_expiry(s);
    s->retry_now = true;
    if (s->index == 0)
        server_cron(s->server);
}

/* What is done to data in every turn beside commands. */
static bool data_slices(struct shard *s)
{
    uint64_t from = latency_begin(&s->server->timing);
    bool more = expire_slice(s);
    more |= expire_fields_slice(s);
    latency_mark(s, LATENCY_EXPIRE, &from);
    if (unlikely(block_pending(&s->blocking)))
        block_serve(s); /* who waited for a key that is gone now */
    shard_append(s, 1ull << s->index);
    from = latency_begin(&s->server->timing);
    if (s->server->log != NULL)
        tier_log_progress(s->tier, log_durable(s->server->log));
    if (unlikely(tier_encoding(s->tier))) {
        more |= tier_encode_part(s->tier, s->lsn);
        s->retry_now |= !tier_encoding(s->tier);
    }
    more |= checkpoint_slice(s);
    latency_mark(s, LATENCY_CHECKPOINT, &from);
    more |= snapshot_slice(s);
    latency_mark(s, LATENCY_SNAPSHOT, &from);
    memory_maintain(s);
    more |= flash_slice(s);
    latency_mark(s, LATENCY_EVICTION, &from);
    more |= tracking_slice(s);
    shard_append(s, 1ull << s->index); /* evictions */
    return more;
}

static void close_open_outbox(struct shard *s, struct client *c)
{
    bool always = c->always_dep || (c->flags & CLIENT_PUSHED && s->gave_always);
    outbox_close_open(&c->out, s->lsn, always ? s->always_lsn : 0);
    c->always_dep = false;
    c->flags &= ~(uint32_t)CLIENT_PUSHED;
}

static void flush_outgoing(struct shard *s)
{
    struct client *c = s->outgoing.first;
    s->outgoing.first = NULL;
    for (struct client *next; c != NULL; c = next) {
        next = c->out_next;
        c->flags &= ~(uint32_t)CLIENT_OUTGOING;
        if (unlikely(c == s->runner)) {
            client_wrote(c); /* its reply is being written */
            continue;
        }
        close_open_outbox(s, c);
        if (!client_cut(c))
            client_flush(c);
    }
}

/* Clients whose next segment waits for the log: looked at when it has moved. */
static void flush_gated(struct shard *s)
{
    struct client *c = s->gated.first;
    s->gated.first = NULL;
    for (struct client *next; c != NULL; c = next) {
        next = c->gated_next;
        c->flags &= ~(uint32_t)CLIENT_GATED;
        client_flush(c);
    }
}

void shard_returned(struct shard *s)
{
    if (atomic_load(&s->waiting_lent))
        sem_post(&s->returned);
}

static int64_t sleep_us(struct shard *s, bool more)
{
    if (more || (s->retry_now && s->retry.first != NULL) || s->ready.first != NULL || s->outgoing.first != NULL ||
        s->deferred_first != NULL || block_pending(&s->blocking))
        return 0;
    int64_t cron_in = (int64_t)(min_u64(s->next_cron_us, s->blocking.next_deadline_us) - s->now_us);
    if (s->retry.first != NULL && cron_in > 1000)
        cron_in = 1000;
    return cron_in > 0 ? cron_in : 0;
}

/* --- while its data is lent --- */

/* Tasks that would touch data wait for the end of the script; some know what to do instead. */
static struct task *busy_mailbox(struct shard *s, bool lender)
{
    struct task *t;
    for (int i = 0; i < SCAN_MAILBOX && (t = mailbox_take(&s->mailbox)) != NULL; i++) {
        if (t->control && lender)
            return t; /* a grant: for when it does not serve any more */
        if (t->control)
            t->run(t, s);
        else if (t->busy != NULL)
            t->busy(t, s);
        else
            defer(s, t);
    }
    return NULL;
}

/* Those that came before the script was known to be long. */
static void busy_deferred(struct shard *s)
{
    struct task *t = s->deferred_first;
    s->deferred_first = s->deferred_last = NULL;
    for (struct task *next; t != NULL; t = next) {
        next = atomic_load_explicit(&t->next, memory_order_relaxed);
        if (t->busy != NULL)
            t->busy(t, s);
        else
            defer(s, t);
    }
}

/* One pass of the loop, of its own clients and for requests from other shards. */
static struct task *serve_without_data(struct shard *s, int64_t timeout_us, bool lender)
{
    struct wave *outer = s->wave;
    if (s->busy_wave == NULL)
        s->busy_wave = wave_new(WAVE_MAX);
    s->wave = s->busy_wave;
    if (timeout_us > 0 && !mailbox_try_sleep(&s->mailbox))
        timeout_us = 0;
    ensure(loop_poll(s->loop, timeout_us) >= 0);
    mailbox_awake(&s->mailbox);
    busy_deferred(s);
    struct task *granted = busy_mailbox(s, lender);
    dispatch_busy(s, lender);
    if (!s->busy_silent) {
        forward_answer(s);
        flush_gated(s);
        flush_outgoing(s);
    }
    s->wave = outer;
    return granted;
}

static void serve_as_lender(struct shard *s)
{
    struct task *granted = NULL;
    atomic_store(&s->serving, true);
    if (hold_lender_serves(s->server))
        granted = serve_without_data(s, s->ready.first != NULL ? 0 : LENDER_POLL_US, true);
    atomic_store(&s->serving, false);
    if (granted != NULL)
        granted->run(granted, s);
}

/* While its data is lent the thread does nothing but take control tasks: no handler runs that could touch clients or
 * data. Unless a script runs for long. */
static void wait_until_returned(struct shard *s)
{
    while (lent(s)) {
        if (unlikely(hold_lender_serves(s->server))) {
            serve_as_lender(s);
            continue;
        }
        run_mailbox(s);
        atomic_store(&s->waiting_lent, true);
        if (atomic_load(&s->lent) && !hold_lender_serves(s->server) && mailbox_try_sleep(&s->mailbox)) {
            while (sem_wait(&s->returned) < 0 && errno == EINTR)
                ;
            mailbox_awake(&s->mailbox);
        }
        atomic_store(&s->waiting_lent, false);
    }
    clients_left(s);
}

/* Announced before the gates are looked at for the last time, so that no progress goes unnoticed. */
static void announce_log_wait(struct shard *s)
{
    bool waits = s->gated.first != NULL || s->retry.first != NULL || tier_waits_for_log(s->tier);
    atomic_store(&s->wants_log, waits);
    if (!waits || s->server->log == NULL)
        return;
    flush_gated(s);
    if (s->waited_durable != log_durable(s->server->log)) {
        s->waited_durable = log_durable(s->server->log);
        s->retry_now = true;
        tier_log_progress(s->tier, s->waited_durable);
    }
}

static void poll_loop(struct shard *s, bool more)
{
    announce_log_wait(s);
    int64_t timeout = sleep_us(s, more);
    if (timeout != 0 && !mailbox_try_sleep(&s->mailbox))
        timeout = 0;
    int n = loop_poll(s->loop, timeout);
    mailbox_awake(&s->mailbox);
    ensure(n >= 0);
}

/* What has run here for other shards, after its frame: pushes first, so that whoever has an answer finds them there. */
static void answer(struct shard *s)
{
    tracking_broadcast(s);
    push_post(s);
    forward_answer(s);
}

/* Whether there may be room now for who waits for some. */
static bool room_moved(struct shard *s)
{
    uint64_t moved = tier_batches_done(s->tier) + lazy_freed_objects(s->server->lazy);
    bool has = moved != s->room_seen;
    s->room_seen = moved;
    return has;
}

/* The arguments are still looked at when the script has ended (slow log). */
static void drop_runner_input(struct shard *s)
{
    if (s->runner_in != NULL)
        rbuf_unref(s->runner_in);
    s->runner_in = NULL;
}

static bool turn(struct shard *s)
{
    bool more;
    shard_update_clock(s);
    if (unlikely(block_pending(&s->blocking)))
        block_serve(s);
    run_mailbox(s);
    if (unlikely(s->blocking.next_deadline_us <= s->now_us))
        block_expire(s);
    if (s->now_us >= s->next_cron_us)
        cron(s);
    if (s->retry_now || s->pushes.waited_for || (s->retry.first != NULL && room_moved(s)))
        retry_all(s);
    dispatch_ready(s);
    more = data_slices(s);
    answer(s);
    flush_gated(s);
    flush_outgoing(s);
    if (s->closing.first != NULL)
        clients_reap(s);
    if (s->lend_asked) {
        hold_lend(s);
        wait_until_returned(s);
        push_deliver(s);
        flush_outgoing(s);
    }
    if (unlikely(s->runner_in != NULL))
        drop_runner_input(s);
    s->gave_always = false;
    stat_add(&s->stats.turns, 1);
    return more;
}

/* --- a turn within a turn --- */

void shard_busy_begin(struct shard *s, struct client *runner, bool held)
{
    uint64_t touched = held ? s->server->holds.held : 1ull << s->index;
    s->busy_held = held;
    drop_runner_input(s);
    s->runner = runner;
    if (runner != NULL && runner->in != NULL) {
        rbuf_ref(runner->in);
        s->runner_in = runner->in;
    }
    forward_post(s);
    wave_cut(s);
    s->busy_silent = !shard_append_before(s, touched);
    hold_long_script(s->server, held);
}

void shard_busy_serve(struct shard *s)
{
    s->now_us = clock_mono_us(s->server->clock);
    serve_without_data(s, 0, false);
}

void shard_busy_end(struct shard *s)
{
    hold_long_script_ended(s->server, s->busy_held);
    s->runner = NULL;
    s->busy_silent = false;
}

static void *shard_main(void *arg)
{
    struct shard *s = arg;
    char name[16];
    bool more = false;

    snprintf(name, sizeof(name), "shard-%u", s->index);
    pthread_setname_np(pthread_self(), name);
    if (s->server->nshards > 1)
        mem_own_arena();
    while (!atomic_load_explicit(&s->stop, memory_order_acquire)) {
        uint64_t from = timing_now(&s->server->timing);
        more = turn(s);
        stat_add(&s->stats.turn_ticks, timing_now(&s->server->timing) - from);
        poll_loop(s, more);
    }
    loop_leave(s->loop); /* shard_free goes on in another thread */
    return NULL;
}

/* --- life --- */

void shard_start(struct shard *s)
{
    pthread_attr_t attr;
    s->started = true;
    pthread_attr_init(&attr);
    ensure(pthread_attr_setstacksize(&attr, SHARD_STACK) == 0);
    ensure(pthread_create(&s->thread, &attr, shard_main, s) == 0);
    pthread_attr_destroy(&attr);
}

void shard_join(struct shard *s)
{
    if (!s->started)
        return;
    atomic_store_explicit(&s->stop, true, memory_order_release);
    loop_wake(s->loop);
    pthread_join(s->thread, NULL);
    s->started = false;
}

static void stop_listening(struct shard *s)
{
    for (int i = 0; i < s->nlisteners; i++)
        loop_unlisten(s->listeners[i], s->loop);
    s->nlisteners = 0;
}

static void end_clients_slice(struct shard *s, int64_t timeout_us)
{
    loop_poll(s->loop, timeout_us);
    run_mailbox(s);
    for (struct client *c = s->clients; c != NULL; c = c->next) {
        if (c->blocked != NULL)
            block_done(&c->blocked);
        client_close(c, false); /* one that another shard has accepted may just have arrived */
    }
    retry_all(s);
    forward_answer(s);
    flush_outgoing(s);
    flush_gated(s);
    s->ready = s->hold_waiting = (struct list){0};
    for (struct client *c = s->clients; c != NULL; c = c->next)
        c->flags &= ~(uint32_t)(CLIENT_READY | CLIENT_GATED | CLIENT_OUTGOING | CLIENT_IN_HOLD_LIST);
    clients_reap(s);
}

/* Client by client is not possible: one may wait for what it has sent to another shard. */
void shards_end_clients(struct server *server)
{
    bool left = true;
    for (unsigned i = 0; i < server->nshards; i++)
        stop_listening(server->shards[i]);
    for (int tries = 0; tries < 1000 && left; tries++) {
        left = false;
        for (unsigned i = 0; i < server->nshards; i++) {
            end_clients_slice(server->shards[i], tries == 0 ? 0 : 1000);
            left |= server->shards[i]->clients != NULL;
        }
    }
    ensure(!left);
    for (unsigned i = 0; i < server->nshards; i++) {
        struct shard *s = server->shards[i];
        struct task *t;
        run_mailbox(s);
        while ((t = mailbox_take(&s->mailbox)) != NULL) /* what the last ones have left to others, however much */
            t->run(t, s);
    }
}

/* Waits until the pool has nothing of this shard any more; its thread has ended, so completions run here. */
void shard_drain(struct shard *s)
{
    while (!tier_idle(s->tier)) {
        run_mailbox(s);
        s->server->clock->sleep_us(s->server->clock, 200);
        if (s->server->log != NULL)
            tier_log_progress(s->tier, log_durable(s->server->log));
    }
}
