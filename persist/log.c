/* The log as its writers see it: appending, the positions, room. log.h is the interface, log_impl.h the shared
 * structures and a segment's life.
 *
 * Appending is one short step under a spin lock that gives a frame its LSN and its place in a file (both follow from
 * payload lengths alone), and then one write outside the lock. There is no queue and no ring: a writer announces the
 * LSN it is writing in its own cache line, and
 *
 *     written = min(appended, every writer's announced start)
 *
 * Correctness: a writer announces before `appended` moves past its frame, and withdraws after the write has returned. A
 * reader loads `appended` first, so a frame below that value was announced before; if the reader finds it withdrawn,
 * it is written; else its start bounds the result. Hence everything below `written` is in the kernel, without holes,
 * although frames complete in any order.
 *
 * A failed write leaves its announcement standing, so `written` never passes it; `failed` stops later frames from
 * taking places, so no other announcement can replace it. */
#include "persist/log.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log_impl.h"

#define APPEND_IOV_INLINE 64
#define LAG_US 2000000 /* a second until the sync is due, and one more */

/* --- small tools ------------------------------------------------------------------------------------------------ */

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The holder may have lost its core: spin briefly, then let it run. */
void log_lock_slow(struct log *l)
{
    for (unsigned spins = 1; atomic_flag_test_and_set_explicit(&l->place.lock, memory_order_acquire); spins++) {
        cpu_relax();
        if (spins % 128 == 0)
            sched_yield();
    }
}

bool log_raise(_Atomic uint64_t *a, uint64_t v)
{
    uint64_t old = atomic_load(a);
    while (old < v)
        if (atomic_compare_exchange_weak(a, &old, v))
            return true;
    return false;
}

void log_wake(struct log *l)
{
    atomic_fetch_add(&l->wake, 1);
    if (atomic_load(&l->asleep) != 0)
        syscall(SYS_futex, &l->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void log_fail(struct log *l, const char *what, int error)
{
    if (atomic_exchange(&l->failed, true))
        return;
    logger_line(l->cfg.logger, LOG_WARNING, "log: %s failed: %s. Nothing that was not durable is acknowledged any more",
                what, strerror(-error));
    l->cfg.fatal(l->cfg.arg, what, error);
}

/* --- placing ---------------------------------------------------------------------------------------------------- */

struct place {
    struct log_segment *segment;
    uint64_t off; /* of the annotation */
    struct frame_mark mark;
    struct log_segment *closed; /* the segment that this frame found full, or NULL */
    uint64_t closed_off;        /* where its end mark goes */
    uint64_t closed_end;
};

void log_publish_room(struct log *l)
{
    uint64_t sum = 0, largest = 0;
    for (unsigned i = 0; i < l->place.spare_count; i++) {
        uint64_t room = l->place.spares[i]->size - SEGMENT_HEADER_BYTES - SEGMENT_END_BYTES;
        sum += room;
        largest = max_u64(largest, room);
    }
    uint64_t active = l->place.active->size - l->place.off - SEGMENT_END_BYTES;
    atomic_store_explicit(&l->room_active, active, memory_order_relaxed);
    atomic_store_explicit(&l->room_spare, sum, memory_order_relaxed);
    atomic_store_explicit(&l->room_largest, largest, memory_order_relaxed);
}

/* The smallest spare that takes `need` bytes leaves the big ones to the big frames. NULL if none does. */
static struct log_segment *take_spare(struct log *l, uint64_t need)
{
    unsigned best = l->place.spare_count;
    for (unsigned i = 0; i < l->place.spare_count; i++) {
        uint64_t size = l->place.spares[i]->size;
        if (size >= need + SEGMENT_HEADER_BYTES + SEGMENT_END_BYTES &&
            (best == l->place.spare_count || size < l->place.spares[best]->size))
            best = i;
    }
    if (best == l->place.spare_count)
        return NULL;
    struct log_segment *s = l->place.spares[best];
    l->place.spares[best] = l->place.spares[--l->place.spare_count];
    return s;
}

/* Closes the active segment, for the frame that is about to start at `lsn`, and opens a spare. False if none fits. */
static bool switch_segment(struct log *l, uint64_t need, uint64_t lsn, struct place *p)
{
    struct log_segment *next = take_spare(l, need);
    if (next == NULL)
        return false;
    struct log_segment *old = l->place.active;
    old->end = l->place.prev;
    old->closed_at = lsn;
    if (l->place.closed_tail == NULL)
        l->place.closed_head = old;
    else
        l->place.closed_tail->next_closed = old;
    l->place.closed_tail = old;
    p->closed = old;
    p->closed_off = l->place.off;
    p->closed_end = old->end;
    next->first = lsn;
    l->place.active = next;
    l->place.used_since_checkpoint++;
    l->place.off = SEGMENT_HEADER_BYTES;
    return true;
}

static void take_place(struct log *l, struct log_writer *w, uint64_t lsn, size_t len, struct place *p)
{
    p->segment = l->place.active;
    p->off = l->place.off;
    ensure(p->off + SEGMENT_FRAME_BYTES + len + SEGMENT_END_BYTES <= p->segment->size);
    p->mark = (struct frame_mark){.lsn = lsn,
                                  .len = (uint32_t)len,
                                  .prev = l->place.prev,
                                  .durable = atomic_load_explicit(&l->durable_mark, memory_order_relaxed)};
    w->prev = l->place.prev;
    atomic_store_explicit(&w->start, lsn, memory_order_relaxed); /* before appended: see the top */
    l->place.prev = lsn + len;
    l->place.off += SEGMENT_FRAME_BYTES + len;
    atomic_fetch_add_explicit(&l->info_frames, 1, memory_order_relaxed);
    log_publish_room(l);
    atomic_store_explicit(&l->appended, lsn + len, memory_order_release);
}

/* -ENOSPC: no segment has room. -EIO: the log has failed. */
static int place_frame(struct log *l, unsigned writer, size_t len, struct place *p)
{
    uint64_t need = SEGMENT_FRAME_BYTES + len;
    int err = 0;
    p->closed = NULL;
    place_lock(l);
    uint64_t lsn = atomic_load_explicit(&l->appended, memory_order_relaxed);
    bool fits = l->place.off + need + SEGMENT_END_BYTES <= l->place.active->size;
    if (atomic_load_explicit(&l->failed, memory_order_relaxed))
        err = -EIO;
    else if (!fits && !switch_segment(l, need, lsn, p))
        err = -ENOSPC;
    else
        take_place(l, &l->writers[writer], lsn, len, p);
    place_unlock(l);
    return err;
}

/* An admitted frame finds no room: others were admitted at the same moment and were faster. Segments are being
 * prepared; this thread waits for one. False: the disk is full and the reserve used up, or the log has failed. */
static bool wait_for_segment(struct log *l, uint64_t need)
{
    uint64_t attempts = atomic_load(&l->attempts);
    log_raise(&l->want_room, need);
    for (;;) {
        if (l->cfg.threadless)
            (void)log_turn(l);
        else
            log_wake(l);
        if (atomic_load(&l->failed))
            return false;
        if (need <= max_u64(atomic_load(&l->room_active), atomic_load(&l->room_largest)))
            return true;
        if (atomic_load(&l->disk_full) && atomic_load(&l->attempts) >= attempts + 2)
            return false;
        l->cfg.clock->sleep_us(l->cfg.clock, 200);
    }
}

static int find_place(struct log *l, unsigned writer, size_t len, struct place *p)
{
    int err;
    while ((err = place_frame(l, writer, len, p)) == -ENOSPC)
        if (!wait_for_segment(l, SEGMENT_FRAME_BYTES + len))
            break;
    if (err == -ENOSPC)
        log_fail(l, "finding room for an admitted write", err);
    return err;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static int write_end_mark(const struct place *p)
{
    char line[SEGMENT_END_BYTES];
    segment_format_end(line, p->closed_end, p->mark.durable, p->closed->id);
    return fs_write_full(p->closed->file, line, sizeof(line), p->closed_off);
}

/* A segment's first frame brings the header along. */
static int write_frame(const struct place *p, const struct iovec *iov, int n, uint32_t payload_crc)
{
    char header[SEGMENT_HEADER_BYTES], annotation[SEGMENT_FRAME_BYTES];
    struct iovec few[APPEND_IOV_INLINE + 2];
    size_t bytes = ((size_t)n + 2) * sizeof(*iov);
    struct iovec *all = n <= APPEND_IOV_INLINE ? few : mem_alloc(bytes);
    bool fresh = p->off == SEGMENT_HEADER_BYTES;
    segment_format_header(header, p->segment->id, p->mark.lsn);
    frame_format(annotation, &p->mark, p->segment->id, payload_crc);
    all[0] = (struct iovec){header, sizeof(header)};
    all[1] = (struct iovec){annotation, sizeof(annotation)};
    memcpy(all + 2, iov, (size_t)n * sizeof(*iov));
    int err = fresh ? fs_writev_full(p->segment->file, all, n + 2, 0)
                    : fs_writev_full(p->segment->file, all + 1, n + 1, p->off);
    if (all != few)
        mem_free(all, bytes);
    return err;
}

/* Withdraws the announcement and tells the log thread what it may be waiting for. The order matters: a sync that did
 * not see this frame as written began before the withdrawal, so the loads here see what it has left to be done. */
static void finish_frame(struct log *l, struct log_writer *w, uint64_t lsn)
{
    atomic_store(&w->start, LSN_NONE);
    bool wake = atomic_load(&l->want_durable) > lsn;
    if (atomic_load(&l->everysec) && atomic_load(&l->unsynced_since) == 0) {
        atomic_store(&l->unsynced_since, max_u64(1, clock_mono_us(l->cfg.clock)));
        wake = true;
    }
    if (wake)
        log_wake(l);
}

static uint64_t append_unlogged(struct log *l, size_t len)
{
    place_lock(l);
    uint64_t end = atomic_load_explicit(&l->appended, memory_order_relaxed) + len;
    if (!atomic_load_explicit(&l->failed, memory_order_relaxed))
        atomic_store_explicit(&l->appended, end, memory_order_release);
    place_unlock(l);
    return end;
}

uint64_t log_append(struct log *l, unsigned writer, const struct iovec *iov, int n, size_t len, bool logged)
{
    struct place p;
    ensure(l->started && writer < l->cfg.writers && len > 0 && len <= UINT32_MAX);
    if (!logged)
        return append_unlogged(l, len);
    uint32_t crc = 0;
    size_t sum = 0;
    for (int i = 0; i < n; sum += iov[i++].iov_len)
        crc = crc32c(crc, iov[i].iov_base, iov[i].iov_len);
    ensure(sum == len);
    if (find_place(l, writer, len, &p) != 0)
        return log_appended(l) + len;
    int err = p.closed == NULL ? 0 : write_end_mark(&p);
    if (err == 0)
        err = write_frame(&p, iov, n, crc);
    if (err != 0)
        log_fail(l, "a write to the log", err);
    else
        finish_frame(l, &l->writers[writer], p.mark.lsn);
    if (p.closed != NULL)
        log_wake(l);
    return frame_end(&p.mark);
}

/* --- positions -------------------------------------------------------------------------------------------------- */

uint64_t log_appended(const struct log *l) { return atomic_load_explicit(&l->appended, memory_order_acquire); }

uint64_t log_written(const struct log *l)
{
    uint64_t lsn = atomic_load_explicit(&l->appended, memory_order_acquire);
    for (unsigned i = 0; i < l->cfg.writers; i++)
        lsn = min_u64(lsn, atomic_load_explicit(&l->writers[i].start, memory_order_acquire));
    return lsn;
}

uint64_t log_durable(const struct log *l) { return atomic_load_explicit(&l->durable, memory_order_acquire); }

void log_set_positions(struct log *l, uint64_t end, uint64_t prev)
{
    ensure(prev <= end);
    l->place.prev = prev;
    atomic_store(&l->appended, end);
    atomic_store(&l->durable, end);
    atomic_store(&l->durable_mark, prev);
}

void log_want_durable(struct log *l, uint64_t lsn)
{
    if (log_durable(l) < lsn && log_raise(&l->want_durable, lsn))
        log_wake(l);
}

void log_set_everysec(struct log *l, bool on)
{
    if (atomic_exchange(&l->everysec, on) == on || !on)
        return;
    uint64_t none = 0;
    atomic_compare_exchange_strong(&l->unsynced_since, &none, max_u64(1, clock_mono_us(l->cfg.clock)));
    log_wake(l);
}

bool log_lagging(const struct log *l, uint64_t now_us)
{
    uint64_t since = atomic_load(&l->syncing_since);
    if (since == 0)
        since = atomic_load(&l->unsynced_since);
    return since != 0 && atomic_load(&l->everysec) && now_us > since + LAG_US;
}

uint64_t log_since_checkpoint(const struct log *l)
{
    uint64_t l0 = atomic_load_explicit(&l->info_l0, memory_order_relaxed);
    return log_appended(l) - l0;
}

uint64_t log_disk_free(const struct log *l)
{
    return atomic_load(&l->disk_full) ? 0 : atomic_load_explicit(&l->disk_free, memory_order_relaxed);
}

/* --- room ------------------------------------------------------------------------------------------------------- */

/* One segment stays reserved, and a frame that does not fit into what is left of the active segment wastes that. */
bool log_has_room(const struct log *l, uint64_t need, bool reserved)
{
    uint64_t active = atomic_load_explicit(&l->room_active, memory_order_relaxed);
    uint64_t spare = atomic_load_explicit(&l->room_spare, memory_order_relaxed);
    uint64_t keep = reserved ? 0 : l->capacity + l->slack;
    if (need <= active)
        return active + spare >= need + keep;
    return need <= atomic_load_explicit(&l->room_largest, memory_order_relaxed) && spare >= need + keep;
}

enum log_room log_admit(struct log *l, size_t bytes, bool reserved)
{
    uint64_t need = SEGMENT_FRAME_BYTES + bytes;
    if (likely(log_has_room(l, need, reserved)))
        return LOG_ROOM_OK;
    log_raise(&l->want_room, need);
    log_wake(l);
    return atomic_load(&l->disk_full) ? LOG_ROOM_FULL : LOG_ROOM_WAIT;
}

uint64_t log_sync_us_recent(struct log *l) { return atomic_exchange(&l->sync_us_recent, 0); }

void log_info(const struct log *l, struct log_info *out)
{
    *out = (struct log_info){
        .segments = atomic_load(&l->info_segments),
        .segment_bytes = atomic_load(&l->info_bytes),
        .syncs = atomic_load(&l->syncs),
        .sync_us_last = atomic_load(&l->sync_us_last),
        .sync_us_max = atomic_load(&l->sync_us_max),
        .frames = atomic_load(&l->info_frames),
        .first_lsn = atomic_load(&l->info_first),
        .disk_full = atomic_load(&l->disk_full),
    };
}
