#include "core/base/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define PIECES 64 /* of one pwritev: most frames fit, and the array stays small on the stack */

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

/* What is left of a gathering write: `n` pieces from `iov` on, without the first `skip` bytes. */
struct gather {
    const struct iovec *iov;
    int n;
    size_t skip;
};

/* The next pieces that are not empty, at most PIECES; returns how many. */
static int next_pieces(const struct gather *g, struct iovec *out)
{
    int m = 0;
    size_t skip = g->skip;
    for (int i = 0; i < g->n && m < PIECES; i++, skip = 0)
        if (g->iov[i].iov_len > skip)
            out[m++] = (struct iovec){(uint8_t *)g->iov[i].iov_base + skip, g->iov[i].iov_len - skip};
    return m;
}

static void advance(struct gather *g, size_t written)
{
    g->skip += written;
    for (; g->n > 0 && g->skip >= g->iov->iov_len; g->iov++, g->n--)
        g->skip -= g->iov->iov_len;
}

int fs_writev_full(struct file *f, const struct iovec *iov, int n, uint64_t off)
{
    struct gather g = {iov, n, 0};
    struct iovec now[PIECES];
    for (int m; (m = next_pieces(&g, now)) > 0;) {
        ssize_t w = m == 1 ? f->ops->pwrite(f, now[0].iov_base, now[0].iov_len, off) : f->ops->pwritev(f, now, m, off);
        if (w == -EINTR)
            continue;
        if (w <= 0)
            return w < 0 ? (int)w : -EIO;
        advance(&g, (size_t)w);
        off += (size_t)w;
    }
    return 0;
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
    char tmp[PATH_MAX], path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        snprintf(tmp, sizeof(tmp), "%s/%s.tmp", dir, name) >= (int)sizeof(tmp))
        return -ENAMETOOLONG;
    int err = write_and_sync(fs, tmp, p, len);
    if (err == 0)
        err = fs->ops->rename(fs, tmp, path);
    if (err < 0) {
        fs->ops->unlink(fs, tmp);
        return err;
    }
    return fs->ops->sync_dir(fs, dir);
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
