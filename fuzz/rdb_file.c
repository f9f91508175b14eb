/* RDB files: any bytes, and any bytes behind a good header. What is read is written again, compressed, and reads the
 * same. */
#include "persist/rdb_file.h"
#include "core/base/panic.h"
#include "core/value/value.h"
#include "fuzz/replay.h"
#include "tests/sim/fs_sim.h"

#define DIR "d"
#define PATH DIR "/in.rdb"
#define EXPANDED_MAX (8 * MIB) /* a test's memory, not a limit of the product */

static void put_file(struct fs *fs, struct slice bytes)
{
    struct file *f;
    ensure(fs->ops->open(fs, PATH, FS_WRITE | FS_CREATE | FS_TRUNC, &f) == 0);
    ensure(fs_write_full(f, bytes.p, bytes.len, 0) == 0);
    f->ops->close(f);
}

static void put_text(struct buf *out, const struct rdb_entry *e)
{
    buf_printf(out, "%u %lld %lld %lld %zu ", e->db, (long long)e->expire_ms, (long long)e->idle_s, (long long)e->freq,
               e->name.len);
    buf_append_slice(out, e->name);
}

/* Reads a file into a text, and writes what it holds with `w`, if there is one. */
static void read_file(struct fs *fs, const char *path, struct buf *text, struct rdb_writer *w)
{
    struct rdb_reader *r;
    struct rdb_entry e;
    char error[512];
    if (rdb_reader_open(&r, fs, path, error) < 0)
        return;
    while (rdb_reader_next(r, &e, error) == 1) {
        uint8_t type;
        struct value v;
        ensure(e.payload.len > 0);
        put_text(text, &e);
        if (w != NULL)
            rdb_writer_add(w, &e);
        if (value_class_of_rdb(e.payload.p[0], &type) != NULL &&
            value_decode(e.payload, &value_limits_default, &v) == 0)
            value_class_of(v.type)->release(&v);
    }
    rdb_reader_close(r);
}

static void check(struct fs *fs, struct slice bytes)
{
    struct rdb_writer_config cfg = {.fs = fs, .dir = DIR, .name = "out.rdb", .temp = "temp", .compress = true};
    struct buf first = {0}, second = {0};
    struct rdb_writer *w;
    put_file(fs, bytes);
    ensure(rdb_writer_open(&w, &cfg) == 0);
    read_file(fs, PATH, &first, w);
    ensure(rdb_writer_finish(w) == 0);
    read_file(fs, DIR "/out.rdb", &second, NULL);
    ensure(slice_eq(buf_slice(&first), buf_slice(&second)));
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_sim *sim = fs_sim_new(1);
    struct buf bytes = {0};
    ensure(fs_sim_fs(sim)->ops->mkdir(fs_sim_fs(sim), DIR) == 0);
    if (size <= EXPANDED_MAX / 100) {
        check(fs_sim_fs(sim), slice_of(data, size));
        buf_append_str(&bytes, "REDIS0012");
        buf_append(&bytes, data, size);
        check(fs_sim_fs(sim), buf_slice(&bytes));
    }
    buf_free(&bytes);
    fs_sim_free(sim);
    return 0;
}
