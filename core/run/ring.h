/* An io_uring with a ring of provided buffers, as the io_uring loop needs it: how it is set up, entered and bound to a
 * thread. It knows requests only by their tokens. Owned by one thread: the one that called ring_bind. */
#ifndef RUN_RING_H
#define RUN_RING_H

#include <liburing.h>
#include <pthread.h>

#include "core/run/loop.h"

#define RING_CQ_ENTRIES 4096
#define RING_BUFS 128 /* provided buffers, a power of two: 2 MiB a loop */
#define RING_BUF_BYTES 16384
#define RING_NOBODY 0 /* token of a completion that nobody waits for */

struct ring {
    struct io_uring uring;
    bool open, bound;
    pthread_t thread; /* that it is bound to */
    unsigned enter_flags;
    struct io_uring_buf_ring *buf_ring;
    struct rbuf *bufs[RING_BUFS];
};

void ring_init(struct ring *r);
void ring_free(struct ring *r);

/* Makes a ring that is not enabled yet (any thread may). 0 or a negative errno: not here, or not with all it needs. */
int ring_open(struct ring *r) must_check;
/* The calling thread becomes the ring's; opens it if it is not. 0 or a negative errno. */
int ring_bind(struct ring *r) must_check;
/* No request may be under way, unless nobody cares. */
void ring_close(struct ring *r);

/* The one system call: submits all that is queued, runs deferred work, waits for `wait_for` completions (0: does not
 * wait) for at most ts (NULL: for ever). 0 or a negative errno; time that ran out, signals, a full completion queue,
 * and a kernel short of memory (which leaves entries queued for the next time) are no errors. */
int ring_enter(struct ring *r, unsigned wait_for, struct __kernel_timespec *ts) must_check;
/* A new entry at the end of the submission queue, to be prepared and given its token (user_data, after preparing). */
struct io_uring_sqe *ring_entry(struct ring *r);
/* Queues: the request with this token completes soon, with -ECANCELED or with what it had done; if it is gone already,
 * nothing happens. */
void ring_cancel(struct ring *r, uint64_t token);
void ring_cancel_all(struct ring *r);

/* Makes an entry a multishot receive that takes provided buffers. */
void ring_prep_recv(struct io_uring_sqe *sqe, int fd);
/* The provided buffer that a completion names, NULL if none. Ours until ring_recycle. */
struct rbuf *ring_buf(const struct ring *r, const struct io_uring_cqe *cqe);
/* Gives the kernel that buffer back, or a new one in its place if somebody holds a reference. */
void ring_recycle(struct ring *r, const struct io_uring_cqe *cqe);

#endif
