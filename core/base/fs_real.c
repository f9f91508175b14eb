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
    int fd;
    (void)fs;
    how |= flags & FS_CREATE ? O_CREAT : 0;
    how |= flags & FS_TRUNC ? O_TRUNC : 0;
    do
        fd = open(path, how | O_CLOEXEC, 0644);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : wrap(fd, out);
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
    return (int)result(fallocate(fd_of(f), 0, (off_t)off, (off_t)len));
}

static int real_truncate(struct file *f, uint64_t size) { return (int)result(ftruncate(fd_of(f), (off_t)size)); }

static int64_t real_size(struct file *f)
{
    struct stat st;
    return fstat(fd_of(f), &st) < 0 ? -errno : st.st_size;
}

static int real_rename(struct fs *fs, const char *from, const char *to)
{
    (void)fs;
    return (int)result(rename(from, to));
}

static int real_unlink(struct fs *fs, const char *path)
{
    (void)fs;
    return (int)result(unlink(path));
}

static int real_sync_dir(struct fs *fs, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
    (void)fs;
    if (fd < 0)
        return -errno;
    err = (int)result(fsync(fd));
    close(fd);
    return err;
}

static int real_mkdir(struct fs *fs, const char *dir)
{
    (void)fs;
    return mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

static int real_list(struct fs *fs, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(dir);
    int r = 0;
    (void)fs;
    if (d == NULL)
        return -errno;
    for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = each(arg, e->d_name);
    closedir(d);
    return r;
}

static int real_free_bytes(struct fs *fs, const char *dir, uint64_t *out)
{
    struct statvfs st;
    (void)fs;
    if (statvfs(dir, &st) < 0)
        return -errno;
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static int real_lock(struct fs *fs, const char *path, struct file **out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    (void)fs;
    if (fd < 0)
        return -errno;
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
