/* The flash store on RocksDB. WAL off: the log is the WAL, and a write is durable after a flush. One column family, so
 * that every memtable flush, automatic ones too, is atomic over meta and value records (tested: with two families a
 * flush of one loses an atomic batch's other half). No bloom filters: look-ups are for keys known to exist.
 *
 * Memory: half of memory_bytes for the block cache (index blocks live in it), the rest for memtables. */
#include <errno.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "tier/store.h"

#define MEMTABLES 3
#define BLOB_FROM 8192
#define ERROR_MAX 512

struct rocks {
    struct store base;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush;
    _Atomic uint64_t written_user;
};

struct store_snapshot {
    const rocksdb_snapshot_t *snap;
    rocksdb_readoptions_t *read;
};

struct store_cursor {
    rocksdb_iterator_t *it;
};

static const struct store_ops rocks_ops;

/* RocksDB's messages are text; the code is told from their beginning. */
static int error_of(char *message)
{
    int err = strncmp(message, "Corruption", 10) == 0 ? -EBADMSG : strstr(message, "No space") ? -ENOSPC : -EIO;
    fprintf(stderr, "kelvin: flash store: %s\n", message);
    rocksdb_free(message);
    return err;
}

static void configure(struct rocks *r, const struct store_config *cfg)
{
    uint64_t memtables = cfg->memory_bytes / 2;
    rocksdb_options_t *o = r->options;

    r->cache = rocksdb_cache_create_lru(cfg->memory_bytes - memtables);
    r->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(r->table, r->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(r->table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(r->table, 0);
    rocksdb_block_based_options_set_index_type(r->table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_format_version(r->table, 5);
    rocksdb_options_set_block_based_table_factory(o, r->table);
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_write_buffer_size(o, max_u64(memtables / MEMTABLES, 256 * KIB));
    rocksdb_options_set_max_write_buffer_number(o, MEMTABLES);
    rocksdb_options_set_target_file_size_base(o, max_u64(min_u64(memtables / MEMTABLES * 2, 64 * MIB), 4 * MIB));
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_max_background_jobs(o, cfg->background_threads);
    rocksdb_options_set_max_open_files(o, 256);
    rocksdb_options_set_enable_write_thread_adaptive_yield(o, 0); /* it spins on a core that a shard may need */
    rocksdb_options_set_compression(o, rocksdb_no_compression);   /* records are compressed above this */
    rocksdb_options_set_bytes_per_sync(o, MIB);
    rocksdb_options_set_info_log_level(o, 3); /* errors only */
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, BLOB_FROM);
    rocksdb_options_set_enable_blob_gc(o, 1);
}

static void free_options(struct rocks *r)
{
    rocksdb_options_destroy(r->options);
    rocksdb_block_based_options_destroy(r->table);
    rocksdb_cache_destroy(r->cache);
    rocksdb_readoptions_destroy(r->read);
    rocksdb_writeoptions_destroy(r->write);
    rocksdb_flushoptions_destroy(r->flush);
    mem_free(r, sizeof(*r));
}

int store_rocks_open(struct store **out, const struct store_config *cfg, char *error)
{
    struct rocks *r = mem_zalloc(sizeof(*r));
    char *message = NULL;

    r->base.ops = &rocks_ops;
    r->options = rocksdb_options_create();
    configure(r, cfg);
    r->read = rocksdb_readoptions_create();
    r->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(r->write, 1);
    r->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(r->flush, 1);
    r->db = rocksdb_open(r->options, cfg->path, &message);
    if (r->db != NULL) {
        *out = &r->base;
        return 0;
    }
    snprintf(error, ERROR_MAX, "the flash store in %s does not open: %s", cfg->path, message);
    free_options(r);
    return error_of(message);
}

static void rocks_close(struct store *s)
{
    struct rocks *r = (struct rocks *)s;
    rocksdb_close(r->db);
    free_options(r);
}

static int rocks_write(struct store *s, struct store_batch *b)
{
    struct rocks *r = (struct rocks *)s;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    struct slice key, value;
    char *message = NULL;
    size_t pos = 0, bytes = b->ops.len;
    bool put;

    while (store_batch_next(b, &pos, &put, &key, &value)) {
        if (put)
            rocksdb_writebatch_put(batch, (const char *)key.p, key.len, (const char *)value.p, value.len);
        else
            rocksdb_writebatch_delete(batch, (const char *)key.p, key.len);
    }
    if (b->once)
        store_batch_free(b);
    rocksdb_write(r->db, r->write, batch, &message);
    rocksdb_writebatch_destroy(batch);
    if (message != NULL)
        return error_of(message);
    atomic_fetch_add_explicit(&r->written_user, bytes, memory_order_relaxed);
    return 0;
}

static int rocks_get(struct store *s, struct slice key, struct buf *out)
{
    struct rocks *r = (struct rocks *)s;
    char *message = NULL;
    rocksdb_pinnableslice_t *found = rocksdb_get_pinned(r->db, r->read, (const char *)key.p, key.len, &message);
    size_t len;

    buf_clear(out);
    if (message != NULL)
        return error_of(message);
    if (found == NULL)
        return -ENOENT;
    const char *p = rocksdb_pinnableslice_value(found, &len);
    buf_append(out, p, len);
    rocksdb_pinnableslice_destroy(found);
    return 0;
}

static int rocks_flush(struct store *s)
{
    struct rocks *r = (struct rocks *)s;
    char *message = NULL;
    rocksdb_flush(r->db, r->flush, &message);
    return message != NULL ? error_of(message) : 0;
}

static int rocks_delete_range(struct store *s, struct slice from, struct slice to)
{
    struct rocks *r = (struct rocks *)s;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char *message = NULL;
    rocksdb_writebatch_delete_range(batch, (const char *)from.p, from.len, (const char *)to.p, to.len);
    rocksdb_write(r->db, r->write, batch, &message);
    rocksdb_writebatch_destroy(batch);
    return message != NULL ? error_of(message) : 0;
}

/* --- compaction --- */

#define COMPACT_AT_ONCE (64 * MIB)

/* Live blobs of the older half of the files are moved, so that these can go; usually of the oldest quarter. */
static void set_blob_cutoff(struct rocks *r, const char *share)
{
    const char *const name = "blob_garbage_collection_age_cutoff";
    char *message = NULL;
    rocksdb_set_options(r->db, 1, &name, &share, &message);
    if (message != NULL)
        error_of(message);
}

struct file {
    struct buf smallest;
    uint64_t size;
};

static int file_cmp(const void *a, const void *b)
{
    return slice_cmp(buf_slice(&((const struct file *)a)->smallest), buf_slice(&((const struct file *)b)->smallest));
}

/* The files below level 0, in the order of their keys. Caller frees with free_files. */
static struct file *sorted_files(struct rocks *r, size_t *n, size_t *cap)
{
    const rocksdb_livefiles_t *live = rocksdb_livefiles(r->db);
    int count = rocksdb_livefiles_count(live);
    struct file *files = mem_zalloc(sizeof(*files) * (size_t)(count + 1));
    *n = 0;
    *cap = (size_t)(count + 1);
    for (int i = 0; i < count; i++) {
        size_t len;
        const char *key = rocksdb_livefiles_smallestkey(live, i, &len);
        if (rocksdb_livefiles_level(live, i) == 0)
            continue;
        buf_append(&files[*n].smallest, key, len);
        files[(*n)++].size = rocksdb_livefiles_size(live, i);
    }
    rocksdb_livefiles_destroy(live);
    qsort(files, *n, sizeof(*files), file_cmp);
    return files;
}

static void free_files(struct file *files, size_t n, size_t cap)
{
    for (size_t i = 0; i < n; i++)
        buf_free(&files[i].smallest);
    mem_free(files, sizeof(*files) * cap);
}

/* In pieces: a whole range cannot be stopped, and keeps its old files until its end. */
static int rocks_compact(struct store *s, bool (*stop)(void *arg), void *arg)
{
    struct rocks *r = (struct rocks *)s;
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    size_t n, cap;
    struct file *files = sorted_files(r, &n, &cap);
    struct slice from = {NULL, 0};

    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    set_blob_cutoff(r, "0.5");
    for (size_t i = 0; i <= n && !stop(arg);) {
        uint64_t bytes = 0;
        while (i < n && bytes < COMPACT_AT_ONCE)
            bytes += files[i++].size;
        struct slice to = i < n ? buf_slice(&files[i].smallest) : slice_of(NULL, 0);
        rocksdb_compact_range_opt(r->db, options, (const char *)from.p, from.len, (const char *)to.p, to.len);
        from = to;
        if (i == n)
            break;
    }
    set_blob_cutoff(r, "0.25");
    free_files(files, n, cap);
    rocksdb_compactoptions_destroy(options);
    return 0;
}

static int walk(rocksdb_iterator_t *it, struct slice to, int (*each)(void *arg, struct slice key, struct slice value),
                void *arg)
{
    char *message = NULL;
    int err = 0;
    for (; err == 0 && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t klen, vlen;
        const char *k = rocksdb_iter_key(it, &klen), *v = rocksdb_iter_value(it, &vlen);
        if (slice_cmp(slice_of(k, klen), to) >= 0)
            break;
        err = each(arg, slice_of(k, klen), slice_of(v, vlen));
    }
    rocksdb_iter_get_error(it, &message);
    return message != NULL ? error_of(message) : err;
}

static int rocks_scan(struct store *s, struct slice from, struct slice to,
                      int (*each)(void *arg, struct slice key, struct slice value), void *arg)
{
    struct rocks *r = (struct rocks *)s;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_readoptions_set_readahead_size(options, 2 * MIB);
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db, options);
    rocksdb_iter_seek(it, (const char *)from.p, from.len);
    int err = walk(it, to, each, arg);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    return err;
}

static struct store_snapshot *rocks_snapshot(struct store *s)
{
    struct rocks *r = (struct rocks *)s;
    struct store_snapshot *snap = mem_alloc(sizeof(*snap));
    snap->snap = rocksdb_create_snapshot(r->db);
    snap->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(snap->read, snap->snap);
    rocksdb_readoptions_set_fill_cache(snap->read, 0);
    return snap;
}

static void rocks_release(struct store *s, struct store_snapshot *snap)
{
    rocksdb_release_snapshot(((struct rocks *)s)->db, snap->snap);
    rocksdb_readoptions_destroy(snap->read);
    mem_free(snap, sizeof(*snap));
}

static struct store_cursor *rocks_cursor(struct store *s, struct store_snapshot *snap)
{
    struct store_cursor *c = mem_alloc(sizeof(*c));
    c->it = rocksdb_create_iterator(((struct rocks *)s)->db, snap->read);
    return c;
}

static void rocks_cursor_free(struct store *s, struct store_cursor *c)
{
    (void)s;
    rocksdb_iter_destroy(c->it);
    mem_free(c, sizeof(*c));
}

static bool stands_on(rocksdb_iterator_t *it, struct slice key)
{
    size_t len;
    if (!rocksdb_iter_valid(it))
        return false;
    const char *p = rocksdb_iter_key(it, &len);
    return slice_eq(slice_of(p, len), key);
}

static int rocks_seek(struct store *s, struct store_cursor *c, struct slice key, struct slice *value)
{
    char *message = NULL;
    size_t len;
    (void)s;
    if (rocksdb_iter_valid(c->it))
        rocksdb_iter_next(c->it);
    if (!stands_on(c->it, key))
        rocksdb_iter_seek(c->it, (const char *)key.p, key.len);
    rocksdb_iter_get_error(c->it, &message);
    if (message != NULL)
        return error_of(message);
    if (!stands_on(c->it, key))
        return -ENOENT;
    const char *p = rocksdb_iter_value(c->it, &len);
    *value = slice_of(p, len);
    return 0;
}

static uint64_t property(struct rocks *r, const char *name)
{
    uint64_t v = 0;
    return rocksdb_property_int(r->db, name, &v) == 0 ? v : 0;
}

static void rocks_stats(struct store *s, struct store_stats *out)
{
    struct rocks *r = (struct rocks *)s;
    *out = (struct store_stats){
        .bytes_on_disk = property(r, "rocksdb.total-sst-files-size") + property(r, "rocksdb.total-blob-file-size"),
        .bytes_current = property(r, "rocksdb.live-sst-files-size") + property(r, "rocksdb.live-blob-file-size"),
        .buffered_bytes = property(r, "rocksdb.cur-size-all-mem-tables"),
        .memory_bytes = property(r, "rocksdb.size-all-mem-tables") + property(r, "rocksdb.block-cache-usage") +
                        property(r, "rocksdb.estimate-table-readers-mem"),
        .written_user = atomic_load_explicit(&r->written_user, memory_order_relaxed),
        .pending_compaction_bytes = property(r, "rocksdb.estimate-pending-compaction-bytes"),
        .stopped = property(r, "rocksdb.is-write-stopped") != 0,
    };
}

static const struct store_ops rocks_ops = {
    .name = "rocksdb",
    .write = rocks_write,
    .get = rocks_get,
    .flush = rocks_flush,
    .delete_range = rocks_delete_range,
    .scan = rocks_scan,
    .compact = rocks_compact,
    .snapshot = rocks_snapshot,
    .release = rocks_release,
    .cursor = rocks_cursor,
    .seek = rocks_seek,
    .cursor_free = rocks_cursor_free,
    .stats = rocks_stats,
    .close = rocks_close,
};
