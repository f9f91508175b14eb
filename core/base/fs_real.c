#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

struct real_file {
    struct file base;
    int fd;
};

static const struct fs_ops real_ops;

static int fd_of(struct file *f) { return ((struct real_file *)f)->fd; }
static ssize_t result(ssize_t r) { return r < 0 ? -errno : r; }

/* Opens whatever signals arrive meanwhile. */
static int open_fd(const char *path, int how)
{
    int fd;
    do
        fd = open(path, how | O_CLOEXEC, 0644);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int wrap(int fd, struct file **out)
{
    struct real_file *f = mem_alloc(sizeof(*f));
    f->base.ops = &real_ops;
    f->fd = fd;
    *out = &f->base;
    return 0;
}

static int real_open(struct fs *fs, const char *path, int flags, struct file **out)
{
    int how = flags & FS_WRITE ? O_RDWR : O_RDONLY;
    how |= flags & FS_CREATE ? O_CREAT : 0;
    how |= flags & FS_TRUNC ? O_TRUNC : 0;
    int fd = open_fd(path, how);
    return fd < 0 ? fd : wrap(fd, out);
}

static void real_close(struct file *f)
{
    close(fd_of(f));
    mem_free(f, sizeof(struct real_file));
}

static ssize_t real_pread(struct file *f, void *p, size_t len, uint64_t off)
{
    return result(pread(fd_of(f), p, len, (off_t)off));
}

static ssize_t real_pwrite(struct file *f, const void *p, size_t len, uint64_t off)
{
    return result(pwrite(fd_of(f), p, len, (off_t)off));
}

static ssize_t real_pwritev(struct file *f, const struct iovec *iov, int n, uint64_t off)
{
    return result(pwritev(fd_of(f), iov, n, (off_t)off));
}

static int real_sync(struct file *f) { return (int)result(fdatasync(fd_of(f))); }

static int real_allocate(struct file *f, uint64_t off, uint64_t len)
{
    int r;
    do
        r = fallocate(fd_of(f), 0, (off_t)off, (off_t)len);
    while (r < 0 && errno == EINTR);
    return (int)result(r);
}

static int real_truncate(struct file *f, uint64_t size)
{
    int r;
    do
        r = ftruncate(fd_of(f), (off_t)size);
    while (r < 0 && errno == EINTR);
    return (int)result(r);
}

static int64_t real_size(struct file *f)
{
    struct stat st;
    return fstat(fd_of(f), &st) < 0 ? -errno : st.st_size;
}

static int real_rename(struct fs *fs, const char *from, const char *to) { return (int)result(rename(from, to)); }

static int real_unlink(struct fs *fs, const char *path) { return (int)result(unlink(path)); }

static int real_sync_dir(struct fs *fs, const char *dir)
{
    int fd = open_fd(dir, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    int err = (int)result(fsync(fd));
    close(fd);
    return err;
}

static int real_mkdir(struct fs *fs, const char *dir) { return mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -errno; }

static bool is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* A directory that cannot be read to its end is an error, not a short directory. */
static int real_list(struct fs *fs, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(dir);
    int r = 0;
    if (d == NULL)
        return -errno;
    while (r == 0) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (e == NULL) {
            r = -errno;
            break;
        }
        if (!is_dot(e->d_name))
            r = each(arg, e->d_name);
    }
    closedir(d);
    return r;
}

static int real_free_bytes(struct fs *fs, const char *dir, uint64_t *out)
{
    struct statvfs st;
    if (statvfs(dir, &st) < 0)
        return -errno;
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

/* flock: belongs to the open file, so a process cannot lose it by closing another descriptor of the same file. */
static int real_lock(struct fs *fs, const char *path, struct file **out)
{
    int fd = open_fd(path, O_RDWR | O_CREAT);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        close(fd);
        return err;
    }
    return wrap(fd, out);
}

static const struct fs_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .pwritev = real_pwritev,
    .sync = real_sync,
    .allocate = real_allocate,
    .truncate = real_truncate,
    .size = real_size,
    .rename = real_rename,
    .unlink = real_unlink,
    .sync_dir = real_sync_dir,
    .mkdir = real_mkdir,
    .list = real_list,
    .free_bytes = real_free_bytes,
    .lock = real_lock,
};

struct fs *fs_real(void)
{
    static struct fs fs = {&real_ops};
    return &fs;
}
