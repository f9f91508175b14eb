#include "server/save.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/functions.h"
#include "server/snapshot.h"

#define DAWDLE_US 5000   /* between two looks whether the file is still wanted */
#define RETRY_US 5000000 /* after a failure a save point waits so long, as in Redis */

enum wish { WISH_NONE, WISH_BACKGROUND, WISH_LAST };

struct save {
    struct server *server;
    pthread_t thread;
    bool threaded; /* the thread is to be joined */
    bool waited_for;
    struct task done;
    /* What the thread needs of the configuration, which may change meanwhile. */
    char dir[4096], name[256], temp[64];
    bool compress, checksum;
    struct buf living; /* numbers of the databases that live by the file */
    struct functions *functions;
    int result;
    uint64_t changes_at_cut, started_us;

    _Atomic int key_delay; /* rdb-key-save-delay, which may end while it is waited for */
    _Atomic int wish;
    _Atomic bool closed;
    _Atomic bool running, finished; /* finished: the thread has nothing more to do */
    _Atomic bool posted;            /* `done` is in the mailbox */
    _Atomic int last_result;        /* of the last one that ended */
    _Atomic bool last_failed;       /* and of the last background one: what stops writes */
    _Atomic bool last_done;         /* WISH_LAST has been granted: `final` is its result */
    _Atomic int64_t last_save_s, last_took_s;
    _Atomic uint64_t changes_base, saves, running_since_us;
    uint64_t retry_us;
    int final;
};

static bool is_temporary(const char *name)
{
    size_t digits = strncmp(name, "temp-", 5) == 0 ? strspn(name + 5, "0123456789") : 0;
    return digits > 0 && strcmp(name + 5 + digits, ".rdb") == 0;
}

static int remove_temporary(void *arg, const char *name)
{
    struct server *server = arg;
    char path[4400];
    snprintf(path, sizeof(path), "%.4000s/%.255s", server->config->dir, name);
    if (is_temporary(name))
        server->fs->ops->unlink(server->fs, path);
    return 0;
}

/* The directory is this process's alone: what has such a name was left behind by a crash. */
static void clean_up(struct server *server)
{
    int err = server->fs->ops->list(server->fs, server->config->dir, remove_temporary, server);
    if (err < 0)
        logger_line(server->logger, LOG_WARNING, "The data directory cannot be listed: %s", strerror(-err));
}

struct save *save_new(struct server *server)
{
    struct save *sv = mem_zalloc(sizeof(*sv));
    sv->server = server;
    atomic_store(&sv->last_save_s, server->started_wall_s);
    atomic_store(&sv->last_took_s, -1);
    save_configure(sv);
    clean_up(server);
    return sv;
}

void save_free(struct save *sv)
{
    ensure(!sv->threaded);
    buf_free(&sv->living);
    mem_free(sv, sizeof(*sv));
}

bool save_busy(const struct save *sv)
{
    return atomic_load(&sv->running) || atomic_load(&sv->posted) || snapshot_busy(sv->server->snapshot);
}

static uint64_t changes(const struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        sum += atomic_load_explicit(&server->shards[i]->changed, memory_order_relaxed);
    return sum;
}

void save_count_from_here(struct save *sv) { atomic_store(&sv->changes_base, changes(sv->server)); }

/* --- the thread --- */

static void put_number(struct rdb_writer *w, const char *name, int64_t v)
{
    char text[NUM_I64_MAX];
    rdb_writer_aux(w, name, slice_of(text, num_format_i64(text, v)));
}

static void put_header(struct save *sv, struct rdb_writer *w)
{
    struct snapshot_about about;
    struct mem_stats mem;
    snapshot_about(sv->server->snapshot, &about);
    mem_stats(&mem);
    rdb_writer_aux(w, "redis-ver", slice_str(KELVIN_REDIS_VERSION));
    put_number(w, "redis-bits", 64);
    put_number(w, "ctime", about.wall_ms / 1000);
    put_number(w, "used-mem", (int64_t)mem.allocated);
    put_number(w, "aof-base", 0);
    put_number(w, RDB_AUX_LSN, (int64_t)about.lsn);
    rdb_writer_aux(w, RDB_AUX_LIVING, buf_slice(&sv->living));
}

/* Sizes stand before a database's first key. */
static void put_key(struct save *sv, struct rdb_writer *w, const struct rdb_entry *e, int64_t *sized)
{
    uint64_t keys, expires;
    if ((int64_t)e->db > *sized) {
        snapshot_sizes(sv->server->snapshot, e->db, &keys, &expires);
        rdb_writer_sizes(w, e->db, keys, expires);
        *sized = e->db;
    }
    rdb_writer_add(w, e);
}

/* For tests that want a save to take long; not longer than it is wanted. */
static void dawdle(struct save *sv, uint64_t keys)
{
    struct clock *clock = sv->server->clock;
    int64_t delay = atomic_load_explicit(&sv->key_delay, memory_order_relaxed), left = delay;
    if (delay < 0 && keys % (uint64_t)-delay == 0)
        clock->sleep_us(clock, 1);
    for (; left > 0 && atomic_load(&sv->key_delay) > 0 && snapshot_wanted(sv->server->snapshot); left -= DAWDLE_US)
        clock->sleep_us(clock, (uint64_t)(left < DAWDLE_US ? left : DAWDLE_US));
}

static int put_chunk(struct save *sv, struct rdb_writer *w, struct snapshot_chunk *chunk, int64_t *sized)
{
    struct rdb_entry e;
    int more;
    uint64_t keys = 0;
    while ((more = snapshot_next(sv->server->snapshot, chunk, &e)) == 1 && rdb_writer_error(w) == 0) {
        put_key(sv, w, &e, sized);
        dawdle(sv, ++keys);
    }
    if (more < 0)
        logger_line(sv->server->logger, LOG_WARNING,
                    "Saving: the value of a key cannot be read from the flash tier: %s", strerror(-more));
    return more < 0 ? more : rdb_writer_error(w);
}

static int put_keys(struct save *sv, struct rdb_writer *w)
{
    struct snapshot *sn = sv->server->snapshot;
    struct snapshot_chunk *chunk;
    int64_t sized = -1;
    int err = 0;
    while (err == 0 && (chunk = snapshot_take(sn)) != NULL) {
        err = put_chunk(sv, w, chunk, &sized);
        snapshot_give_back(sn, chunk);
    }
    if (err < 0)
        snapshot_abandon(sn);
    return err;
}

static void put_libraries(struct save *sv, struct rdb_writer *w)
{
    for (unsigned i = 0; i < sv->functions->nlibraries; i++)
        rdb_writer_library(w, sv->functions->libraries[i]->code);
}

static int write_file(struct save *sv)
{
    struct rdb_writer *w = NULL;
    int err = rdb_writer_open(&w, &(struct rdb_writer_config){.fs = sv->server->fs,
                                                              .dir = sv->dir,
                                                              .name = sv->name,
                                                              .temp = sv->temp,
                                                              .compress = sv->compress,
                                                              .checksum = sv->checksum});
    if (err == 0) {
        put_header(sv, w);
        put_libraries(sv, w);
        err = put_keys(sv, w);
    } else {
        snapshot_abandon(sv->server->snapshot);
    }
    if (!snapshot_finish(sv->server->snapshot) && err == 0)
        err = -ECANCELED;
    if (w != NULL && err < 0)
        rdb_writer_abandon(w);
    return err == 0 ? rdb_writer_finish(w) : err;
}

static void *run(void *arg)
{
    struct save *sv = arg;
    pthread_setname_np(pthread_self(), "rdb-save");
    bool post = !sv->waited_for;
    sv->result = write_file(sv);
    atomic_store(&sv->posted, post);
    atomic_store(&sv->finished, true);
    if (post)
        shard_post(sv->server->shards[0], &sv->done);
    return NULL;
}

/* --- beginning and ending --- */

/* On shard 0, by who waited, or at the end of the process. */
static void ended(struct save *sv)
{
    struct server *server = sv->server;
    uint64_t now = clock_mono_us(server->clock);
    if (!sv->threaded)
        return;
    pthread_join(sv->thread, NULL);
    sv->threaded = false;
    functions_unref(sv->functions);
    sv->functions = NULL;
    atomic_store(&sv->last_took_s, (int64_t)((now - sv->started_us) / 1000000));
    atomic_store(&sv->last_result, sv->result);
    if (sv->result == 0) {
        atomic_store(&sv->last_save_s, clock_wall_ms(server->clock) / 1000);
        atomic_store(&sv->changes_base, sv->changes_at_cut);
        atomic_fetch_add(&sv->saves, 1);
        logger_line(server->logger, LOG_NOTICE,
                    sv->waited_for ? "DB saved on disk" : "Background saving terminated with success");
    } else if (sv->result != -ECANCELED) {
        logger_line(server->logger, LOG_WARNING, "%s: %s", sv->waited_for ? "Saving failed" : "Background saving error",
                    strerror(-sv->result));
    }
    if (sv->result == 0 || (!sv->waited_for && sv->result != -ECANCELED))
        atomic_store(&sv->last_failed, sv->result < 0);
    sv->retry_us = now + RETRY_US;
    atomic_store(&sv->running, false);
}

/* Whoever cancelled this one may have ended it already, and begun another. */
static void saved(struct task *t, void *arg)
{
    struct save *sv = container_of(t, struct save, done);
    (void)arg;
    atomic_store(&sv->posted, false);
    if (atomic_load(&sv->finished))
        ended(sv);
}

static void take_config(struct save *sv)
{
    const struct config *cfg = sv->server->config;
    snprintf(sv->dir, sizeof(sv->dir), "%s", cfg->dir);
    snprintf(sv->name, sizeof(sv->name), "%s", cfg->dbfilename);
    snprintf(sv->temp, sizeof(sv->temp), "temp-%d.rdb", (int)getpid());
    sv->compress = cfg->rdbcompression;
    sv->checksum = cfg->rdbchecksum;
    buf_clear(&sv->living);
    for (int db = 0; db < cfg->databases; db++)
        if (cfg->db[db].durability == DURABILITY_SNAPSHOT)
            buf_printf(&sv->living, "%s%d", sv->living.len > 0 ? " " : "", db);
}

void save_configure(struct save *sv) { atomic_store(&sv->key_delay, sv->server->config->rdb_key_save_delay); }

static void begin(struct save *sv, bool waited_for)
{
    ensure(!atomic_load(&sv->running) && !sv->threaded && (waited_for || !atomic_load(&sv->posted)));
    take_config(sv);
    atomic_store(&sv->finished, false);
    sv->waited_for = waited_for;
    sv->done.run = saved;
    sv->started_us = clock_mono_us(sv->server->clock);
    sv->changes_at_cut = changes(sv->server);
    atomic_store(&sv->running_since_us, sv->started_us);
    atomic_store(&sv->running, true);
    snapshot_begin(sv->server->snapshot);
    sv->functions = functions_ref(sv->server->functions);
    ensure(pthread_create(&sv->thread, NULL, run, sv) == 0);
    sv->threaded = true;
}

void save_begin(struct save *sv)
{
    logger_line(sv->server->logger, LOG_NOTICE, "Background saving started");
    begin(sv, false);
}

int save_now(struct save *sv)
{
    begin(sv, true);
    snapshot_walk_all(sv->server->snapshot);
    ended(sv);
    return atomic_load(&sv->last_result);
}

void save_ask(struct save *sv)
{
    int none = WISH_NONE;
    atomic_compare_exchange_strong(&sv->wish, &none, WISH_BACKGROUND);
}

/* --- the last one --- */

bool save_at_stop(const struct server *server)
{
    bool snapshots = server->config->nsave > 0;
    for (int db = 0; db < server->config->databases && !snapshots; db++)
        snapshots = server->modes[db] == DURABILITY_SNAPSHOT;
    return snapshots;
}

int save_last(struct save *sv)
{
    atomic_store(&sv->last_done, false);
    atomic_store(&sv->wish, WISH_LAST);
    while (!atomic_load(&sv->last_done))
        sv->server->clock->sleep_us(sv->server->clock, 1000);
    return sv->final;
}

static void cancel(struct save *sv)
{
    snapshot_end_walks(sv->server->snapshot);
    ended(sv);
}

int save_anew(struct save *sv)
{
    cancel(sv);
    return save_now(sv);
}

/* What is acknowledged after the last file would be lost, so nothing is: clients wait until they are closed. */
int save_final(struct save *sv)
{
    struct server *server = sv->server;
    int err = save_anew(sv);
    if (err == 0) {
        atomic_store(&server->paused_all, true);
        atomic_store(&server->paused_until_ms, INT64_MAX);
    }
    return err;
}

void save_stop(struct save *sv)
{
    atomic_store(&sv->closed, true);
    cancel(sv);
}

/* --- save points --- */

static bool point_reached(const struct save *sv, uint64_t now_us)
{
    const struct config *cfg = sv->server->config;
    uint64_t changed = changes(sv->server) - atomic_load(&sv->changes_base);
    int64_t passed = clock_wall_ms(sv->server->clock) / 1000 - atomic_load(&sv->last_save_s);
    if (atomic_load(&sv->last_failed) && now_us < sv->retry_us)
        return false;
    for (int i = 0; i < cfg->nsave; i++)
        if (changed >= (uint64_t)cfg->save[i].changes && passed > cfg->save[i].seconds) {
            logger_line(sv->server->logger, LOG_NOTICE, "%d changes in %d seconds. Saving...", cfg->save[i].changes,
                        cfg->save[i].seconds);
            return true;
        }
    return false;
}

/* Whether what is wished for can begin. */
static bool may_begin(const struct save *sv)
{
    int wish = atomic_load(&sv->wish);
    return !atomic_load(&sv->closed) && (wish == WISH_LAST || (wish == WISH_BACKGROUND && !save_busy(sv)));
}

void save_mark(struct server *server)
{
    struct save *sv = server->save;
    if (sv == NULL || !may_begin(sv))
        return;
    if (atomic_exchange(&sv->wish, WISH_NONE) == WISH_BACKGROUND) {
        save_begin(sv);
        return;
    }
    sv->final = save_final(sv);
    atomic_store(&sv->last_done, true);
}

void save_cron(struct server *server)
{
    struct save *sv = server->save;
    if (sv == NULL)
        return;
    if (!save_busy(sv) && point_reached(sv, server->shards[0]->now_us))
        save_ask(sv);
    if (!may_begin(sv))
        return;
    if (server->nshards == 1)
        save_mark(server);
    else
        hold_ask(server, server->shards[0], server_all_shards(server));
}

bool save_stops_writes(const struct server *server)
{
    const struct save *sv = server->save;
    return sv != NULL && unlikely(atomic_load_explicit(&sv->last_failed, memory_order_relaxed)) &&
           server->config->stop_writes_on_bgsave_error && server->config->nsave > 0;
}

void save_info(const struct save *sv, struct save_info *out)
{
    struct snapshot_about about;
    uint64_t now = clock_mono_us(sv->server->clock);
    snapshot_about(sv->server->snapshot, &about);
    *out = (struct save_info){.running = atomic_load(&sv->running),
                              .asked = atomic_load(&sv->wish) != WISH_NONE,
                              .last_ok = !atomic_load(&sv->last_failed),
                              .last_save_s = atomic_load(&sv->last_save_s),
                              .last_took_s = atomic_load(&sv->last_took_s),
                              .current_for_s = -1,
                              .changes = changes(sv->server) - atomic_load(&sv->changes_base),
                              .saves = atomic_load(&sv->saves)};
    if (!out->running)
        return;
    out->current_for_s = (int64_t)((now - atomic_load(&sv->running_since_us)) / 1000000);
    out->keys = about.keys;
    out->keys_done = about.taken;
}
