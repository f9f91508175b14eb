/* Recovery and replay.
 *
 * What is on disk after a crash: segments whose frames below some point are whole, and above it anything: each 512
 * bytes of a frame may be there or not, later frames may be there without earlier ones, and segments may hold old
 * frames (of other ids). The manifest lists every segment that can hold a frame that counts.
 *
 * 1. Each listed segment is searched for its first valid frame; those that have one are sorted by it (log_find_firsts).
 * 2. All frames are walked. One is *accepted* if its prev is the end of the one accepted before it (for the first, if
 *    prev is not above `from`: then nothing between is missing). The first that is not ends the accepted log; but the
 *    walk goes on, over bad places too, because frames behind them say what was durable (scan_log).
 * 3. If the accepted log ends below what was durable, it is damaged, and nothing is touched. Else the rest is a tail.
 * 4. Accepted frames above known durable are copied into new segments, because they may be in the page cache only (and
 *    after a failed sync stay there for ever as if clean). The new segments are synced and not yet listed; they take
 *    unused spares, so that a full disk does not prevent a start (rewrite_tail).
 * 5. One new manifest lists them, closes the last kept segment at the cut, and gives everything behind the cut and all
 *    spares new ids. Before it, nothing has changed; after it, recovery is done: no state between (commit_recovery).
 * 6. Files that are not listed are removed, the closed segment is shortened. Both may be lost without harm. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log_impl.h"

/* --- 1. the first frames ---------------------------------------------------------------------------------------- */

static int find_first(struct log_segment *s)
{
    struct segment_reader r;
    int item = segment_reader_init(&r, s->file, s->id);
    if (item != 0)
        return item;
    s->size = r.size;
    item = segment_next(&r);
    if (item == SEGMENT_BAD || item == SEGMENT_BLANK)
        item = segment_resync(&r);
    s->first = item == SEGMENT_FRAME && r.frame.lsn < s->cut ? r.frame.lsn : LSN_NONE;
    segment_reader_free(&r);
    return item < 0 ? item : 0;
}

/* Spares stay open, the others are too many. */
static int examine_segment(struct log *l, struct log_segment *s, int flags, char *error)
{
    log_close_file(s);
    int err = log_open_file(l, s, flags);
    if (err == 0)
        err = find_first(s);
    if (s->first != LSN_NONE)
        log_close_file(s);
    if (err == -ENOENT) {
        snprintf(
            error, LOG_ERROR_BYTES,
            "%s/%s is missing, but the log's manifest lists it. Nothing has been changed. Put it back from a copy, or "
            "start from a replica or a backup",
            l->dir, s->name);
        return -EBADMSG;
    }
    if (err != 0)
        snprintf(error, LOG_ERROR_BYTES, "%s/%s cannot be read: %s", l->dir, s->name, strerror(-err));
    return err;
}

static int by_first(const void *a, const void *b)
{
    const struct log_segment *x = *(struct log_segment *const *)a, *y = *(struct log_segment *const *)b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void sort_segments(struct log *l)
{
    if (l->segment_count > 1)
        qsort(l->segments, l->segment_count, sizeof(struct log_segment *), by_first);
}

int log_find_firsts(struct log *l, int flags, char *error)
{
    for (size_t i = 0; i < l->segment_count; i++) {
        int err = examine_segment(l, l->segments[i], flags, error);
        if (err != 0)
            return err;
    }
    sort_segments(l);
    l->firsts_known = true;
    return 0;
}

static size_t count_used(const struct log *l)
{
    size_t n = 0;
    while (n < l->segment_count && l->segments[n]->first != LSN_NONE)
        n++;
    return n;
}

/* --- walking over the frames of all segments -------------------------------------------------------------------- */

struct walk {
    struct log *log;
    uint64_t from;
    size_t index, used; /* the segment being read, and how many there are */
    bool reading, own_file;
    struct segment_reader reader;
    uint64_t durable;  /* highest mark seen */
    uint64_t torn_len; /* payload of annotations that were whole in front of payloads that were not */
};

static struct walk walk_from(struct log *l, uint64_t from)
{
    return (struct walk){.log = l, .from = from, .used = count_used(l)};
}

static struct log_segment *walk_segment(const struct walk *w) { return w->log->segments[w->index]; }

static void walk_leave(struct walk *w)
{
    if (!w->reading)
        return;
    segment_reader_free(&w->reader);
    if (w->own_file)
        log_close_file(walk_segment(w));
    w->reading = false;
    w->index++;
}

/* 1, or 0 at the end, or a negative errno. */
static int walk_enter(struct walk *w)
{
    while (w->index + 1 < w->used && w->log->segments[w->index + 1]->first <= w->from)
        w->index++;
    if (w->index >= w->used)
        return 0;
    struct log_segment *s = walk_segment(w);
    w->own_file = s->file == NULL;
    int err = w->own_file ? log_open_file(w->log, s, FS_READ) : 0;
    if (err != 0)
        return err;
    err = segment_reader_init(&w->reader, s->file, s->id);
    w->reading = err == 0;
    if (err != 0 && w->own_file)
        log_close_file(s);
    return err != 0 ? err : 1;
}

/* The next item of the segment that counts: SEGMENT_FRAME, SEGMENT_END, or SEGMENT_BLANK for the end of the file. */
static int walk_item(struct walk *w)
{
    int item = segment_next(&w->reader);
    if (item == SEGMENT_BAD || item == SEGMENT_BLANK) {
        w->torn_len += w->reader.torn_len;
        item = segment_resync(&w->reader);
    }
    if (item == SEGMENT_FRAME && w->reader.frame.lsn >= walk_segment(w)->cut)
        return SEGMENT_BLANK;
    if (item == SEGMENT_FRAME)
        w->durable = max_u64(w->durable, w->reader.frame.durable);
    if (item == SEGMENT_END)
        w->durable = max_u64(w->durable, w->reader.end_durable);
    return item;
}

/* 1: w->reader has the next valid frame; 0: there is none; or a negative errno. */
static int walk_next(struct walk *w)
{
    for (;;) {
        int more = w->reading ? 1 : walk_enter(w);
        if (more <= 0)
            return more;
        int item = walk_item(w);
        if (item < 0 || item == SEGMENT_FRAME)
            return item < 0 ? item : 1;
        walk_leave(w);
    }
}

/* --- 2. which frames count -------------------------------------------------------------------------------------- */

/* The chain of frames above `from`. */
struct chain {
    uint64_t from;
    uint64_t tip; /* end of the last accepted one; LSN_NONE: none yet */
};

static bool chain_accepts(const struct chain *c, const struct frame_mark *m)
{
    return c->tip == LSN_NONE ? m->prev <= c->from : m->prev == c->tip;
}

struct scan {
    struct chain chain;
    bool broken;
    uint64_t last_end;        /* of the last frame on disk that counts, below `from` too; LSN_NONE: there is none */
    struct log_segment *last; /* that frame's segment, and the offset behind it */
    uint64_t last_off;
};

static void scan_frame(struct scan *s, const struct walk *w, struct log_recovery *r)
{
    const struct frame_mark *m = &w->reader.frame;
    bool below = frame_end(m) <= r->from;
    if (!below && (s->broken || !chain_accepts(&s->chain, m))) {
        s->broken = true;
        r->cut_bytes += m->len;
        return;
    }
    s->last_end = frame_end(m);
    s->last = walk_segment(w);
    s->last_off = w->reader.off;
    if (below)
        return;
    s->chain.tip = frame_end(m);
    r->frames++;
    r->bytes += m->len;
}

static int scan_log(struct log *l, struct log_recovery *r, struct scan *s)
{
    struct walk w = walk_from(l, r->from);
    *s = (struct scan){.chain = {.from = r->from, .tip = LSN_NONE}, .last_end = LSN_NONE};
    int more;
    while ((more = walk_next(&w)) == 1)
        scan_frame(s, &w, r);
    walk_leave(&w);
    r->known_durable = max_u64(max_u64(r->known_durable, w.durable), max_u64(r->from, l->mark_stored));
    r->cut_bytes += w.torn_len;
    return more;
}

/* --- 3. tail or damage ------------------------------------------------------------------------------------------ */

static int refuse(const struct log *l, const struct scan *s, uint64_t cut, uint64_t known, char *error)
{
    snprintf(error, LOG_ERROR_BYTES,
             "the log in %s is damaged: it can be read up to LSN %" PRIu64 " (%s, offset %" PRIu64
             "), but up to LSN %" PRIu64 " it was durable. Nothing has been changed. Put the file back from a copy, or "
             "start from a replica or a backup; kelvin-log_dump %s shows what can be read",
             l->dir, cut, s->last == NULL ? "no segment" : s->last->name, s->last_off, known, l->dir);
    return -EBADMSG;
}

/* --- 4. new segments -------------------------------------------------------------------------------------------- */

struct rewrite {
    struct log *log;
    uint64_t known; /* frames that end at or below it stay where they are */
    uint64_t cut;   /* frames at or above it do not count */
    struct log_segment *segment;
    uint64_t off;
    uint64_t first, prev;    /* LSN of the first copied frame (LSN_NONE: none), end of the last frame on disk */
    struct log_segment *old; /* where the first copied frame was, */
    uint64_t old_off;        /* and at which offset */
};

/* A spare that no frame was found in can be written at once: under its listed id it stays empty. */
static struct log_segment *find_unused(struct log *l, uint64_t size)
{
    for (size_t i = count_used(l); i < l->segment_count; i++)
        if (l->segments[i]->first == LSN_NONE && l->segments[i]->size >= size)
            return l->segments[i];
    return NULL;
}

static int make_segment(struct log *l, uint64_t size, struct log_segment **out)
{
    int err = log_create_segment(l, size, out);
    if (err != 0)
        return err;
    err = segment_zero((*out)->file, 0, size);
    if (err != 0)
        log_discard_segment(l, *out, true);
    else
        log_list_segment(l, *out);
    return err;
}

static int open_new_segment(struct rewrite *w, uint64_t need, uint64_t first)
{
    char header[SEGMENT_HEADER_BYTES];
    struct log *l = w->log;
    uint64_t size = max_u64(l->cfg.segment_bytes, need + SEGMENT_HEADER_BYTES + SEGMENT_END_BYTES);
    struct log_segment *s = find_unused(l, size);
    int err = s != NULL ? 0 : make_segment(l, size, &s);
    if (err != 0)
        return err;
    s->id = log_new_id(l);
    s->first = first;
    s->cut = LSN_NONE;
    w->segment = s;
    w->off = SEGMENT_HEADER_BYTES;
    segment_format_header(header, s->id, first);
    return fs_write_full(s->file, header, sizeof(header), 0);
}

static int close_new_segment(struct rewrite *w)
{
    char line[SEGMENT_END_BYTES];
    struct log_segment *s = w->segment;
    segment_format_end(line, w->prev, w->known, s->id);
    int err = fs_write_full(s->file, line, sizeof(line), w->off);
    if (err == 0)
        err = s->file->ops->sync(s->file);
    log_close_file(s);
    return err;
}

static int room_for(struct rewrite *w, uint64_t need, uint64_t lsn)
{
    if (w->segment != NULL && w->off + need + SEGMENT_END_BYTES <= w->segment->size)
        return 0;
    int err = w->segment == NULL ? 0 : close_new_segment(w);
    return err != 0 ? err : open_new_segment(w, need, lsn);
}

static int copy_frame(struct rewrite *w, const struct frame_mark *m, struct slice payload)
{
    char line[SEGMENT_FRAME_BYTES];
    int err = room_for(w, SEGMENT_FRAME_BYTES + payload.len, m->lsn);
    if (err != 0)
        return err;
    frame_format(line, m, w->segment->id, crc32c(0, payload.p, payload.len));
    struct iovec iov[2] = {{line, sizeof(line)}, {(void *)payload.p, payload.len}};
    err = fs_writev_full(w->segment->file, iov, 2, w->off);
    w->off += SEGMENT_FRAME_BYTES + payload.len;
    w->prev = frame_end(m);
    return err;
}

static int copy_if_above(struct rewrite *w, const struct walk *from)
{
    const struct frame_mark *m = &from->reader.frame;
    if (frame_end(m) <= w->known || m->lsn >= w->cut)
        return 0;
    if (w->first == LSN_NONE) {
        w->first = m->lsn;
        w->old = walk_segment(from);
        w->old_off = from->reader.item_off;
    }
    return copy_frame(w, m, from->reader.payload);
}

static int copy_frames(struct rewrite *w)
{
    if (w->cut <= w->known)
        return 0;
    struct walk from = walk_from(w->log, w->known);
    int more;
    while ((more = walk_next(&from)) == 1 && from.reader.frame.lsn < w->cut) {
        more = copy_if_above(w, &from);
        if (more != 0)
            break;
    }
    walk_leave(&from);
    return more < 0 ? more : 0;
}

/* Leaves w->segment, synced, as the one to go on in. */
static int rewrite_tail(struct rewrite *w, uint64_t end)
{
    int err = copy_frames(w);
    if (err == 0 && w->segment == NULL)
        err = open_new_segment(w, 0, end);
    if (err == 0)
        err = w->segment->file->ops->sync(w->segment->file);
    if (err == 0)
        err = w->log->cfg.fs->ops->sync_dir(w->log->cfg.fs, w->log->dir);
    return err;
}

/* --- 5. the new manifest ---------------------------------------------------------------------------------------- */

/* What was in use and begins at or behind the cut becomes a spare or goes; the last one kept is closed there. */
static void retire_segments(struct log *l, size_t used, uint64_t cut)
{
    struct log_segment *last = NULL;
    for (size_t i = 0; i < used; i++) {
        struct log_segment *s = l->segments[i];
        s->settled = true;
        s->end = min_u64(cut, i + 1 < used ? l->segments[i + 1]->first : cut);
        if (s->first < cut)
            last = s;
        else
            s->first = LSN_NONE;
    }
    if (last != NULL)
        last->cut = min_u64(last->cut, cut);
}

static void settle_new_segments(struct log *l, const struct rewrite *w)
{
    for (size_t i = 0; i < l->segment_count; i++) {
        struct log_segment *s = l->segments[i];
        if (s->first == LSN_NONE || s == w->segment || s->settled)
            continue;
        s->settled = true;
        s->end = w->prev; /* not below its real end: it is only compared with a checkpoint's cut */
    }
    l->place.active = w->segment;
    l->place.off = w->off;
}

static void choose_spares(struct log *l)
{
    unsigned spares = 0;
    for (size_t i = 0; i < l->segment_count; i++) {
        struct log_segment *s = l->segments[i];
        s->next_id = 0;
        if (s->first != LSN_NONE)
            continue;
        s->next_id = LSN_NONE;
        if (s->size != l->cfg.segment_bytes || spares >= LOG_SPARES_MAX / 2)
            continue;
        if (s->file == NULL && log_open_file(l, s, FS_WRITE) != 0)
            continue;
        s->next_id = log_new_id(l);
        spares++;
    }
}

static int commit_recovery(struct log *l, size_t used, const struct rewrite *w, uint64_t cut, uint64_t end)
{
    log_set_positions(l, end, w->prev);
    retire_segments(l, used, cut);
    settle_new_segments(l, w);
    choose_spares(l);
    int err = log_store_manifest(l, &l->checkpoint, NULL);
    if (err != 0)
        return err;
    log_apply_next_ids(l);
    sort_segments(l);
    log_publish_room(l);
    log_refresh_info(l);
    return 0;
}

/* --- 6. tidying ------------------------------------------------------------------------------------------------- */

struct leftovers {
    struct log *log;
    struct buf names; /* NUL-terminated, one after the other */
};

static int note_leftover(void *arg, const char *name)
{
    struct leftovers *left = arg;
    uint64_t number;
    if (!segment_name_parse(name, &number))
        return 0;
    for (size_t i = 0; i < left->log->segment_count; i++)
        if (strcmp(left->log->segments[i]->name, name) == 0)
            return 0;
    buf_append(&left->names, name, strlen(name) + 1);
    return 0;
}

static void remove_leftovers(struct log *l)
{
    struct leftovers left = {.log = l};
    (void)l->cfg.fs->ops->list(l->cfg.fs, l->dir, note_leftover, &left);
    for (size_t at = 0; at < left.names.len; at += strlen((char *)left.names.p + at) + 1) {
        struct buf path = log_path(l, (char *)left.names.p + at);
        (void)l->cfg.fs->ops->unlink(l->cfg.fs, (const char *)path.p);
        buf_free(&path);
    }
    buf_free(&left.names);
}

/* Gives the space behind the cut back. */
static void shorten(struct log *l, struct log_segment *s, uint64_t size)
{
    if (s->file != NULL || size >= s->size || log_open_file(l, s, FS_WRITE) != 0)
        return;
    if (s->file->ops->truncate(s->file, size) == 0)
        s->size = size;
    log_close_file(s);
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

/* No segment without a manifest, ever: see log_open. */
static int first_manifest(struct log *l)
{
    if (l->has_manifest)
        return 0;
    int err = log_store_manifest(l, &l->checkpoint, NULL);
    l->has_manifest = err == 0;
    return err;
}

static int rewrite_and_commit(struct log *l, const struct scan *s, struct log_recovery *r, uint64_t cut)
{
    size_t used = count_used(l);
    struct rewrite w = {.log = l,
                        .known = r->known_durable,
                        .cut = cut,
                        .first = LSN_NONE,
                        .prev = s->last_end == LSN_NONE ? cut : s->last_end,
                        .old = s->last,
                        .old_off = s->last_off};
    uint64_t prev = w.prev;
    int err = first_manifest(l);
    if (err == 0)
        err = rewrite_tail(&w, r->end);
    ensure(err != 0 || w.prev == prev);
    uint64_t closed = w.first == LSN_NONE ? cut : w.first;
    if (err == 0)
        err = commit_recovery(l, used, &w, closed, r->end);
    if (err != 0)
        return err;
    remove_leftovers(l);
    for (size_t i = 0; i < l->segment_count; i++)
        if (l->segments[i] == w.old && w.old->cut == closed)
            shorten(l, w.old, w.old_off);
    return 0;
}

int log_recover(struct log *l, struct log_recovery *r, char *error)
{
    struct scan s;
    ensure(!l->recovered);
    error[0] = '\0';
    r->frames = r->bytes = r->cut_bytes = 0;
    int err = log_find_firsts(l, FS_WRITE, error);
    if (err != 0)
        return err;
    if (!l->existed) /* a new log that starts above what is on flash */
        l->checkpoint.l0 = r->from;
    err = scan_log(l, r, &s);
    uint64_t cut = s.chain.tip == LSN_NONE ? r->from : s.chain.tip;
    if (err == 0 && cut < r->known_durable)
        return refuse(l, &s, cut, r->known_durable, error);
    r->end = l->stop == LSN_NONE ? cut : max_u64(cut, l->stop);
    if (err == 0)
        err = rewrite_and_commit(l, &s, r, cut);
    if (err != 0)
        snprintf(error, LOG_ERROR_BYTES, "the log in %s cannot be recovered: %s%s", l->dir, strerror(-err),
                 err == -ENOSPC ? " (one segment's space is needed)" : "");
    l->recovered = err == 0;
    return err;
}

/* --- replay ----------------------------------------------------------------------------------------------------- */

static int replay(struct log *l, struct walk *w, struct chain *c,
                  int (*frame)(void *arg, uint64_t lsn, struct slice payload), void *arg)
{
    int more;
    while ((more = walk_next(w)) == 1) {
        const struct frame_mark *m = &w->reader.frame;
        if (frame_end(m) <= c->from)
            continue;
        if (!chain_accepts(c, m))
            return l->recovered ? -EIO : 0;
        int result = frame(arg, m->lsn, w->reader.payload);
        if (result != 0)
            return result;
        c->tip = frame_end(m);
    }
    return more;
}

int log_replay(struct log *l, uint64_t from, int (*frame)(void *arg, uint64_t lsn, struct slice payload), void *arg)
{
    char error[LOG_ERROR_BYTES];
    ensure(!l->started);
    int err = l->firsts_known ? 0 : log_find_firsts(l, FS_READ, error);
    if (err != 0)
        return err;
    struct walk w = walk_from(l, from);
    struct chain c = {.from = from, .tip = LSN_NONE};
    int result = replay(l, &w, &c, frame, arg);
    walk_leave(&w);
    if (result == 0 && l->recovered && l->place.prev > from && c.tip != l->place.prev)
        return -EIO; /* what recovery has read cannot be read any more */
    return result;
}
