/* The log thread: syncs, prepares spare segments, keeps the manifest's mark. Its work is cut into turns (log_turn), so
 * that a simulation can take them one by one, and so that a sync never waits for more than one piece of preparing.
 *
 * A sync: note what is written and, of the same moment, which segments hold what is not yet durable; sync those, oldest
 * first; only then move `durable`. Frames that are written meanwhile are for the next one: this is the group commit.
 *
 * `durable` counts stream bytes, of unlogged frames too; what is recorded on disk is `durable_mark`, the end of the
 * last frame *on disk* at or below it. A mark that counted unlogged bytes would make recovery miss frames that never
 * were. */
#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log_impl.h"

#define PIECE_BYTES MIB     /* zeroed and synced at a time while a segment is prepared */
#define RETRY_US 100000     /* on a full disk */
#define MARK_IDLE_US 500000 /* without a sync before the manifest's mark is brought up to date */
#define EVERYSEC_US 1000000

/* --- sync ------------------------------------------------------------------------------------------------------- */

struct sync_plan {
    uint64_t target, mark;
    struct log_segment *first, *last;
};

/* Under the lock no frame can begin. The oldest frame still being written knows the end of the last logged one before
 * it; it may complete meanwhile, which only makes the plan modest. */
static struct sync_plan plan_sync(struct log *l)
{
    place_lock(l);
    struct sync_plan p = {
        .target = atomic_load_explicit(&l->appended, memory_order_relaxed),
        .mark = l->place.prev,
        .first = l->place.closed_head != NULL ? l->place.closed_head : l->place.active,
        .last = l->place.active,
    };
    for (unsigned i = 0; i < l->cfg.writers; i++) {
        uint64_t start = atomic_load(&l->writers[i].start);
        if (start < p.target) {
            p.target = start;
            p.mark = l->writers[i].prev;
        }
    }
    place_unlock(l);
    return p;
}

static struct log_segment *closed_after(struct log *l, const struct log_segment *s)
{
    place_lock(l);
    struct log_segment *next = s->next_closed;
    place_unlock(l);
    return next;
}

/* p->last may have been closed meanwhile, then the chain leads to it; else the chain ends and it is the last one. */
static int sync_segments(struct log *l, const struct sync_plan *p)
{
    for (struct log_segment *s = p->first; s != NULL && s != p->last; s = closed_after(l, s)) {
        int err = s->file->ops->sync(s->file);
        if (err != 0)
            return err;
    }
    return p->last->file->ops->sync(p->last->file);
}

/* The oldest closed segment, if the frame that closed it, and so its end mark, is complete and durable. */
static struct log_segment *pop_settled(struct log *l, uint64_t durable)
{
    place_lock(l);
    struct log_segment *s = l->place.closed_head;
    if (s != NULL && s->closed_at < durable) {
        l->place.closed_head = s->next_closed;
        if (l->place.closed_head == NULL)
            l->place.closed_tail = NULL;
    } else {
        s = NULL;
    }
    place_unlock(l);
    return s;
}

static void settle_segments(struct log *l, uint64_t durable)
{
    struct log_segment *s;
    while ((s = pop_settled(l, durable)) != NULL) {
        log_close_file(s);
        place_lock(l);
        s->settled = true;
        place_unlock(l);
    }
}

static void count_sync(struct log *l, uint64_t began, uint64_t now)
{
    uint64_t us = now - began;
    atomic_fetch_add(&l->syncs, 1);
    atomic_store(&l->sync_us_last, us);
    if (us > atomic_load(&l->sync_us_max))
        atomic_store(&l->sync_us_max, us);
    if (us > atomic_load(&l->sync_us_recent))
        atomic_store(&l->sync_us_recent, us);
    l->last_sync_us = now;
}

int log_sync(struct log *l)
{
    uint64_t began = clock_mono_us(l->cfg.clock);
    /* Cleared before the plan is made: a write that the plan misses finds it cleared and sets it again. */
    atomic_store(&l->syncing_since, atomic_exchange(&l->unsynced_since, 0));
    struct sync_plan p = plan_sync(l);
    if (p.mark > atomic_load(&l->durable_mark)) {
        int err = sync_segments(l, &p);
        if (err != 0) {
            log_fail(l, "a sync of the log", err);
            return err;
        }
        count_sync(l, began, clock_mono_us(l->cfg.clock));
    }
    ensure(p.target >= log_durable(l) && p.mark <= p.target);
    atomic_store(&l->durable_mark, p.mark);
    atomic_store_explicit(&l->durable, p.target, memory_order_release);
    atomic_store(&l->syncing_since, 0);
    settle_segments(l, p.target);
    l->cfg.progress(l->cfg.arg);
    return 0;
}

/* When the everysec sync has to start to be done in time, from how long the last one took. */
static uint64_t everysec_due(struct log *l)
{
    uint64_t since = atomic_load(&l->unsynced_since);
    if (since == 0 || !atomic_load(&l->everysec))
        return UINT64_MAX;
    uint64_t takes = 2 * atomic_load(&l->sync_us_last);
    return since + EVERYSEC_US - min_u64(EVERYSEC_US * 3 / 4, max_u64(EVERYSEC_US / 10, takes));
}

static bool has_closed_segment(struct log *l, uint64_t written)
{
    place_lock(l);
    bool closed = l->place.closed_head != NULL && l->place.closed_head->closed_at < written;
    place_unlock(l);
    return closed;
}

static bool sync_is_due(struct log *l, uint64_t now)
{
    uint64_t written = log_written(l);
    if (written > log_durable(l) && atomic_load(&l->want_durable) > log_durable(l)) {
        l->mark_due = true;
        return true;
    }
    return now >= everysec_due(l) || has_closed_segment(l, written);
}

/* --- spare segments --------------------------------------------------------------------------------------------- */

/* The size of the segment to prepare next, 0 if there is room enough: one to come, one in reserve, what was asked for.
 */
static uint64_t missing_segment(struct log *l)
{
    uint64_t want = atomic_load(&l->want_room);
    if (want != 0 && log_has_room(l, want, false)) {
        atomic_compare_exchange_strong(&l->want_room, &want, 0);
        want = 0;
    }
    place_lock(l);
    unsigned spares = l->place.spare_count;
    place_unlock(l);
    if (spares == LOG_SPARES_MAX)
        return 0;
    if (want > max_u64(l->capacity, atomic_load(&l->room_largest)))
        return want + SEGMENT_HEADER_BYTES + SEGMENT_END_BYTES;
    return spares < 2 || want != 0 ? l->cfg.segment_bytes : 0;
}

/* Room for a checkpoint stays free on the disk. */
static int begin_preparing(struct log *l, uint64_t size)
{
    uint64_t disk_free;
    int err = l->cfg.fs->ops->free_bytes(l->cfg.fs, l->dir, &disk_free);
    if (err == 0)
        atomic_store_explicit(&l->disk_free, disk_free, memory_order_relaxed);
    if (err == 0 && disk_free < size + l->cfg.reserve_bytes)
        return -ENOSPC;
    l->prepared_bytes = 0;
    return log_create_segment(l, size, &l->preparing);
}

static int zero_piece(struct log *l)
{
    struct log_segment *s = l->preparing;
    uint64_t n = min_u64(PIECE_BYTES, s->size - l->prepared_bytes);
    int err = segment_zero(s->file, l->prepared_bytes, n);
    if (err == 0)
        err = s->file->ops->sync(s->file);
    if (err == 0)
        l->prepared_bytes += n;
    return err;
}

/* The directory before the manifest: a listed file must exist. A manifest that could not be stored may be there all the
 * same, so the file stays and the manifest is tried again. */
static int list_prepared(struct log *l)
{
    if (pthread_mutex_trylock(&l->meta) != 0)
        return -EAGAIN;
    int err = l->cfg.fs->ops->sync_dir(l->cfg.fs, l->dir);
    if (err == 0)
        err = log_store_manifest(l, &l->checkpoint, l->preparing);
    if (err == 0) {
        log_list_segment(l, l->preparing);
        log_refresh_info(l);
        log_add_spare(l, l->preparing);
        l->preparing = NULL;
    }
    pthread_mutex_unlock(&l->meta);
    return err;
}

static int prepare_step(struct log *l, uint64_t size)
{
    if (l->preparing == NULL)
        return begin_preparing(l, size);
    if (l->prepared_bytes == l->preparing->size)
        return list_prepared(l);
    int err = zero_piece(l);
    if (err == -ENOSPC || err == -EDQUOT) {
        log_discard_segment(l, l->preparing, true);
        l->preparing = NULL;
    }
    return err;
}

static void note_disk_full(struct log *l, bool full)
{
    if (atomic_exchange(&l->disk_full, full) == full)
        return;
    if (full)
        logger_line(l->cfg.logger, LOG_WARNING, "log: no disk space for another segment in %s: writes will be refused",
                    l->dir);
    else
        logger_line(l->cfg.logger, LOG_NOTICE, "log: there is disk space again");
    l->cfg.progress(l->cfg.arg);
}

/* True if there may be more to do at once. */
static bool prepare_turn(struct log *l, uint64_t now)
{
    uint64_t size = l->preparing != NULL ? l->preparing->size : missing_segment(l);
    if (size == 0) {
        note_disk_full(l, false);
        return false;
    }
    if (now < l->prepare_at_us)
        return false;
    int err = prepare_step(l, size);
    if (err == 0 && l->preparing != NULL)
        return true;
    atomic_fetch_add(&l->attempts, 1);
    if (err != 0)
        l->prepare_at_us = now + RETRY_US;
    if (err == -EAGAIN)
        return false;
    if (err != 0 && err != -ENOSPC && err != -EDQUOT) {
        log_fail(l, "preparing a segment of the log", err);
        return false;
    }
    note_disk_full(l, err != 0);
    l->cfg.progress(l->cfg.arg);
    return err == 0;
}

/* --- turns ------------------------------------------------------------------------------------------------------ */

static uint64_t mark_due_at(const struct log *l)
{
    if (!l->mark_due || atomic_load(&l->durable_mark) <= atomic_load(&l->mark_stored))
        return UINT64_MAX;
    return l->last_sync_us + MARK_IDLE_US;
}

/* After a burst of explicit syncs no later frame says that the last ones were durable; the manifest does. */
static void store_mark(struct log *l)
{
    if (pthread_mutex_trylock(&l->meta) != 0)
        return;
    int err = log_store_manifest(l, &l->checkpoint, NULL);
    pthread_mutex_unlock(&l->meta);
    if (err == 0 || err == -ENOSPC || err == -EDQUOT)
        l->mark_due = false;
    else
        log_fail(l, "writing the log's manifest", err);
}

uint64_t log_turn(struct log *l)
{
    uint64_t now = clock_mono_us(l->cfg.clock);
    if (atomic_load(&l->failed))
        return UINT64_MAX;
    if (sync_is_due(l, now))
        return log_sync(l) == 0 ? 0 : UINT64_MAX;
    if (prepare_turn(l, now))
        return 0;
    if (now >= mark_due_at(l))
        store_mark(l);
    uint64_t next = min_u64(everysec_due(l), mark_due_at(l));
    if (l->preparing != NULL || missing_segment(l) != 0)
        next = min_u64(next, l->prepare_at_us);
    return next == UINT64_MAX ? next : next - min_u64(next, now);
}

static void sleep_until_woken(struct log *l, uint32_t seen, uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    atomic_store(&l->asleep, 1);
    syscall(SYS_futex, &l->wake, FUTEX_WAIT_PRIVATE, seen, us == UINT64_MAX ? NULL : &t, NULL, 0);
    atomic_store(&l->asleep, 0);
}

void *log_thread_main(void *arg)
{
    struct log *l = arg;
    while (!atomic_load(&l->stopping)) {
        uint32_t seen = atomic_load(&l->wake);
        uint64_t us = log_turn(l);
        if (us > 0)
            sleep_until_woken(l, seen, us);
    }
    return NULL;
}
