#include "server/recovery.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/state.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/function_store.h"
#include "server/import.h"
#include "server/replay.h"
#include "server/spaces.h"

#define ERROR_MAX 512
#define PROGRESS_US 1000000

struct recovery {
    struct server *server;
    struct state state; /* of the last checkpoint */
    uint64_t l0, max_stamp;
    uint64_t keys, absents, frames;
    struct replay *replay;
    uint64_t next_progress_us, end;
    char *error;
    bool serving;   /* recovery_reload: what is not logged stays */
    bool fresh;     /* no checkpoint has completed yet: nothing was ever served */
    bool from_file; /* a database that the record calls logged was taken from the RDB file */
    bool broken;    /* fresh, but not the first try: what an import has left on flash counts for nothing */
};

static void progress(struct recovery *r, const char *what, uint64_t n)
{
    uint64_t now = clock_mono_us(r->server->clock);
    if (now < r->next_progress_us)
        return;
    r->next_progress_us = now + PROGRESS_US;
    logger_line(r->server->logger, LOG_NOTICE, "Recovery: %s %llu", what, (unsigned long long)n);
}

/* --- the store --- */

int recovery_open_store(struct server *server, char *error)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/flash", server->config->dir);
    int err = server->fs->ops->mkdir(server->fs, path);
    if (err < 0) {
        snprintf(error, ERROR_MAX, "cannot make %.400s: %s", path, strerror(-err));
        return err;
    }
    struct store_config cfg = {.path = path, .memory_bytes = server->config->tier_memory, .background_threads = 2};
    return store_rocks_open(&server->store, &cfg, error);
}

static bool live_space(const struct recovery *r, struct space_id id)
{
    if (r->broken)
        return false;
    for (uint32_t db = 0; db < r->state.databases; db++)
        if (r->state.db[db].logged && space_id_eq(r->state.db[db].space, id))
            return true;
    return r->serving && spaces_is_unlogged(id);
}

static int first_space(void *arg, struct slice key, struct slice value)
{
    struct space_id *id = arg;
    struct key name;
    char kind;
    (void)value;
    return record_parse_key(key, &kind, id, &name) ? 1 : -EBADMSG;
}

/* Removes every space that the map does not hold, or that was not logged: skips from space to space. */
static int discard_dead(struct recovery *r, char kind)
{
    struct store *store = r->server->store;
    struct buf from = {0}, to = {0}, skip = {0}, end = {0};
    struct space_id id;
    int err;

    record_space_range(&from, &skip, kind, (struct space_id){0, 0});
    buf_append_byte(&end, (uint8_t)kind + 1);
    while ((err = store->ops->scan(store, buf_slice(&from), buf_slice(&end), first_space, &id)) == 1) {
        if (!live_space(r, id) && (err = checkpoint_remove_space(r->server, id)) < 0)
            break;
        buf_clear(&skip);
        record_space_range(&skip, &to, kind, id);
        buf_clear(&from);
        buf_append_slice(&from, buf_slice(&to));
    }
    buf_free(&from);
    buf_free(&to);
    buf_free(&skip);
    buf_free(&end);
    return err;
}

struct load {
    struct recovery *r;
    uint32_t db;
};

static int load_meta(void *arg, struct slice store_key, struct slice value)
{
    struct load *load = arg;
    struct recovery *r = load->r;
    struct record_meta meta;
    struct space_id space;
    struct key stored;
    char kind;

    if (!record_parse_key(store_key, &kind, &space, &stored) || record_meta_decode(store_key, value, &meta) < 0) {
        snprintf(r->error, ERROR_MAX, "a meta record of database %u on flash is damaged", load->db);
        return -EBADMSG;
    }
    struct shard *s = shard_of(r->server, stored.name);
    struct keyspace *ks = s->spaces[load->db];
    struct key key = key_of(ks, stored.name);
    if (key.hash >> 32 != stored.hash >> 32) {
        snprintf(r->error, ERROR_MAX,
                 "the flash tier does not belong to this log: its keys were hashed with another seed. Put the folder "
                 "appendonlydir that was beside it back, or remove both");
        return -EBADMSG;
    }
    if (meta.type == RECORD_ABSENT) {
        keyspace_load_tomb(ks, key);
        r->absents++;
    } else {
        struct entry_times times = {meta.expire_ms, meta.inner_ms};
        keyspace_load_cold(ks, key, meta.type, meta.ram_bytes, times, meta.temperature);
        progress(r, "keys read:", ++r->keys);
    }
    if (meta.stamp > r->l0)
        replay_stamp(r->replay, space, key, meta.stamp);
    r->max_stamp = max_u64(r->max_stamp, meta.stamp);
    return 0;
}

static int load_database(struct recovery *r, uint32_t db)
{
    struct store *store = r->server->store;
    struct load load = {r, db};
    struct buf from = {0}, to = {0};
    record_space_range(&from, &to, 'm', r->state.db[db].space);
    int err = store->ops->scan(store, buf_slice(&from), buf_slice(&to), load_meta, &load);
    buf_free(&from);
    buf_free(&to);
    return err;
}

/* --- replay --- */

static int one_frame(void *arg, uint64_t lsn, struct slice payload)
{
    struct recovery *r = arg;
    progress(r, "frames replayed:", ++r->frames);
    return replay_frame(r->replay, lsn, payload, r->error);
}

/* --- all of it --- */

static void apply_recorded_modes(struct recovery *r)
{
    for (uint32_t db = 0; db < (uint32_t)r->server->config->databases; db++) {
        bool logged = db < r->state.databases && r->state.db[db].logged;
        struct space_id id = db < r->state.databases ? r->state.db[db].space : (struct space_id){0, db};
        r->server->modes[db] = logged ? DURABILITY_EVERYSEC : DURABILITY_NONE;
        spaces_create(r->server, db, logged ? id : spaces_unlogged_id(r->server, db));
    }
}

static int load_functions(struct recovery *r)
{
    uint64_t stamp;
    int err = function_store_read(r->server, &stamp, r->error);
    replay_functions_stamp(r->replay, stamp);
    r->max_stamp = max_u64(r->max_stamp, stamp);
    return err;
}

static int load_keys(struct recovery *r)
{
    int err = 0;
    if (r->server->store == NULL)
        return 0;
    err = discard_dead(r, 'm');
    if (err == 0)
        err = discard_dead(r, 'v');
    if (err == 0 && !r->fresh && state_any_logged(&r->state))
        err = load_functions(r);
    for (uint32_t db = 0; err == 0 && db < r->state.databases; db++)
        if (r->state.db[db].logged)
            err = load_database(r, db);
    return err;
}

static int replay_log(struct recovery *r, struct log *log)
{
    int err = log_replay(log, r->l0, one_frame, r);
    return err < 0 ? err : replay_barrier(r->replay, r->error);
}

static bool listed(struct slice numbers, uint32_t db)
{
    uint64_t n = 0;
    for (size_t i = 0; i < numbers.len; i++) {
        bool digit = numbers.p[i] >= '0' && numbers.p[i] <= '9';
        n = digit ? n * 10 + numbers.p[i] - '0' : 0;
        bool end = i + 1 == numbers.len || numbers.p[i + 1] == ' ';
        if (digit && end && n == db)
            return true;
    }
    return false;
}

static bool was_logged(const struct recovery *r, uint32_t db)
{
    return db < r->state.databases && r->state.db[db].logged;
}

/* Whether the file has what a database held last. On a first start it is all there is. Else it has if the record says
 * that the database lives by it. If the record says that it is logged, it may have changed to the file since: then it
 * is listed in a file that is newer than the record (admin_config_prepare sees to it that it is, and that it is written
 * before the log forgets the database); what the log has of it is no newer. */
static bool in_file(const struct recovery *r, uint32_t db, const struct rdb_about *about)
{
    if (r->fresh)
        return r->end == 0;
    if (was_logged(r, db))
        return about->of_kelvin && about->lsn > r->l0 && listed(about->living, db);
    return (db < r->state.databases && r->state.db[db].snapshot) ||
           r->server->config->db[db].durability == DURABILITY_SNAPSHOT;
}

/* What the log has made of it goes; first what of that is on its way to flash, under the same names. */
static void empty_database(struct recovery *r, uint32_t db)
{
    struct server *server = r->server;
    if (replay_barrier(r->replay, r->error) < 0)
        return; /* the import ends with that error */
    for (unsigned i = 0; i < server->nshards; i++)
        shard_drain(server->shards[i]);
    spaces_reset(server, db, server->shards[0]->spaces[db]->id);
    r->from_file = true;
}

static bool wants_file(void *arg, uint32_t db, const struct rdb_about *about)
{
    struct recovery *r = arg;
    bool wanted = in_file(r, db, about);
    if (wanted && !r->fresh && was_logged(r, db))
        empty_database(r, db);
    return wanted;
}

/* Functions live by the log as long as any database does. Those of the file are the last ones if every database that
 * the log had at the record has changed to the file since. */
static bool wants_libraries(void *arg, const struct rdb_about *about)
{
    struct recovery *r = arg;
    for (uint32_t db = 0; db < r->state.databases; db++)
        if (was_logged(r, db) && !in_file(r, db, about))
            return false;
    functions_install(r->server, functions_new());
    return true;
}

static bool any_snapshot(const struct server *server)
{
    for (int db = 0; db < server->config->databases; db++)
        if (server->config->db[db].durability == DURABILITY_SNAPSHOT)
            return true;
    return false;
}

/* 1: some database has its contents in the file; 0: none has. A file that cannot be read is an error for those that
 * may live by it only: the others have it as a copy. */
static int file_wanted(struct recovery *r)
{
    struct rdb_about about = {0};
    struct buf living = {0};
    bool wanted = false;
    int err = import_about(r->server, &about, &living, r->error);
    for (uint32_t db = 0; db < (uint32_t)r->server->config->databases; db++)
        wanted |= in_file(r, db, &about);
    buf_free(&living);
    if (err == 0 || err == -ENOENT)
        return err == 0 && wanted;
    if (wanted || any_snapshot(r->server))
        return err;
    logger_line(r->server->logger, LOG_WARNING, "Not needed, but: %s", r->error);
    return 0;
}

static int load_file(struct recovery *r)
{
    struct server *server = r->server;
    struct import_figures figures;
    int wanted = file_wanted(r);
    if (wanted <= 0)
        return wanted;
    struct import_wants wants = {wants_file, wants_libraries, r};
    int err = import_file(server, r->replay, &wants, &figures, r->error);
    server->imported = (r->fresh && figures.loaded + figures.libraries > 0) || r->from_file;
    server->loaded_keys = figures.loaded;
    server->loaded_expired = figures.expired;
    return err;
}

static int load_and_replay(struct recovery *r)
{
    struct log_recovery report = {.from = r->l0};
    struct server *server = r->server;
    int err = load_keys(r);
    if (err < 0)
        return err;
    report.known_durable = r->max_stamp;
    err = log_recover(server->log, &report, r->error);
    if (err < 0)
        return err;
    if (report.cut_bytes > 0)
        logger_line(server->logger, LOG_WARNING, "Recovery: a torn tail of %llu bytes was cut at LSN %llu",
                    (unsigned long long)report.cut_bytes, (unsigned long long)report.end);
    r->end = report.end;
    err = replay_log(r, server->log);
    return err < 0 ? err : load_file(r);
}

static void report(struct recovery *r, uint64_t started_us)
{
    struct replay_figures figures;
    replay_figures(r->replay, &figures);
    logger_line(r->server->logger, LOG_NOTICE,
                "DB loaded: %llu keys on flash, %llu effects replayed (%llu already on flash), %.3f seconds",
                (unsigned long long)r->keys, (unsigned long long)(figures.effects - r->server->loaded_keys),
                (unsigned long long)figures.skipped, (double)(clock_mono_us(r->server->clock) - started_us) / 1e6);
}

static bool mode_differs(const struct state_db *was, int durability)
{
    return was->logged != (durability >= DURABILITY_OS) || was->snapshot != (durability == DURABILITY_SNAPSHOT);
}

/* After replay: what the configuration says differs from the record? That is a change of mode, made durable by a
 * checkpoint before anything is served (main waits for it). */
static bool adopt_config_modes(struct server *server, const struct state *state)
{
    const struct state_db none = {.logged = false};
    bool differs = false;
    for (uint32_t db = 0; db < (uint32_t)server->config->databases; db++) {
        server->modes[db] = (uint8_t)server->config->db[db].durability;
        server->save_first |= db < state->databases && state->db[db].logged && server->modes[db] == DURABILITY_SNAPSHOT;
        differs |= mode_differs(db < state->databases ? &state->db[db] : &none, server->modes[db]);
        spaces_apply_mode(server, db);
    }
    spaces_refresh(server);
    return differs;
}

/* What the last checkpoint recorded; before the first one, what the configuration says. */
static int read_record(struct recovery *r)
{
    struct server *server = r->server;
    const struct log_checkpoint *last = log_last_checkpoint(server->log);
    r->fresh = !log_existed(server->log) || last->state.len == 0;
    if (!r->fresh && state_decode(last->state, &r->state) < 0) {
        snprintf(r->error, ERROR_MAX, "the checkpoint record in the manifest is damaged");
        return -EBADMSG;
    }
    if (!r->fresh) {
        r->l0 = last->l0;
        value_hash_seed = server->hash_seed = r->state.hash_seed;
        return 0;
    }
    r->broken = log_existed(server->log);
    state_init(&r->state, (uint32_t)server->config->databases);
    for (uint32_t db = 0; db < r->state.databases; db++) {
        r->state.db[db].logged = server->config->db[db].durability >= DURABILITY_OS;
        r->state.db[db].snapshot = server->config->db[db].durability == DURABILITY_SNAPSHOT;
    }
    return r->broken ? 0 : import_check_aof(server, r->error);
}

int recovery_run(struct server *server, char *error)
{
    struct recovery r = {.server = server, .error = error};
    uint64_t started_us = clock_mono_us(server->clock);
    int err = read_record(&r);
    if (err < 0) {
        state_free(&r.state);
        return err;
    }
    apply_recorded_modes(&r);
    r.replay = replay_new(server, &r.state, false);
    err = load_and_replay(&r);
    if (err == 0)
        report(&r, started_us);
    replay_free(r.replay);
    if (err == 0) {
        for (unsigned i = 0; i < server->nshards; i++)
            server->shards[i]->lsn = r.end;
        server->checkpoint_first = adopt_config_modes(server, &r.state) || r.fresh || server->imported;
    }
    state_free(&r.state);
    return err;
}

/* --- reloading while serving --- */

/* Everything that is on its way to disk gets there; completions are ignored when they come. */
static void settle(struct server *server)
{
    uint64_t end = log_appended(server->log);
    log_want_durable(server->log, end);
    while (log_durable(server->log) < end && !atomic_load(&server->dying))
        server->clock->sleep_us(server->clock, 1000);
    for (unsigned i = 0; i < server->nshards; i++)
        tier_log_progress(server->shards[i]->tier, end);
    while (pool_pending(server->pool) > 0)
        server->clock->sleep_us(server->clock, 1000);
    for (unsigned i = 0; i < server->nshards; i++)
        tier_ignore_past(server->shards[i]->tier);
    checkpoint_spoil(server->checkpoint);
}

/* Databases whose mode is just changing, or that were not logged at L0, stay as they are. */
static void reset_spaces(struct recovery *r)
{
    for (uint32_t db = 0; db < r->state.databases; db++) {
        r->state.db[db].logged &= db < (uint32_t)r->server->config->databases && server_logged(r->server, db);
        if (r->state.db[db].logged)
            spaces_reset(r->server, db, r->state.db[db].space);
    }
}

static int reload_from(struct recovery *r, struct log *log)
{
    const struct log_checkpoint *last = log_last_checkpoint(log);
    if (state_decode(last->state, &r->state) < 0) {
        snprintf(r->error, ERROR_MAX, "the checkpoint record in the manifest is damaged");
        return -EBADMSG;
    }
    r->l0 = last->l0;
    reset_spaces(r);
    r->replay = replay_new(r->server, &r->state, true);
    int err = load_keys(r);
    if (err == 0)
        err = replay_log(r, log);
    replay_free(r->replay);
    state_free(&r->state);
    return err;
}

int recovery_reload(struct server *server, char *error)
{
    struct recovery r = {.server = server, .error = error, .serving = true};
    uint64_t end = log_appended(server->log);
    struct log *log;
    char dir[4096];

    settle(server);
    snprintf(dir, sizeof(dir), "%s/%s", server->config->dir, server->config->appenddirname);
    struct log_config cfg = {.fs = server->fs,
                             .clock = server->clock,
                             .entropy = server->entropy,
                             .logger = server->logger,
                             .dir = dir,
                             .segment_bytes = server->config->log_segment_size,
                             .writers = 1};
    int err = log_open(&log, &cfg, error); /* a second handle, which only reads */
    if (err == 0) {
        err = reload_from(&r, log);
        log_close(log, LOG_MARK_NONE);
    }
    for (unsigned i = 0; i < server->nshards; i++)
        server->shards[i]->lsn = end;
    return err;
}
