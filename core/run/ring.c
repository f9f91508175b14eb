/* What the kernel (6.0 and later) and liburing (2.3 and later) want done. */
#include "core/run/ring.h"

#include <assert.h>
#include <errno.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

#define SQ_ENTRIES 512
#define PAGE 4096
#define NEEDED_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP)

/* Linux 6.15; not in every liburing. */
#define ENTER_NO_IOWAIT (1U << 7)
#define FEATURE_NO_IOWAIT (1U << 17)

/* The kernel wants whole pages for the ring of buffers. */
static_assert(sizeof(struct io_uring_buf) * RING_BUFS <= PAGE, "one page is enough");

void ring_init(struct ring *r)
{
    *r = (struct ring){.buf_ring = mem_alloc_aligned(PAGE, PAGE)};
    for (unsigned id = 0; id < RING_BUFS; id++)
        r->bufs[id] = rbuf_new(RING_BUF_BYTES);
}

void ring_free(struct ring *r)
{
    ring_close(r);
    for (unsigned id = 0; id < RING_BUFS; id++)
        rbuf_unref(r->bufs[id]);
    mem_free_aligned(r->buf_ring, PAGE, PAGE);
}

/* --- provided buffers --- */

static void provide(struct ring *r, unsigned id)
{
    int mask = io_uring_buf_ring_mask(RING_BUFS);
    io_uring_buf_ring_add(r->buf_ring, r->bufs[id]->data, RING_BUF_BYTES, (unsigned short)id, mask, 0);
    io_uring_buf_ring_advance(r->buf_ring, 1);
}

/* liburing 2.3 has no io_uring_setup_buf_ring. */
static int register_buffers(struct ring *r)
{
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)r->buf_ring, .ring_entries = RING_BUFS};
    int err = io_uring_register_buf_ring(&r->uring, &reg, 0);
    if (err < 0)
        return err;
    io_uring_buf_ring_init(r->buf_ring);
    for (unsigned id = 0; id < RING_BUFS; id++)
        provide(r, id);
    return 0;
}

void ring_prep_recv(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
}

struct rbuf *ring_buf(const struct ring *r, const struct io_uring_cqe *cqe)
{
    return cqe->flags & IORING_CQE_F_BUFFER ? r->bufs[cqe->flags >> IORING_CQE_BUFFER_SHIFT] : NULL;
}

void ring_recycle(struct ring *r, const struct io_uring_cqe *cqe)
{
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    if (unlikely(atomic_load_explicit(&r->bufs[id]->refs, memory_order_acquire) != 1)) {
        rbuf_unref(r->bufs[id]);
        r->bufs[id] = rbuf_new(RING_BUF_BYTES);
    }
    provide(r, id);
}

/* --- its life --- */

void ring_close(struct ring *r)
{
    if (r->open)
        io_uring_queue_exit(&r->uring);
    r->open = r->bound = false;
}

/* SINGLE_ISSUER came with 6.0, as multishot receive did. DEFER_TASKRUN (6.1): completions are made only when we enter
 * to get them, in a batch; COOP_TASKRUN: at least without interrupting us. SUBMIT_ALL: one bad entry does not keep the
 * others. */
static int set_up(struct io_uring *uring)
{
    static const unsigned styles[] = {IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN};
    int err = -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(styles) && err == -EINVAL; i++) {
        struct io_uring_params p = {.cq_entries = RING_CQ_ENTRIES};
        p.flags = styles[i] | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                  IORING_SETUP_CQSIZE;
        err = io_uring_queue_init_params(SQ_ENTRIES, uring, &p);
    }
    return err;
}

/* A thread that waits in io_uring_enter counts as waiting for a disk: an idle server would show as 100 % iowait, unless
 * the kernel can be asked not to. */
int ring_open(struct ring *r)
{
    int err = set_up(&r->uring);
    if (err < 0)
        return err;
    r->open = true;
    r->enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (r->uring.features & FEATURE_NO_IOWAIT)
        r->enter_flags |= ENTER_NO_IOWAIT;
    err = (r->uring.features & NEEDED_FEATURES) == NEEDED_FEATURES ? register_buffers(r) : -ENOSYS;
    if (err < 0)
        ring_close(r);
    return err;
}

/* Enabling makes the thread the single issuer. (liburing 2.3 declares io_uring_enable_rings, but its library does not
 * export it.) Registering the ring's fd spares a look-up in every enter; it is known to this thread only. */
int ring_bind(struct ring *r)
{
    int err = r->open ? 0 : ring_open(r);
    if (err == 0)
        err = io_uring_register((unsigned)r->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (err < 0)
        return err;
    if (io_uring_register_ring_fd(&r->uring) == 1)
        r->enter_flags |= IORING_ENTER_REGISTERED_RING;
    r->thread = pthread_self();
    r->bound = true;
    return 0;
}

/* --- the queues --- */

/* Publishes the queued entries; their number. (liburing does the same inside its submit functions, none of which takes
 * the flags that ring_enter wants.) Without a kernel thread that polls the queue the order of the stores does not
 * matter: the kernel reads them inside our own system call. */
static unsigned publish(struct io_uring *uring)
{
    uring->sq.sqe_head = uring->sq.sqe_tail;
    IO_URING_WRITE_ONCE(*uring->sq.ktail, uring->sq.sqe_tail);
    return uring->sq.sqe_tail - *uring->sq.khead;
}

int ring_enter(struct ring *r, unsigned wait_for, struct __kernel_timespec *ts)
{
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)ts};
    int n = io_uring_enter2((unsigned)r->uring.enter_ring_fd, publish(&r->uring), wait_for, r->enter_flags,
                            (sigset_t *)&arg, sizeof(arg));
    return n >= 0 || n == -ETIME || n == -EINTR || n == -EAGAIN || n == -EBUSY ? 0 : n;
}

struct io_uring_sqe *ring_entry(struct ring *r)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&r->uring)) == NULL)
        ensure(ring_enter(r, 0, NULL) == 0);
    return sqe;
}

static void queue_cancel(struct ring *r, uint64_t token, int flags)
{
    struct io_uring_sqe *sqe = ring_entry(r);
    io_uring_prep_cancel64(sqe, token, flags);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = RING_NOBODY;
}

void ring_cancel(struct ring *r, uint64_t token) { queue_cancel(r, token, 0); }

void ring_cancel_all(struct ring *r) { queue_cancel(r, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL); }
