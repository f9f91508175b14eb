/* The epoll backend. Sockets are registered once, edge-triggered for reading and writing, so no epoll_ctl follows. An
 * edge means: read until a short read. To be fair to others a connection reads at most a few buffers a turn; it stays
 * in the `again` list when there may be more. Sends are tried at once; what the socket does not take waits for the next
 * edge. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/run/loop.h"

#define EVENTS 256
#define RBUF_BYTES 16384
#define READS_A_TURN 4
#define ACCEPTS_A_TURN 64
#define IOV_CAP 64

struct epoll_conn {
    struct conn base;
    struct epoll_conn *next, *prev; /* all connections of the loop */
    bool in_again, readable, paused, closed, started, hung_up, eof,
        ended; /* ended: failed; eof: nothing more is read */
    int error; /* of a send; a socket tells it once, so the read that follows may find a plain end */
    uint8_t *target;
    size_t target_len;
    struct iovec pieces[IOV_CAP]; /* of the outstanding send */
    struct iovec *iov;            /* what is left of it */
    int iov_n;                    /* 0: none outstanding */
};

enum source { SOURCE_CONN, SOURCE_LISTENER, SOURCE_WAKE };

struct listener {
    enum source source; /* first, as in the loop's wake source: what an event's pointer points to */
    int fd;
    struct loop *loop;
    const struct listener_handlers *handlers;
    void *arg;
};

struct epoll_loop {
    struct loop base;
    enum source wake_source;
    int fd, wake_fd, reserve_fd;
    struct rbuf *rbuf;
    struct epoll_conn *conns;
    struct epoll_conn **again; /* may have more to read, oldest first; closed ones are taken out */
    unsigned nagain, again_cap;
    struct epoll_conn *graveyard; /* closed in this poll */
};

/* Events of connections carry the connection's address with the lowest bit set, others point to an enum source. */
#define CONN_TAG 1ull

static struct epoll_loop *loop_of(struct conn *c) { return (struct epoll_loop *)c->loop; }

static int add_fd(struct epoll_loop *l, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};
    return epoll_ctl(l->fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int epoll_create_loop(struct loop **out)
{
    struct epoll_loop *l = mem_zalloc(sizeof(*l));
    l->base.ops = &loop_epoll_ops;
    l->wake_source = SOURCE_WAKE;
    l->fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->reserve_fd = net_reserve();
    ensure(l->fd >= 0 && l->wake_fd >= 0);
    l->rbuf = rbuf_new(RBUF_BYTES);
    *out = &l->base;
    return add_fd(l, l->wake_fd, EPOLLIN, (uint64_t)(uintptr_t)&l->wake_source);
}

static void bury(struct epoll_loop *l)
{
    while (l->graveyard != NULL) {
        struct epoll_conn *c = l->graveyard;
        l->graveyard = c->next;
        mem_free(c, sizeof(*c));
    }
}

static void epoll_close(struct conn *base, void (*released)(void *arg), void *arg);

static void epoll_destroy(struct loop *base)
{
    struct epoll_loop *l = (struct epoll_loop *)base;
    while (l->conns != NULL)
        epoll_close(&l->conns->base, NULL, NULL);
    bury(l);
    close(l->fd);
    close(l->wake_fd);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    rbuf_unref(l->rbuf);
    mem_free(l->again, sizeof(*l->again) * l->again_cap);
    mem_free(l, sizeof(*l));
}

static void epoll_wake(struct loop *base)
{
    struct epoll_loop *l = (struct epoll_loop *)base;
    uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof(one));
    (void)n; /* EAGAIN: it is awake already */
}

/* --- receiving --- */

static void push_again(struct epoll_conn *c)
{
    struct epoll_loop *l = loop_of(&c->base);
    if (c->in_again)
        return;
    l->again = mem_room_for_one(l->again, l->nagain, &l->again_cap, sizeof(*l->again), 16);
    c->in_again = true;
    l->again[l->nagain++] = c;
}

static void fresh_rbuf(struct epoll_loop *l)
{
    if (likely(atomic_load_explicit(&l->rbuf->refs, memory_order_acquire) == 1))
        return;
    rbuf_unref(l->rbuf);
    l->rbuf = rbuf_new(RBUF_BYTES);
}

static void deliver(struct epoll_conn *c, size_t n)
{
    struct epoll_loop *l = loop_of(&c->base);
    size_t direct = n < c->target_len ? n : c->target_len;
    if (direct > 0) {
        c->target += direct;
        c->target_len -= direct;
        c->base.handlers->received(&c->base, NULL, 0, direct);
    }
    if (n > direct && !c->closed)
        conn_received(&c->base, l->rbuf, 0, n - direct);
    fresh_rbuf(l);
}

static void end(struct epoll_conn *c, int error)
{
    c->eof = true;
    c->ended = error != 0;
    c->readable = false;
    c->base.handlers->ended(&c->base, error);
}

/* One read; true if there may be more. */
static bool read_some(struct epoll_conn *c)
{
    struct epoll_loop *l = loop_of(&c->base);
    struct iovec iov[2] = {{c->target, c->target_len}, {l->rbuf->data, l->rbuf->cap}};
    size_t want = c->target_len + l->rbuf->cap;
    ssize_t n = c->target_len > 0 ? readv(c->base.fd, iov, 2) : read(c->base.fd, l->rbuf->data, l->rbuf->cap);

    l->base.stats.recv_calls++;
    if (n > 0) {
        l->base.stats.recv_bytes += (uint64_t)n;
        deliver(c, (size_t)n);
        return (size_t)n == want || c->hung_up;
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (n == 0 || c->error != 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        end(c, c->error != 0 ? c->error : n == 0 ? 0 : -errno);
    return false;
}

static void read_conn(struct epoll_conn *c)
{
    if (c->eof && !c->ended && c->error != 0)
        end(c, c->error);
    for (int i = 0; i < READS_A_TURN && !c->closed && !c->eof && !c->paused && c->readable; i++)
        c->readable = read_some(c) && !c->closed;
    if (!c->closed && c->readable && !c->paused)
        push_again(c);
}

/* --- sending --- */

static ssize_t write_once(struct epoll_conn *c)
{
    struct msghdr msg = {.msg_iov = c->iov, .msg_iovlen = (size_t)c->iov_n};
    loop_of(&c->base)->base.stats.send_calls++;
    if (c->iov_n == 1)
        return send(c->base.fd, c->iov->iov_base, c->iov->iov_len, MSG_NOSIGNAL);
    return sendmsg(c->base.fd, &msg, MSG_NOSIGNAL);
}

static void write_conn(struct epoll_conn *c)
{
    while (c->iov_n > 0) {
        ssize_t n = write_once(c);
        if (n >= 0) {
            loop_of(&c->base)->base.stats.sent_bytes += (uint64_t)n;
            net_consume(&c->iov, &c->iov_n, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            /* Told at the next poll, never inside conn_send, when all that had arrived has been read. */
            c->error = -errno;
            c->hung_up = true;
            c->readable = true;
            push_again(c);
            return;
        }
    }
    c->base.handlers->drained(&c->base);
}

static void epoll_send(struct conn *base, const struct iovec *iov, int n)
{
    struct epoll_conn *c = (struct epoll_conn *)base;
    ensure(c->iov_n == 0 && n > 0 && n <= IOV_CAP);
    memcpy(c->pieces, iov, sizeof(*iov) * (size_t)n);
    c->iov = c->pieces;
    c->iov_n = n;
    write_conn(c);
}

/* --- accepting --- */

static int attach(struct loop *base, int fd, struct conn **out)
{
    struct epoll_loop *l = (struct epoll_loop *)base;
    struct epoll_conn *c = mem_zalloc(sizeof(*c));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    c->base.ops = &loop_epoll_ops;
    c->base.loop = base;
    c->base.fd = fd;
    list_push(l->conns, c);
    *out = &c->base;
    return 0;
}

static void accept_some(struct epoll_loop *l, struct listener *ln)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct conn *c;
        int fd = accept4(ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            attach(&l->base, fd, &c);
            ln->handlers->accepted(ln, c, ln->arg);
        } else if (errno == EMFILE || errno == ENFILE) {
            int error = -errno;
            net_shed(&l->reserve_fd, ln->fd);
            ln->handlers->failed(ln, error, ln->arg);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static int epoll_listen(struct loop *base, int fd, const struct listener_handlers *h, void *arg, struct listener **out)
{
    struct epoll_loop *l = (struct epoll_loop *)base;
    struct listener *ln = mem_alloc(sizeof(*ln));
    *ln = (struct listener){SOURCE_LISTENER, fd, base, h, arg};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *out = ln;
    return add_fd(l, fd, EPOLLIN | EPOLLEXCLUSIVE, (uint64_t)(uintptr_t)&ln->source);
}

static void epoll_unlisten(struct listener *ln)
{
    struct epoll_loop *l = (struct epoll_loop *)ln->loop;
    epoll_ctl(l->fd, EPOLL_CTL_DEL, ln->fd, NULL);
    mem_free(ln, sizeof(*ln));
}

static void epoll_start(struct conn *base, const struct conn_handlers *h, void *arg)
{
    struct epoll_conn *c = (struct epoll_conn *)base;
    base->handlers = h;
    base->arg = arg;
    c->started = true;
    add_fd(loop_of(base), base->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uint64_t)(uintptr_t)c | CONN_TAG);
}

static int epoll_detach(struct conn *base)
{
    struct epoll_conn *c = (struct epoll_conn *)base;
    int fd = base->fd;
    ensure(!c->started);
    list_remove(loop_of(base)->conns, c);
    mem_free(c, sizeof(*c));
    return fd;
}

/* --- the rest --- */

static void epoll_set_target(struct conn *base, void *p, size_t len)
{
    struct epoll_conn *c = (struct epoll_conn *)base;
    c->target = p;
    c->target_len = len;
}

static void epoll_pause(struct conn *base, bool paused)
{
    struct epoll_conn *c = (struct epoll_conn *)base;
    c->paused = paused;
    if (!paused && c->readable)
        push_again(c);
}

static void drop_again(struct epoll_loop *l, struct epoll_conn *c)
{
    unsigned i = 0;
    if (!c->in_again)
        return;
    while (l->again[i] != c)
        i++;
    memmove(l->again + i, l->again + i + 1, sizeof(*l->again) * (--l->nagain - i));
    c->in_again = false;
}

static void epoll_close(struct conn *base, void (*released)(void *arg), void *arg)
{
    struct epoll_conn *c = (struct epoll_conn *)base;
    struct epoll_loop *l = loop_of(base);
    ensure(!c->closed);
    c->closed = true;
    drop_again(l, c);
    list_remove(l->conns, c);
    close(base->fd);
    c->next = l->graveyard;
    l->graveyard = c;
    if (released != NULL)
        released(arg);
}

static void conn_event(struct epoll_conn *c, uint32_t events)
{
    if (c->closed || c->ended)
        return;
    if ((events & EPOLLOUT) && c->iov_n > 0)
        write_conn(c);
    if (c->closed)
        return;
    if (c->eof) {
        if (events & (EPOLLHUP | EPOLLERR))
            end(c, -ECONNRESET);
        return;
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->hung_up = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        c->readable = true;
        read_conn(c);
    }
}

static void dispatch(struct epoll_loop *l, const struct epoll_event *ev)
{
    if (ev->data.u64 & CONN_TAG) {
        conn_event((struct epoll_conn *)(uintptr_t)(ev->data.u64 & ~CONN_TAG), ev->events);
        return;
    }
    enum source *source = (enum source *)(uintptr_t)ev->data.u64;
    if (*source == SOURCE_LISTENER) {
        accept_some(l, container_of(source, struct listener, source));
    } else {
        uint64_t count;
        ssize_t n = read(l->wake_fd, &count, sizeof(count));
        (void)n;
    }
}

/* One round over those that are in the list now; who reads on comes into the next round. */
static void read_again(struct epoll_loop *l)
{
    for (unsigned n = l->nagain; n > 0 && l->nagain > 0; n--) {
        struct epoll_conn *c = l->again[0];
        memmove(l->again, l->again + 1, sizeof(*l->again) * --l->nagain);
        c->in_again = false;
        read_conn(c);
    }
}

/* epoll_pwait2 (Linux 5.11) knows microseconds. Where it is missing (valgrind, too) a wait is rounded up to
 * milliseconds. */
static int wait_for_events(int fd, struct epoll_event *events, const struct timespec *ts)
{
    static _Atomic bool missing;
    if (!atomic_load_explicit(&missing, memory_order_relaxed)) {
        int n = epoll_pwait2(fd, events, EVENTS, ts, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        atomic_store_explicit(&missing, true, memory_order_relaxed);
    }
    return epoll_wait(fd, events, EVENTS,
                      ts == NULL ? -1 : (int)(ts->tv_sec * 1000 + (ts->tv_nsec + 999999) / 1000000));
}

static int epoll_poll(struct loop *base, int64_t timeout_us)
{
    struct epoll_loop *l = (struct epoll_loop *)base;
    struct epoll_event events[EVENTS];
    struct timespec ts = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    bool wait_forever = timeout_us < 0;

    if (l->nagain > 0) {
        ts = (struct timespec){0};
        wait_forever = false;
    }
    int n = wait_for_events(l->fd, events, wait_forever ? NULL : &ts);
    if (n < 0 && errno != EINTR)
        return -errno;
    base->stats.polls++;
    read_again(l);
    for (int i = 0; i < n; i++)
        dispatch(l, &events[i]);
    bury(l);
    if (n > 0)
        base->stats.events += (uint64_t)n;
    return n > 0 ? n : 0;
}

static void epoll_flush(struct loop *l) { (void)l; }
static void epoll_leave(struct loop *l) { (void)l; }

const struct loop_ops loop_epoll_ops = {
    .name = "epoll",
    .create = epoll_create_loop,
    .destroy = epoll_destroy,
    .poll = epoll_poll,
    .flush = epoll_flush,
    .leave = epoll_leave,
    .wake = epoll_wake,
    .listen_fd = epoll_listen,
    .unlisten = epoll_unlisten,
    .attach = attach,
    .start = epoll_start,
    .detach = epoll_detach,
    .send = epoll_send,
    .set_target = epoll_set_target,
    .pause = epoll_pause,
    .close = epoll_close,
};
