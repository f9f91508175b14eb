/* A completion-style event loop: one thread, sockets, a cross-thread wake-up. Backends: io_uring (multishot accept and
 * receive with provided buffers, batched sends, DEFER_TASKRUN) and epoll; a test may bring its own (simulated network).
 * Every kernel quirk lives in the backend's files (io_uring: loop_uring.c and ring.c). The loop knows no protocol and
 * no keyspace.
 *
 * Turn: loop_poll waits (at most the timeout), then calls handlers; sends queued during the turn are submitted together
 * by loop_flush or by the next loop_poll.
 *
 * Thread rule: everything here belongs to the loop's thread, but loop_wake (any thread) and the atomic counts of rbufs.
 * The loop's thread is the first that polls it, until it calls loop_leave; before that and after it, any one thread.
 */
#ifndef RUN_LOOP_H
#define RUN_LOOP_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "core/base/base.h"

struct loop;
struct conn;

/* A receive buffer. Reference-counted: whoever keeps slices into it beyond the receive handler takes a reference.
 * The count is atomic and any thread may drop one; the last one frees or recycles it (to its pool, safely). */
struct rbuf {
    _Atomic uint32_t refs;
    uint32_t cap; /* bytes in data */
    void (*free)(struct rbuf *b);
    void *owner;
    uint8_t *data;
};
/* A plain buffer from the allocator with room for `cap` bytes, one reference. Cost: one allocation. */
struct rbuf *rbuf_new(uint32_t cap);
static inline void rbuf_ref(struct rbuf *b) { atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed); }
void rbuf_unref(struct rbuf *b);

/* What a connection calls. The handlers may close the connection. */
struct conn_handlers {
    /* `len` bytes arrived at buf->data + off; buf is borrowed during the call (rbuf_ref to keep). buf is NULL when the
     * bytes went to the target given by conn_set_target. */
    void (*received)(struct conn *c, struct rbuf *buf, size_t off, size_t len);
    /* The peer sends no more (error 0), or the connection has failed (negative errno). After a failure no handler is
     * called any more. After an end of input sending goes on as before, and a failure may still follow. The owner must
     * call conn_close in either case. */
    void (*ended)(struct conn *c, int error);
    /* All bytes handed to conn_send so far have been given to the kernel. */
    void (*drained)(struct conn *c);
};

struct listener;
struct listener_handlers {
    /* A new connection; `c` has no handlers yet: call conn_start, or conn_detach to move it to another loop. */
    void (*accepted)(struct listener *l, struct conn *c, void *arg);
    void (*failed)(struct listener *l, int error, void *arg); /* e.g. -EMFILE; the listener goes on */
};

struct loop_stats {
    uint64_t polls, events, recv_bytes, sent_bytes, recv_calls, send_calls;
};

/* Backend table: what loop.c dispatches to, chosen at run time. */
struct loop_ops {
    const char *name; /* "io_uring", "epoll", ... */
    int (*create)(struct loop **out);
    void (*destroy)(struct loop *l);
    int (*poll)(struct loop *l, int64_t timeout_us);
    void (*flush)(struct loop *l);
    void (*leave)(struct loop *l);
    void (*wake)(struct loop *l);
    int (*listen_fd)(struct loop *l, int fd, const struct listener_handlers *h, void *arg, struct listener **out);
    void (*unlisten)(struct listener *ln);
    int (*attach)(struct loop *l, int fd, struct conn **out);
    void (*start)(struct conn *c, const struct conn_handlers *h, void *arg);
    int (*detach)(struct conn *c);
    void (*send)(struct conn *c, const struct iovec *iov, int n);
    void (*set_target)(struct conn *c, void *p, size_t len);
    void (*pause)(struct conn *c, bool paused);
    void (*close)(struct conn *c, void (*released)(void *arg), void *arg);
};
struct loop {
    const struct loop_ops *ops;
    struct loop_stats stats;
    void *arg; /* the owner's (a shard) */
};
struct conn {
    const struct loop_ops *ops;
    struct loop *loop;
    const struct conn_handlers *handlers;
    void *arg; /* the owner's (a client) */
    int fd;    /* for getpeername and socket options */
};

/* For backends: hands the handler bytes that were received. Few of them get a buffer of their own, so that `b` stays
 * free for the next ones. */
void conn_received(struct conn *c, struct rbuf *b, size_t off, size_t len);

extern const struct loop_ops loop_uring_ops;
extern const struct loop_ops loop_epoll_ops;

/* `backend`: "auto", "io_uring", "epoll". auto takes io_uring if a ring with all it needs can be set up, else epoll.
 * Negative errno if the named one is not available. Caller frees with loop_destroy, after closing all connections. */
int loop_create(struct loop **out, const char *backend) must_check;
void loop_destroy(struct loop *l);
static inline const char *loop_backend(const struct loop *l) { return l->ops->name; }

/* Submits what is queued, waits for events at most timeout_us (0: do not wait; < 0: until something happens), runs
 * their handlers. Returns the number of events handled, or a negative errno (a bug or a dying kernel). */
static inline int loop_poll(struct loop *l, int64_t timeout_us) { return l->ops->poll(l, timeout_us); }
/* Submits queued sends now. */
static inline void loop_flush(struct loop *l) { l->ops->flush(l); }
/* The calling thread, which has polled the loop, gives it up: the thread that polls it next owns it. What the kernel
 * has under way is taken back (handlers may be called), nothing is lost: that next poll goes on with it. Without a
 * poll, all connections can be closed and the loop destroyed. */
static inline void loop_leave(struct loop *l) { l->ops->leave(l); }
/* Makes a waiting or the next loop_poll return. Any thread. Cost: one write(2); call it only for a sleeper. */
static inline void loop_wake(struct loop *l) { l->ops->wake(l); }

/* Accepts on a listening socket (the loop does not own the fd). Several loops may listen on one fd or on SO_REUSEPORT
 * fds. */
static inline int loop_listen(struct loop *l, int fd, const struct listener_handlers *h, void *arg,
                              struct listener **out)
{
    return l->ops->listen_fd(l, fd, h, arg, out);
}
static inline void loop_unlisten(struct listener *ln, struct loop *l) { l->ops->unlisten(ln); }
/* Wraps a connected socket (takes ownership of the fd; made non-blocking where needed). */
static inline int loop_attach(struct loop *l, int fd, struct conn **out) { return l->ops->attach(l, fd, out); }
/* Begins receiving. `arg` becomes c->arg. */
static inline void conn_start(struct conn *c, const struct conn_handlers *h, void *arg) { c->ops->start(c, h, arg); }
/* Takes an accepted, not yet started connection away: returns its fd, frees c. For handing it to another loop. */
static inline int conn_detach(struct conn *c) { return c->ops->detach(c); }
/* Queues bytes for sending, in order. They are *borrowed until* handlers->drained is called or the connection is closed
 * and its `released` was called. The iovec array itself is copied. At most one conn_send may be outstanding: call it
 * again only after drained (drained may be called inside conn_send when the kernel took everything at once: the epoll
 * backend does). n <= 64. */
static inline void conn_send(struct conn *c, const struct iovec *iov, int n) { c->ops->send(c, iov, n); }
/* The next `len` bytes of this connection go to `p` (borrowed until they have arrived, or the connection is closed and
 * its `released` was called: a target is not taken back). Backends that have already received further bytes copy them.
 * When a read fills the target, receiving into buffers resumes. */
static inline void conn_set_target(struct conn *c, void *p, size_t len) { c->ops->set_target(c, p, len); }
/* Stops or resumes receiving (back-pressure). What the backend has already received (io_uring: up to some hundred KiB)
 * may still be delivered. */
static inline void conn_pause(struct conn *c, bool paused) { c->ops->pause(c, paused); }
/* Closes; no handler is called any more. `released` (may be NULL) is called with `arg` from this or a later loop_poll,
 * once the kernel no longer reads the bytes of an outstanding send or writes to a target: then the owner frees them
 * (at once, inside conn_close, if it does neither; with epoll always). The struct conn is freed by the loop. */
static inline void conn_close(struct conn *c, void (*released)(void *arg), void *arg)
{
    c->ops->close(c, released, arg);
}

/* Sockets helpers (no loop needed). All return an fd or a negative errno. */
/* Several sockets may listen on one port with `reuseport`, those of other processes of the same user too: whoever wants
 * a port of its own tries it without. backlog < 0: bound only. */
int net_listen_tcp(const char *addr, int port, int backlog, bool reuseport) must_check;
int net_listen_unix(const char *path, int mode, int backlog) must_check;
int net_set_keepalive(int fd, int seconds);
int net_set_nodelay(int fd, bool on);
/* A descriptor kept in reserve, negative if there is none; close it with close(2). When no other is left, net_shed
 * gives it up for a moment to take a connection and drop it, so that the peer knows. */
int net_reserve(void);
void net_shed(int *reserve, int listen_fd);
/* `sent` bytes of the `*n` pieces at `*iov` have gone: moves both behind them. Changes the piece it stops in. */
void net_consume(struct iovec **iov, int *n, size_t sent);
/* "127.0.0.1:6379", "[::1]:6379" or "/path:0"; NUL-terminated; returns the length. */
size_t net_peer_name(int fd, char *out, size_t cap);
size_t net_local_name(int fd, char *out, size_t cap);
/* The port a TCP listener got (port 0: any). */
int net_local_port(int fd);

#endif
