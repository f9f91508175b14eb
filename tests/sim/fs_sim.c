#include "tests/sim/fs_sim.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/panic.h"
#include "core/base/rng.h"

#define SECTOR 512

/* libc's allocator on purpose: a leak of the simulation is not one of the code under test. */
static void *grow(void *p, size_t size)
{
    p = realloc(p, size);
    ensure(p != NULL);
    return p;
}

struct bytes {
    uint8_t *p;
    uint64_t len, cap;
};

/* A change of a file that no sync has covered: a write, or (data NULL) a new size. */
struct change {
    uint64_t off, len;
    uint8_t *data;
};

struct inode {
    struct inode *next;
    struct bytes seen, platter;
    struct change *pending;
    size_t pending_count, pending_cap;
    unsigned opens;
    bool directory;
};

struct entry {
    char *path;
    struct inode *inode;
};
struct names {
    struct entry *e;
    size_t count, cap;
};

/* A change of a directory that no sync_dir has covered. to NULL: create or unlink of `path` (inode NULL). */
struct name_change {
    char *path, *to;
    struct inode *inode;
};

struct fs_sim {
    struct fs fs;
    pthread_mutex_t lock;
    void (*meanwhile)(void *arg); /* set and used by one thread */
    void *meanwhile_arg;
    struct rng rng;
    struct inode *inodes;
    struct names seen, platter;
    struct name_change *pending;
    size_t pending_count, pending_cap;
    uint64_t quota, changes, freeze_at;
    bool frozen;
    uint64_t fail_in[FS_SIM_CALLS];
    int fail_error[FS_SIM_CALLS];
};

struct sim_file {
    struct file file;
    struct fs_sim *sim;
    struct inode *inode;
    bool writable;
};

/* --- bytes and changes ------------------------------------------------------------------------------------------ */

static void bytes_resize(struct bytes *b, uint64_t len)
{
    if (len > b->cap) {
        b->cap = len * 2;
        b->p = grow(b->p, b->cap);
    }
    if (len > b->len)
        memset(b->p + b->len, 0, len - b->len);
    b->len = len;
}

static void bytes_write(struct bytes *b, const uint8_t *p, uint64_t len, uint64_t off)
{
    if (off + len > b->len)
        bytes_resize(b, off + len);
    if (len > 0)
        memcpy(b->p + off, p, len);
}

static void note_change(struct inode *n, const uint8_t *p, uint64_t len, uint64_t off)
{
    if (n->pending_count == n->pending_cap) {
        n->pending_cap = n->pending_cap * 2 + 16;
        n->pending = grow(n->pending, n->pending_cap * sizeof(*n->pending));
    }
    struct change *c = &n->pending[n->pending_count++];
    *c = (struct change){.off = off, .len = len};
    if (p != NULL) {
        c->data = grow(NULL, len);
        memcpy(c->data, p, len);
    }
}

static void forget_changes(struct inode *n)
{
    for (size_t i = 0; i < n->pending_count; i++)
        free(n->pending[i].data);
    n->pending_count = 0;
}

enum luck { KEEP_ALL, KEEP_NONE, KEEP_SOME, KEEP_WHOLE };

static bool survives(struct rng *r, enum luck luck)
{
    return luck == KEEP_ALL || (luck != KEEP_NONE && rng_below(r, 2));
}

static void apply_torn(struct bytes *b, const struct change *c, struct rng *r, enum luck luck)
{
    bool whole = survives(r, luck);
    for (uint64_t done = 0, n; done < c->len; done += n) {
        n = min_u64(SECTOR - (c->off + done) % SECTOR, c->len - done);
        if (luck == KEEP_SOME ? survives(r, luck) : whole)
            bytes_write(b, c->data + done, n, c->off + done);
    }
}

static void apply_changes(struct inode *n, struct rng *r, enum luck luck)
{
    for (size_t i = 0; i < n->pending_count; i++) {
        if (n->pending[i].data != NULL)
            apply_torn(&n->platter, &n->pending[i], r, luck);
        else if (survives(r, luck))
            bytes_resize(&n->platter, n->pending[i].len);
    }
    forget_changes(n);
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static struct entry *find(struct names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->e[i].path, path) == 0)
            return &names->e[i];
    return NULL;
}

static void put_name(struct names *names, const char *path, struct inode *inode)
{
    struct entry *e = find(names, path);
    if (e != NULL) {
        e->inode = inode;
        return;
    }
    if (names->count == names->cap) {
        names->cap = names->cap * 2 + 16;
        names->e = grow(names->e, names->cap * sizeof(*names->e));
    }
    names->e[names->count++] = (struct entry){strdup(path), inode};
}

static void remove_name(struct names *names, const char *path)
{
    struct entry *e = find(names, path);
    if (e == NULL)
        return;
    free(e->path);
    *e = names->e[--names->count];
}

static void clear_names(struct names *names)
{
    while (names->count > 0)
        free(names->e[--names->count].path);
}

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL;
}

/* Top-level names lie in "." (or "/"), which is always there. */
static bool lies_in(const char *path, const char *dir)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return strcmp(dir, slash == NULL ? "." : "/") == 0;
    return is_in(path, dir);
}

static bool parent_exists(struct names *names, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return true;
    char *dir = strndup(path, (size_t)(slash - path));
    bool found = find(names, dir) != NULL;
    free(dir);
    return found;
}

static void apply_name(struct names *names, const struct name_change *c)
{
    if (c->inode == NULL || c->to != NULL)
        remove_name(names, c->path);
    if (c->inode != NULL)
        put_name(names, c->to != NULL ? c->to : c->path, c->inode);
}

static void change_name(struct fs_sim *s, const char *path, const char *to, struct inode *inode)
{
    if (s->pending_count == s->pending_cap) {
        s->pending_cap = s->pending_cap * 2 + 16;
        s->pending = grow(s->pending, s->pending_cap * sizeof(*s->pending));
    }
    struct name_change *c = &s->pending[s->pending_count++];
    *c = (struct name_change){strdup(path), to == NULL ? NULL : strdup(to), inode};
    apply_name(&s->seen, c);
}

static void free_name_change(struct name_change *c)
{
    free(c->path);
    free(c->to);
}

static bool same_name(const char *a, const char *b) { return a != NULL && b != NULL && strcmp(a, b) == 0; }

static bool depends_on(const struct name_change *c, const struct name_change *on)
{
    return same_name(c->path, on->path) || same_name(c->path, on->to) || same_name(c->to, on->path) ||
           same_name(c->to, on->to) || (c->inode != NULL && c->inode == on->inode);
}

static void crash_names(struct fs_sim *s)
{
    enum luck luck = (enum luck)rng_below(&s->rng, 3);
    size_t lost = 0; /* moved to the front */
    for (size_t i = 0; i < s->pending_count; i++) {
        struct name_change c = s->pending[i];
        bool keep = survives(&s->rng, luck);
        for (size_t j = 0; j < lost; j++)
            keep = keep && !depends_on(&c, &s->pending[j]);
        if (keep) {
            apply_name(&s->platter, &c);
            free_name_change(&c);
        } else {
            s->pending[lost++] = c;
        }
    }
    for (size_t i = 0; i < lost; i++)
        free_name_change(&s->pending[i]);
    s->pending_count = 0;
    clear_names(&s->seen);
    for (size_t i = 0; i < s->platter.count; i++)
        if (parent_exists(&s->platter, s->platter.e[i].path))
            put_name(&s->seen, s->platter.e[i].path, s->platter.e[i].inode);
}

static struct inode *new_inode(struct fs_sim *s, bool directory)
{
    struct inode *n = grow(NULL, sizeof(*n));
    *n = (struct inode){.next = s->inodes, .directory = directory};
    return s->inodes = n;
}

static bool is_linked(const struct fs_sim *s, const struct inode *n)
{
    for (size_t i = 0; i < s->seen.count; i++)
        if (s->seen.e[i].inode == n)
            return true;
    return false;
}

static uint64_t used_bytes(const struct fs_sim *s)
{
    uint64_t sum = 0;
    for (const struct inode *n = s->inodes; n != NULL; n = n->next)
        if (n->opens > 0 || is_linked(s, n))
            sum += n->seen.len;
    return sum;
}

/* --- calls ------------------------------------------------------------------------------------------------------ */

static struct fs_sim *sim_of(struct fs *fs) { return container_of(fs, struct fs_sim, fs); }
static struct sim_file *file_of(struct file *f) { return container_of(f, struct sim_file, file); }

/* Locks. 0, or the error that this call is to fail with. */
static int enter(struct fs_sim *s, enum fs_sim_call kind, bool changes)
{
    pthread_mutex_lock(&s->lock);
    if (changes && s->changes >= s->freeze_at)
        s->frozen = true;
    if (s->frozen)
        return -EIO;
    s->changes += changes;
    if (s->fail_in[kind] > 0 && --s->fail_in[kind] == 0)
        return s->fail_error[kind];
    return 0;
}

static int leave(struct fs_sim *s, int result)
{
    pthread_mutex_unlock(&s->lock);
    return result;
}

static bool fits(struct fs_sim *s, const struct inode *n, uint64_t size)
{
    return size <= n->seen.len || s->quota == UINT64_MAX || used_bytes(s) + (size - n->seen.len) <= s->quota;
}

static void set_size(struct inode *n, uint64_t size)
{
    bytes_resize(&n->seen, size);
    note_change(n, NULL, size, 0);
}

static int open_inode(struct fs_sim *s, const char *path, int flags, struct inode **out)
{
    struct entry *e = find(&s->seen, path);
    if (e == NULL && ((flags & FS_CREATE) == 0 || !parent_exists(&s->seen, path)))
        return -ENOENT;
    *out = e != NULL ? e->inode : new_inode(s, false);
    if ((*out)->directory)
        return -EISDIR;
    if (e == NULL)
        change_name(s, path, NULL, *out);
    if ((flags & FS_TRUNC) != 0 && (*out)->seen.len > 0)
        set_size(*out, 0);
    return 0;
}

static const struct fs_ops sim_ops;

static int sim_open(struct fs *fs, const char *path, int flags, struct file **out)
{
    struct fs_sim *s = sim_of(fs);
    struct inode *n = NULL;
    int err = enter(s, FS_SIM_OPEN, (flags & (FS_CREATE | FS_TRUNC)) != 0);
    if (err == 0)
        err = open_inode(s, path, flags, &n);
    if (err == 0) {
        struct sim_file *f = grow(NULL, sizeof(*f));
        *f = (struct sim_file){{&sim_ops}, s, n, (flags & FS_WRITE) != 0};
        n->opens++;
        *out = &f->file;
    }
    return leave(s, err);
}

static void sim_close(struct file *file)
{
    struct sim_file *f = file_of(file);
    pthread_mutex_lock(&f->sim->lock);
    f->inode->opens--;
    pthread_mutex_unlock(&f->sim->lock);
    free(f);
}

static ssize_t sim_pread(struct file *file, void *p, size_t len, uint64_t off)
{
    struct sim_file *f = file_of(file);
    int result = enter(f->sim, FS_SIM_READ, false);
    if (result == 0 && off < f->inode->seen.len) {
        result = (int)min_u64(len, f->inode->seen.len - off);
        memcpy(p, f->inode->seen.p + off, (size_t)result);
    }
    return leave(f->sim, result);
}

static int write_piece(struct sim_file *f, const void *p, size_t len, uint64_t off)
{
    ensure(f->writable);
    if (!fits(f->sim, f->inode, off + len))
        return -ENOSPC;
    if (len == 0)
        return 0;
    bytes_write(&f->inode->seen, p, len, off);
    note_change(f->inode, p, len, off);
    return (int)len;
}

static void other_calls(struct fs_sim *s)
{
    pthread_mutex_lock(&s->lock);
    void (*meanwhile)(void *arg) = s->meanwhile;
    void *arg = s->meanwhile_arg;
    s->meanwhile = NULL;
    pthread_mutex_unlock(&s->lock);
    if (meanwhile != NULL)
        meanwhile(arg);
}

static ssize_t sim_pwrite(struct file *file, const void *p, size_t len, uint64_t off)
{
    struct sim_file *f = file_of(file);
    other_calls(f->sim);
    int result = enter(f->sim, FS_SIM_WRITE, true);
    if (result == 0)
        result = write_piece(f, p, len, off);
    return leave(f->sim, result);
}

/* Stops after half of the pieces: short writes are the caller's business. */
static ssize_t sim_pwritev(struct file *file, const struct iovec *iov, int n, uint64_t off)
{
    struct sim_file *f = file_of(file);
    other_calls(f->sim);
    int result = enter(f->sim, FS_SIM_WRITE, true);
    int done = 0;
    for (int i = 0; i < (n + 1) / 2 && result >= 0; i++) {
        result = write_piece(f, iov[i].iov_base, iov[i].iov_len, off + (uint64_t)done);
        done += result < 0 ? 0 : result;
    }
    return leave(f->sim, done > 0 ? done : result);
}

static int sim_sync(struct file *file)
{
    struct sim_file *f = file_of(file);
    int err = enter(f->sim, FS_SIM_SYNC, true);
    if (err == 0)
        apply_changes(f->inode, &f->sim->rng, KEEP_ALL);
    else if (!f->sim->frozen)
        apply_changes(f->inode, &f->sim->rng, KEEP_SOME);
    return leave(f->sim, err);
}

static int resize(struct file *file, enum fs_sim_call kind, uint64_t size, bool shrink)
{
    struct sim_file *f = file_of(file);
    int err = enter(f->sim, kind, true);
    if (err == 0 && !fits(f->sim, f->inode, size))
        err = -ENOSPC;
    if (err == 0 && (shrink || size > f->inode->seen.len))
        set_size(f->inode, size);
    return leave(f->sim, err);
}

static int sim_allocate(struct file *file, uint64_t off, uint64_t len)
{
    return resize(file, FS_SIM_ALLOCATE, off + len, false);
}

static int sim_truncate(struct file *file, uint64_t size) { return resize(file, FS_SIM_TRUNCATE, size, true); }

static int64_t sim_size(struct file *file)
{
    struct sim_file *f = file_of(file);
    pthread_mutex_lock(&f->sim->lock);
    int64_t size = (int64_t)f->inode->seen.len;
    pthread_mutex_unlock(&f->sim->lock);
    return size;
}

static int sim_rename(struct fs *fs, const char *from, const char *to)
{
    struct fs_sim *s = sim_of(fs);
    int err = enter(s, FS_SIM_RENAME, true);
    struct entry *e = find(&s->seen, from);
    if (err == 0 && e == NULL)
        err = -ENOENT;
    if (err == 0)
        change_name(s, from, to, e->inode);
    return leave(s, err);
}

static int sim_unlink(struct fs *fs, const char *path)
{
    struct fs_sim *s = sim_of(fs);
    int err = enter(s, FS_SIM_UNLINK, true);
    if (err == 0 && find(&s->seen, path) == NULL)
        err = -ENOENT;
    if (err == 0)
        change_name(s, path, NULL, NULL);
    return leave(s, err);
}

static int sim_sync_dir(struct fs *fs, const char *dir)
{
    struct fs_sim *s = sim_of(fs);
    int err = enter(s, FS_SIM_SYNC_DIR, true);
    size_t left = 0;
    for (size_t i = 0; i < s->pending_count && err == 0; i++) {
        struct name_change *c = &s->pending[i];
        if (!lies_in(c->path, dir)) {
            s->pending[left++] = *c;
            continue;
        }
        apply_name(&s->platter, c);
        free_name_change(c);
    }
    if (err == 0)
        s->pending_count = left;
    return leave(s, err);
}

static int sim_mkdir(struct fs *fs, const char *dir)
{
    struct fs_sim *s = sim_of(fs);
    int err = enter(s, FS_SIM_MKDIR, true);
    if (err == 0 && !parent_exists(&s->seen, dir))
        err = -ENOENT;
    if (err == 0 && find(&s->seen, dir) == NULL)
        change_name(s, dir, NULL, new_inode(s, true));
    return leave(s, err);
}

static int sim_list(struct fs *fs, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
    struct fs_sim *s = sim_of(fs);
    int result = enter(s, FS_SIM_READ, false);
    if (result == 0 && find(&s->seen, dir) == NULL)
        result = -ENOENT;
    for (size_t i = 0; i < s->seen.count && result == 0; i++)
        if (is_in(s->seen.e[i].path, dir))
            result = each(arg, strrchr(s->seen.e[i].path, '/') + 1);
    return leave(s, result);
}

static int sim_free_bytes(struct fs *fs, const char *dir, uint64_t *out)
{
    struct fs_sim *s = sim_of(fs);
    int err = enter(s, FS_SIM_READ, false);
    uint64_t used = s->quota == UINT64_MAX ? 0 : used_bytes(s);
    *out = s->quota - min_u64(s->quota, used);
    return leave(s, err);
}

static int sim_lock(struct fs *fs, const char *path, struct file **out)
{
    return sim_open(fs, path, FS_WRITE | FS_CREATE, out);
}

static const struct fs_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .pwritev = sim_pwritev,
    .sync = sim_sync,
    .allocate = sim_allocate,
    .truncate = sim_truncate,
    .size = sim_size,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .sync_dir = sim_sync_dir,
    .mkdir = sim_mkdir,
    .list = sim_list,
    .free_bytes = sim_free_bytes,
    .lock = sim_lock,
};

/* --- the test's side -------------------------------------------------------------------------------------------- */

struct fs_sim *fs_sim_new(uint64_t seed)
{
    struct fs_sim *s = grow(NULL, sizeof(*s));
    *s = (struct fs_sim){.fs = {&sim_ops}, .quota = UINT64_MAX, .freeze_at = UINT64_MAX};
    pthread_mutex_init(&s->lock, NULL);
    rng_seed(&s->rng, seed);
    return s;
}

static void free_inode(struct inode *n)
{
    forget_changes(n);
    free(n->pending);
    free(n->seen.p);
    free(n->platter.p);
    free(n);
}

void fs_sim_free(struct fs_sim *s)
{
    for (struct inode *n = s->inodes, *next; n != NULL; n = next) {
        next = n->next;
        ensure(n->opens == 0);
        free_inode(n);
    }
    for (size_t i = 0; i < s->pending_count; i++)
        free_name_change(&s->pending[i]);
    free(s->pending);
    clear_names(&s->seen);
    clear_names(&s->platter);
    free(s->seen.e);
    free(s->platter.e);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct fs *fs_sim_fs(struct fs_sim *s) { return &s->fs; }

void fs_sim_set_quota(struct fs_sim *s, uint64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->quota = bytes;
    pthread_mutex_unlock(&s->lock);
}

void fs_sim_fail(struct fs_sim *s, enum fs_sim_call kind, uint64_t n, int error)
{
    pthread_mutex_lock(&s->lock);
    s->fail_in[kind] = n;
    s->fail_error[kind] = error;
    pthread_mutex_unlock(&s->lock);
}

void fs_sim_during_write(struct fs_sim *s, void (*meanwhile)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    s->meanwhile = meanwhile;
    s->meanwhile_arg = arg;
    pthread_mutex_unlock(&s->lock);
}

void fs_sim_freeze_after(struct fs_sim *s, uint64_t n)
{
    pthread_mutex_lock(&s->lock);
    s->freeze_at = n == UINT64_MAX ? n : s->changes + n;
    s->frozen = s->frozen && n != UINT64_MAX;
    pthread_mutex_unlock(&s->lock);
}

bool fs_sim_frozen(struct fs_sim *s)
{
    pthread_mutex_lock(&s->lock);
    bool frozen = s->frozen;
    pthread_mutex_unlock(&s->lock);
    return frozen;
}

uint64_t fs_sim_changes(struct fs_sim *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t n = s->changes;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void crash_inode(struct fs_sim *s, struct inode *n)
{
    ensure(n->opens == 0);
    apply_changes(n, &s->rng, (enum luck)rng_below(&s->rng, 4));
    bytes_resize(&n->seen, 0);
    bytes_write(&n->seen, n->platter.p, n->platter.len, 0);
}

void fs_sim_crash(struct fs_sim *s)
{
    pthread_mutex_lock(&s->lock);
    for (struct inode *n = s->inodes; n != NULL; n = n->next)
        if (n->platter.len > 0 || n->seen.len > 0 || n->pending_count > 0)
            crash_inode(s, n);
    crash_names(s);
    s->frozen = false;
    s->freeze_at = UINT64_MAX;
    s->quota = UINT64_MAX;
    memset(s->fail_in, 0, sizeof(s->fail_in));
    pthread_mutex_unlock(&s->lock);
}

bool fs_sim_flip(struct fs_sim *s, const char *path, uint64_t off, uint8_t mask)
{
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(&s->seen, path);
    bool there = e != NULL && off < e->inode->seen.len;
    if (there) {
        e->inode->seen.p[off] ^= mask;
        if (off < e->inode->platter.len)
            e->inode->platter.p[off] ^= mask;
    }
    pthread_mutex_unlock(&s->lock);
    return there;
}
