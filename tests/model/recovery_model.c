/* Recovery as a whole – log, flash, checkpoints, replay – against the list of states the databases were in, over many
 * lives of one shard on a simulated disk and store.
 *
 * A life: recover, check, run random frames of commands, demote and fetch values, make checkpoints, end. It ends
 * cleanly, or the program is killed, or the power goes at a random call, in recovery as well. The store keeps any
 * prefix of what was written to it; now and then a call of it fails. After every recovery the logged databases are in
 * the state that they were in at exactly the LSN at which the log goes on, which is at or past all that was durable
 * (after a kill: written); the unlogged one is empty.
 *
 * KELVIN_SEED replays a run, KELVIN_TEST_SCALE multiplies its length. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/value/string.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/function_store.h"
#include "server/lazy.h"
#include "server/recovery.h"
#include "server/server.h"
#include "server/timing.h"
#include "tests/sim/fs_sim.h"
#include "tests/sim/store_mem.h"
#include "tests/sim/tap.h"

#define LOGGED 2 /* databases 0 and 1; database 2 is not */
#define KEYS 24
#define VALUE_MAX 120
#define LIBRARIES 3
#define MOMENTS_MAX 20000
#define DIR "data"
#define CHECKPOINT_PAUSE_US 2000000 /* more than there is after one that failed */

struct state {
    struct {
        bool in;
        uint8_t len;
        int64_t expire;
        char value[VALUE_MAX];
    } key[LOGGED][KEYS];
    unsigned library[LIBRARIES]; /* which code it has; 0: it is not there */
};

struct moment {
    uint64_t lsn;
    bool logged; /* a frame that is on disk ends here */
    struct state state;
};

/* What stands between the tier and the store: after death nothing goes through. */
struct gate {
    struct store base;
    struct store *under;
    _Atomic bool dead;
};

struct world {
    struct rng rng;
    struct fs_sim *disk;
    struct store_mem_disk *flash;
    struct gate gate;
    struct config *cfg;
    struct server *server;
    struct state now;
    struct moment *moments;
    size_t count;
    uint64_t durable; /* what a power cut leaves */
    uint64_t written; /* what a mere kill leaves */
    _Atomic bool fatal;
    unsigned trouble; /* so many checkpoints may fail: a call of the store does */
    const char *wrong;
};

static void complain(struct world *w, const char *what)
{
    if (w->wrong == NULL)
        w->wrong = what;
}

/* --- the gate --- */

static struct store *through(struct store *s)
{
    struct gate *g = (struct gate *)s;
    return atomic_load(&g->dead) ? NULL : g->under;
}
static int gate_write(struct store *s, struct store_batch *b)
{
    struct store *u = through(s);
    return u ? u->ops->write(u, b) : -EIO;
}
static int gate_get(struct store *s, struct slice key, struct buf *out)
{
    struct store *u = through(s);
    return u ? u->ops->get(u, key, out) : -EIO;
}
static int gate_flush(struct store *s)
{
    struct store *u = through(s);
    return u ? u->ops->flush(u) : -EIO;
}
static int gate_delete_range(struct store *s, struct slice from, struct slice to)
{
    struct store *u = through(s);
    return u ? u->ops->delete_range(u, from, to) : -EIO;
}
static int gate_scan(struct store *s, struct slice from, struct slice to,
                     int (*each)(void *arg, struct slice key, struct slice value), void *arg)
{
    struct store *u = through(s);
    return u ? u->ops->scan(u, from, to, each, arg) : -EIO;
}
static void gate_stats(struct store *s, struct store_stats *out)
{
    (void)s;
    *out = (struct store_stats){0};
}
static const struct store_ops gate_ops = {.name = "gate",
                                          .write = gate_write,
                                          .get = gate_get,
                                          .flush = gate_flush,
                                          .delete_range = gate_delete_range,
                                          .scan = gate_scan,
                                          .stats = gate_stats};

/* --- a life's server --- */

static void on_progress(void *arg) { (void)arg; }
static void on_fatal(void *arg, const char *what, int error)
{
    struct world *w = arg;
    (void)what;
    (void)error;
    atomic_store(&w->fatal, true);
}

static bool dead(struct world *w) { return atomic_load(&w->fatal) || fs_sim_frozen(w->disk); }

static void run_tasks(struct world *w)
{
    struct shard *s = w->server->shards[0];
    for (struct task *t; (t = mailbox_take(&s->mailbox)) != NULL;)
        t->run(t, s);
    tier_log_progress(s->tier, log_durable(w->server->log));
    s->now_us = clock_mono_us(w->server->clock);
}

static void settle(struct world *w)
{
    while (!tier_idle(w->server->shards[0]->tier) && !dead(w)) {
        run_tasks(w);
        w->server->clock->sleep_us(w->server->clock, 50);
    }
}

/* Some call of the store fails soon. What was not written is dirty again; no checkpoint may count without it, nor
 * remove spaces that the one before still needs. */
static const enum store_mem_call troubles[] = {STORE_MEM_WRITE, STORE_MEM_FLUSH, STORE_MEM_DELETE_RANGE};

static void make_trouble(struct world *w)
{
    store_mem_fail(w->gate.under, troubles[rng_below(&w->rng, ARRAY_LEN(troubles))], 1 + rng_below(&w->rng, 3), -EIO);
    w->trouble = 2;
}

/* After a checkpoint. A write that has failed may be noticed in the next one. */
static void trouble_over(struct world *w)
{
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++)
        store_mem_fail(w->gate.under, troubles[i], 0, 0);
    w->trouble -= w->trouble > 0;
}

static void run_checkpoint(struct world *w)
{
    struct shard *s = w->server->shards[0];
    struct checkpoint_info before, now;
    checkpoint_info(w->server->checkpoint, &before);
    checkpoint_ask(w->server->checkpoint);
    do {
        run_tasks(w);
        s->now_us += CHECKPOINT_PAUSE_US;
        checkpoint_cron(w->server);
        s->now_us -= CHECKPOINT_PAUSE_US;
        checkpoint_slice(s);
        w->server->clock->sleep_us(w->server->clock, 50);
        checkpoint_info(w->server->checkpoint, &now);
    } while (now.completed + now.failed == before.completed + before.failed && !dead(w));
    if (now.failed != before.failed && !dead(w) && w->trouble == 0)
        complain(w, "a checkpoint fails");
    trouble_over(w);
}

static void build(struct world *w)
{
    struct server *s = mem_zalloc(sizeof(*s));
    w->server = s;
    s->config = w->cfg;
    s->clock = clock_real();
    s->entropy = entropy_real();
    s->fs = fs_sim_fs(w->disk);
    s->logger = logger_open(s->clock, "/dev/null", LOG_WARNING);
    s->entropy->fill(s->entropy, &s->hash_seed, sizeof(s->hash_seed));
    timing_init(s);
    holds_init(&s->holds);
    functions_install(s, functions_new());
    w->gate.base.ops = &gate_ops;
    w->gate.under = store_mem_open(w->flash);
    atomic_store(&w->gate.dead, false);
    atomic_store(&w->fatal, false);
    w->trouble = 0;
    s->store = &w->gate.base;
    s->pool = pool_new(2);
    s->lazy = lazy_start();
    s->nshards = 1;
    s->shards = mem_zalloc(sizeof(*s->shards));
    s->modes = mem_zalloc((size_t)s->config->databases);
    char error[512];
    ensure(trainer_open(&s->trainer, &(struct trainer_config){.store = s->store, .pool = s->pool}, error) == 0);
    ensure(shard_create(&s->shards[0], s, 0) == 0);
}

static int start(struct world *w, char *error)
{
    struct server *s = w->server;
    struct log_config cfg = {.fs = s->fs,
                             .clock = s->clock,
                             .entropy = s->entropy,
                             .logger = s->logger,
                             .dir = DIR,
                             .segment_bytes = 16384,
                             .reserve_bytes = 16384,
                             .writers = 1,
                             .progress = on_progress,
                             .fatal = on_fatal,
                             .arg = w};
    int err = log_open(&s->log, &cfg, error);
    if (err == 0)
        err = recovery_run(s, error);
    s->checkpoint = checkpoint_new(s);
    if (err == 0)
        err = log_start(s->log, error);
    return err;
}

static void take_apart(struct world *w)
{
    struct server *s = w->server;
    tier_log_progress(s->shards[0]->tier, UINT64_MAX); /* what waited for the log meets the closed gate */
    shard_drain(s->shards[0]);
    while (pool_pending(s->pool) > 0) /* the recording of a checkpoint uses the log */
        s->clock->sleep_us(s->clock, 100);
    if (s->log != NULL)
        log_close(s->log, LOG_MARK_CLEAN_STOP);
    s->log = NULL;
    pool_free(s->pool);
    shard_free(s->shards[0]);
    trainer_free(s->trainer);
    checkpoint_free(s->checkpoint);
    lazy_stop(s->lazy);
    logger_close(s->logger);
    mem_free(s->shards, sizeof(*s->shards));
    mem_free(s->modes, (size_t)w->cfg->databases);
    mem_free(s->dead, sizeof(*s->dead) * s->dead_cap);
    functions_unref(s->functions);
    mem_free(s, sizeof(*s));
}

enum end { END_CLEAN, END_KILL, END_POWER };

static void end_life(struct world *w, enum end how)
{
    if (how == END_CLEAN)
        settle(w);
    bool clean = how == END_CLEAN && !dead(w);
    if (w->server->log != NULL && !dead(w)) {
        w->durable = clean ? log_appended(w->server->log) : log_durable(w->server->log);
        w->written = how == END_KILL ? log_written(w->server->log) : 0;
    }
    if (!clean) {
        fs_sim_freeze_after(w->disk, 0);
        atomic_store(&w->gate.dead, true);
    }
    take_apart(w);
    if (clean)
        w->gate.under->ops->close(w->gate.under);
    else
        store_mem_crash(w->gate.under);
    if (!clean && how != END_KILL) {
        w->written = 0;
        fs_sim_crash(w->disk);
    }
    fs_sim_freeze_after(w->disk, UINT64_MAX);
}

/* --- commands, on the server and on the model --- */

static void make_hot(struct world *w, struct call *c)
{
    struct shard *s = w->server->shards[0];
    struct key_ref refs[8];
    int n = command_keys(c->cmd, c->argv, c->argc, refs, ARRAY_LEN(refs));
    for (int i = 0; i < n; i++) {
        struct keyspace *ks = s->spaces[c->db];
        struct key key = key_of(ks, c->argv[refs[i].arg]);
        struct entry *e = keyspace_find(ks, key);
        if (tier_fetch_now(s->tier, ks, &e, key) < 0)
            complain(w, "a cold value cannot be read while serving");
    }
}

static void run_words(struct world *w, uint32_t db, int argc, struct slice *argv)
{
    struct shard *s = w->server->shards[0];
    const struct command *parent, *cmd = command_find(argv, argc, &parent);
    struct request r = {.cmd = cmd, .argv = argv, .argc = argc};
    struct buf out = {0};
    struct call call;
    call_init(&call, s, &r);
    call.db = db;
    call.out = &out;
    make_hot(w, &call);
    call_run(&call);
    if (call.failed)
        complain(w, "a command fails");
    buf_free(&out);
}

static void run(struct world *w, uint32_t db, const char *line, ...)
{
    char text[2 * VALUE_MAX];
    struct slice argv[8];
    int argc = 0;
    va_list ap;
    va_start(ap, line);
    vsnprintf(text, sizeof(text), line, ap);
    va_end(ap);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = slice_of(word, strlen(word));
    run_words(w, db, argc, argv);
}

static struct slice library_code(char text[static VALUE_MAX], unsigned i, unsigned version)
{
    int len = snprintf(text, VALUE_MAX, "#!lua name=l%u\nredis.register_function('f%u', function() return %u end)", i,
                       i, version);
    return slice_of(text, (size_t)len);
}

/* What a library is loaded with differs each time; in which database the effect stands means nothing. */
static void change_libraries(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, LIBRARIES), *version = &w->now.library[i];
    uint32_t db = (uint32_t)rng_below(&w->rng, LOGGED + 1);
    char text[VALUE_MAX];
    if (rng_below(&w->rng, 8) == 0) {
        run(w, db, "FUNCTION FLUSH");
        memset(w->now.library, 0, sizeof(w->now.library));
    } else if (*version > 0 && rng_below(&w->rng, 3) == 0) {
        run(w, db, "FUNCTION DELETE l%u", i);
        *version = 0;
    } else {
        struct slice argv[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("LOAD"), SLICE_LIT("REPLACE"), {0}};
        unsigned to = 1 + (unsigned)rng_below(&w->rng, 1000);
        argv[*version > 0 ? 3 : 2] = library_code(text, i, to);
        run_words(w, db, *version > 0 ? 4 : 3, argv);
        *version = to;
    }
}

static void one_command(struct world *w)
{
    struct rng *rng = &w->rng;
    uint32_t db = (uint32_t)rng_below(rng, LOGGED + 1);
    unsigned k = (unsigned)rng_below(rng, KEYS), j = (unsigned)rng_below(rng, KEYS);
    bool logged = db < LOGGED;
    typeof(w->now.key[0][0]) *key = logged ? &w->now.key[db][k] : NULL, *other = logged ? &w->now.key[db][j] : NULL;
    unsigned kind = (unsigned)rng_below(rng, 100);

    if (kind < 50) {
        char value[VALUE_MAX];
        int len = 1 + (int)rng_below(rng, VALUE_MAX - 2);
        for (int i = 0; i < len; i++)
            value[i] = (char)('a' + rng_below(rng, 26));
        run(w, db, "SET k%u %.*s", k, len, value);
        if (logged) {
            *key = (typeof(*key)){.in = true, .len = (uint8_t)len, .expire = ENTRY_NO_EXPIRY};
            memcpy(key->value, value, (size_t)len);
        }
    } else if (kind < 65) {
        run(w, db, "DEL k%u", k);
        if (logged)
            key->in = false;
    } else if (kind < 80) {
        int64_t when = 9000000000000 + (int64_t)rng_below(rng, 1000000);
        run(w, db, "PEXPIREAT k%u %" PRId64, k, when);
        if (logged && key->in)
            key->expire = when;
    } else if (kind < 88 && (!logged || (key->in && k != j))) {
        run(w, db, logged ? "RENAME k%u k%u" : "EXISTS k%u k%u", k, j);
        if (logged) {
            *other = *key;
            key->in = false;
        }
    } else if (kind < 92 && logged && key->in && key->len < VALUE_MAX - 4) {
        run(w, db, "APPEND k%u xyz", k);
        memcpy(key->value + key->len, "xyz", 3);
        key->len += 3;
    } else if (kind >= 92 && kind < 96) {
        change_libraries(w);
    } else if (kind >= 98) {
        run(w, db, "FLUSHDB");
        if (logged)
            memset(w->now.key[db], 0, sizeof(w->now.key[db]));
    } else if (kind >= 96) {
        struct state before = w->now;
        run(w, 0, "SWAPDB 0 1");
        memcpy(w->now.key[0], before.key[1], sizeof(before.key[1]));
        memcpy(w->now.key[1], before.key[0], sizeof(before.key[0]));
    }
}

static void remember(struct world *w, bool logged)
{
    ensure(w->count < MOMENTS_MAX);
    w->moments[w->count++] = (struct moment){log_appended(w->server->log), logged, w->now};
}

static void one_frame(struct world *w)
{
    struct shard *s = w->server->shards[0];
    while (log_admit(w->server->log, 4096, false) != LOG_ROOM_OK)
        if (dead(w))
            return;
        else
            w->server->clock->sleep_us(w->server->clock, 50);
    for (unsigned n = 1 + (unsigned)rng_below(&w->rng, 4); n > 0; n--)
        one_command(w);
    bool logged = s->stage.logged;
    shard_append(s, 1);
    if (!dead(w) || log_appended(w->server->log) > w->moments[w->count - 1].lsn)
        remember(w, logged);
}

static void something_else(struct world *w)
{
    struct shard *s = w->server->shards[0];
    unsigned kind = (unsigned)rng_below(&w->rng, 20);
    uint32_t db = (uint32_t)rng_below(&w->rng, LOGGED + 1);
    if (kind < 8)
        tier_reclaim(s->tier, s->spaces[db], 200 + rng_below(&w->rng, 2000), &s->temperature[db], s->lsn);
    else if (kind == 8)
        run_checkpoint(w);
    else if (kind == 9)
        settle(w);
    else if (kind == 10)
        log_want_durable(w->server->log, log_appended(w->server->log));
    else if (kind == 11)
        make_trouble(w);
    run_tasks(w);
}

/* --- after recovery --- */

static void check_libraries(struct world *w, const struct state *want)
{
    for (unsigned i = 0; i < LIBRARIES; i++) {
        char name[8], text[VALUE_MAX];
        int len = snprintf(name, sizeof(name), "l%u", i);
        const struct library *l = functions_library(w->server->functions, slice_of(name, (size_t)len));
        if ((l != NULL) != (want->library[i] > 0))
            complain(w, l != NULL ? "a deleted library is back" : "a library is lost");
        else if (l != NULL && !slice_eq(l->code, library_code(text, i, want->library[i])))
            complain(w, "a library has another state");
    }
}

static void check_key(struct world *w, uint32_t db, unsigned k, const struct state *want)
{
    struct shard *s = w->server->shards[0];
    struct keyspace *ks = s->spaces[db];
    char name[8], scratch[21 + 1];
    struct key key = key_of(ks, slice_of(name, (size_t)snprintf(name, sizeof(name), "k%u", k)));
    struct entry *e = keyspace_find(ks, key);
    if ((e != NULL) != want->key[db][k].in) {
        complain(w, e != NULL ? "a deleted key is back" : "a key is lost");
        return;
    }
    if (e == NULL)
        return;
    if (tier_fetch_now(s->tier, ks, &e, key) < 0) {
        complain(w, "a cold value cannot be read");
        return;
    }
    struct value v = entry_value(e);
    if (!slice_eq(string_bytes(&v, scratch), slice_of(want->key[db][k].value, want->key[db][k].len)))
        complain(w, "a value is another one");
    if (entry_expiry(e) != want->key[db][k].expire)
        complain(w, "an expiry is another one");
}

static void check_recovered(struct world *w)
{
    uint64_t end = log_appended(w->server->log);
    while (w->count > 1 && w->moments[w->count - 1].lsn > end) {
        if (w->moments[w->count - 1].logged && w->moments[w->count - 1].lsn <= max_u64(w->durable, w->written))
            complain(w, "frames that were promised are lost");
        w->count--;
    }
    w->now = w->moments[w->count - 1].state;
    for (uint32_t db = 0; db < LOGGED; db++)
        for (unsigned k = 0; k < KEYS; k++)
            check_key(w, db, k, &w->now);
    check_libraries(w, &w->now);
    for (uint32_t db = 0; db <= LOGGED; db++)
        keyspace_validate(w->server->shards[0]->spaces[db]);
    if (w->server->shards[0]->spaces[LOGGED]->keys != 0)
        complain(w, "the unlogged database is not empty");
    w->durable = end; /* not its maximum: unlogged frames behind the end are taken back */
    if (w->count > MOMENTS_MAX / 2) {
        w->moments[0] = w->moments[w->count - 1];
        w->count = 1;
    }
}

static void one_life(struct world *w)
{
    char error[512] = "";
    enum end how = (enum end)rng_below(&w->rng, 3);
    bool sudden = rng_below(&w->rng, 3) == 0;
    build(w);
    if (sudden) {
        how = END_POWER;
        fs_sim_freeze_after(w->disk, rng_below(&w->rng, 200));
    }
    if (start(w, error) < 0) {
        if (!dead(w)) {
            complain(w, "recovery refuses");
            tap_diag("%s", error);
        }
    } else {
        if (!dead(w))
            check_recovered(w);
        if (w->server->checkpoint_first && !dead(w))
            run_checkpoint(w);
        for (unsigned n = (unsigned)rng_below(&w->rng, 150); n > 0 && !dead(w) && w->wrong == NULL; n--) {
            one_frame(w);
            if (!dead(w))
                something_else(w);
        }
    }
    end_life(w, how);
}

static struct config *configuration(void)
{
    char *argv[] = {"t",    "--io-backend", "epoll",    "--shards", "1", "--databases", "4",   "--maxmemory",
                    "64mb", "--durability", "everysec", "--db",     "2", "durability",  "none"};
    char error[512];
    struct config *cfg = config_new();
    ensure(config_load(cfg, ARRAY_LEN(argv), argv, error) == 0);
    config_resolve(cfg);
    return cfg;
}

int main(void)
{
    const char *scale = getenv("KELVIN_TEST_SCALE");
    unsigned lives = 120 * (scale == NULL ? 1 : (unsigned)atoi(scale));
    uint64_t seed = tap_seed();
    struct world *w = mem_zalloc(sizeof(*w));
    command_table_init();
    rng_seed(&w->rng, seed);
    w->disk = fs_sim_new(seed);
    w->flash = store_mem_disk_new(seed);
    w->cfg = configuration();
    w->moments = mem_alloc(sizeof(*w->moments) * MOMENTS_MAX);
    w->count = 1;
    w->moments[0] = (struct moment){0};
    struct fs *fs = fs_sim_fs(w->disk);
    ensure(fs->ops->mkdir(fs, DIR) == 0 && fs->ops->sync_dir(fs, ".") == 0);
    unsigned life = 0;
    for (; life < lives && w->wrong == NULL; life++)
        one_life(w);
    ok(w->wrong == NULL, "every life finds the state of the LSN it goes on at");
    if (w->wrong != NULL)
        tap_diag("life %u: %s", life, w->wrong);
    tap_diag("%u lives", life);
    config_free(w->cfg);
    store_mem_disk_free(w->flash);
    fs_sim_free(w->disk);
    mem_free(w->moments, sizeof(*w->moments) * MOMENTS_MAX);
    mem_free(w, sizeof(*w));
    return tap_done();
}
