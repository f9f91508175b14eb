/* The io_uring backend (Linux 6.0 and later; 6.1 for deferred task work).
 *
 * Design. A loop has one ring and one ring of provided buffers. Every connection has at most two requests in the
 * kernel: a receive and a send. The receive is a multishot one, which picks a provided buffer whenever bytes arrive: an
 * idle connection holds no buffer. Only towards a large target (conn_set_target) the receive is a single-shot one
 * straight into it. What handlers and the owner ask for becomes submission entries; loop_poll hands all of them over in
 * the same io_uring_enter that waits for completions. A listener has one multishot accept; the wake-up is a read of an
 * eventfd.
 *
 *           attach / accept
 *                 |                             cancel (pause, set_target), or the kernel ends it (no F_MORE)
 *                 v                            .-------------------------------->.
 *    .------ [attached] ------start----> [receiving]                         [at rest]
 *    |            |                       |      |  '<----------arm_recv----------'
 *  detach         |                       |      |
 *    |            |                       |      '-- 0 or an error: `ended`, nothing is armed any more --.
 *    v            | close                 | close                                                        |
 *  (the fd)       |                       v                                             close            |
 *                 '------------------> [closed] <--------------------------------------------------------'
 *                                         | both requests have completed (on_recv, on_sent -> settle)
 *                                         v
 *                                     [graveyard]: the fd is closed; freed at the end of a poll
 *
 * Invariants.
 *  - `receiving` and `sending` are true exactly while the kernel owes a last completion for that request; `inflight`
 *    counts those of the whole loop. A connection is not freed, and its fd not closed, before both are false: neither a
 *    completion nor an entry that is still queued can meet a freed connection or an fd number that was given to
 * another.
 *  - A request whose end is wanted is cancelled by its token (the connection's address and the kind of request). A
 *    cancel that comes too late may hit the next request of the same kind; whoever finds -ECANCELED therefore looks at
 *    the state and arms again if that is what it says.
 *  - No handler runs outside loop_poll and loop_leave, and nothing is freed while handlers run (graveyard).
 *
 * Who owns what until when. Bytes of conn_send belong to the kernel while `sending`; a target while `receiving` and
 * `direct`; `released` is called when neither holds. A provided buffer belongs to the kernel from ring_recycle() to the
 * completion that names it. Few bytes are copied out into a small rbuf; with many the handler gets the buffer itself.
 * Should it keep it, the buffer becomes an ordinary one, which any thread may free, and the kernel gets a new one in
 * its place. So nothing has to find its way back to the loop, and clients that keep half a request forever cannot
 * starve the others of buffers.
 *
 * Thread. A ring with SINGLE_ISSUER serves only the thread that enabled it, and loops are created, and closed at the
 * end, by another thread than the one that runs them. So the ring is created disabled; the first loop_poll binds it to
 * its thread and arms whatever was asked for before. loop_leave takes all requests back and closes the ring; the next
 * loop_poll, of whatever thread, makes a new one and goes on.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/run/loop.h"
#include "core/run/ring.h"

#define DIRECT_MIN (64 * KIB)     /* smaller targets are filled by copying: not worth a cancel and two receives */
#define LEN_MAX ((size_t)1 << 30) /* an entry's length has 32 bits */
#define IOV_CAP 64
#define BUSY_RECEIVES 8 /* a poll that brought so many: sends are worth a batch */

/* What a completion belongs to: the low bits of its token; the others are the address of the owner. */
enum kind { KIND_NOBODY = RING_NOBODY, KIND_WAKE, KIND_ACCEPT, KIND_RECV, KIND_SEND };
#define KIND_MASK 7ull

/* The pieces of a send that has several; borrowed from the loop's pool while the send is outstanding. */
struct pieces {
    struct pieces *next;
    struct msghdr msg;
    struct iovec iov[IOV_CAP];
};

struct uring_conn {
    struct conn base;
    struct uring_conn *next, *prev;                   /* all connections of the loop; `next` also in the graveyard */
    bool started, paused, eof, ended, closed, buried; /* ended: failed; eof: nothing more is received */
    bool receiving, direct, sending;
    uint8_t *target;
    size_t target_len;
    struct iovec *iov; /* what is left of the outstanding send: `piece` or inside `pieces` */
    int iov_n;         /* 0: none outstanding */
    struct iovec piece;
    struct pieces *pieces;
    void (*released)(void *arg);
    void *released_arg;
};

struct listener {
    struct listener *next, *prev; /* of the loop; `next` also in the graveyard */
    struct loop *loop;
    int fd;
    bool accepting, closed, broken;
    const struct listener_handlers *handlers;
    void *arg;
};

struct uring_loop {
    struct loop base;
    struct ring ring;
    bool leaving;
    unsigned inflight;
    unsigned receives; /* completions with bytes in this poll, or in the last one */
    int wake_fd, reserve_fd;
    uint64_t wakes; /* what the read of the eventfd fills */
    struct uring_conn *conns, *graveyard;
    struct listener *listeners, *dead_listeners;
    struct pieces *spare_pieces;
};

static struct uring_loop *loop_of(struct conn *c) { return (struct uring_loop *)c->loop; }

/* --- requests --- */

static uint64_t token_of(const void *owner, enum kind kind) { return (uint64_t)(uintptr_t)owner | kind; }

static bool can_arm(const struct uring_loop *l) { return l->ring.bound && !l->leaving; }

static void queued(struct uring_loop *l, struct io_uring_sqe *sqe, uint64_t token)
{
    sqe->user_data = token;
    l->inflight++;
}

static void arm_wake(struct uring_loop *l)
{
    if (!can_arm(l))
        return;
    struct io_uring_sqe *sqe = ring_entry(&l->ring);
    io_uring_prep_read(sqe, l->wake_fd, &l->wakes, sizeof(l->wakes), 0);
    queued(l, sqe, KIND_WAKE);
}

static void arm_accept(struct listener *ln)
{
    struct uring_loop *l = (struct uring_loop *)ln->loop;
    if (!can_arm(l) || ln->accepting || ln->closed || ln->broken)
        return;
    struct io_uring_sqe *sqe = ring_entry(&l->ring);
    io_uring_prep_multishot_accept(sqe, ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ln->accepting = true;
    queued(l, sqe, token_of(ln, KIND_ACCEPT));
}

static void arm_recv(struct uring_conn *c)
{
    struct uring_loop *l = loop_of(&c->base);
    if (!can_arm(l) || c->receiving || !c->started || c->paused || c->eof || c->closed)
        return;
    struct io_uring_sqe *sqe = ring_entry(&l->ring);
    c->direct = c->target_len >= DIRECT_MIN;
    if (c->direct)
        io_uring_prep_recv(sqe, c->base.fd, c->target, min_u64(c->target_len, LEN_MAX), 0);
    else
        ring_prep_recv(sqe, c->base.fd);
    c->receiving = true;
    queued(l, sqe, token_of(c, KIND_RECV));
}

/* MSG_WAITALL: the kernel continues short sends by itself. */
static void arm_send(struct uring_conn *c)
{
    struct uring_loop *l = loop_of(&c->base);
    int flags = MSG_NOSIGNAL | MSG_WAITALL;
    if (!can_arm(l) || c->sending || c->iov_n == 0 || c->ended || c->closed)
        return;
    struct io_uring_sqe *sqe = ring_entry(&l->ring);
    if (c->iov_n == 1) {
        io_uring_prep_send(sqe, c->base.fd, c->iov->iov_base, min_u64(c->iov->iov_len, LEN_MAX), flags);
    } else {
        c->pieces->msg = (struct msghdr){.msg_iov = c->iov, .msg_iovlen = (size_t)c->iov_n};
        io_uring_prep_sendmsg(sqe, c->base.fd, &c->pieces->msg, (unsigned)flags);
    }
    c->sending = true;
    queued(l, sqe, token_of(c, KIND_SEND));
    l->base.stats.send_calls++;
}

/* --- creation and the thread --- */

/* The calling thread becomes the loop's; what was asked for before is armed. */
static int bind_thread(struct uring_loop *l)
{
    int err = ring_bind(&l->ring);
    if (err < 0)
        return err;
    arm_wake(l);
    for (struct listener *ln = l->listeners; ln != NULL; ln = ln->next)
        arm_accept(ln);
    for (struct uring_conn *c = l->conns; c != NULL; c = c->next) {
        arm_recv(c);
        arm_send(c);
    }
    return 0;
}

static void uring_destroy(struct loop *base);
static int probe(struct uring_loop *l);

static int uring_create(struct loop **out)
{
    struct uring_loop *l = mem_zalloc(sizeof(*l));
    int err;
    l->base.ops = &loop_uring_ops;
    /* Not EFD_NONBLOCK: a read that io_uring is asked for on such a file fails at once instead of waiting. */
    l->wake_fd = eventfd(0, EFD_CLOEXEC);
    l->reserve_fd = net_reserve();
    ring_init(&l->ring);
    err = l->wake_fd < 0 ? -errno : probe(l);
    if (err == 0)
        err = ring_open(&l->ring);
    if (err < 0)
        uring_destroy(&l->base);
    else
        *out = &l->base;
    return err;
}

static void bury(struct uring_loop *l)
{
    while (l->graveyard != NULL) {
        struct uring_conn *c = l->graveyard;
        l->graveyard = c->next;
        mem_free(c, sizeof(*c));
    }
    while (l->dead_listeners != NULL) {
        struct listener *ln = l->dead_listeners;
        l->dead_listeners = ln->next;
        mem_free(ln, sizeof(*ln));
    }
}

static void free_memory(struct uring_loop *l)
{
    while (l->spare_pieces != NULL) {
        struct pieces *p = l->spare_pieces;
        l->spare_pieces = p->next;
        mem_free(p, sizeof(*p));
    }
    ring_free(&l->ring);
    mem_free(l, sizeof(*l));
}

static void uring_wake(struct loop *base)
{
    struct uring_loop *l = (struct uring_loop *)base;
    uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof(one));
    (void)n; /* it fails only when 2^64 - 2 wake-ups have not been read */
}

/* --- the end of a connection --- */

static void return_pieces(struct uring_conn *c)
{
    struct uring_loop *l = loop_of(&c->base);
    if (c->pieces == NULL)
        return;
    c->pieces->next = l->spare_pieces;
    l->spare_pieces = c->pieces;
    c->pieces = NULL;
}

/* A closed connection: gives the owner its memory back as soon as the kernel does not touch it, and goes to the
 * graveyard when the kernel owes nothing any more. Only then the fd is closed: requests hold the socket open anyway. */
static void settle(struct uring_conn *c)
{
    struct uring_loop *l = loop_of(&c->base);
    void (*released)(void *arg) = c->released;
    bool kernel_reads = c->sending, kernel_writes = c->receiving && c->direct;

    if (!c->sending && !c->receiving && !c->buried) {
        c->buried = true;
        return_pieces(c);
        list_remove(l->conns, c);
        close(c->base.fd);
        c->next = l->graveyard;
        l->graveyard = c;
    }
    if (released != NULL && !kernel_reads && !kernel_writes) {
        c->released = NULL;
        released(c->released_arg);
    }
}

static void uring_close(struct conn *base, void (*released)(void *arg), void *arg)
{
    struct uring_conn *c = (struct uring_conn *)base;
    struct uring_loop *l = loop_of(base);
    ensure(!c->closed);
    c->closed = true;
    c->released = released;
    c->released_arg = arg;
    if (c->sending)
        ring_cancel(&l->ring, token_of(c, KIND_SEND));
    if (c->receiving)
        ring_cancel(&l->ring, token_of(c, KIND_RECV));
    settle(c);
}

static void fail(struct uring_conn *c, int error)
{
    if (c->ended || c->closed || (c->eof && error == 0))
        return;
    c->eof = true;
    c->ended = error != 0;
    c->base.handlers->ended(&c->base, error);
}

/* --- receiving --- */

static void filled(struct uring_conn *c, size_t n)
{
    c->target += n;
    c->target_len -= n;
    c->base.handlers->received(&c->base, NULL, 0, n);
}

static size_t copy_to_target(struct uring_conn *c, const uint8_t *p, size_t len)
{
    size_t n = min_u64(len, c->target_len);
    memcpy(c->target, p, n);
    filled(c, n);
    return n;
}

/* Bytes in a provided buffer. A target may have been set since the receive was armed. */
static void deliver(struct uring_conn *c, struct rbuf *b, size_t len)
{
    size_t off = 0;
    while (off < len && c->target_len > 0 && !c->closed)
        off += copy_to_target(c, b->data + off, len - off);
    if (off < len && !c->closed)
        conn_received(&c->base, b, off, len - off);
}

static void take_bytes(struct uring_conn *c, const struct io_uring_cqe *cqe)
{
    struct uring_loop *l = loop_of(&c->base);
    l->receives++;
    l->base.stats.recv_calls++;
    l->base.stats.recv_bytes += (uint64_t)cqe->res;
    if (c->closed || c->ended)
        return;
    struct rbuf *b = ring_buf(&l->ring, cqe);
    if (b != NULL)
        deliver(c, b, (size_t)cqe->res);
    else
        filled(c, (size_t)cqe->res);
}

/* -ENOBUFS: more arrived in one turn than there are buffers. All of them are with us, in completions of this turn, and
 * are given back before the entry that arms the receive again reaches the kernel. */
static bool recv_goes_on(int res)
{
    return res > 0 || res == -ECANCELED || res == -ENOBUFS || res == -EAGAIN || res == -EINTR;
}

static void on_recv(struct uring_conn *c, const struct io_uring_cqe *cqe)
{
    struct uring_loop *l = loop_of(&c->base);
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        c->receiving = false;
        l->inflight--;
    }
    if (cqe->res > 0)
        take_bytes(c, cqe);
    if (cqe->flags & IORING_CQE_F_BUFFER)
        ring_recycle(&l->ring, cqe);
    if (!recv_goes_on(cqe->res))
        fail(c, cqe->res);
    if (c->receiving)
        return;
    if (c->closed)
        settle(c);
    else
        arm_recv(c);
}

static void uring_set_target(struct conn *base, void *p, size_t len)
{
    struct uring_conn *c = (struct uring_conn *)base;
    ensure(c->target_len == 0);
    c->target = p;
    c->target_len = len;
    if (c->receiving && len >= DIRECT_MIN)
        ring_cancel(&loop_of(base)->ring, token_of(c, KIND_RECV));
}

static void uring_pause(struct conn *base, bool paused)
{
    struct uring_conn *c = (struct uring_conn *)base;
    if (paused && !c->paused && c->receiving)
        ring_cancel(&loop_of(base)->ring, token_of(c, KIND_RECV));
    c->paused = paused;
    arm_recv(c);
}

/* --- sending --- */

static void send_on(struct uring_conn *c)
{
    if (c->iov_n > 0) {
        arm_send(c);
    } else {
        return_pieces(c);
        c->base.handlers->drained(&c->base);
    }
}

static bool send_goes_on(int res) { return res >= 0 || res == -ECANCELED || res == -EAGAIN || res == -EINTR; }

static void on_sent(struct uring_conn *c, const struct io_uring_cqe *cqe)
{
    struct uring_loop *l = loop_of(&c->base);
    c->sending = false;
    l->inflight--;
    if (cqe->res >= 0) {
        l->base.stats.sent_bytes += (uint64_t)cqe->res;
        net_consume(&c->iov, &c->iov_n, (size_t)cqe->res);
    }
    if (c->closed)
        settle(c);
    else if (!send_goes_on(cqe->res))
        fail(c, cqe->res);
    else
        send_on(c);
}

/* What the socket takes at once. Errors are left to the request that follows. */
static void send_now(struct uring_conn *c)
{
    struct uring_loop *l = loop_of(&c->base);
    struct msghdr msg = {.msg_iov = c->iov, .msg_iovlen = (size_t)c->iov_n};
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t n = c->iov_n == 1
                    ? send(c->base.fd, c->iov->iov_base, c->iov->iov_len, flags)
                    : sendmsg(c->base.fd, &msg, flags); /* dearer: the kernel reads its arguments by copying */
    l->base.stats.send_calls++;
    if (n >= 0) {
        l->base.stats.sent_bytes += (uint64_t)n;
        net_consume(&c->iov, &c->iov_n, (size_t)n);
    }
}

static struct pieces *take_pieces(struct uring_loop *l)
{
    struct pieces *p = l->spare_pieces;
    if (p == NULL)
        return mem_alloc(sizeof(*p));
    l->spare_pieces = p->next;
    return p;
}

/* A queued send costs no system call of its own, but its completion ends the wait of the poll that submits it, so that
 * another poll has to follow. In a loop with little to do that is dearer than a send(2) now. */
static void uring_send(struct conn *base, const struct iovec *iov, int n)
{
    struct uring_conn *c = (struct uring_conn *)base;
    ensure(c->iov_n == 0 && !c->sending && n > 0 && n <= IOV_CAP);
    if (n > 1)
        c->pieces = take_pieces(loop_of(base));
    c->iov = n > 1 ? c->pieces->iov : &c->piece;
    c->iov_n = n;
    memcpy(c->iov, iov, sizeof(*iov) * (size_t)n);
    if (loop_of(base)->receives < BUSY_RECEIVES)
        send_now(c);
    send_on(c);
}

/* --- accepting --- */

static int uring_attach(struct loop *base, int fd, struct conn **out)
{
    struct uring_loop *l = (struct uring_loop *)base;
    struct uring_conn *c = mem_zalloc(sizeof(*c));
    c->base.ops = &loop_uring_ops;
    c->base.loop = base;
    c->base.fd = fd;
    list_push(l->conns, c);
    *out = &c->base;
    return 0;
}

static void uring_start(struct conn *base, const struct conn_handlers *h, void *arg)
{
    struct uring_conn *c = (struct uring_conn *)base;
    base->handlers = h;
    base->arg = arg;
    c->started = true;
    arm_recv(c);
}

static int uring_detach(struct conn *base)
{
    struct uring_conn *c = (struct uring_conn *)base;
    int fd = base->fd;
    ensure(!c->started && !c->closed);
    list_remove(loop_of(base)->conns, c);
    mem_free(c, sizeof(*c));
    return fd;
}

static int uring_listen(struct loop *base, int fd, const struct listener_handlers *h, void *arg, struct listener **out)
{
    struct uring_loop *l = (struct uring_loop *)base;
    struct listener *ln = mem_zalloc(sizeof(*ln));
    ln->loop = base;
    ln->fd = fd;
    ln->handlers = h;
    ln->arg = arg;
    list_push(l->listeners, ln);
    *out = ln;
    arm_accept(ln);
    return 0;
}

static void unlink_listener(struct uring_loop *l, struct listener *ln)
{
    list_remove(l->listeners, ln);
    ln->next = l->dead_listeners;
    l->dead_listeners = ln;
}

/* The request holds the listening socket open even after its owner has closed it: the cancel is not left to the next
 * poll. */
static void uring_unlisten(struct listener *ln)
{
    struct uring_loop *l = (struct uring_loop *)ln->loop;
    ln->closed = true;
    if (ln->accepting) {
        ring_cancel(&l->ring, token_of(ln, KIND_ACCEPT));
        ensure(ring_enter(&l->ring, 0, NULL) == 0);
    } else {
        unlink_listener(l, ln);
    }
}

static void accept_failed(struct uring_loop *l, struct listener *ln, int error)
{
    if (error == -EMFILE || error == -ENFILE)
        net_shed(&l->reserve_fd, ln->fd);
    else if (error == -EBADF || error == -EINVAL || error == -ENOTSOCK || error == -EOPNOTSUPP)
        ln->broken = true; /* it will not get better */
    else
        return;
    ln->handlers->failed(ln, error, ln->arg);
}

static void take_conn(struct uring_loop *l, struct listener *ln, int fd)
{
    struct conn *c;
    if (ln->closed) {
        close(fd);
        return;
    }
    uring_attach(&l->base, fd, &c);
    ln->handlers->accepted(ln, c, ln->arg);
}

static void on_accept(struct uring_loop *l, struct listener *ln, const struct io_uring_cqe *cqe)
{
    bool last = !(cqe->flags & IORING_CQE_F_MORE);
    if (cqe->res >= 0)
        take_conn(l, ln, cqe->res);
    else if (!ln->closed)
        accept_failed(l, ln, cqe->res);
    if (!last)
        return;
    ln->accepting = false;
    l->inflight--;
    if (ln->closed)
        unlink_listener(l, ln);
    else
        arm_accept(ln);
}

/* --- the turn --- */

static void dispatch(struct uring_loop *l, const struct io_uring_cqe *cqe)
{
    void *owner = (void *)(uintptr_t)(cqe->user_data & ~KIND_MASK);
    switch ((enum kind)(cqe->user_data & KIND_MASK)) {
    case KIND_RECV:
        on_recv(owner, cqe);
        break;
    case KIND_SEND:
        on_sent(owner, cqe);
        break;
    case KIND_ACCEPT:
        on_accept(l, owner, cqe);
        break;
    case KIND_WAKE:
        l->inflight--;
        arm_wake(l);
        break;
    case KIND_NOBODY: /* a cancel that found nothing */
        break;
    }
}

/* Runs the handlers of all completions that are there. The kernel may add some meanwhile (when the submission queue ran
 * full): a bounded number. */
static int reap(struct uring_loop *l)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    l->receives = 0;
    io_uring_for_each_cqe(&l->ring.uring, head, cqe)
    {
        dispatch(l, cqe);
        if (++n == RING_CQ_ENTRIES)
            break;
    }
    io_uring_cq_advance(&l->ring.uring, n);
    return (int)n;
}

/* No system call when there are completions and nothing to submit. */
static int wait_for_events(struct uring_loop *l, int64_t timeout_us)
{
    struct __kernel_timespec ts = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    bool ready = io_uring_cq_ready(&l->ring.uring) > 0;
    if (ready && io_uring_sq_ready(&l->ring.uring) == 0)
        return 0;
    return ring_enter(&l->ring, ready || timeout_us == 0 ? 0 : 1, timeout_us < 0 ? NULL : &ts);
}

static int uring_poll(struct loop *base, int64_t timeout_us)
{
    struct uring_loop *l = (struct uring_loop *)base;
    int err = l->ring.bound ? 0 : bind_thread(l);
    debug_ensure(err < 0 || pthread_equal(l->ring.thread, pthread_self()));
    if (err == 0)
        err = wait_for_events(l, timeout_us);
    if (err < 0)
        return err;
    int n = reap(l);
    bury(l);
    base->stats.polls++;
    base->stats.events += (uint64_t)n;
    return n;
}

static void uring_flush(struct loop *base)
{
    struct uring_loop *l = (struct uring_loop *)base;
    if (l->ring.bound && io_uring_sq_ready(&l->ring.uring) > 0)
        ensure(ring_enter(&l->ring, 0, NULL) == 0);
}

/* The cancel is repeated: a request that is just running when it comes may be armed again afterwards. */
static int cancel_all(struct uring_loop *l)
{
    struct __kernel_timespec ts = {.tv_nsec = 100 * 1000 * 1000};
    ring_cancel_all(&l->ring);
    int err = ring_enter(&l->ring, 1, &ts);
    reap(l);
    return err;
}

/* A kernel that let a ring be made and then refuses to enter it (a sandbox, found out by probe) has no requests. */
static void forget_requests(struct uring_loop *l)
{
    for (struct uring_conn *c = l->conns, *next; c != NULL; c = next) {
        next = c->next;
        c->receiving = c->sending = false;
        if (c->closed)
            settle(c);
    }
    for (struct listener *ln = l->listeners; ln != NULL; ln = ln->next)
        ln->accepting = false;
    l->inflight = 0;
}

/* Handlers run for what had arrived before; an interrupted send knows what has gone. */
static void uring_leave(struct loop *base)
{
    struct uring_loop *l = (struct uring_loop *)base;
    if (!l->ring.bound)
        return;
    ensure(pthread_equal(l->ring.thread, pthread_self()));
    l->leaving = true;
    while (l->inflight > 0)
        if (cancel_all(l) < 0)
            forget_requests(l);
    l->leaving = false;
    ring_close(&l->ring);
    bury(l);
}

static void uring_destroy(struct loop *base)
{
    struct uring_loop *l = (struct uring_loop *)base;
    uring_leave(base);
    while (l->conns != NULL)
        uring_close(&l->conns->base, NULL, NULL);
    while (l->listeners != NULL)
        unlink_listener(l, l->listeners);
    bury(l);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    free_memory(l);
}

/* --- whether it works here --- */

static void probe_received(struct conn *c, struct rbuf *buf, size_t off, size_t len) { *(int *)c->arg = 0; }
static void probe_ended(struct conn *c, int error) { *(int *)c->arg = error < 0 ? error : -EIO; }
static void probe_drained(struct conn *c) {}

/* Feature bits do not tell all (multishot receive has none), and sandboxes forbid parts: the loop runs once, on the
 * calling thread, and must receive a byte. */
static int probe(struct uring_loop *l)
{
    static const struct conn_handlers handlers = {probe_received, probe_ended, probe_drained};
    int fds[2], result = -ENOSYS, err;
    struct conn *c;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    uring_attach(&l->base, fds[0], &c);
    uring_start(c, &handlers, &result);
    err = send(fds[1], "x", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
    if (err == 0)
        err = uring_poll(&l->base, 1000 * 1000);
    uring_close(c, NULL, NULL);
    uring_leave(&l->base);
    close(fds[1]);
    return err < 0 ? err : result;
}

const struct loop_ops loop_uring_ops = {
    .name = "io_uring",
    .create = uring_create,
    .destroy = uring_destroy,
    .poll = uring_poll,
    .flush = uring_flush,
    .leave = uring_leave,
    .wake = uring_wake,
    .listen_fd = uring_listen,
    .unlisten = uring_unlisten,
    .attach = uring_attach,
    .start = uring_start,
    .detach = uring_detach,
    .send = uring_send,
    .set_target = uring_set_target,
    .pause = uring_pause,
    .close = uring_close,
};
