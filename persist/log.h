/* The log: one ordered stream of effects in RESP, at once append-only file and (later) replication stream.
 * DESIGN section 4 is the specification; this is the interface.
 *
 * LSN: byte position in the stream of frame payloads; annotations do not count. Segments live in `dir`
 * (appendonlydir/), the manifest beside them.
 *
 * On disk (all text, so that a segment up to its end mark is a readable AOF; fixed-width fields so that the file offset
 * of a frame follows from what came before it):
 *   segment header  #KELVIN-SEGMENT v1 id=<16 hex> first=<16 hex LSN>\r\n        padded to a fixed length
 *   frame           #F lsn=<16 hex> len=<8 hex> prev=<16 hex> durable=<16 hex> head=<8 hex> crc=<8 hex>\r\n  payload
 *   end mark        #E lsn=<16 hex> durable=<16 hex> crc=<8 hex>\r\n
 * prev is the end LSN of the frame before it *on disk* (frames of unlogged databases take LSNs but are not written),
 * durable the highest such end LSN known durable when it was made, crc a CRC-32C over lsn, len, prev, durable, payload
 * and the segment's id, head the same without the payload (persist/segment.h has the details, persist/README.md the
 * reasons). Recycled segments hold old frames behind the new tail: their id is wrong, so their CRC is.
 *
 * Threads: log_append by `writers` threads, each with its own index, one call at a time each; positions and requests by
 * any thread; one log thread, owned by this file, syncs and prepares segments. */
#ifndef PERSIST_LOG_H
#define PERSIST_LOG_H

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/logger.h"
#include "core/base/rng.h"

struct log;

struct log_config {
    struct fs *fs;
    struct clock *clock;
    struct entropy *entropy;
    struct logger *logger;
    const char *dir;        /* made if missing */
    uint64_t segment_bytes; /* preallocated size of a segment, e.g. 64 MiB */
    uint64_t reserve_bytes; /* space kept for deletions, expiry and checkpoints on a full disk */
    unsigned writers;
    bool threadless; /* no log thread is started: the owner calls log_turn (simulation, single-threaded tests) */
    /* Called by the log thread after durable or written-related state moved: the owner wakes who waits. */
    void (*progress)(void *arg);
    /* A failed fsync or write: never retried. The owner lets nothing more out and ends the process. Log thread or
     * writer. */
    void (*fatal)(void *arg, const char *what, int error);
    void *arg;
};

/* What the manifest records beside segments. `state` is opaque here: space map, modes, functions (persist/checkpoint).
 */
struct log_checkpoint {
    uint64_t l0; /* replay starts here; all effects below are on flash */
    struct slice state;
    char replid[41], replid2[41]; /* history ids (section 8) and the limit of the second */
    uint64_t replid2_limit;
};

enum log_mark { LOG_MARK_NONE, LOG_MARK_CLEAN_STOP };

/* Opens or creates. Reads and checks the manifest; does not yet read frames. Negative errno, or -EBADMSG for a damaged
 * manifest; *error (caller's buffer of 512 bytes) says what is wrong and what can be done. */
int log_open(struct log **out, const struct log_config *cfg, char *error) must_check;
/* Whether the directory held a log, and what its last completed checkpoint recorded (borrowed until the next
 * checkpoint). */
bool log_existed(const struct log *l);
const struct log_checkpoint *log_last_checkpoint(const struct log *l);
/* LSN of a clean stop if the manifest says the last run ended cleanly, else UINT64_MAX. */
uint64_t log_clean_stop(const struct log *l);

struct log_recovery {
    uint64_t from;          /* in: L0 */
    uint64_t known_durable; /* in: highest stamp on flash of a logged database (0 if none); raised by marks found */
    uint64_t end;           /* out: the LSN the log continues at */
    uint64_t frames, bytes; /* out */
    uint64_t cut_bytes;     /* out: bytes of torn tail given up */
};
/* Scans all frames at or above `from`: checks them, finds the tail and known durable, decides tail or corruption
 * (-EBADMSG with `error` naming LSN, file and remedies; nothing is changed then), closes the cut segment durably in the
 * manifest, opens a new segment with a new id, rewrites into it and fsyncs the frames above known durable. After this
 * the log can be appended to at r->end, and everything replayed is durable. Idempotent (I9). */
int log_recover(struct log *l, struct log_recovery *r, char *error) must_check;
/* Calls `frame` for every logged frame with end > from, in order. Payload borrowed during the call. Stops at the first
 * non-zero result and returns it. Any time after log_recover and before the first append, single-threaded; and, for
 * tools, after log_open alone (then it stops quietly at a bad frame). */
int log_replay(struct log *l, uint64_t from, int (*frame)(void *arg, uint64_t lsn, struct slice payload),
               void *arg) must_check;
/* Makes the history ids durable in the manifest (replid2 "": none). After log_recover, before log_start. Nothing has
 * changed after an error. */
int log_set_history(struct log *l, const char *replid, const char *replid2, uint64_t replid2_limit) must_check;
/* Starts the log thread. After log_recover. Removes the clean-stop mark durably before the first append. */
int log_start(struct log *l, char *error) must_check;
/* What the log thread does in one round: a sync if one is due, else a piece of preparing segments, else the manifest's
 * mark. Returns in how many microseconds it wants to be called again: 0 at once, UINT64_MAX when something was asked
 * for. For owners of a `threadless` log; one thread at a time. */
uint64_t log_turn(struct log *l);
/* Stops the log thread after a last sync of everything; `mark` CLEAN_STOP records it in the manifest. Frees l. */
void log_close(struct log *l, enum log_mark mark);

/* Appends one frame: gives it its LSN and file place in one short step, and writes it with one pwrite unless `logged`
 * is false (then it takes LSNs only). Returns the frame's end LSN. Room must have been admitted (log_admit); a frame
 * larger than a segment is allowed if admitted. `iov` pieces are borrowed during the call. */
uint64_t log_append(struct log *l, unsigned writer, const struct iovec *iov, int n, size_t len, bool logged);

uint64_t log_appended(const struct log *l); /* relaxed reads of atomics, any thread */
uint64_t log_written(const struct log *l);  /* everything below is in the kernel: survives a kill */
uint64_t log_durable(const struct log *l);

/* Someone waits for durable >= lsn: the log thread syncs as soon as it can (group commit). Any thread, cheap; does
 * nothing if durable or already asked for. */
void log_want_durable(struct log *l, uint64_t lsn);
/* A sync is due at the latest one second after the first write behind the last one (everysec). On by default;
 * `os`-only servers turn it off. Any thread. */
void log_set_everysec(struct log *l, bool on);
/* Whether an everysec write has to wait: there is unsynced data and no sync has completed for a second more than due.
 * `now_us` is the log's clock, of just now. */
bool log_lagging(const struct log *l, uint64_t now_us);

enum log_room { LOG_ROOM_OK, LOG_ROOM_WAIT, LOG_ROOM_FULL };
/* Whether a write of about `bytes` payload may run now; count in what the caller has staged and not yet appended.
 * Nothing is promised to one caller alone: writers admitted at once may overdraw a little, into the reserve.
 * WAIT: space is being prepared, ask again after `progress`. FULL: the disk is full (say -MISCONF); `reserved`
 * (deletions, expiry) may use the reserve. Any thread; cost: a few relaxed loads when there is room. */
enum log_room log_admit(struct log *l, size_t bytes, bool reserved);

/* Waits until the log is durable up to `lsn` (<= appended). 0, or -EIO: it never will be. Blocking. */
int log_make_durable(struct log *l, uint64_t lsn) must_check;
/* A completed checkpoint: makes the log durable up to l0 (a frame boundary, <= appended), records it durably in the
 * manifest, then recycles or removes segments that lie wholly below min(l0, keep). -ENOSPC: nothing has changed, try
 * again. Blocking (call from a background thread). */
int log_checkpoint(struct log *l, const struct log_checkpoint *c, uint64_t keep) must_check;
/* For the decision to make the next one: bytes of log since the last checkpoint's L0, and bytes that the disk had free
 * when the last segment was prepared; 0 when there was no room for one. Any thread. */
uint64_t log_since_checkpoint(const struct log *l);
uint64_t log_disk_free(const struct log *l);

struct log_info {
    uint64_t segments, segment_bytes, syncs, sync_us_last, sync_us_max, frames, first_lsn;
    bool disk_full;
};
void log_info(const struct log *l, struct log_info *out);
/* The longest fsync since the last question, in microseconds; 0: none. */
uint64_t log_sync_us_recent(struct log *l);

#endif
