/* The set of segments: their files, the manifest that lists them, and log_checkpoint, which decides what becomes of
 * those that are not needed any more. Everything here happens under `meta` or while there is one thread only. */
#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log_impl.h"

/* --- files and manifest -------------------------------------------------------------------------------------- */

struct buf log_path(const struct log *l, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", l->dir, name);
    buf_append_byte(&path, 0);
    return path;
}

uint64_t log_new_id(struct log *l)
{
    uint64_t id = 0;
    while (id == 0 || id == LSN_NONE)
        l->cfg.entropy->fill(l->cfg.entropy, &id, sizeof(id));
    return id;
}

int log_open_file(struct log *l, struct log_segment *s, int flags)
{
    struct buf path = log_path(l, s->name);
    int err = l->cfg.fs->ops->open(l->cfg.fs, (const char *)path.p, flags, &s->file);
    buf_free(&path);
    return err;
}

void log_close_file(struct log_segment *s)
{
    if (s->file != NULL)
        s->file->ops->close(s->file);
    s->file = NULL;
}

void log_discard_segment(struct log *l, struct log_segment *s, bool unlink)
{
    log_close_file(s);
    if (unlink) {
        struct buf path = log_path(l, s->name);
        (void)l->cfg.fs->ops->unlink(l->cfg.fs, (const char *)path.p); /* a leftover is found at the next start */
        buf_free(&path);
    }
    mem_free(s, sizeof(*s));
}

struct log_segment *log_new_segment(void)
{
    struct log_segment *s = mem_alloc(sizeof(*s));
    *s = (struct log_segment){.first = LSN_NONE, .end = LSN_NONE, .closed_at = LSN_NONE, .cut = LSN_NONE};
    return s;
}

int log_create_segment(struct log *l, uint64_t size, struct log_segment **out)
{
    struct log_segment *s = log_new_segment();
    s->id = log_new_id(l);
    s->size = size;
    segment_name_format(s->name, l->next_number++);
    int err = log_open_file(l, s, FS_WRITE | FS_CREATE | FS_TRUNC);
    if (err == 0)
        err = s->file->ops->allocate(s->file, 0, size);
    if (err == -EOPNOTSUPP) /* zeroing allocates too */
        err = 0;
    if (err != 0)
        log_discard_segment(l, s, s->file != NULL);
    else
        *out = s;
    return err;
}

void log_list_segment(struct log *l, struct log_segment *s)
{
    if (l->segment_count == l->segment_cap) {
        size_t cap = l->segment_cap == 0 ? 8 : l->segment_cap * 2;
        l->segments = mem_realloc(l->segments, l->segment_cap * sizeof(*l->segments), cap * sizeof(*l->segments));
        l->segment_cap = cap;
    }
    l->segments[l->segment_count++] = s;
}

static uint64_t first_of(struct log *l, const struct log_segment *s)
{
    place_lock(l);
    uint64_t first = s->first;
    place_unlock(l);
    return first;
}

void log_refresh_info(struct log *l)
{
    uint64_t bytes = 0, first = LSN_NONE;
    for (size_t i = 0; i < l->segment_count; i++) {
        bytes += l->segments[i]->size;
        first = min_u64(first, first_of(l, l->segments[i]));
    }
    atomic_store(&l->info_segments, l->segment_count);
    atomic_store(&l->info_bytes, bytes);
    atomic_store(&l->info_first, first);
    atomic_store(&l->info_l0, l->checkpoint.l0);
}

/* A segment that log_checkpoint is about to recycle is listed as what it will be. */
static void describe_segment(struct log *l, struct manifest *m, const struct log_segment *s)
{
    if (s->next_id == LSN_NONE)
        return;
    struct manifest_segment *out = manifest_add(m);
    memcpy(out->name, s->name, sizeof(out->name));
    if (s->next_id != 0) {
        out->id = s->next_id;
        return;
    }
    out->id = s->id;
    out->first = first_of(l, s);
    out->end = s->cut;
}

int log_store_manifest(struct log *l, const struct log_checkpoint *c, const struct log_segment *extra)
{
    struct manifest m;
    manifest_init(&m);
    m.l0 = c->l0;
    m.replid2_limit = c->replid2_limit;
    memcpy(m.replid, c->replid, sizeof(m.replid));
    memcpy(m.replid2, c->replid2, sizeof(m.replid2));
    buf_append_slice(&m.state, c->state);
    m.durable = atomic_load(&l->durable_mark);
    m.stop = l->stop;
    for (size_t i = 0; i < l->segment_count; i++)
        describe_segment(l, &m, l->segments[i]);
    if (extra != NULL)
        describe_segment(l, &m, extra);
    int err = manifest_store(&m, l->cfg.fs, l->dir);
    if (err == 0)
        l->mark_stored = m.durable;
    manifest_free(&m);
    return err;
}

void log_add_spare(struct log *l, struct log_segment *s)
{
    place_lock(l);
    ensure(l->place.spare_count < LOG_SPARES_MAX);
    l->place.spares[l->place.spare_count++] = s;
    log_publish_room(l);
    place_unlock(l);
}

/* --- checkpoint ------------------------------------------------------------------------------------------------- */

int log_make_durable(struct log *l, uint64_t lsn)
{
    log_want_durable(l, lsn);
    while (log_durable(l) < lsn) {
        if (atomic_load(&l->failed))
            return -EIO;
        if (l->cfg.threadless)
            (void)log_turn(l);
        else
            l->cfg.clock->sleep_us(l->cfg.clock, 500);
    }
    return 0;
}

static bool lies_below(struct log *l, const struct log_segment *s, uint64_t lsn)
{
    place_lock(l);
    bool below = s->settled && s->end <= lsn;
    place_unlock(l);
    return below;
}

/* As many spares are kept as one checkpoint interval has used: the next one will need them. */
static void choose_recycled(struct log *l, uint64_t cut)
{
    place_lock(l);
    uint64_t spares = l->place.spare_count;
    uint64_t keep = min_u64(LOG_SPARES_MAX - 1, max_u64(2, l->place.used_since_checkpoint));
    place_unlock(l);
    for (size_t i = 0; i < l->segment_count; i++) {
        struct log_segment *s = l->segments[i];
        s->next_id = 0;
        if (!lies_below(l, s, cut))
            continue;
        s->next_id = LSN_NONE;
        if (spares < keep && s->size == l->cfg.segment_bytes && log_open_file(l, s, FS_WRITE) == 0) {
            s->next_id = log_new_id(l);
            spares++;
        }
    }
}

static void recycle_segment(struct log *l, struct log_segment *s)
{
    place_lock(l);
    s->id = s->next_id;
    s->first = s->end = s->closed_at = LSN_NONE;
    s->settled = false;
    s->next_closed = NULL;
    place_unlock(l);
    s->next_id = 0;
    s->cut = LSN_NONE;
    log_add_spare(l, s);
}

void log_apply_next_ids(struct log *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->segment_count; i++) {
        struct log_segment *s = l->segments[i];
        if (s->next_id == LSN_NONE) {
            log_discard_segment(l, s, true);
            continue;
        }
        if (s->next_id != 0)
            recycle_segment(l, s);
        l->segments[kept++] = s;
    }
    l->segment_count = kept;
}

static void drop_choice(struct log *l)
{
    for (size_t i = 0; i < l->segment_count; i++) {
        if (l->segments[i]->next_id != 0 && l->segments[i]->next_id != LSN_NONE)
            log_close_file(l->segments[i]);
        l->segments[i]->next_id = 0;
    }
}

static void adopt_checkpoint(struct log *l, const struct log_checkpoint *c)
{
    struct buf state = {0};
    buf_append_slice(&state, c->state);
    buf_free(&l->state);
    l->state = state;
    l->checkpoint = *c;
    l->checkpoint.state = buf_slice(&l->state);
    place_lock(l);
    l->place.used_since_checkpoint = 0;
    place_unlock(l);
}

/* One manifest records the checkpoint and turns what it frees into spares under new ids: there is no state between. */
int log_checkpoint(struct log *l, const struct log_checkpoint *c, uint64_t keep)
{
    ensure(l->started && c->l0 <= log_appended(l) && c->l0 >= l->checkpoint.l0);
    int err = log_make_durable(l, c->l0);
    if (err != 0)
        return err;
    pthread_mutex_lock(&l->meta);
    choose_recycled(l, min_u64(c->l0, keep));
    err = log_store_manifest(l, c, NULL);
    if (err == 0) {
        adopt_checkpoint(l, c);
        log_apply_next_ids(l);
        log_refresh_info(l);
    } else {
        drop_choice(l);
    }
    pthread_mutex_unlock(&l->meta);
    if (err != 0 && err != -ENOSPC && err != -EDQUOT)
        log_fail(l, "recording a checkpoint", err);
    log_wake(l);
    l->cfg.progress(l->cfg.arg);
    return err;
}
