/* What the files of the log share: log.c (append, positions, room), log_thread.c (sync, spare segments), log_files.c
 * (the set of segments, manifest, checkpoint), log_open.c (start and stop), log_recover.c (recovery, replay). Nobody
 * else includes this.
 *
 * A segment's life:
 *
 *         prepare_step        place_frame          place_frame           log_sync            log_checkpoint
 *  (file) -------------> SPARE ------------> ACTIVE -------------> CLOSED -----------> SETTLED ------------> removed
 *            zeroed,       ^    first frame          no room:              durable past    |
 *            synced,       |    and header           end mark              the frame that  |
 *            listed        |                         written               closed it       |
 *                          '----------------- recycled, under a new id --------------------'
 *
 * Every state but (file) is listed in the manifest, a spare from before its first use: so a switch of segments costs no
 * write of the manifest, and recovery finds frames in whatever is listed. Which of the listed ones are in use, and
 * their order, the frames themselves say.
 *
 * Locks, in the order they are taken: `meta` (a mutex; held over writes of the manifest, never taken by a writer), then
 * `place` (a spin lock; held for some dozens of instructions, never over a call that blocks). */
#ifndef PERSIST_LOG_IMPL_H
#define PERSIST_LOG_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "persist/log.h"
#include "persist/manifest.h"
#include "persist/segment.h"

#define LOG_SPARES_MAX 32
#define LOG_ERROR_BYTES 512

struct log_segment {
    char name[SEGMENT_NAME_MAX];
    uint64_t id, size;
    struct file *file; /* NULL once settled */
    /* Under `place` once the log is started. */
    uint64_t first;     /* LSN of its first frame; LSN_NONE: a spare */
    uint64_t end;       /* end LSN of its last frame; set when closed */
    uint64_t closed_at; /* LSN of the frame that opened the next segment; LSN_NONE until then */
    bool settled;       /* no writer touches it any more, and all of it is durable */
    struct log_segment *next_closed;
    /* Under `meta`. */
    uint64_t cut;     /* recovery has cut here: frames at or above do not count; LSN_NONE */
    uint64_t next_id; /* what log_checkpoint is about to make of it: 0 keeps it, LSN_NONE removes it, else recycles */
};

struct log_writer {
    _Atomic uint64_t start; /* LSN of the frame being written; LSN_NONE: none */
    uint64_t prev;          /* that frame's prev; under `place` */
} cache_aligned;

struct log {
    /* Immutable after log_open (existed), log_recover (recovered), log_start (started). */
    struct log_config cfg;
    char *dir;
    size_t dir_bytes;
    uint64_t capacity; /* payload and annotation bytes that a segment of the usual size can take */
    uint64_t slack;    /* what writers that were admitted at the same moment may overdraw */
    bool existed, has_manifest, recovered, started;
    bool firsts_known;

    /* Where the next frame goes. */
    struct {
        atomic_flag lock;
        uint64_t prev; /* end LSN of the last frame placed on disk */
        uint64_t off;  /* in `active` */
        struct log_segment *active;
        struct log_segment *spares[LOG_SPARES_MAX];
        unsigned spare_count;
        struct log_segment *closed_head, *closed_tail; /* closed and not settled, oldest first */
        uint64_t used_since_checkpoint;                /* segments that became active */
    } place cache_aligned;
    _Atomic uint64_t appended;
    /* Copies of the above for log_admit. */
    _Atomic uint64_t room_active, room_spare, room_largest;
    struct log_writer *writers;

    /* Written by the log thread. */
    _Atomic uint64_t durable cache_aligned;
    _Atomic uint64_t durable_mark;  /* end LSN of the last frame on disk at or below durable */
    _Atomic uint64_t syncing_since; /* when the oldest write that the running sync covers was made; 0: none runs */
    _Atomic bool disk_full;
    _Atomic uint64_t disk_free; /* see log_disk_free */
    _Atomic uint64_t attempts;  /* at preparing a segment, that have ended */
    _Atomic uint64_t syncs, sync_us_last, sync_us_max, sync_us_recent;

    /* Requests to the log thread. */
    _Atomic uint64_t want_durable cache_aligned;
    _Atomic uint64_t want_room;      /* for a frame of so many bytes */
    _Atomic uint64_t unsynced_since; /* when the oldest write was made that no sync covers yet; 0: none */
    _Atomic bool everysec, stopping, failed;
    _Atomic uint32_t wake, asleep;
    pthread_t thread;

    /* The log thread's own. */
    struct log_segment *preparing;
    uint64_t prepared_bytes, prepare_at_us;
    uint64_t last_sync_us;
    bool mark_due; /* an explicitly wanted sync has happened since the manifest's mark was written */

    /* Under `meta`. */
    pthread_mutex_t meta;
    struct log_segment **segments; /* everything listed in the manifest */
    size_t segment_count, segment_cap;
    uint64_t next_number;         /* of a segment's name */
    _Atomic uint64_t mark_stored; /* written under `meta` */
    uint64_t stop;
    struct log_checkpoint checkpoint;
    struct buf state; /* what checkpoint.state points to */

    /* For log_info and log_since_checkpoint. */
    _Atomic uint64_t info_segments, info_bytes, info_first, info_l0, info_frames;
};

void log_lock_slow(struct log *l);
static inline void place_lock(struct log *l)
{
    if (atomic_flag_test_and_set_explicit(&l->place.lock, memory_order_acquire))
        log_lock_slow(l);
}
static inline void place_unlock(struct log *l) { atomic_flag_clear_explicit(&l->place.lock, memory_order_release); }

/* log.c */
/* Under `place`: makes room and spares visible to log_admit. */
void log_publish_room(struct log *l);
bool log_has_room(const struct log *l, uint64_t need, bool reserved);
/* For log_open: positions of a log at `end`, whose last frame on disk ends at `prev`, all of it durable. */
void log_set_positions(struct log *l, uint64_t end, uint64_t prev);
/* The end of the log's life: tells the owner, once. */
void log_fail(struct log *l, const char *what, int error);
void log_wake(struct log *l);
/* Raises *a to at least `v`. True if it did. */
bool log_raise(_Atomic uint64_t *a, uint64_t v);

/* log_thread.c */
int log_sync(struct log *l)
    must_check; /* everything written is durable if 0; else log_fail was called. Log thread only */
void *log_thread_main(void *arg);

/* log_files.c: segments as files, and the manifest. Under `meta`, or before log_start. */
struct buf log_path(const struct log *l, const char *name); /* dir/name as a string; the caller frees with buf_free */
uint64_t log_new_id(struct log *l);
/* s->file must be NULL. */
int log_open_file(struct log *l, struct log_segment *s, int flags) must_check;
void log_close_file(struct log_segment *s);
struct log_segment *log_new_segment(void);
/* A new file of `size` bytes with blocks reserved, not yet zeroed, not listed. On failure nothing is left behind. */
int log_create_segment(struct log *l, uint64_t size, struct log_segment **out) must_check;
/* Closes, and if `unlink` removes the file of, a segment that the manifest does not list; frees it. */
void log_discard_segment(struct log *l, struct log_segment *s, bool unlink);
void log_list_segment(struct log *l, struct log_segment *s);
void log_add_spare(struct log *l, struct log_segment *s);
/* Writes the manifest as the structures have it, with checkpoint `c`, plus `extra` if not NULL. */
int log_store_manifest(struct log *l, const struct log_checkpoint *c, const struct log_segment *extra) must_check;
/* Does to every listed segment what its next_id says, after a manifest that says so was stored. */
void log_apply_next_ids(struct log *l);
void log_refresh_info(struct log *l);

/* log_recover.c: after log_open: finds the first frame of each listed segment and sorts them by it, spares last. */
int log_find_firsts(struct log *l, int flags, char *error) must_check;

#endif
