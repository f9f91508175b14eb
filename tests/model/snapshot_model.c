/* Snapshots of the whole server against a copy of the model at the cut: two shards and three databases in memory – one
 * logged, one tiered but not logged, one neither – on a simulated disk and store.
 *
 * Random commands (in place, expiries, deletions, FLUSHDB, SWAPDB), cleaning, dropping and fetching, checkpoints,
 * slices of the walks, in any order; now and then a save begins. Its thread reads the store and writes the file
 * meanwhile, as in the product. Every file that comes out must hold exactly what the model held when it began. Some
 * saves fail for want of disk, some are cancelled, some are waited for; the next one is as good as any.
 *
 * KELVIN_SEED replays a run (but for what the threads' timing decides), KELVIN_TEST_SCALE multiplies its length. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/value/string.h"
#include "server/checkpoint.h"
#include "server/config_table.h"
#include "server/dispatch.h"
#include "server/function_store.h"
#include "server/lazy.h"
#include "server/recovery.h"
#include "server/save.h"
#include "server/snapshot.h"
#include "server/timing.h"
#include "tests/sim/fs_sim.h"
#include "tests/sim/store_mem.h"
#include "tests/sim/tap.h"

#define SHARDS 2
#define DATABASES 3 /* 0 is logged, 1 tiered, 2 neither */
#define KEYS 60
#define FILL 3000 /* more keys of database 0, so that walks take many slices */
#define VALUE_MAX 100000
#define FIELDS 4000 /* of a hash that is large enough to be encoded in parts */
#define DIR "data"
#define FAR 9000000000000

struct model_key {
    bool in;
    int64_t expire;
    struct buf value;
};
struct model {
    struct model_key key[DATABASES][KEYS];
    struct buf hash[DATABASES]; /* digest of the large hash; empty: there is none. Of the cut only */
};

static struct rng rng;
static struct fs_sim *disk;
static struct server *server;
static struct model now, cut;
static struct save_info last;
static uint64_t files, hashes, failures, cancelled, steps_under_way;

static bool one_in(uint64_t n) { return rng_below(&rng, n) == 0; }

static void copy_model(struct model *to, const struct model *from)
{
    for (int db = 0; db < DATABASES; db++)
        for (int k = 0; k < KEYS; k++) {
            const struct model_key *f = &from->key[db][k];
            struct model_key *t = &to->key[db][k];
            t->in = f->in;
            t->expire = f->expire;
            buf_clear(&t->value);
            buf_append_slice(&t->value, buf_slice(&f->value));
        }
}

static void clear_db(struct model *m, int db)
{
    for (int k = 0; k < KEYS; k++)
        m->key[db][k].in = false;
}

static void free_model(struct model *m)
{
    for (int db = 0; db < DATABASES; db++)
        for (int k = 0; k < KEYS; k++)
            buf_free(&m->key[db][k].value);
    for (int db = 0; db < DATABASES; db++)
        buf_free(&m->hash[db]);
}

/* --- the server --- */

static void on_progress(void *arg) { (void)arg; }
static void on_fatal(void *arg, const char *what, int error)
{
    (void)arg;
    panic("the log cannot be written: %s: %d", what, error);
}

static struct config *new_config(void)
{
    struct config *cfg = config_new();
    char error[512];
    const char *lines[][3] = {
        {NULL, "databases", "3"},      {NULL, "shards", "2"},      {"1", "durability", "none"},
        {"2", "durability", "none"},   {"2", "tier", "off"},       {NULL, "dir", DIR},
        {NULL, "maxmemory", "0"},      {NULL, "hz", "10"},         {NULL, "rdbcompression", "yes"},
        {NULL, "tier-memory", "16mb"}, {NULL, "tier-threads", "2"}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct slice value = slice_str(lines[i][2]);
        ensure(config_set(cfg, lines[i][0] ? atoi(lines[i][0]) : -1, slice_str(lines[i][1]), &value, 1, error));
    }
    config_resolve(cfg);
    return cfg;
}

static void start(struct store_mem_disk *flash)
{
    char error[512];
    server = mem_zalloc(sizeof(*server));
    server->config = new_config();
    server->clock = clock_real();
    server->entropy = entropy_real();
    server->fs = fs_sim_fs(disk);
    timing_init(server);
    server->hash_seed = rng_u64(&rng);
    holds_init(&server->holds);
    functions_install(server, functions_new());
    server->store = store_mem_open(flash);
    server->pool = pool_new(2);
    server->lazy = lazy_start();
    server->nshards = SHARDS;
    server->shards = mem_zalloc(sizeof(*server->shards) * SHARDS);
    server->modes = mem_zalloc(DATABASES);
    ensure(trainer_open(&server->trainer, &(struct trainer_config){.store = server->store, .pool = server->pool},
                        error) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        ensure(shard_create(&server->shards[i], server, i) == 0);
    struct log_config cfg = {.fs = server->fs,
                             .clock = server->clock,
                             .entropy = server->entropy,
                             .dir = DIR "/appendonlydir",
                             .segment_bytes = 64 * KIB,
                             .reserve_bytes = 64 * KIB,
                             .writers = SHARDS,
                             .progress = on_progress,
                             .fatal = on_fatal};
    ensure(log_open(&server->log, &cfg, error) == 0);
    ensure(recovery_run(server, error) == 0);
    server->checkpoint = checkpoint_new(server);
    server->snapshot = snapshot_new(server);
    server->save = save_new(server);
    ensure(log_start(server->log, error) == 0);
    server->holds.held = (1 << SHARDS) - 1; /* all that is done here is done by who holds all */
}

static void run_tasks(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *s = server->shards[i];
        for (struct task *t; (t = mailbox_take(&s->mailbox)) != NULL;)
            t->run(t, s);
        tier_log_progress(s->tier, log_durable(server->log));
        s->now_us = clock_mono_us(server->clock);
    }
}

/* --- commands, on the server and on the model --- */

static void make_hot(struct call *c)
{
    struct key_ref refs[8];
    int n = command_keys(c->cmd, c->argv, c->argc, refs, ARRAY_LEN(refs));
    for (int i = 0; i < n; i++) {
        struct shard *s = shard_of(server, c->argv[refs[i].arg]);
        struct keyspace *ks = s->spaces[c->db];
        struct key key = key_of(ks, c->argv[refs[i].arg]);
        struct entry *e = keyspace_find(ks, key);
        if (e != NULL && entry_cold(e) && refs[i].need == NEED_VALUE)
            ensure(tier_fetch_now(s->tier, ks, &e, key) == 0);
    }
}

static void run_args(uint32_t db, struct slice *argv, int argc)
{
    const struct command *parent;
    struct request r = {.cmd = command_find(argv, argc, &parent), .argv = argv, .argc = argc};
    struct buf out = {0};
    struct call call;
    ensure(r.cmd != NULL);
    call_init(&call, server->shards[0], &r);
    call.db = db;
    call.out = &out;
    call.held = true;
    make_hot(&call);
    call_run(&call);
    ensure(!call.failed);
    buf_free(&out);
    while (log_admit(server->log, server->shards[0]->stage.bytes.len, true) == LOG_ROOM_WAIT)
        server->clock->sleep_us(server->clock, 100);
    shard_append(server->shards[0], server->holds.held);
}

static void run(uint32_t db, const char *line, ...)
{
    char text[200];
    struct slice argv[8];
    int argc = 0;
    va_list ap;
    va_start(ap, line);
    vsnprintf(text, sizeof(text), line, ap);
    va_end(ap);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = slice_of(word, strlen(word));
    run_args(db, argv, argc);
}

static void random_value(struct buf *b)
{
    static const size_t most[] = {5, 100, 1000, 5000, 20000};
    size_t len = 1 + rng_below(&rng, one_in(20) ? VALUE_MAX : most[rng_below(&rng, ARRAY_LEN(most))]);
    buf_clear(b);
    if (one_in(4)) {
        buf_printf(b, "%u", (unsigned)rng_below(&rng, 1000000));
        return;
    }
    unsigned letters = one_in(2) ? 2 : 256;
    for (size_t i = 0; i < len; i++)
        buf_append_byte(b, (uint8_t)('a' + rng_below(&rng, letters)));
}

static void set(uint32_t db, unsigned k)
{
    struct model_key *m = &now.key[db][k];
    char name[16];
    random_value(&m->value);
    struct slice argv[] = {SLICE_LIT("SET"), slice_of(name, (size_t)snprintf(name, sizeof(name), "k%u", k)),
                           buf_slice(&m->value)};
    run_args(db, argv, 3);
    m->in = true;
    m->expire = -1;
}

static void append(uint32_t db, unsigned k)
{
    struct model_key *m = &now.key[db][k];
    if (m->in && m->value.len > VALUE_MAX) {
        set(db, k);
        return;
    }
    run(db, "APPEND k%u xyz", k);
    if (!m->in) {
        buf_clear(&m->value);
        m->expire = -1;
        m->in = true;
    }
    buf_append_str(&m->value, "xyz");
}

static void overwrite(uint32_t db, unsigned k)
{
    struct model_key *m = &now.key[db][k];
    if (!m->in || m->value.len < 4)
        return;
    size_t at = rng_below(&rng, m->value.len - 3);
    run(db, "SETRANGE k%u %zu ZZZ", k, at);
    memcpy(m->value.p + at, "ZZZ", 3);
}

static void expire(uint32_t db, unsigned k)
{
    struct model_key *m = &now.key[db][k];
    bool persist = one_in(3);
    int64_t when = persist ? -1 : FAR + (int64_t)rng_below(&rng, 1000000);
    if (persist)
        run(db, "PERSIST k%u", k);
    else
        run(db, "PEXPIREAT k%u %" PRId64, k, when);
    if (m->in)
        m->expire = when;
}

static void move(uint32_t db, unsigned k, unsigned j)
{
    struct model_key *from = &now.key[db][k], *to = &now.key[db][j];
    if (!from->in || k == j)
        return;
    run(db, "RENAME k%u k%u", k, j);
    struct buf spare = to->value;
    *to = *from;
    *from = (struct model_key){.value = spare};
}

static void swap(void)
{
    /* databases of one mode alone can be swapped */
    run(1, "SWAPDB 1 2");
    for (int k = 0; k < KEYS; k++) {
        struct model_key m = now.key[1][k];
        now.key[1][k] = now.key[2][k];
        now.key[2][k] = m;
    }
}

/* --- a large hash in each database --- */

static struct entry *find_hash(uint32_t db, struct keyspace **ks, struct shard **s)
{
    *s = shard_of(server, SLICE_LIT("hash"));
    *ks = (*s)->spaces[db];
    return keyspace_find(*ks, key_of(*ks, SLICE_LIT("hash")));
}

static void change_hash(uint32_t db)
{
    struct shard *s;
    struct keyspace *ks;
    unsigned f = (unsigned)rng_below(&rng, FIELDS);
    if (one_in(8)) { /* its value may be handed over, and perhaps a part of it has been */
        run(db, "DEL hash");
        return;
    }
    if (find_hash(db, &ks, &s) == NULL)
        for (unsigned i = 0; i < FIELDS; i += 2)
            run(db, "HSET hash field:%u %u field:%u some-more-text-%u", i, i, i + 1, i);
    if (one_in(3))
        run(db, "HDEL hash field:%u", f);
    else
        run(db, "HSET hash field:%u %u", f, (unsigned)rng_below(&rng, 100000));
}

static void mix(void *arg, struct slice s) { buf_append_slice(arg, s); }

static void digest_of(const struct value *v, struct buf *out)
{
    buf_clear(out);
    value_class_of(v->type)->digest(v, mix, out);
}

static void digest_hashes(struct model *m)
{
    for (uint32_t db = 0; db < DATABASES; db++) {
        struct shard *s;
        struct keyspace *ks;
        struct entry *e = find_hash(db, &ks, &s);
        buf_clear(&m->hash[db]);
        if (e == NULL)
            continue;
        if (entry_cold(e))
            ensure(tier_fetch_now(s->tier, ks, &e, key_of(ks, SLICE_LIT("hash"))) == 0);
        struct value v = entry_value(e);
        digest_of(&v, &m->hash[db]);
    }
}

static void one_command(void)
{
    uint32_t db = (uint32_t)rng_below(&rng, DATABASES);
    unsigned k = (unsigned)rng_below(&rng, KEYS), j = (unsigned)rng_below(&rng, KEYS);
    switch (rng_below(&rng, 102)) {
    case 0 ... 34:
        set(db, k);
        break;
    case 35 ... 49:
        append(db, k);
        break;
    case 50 ... 59:
        overwrite(db, k);
        break;
    case 60 ... 74:
        expire(db, k);
        break;
    case 75 ... 86:
        run(db, "DEL k%u", k);
        now.key[db][k].in = false;
        break;
    case 87 ... 96:
        move(db, k, j);
        break;
    case 97:
        if (!one_in(5))
            break;
        run(db, one_in(2) ? "FLUSHDB ASYNC" : "FLUSHDB");
        clear_db(&now, (int)db);
        break;
    case 98:
        swap();
        break;
    case 99:
        change_hash(db);
        break;
    default:
        run(0, "SET fill:%u %u", (unsigned)rng_below(&rng, FILL), (unsigned)rng_below(&rng, 1000));
    }
}

/* --- everything else that happens to entries --- */

static void checkpoints(void)
{
    checkpoint_cron(server);
    checkpoint_mark(server);
    for (unsigned i = 0; i < SHARDS; i++)
        checkpoint_slice(server->shards[i]);
    run_tasks();
}

static void movement(void)
{
    struct shard *s = server->shards[rng_below(&rng, SHARDS)];
    uint32_t db = (uint32_t)rng_below(&rng, 2);
    struct keyspace *ks = s->spaces[db];
    if (one_in(50))
        checkpoint_ask(server->checkpoint);
    if (one_in(2))
        tier_reclaim(s->tier, ks, rng_below(&rng, 20000), &s->temperature[db], s->lsn);
    checkpoints();
}

/* --- saves --- */

static bool same_key(const struct rdb_entry *e, const struct model_key *m)
{
    char scratch[STRING_INT_CHARS + 1];
    struct value v;
    ensure(value_decode(e->payload, &value_limits_default, &v) == 0 && v.type == VALUE_STRING);
    bool same = m->in && m->expire == e->expire_ms && slice_eq(string_bytes(&v, scratch), buf_slice(&m->value));
    value_class_of(v.type)->release(&v);
    return same;
}

static bool same_hash(const struct rdb_entry *e, const struct model *m)
{
    struct buf digest = {0};
    struct value v;
    ensure(value_decode(e->payload, &value_limits_default, &v) == 0 && v.type == VALUE_HASH);
    digest_of(&v, &digest);
    bool same = slice_eq(buf_slice(&digest), buf_slice(&m->hash[e->db]));
    if (!same)
        tap_diag("the hash of database %u: not as it was", e->db);
    hashes++;
    value_class_of(v.type)->release(&v);
    buf_free(&digest);
    return same;
}

/* The file has each key of the model once, and no other (but fillers). */
static bool file_is(const struct model *m)
{
    struct rdb_reader *r;
    struct rdb_entry e;
    char error[512];
    bool seen[DATABASES][KEYS] = {{false}}, good = true;
    int more;
    ensure(rdb_reader_open(&r, server->fs, DIR "/dump.rdb", error) == 0);
    while (good && (more = rdb_reader_next(r, &e, error)) == 1) {
        if (e.name.p[0] == 'h')
            good = same_hash(&e, m);
        if (e.name.p[0] != 'k')
            continue;
        uint64_t k;
        ensure(num_parse_u64(slice_of(e.name.p + 1, e.name.len - 1), &k));
        good = e.db < DATABASES && k < KEYS && !seen[e.db][k] && same_key(&e, &m->key[e.db][k]);
        if (!good)
            tap_diag("database %u, key %" PRIu64 ", expiry %" PRId64 ": not as it was", e.db, k, e.expire_ms);
        else
            seen[e.db][k] = true;
    }
    if (good && more < 0)
        tap_diag("%s", error);
    rdb_reader_close(r);
    for (int db = 0; db < DATABASES; db++)
        for (int k = 0; k < KEYS; k++)
            if (good && m->key[db][k].in && !seen[db][k])
                tap_diag("database %d, key %d is missing", db, k), good = false;
    return good && more == 0;
}

static void begin(void)
{
    if (save_busy(server->save))
        return;
    copy_model(&cut, &now);
    digest_hashes(&cut);
    save_info(server->save, &last);
    char *dir = server->config->dir;
    if (one_in(10))
        server->config->dir = "nowhere";
    if (one_in(5))
        failures += save_now(server->save) < 0;
    else
        save_begin(server->save);
    server->config->dir = dir;
}

/* A save has ended since it was begun: what has become of it. False: a file is wrong. */
static bool look(void)
{
    struct save_info i;
    run_tasks();
    save_info(server->save, &i);
    if (i.running || save_busy(server->save))
        return true;
    if (i.saves == last.saves)
        return true;
    last = i;
    files++;
    return file_is(&cut);
}

static bool step(void)
{
    unsigned what = (unsigned)rng_below(&rng, 100);
    bool busy = save_busy(server->save);
    steps_under_way += busy;
    if (what < 55)
        one_command();
    else if (what < 75)
        movement();
    else if (what < 97)
        snapshot_slice(server->shards[rng_below(&rng, SHARDS)]);
    else if (what < 99)
        begin();
    else if (busy && one_in(5)) {
        copy_model(&cut, &now);
        digest_hashes(&cut);
        failures += save_anew(server->save) < 0;
        cancelled++;
    }
    return look();
}

static void stop(void)
{
    save_stop(server->save);
    while (checkpoint_running(server->checkpoint)) {
        checkpoints();
        server->clock->sleep_us(server->clock, 100);
    }
    for (unsigned i = 0; i < SHARDS; i++)
        shard_drain(server->shards[i]);
    log_close(server->log, LOG_MARK_CLEAN_STOP);
    server->log = NULL;
    pool_free(server->pool);
    for (unsigned i = 0; i < SHARDS; i++)
        shard_free(server->shards[i]);
    trainer_free(server->trainer);
    save_free(server->save);
    snapshot_free(server->snapshot);
    checkpoint_free(server->checkpoint);
    lazy_stop(server->lazy);
    server->store->ops->close(server->store);
    config_free(server->config);
    mem_free(server->shards, sizeof(*server->shards) * SHARDS);
    mem_free(server->modes, DATABASES);
    mem_free(server->dead, sizeof(*server->dead) * server->dead_cap);
    functions_unref(server->functions);
    mem_free(server, sizeof(*server));
}

/* What is written is not what is there, and nothing says so: the database that has it now is not tiered. */
static bool swapped_while_written(void)
{
    struct shard *s;
    struct keyspace *ks;
    while (find_hash(1, &ks, &s) == NULL)
        change_hash(1);
    while (!(find_hash(1, &ks, &s)->flags & ENTRY_WRITING))
        tier_reclaim(s->tier, ks, MIB, &s->temperature[1], s->lsn);
    swap();
    run(2, "HSET hash new field");
    copy_model(&cut, &now);
    digest_hashes(&cut);
    save_info(server->save, &last);
    save_begin(server->save);
    while (find_hash(2, &ks, &s)->flags & ENTRY_WRITING)
        run_tasks();
    bool good = true;
    for (uint64_t before = files; good && files == before; good = look())
        for (unsigned i = 0; i < SHARDS; i++)
            snapshot_slice(server->shards[i]);
    return good;
}

static void fill(void)
{
    for (unsigned i = 0; i < FILL; i++)
        run(0, "SET fill:%u %u", i, i);
}

int main(void)
{
    const char *scale = getenv("KELVIN_TEST_SCALE");
    unsigned steps = 40000 * (scale != NULL ? (unsigned)atoi(scale) : 1), n = 0;
    rng_seed(&rng, tap_seed());
    command_table_init();
    disk = fs_sim_new(rng_u64(&rng));
    ensure(fs_sim_fs(disk)->ops->mkdir(fs_sim_fs(disk), DIR) == 0);
    struct store_mem_disk *flash = store_mem_disk_new(rng_u64(&rng));
    start(flash);
    fill();
    ok(swapped_while_written(), "a large value that SWAPDB takes out of the tier while it is being written");
    bool good = true;
    while (good && n < steps) {
        good = step();
        n++;
    }
    ok(good, "after %u steps, %" PRIu64 " files held what was there at their cut, with %" PRIu64 " large hashes", n,
       files, hashes);
    ok(files > 20 && steps_under_way > 1000,
       "%" PRIu64 " steps were taken while a file was written; %" PRIu64 " saves were cancelled, %" PRIu64
       " that were waited for failed",
       steps_under_way, cancelled, failures);
    stop();
    store_mem_disk_free(flash);
    fs_sim_free(disk);
    free_model(&now);
    free_model(&cut);
    return tap_done();
}
