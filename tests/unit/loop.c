/* The event loop's contract (core/run/loop.h), kept by every backend: one program, each test once a backend. The peers
 * of the loop's connections are plain sockets of the same thread. Nothing here depends on how long anything takes:
 * TURNS only ends a hang. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/run/loop.h"
#include "tests/sim/tap.h"

#define TURNS 10000
#define TURN_US 10000
#define MANY 300

/* Polls until `cond` holds; whether it does. */
#define until(l, cond)                                         \
    ({                                                         \
        for (int turn_ = 0; turn_ < TURNS && !(cond); turn_++) \
            ensure(loop_poll(l, TURN_US) >= 0);                \
        (cond);                                                \
    })

enum habit {
    HABIT_ECHO = 1,
    HABIT_CLOSE_ON_DATA = 2,
    HABIT_CLOSE_ON_DRAINED = 4,
    HABIT_CLOSE_ON_ENDED = 8,
    HABIT_KEEP = 16, /* every buffer */
};

/* The owner of a connection: what it saw, and how it behaves. */
struct end {
    struct conn *c; /* NULL: closed */
    unsigned habits;
    struct buf in;
    size_t in_place; /* bytes that went to the target */
    size_t echoed;
    void *chunk; /* being sent back */
    size_t chunk_len;
    unsigned drained, ended, released, after_close;
    int error;
    struct kept {
        struct rbuf *b;
        size_t off, len;
    } * kept;
    size_t nkept, kept_cap;
};

static void on_released(void *arg)
{
    struct end *e = arg;
    e->released++;
    if (e->chunk != NULL)
        mem_free(e->chunk, e->chunk_len);
    e->chunk = NULL;
}

static void end_close(struct end *e)
{
    struct conn *c = e->c;
    e->c = NULL;
    conn_close(c, on_released, e);
}

/* Sends back what has not been yet, unless a send is outstanding. */
static void echo(struct end *e)
{
    if (e->c == NULL || e->chunk != NULL || e->echoed == e->in.len)
        return;
    e->chunk_len = e->in.len - e->echoed;
    e->chunk = mem_alloc(e->chunk_len);
    memcpy(e->chunk, e->in.p + e->echoed, e->chunk_len);
    e->echoed = e->in.len;
    conn_send(e->c, &(struct iovec){e->chunk, e->chunk_len}, 1);
}

static void keep(struct end *e, struct rbuf *b, size_t off, size_t len)
{
    if (e->nkept == e->kept_cap) {
        size_t cap = e->kept_cap ? e->kept_cap * 2 : 64;
        e->kept = mem_realloc(e->kept, e->kept_cap * sizeof(*e->kept), cap * sizeof(*e->kept));
        e->kept_cap = cap;
    }
    rbuf_ref(b);
    e->kept[e->nkept++] = (struct kept){b, off, len};
}

static void on_received(struct conn *c, struct rbuf *b, size_t off, size_t len)
{
    struct end *e = c->arg;
    e->after_close += e->c == NULL;
    if (b == NULL)
        e->in_place += len;
    else if (e->habits & HABIT_KEEP)
        keep(e, b, off, len);
    else
        buf_append(&e->in, b->data + off, len);
    if (e->habits & HABIT_ECHO)
        echo(e);
    if (e->habits & HABIT_CLOSE_ON_DATA)
        end_close(e);
}

static void on_ended(struct conn *c, int error)
{
    struct end *e = c->arg;
    e->after_close += e->c == NULL;
    e->ended++;
    e->error = error;
    if (e->habits & HABIT_CLOSE_ON_ENDED)
        end_close(e);
}

static void on_drained(struct conn *c)
{
    struct end *e = c->arg;
    e->after_close += e->c == NULL;
    e->drained++;
    if (e->chunk != NULL)
        mem_free(e->chunk, e->chunk_len);
    e->chunk = NULL;
    if (e->habits & HABIT_CLOSE_ON_DRAINED)
        end_close(e);
    else if (e->habits & HABIT_ECHO)
        echo(e);
}

static const struct conn_handlers handlers = {on_received, on_ended, on_drained};

static void end_free(struct end *e)
{
    for (size_t i = 0; i < e->nkept; i++)
        rbuf_unref(e->kept[i].b);
    mem_free(e->kept, e->kept_cap * sizeof(*e->kept));
    buf_free(&e->in);
    *e = (struct end){0};
}

/* Closes it if it is not, waits for `released`, frees. */
static void end_finish(struct loop *l, struct end *e)
{
    if (e->c != NULL)
        end_close(e);
    ensure(until(l, e->released > 0));
    ensure(e->released == 1 && e->after_close == 0);
    end_free(e);
}

/* --- sockets of the peers --- */

static uint8_t pattern(size_t at) { return (uint8_t)((at * 2654435761u) >> 13); }

static uint8_t *pattern_new(size_t from, size_t len)
{
    uint8_t *p = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        p[i] = pattern(from + i);
    return p;
}

static bool is_pattern(const void *p, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)p)[i] != pattern(from + i))
            return false;
    return true;
}

static void nonblocking(int fd) { ensure(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0); }

/* A pair: the loop's end, started, and the peer's socket, which does not block. */
static int pair(struct loop *l, struct end *e, unsigned habits)
{
    int fds[2];
    struct conn *c;
    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    nonblocking(fds[1]);
    *e = (struct end){.habits = habits};
    ensure(loop_attach(l, fds[0], &c) == 0);
    e->c = c;
    conn_start(c, &handlers, e);
    return fds[1];
}

static int connect_to(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        close(fd);
        return -errno;
    }
    nonblocking(fd);
    return fd;
}

/* The bytes [from, from + len) of the pattern, while the loop runs. */
static void peer_send(struct loop *l, int fd, size_t from, size_t len)
{
    uint8_t *p = pattern_new(from, len);
    size_t at = 0;
    for (int i = 0; i < TURNS && at < len; i++) {
        ssize_t n = send(fd, p + at, len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        ensure(loop_poll(l, n > 0 ? 0 : 1000) >= 0);
    }
    mem_free(p, len);
    ensure(at == len);
}

/* Reads `len` bytes in pieces of at most `step` while the loop runs; whether they are the pattern from `from` on. */
static bool peer_expect(struct loop *l, int fd, size_t from, size_t len, size_t step)
{
    uint8_t *p = mem_alloc(step);
    bool good = true;
    size_t at = 0;
    for (int i = 0; i < TURNS && at < len && good; i++) {
        ssize_t n = recv(fd, p, step < len - at ? step : len - at, 0);
        if (n > 0) {
            good = is_pattern(p, from + at, (size_t)n);
            at += (size_t)n;
            i = 0;
        } else {
            good = n < 0 && errno == EAGAIN;
        }
        ensure(loop_poll(l, n > 0 ? 0 : 1000) >= 0);
    }
    mem_free(p, step);
    return good && at == len;
}

/* Reads what is left up to the end; the number of bytes, or -1 for a reset. */
static ssize_t peer_drain(struct loop *l, int fd)
{
    uint8_t bytes[65536];
    ssize_t total = 0;
    for (int i = 0; i < TURNS; i++) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n == 0)
            return total;
        if (n < 0 && errno != EAGAIN)
            return -1;
        total += n > 0 ? n : 0;
        ensure(loop_poll(l, n > 0 ? 0 : 1000) >= 0);
    }
    panic("the peer's socket never ended");
}

/* --- listening --- */

struct door {
    struct listener *ln;
    int fd, port;
    struct end *ends; /* of the accepted ones, in order */
    unsigned accepted, failed, habits;
    struct conn *loose; /* with no `ends`: left as it came */
    int error;
};

static void on_accepted(struct listener *ln, struct conn *c, void *arg)
{
    struct door *d = arg;
    d->accepted++;
    if (d->ends == NULL) {
        d->loose = c;
        return;
    }
    struct end *e = &d->ends[d->accepted - 1];
    *e = (struct end){.c = c, .habits = d->habits};
    conn_start(c, &handlers, e);
}

static void on_failed(struct listener *ln, int error, void *arg)
{
    struct door *d = arg;
    d->failed++;
    d->error = error;
}

static const struct listener_handlers door_handlers = {on_accepted, on_failed};

static void door_open(struct loop *l, struct door *d, struct end *ends, unsigned habits)
{
    *d = (struct door){.ends = ends, .habits = habits};
    d->fd = net_listen_tcp("127.0.0.1", 0, 512, false);
    ensure(d->fd >= 0);
    d->port = net_local_port(d->fd);
    ensure(loop_listen(l, d->fd, &door_handlers, d, &d->ln) == 0);
}

static void door_close(struct loop *l, struct door *d)
{
    loop_unlisten(d->ln, l);
    close(d->fd);
    ensure(loop_poll(l, 0) >= 0);
}

/* --- the tests --- */

static void test_echo(struct loop *l)
{
    struct door d;
    struct end e;
    door_open(l, &d, &e, HABIT_ECHO);
    int fd = connect_to(d.port);
    ok(until(l, d.accepted == 1), "a connection is accepted");
    peer_send(l, fd, 0, 5);
    ok(peer_expect(l, fd, 0, 5, 16), "what arrives is received, what is sent arrives");
    ok(e.drained > 0 && l->stats.recv_bytes >= 5 && l->stats.sent_bytes >= 5, "drained is called, bytes are counted");
    char name[64];
    ok(net_peer_name(e.c->fd, name, sizeof(name)) > 10 && strncmp(name, "127.0.0.1:", 10) == 0, "the peer has a name");
    close(fd);
    ok(until(l, e.ended == 1) && e.error == 0, "the peer's end is an end without error");
    end_finish(l, &e);
    door_close(l, &d);
    ok(connect_to(d.port) == -ECONNREFUSED, "no connection after loop_unlisten");
}

static void test_timeouts(struct loop *l)
{
    struct end e;
    int fd = pair(l, &e, HABIT_ECHO);
    while (loop_poll(l, 0) > 0)
        ;
    ok(loop_poll(l, 0) == 0 && loop_poll(l, 1000) == 0, "polls end without events, with and without a timeout");
    ok(e.in.len == 0 && e.ended == 0, "nothing is heard of an idle connection");
    loop_flush(l);
    peer_send(l, fd, 0, 100);
    ok(peer_expect(l, fd, 0, 100, 100), "and then it talks");
    close(fd);
    end_finish(l, &e);
}

static void test_big_send(struct loop *l)
{
    size_t len = 8 * MIB;
    uint8_t *p = pattern_new(0, len);
    struct end e;
    int fd = pair(l, &e, 0), small = 4096;
    setsockopt(e.c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    conn_send(e.c, &(struct iovec){p, len}, 1);
    loop_flush(l);
    ensure(loop_poll(l, 0) >= 0);
    ok(e.drained == 0, "a send larger than the socket's buffer is outstanding");
    ok(peer_expect(l, fd, 0, len, 30000), "all of it arrives at a slow reader");
    ok(until(l, e.drained == 1), "then drained is called, once");

    struct iovec iov[64];
    size_t at = 0;
    for (int i = 0; i < 64; i++) {
        iov[i] = (struct iovec){p + at, i % 7 == 3 ? 0 : (size_t)i * 997};
        at += iov[i].iov_len;
    }
    conn_send(e.c, iov, 64);
    memset(iov, 0xff, sizeof(iov));
    ok(peer_expect(l, fd, 0, at, 1000), "64 pieces, some empty, whose array is gone");
    ok(until(l, e.drained == 2), "drained again");
    conn_send(e.c, &(struct iovec){p, 0}, 1);
    ok(until(l, e.drained == 3), "a send of nothing is drained");
    close(fd);
    end_finish(l, &e);
    mem_free(p, len);
}

static void test_both_ways(struct loop *l)
{
    size_t len = 3 * MIB, got = 0, at = 0;
    uint8_t *p = pattern_new(0, len), bytes[7000];
    struct end e;
    int fd = pair(l, &e, HABIT_ECHO);
    bool good = true;
    for (int i = 0; i < TURNS * 10 && got < len && good; i++) {
        ssize_t n = at < len ? send(fd, p + at, len - at, MSG_NOSIGNAL) : 0;
        at += n > 0 ? (size_t)n : 0;
        n = recv(fd, bytes, sizeof(bytes), 0);
        if (n > 0) {
            good = is_pattern(bytes, got, (size_t)n);
            got += (size_t)n;
        }
        ensure(loop_poll(l, n > 0 ? 0 : 1000) >= 0);
    }
    ok(good && got == len, "megabytes in both directions at once");
    close(fd);
    end_finish(l, &e);
    mem_free(p, len);
}

static void *drop_all(void *arg)
{
    struct end *e = arg;
    for (size_t i = 0; i < e->nkept; i++)
        rbuf_unref(e->kept[i].b);
    e->nkept = 0;
    return NULL;
}

static bool kept_is_pattern(const struct end *e, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < e->nkept; i++) {
        if (!is_pattern(e->kept[i].b->data + e->kept[i].off, at, e->kept[i].len))
            return false;
        at += e->kept[i].len;
    }
    return at == len;
}

static size_t kept_bytes(const struct end *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->nkept; i++)
        n += e->kept[i].len;
    return n;
}

/* More than any pool of buffers holds is kept; other connections must not starve meanwhile. */
static void test_kept_buffers(struct loop *l)
{
    size_t len = 8 * MIB;
    struct end e, other;
    int fd = pair(l, &e, HABIT_KEEP), fd2 = pair(l, &other, HABIT_ECHO);
    pthread_t thread;
    peer_send(l, fd, 0, len);
    ok(until(l, kept_bytes(&e) == len) && kept_is_pattern(&e, len), "buffers that are kept stay as they are");
    peer_send(l, fd2, 0, 50000);
    ok(peer_expect(l, fd2, 0, 50000, 50000), "others receive meanwhile");
    ensure(pthread_create(&thread, NULL, drop_all, &e) == 0);
    peer_send(l, fd2, 0, 500000);
    pthread_join(thread, NULL);
    ok(peer_expect(l, fd2, 0, 500000, 50000), "and while another thread drops the references");
    peer_send(l, fd, 0, MIB);
    ok(until(l, kept_bytes(&e) == MIB) && kept_is_pattern(&e, MIB), "and so does the first afterwards");
    for (int i = 0; i < 300; i++) {
        peer_send(l, fd, MIB + (size_t)i, 1);
        ensure(until(l, kept_bytes(&e) == MIB + (size_t)i + 1));
    }
    ok(kept_is_pattern(&e, MIB + 300), "300 single bytes, each in its buffer");
    close(fd);
    close(fd2);
    end_finish(l, &e);
    end_finish(l, &other);
}

static void test_close_inside(struct loop *l)
{
    struct end e;
    int fd = pair(l, &e, HABIT_CLOSE_ON_DATA);
    peer_send(l, fd, 0, 100000);
    ok(until(l, e.released == 1), "closed inside received");
    peer_drain(l, fd);
    close(fd);
    end_finish(l, &e);

    fd = pair(l, &e, HABIT_CLOSE_ON_DRAINED);
    conn_send(e.c, &(struct iovec){"bye", 3}, 1);
    ok(until(l, e.released == 1), "closed inside drained");
    ok(peer_drain(l, fd) == 3, "what was drained arrives, then the end");
    close(fd);
    end_finish(l, &e);

    fd = pair(l, &e, HABIT_CLOSE_ON_ENDED);
    close(fd);
    ok(until(l, e.released == 1) && e.ended == 1, "closed inside ended");
    end_finish(l, &e);
    ok(until(l, loop_poll(l, 0) == 0), "and all is quiet");
}

static void test_close_while_sending(struct loop *l)
{
    size_t len = 4 * MIB;
    struct end e;
    int fd = pair(l, &e, 0);
    e.chunk = pattern_new(0, len); /* freed by released */
    e.chunk_len = len;
    conn_send(e.c, &(struct iovec){e.chunk, len}, 1);
    ensure(loop_poll(l, 0) >= 0 && e.drained == 0);
    end_close(&e);
    ok(until(l, e.released == 1), "closed with a send outstanding: released");
    ssize_t got = peer_drain(l, fd);
    ok(got > 0 && got < (ssize_t)len, "the peer gets a part, then the end");
    ok(e.drained == 0 && e.ended == 0, "no handler is called");
    close(fd);
    end_finish(l, &e);

    fd = pair(l, &e, 0);
    struct iovec iov[3] = {{"a", 1}, {"b", 1}, {"c", 1}};
    conn_send(e.c, iov, 3);
    if (e.c != NULL)
        end_close(&e);
    ok(until(l, e.released == 1) && e.ended == 0, "closed in the turn of the send");
    peer_drain(l, fd);
    close(fd);
    end_finish(l, &e);

    fd = pair(l, &e, 0);
    end_close(&e);
    ok(until(l, e.released == 1), "closed in the turn of the start");
    ok(peer_drain(l, fd) == 0, "and the peer knows");
    close(fd);
    end_finish(l, &e);
}

/* `before` of `len` bytes are received into buffers, the others are to go to the target; then a tail. */
static void target(struct loop *l, size_t before, size_t ahead, size_t len, bool pausing)
{
    struct end e;
    int fd = pair(l, &e, 0);
    uint8_t *p = mem_alloc(len);
    memset(p, 0, len);
    peer_send(l, fd, 0, before);
    ensure(until(l, e.in.len == before));
    /* Bytes that are under way, or with the backend already, when the target is set. */
    uint8_t *early = pattern_new(before, ahead);
    ensure(ahead == 0 || send(fd, early, ahead, 0) == (ssize_t)ahead);
    mem_free(early, ahead);
    loop_flush(l);
    conn_set_target(e.c, p, len);
    if (pausing) {
        conn_pause(e.c, true);
        ensure(loop_poll(l, 0) >= 0);
        conn_pause(e.c, false);
    }
    peer_send(l, fd, before + ahead, len - ahead + 1000);
    ok(until(l, e.in.len == before + 1000), "target of %zu bytes, %zu of them early: the tail is received", len, ahead);
    ok(e.in_place == len && is_pattern(p, before, len), "the target is filled");
    ok(is_pattern(e.in.p, 0, before) && is_pattern(e.in.p + before, before + len, 1000), "what is around it is right");
    peer_send(l, fd, 0, 10);
    ok(until(l, e.in.len == before + 1010), "and it goes on");
    close(fd);
    end_finish(l, &e);
    mem_free(p, len);
}

/* Inside `received`, as more bytes are in the same buffer. */
static uint8_t *inside_target;
static void received_sets_target(struct conn *c, struct rbuf *b, size_t off, size_t len)
{
    struct end *e = c->arg;
    bool first = e->in.len == 0 && b != NULL;
    on_received(c, b, off, len);
    if (first)
        conn_set_target(c, inside_target, 300000);
}

static void test_target(struct loop *l)
{
    static const struct conn_handlers setting = {received_sets_target, on_ended, on_drained};
    struct end e;
    target(l, 20, 0, 100, false);
    target(l, 20, 50000, 60000, false);
    target(l, 20, 0, MIB, false);
    target(l, 16384, 50000, 5 * MIB, false);
    target(l, 20, 100000, 3 * MIB, true);

    int fd = pair(l, &e, 0);
    e.c->handlers = &setting;
    inside_target = mem_alloc(300000);
    peer_send(l, fd, 0, 7);
    ensure(until(l, e.in.len == 7));
    peer_send(l, fd, 7, 300000);
    peer_send(l, fd, 300007, 3);
    ok(until(l, e.in.len == 10) && e.in_place == 300000, "a target set inside received");
    ok(is_pattern(inside_target, 7, 300000) && is_pattern(e.in.p + 7, 300007, 3), "is filled");
    conn_set_target(e.c, inside_target, 300000);
    peer_send(l, fd, 0, 1000);
    end_close(&e);
    ok(until(l, e.released == 1), "closed with a target outstanding: released");
    mem_free(inside_target, 300000);
    close(fd);
    end_finish(l, &e);
}

static void test_pause(struct loop *l)
{
    size_t chunk = 8192, sent = 0;
    struct end e;
    int fd = pair(l, &e, 0);
    peer_send(l, fd, 0, 10);
    ensure(until(l, e.in.len == 10));
    conn_pause(e.c, true);
    for (ssize_t n = 1; n > 0 && sent < 64 * MIB;) {
        uint8_t *p = pattern_new(10 + sent, chunk);
        n = send(fd, p, chunk, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        ensure(loop_poll(l, 0) >= 0);
        mem_free(p, chunk);
    }
    ok(sent < 64 * MIB && e.in.len < 10 + sent, "who is paused is not read: the sender has to wait");
    size_t before = e.in.len;
    ensure(loop_poll(l, 1000) >= 0);
    ok(e.in.len == before, "nothing comes meanwhile");
    conn_pause(e.c, false);
    ok(until(l, e.in.len == 10 + sent) && is_pattern(e.in.p, 0, 10 + sent), "resumed, everything comes");
    for (int i = 0; i < 10; i++)
        conn_pause(e.c, i % 2 == 0);
    peer_send(l, fd, 10 + sent, 10);
    ok(until(l, e.in.len == 20 + sent), "paused and resumed within a turn");
    conn_pause(e.c, true);
    close(fd);
    ensure(loop_poll(l, 0) >= 0);
    conn_pause(e.c, false);
    ok(until(l, e.ended == 1), "the end is seen after the pause");
    end_finish(l, &e);
}

static void test_reset(struct loop *l)
{
    struct door d;
    struct end ends[3];
    struct linger now = {.l_onoff = 1};
    door_open(l, &d, ends, 0);
    int idle = connect_to(d.port), sending = connect_to(d.port), closed = connect_to(d.port);
    ensure(until(l, d.accepted == 3));
    setsockopt(idle, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(idle);
    ok(until(l, ends[0].ended == 1) && ends[0].error == -ECONNRESET, "a reset is an error");
    ends[1].chunk_len = 32 * MIB;
    ends[1].chunk = mem_alloc(ends[1].chunk_len);
    memset(ends[1].chunk, 0, ends[1].chunk_len);
    conn_send(ends[1].c, &(struct iovec){ends[1].chunk, ends[1].chunk_len}, 1);
    ensure(loop_poll(l, 0) >= 0);
    setsockopt(sending, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(sending);
    ok(until(l, ends[1].ended == 1) && ends[1].error < 0 && ends[1].drained == 0, "and while a send is outstanding");
    setsockopt(closed, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(closed);
    conn_send(ends[2].c, &(struct iovec){"x", 1}, 1);
    ok(until(l, ends[2].ended == 1), "a send into a reset connection ends it");
    for (int i = 0; i < 3; i++)
        end_finish(l, &ends[i]);
    door_close(l, &d);
}

static void test_many(struct loop *l)
{
    struct door d;
    struct end *ends = mem_alloc(sizeof(*ends) * MANY);
    int fds[MANY];
    bool good = true;
    door_open(l, &d, ends, HABIT_ECHO);
    for (int i = 0; i < MANY; i++)
        ensure((fds[i] = connect_to(d.port)) >= 0);
    ok(until(l, d.accepted == MANY), "%d connections", MANY);
    uint8_t *p = pattern_new(0, 40000);
    for (size_t round = 0, at = 0; round < 8; round++) {
        size_t len = round % 4 == 3 ? 20000 : 1 + round * 100;
        for (int i = 0; i < MANY; i++)
            ensure(send(fds[i], p + at, len, MSG_NOSIGNAL) == (ssize_t)len);
        for (int i = 0; i < MANY; i++)
            good = good && peer_expect(l, fds[i], at, len, len);
        at = (at + len) % 20000;
    }
    ok(good, "all talk at once, more than there are buffers, and all are answered");
    for (int i = 0; i < MANY; i += 2)
        close(fds[i]);
    unsigned gone = 0;
    for (int turn = 0; turn < TURNS && gone < MANY / 2; turn++) {
        ensure(loop_poll(l, TURN_US) >= 0);
        gone = 0;
        for (int i = 0; i < MANY; i++)
            gone += ends[i].ended;
    }
    ok(gone == MANY / 2, "half of them go");
    for (int i = 0; i < MANY; i++) {
        end_finish(l, &ends[i]);
        if (i % 2)
            close(fds[i]);
    }
    mem_free(p, 40000);
    mem_free(ends, sizeof(*ends) * MANY);
    door_close(l, &d);
}

static void test_no_descriptors(struct loop *l)
{
    struct door d;
    struct end e;
    struct rlimit old, low;
    door_open(l, &d, &e, HABIT_ECHO);
    int fd = connect_to(d.port), next = dup(fd);
    close(next);
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &low);
    ok(until(l, d.failed > 0) && d.error == -EMFILE && d.accepted == 0, "no descriptor is left: failed is called");
    ok(peer_drain(l, fd) <= 0, "the peer is not left waiting");
    setrlimit(RLIMIT_NOFILE, &old);
    close(fd);
    fd = connect_to(d.port);
    ok(until(l, d.accepted == 1), "and the listener goes on");
    close(fd);
    end_finish(l, &e);
    door_close(l, &d);
}

/* --- several threads --- */

struct worker {
    struct loop *l;
    struct end e;
    _Atomic int fd; /* handed over; -1: none */
    _Atomic bool stop, done;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(&w->stop)) {
        int fd = atomic_exchange(&w->fd, -1);
        if (fd >= 0) {
            struct conn *c;
            ensure(loop_attach(w->l, fd, &c) == 0);
            w->e = (struct end){.c = c, .habits = HABIT_ECHO};
            conn_start(c, &handlers, &w->e);
        }
        ensure(loop_poll(w->l, -1) >= 0);
    }
    loop_leave(w->l);
    return NULL;
}

static void test_threads(struct loop *l)
{
    struct worker w = {.fd = -1};
    struct door d;
    pthread_t thread;
    ensure(loop_create(&w.l, loop_backend(l)) == 0);
    ensure(pthread_create(&thread, NULL, work, &w) == 0);
    door_open(l, &d, NULL, 0);
    int fd = connect_to(d.port);
    ensure(until(l, d.loose != NULL));
    atomic_store(&w.fd, conn_detach(d.loose));
    loop_wake(w.l);
    peer_send(l, fd, 0, 100000);
    ok(peer_expect(l, fd, 0, 100000, 5000), "a connection goes on in another thread's loop, which was woken");

    size_t len = 6 * MIB; /* more than sockets hold: the echo is outstanding when the thread leaves */
    uint8_t *p = pattern_new(0, len);
    size_t at = 0;
    for (int idle = 0; at < len && idle < 20;) {
        ssize_t n = send(fd, p + at, len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        ensure(loop_poll(l, 1000) >= 0);
    }
    atomic_store(&w.stop, true);
    loop_wake(w.l);
    pthread_join(thread, NULL);
    ok(w.e.after_close == 0 && w.e.ended == 0, "the thread leaves the loop: its connection is not harmed");
    ok(peer_expect(w.l, fd, 0, at, 60000), "another thread goes on with all that was under way");
    peer_send(w.l, fd, 0, 1000);
    ok(peer_expect(w.l, fd, 0, 1000, 1000), "and with what comes then");
    mem_free(p, len);
    close(fd);
    end_finish(w.l, &w.e);
    loop_leave(w.l);
    loop_destroy(w.l);
    door_close(l, &d);
}

static void *wake_often(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 1000; i++)
        loop_wake(w->l);
    atomic_store(&w->done, true);
    loop_wake(w->l);
    return NULL;
}

static void test_wake(struct loop *l)
{
    struct worker w = {.l = l};
    pthread_t thread;
    loop_wake(l);
    ok(loop_poll(l, -1) >= 0, "a wake-up before the poll is not lost");
    ensure(pthread_create(&thread, NULL, wake_often, &w) == 0);
    while (!atomic_load(&w.done))
        ensure(loop_poll(l, -1) >= 0);
    pthread_join(thread, NULL);
    ok(true, "wake-ups from another thread end every sleep");
    while (loop_poll(l, 0) > 0)
        ;
}

/* Another thread than the one that made and filled it takes a loop over; a loop that never ran; one that dies with all
 * it has. */
static void test_life(const char *backend)
{
    struct loop *l;
    struct end e, ends[2];
    struct door d;
    ensure(loop_create(&l, backend) == 0);
    loop_destroy(l);
    ensure(loop_create(&l, backend) == 0);
    door_open(l, &d, ends, HABIT_ECHO);
    int fd = pair(l, &e, HABIT_ECHO), fd2 = connect_to(d.port);
    conn_send(e.c, &(struct iovec){"hello", 5}, 1);
    char got[5];
    ok(until(l, e.drained == 1) && recv(fd, got, 5, 0) == 5, "what is asked for before the first poll happens then");
    ensure(until(l, d.accepted == 1));
    e.chunk_len = 8 * MIB;
    e.chunk = pattern_new(0, e.chunk_len);
    conn_send(e.c, &(struct iovec){e.chunk, e.chunk_len}, 1);
    ensure(loop_poll(l, 0) >= 0);
    loop_leave(l);
    peer_send(l, fd2, 0, 100);
    ok(peer_expect(l, fd2, 0, 100, 100), "a loop that was left goes on with the next poll, in the same thread too");
    loop_unlisten(d.ln, l);
    loop_destroy(l);
    ok(e.ended == 0 && e.drained == 1, "a loop is destroyed with connections and a send outstanding");
    mem_free(e.chunk, e.chunk_len);
    end_free(&e);
    end_free(&ends[0]);
    close(fd);
    close(fd2);
    close(d.fd);
}

static void run_all(const char *backend)
{
    struct loop *l;
    int err = loop_create(&l, backend);
    if (err < 0) {
        ok(strcmp(backend, "io_uring") == 0, "# skip %s: %s", backend, strerror(-err));
        return;
    }
    tap_diag("%s", backend);
    ok(strcmp(loop_backend(l), backend) == 0, "a loop on %s", backend);
    test_echo(l);
    test_timeouts(l);
    test_big_send(l);
    test_both_ways(l);
    test_kept_buffers(l);
    test_close_inside(l);
    test_close_while_sending(l);
    test_target(l);
    test_pause(l);
    test_reset(l);
    test_many(l);
    test_no_descriptors(l);
    test_threads(l);
    test_wake(l);
    loop_leave(l);
    loop_destroy(l);
    test_life(backend);
}

int main(void)
{
    struct loop *l;
    ok(loop_create(&l, "kqueue") == -EINVAL, "an unknown backend is refused");
    ensure(loop_create(&l, "auto") == 0);
    tap_diag("auto: %s", loop_backend(l));
    loop_destroy(l);
    run_all("epoll");
    run_all("io_uring");
    return tap_done();
}
