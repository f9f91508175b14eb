/* The flash store as an interface (DESIGN sections 6 and 12): an ordered map of byte strings with atomic batches, whose
 * writes are durable only after flush. Implementations: RocksDB (tier/store_rocks.c, the only file that includes
 * rocksdb/c.h), and an ordered map in memory with the same crash semantics (tests/sim/store_mem.c).
 *
 * All calls block and are made by tier pool threads (or at start-up); any thread. Results: 0 or negative errno
 * (-ENOENT: no such key; -EIO; -EBADMSG: checksum). */
#ifndef TIER_STORE_H
#define TIER_STORE_H

#include "core/base/buf.h"

struct store;

/* A batch under construction. Owned by one thread at a time. */
struct store_batch {
    struct buf ops; /* private encoding: op, key length, value length, key, value */
    size_t count;
    bool once; /* nobody needs it after the write, which may free `ops` as soon as it has a copy of its own */
};
void store_batch_put(struct store_batch *b, struct slice key, struct slice value);
/* A put whose value is what is appended to b->ops until store_batch_put_end, which takes what this returned. */
size_t store_batch_put_begin(struct store_batch *b, struct slice key);
void store_batch_put_end(struct store_batch *b, size_t at);
void store_batch_delete(struct store_batch *b, struct slice key);
/* Moves what is in `from` behind what is in `b`; `from` becomes empty. */
void store_batch_join(struct store_batch *b, struct store_batch *from);
void store_batch_clear(struct store_batch *b);
void store_batch_free(struct store_batch *b);
/* Walks a batch: *pos starts at 0. False at the end. */
bool store_batch_next(const struct store_batch *b, size_t *pos, bool *put, struct slice *key, struct slice *value);

struct store_snapshot;
struct store_cursor;

struct store_stats {
    uint64_t bytes_on_disk;  /* table and blob files */
    uint64_t bytes_current;  /* of those, in files that are in use: the others are about to be deleted */
    uint64_t buffered_bytes; /* written and not yet in files */
    uint64_t memory_bytes;   /* memtables, block cache, table readers, pinned */
    uint64_t written_user;   /* bytes handed in */
    uint64_t pending_compaction_bytes;
    bool stopped; /* writes are stalled by compaction */
};

struct store_ops {
    const char *name;
    int (*write)(struct store *s, struct store_batch *b);
    /* *out is cleared and filled. */
    int (*get)(struct store *s, struct slice key, struct buf *out);
    /* All writes that returned before are durable, atomically over everything. */
    int (*flush)(struct store *s);
    /* Removes [from, to). */
    int (*delete_range)(struct store *s, struct slice from, struct slice to);
    /* Calls `each` for every record in [from, to) in order until it returns non-zero, which is returned. */
    int (*scan)(struct store *s, struct slice from, struct slice to,
                int (*each)(void *arg, struct slice key, struct slice value), void *arg);
    /* Makes room of what was deleted and overwritten, file by file, until `stop` says so. Takes long, and space for
     * some files meanwhile. */
    int (*compact)(struct store *s, bool (*stop)(void *arg), void *arg);
    struct store_snapshot *(*snapshot)(struct store *s);
    void (*release)(struct store *s, struct store_snapshot *snap);
    /* For reading many values of a snapshot, by one thread, mostly in the order of their keys: the one behind the last
     * costs a fraction of a get. *value borrows until the next call. The snapshot outlives its cursors. */
    struct store_cursor *(*cursor)(struct store *s, struct store_snapshot *snap);
    int (*seek)(struct store *s, struct store_cursor *c, struct slice key, struct slice *value);
    void (*cursor_free)(struct store *s, struct store_cursor *c);
    void (*stats)(struct store *s, struct store_stats *out);
    void (*close)(struct store *s);
};
struct store {
    const struct store_ops *ops;
};

struct store_config {
    const char *path;
    uint64_t memory_bytes; /* for memtables and block cache together */
    int background_threads;
};
/* Opens (creates) the RocksDB at cfg->path. `error`: caller's 512 bytes. WAL off, one column family. Caller closes. */
int store_rocks_open(struct store **out, const struct store_config *cfg, char *error) must_check;

#endif
