#include "server/replay.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/memory.h"
#include "server/server.h"

#define ERROR_MAX 512
#define CHUNK_BYTES (256 * KIB)
#define CHUNK_ITEMS 2048
#define CHUNK_ARGS (4 * CHUNK_ITEMS)
#define CHUNKS_QUEUED 4
#define BUDGET_WAITS 100000 /* of 100 us, for flash writes to complete */

/* A key that was written to flash after L0. */
struct stamped {
    uint64_t hash, stamp;
    struct space_id space;
    uint32_t klen;
    uint8_t key[];
};

/* Effects of one shard in order, with copies of their arguments. */
struct chunk {
    struct chunk *next;
    size_t n, nargs, args_cap, len, cap;
    struct slice *args;
    uint8_t *bytes;
    struct chunk_item {
        const struct command *cmd;
        uint64_t lsn;
        uint32_t db;
        int argc;
        struct slice *argv;
    } item[CHUNK_ITEMS];
};

/* One a shard. Under the lock: the queue, busy, stop and failure. The rest is the worker's own while it runs. */
struct worker {
    cache_aligned struct replay *replay;
    struct shard *shard;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, room;
    struct chunk *first, *last;
    unsigned queued;
    bool busy, stop;
    int failed; /* errno of `failure`; nothing more is applied */
    char failure[ERROR_MAX];
    struct chunk *filling; /* the dealer's */
    struct buf nowhere;
    uint64_t effects, skipped;
};

struct replay {
    struct server *server;
    const struct state *state;
    bool serving, importing;
    bool any_logged;          /* some database: then the log has what belongs to the server, too */
    uint64_t functions_stamp; /* those on flash hold all effects below */
    struct table *stamps;
    struct effects walk;
    struct worker *workers;
};

/* --- stamps --- */

static uint64_t stamped_hash(const void *item, void *arg)
{
    (void)arg;
    return ((const struct stamped *)item)->hash;
}

static const struct table_type stamps_type = {.hash = stamped_hash};

static uint64_t stamp_of(const struct replay *r, struct space_id space, struct key key)
{
    struct table_probe p;
    for (struct stamped *st = table_first(r->stamps, key.hash, &p); st != NULL; st = table_next(&p))
        if (space_id_eq(st->space, space) && slice_eq(slice_of(st->key, st->klen), key.name))
            return st->stamp;
    return 0;
}

void replay_stamp(struct replay *r, struct space_id space, struct key key, uint64_t stamp)
{
    struct stamped *st = mem_alloc(sizeof(*st) + key.name.len);
    *st = (struct stamped){key.hash, stamp, space, (uint32_t)key.name.len};
    if (key.name.len > 0)
        memcpy(st->key, key.name.p, key.name.len);
    table_insert(r->stamps, key.hash, st);
}

static void stamp_free(void *arg, void *item)
{
    struct stamped *st = item;
    (void)arg;
    mem_free(st, sizeof(*st) + st->klen);
}

/* --- chunks --- */

static struct chunk *chunk_new(size_t args, size_t bytes)
{
    struct chunk *c = mem_alloc(sizeof(*c));
    c->n = c->nargs = c->len = 0;
    c->args_cap = args > CHUNK_ARGS ? args : CHUNK_ARGS;
    c->cap = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    c->args = mem_alloc(sizeof(*c->args) * c->args_cap);
    c->bytes = mem_alloc(c->cap);
    return c;
}

static void chunk_free(struct chunk *c)
{
    mem_free(c->args, sizeof(*c->args) * c->args_cap);
    mem_free(c->bytes, c->cap);
    mem_free(c, sizeof(*c));
}

static bool chunk_fits(const struct chunk *c, size_t args, size_t bytes)
{
    return c->n < CHUNK_ITEMS && c->nargs + args <= c->args_cap && c->len + bytes <= c->cap;
}

static void chunk_add(struct chunk *c, const struct effect_item *e, const struct command *cmd)
{
    struct slice *argv = c->args + c->nargs;
    c->item[c->n++] = (struct chunk_item){cmd, e->lsn, e->db, e->argc, argv};
    c->nargs += (size_t)e->argc;
    for (int i = 0; i < e->argc; i++) {
        if (e->argv[i].len > 0)
            memcpy(c->bytes + c->len, e->argv[i].p, e->argv[i].len);
        argv[i] = slice_of(c->bytes + c->len, e->argv[i].len);
        c->len += e->argv[i].len;
    }
}

/* --- applying, on a worker or, for effects without a key, on the dealer --- */

/* The value that an effect needs is read on the spot. It touches at most one key (I4). */
static int fetch_needed(struct shard *s, struct call *c)
{
    struct key_ref ref;
    int n = command_keys(c->cmd, c->argv, c->argc, &ref, 1);
    if (n > 1)
        return -EBADMSG;
    if (n < 1 || ref.need != NEED_VALUE)
        return 0;
    struct keyspace *ks = s->spaces[c->db];
    struct key key = key_of(ks, c->argv[ref.arg]);
    struct entry *e = keyspace_find(ks, key);
    return tier_fetch_now(s->tier, ks, &e, key);
}

static int apply(struct shard *s, const struct chunk_item *item, struct buf *nowhere)
{
    struct request request = {.cmd = item->cmd, .argv = item->argv, .argc = item->argc};
    struct call call;

    buf_clear(nowhere);
    call_init(&call, s, &request);
    call.db = item->db;
    call.apply = true;
    call.events = 0;
    call.out = nowhere;
    int err = fetch_needed(s, &call);
    if (err < 0)
        return err;
    call_run(&call);
    return call.failed ? -EBADMSG : 0;
}

static bool covered_by_flash(const struct replay *r, const struct shard *s, const struct chunk_item *item)
{
    struct key_ref ref;
    if (table_count(r->stamps) == 0 || command_keys(item->cmd, item->argv, item->argc, &ref, 1) != 1)
        return false;
    const struct keyspace *ks = s->spaces[item->db];
    return item->lsn < stamp_of(r, ks->id, key_of(ks, item->argv[ref.arg]));
}

static void explain(const struct replay *r, char *error, const struct chunk_item *item, int err)
{
    if (item->cmd != NULL && item->cmd->flags & CMD_OF_SERVER) {
        const struct buf *reply = &r->workers[0].nowhere;
        snprintf(error, ERROR_MAX, "the effect %.*s %.*s at LSN %llu cannot be applied: %.*s",
                 (int)min_u64(item->argv[0].len, 32), (const char *)item->argv[0].p,
                 (int)min_u64(item->argv[1].len, 32), (const char *)item->argv[1].p, (unsigned long long)item->lsn,
                 (int)min_u64(reply->len, 300), (const char *)reply->p);
        return;
    }
    if (r->importing) {
        struct slice name = item->argc > 1 ? item->argv[1] : SLICE_LIT("");
        snprintf(error, ERROR_MAX,
                 "the value of the key '%.*s' in database %u cannot be read, or it is there twice: %s",
                 (int)min_u64(name.len, 128), (const char *)name.p, item->db, strerror(-err));
        return;
    }
    snprintf(error, ERROR_MAX,
             "the effect %.*s at LSN %llu cannot be applied: %s. The log and the flash tier contradict each other",
             (int)min_u64(item->argv[0].len, 32), (const char *)item->argv[0].p, (unsigned long long)item->lsn,
             strerror(-err));
}

static void drain(struct shard *s)
{
    for (struct task *t; (t = mailbox_take(&s->mailbox)) != NULL;)
        t->run(t, s);
}

/* Each worker makes room in its own shard until all together are in the budget, or it has nothing left that could go:
 * keys alone may be more than the budget, and replay refuses nothing (I4). */
static void keep_budget(struct worker *w)
{
    struct server *server = w->replay->server;
    memory_publish(w->shard);
    if (memory_data(server) <= memory_budget(server))
        return;
    for (int tries = 0; tries < BUDGET_WAITS; tries++) {
        uint64_t before = memory_data(server);
        memory_maintain(w->shard);
        if (w->replay->serving)
            return;
        drain(w->shard);
        if (memory_data(server) <= memory_budget(server) || !memory_reclaimable(w->shard))
            return;
        if (memory_data(server) >= before)
            server->clock->sleep_us(server->clock, 100);
    }
}

static int apply_chunk(struct worker *w, struct chunk *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (covered_by_flash(w->replay, w->shard, &c->item[i])) {
            w->skipped++;
            continue;
        }
        int err = apply(w->shard, &c->item[i], &w->nowhere);
        if (err < 0) {
            explain(w->replay, w->failure, &c->item[i], err);
            return err;
        }
        w->effects++;
    }
    /* What is written to flash from here holds every effect up to this one: the next byte is its stamp. */
    if (!w->replay->importing)
        w->shard->lsn = c->item[c->n - 1].lsn + 1;
    keep_budget(w);
    return 0;
}

/* --- workers --- */

static struct chunk *take(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    pthread_cond_signal(&w->room);
    while (w->first == NULL && !w->stop)
        pthread_cond_wait(&w->work, &w->lock);
    struct chunk *c = w->first;
    if (c != NULL) {
        fifo_pop(w);
        w->queued--;
        w->busy = true;
    }
    pthread_mutex_unlock(&w->lock);
    return c;
}

static void fail(struct worker *w, int err)
{
    pthread_mutex_lock(&w->lock);
    w->failed = err;
    pthread_mutex_unlock(&w->lock);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct chunk *c;
    pthread_setname_np(pthread_self(), "replay");
    while ((c = take(w)) != NULL) {
        int err = w->failed == 0 ? apply_chunk(w, c) : 0;
        if (err < 0)
            fail(w, err);
        chunk_free(c);
    }
    return NULL;
}

static void submit(struct worker *w)
{
    struct chunk *c = w->filling;
    if (c == NULL)
        return;
    w->filling = NULL;
    pthread_mutex_lock(&w->lock);
    while (w->queued >= CHUNKS_QUEUED)
        pthread_cond_wait(&w->room, &w->lock);
    fifo_push(w, c);
    w->queued++;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

static int wait_idle(struct worker *w, char *error)
{
    submit(w);
    pthread_mutex_lock(&w->lock);
    while (w->first != NULL || w->busy)
        pthread_cond_wait(&w->room, &w->lock);
    int err = w->failed;
    pthread_mutex_unlock(&w->lock);
    if (err < 0)
        snprintf(error, ERROR_MAX, "%s", w->failure);
    return err;
}

int replay_barrier(struct replay *r, char *error)
{
    int err = 0;
    for (unsigned i = 0; i < r->server->nshards; i++) {
        int one = wait_idle(&r->workers[i], error);
        err = err < 0 ? err : one;
    }
    return err;
}

/* --- dealing --- */

static int run_alone(struct replay *r, struct worker *w, const struct effect_item *e, const struct command *cmd,
                     char *error)
{
    struct chunk_item item = {cmd, e->lsn, e->db, e->argc, e->argv};
    int err = replay_barrier(r, error);
    if (err < 0)
        return err;
    err = apply(w->shard, &item, &w->nowhere);
    if (err < 0)
        explain(r, error, &item, err);
    w->effects++;
    return err;
}

/* Not copied: a large value is in memory often enough. The worker is idle, so its shard is ours. */
static int run_large(struct replay *r, struct worker *w, const struct effect_item *e, const struct command *cmd,
                     char *error)
{
    int err = run_alone(r, w, e, cmd, error);
    if (err == 0)
        keep_budget(w);
    return err;
}

/* Which database such an effect stands in means nothing. */
static int deal_of_server(struct replay *r, const struct effect_item *e, const struct command *cmd, char *error)
{
    if (!r->importing && !r->any_logged)
        return 0;
    if (!r->importing && e->lsn < r->functions_stamp) {
        r->workers[0].skipped++;
        return 0;
    }
    return run_alone(r, &r->workers[0], e, cmd, error);
}

static int deal(struct replay *r, const struct effect_item *e, char *error)
{
    const struct command *parent, *cmd = command_find(e->argv, e->argc, &parent);
    struct key_ref ref;
    size_t bytes = 0;

    if (e->db >= r->state->databases || cmd == NULL || !command_arity_ok(cmd, e->argc)) {
        struct chunk_item item = {cmd, e->lsn, e->db, e->argc, e->argv};
        explain(r, error, &item, -EBADMSG);
        return -EBADMSG;
    }
    if (cmd->flags & CMD_OF_SERVER)
        return deal_of_server(r, e, cmd, error);
    if (!r->state->db[e->db].logged && !r->importing)
        return 0;
    if (command_keys(cmd, e->argv, e->argc, &ref, 1) != 1)
        return run_alone(r, &r->workers[0], e, cmd, error);
    struct worker *w = &r->workers[shard_of(r->server, e->argv[ref.arg])->index];
    for (int i = 0; i < e->argc; i++)
        bytes += e->argv[i].len;
    if (r->importing && bytes > CHUNK_BYTES)
        return run_large(r, w, e, cmd, error);
    if (w->filling != NULL && !chunk_fits(w->filling, (size_t)e->argc, bytes))
        submit(w);
    if (w->filling == NULL)
        w->filling = chunk_new((size_t)e->argc, bytes);
    chunk_add(w->filling, e, cmd);
    return 0;
}

/* Looked at once a frame: a worker that has failed applies nothing more, so it is soon enough. */
static int any_failure(struct replay *r, char *error)
{
    for (unsigned i = 0; i < r->server->nshards; i++) {
        struct worker *w = &r->workers[i];
        pthread_mutex_lock(&w->lock);
        int err = w->failed;
        pthread_mutex_unlock(&w->lock);
        if (err < 0) {
            snprintf(error, ERROR_MAX, "%s", w->failure);
            return err;
        }
    }
    return 0;
}

int replay_frame(struct replay *r, uint64_t lsn, struct slice payload, char *error)
{
    struct effect_item item;
    int more, err = any_failure(r, error);

    r->server->replay_lsn = lsn; /* seen by effects without a key alone, which run here */
    r->server->replay_spaces = 0;
    effects_begin(&r->walk, lsn, payload);
    while (err == 0 && (more = effects_next(&r->walk, &item)) != 0) {
        if (more < 0)
            snprintf(error, ERROR_MAX, "the frame at LSN %llu does not hold effects", (unsigned long long)lsn);
        err = more < 0 ? more : deal(r, &item, error);
    }
    return err;
}

void replay_functions_stamp(struct replay *r, uint64_t stamp) { r->functions_stamp = stamp; }
void replay_import(struct replay *r) { r->importing = true; }

int replay_effect(struct replay *r, const struct effect_item *e, char *error)
{
    int err = any_failure(r, error);
    return err < 0 ? err : deal(r, e, error);
}

/* --- life --- */

struct replay *replay_new(struct server *server, const struct state *state, bool serving)
{
    struct replay *r = mem_zalloc(sizeof(*r));
    r->server = server;
    r->state = state;
    r->serving = serving;
    r->any_logged = state_any_logged(state);
    r->stamps = table_new(&stamps_type, NULL);
    effects_init(&r->walk);
    r->workers = mem_alloc_aligned(sizeof(*r->workers) * server->nshards, 64);
    memset(r->workers, 0, sizeof(*r->workers) * server->nshards);
    for (unsigned i = 0; i < server->nshards; i++) {
        struct worker *w = &r->workers[i];
        w->replay = r;
        w->shard = server->shards[i];
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->work, NULL);
        pthread_cond_init(&w->room, NULL);
        ensure(pthread_create(&w->thread, NULL, worker_main, w) == 0);
    }
    return r;
}

static void worker_end(struct worker *w)
{
    submit(w);
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    buf_free(&w->nowhere);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->room);
}

void replay_free(struct replay *r)
{
    uint64_t cursor = 0;
    for (unsigned i = 0; i < r->server->nshards; i++)
        worker_end(&r->workers[i]);
    mem_free_aligned(r->workers, sizeof(*r->workers) * r->server->nshards, 64);
    do
        cursor = table_scan(r->stamps, cursor, stamp_free, NULL);
    while (cursor != 0);
    table_free(r->stamps);
    effects_free(&r->walk);
    mem_free(r, sizeof(*r));
}

void replay_figures(const struct replay *r, struct replay_figures *out)
{
    *out = (struct replay_figures){0};
    for (unsigned i = 0; i < r->server->nshards; i++) {
        out->effects += r->workers[i].effects;
        out->skipped += r->workers[i].skipped;
    }
}
