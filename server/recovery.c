#include "server/recovery.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/effects.h"
#include "persist/state.h"
#include "server/checkpoint.h"
#include "server/dispatch.h"
#include "server/spaces.h"

#define ERROR_MAX 512
#define PROGRESS_US 1000000

/* The stamps of keys that were written to flash after L0: their effects below the stamp are skipped. */
struct stamped {
    uint64_t hash, stamp;
    struct space_id space;
    uint32_t klen;
    uint8_t key[];
};

struct recovery {
    struct server *server;
    struct state state; /* of the last checkpoint */
    uint64_t l0, max_stamp;
    uint64_t keys, absents, effects, skipped;
    struct table *stamps;
    struct effects walk;
    struct buf nowhere;
    uint64_t next_progress_us, end;
    char *error;
};

static void progress(struct recovery *r, const char *what, uint64_t n)
{
    uint64_t now = clock_mono_us(r->server->clock);
    if (now < r->next_progress_us)
        return;
    r->next_progress_us = now + PROGRESS_US;
    logger_line(r->server->logger, LOG_NOTICE, "Recovery: %s %llu", what, (unsigned long long)n);
}

/* --- stamps --- */

static uint64_t stamped_hash(const void *item, void *arg)
{
    (void)arg;
    return ((const struct stamped *)item)->hash;
}

static struct stamped *stamp_find(struct recovery *r, struct space_id space, struct key key)
{
    struct table_probe p;
    for (struct stamped *st = table_first(r->stamps, key.hash, &p); st != NULL; st = table_next(&p))
        if (space_id_eq(st->space, space) && slice_eq(slice_of(st->key, st->klen), key.name))
            return st;
    return NULL;
}

static void stamp_add(struct recovery *r, struct space_id space, struct key key, uint64_t stamp)
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
    struct store_config cfg = {
        .path = path, .memory_bytes = server->config->tier_memory, .background_threads = 2, .compression = "none"};
    return store_rocks_open(&server->store, &cfg, error);
}

static bool live_space(const struct recovery *r, struct space_id id)
{
    for (uint32_t db = 0; db < r->state.databases; db++)
        if (r->state.db[db].logged && space_id_eq(r->state.db[db].space, id))
            return true;
    return false;
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
        keyspace_load_cold(ks, key, meta.type, meta.ram_bytes, meta.expire_ms, meta.temperature);
        progress(r, "keys read:", ++r->keys);
    }
    if (meta.stamp > r->l0)
        stamp_add(r, space, key, meta.stamp);
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

/* Values that an effect needs are read on the spot. */
static int fetch_needed(struct recovery *r, struct call *c)
{
    struct key_ref refs[64];
    int n = command_keys(c->cmd, c->argv, c->argc, refs, ARRAY_LEN(refs));
    if (n > (int)ARRAY_LEN(refs))
        return -EBADMSG;
    for (int i = 0; i < n; i++) {
        struct shard *s = shard_of(r->server, c->argv[refs[i].arg]);
        struct keyspace *ks = s->spaces[c->db];
        struct key key = key_of(ks, c->argv[refs[i].arg]);
        struct entry *e = keyspace_find(ks, key);
        if (refs[i].need != NEED_VALUE || e == NULL || !entry_cold(e))
            continue;
        int err = tier_fetch_now(s->tier, ks, &e, key);
        if (err < 0)
            return err;
    }
    return 0;
}

static bool covered_by_flash(struct recovery *r, const struct effect_item *item, const struct command *cmd)
{
    struct key_ref ref;
    if (command_keys(cmd, item->argv, item->argc, &ref, 1) != 1)
        return false;
    struct keyspace *ks = shard_of(r->server, item->argv[ref.arg])->spaces[item->db];
    struct stamped *st = stamp_find(r, ks->id, key_of(ks, item->argv[ref.arg]));
    return st != NULL && item->lsn < st->stamp;
}

static int apply(struct recovery *r, const struct effect_item *item, const struct command *cmd)
{
    struct key_ref ref;
    int n = command_keys(cmd, item->argv, item->argc, &ref, 1);
    struct shard *s = n == 1 ? shard_of(r->server, item->argv[ref.arg]) : r->server->shards[0];
    struct request request = {.cmd = cmd, .argv = item->argv, .argc = item->argc};
    struct call call;

    buf_clear(&r->nowhere);
    call_init(&call, s, &request);
    call.db = item->db;
    call.apply = true;
    call.out = &r->nowhere;
    int err = fetch_needed(r, &call);
    if (err < 0)
        return err;
    call_run(&call);
    return call.failed ? -EBADMSG : 0;
}

static int apply_effect(struct recovery *r, const struct effect_item *item)
{
    const struct command *parent, *cmd = command_find(item->argv, item->argc, &parent);
    if (item->db >= r->state.databases || cmd == NULL || !command_arity_ok(cmd, item->argc))
        return -EBADMSG;
    if (!r->state.db[item->db].logged)
        return 0;
    if (covered_by_flash(r, item, cmd)) {
        r->skipped++;
        return 0;
    }
    r->effects++;
    return apply(r, item, cmd);
}

/* Runs completions of the tier on this thread: no shard runs yet. */
static void drain(struct server *server)
{
    for (unsigned i = 0; i < server->nshards; i++) {
        struct shard *s = server->shards[i];
        for (struct task *t; (t = mailbox_take(&s->mailbox)) != NULL;)
            t->run(t, s);
    }
}

/* Replay stays in the budget as serving does (I11): everything replayed is durable, so it may go to flash at once. */
static void keep_budget(struct recovery *r)
{
    struct server *server = r->server;
    for (int tries = 0; tries < 100000; tries++) {
        uint64_t before;
        for (unsigned i = 0; i < server->nshards; i++)
            memory_publish(server->shards[i]);
        before = memory_data(server);
        if (before <= memory_budget(server))
            return;
        for (unsigned i = 0; i < server->nshards; i++)
            memory_maintain(server->shards[i]);
        drain(server);
        if (memory_data(server) >= before)
            clock_real()->sleep_us(clock_real(), 100);
    }
}

static int replay_frame(void *arg, uint64_t lsn, struct slice payload)
{
    struct recovery *r = arg;
    struct effect_item item;
    int more;

    r->server->replay_lsn = lsn;
    effects_begin(&r->walk, lsn, payload);
    while ((more = effects_next(&r->walk, &item)) == 1) {
        int err = apply_effect(r, &item);
        if (err < 0) {
            snprintf(
                r->error, ERROR_MAX,
                "the effect %.*s at LSN %llu cannot be applied: %s. The log and the flash tier contradict each other",
                (int)min_u64(item.argv[0].len, 32), (const char *)item.argv[0].p, (unsigned long long)item.lsn,
                strerror(-err));
            return err;
        }
        progress(r, "effects replayed:", r->effects);
    }
    if (more < 0)
        snprintf(r->error, ERROR_MAX, "the frame at LSN %llu does not hold effects", (unsigned long long)lsn);
    for (unsigned i = 0; i < r->server->nshards; i++)
        r->server->shards[i]->lsn = lsn + payload.len;
    keep_budget(r);
    return more;
}

/* --- all of it --- */

static void apply_recorded_modes(struct recovery *r)
{
    for (uint32_t db = 0; db < (uint32_t)r->server->config->databases; db++) {
        bool logged = db < r->state.databases && r->state.db[db].logged;
        struct space_id id = db < r->state.databases ? r->state.db[db].space : (struct space_id){0, db};
        r->server->modes[db] = logged ? DURABILITY_EVERYSEC : DURABILITY_NONE;
        spaces_create(r->server, db, logged ? id : (struct space_id){1ull << 63 | ++r->server->unlogged_spaces, db});
    }
}

static int load_and_replay(struct recovery *r)
{
    struct log_recovery report = {.from = r->l0};
    struct server *server = r->server;
    int err = 0;

    if (server->store != NULL) {
        err = discard_dead(r, 'm');
        if (err == 0)
            err = discard_dead(r, 'v');
        for (uint32_t db = 0; err == 0 && db < r->state.databases; db++)
            if (r->state.db[db].logged)
                err = load_database(r, db);
    }
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
    return log_replay(server->log, r->l0, replay_frame, r);
}

static void report(struct recovery *r, uint64_t started_us)
{
    logger_line(r->server->logger, LOG_NOTICE,
                "DB loaded: %llu keys on flash, %llu effects replayed (%llu already on flash), %.3f seconds",
                (unsigned long long)r->keys, (unsigned long long)r->effects, (unsigned long long)r->skipped,
                (double)(clock_mono_us(r->server->clock) - started_us) / 1e6);
}

/* After replay: what the configuration says differs from the record? That is a change of mode, made durable by a
 * checkpoint before anything is served (main waits for it). */
static bool adopt_config_modes(struct server *server)
{
    bool differs = false;
    for (uint32_t db = 0; db < (uint32_t)server->config->databases; db++) {
        bool was = server_logged(server, db);
        server->modes[db] = (uint8_t)server->config->db[db].durability;
        differs |= was != server_logged(server, db);
        spaces_apply_mode(server, db);
    }
    spaces_refresh(server);
    return differs;
}

int recovery_run(struct server *server, char *error)
{
    struct recovery r = {.server = server, .error = error};
    const struct log_checkpoint *last = log_last_checkpoint(server->log);
    uint64_t started_us = clock_mono_us(server->clock);
    bool fresh = !log_existed(server->log) || last->state.len == 0;
    int err = 0;

    if (fresh)
        state_init(&r.state, (uint32_t)server->config->databases);
    else
        err = state_decode(last->state, &r.state);
    if (err < 0) {
        snprintf(error, ERROR_MAX, "the checkpoint record in the manifest is damaged");
        return err;
    }
    for (uint32_t db = 0; fresh && db < r.state.databases; db++)
        r.state.db[db].logged = server->config->db[db].durability >= DURABILITY_OS;
    r.l0 = fresh ? 0 : last->l0;
    if (!fresh)
        server->hash_seed = r.state.hash_seed;
    r.stamps = table_new(&(struct table_type){stamped_hash, NULL});
    effects_init(&r.walk);
    apply_recorded_modes(&r);
    err = load_and_replay(&r);
    for (uint64_t cursor = 0;;)
        if ((cursor = table_scan(r.stamps, cursor, stamp_free, NULL)) == 0)
            break;
    table_free(r.stamps);
    effects_free(&r.walk);
    buf_free(&r.nowhere);
    state_free(&r.state);
    if (err < 0)
        return err;
    for (unsigned i = 0; i < server->nshards; i++)
        server->shards[i]->lsn = r.end;
    report(&r, started_us);
    if (adopt_config_modes(server) || fresh)
        server->checkpoint_first = true;
    return 0;
}
