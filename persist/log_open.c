/* The log's start and stop; the stages between are in log_recover.c and log_thread.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log_impl.h"

static struct log *new_log(const struct log_config *cfg)
{
    size_t writers = cfg->writers * sizeof(struct log_writer);
    struct log *l = mem_alloc_aligned(sizeof(*l), 64);
    ensure(cfg->writers > 0 && cfg->segment_bytes > SEGMENT_OVERHEAD);
    memset(l, 0, sizeof(*l));
    l->cfg = *cfg;
    l->dir_bytes = strlen(cfg->dir) + 1;
    l->dir = mem_alloc(l->dir_bytes);
    memcpy(l->dir, cfg->dir, l->dir_bytes);
    l->cfg.dir = l->dir;
    l->capacity = cfg->segment_bytes - SEGMENT_HEADER_BYTES - SEGMENT_END_BYTES;
    l->slack = cfg->segment_bytes / 8;
    l->stop = LSN_NONE;
    atomic_store(&l->everysec, true);
    atomic_store(&l->disk_free, UINT64_MAX);
    l->writers = mem_alloc_aligned(writers, 64);
    memset(l->writers, 0, writers);
    for (unsigned i = 0; i < cfg->writers; i++)
        atomic_store(&l->writers[i].start, LSN_NONE);
    pthread_mutex_init(&l->meta, NULL);
    return l;
}

static void free_log(struct log *l)
{
    if (l->preparing != NULL) /* a whole one may be listed already: see list_prepared */
        log_discard_segment(l, l->preparing, l->prepared_bytes < l->preparing->size);
    for (size_t i = 0; i < l->segment_count; i++)
        log_discard_segment(l, l->segments[i], false);
    mem_free(l->segments, l->segment_cap * sizeof(*l->segments));
    buf_free(&l->state);
    pthread_mutex_destroy(&l->meta);
    mem_free_aligned(l->writers, l->cfg.writers * sizeof(*l->writers), 64);
    mem_free(l->dir, l->dir_bytes);
    mem_free_aligned(l, sizeof(*l), 64);
}

/* The directory's own entry has to be durable before anything in it matters. */
static int make_dir(struct log *l)
{
    struct fs *fs = l->cfg.fs;
    int err = fs->ops->mkdir(fs, l->dir);
    if (err != 0)
        return err;
    const char *slash = strrchr(l->dir, '/');
    struct buf parent = {0};
    if (slash == NULL)
        buf_append_byte(&parent, '.');
    else
        buf_append(&parent, l->dir, slash == l->dir ? 1 : (size_t)(slash - l->dir));
    buf_append_byte(&parent, 0);
    err = fs->ops->sync_dir(fs, (const char *)parent.p);
    buf_free(&parent);
    return err;
}

static int note_number(void *arg, const char *name)
{
    uint64_t number;
    uint64_t *next = arg;
    if (segment_name_parse(name, &number))
        *next = max_u64(*next, number + 1);
    return 0;
}

/* No segment is made before the first manifest is durable: segments without one have lost it. */
static int check_orphans(struct log *l, char *error)
{
    if (l->next_number == 0)
        return 0;
    snprintf(error, LOG_ERROR_BYTES,
             "%s holds log segments but no %s: it was removed or lost. Put it back from a copy, or, to start with an "
             "empty log, move the segments away",
             l->dir, MANIFEST_NAME);
    return -EBADMSG;
}

static void adopt_manifest(struct log *l, const struct manifest *m)
{
    l->has_manifest = true;
    l->existed = m->count > 0;
    l->mark_stored = m->durable;
    l->stop = m->stop;
    buf_append_slice(&l->state, buf_slice(&m->state));
    l->checkpoint =
        (struct log_checkpoint){.l0 = m->l0, .state = buf_slice(&l->state), .replid2_limit = m->replid2_limit};
    memcpy(l->checkpoint.replid, m->replid, sizeof(m->replid));
    memcpy(l->checkpoint.replid2, m->replid2, sizeof(m->replid2));
    for (size_t i = 0; i < m->count; i++) {
        struct log_segment *s = log_new_segment();
        memcpy(s->name, m->segments[i].name, sizeof(s->name));
        s->id = m->segments[i].id;
        s->cut = m->segments[i].end;
        note_number(&l->next_number, s->name);
        log_list_segment(l, s);
    }
}

static int read_manifest(struct log *l, char *error)
{
    struct manifest m;
    manifest_init(&m);
    int err = manifest_load(&m, l->cfg.fs, l->dir);
    if (err == 0) {
        adopt_manifest(l, &m);
    } else if (err == -ENOENT) {
        err = check_orphans(l, error);
    } else {
        snprintf(error, LOG_ERROR_BYTES,
                 "%s/%s cannot be read: %s. It lists the log's files; put it back from a copy or start from a replica "
                 "or a backup",
                 l->dir, MANIFEST_NAME, err == -EBADMSG ? "it is damaged" : strerror(-err));
    }
    manifest_free(&m);
    return err;
}

static int open_dir(struct log *l, char *error)
{
    int err = make_dir(l);
    if (err == 0)
        err = l->cfg.fs->ops->list(l->cfg.fs, l->dir, note_number, &l->next_number);
    if (err != 0)
        snprintf(error, LOG_ERROR_BYTES, "the log's directory %s cannot be used: %s", l->dir, strerror(-err));
    return err != 0 ? err : read_manifest(l, error);
}

int log_open(struct log **out, const struct log_config *cfg, char *error)
{
    struct log *l = new_log(cfg);
    error[0] = '\0';
    int err = open_dir(l, error);
    if (err != 0)
        free_log(l);
    else
        *out = l;
    return err;
}

bool log_existed(const struct log *l) { return l->existed; }

const struct log_checkpoint *log_last_checkpoint(const struct log *l) { return &l->checkpoint; }

uint64_t log_clean_stop(const struct log *l) { return l->stop; }

static int remove_stop_mark(struct log *l)
{
    uint64_t stop = l->stop;
    if (stop == LSN_NONE)
        return 0;
    l->stop = LSN_NONE;
    int err = log_store_manifest(l, &l->checkpoint, NULL);
    if (err != 0)
        l->stop = stop;
    return err;
}

int log_set_history(struct log *l, const char *replid, const char *replid2, uint64_t replid2_limit)
{
    struct log_checkpoint c = l->checkpoint;
    ensure(l->recovered && !l->started);
    snprintf(c.replid, sizeof(c.replid), "%s", replid);
    snprintf(c.replid2, sizeof(c.replid2), "%s", replid2);
    c.replid2_limit = replid2_limit;
    int err = log_store_manifest(l, &c, NULL);
    if (err == 0)
        l->checkpoint = c;
    return err;
}

int log_start(struct log *l, char *error)
{
    ensure(l->recovered && !l->started);
    error[0] = '\0';
    int err = remove_stop_mark(l);
    if (err == 0 && !l->cfg.threadless)
        err = -pthread_create(&l->thread, NULL, log_thread_main, l);
    if (err != 0)
        snprintf(error, LOG_ERROR_BYTES, "the log in %s cannot be started: %s", l->dir, strerror(-err));
    l->started = err == 0;
    return err;
}

static void stop_thread(struct log *l)
{
    if (l->cfg.threadless)
        return;
    atomic_store(&l->stopping, true);
    log_wake(l);
    pthread_join(l->thread, NULL);
}

/* No writer is active any more, so one sync covers everything. */
static void finish(struct log *l, enum log_mark mark)
{
    if (atomic_load(&l->failed) || log_sync(l) != 0)
        return;
    ensure(log_durable(l) == log_appended(l));
    if (mark == LOG_MARK_CLEAN_STOP)
        l->stop = log_appended(l);
    int err = log_store_manifest(l, &l->checkpoint, NULL);
    if (err != 0)
        logger_line(l->cfg.logger, LOG_WARNING, "log: the mark of a clean stop could not be written: %s",
                    strerror(-err));
}

void log_close(struct log *l, enum log_mark mark)
{
    if (l->started) {
        stop_thread(l);
        finish(l, mark);
    }
    free_log(l);
}
