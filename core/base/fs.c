#include "core/base/fs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define PIECES 64

ssize_t fs_read_full(struct file *f, void *p, size_t len, uint64_t off)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = f->ops->pread(f, (uint8_t *)p + done, len - done, off + done);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fs_write_full(struct file *f, const void *p, size_t len, uint64_t off)
{
    return fs_writev_full(f, &(struct iovec){(void *)p, len}, 1, off);
}

/* Copies the pieces that remain after `done` bytes; returns how many there are. */
static int remaining(const struct iovec *iov, int n, size_t done, struct iovec *out)
{
    int m = 0;
    for (int i = 0; i < n && m < PIECES; i++) {
        if (done >= iov[i].iov_len) {
            done -= iov[i].iov_len;
            continue;
        }
        out[m++] = (struct iovec){(uint8_t *)iov[i].iov_base + done, iov[i].iov_len - done};
        done = 0;
    }
    return m;
}

int fs_writev_full(struct file *f, const struct iovec *iov, int n, uint64_t off)
{
    size_t done = 0;
    for (;;) {
        struct iovec left[PIECES];
        int m = remaining(iov, n, done, left);
        if (m == 0)
            return 0;
        ssize_t w = m == 1 ? f->ops->pwrite(f, left[0].iov_base, left[0].iov_len, off + done)
                           : f->ops->pwritev(f, left, m, off + done);
        if (w == -EINTR)
            continue;
        if (w < 0)
            return (int)w;
        if (w == 0)
            return -EIO;
        done += (size_t)w;
    }
}

static int write_and_sync(struct fs *fs, const char *path, const void *p, size_t len)
{
    struct file *f;
    int err = fs->ops->open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    if (err < 0)
        return err;
    err = fs_write_full(f, p, len, 0);
    if (err == 0)
        err = f->ops->sync(f);
    f->ops->close(f);
    return err;
}

int fs_replace(struct fs *fs, const char *dir, const char *name, const void *p, size_t len)
{
    char tmp[4096], path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        snprintf(tmp, sizeof(tmp), "%s/%s.tmp", dir, name) >= (int)sizeof(tmp))
        return -ENAMETOOLONG;
    int err = write_and_sync(fs, tmp, p, len);
    if (err == 0)
        err = fs->ops->rename(fs, tmp, path);
    return err < 0 ? err : fs->ops->sync_dir(fs, dir);
}

int fs_slurp(struct fs *fs, const char *path, size_t max, uint8_t **out, size_t *len)
{
    struct file *f;
    int err = fs->ops->open(fs, path, FS_READ, &f);
    if (err < 0)
        return err;
    int64_t size = f->ops->size(f);
    if (size < 0 || (uint64_t)size > max) {
        f->ops->close(f);
        return size < 0 ? (int)size : -EFBIG;
    }
    uint8_t *p = mem_alloc((size_t)size);
    ssize_t n = fs_read_full(f, p, (size_t)size, 0);
    f->ops->close(f);
    if (n != size) {
        mem_free(p, (size_t)size);
        return n < 0 ? (int)n : -EIO;
    }
    *out = p;
    *len = (size_t)size;
    return 0;
}
