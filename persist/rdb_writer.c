/* The version is known only when everything is written, and stands in the header: so the sum of what follows the header
 * is kept apart, and the header's is joined to it at the end. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/value/rdb.h"
#include "core/value/rdb_skip.h"
#include "persist/rdb_file.h"
#include "persist/rdb_opcode.h"

#define WRITE_AT_ONCE (256 * KIB)
#define SYNC_EVERY (8 * MIB) /* one sync of everything at the end would hold up the log's */

struct rdb_writer {
    struct rdb_writer_config cfg;
    char path[PATH_MAX], temp[PATH_MAX], dir[PATH_MAX];
    struct file *file;
    struct buf out;
    uint64_t written, synced; /* bytes behind the header */
    uint64_t sum;             /* of them */
    unsigned version;
    int64_t db; /* selected; -1: none */
    int error;
};

int rdb_writer_open(struct rdb_writer **out, const struct rdb_writer_config *cfg)
{
    struct rdb_writer *w = mem_zalloc(sizeof(*w));
    int err = -ENAMETOOLONG;
    w->cfg = *cfg;
    w->version = RDB_VERSION_LEAST;
    w->db = -1;
    if (snprintf(w->dir, PATH_MAX, "%s", cfg->dir) < PATH_MAX &&
        snprintf(w->path, PATH_MAX, "%s/%s", cfg->dir, cfg->name) < PATH_MAX &&
        snprintf(w->temp, PATH_MAX, "%s/%s", cfg->dir, cfg->temp) < PATH_MAX)
        err = cfg->fs->ops->open(cfg->fs, w->temp, FS_WRITE | FS_CREATE | FS_TRUNC, &w->file);
    if (err < 0) {
        mem_free(w, sizeof(*w));
        return err;
    }
    *out = w;
    return 0;
}

static void write_out(struct rdb_writer *w, struct slice s)
{
    if (w->error < 0 || s.len == 0)
        return;
    if (w->cfg.checksum)
        w->sum = crc64_jones(w->sum, s.p, s.len);
    w->error = fs_write_full(w->file, s.p, s.len, RDB_HEADER_BYTES + w->written);
    w->written += s.len;
    if (w->error == 0 && w->written - w->synced >= SYNC_EVERY) {
        w->error = w->file->ops->sync(w->file);
        w->synced = w->written;
    }
}

static void flush(struct rdb_writer *w)
{
    write_out(w, buf_slice(&w->out));
    buf_reset(&w->out, 2 * WRITE_AT_ONCE);
}

static void put_opcode(struct rdb_writer *w, enum rdb_opcode code) { buf_append_byte(&w->out, (uint8_t)code); }

static void put_string(struct rdb_writer *w, struct slice s)
{
    rdb_put_length(&w->out, s.len);
    buf_append_slice(&w->out, s);
}

void rdb_writer_aux(struct rdb_writer *w, const char *name, struct slice value)
{
    put_opcode(w, RDB_AUX);
    put_string(w, slice_str(name));
    rdb_put_string(&w->out, value);
}

void rdb_writer_library(struct rdb_writer *w, struct slice code)
{
    put_opcode(w, RDB_FUNCTION);
    put_string(w, code);
    if (w->out.len >= WRITE_AT_ONCE)
        flush(w);
}

static void select_db(struct rdb_writer *w, uint32_t db)
{
    if (w->db == (int64_t)db)
        return;
    w->db = db;
    put_opcode(w, RDB_SELECT);
    rdb_put_length(&w->out, db);
}

void rdb_writer_sizes(struct rdb_writer *w, uint32_t db, uint64_t keys, uint64_t expires)
{
    select_db(w, db);
    put_opcode(w, RDB_SIZES);
    rdb_put_length(&w->out, keys);
    rdb_put_length(&w->out, expires);
}

static void put_attributes(struct rdb_writer *w, const struct rdb_entry *e)
{
    if (e->expire_ms >= 0) {
        put_opcode(w, RDB_EXPIRE_MS);
        buf_put_u64(&w->out, (uint64_t)e->expire_ms);
    }
    if (e->idle_s >= 0) {
        put_opcode(w, RDB_IDLE);
        rdb_put_length(&w->out, (uint64_t)e->idle_s);
    }
    if (e->freq >= 0) {
        put_opcode(w, RDB_FREQ);
        buf_append_byte(&w->out, (uint8_t)e->freq);
    }
}

/* A large value that is to stay as it is is not copied. */
static void put_value(struct rdb_writer *w, uint8_t type, struct slice bytes)
{
    struct rdb_slice_source s;
    if (!w->cfg.compress) {
        if (bytes.len >= WRITE_AT_ONCE) {
            flush(w);
            write_out(w, bytes);
        } else {
            buf_append_slice(&w->out, bytes);
        }
        return;
    }
    rdb_slice_source_init(&s, bytes);
    int err = rdb_collect(type, &s.source, true, &w->out);
    if (err == 0 && s.rest.len > 0)
        err = -EBADMSG;
    if (w->error == 0)
        w->error = err;
}

void rdb_writer_add(struct rdb_writer *w, const struct rdb_entry *e)
{
    unsigned version = e->payload.len > 0 ? rdb_type_version(e->payload.p[0]) : 0;
    if (w->error == 0 && version == 0)
        w->error = -EBADMSG;
    if (w->error < 0)
        return;
    w->version = version > w->version ? version : w->version;
    select_db(w, e->db);
    put_attributes(w, e);
    buf_append_byte(&w->out, e->payload.p[0]);
    rdb_put_string(&w->out, e->name);
    put_value(w, e->payload.p[0], slice_of(e->payload.p + 1, e->payload.len - 1));
    if (w->out.len >= WRITE_AT_ONCE)
        flush(w);
}

int rdb_writer_error(const struct rdb_writer *w) { return w->error; }
uint64_t rdb_writer_bytes(const struct rdb_writer *w) { return RDB_HEADER_BYTES + w->written + w->out.len; }

/* The end and the header; on disk when it returns 0. */
static int complete(struct rdb_writer *w)
{
    char header[RDB_HEADER_BYTES + 1];
    struct buf sum = {0};
    snprintf(header, sizeof(header), "REDIS%04u", w->version);
    put_opcode(w, RDB_END);
    flush(w);
    buf_put_u64(&sum,
                w->cfg.checksum ? crc64_jones_join(crc64_jones(0, header, RDB_HEADER_BYTES), w->sum, w->written) : 0);
    write_out(w, buf_slice(&sum));
    buf_free(&sum);
    if (w->error == 0)
        w->error = fs_write_full(w->file, header, RDB_HEADER_BYTES, 0);
    if (w->error == 0)
        w->error = w->file->ops->sync(w->file);
    return w->error;
}

static void let_go(struct rdb_writer *w)
{
    buf_free(&w->out);
    mem_free(w, sizeof(*w));
}

int rdb_writer_finish(struct rdb_writer *w)
{
    struct fs *fs = w->cfg.fs;
    int err = complete(w);
    w->file->ops->close(w->file);
    if (err == 0)
        err = fs->ops->rename(fs, w->temp, w->path);
    if (err < 0)
        fs->ops->unlink(fs, w->temp);
    else
        err = fs->ops->sync_dir(fs, w->dir);
    let_go(w);
    return err;
}

void rdb_writer_abandon(struct rdb_writer *w)
{
    w->file->ops->close(w->file);
    w->cfg.fs->ops->unlink(w->cfg.fs, w->temp);
    let_go(w);
}
