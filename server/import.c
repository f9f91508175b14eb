/* Each key becomes the effect that would have made it, RESTORE, and goes the way of the log: parsed here, applied by
 * the shards' workers in parallel, within the memory budget. */
#include "server/import.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "persist/rdb_file.h"
#include "server/dispatch.h"

#define ERROR_MAX 512
#define PATH_MAX_BYTES 4600
#define PROGRESS_US 1000000

struct import {
    struct server *server;
    struct replay *replay;
    const struct rdb_reader *reader;
    const struct import_wants *wants;
    enum asked { UNASKED, WANTED, UNWANTED } libraries, *asked; /* by database */
    struct import_figures figures;
    int64_t now_ms;
    uint64_t next_progress_us;
};

static void file_path(const struct server *server, char path[static PATH_MAX_BYTES])
{
    snprintf(path, PATH_MAX_BYTES, "%.4000s/%.255s", server->config->dir, server->config->dbfilename);
}

static bool exists(struct server *server, const char *path)
{
    struct file *f;
    int err = server->fs->ops->open(server->fs, path, FS_READ, &f);
    if (err == 0)
        f->ops->close(f);
    return err != -ENOENT;
}

int import_check_aof(struct server *server, char *error)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof(path), "%.4000s/%.255s/appendonly.aof.manifest", server->config->dir,
             server->config->appenddirname);
    if (!exists(server, path))
        return 0;
    snprintf(error, ERROR_MAX,
             "%.200s belongs to an append-only file of Redis, which Kelvin cannot read. Let Redis write an RDB file "
             "(SAVE, with appendonly no), and move the folder %.100s away",
             path, server->config->appenddirname);
    return -EEXIST;
}

/* The command that makes a key. */
struct restore {
    char when[NUM_I64_MAX], heat[NUM_I64_MAX];
    struct slice argv[8];
    int argc;
};

static void make_restore(struct restore *r, const struct rdb_entry *e)
{
    r->argv[0] = SLICE_LIT("RESTORE");
    r->argv[1] = e->name;
    r->argv[2] = slice_of(r->when, num_format_i64(r->when, e->expire_ms < 0 ? 0 : e->expire_ms));
    r->argv[3] = e->dump;
    r->argv[4] = SLICE_LIT("ABSTTL");
    r->argc = 5;
    if (e->idle_s < 0 && e->freq < 0)
        return;
    r->argv[r->argc++] = e->idle_s >= 0 ? SLICE_LIT("IDLETIME") : SLICE_LIT("FREQ");
    r->argv[r->argc++] = slice_of(r->heat, num_format_i64(r->heat, e->idle_s >= 0 ? e->idle_s : e->freq));
}

/* key-load-delay: for tests that want a load to take long. */
static void dawdle(const struct server *server, uint64_t keys)
{
    int64_t delay = server->config->key_load_delay;
    if (delay > 0)
        server->clock->sleep_us(server->clock, (uint64_t)delay);
    else if (delay < 0 && keys % (uint64_t)-delay == 0)
        server->clock->sleep_us(server->clock, 1);
}

static void progress(struct import *im, const struct rdb_reader *r)
{
    struct rdb_about about;
    uint64_t now = clock_mono_us(im->server->clock);
    if (now < im->next_progress_us)
        return;
    im->next_progress_us = now + PROGRESS_US;
    rdb_reader_about(r, &about);
    logger_line(im->server->logger, LOG_NOTICE, "Loading the RDB file: %llu keys, %llu of %llu MiB",
                (unsigned long long)im->figures.loaded, (unsigned long long)(about.at / MIB),
                (unsigned long long)(about.size / MIB));
}

static int check_db(const struct server *server, const struct rdb_entry *e, char *error)
{
    if (e->db < (uint32_t)server->config->databases)
        return 0;
    snprintf(error, ERROR_MAX,
             "the RDB file was created with a server configured to handle more than %d databases (it holds keys of "
             "database %u)",
             server->config->databases, e->db);
    return -EBADMSG;
}

static bool is_wanted(struct import *im, uint32_t db)
{
    if (im->asked[db] == UNASKED) {
        struct rdb_about about;
        rdb_reader_about(im->reader, &about);
        im->asked[db] = im->wants->db(im->wants->arg, db, &about) ? WANTED : UNWANTED;
    }
    return im->asked[db] == WANTED;
}

static int load_library(void *arg, struct slice code, char *error)
{
    struct import *im = arg;
    struct slice argv[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("LOAD"), code};
    if (im->libraries == UNASKED) {
        struct rdb_about about;
        rdb_reader_about(im->reader, &about);
        im->libraries = im->wants->libraries(im->wants->arg, &about) ? WANTED : UNWANTED;
    }
    if (im->libraries == UNWANTED)
        return 0;
    im->figures.libraries++;
    return replay_effect(im->replay, &(struct effect_item){.argc = 3, .argv = argv}, error);
}

static int load_key(struct import *im, const struct rdb_entry *e, char *error)
{
    struct restore r;
    int err = check_db(im->server, e, error);
    if (err < 0)
        return err;
    if (!is_wanted(im, e->db))
        return 0;
    if (e->expire_ms >= 0 && e->expire_ms <= im->now_ms) {
        im->figures.expired++;
        return 0;
    }
    im->figures.loaded++;
    make_restore(&r, e);
    return replay_effect(im->replay, &(struct effect_item){.db = e->db, .argc = r.argc, .argv = r.argv}, error);
}

static int load_keys(struct import *im, struct rdb_reader *r, char *error)
{
    struct rdb_entry e;
    int more;
    while ((more = rdb_reader_next(r, &e, error)) == 1) {
        int err = load_key(im, &e, error);
        if (err < 0)
            return err;
        dawdle(im->server, im->figures.loaded);
        progress(im, r);
    }
    return more < 0 ? more : replay_barrier(im->replay, error);
}

static void report(struct import *im, const struct rdb_reader *r, const char *path)
{
    struct rdb_about about;
    struct logger *logger = im->server->logger;
    rdb_reader_about(r, &about);
    logger_line(logger, LOG_NOTICE, "%s: RDB version %u%s%s, keys loaded: %llu, keys expired: %llu", path,
                about.version, about.redis_version[0] ? ", produced by version " : "", about.redis_version,
                (unsigned long long)im->figures.loaded, (unsigned long long)im->figures.expired);
    if (im->figures.libraries > 0)
        logger_line(logger, LOG_NOTICE, "%s: function libraries loaded: %llu", path,
                    (unsigned long long)im->figures.libraries);
    if (about.module_data > 0)
        logger_line(logger, LOG_WARNING, "%llu sections of modules' own data in %s were passed over",
                    (unsigned long long)about.module_data, path);
}

int import_file(struct server *server, struct replay *replay, const struct import_wants *wants,
                struct import_figures *out, char *error)
{
    size_t asked = sizeof(enum asked) * (size_t)server->config->databases;
    struct import im = {.server = server, .replay = replay, .wants = wants, .now_ms = clock_wall_ms(server->clock)};
    char path[PATH_MAX_BYTES];
    struct rdb_reader *r;

    *out = (struct import_figures){0};
    im.next_progress_us = clock_mono_us(server->clock) + PROGRESS_US;
    file_path(server, path);
    int err = rdb_reader_open(&r, server->fs, path, error);
    if (err < 0)
        return err == -ENOENT ? 0 : err;
    replay_import(replay);
    im.reader = r;
    rdb_reader_take_libraries(r, load_library, &im);
    im.asked = mem_zalloc(asked);
    err = load_keys(&im, r, error);
    if (err == 0)
        report(&im, r, path);
    rdb_reader_close(r);
    mem_free(im.asked, asked);
    *out = im.figures;
    return err;
}

int import_about(struct server *server, struct rdb_about *about, struct buf *living, char *error)
{
    char path[PATH_MAX_BYTES];
    struct rdb_reader *r;
    struct rdb_entry first;
    file_path(server, path);
    int err = rdb_reader_open(&r, server->fs, path, error);
    if (err < 0)
        return err;
    err = rdb_reader_next(r, &first, error);
    rdb_reader_about(r, about);
    buf_clear(living);
    buf_append_slice(living, about->living);
    about->living = buf_slice(living);
    rdb_reader_close(r);
    return err < 0 ? err : 0;
}

/* --- while serving --- */

#define FRAME_BYTES (MIB)

/* What has been staged so far becomes a frame, between two keys. Waits for room in the log. */
static int append(struct call *c, char *error)
{
    struct stage *stage = &c->shard->stage;
    size_t bytes = stage->bytes.len;
    enum log_room room;
    while ((room = log_admit(c->server->log, bytes, true)) == LOG_ROOM_WAIT)
        c->server->clock->sleep_us(c->server->clock, 1000);
    stage_end(stage);
    shard_append(c->shard, c->held ? c->server->holds.held : 1ull << c->shard->index);
    stage_begin(stage);
    if (room == LOG_ROOM_OK)
        return 0;
    snprintf(error, ERROR_MAX, "there is no room in the log");
    return -ENOSPC;
}

/* A command of the file, as a part of the call. */
static int run_part(struct call *c, uint32_t db, int argc, struct slice *argv, struct buf *reply)
{
    const struct command *parent;
    struct call sub = *c;
    buf_clear(reply);
    sub.cmd = command_find(argv, argc, &parent);
    sub.argv = argv;
    sub.argc = argc;
    sub.db = db;
    sub.in_exec = true; /* its effects are of this call's group */
    sub.out = reply;
    sub.first_key = 0;
    sub.nbigs = 0;
    sub.changes = 0;
    call_run(&sub);
    c->changes += sub.changes;
    c->always |= sub.always;
    return sub.failed ? -EBADMSG : 0;
}

static int run_restore(struct call *c, const struct rdb_entry *e, bool merge, struct buf *reply, char *error)
{
    struct restore r;
    int err = check_db(c->server, e, error);
    if (err < 0)
        return err;
    make_restore(&r, e);
    if (merge)
        r.argv[r.argc++] = SLICE_LIT("REPLACE");
    err = run_part(c, e->db, r.argc, r.argv, reply);
    if (err < 0)
        snprintf(error, ERROR_MAX, "the key '%.*s': %.*s", (int)min_u64(e->name.len, 128), (const char *)e->name.p,
                 (int)min_u64(reply->len, 128), (const char *)reply->p);
    return err;
}

struct running {
    struct call *call;
    bool merge;
    struct buf reply;
};

static int run_library(void *arg, struct slice code, char *error)
{
    struct running *run = arg;
    struct slice plain[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("LOAD"), code};
    struct slice replace[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("LOAD"), SLICE_LIT("REPLACE"), code};
    int err = run_part(run->call, 0, run->merge ? 4 : 3, run->merge ? replace : plain, &run->reply);
    if (err < 0)
        snprintf(error, ERROR_MAX, "a library of functions: %.*s", (int)min_u64(run->reply.len, 300),
                 (const char *)run->reply.p);
    return err;
}

int import_running(struct call *c, bool merge, char *error)
{
    char path[PATH_MAX_BYTES];
    struct running run = {.call = c, .merge = merge};
    struct rdb_reader *r;
    struct rdb_entry e;
    uint64_t keys = 0;
    int more = 1;

    file_path(c->server, path);
    int err = rdb_reader_open(&r, c->server->fs, path, error);
    if (err < 0)
        return err;
    rdb_reader_take_libraries(r, run_library, &run);
    while (err == 0 && (more = rdb_reader_next(r, &e, error)) == 1) {
        err = run_restore(c, &e, merge, &run.reply, error);
        dawdle(c->server, ++keys);
        if (err == 0 && c->shard->stage.bytes.len >= FRAME_BYTES)
            err = append(c, error);
    }
    rdb_reader_close(r);
    buf_free(&run.reply);
    return err < 0 ? err : more;
}
