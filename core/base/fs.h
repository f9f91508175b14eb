/* Files, behind an interface (DESIGN section 12): real, and in tests a simulated disk that loses what was not synced,
 * tears writes and fills up. Every file call of product code goes through here (RocksDB's own files excepted).
 * Results: 0 or a count on success, a negative errno on failure. Any thread; one struct file may be used by several
 * threads at distinct offsets. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <sys/uio.h>

#include "core/base/base.h"

struct fs;
struct file;

enum fs_open {
    FS_READ = 1,
    FS_WRITE = 2,  /* read and write */
    FS_CREATE = 4, /* with FS_WRITE: made if missing */
    FS_TRUNC = 8,
};

struct fs_ops {
    int (*open)(struct fs *fs, const char *path, int flags, struct file **out);
    void (*close)(struct file *f);
    ssize_t (*pread)(struct file *f, void *p, size_t len, uint64_t off);
    ssize_t (*pwrite)(struct file *f, const void *p, size_t len, uint64_t off);
    ssize_t (*pwritev)(struct file *f, const struct iovec *iov, int n, uint64_t off); /* n <= IOV_MAX */
    int (*sync)(struct file *f);                                 /* fdatasync: data, and size if it changed */
    int (*allocate)(struct file *f, uint64_t off, uint64_t len); /* blocks reserved, size grown; -ENOSPC, -EOPNOTSUPP */
    int (*truncate)(struct file *f, uint64_t size);
    int64_t (*size)(struct file *f);
    int (*rename)(struct fs *fs, const char *from, const char *to);
    int (*unlink)(struct fs *fs, const char *path);
    int (*sync_dir)(struct fs *fs, const char *dir);
    int (*mkdir)(struct fs *fs, const char *dir); /* 0 also if it exists */
    /* Calls `each` with every name in `dir` but . and .. ; stops at the first non-zero result and returns it. */
    int (*list)(struct fs *fs, const char *dir, int (*each)(void *arg, const char *name), void *arg);
    int (*free_bytes)(struct fs *fs, const char *dir, uint64_t *out);
    /* An advisory lock on `path` (made if missing), held until close; -EAGAIN if another process holds it. */
    int (*lock)(struct fs *fs, const char *path, struct file **out);
};

struct fs {
    const struct fs_ops *ops;
};
struct file {
    const struct fs_ops *ops;
};

/* The machine's files; one static object. */
struct fs *fs_real(void);

/* Whole-length helpers: retry short transfers. fs_read_full returns the bytes read (less than len only at the end of
 * the file); fs_write_full returns 0 or a negative errno. */
ssize_t fs_read_full(struct file *f, void *p, size_t len, uint64_t off) must_check;
int fs_write_full(struct file *f, const void *p, size_t len, uint64_t off) must_check;
/* As fs_write_full, gathering `n` pieces (any number); borrows them during the call, does not change them. */
int fs_writev_full(struct file *f, const struct iovec *iov, int n, uint64_t off) must_check;
/* Replaces `dir`/`name` durably: writes name.tmp, syncs it, renames, syncs the directory. */
int fs_replace(struct fs *fs, const char *dir, const char *name, const void *p, size_t len) must_check;
/* Reads a whole file of at most `max` bytes; *out is from mem_alloc(*len), the caller frees. -EFBIG if larger. */
int fs_slurp(struct fs *fs, const char *path, size_t max, uint8_t **out, size_t *len) must_check;

#endif
