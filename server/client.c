#include "server/client.h"

#include <stdatomic.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/proto/resp_writer.h"
#include "server/dispatch.h"
#include "server/monitor.h"
#include "server/server.h"
#include "server/tracking.h"

#define IOV_MAX_SEGS 32
#define IN_MIN 16384

static void received(struct conn *conn, struct rbuf *buf, size_t off, size_t len);
static void ended(struct conn *conn, int error);
static void drained(struct conn *conn);
static const struct conn_handlers handlers = {received, ended, drained};

/* --- birth --- */

static void waiter_again(struct waiter *w) { client_again((struct client *)w); }

static uint64_t id_hash(uint64_t id) { return (id ^ id >> 32) * 0x9e3779b97f4a7c15ull; }

static uint64_t client_hash(const void *item, void *arg)
{
    (void)arg;
    return id_hash(((const struct client *)item)->id);
}

const struct table_type clients_type = {.hash = client_hash};

static struct client *client_new(struct shard *s, struct conn *conn)
{
    struct client *c = mem_zalloc(sizeof(*c));
    c->id = atomic_fetch_add(&s->server->next_client_id, 1) + 1;
    c->home = s;
    c->conn = conn;
    c->proto = 2;
    c->waiter.shard = s;
    c->waiter.again = waiter_again;
    c->created_us = c->active_us = s->now_us;
    if (s->server->config->requirepass[0] == 0)
        c->flags |= CLIENT_AUTHENTICATED;
    resp_reader_init(&c->reader);
    list_push(s->clients, c);
    table_insert(s->clients_by_id, id_hash(c->id), c);
    return c;
}

bool client_is_near(const struct client *c)
{
    return c->is_unix || strncmp(c->peer, "127.", 4) == 0 || strncmp(c->peer, "[::1]", 5) == 0 ||
           strncmp(c->peer, "[::ffff:127.", 12) == 0;
}

/* Without a password only this machine is let in, whatever `bind` says. */
static bool denied(const struct client *c)
{
    const struct config *cfg = c->home->server->config;
    return cfg->protected_mode && cfg->requirepass[0] == 0 && !client_is_near(c);
}

static void turn_away(struct client *c, const char *error)
{
    stat_add(&c->home->stats.rejected, 1);
    resp_errorf(outbox_writer(&c->out), "%s", error);
    client_wrote(c);
    client_close(c, true);
}

void client_accept(struct shard *s, struct conn *conn, bool is_unix)
{
    struct config *cfg = s->server->config;
    struct client *c = client_new(s, conn);

    if (is_unix)
        c->is_unix = true;
    net_peer_name(conn->fd, c->peer, sizeof(c->peer));
    net_local_name(conn->fd, c->local, sizeof(c->local));
    if (!is_unix) {
        net_set_nodelay(conn->fd, true);
        if (cfg->tcp_keepalive > 0)
            net_set_keepalive(conn->fd, cfg->tcp_keepalive);
    }
    stat_add(&s->stats.connections, 1);
    atomic_fetch_add(&s->server->connected, 1);
    conn_start(conn, &handlers, c);
    if (atomic_load(&s->server->connected) > (uint64_t)cfg->maxclients)
        turn_away(c, "ERR max number of clients reached");
    else if (denied(c))
        turn_away(c,
                  "DENIED Kelvin is running in protected mode because protected mode is enabled and no password is set "
                  "for the default user. In this mode connections are only accepted from the loopback interface. To "
                  "accept others, set a password (requirepass), or turn protected-mode off.");
}

/* --- input --- */

static void append_input(struct client *c, const uint8_t *p, size_t len)
{
    size_t need = c->in_off + c->in_len + len;
    bool sole = atomic_load_explicit(&c->in->refs, memory_order_acquire) == 1;

    if (!sole || need > c->in->cap) {
        struct rbuf *bigger = rbuf_new((uint32_t)max_u64(IN_MIN, (c->in_len + len) * 2));
        if (c->in_len > 0)
            memcpy(bigger->data, c->in->data + c->in_off, c->in_len);
        rbuf_unref(c->in);
        c->in = bigger;
        c->in_off = 0;
    }
    memcpy(c->in->data + c->in_off + c->in_len, p, len);
    c->in_len += len;
}

static void take_input(struct client *c, struct rbuf *buf, size_t off, size_t len)
{
    if (c->in != NULL && c->in_len > 0) {
        append_input(c, buf->data + off, len);
        return;
    }
    if (c->in != NULL)
        rbuf_unref(c->in);
    rbuf_ref(buf);
    c->in = buf;
    c->in_off = off;
    c->in_len = len;
}

/* `len` more bytes of the big argument have arrived in place. */
static void take_big(struct client *c, size_t len)
{
    struct blob *b = c->big;
    b->len += len;
    if (b->len < c->reader.big_len + 2)
        return;
    b->len = c->reader.big_len;
    c->big = NULL;
    c->bigs = mem_realloc(c->bigs, sizeof(*c->bigs) * c->nbigs, sizeof(*c->bigs) * (c->nbigs + 1));
    c->bigs[c->nbigs++] = b;
    resp_reader_take_big(&c->reader, b->data);
}

/* A parked client's input is bounded: it is read on when it runs again. */
static void check_input_limits(struct client *c)
{
    size_t pending = c->in_len + (c->big ? c->big->len : 0);
    if (pending > c->home->server->config->client_query_buffer_limit) {
        stat_add(&c->home->stats.input_cut, 1);
        logger_line(c->home->server->logger, LOG_WARNING, "Closing client that reached max query buffer length: %s",
                    c->peer);
        client_close(c, false);
    } else if ((c->flags & CLIENT_PARKED) && c->in_len > MIB && !(c->flags & CLIENT_READ_PAUSED)) {
        c->flags |= CLIENT_READ_PAUSED;
        conn_pause(c->conn, true);
    }
}

static void received(struct conn *conn, struct rbuf *buf, size_t off, size_t len)
{
    struct client *c = conn->arg;
    stat_add(&c->home->stats.net_in, len);
    stat_add(&c->home->stats.reads, 1);
    c->active_us = c->home->now_us;
    if (c->flags & (CLIENT_CLOSING | CLIENT_CLOSE_AFTER_REPLY))
        return;
    if (buf == NULL)
        take_big(c, len);
    else
        take_input(c, buf, off, len);
    check_input_limits(c);
    if (c->big == NULL)
        client_ready(c);
}

void client_consume(struct client *c, size_t n)
{
    for (unsigned i = 0; i < c->nbigs; i++)
        blob_unref(c->bigs[i]);
    if (c->nbigs > 0) {
        mem_free(c->bigs, sizeof(*c->bigs) * c->nbigs);
        c->bigs = NULL;
        c->nbigs = 0;
    }
    if (c->complete > 0) {
        c->complete = 0;
        c->reader.pos = 0;
    }
    if (n > c->in_len) /* the connection's input was dropped meanwhile */
        return;
    c->in_off += n;
    c->in_len -= n;
    if (c->in_len == 0 && c->in != NULL) {
        rbuf_unref(c->in);
        c->in = NULL;
    }
    if (unlikely(c->flags & CLIENT_EOF) && c->in_len == 0)
        client_close(c, true);
}

void client_ready(struct client *c)
{
    struct shard *s = c->home;
    if (c->flags & (CLIENT_READY | CLIENT_CLOSING) || c->in_len == 0)
        return;
    c->flags |= CLIENT_READY;
    list_append(&s->ready, c, ready_next);
}

void client_again(struct client *c)
{
    c->flags &= ~(uint32_t)CLIENT_PARKED;
    c->active_us = c->home->now_us; /* it was not idle, it waited */
    if (c->flags & CLIENT_READ_PAUSED) {
        c->flags &= ~(uint32_t)CLIENT_READ_PAUSED;
        conn_pause(c->conn, false);
    }
    client_ready(c);
}

/* --- output --- */

void client_wrote(struct client *c)
{
    struct shard *s = c->home;
    if (c->flags & (CLIENT_OUTGOING | CLIENT_CLOSING))
        return;
    c->flags |= CLIENT_OUTGOING;
    c->out_next = s->outgoing.first;
    s->outgoing.first = c;
}

static bool gate_open(const struct client *c, const struct out_seg *seg)
{
    struct log *log = c->home->server->log;
    if (seg->pending || seg->open)
        return false;
    if (log == NULL)
        return true;
    if (seg->written_lsn > log_written(log))
        return false;
    return seg->durable_lsn == 0 || seg->durable_lsn <= log_durable(log);
}

static void wait_at_gate(struct client *c, const struct out_seg *seg)
{
    struct shard *s = c->home;
    if (seg->durable_lsn > 0)
        log_want_durable(s->server->log, seg->durable_lsn);
    if (c->flags & CLIENT_GATED)
        return;
    c->flags |= CLIENT_GATED;
    c->gated_next = s->gated.first;
    s->gated.first = c;
}

/* Collects what may leave into `iov`; counts the segments in *segs. */
static int gather(struct client *c, struct iovec *iov, unsigned *segs, size_t *bytes)
{
    int n = 0;
    *segs = 0;
    *bytes = 0;
    for (struct out_seg *seg = c->out.head; seg != NULL && *segs < IOV_MAX_SEGS; seg = seg->next, (*segs)++) {
        if (!gate_open(c, seg)) {
            if (!seg->pending && !seg->open)
                wait_at_gate(c, seg);
            break;
        }
        if (seg->bytes.len > 0)
            iov[n++] = (struct iovec){seg->bytes.p, seg->bytes.len};
        if (seg->blob != NULL)
            iov[n++] = (struct iovec){seg->blob->data + seg->blob_from, seg->blob->len - seg->blob_from};
        *bytes += seg->bytes.len + (seg->blob ? seg->blob->len - seg->blob_from : 0);
    }
    return n;
}

static void close_now(struct client *c);

void client_flush(struct client *c)
{
    struct iovec iov[IOV_MAX_SEGS * 2];
    unsigned segs;
    size_t bytes;
    int n;

    if (c->conn == NULL || c->out_sending > 0 || atomic_load_explicit(&c->home->server->dying, memory_order_relaxed))
        return;
    n = gather(c, iov, &segs, &bytes);
    if (n == 0) {
        outbox_sent(&c->out, segs);
    } else {
        c->out_sending = segs;
        stat_add(&c->home->stats.net_out, bytes);
        stat_add(&c->home->stats.writes, 1);
        conn_send(c->conn, iov, n);
    }
    if ((c->flags & CLIENT_CLOSE_AFTER_REPLY) && outbox_empty(&c->out) && c->blocking_sub == NULL)
        close_now(c);
}

static void drained(struct conn *conn)
{
    struct client *c = conn->arg;
    unsigned sent = c->out_sending;
    c->out_sending = 0;
    outbox_sent(&c->out, sent);
    if (!outbox_empty(&c->out))
        client_wrote(c);
    else if (c->flags & CLIENT_CLOSE_AFTER_REPLY)
        client_wrote(c);
}

/* --- death --- */

static void ended(struct conn *conn, int error)
{
    struct client *c = conn->arg;
    bool idle = c->in_len == 0 && outbox_empty(&c->out) && c->blocking_sub == NULL;
    if (error < 0 || c->big != NULL || idle || c->blocked != NULL) {
        close_now(c);
        return;
    }
    c->flags |= CLIENT_EOF;
    forward_gone(c);
    if (c->in_len == 0)
        client_close(c, true);
    else if (!(c->flags & CLIENT_PARKED))
        client_ready(c);
}

static void released(void *arg)
{
    struct client *c = arg;
    c->out_sending = 0;
    c->releasing = false;
}

/* What it had in data. */
static void leave(struct client *c)
{
    tracking_closed(c);
    dispatch_gone(c);
}

void clients_left(struct shard *s)
{
    for (struct client *c = s->closing.first; c != NULL; c = c->closing_next)
        if (c->flags & CLIENT_LEAVES) {
            c->flags &= ~(uint32_t)CLIENT_LEAVES;
            leave(c);
        }
}

/* Closed for everyone; freed by clients_reap when nothing refers to it. */
static void close_now(struct client *c)
{
    struct shard *s = c->home;
    if (c->flags & CLIENT_CLOSING)
        return;
    c->flags |= CLIENT_CLOSING;
    monitor_off(c);
    atomic_fetch_sub(&s->server->connected, 1);
    if (unlikely(atomic_load_explicit(&s->lent, memory_order_relaxed)))
        c->flags |= CLIENT_LEAVES;
    else
        leave(c);
    forward_gone(c);
    if (c->conn != NULL) {
        struct conn *conn = c->conn;
        c->conn = NULL;
        c->releasing = true;
        conn_close(conn, released, c);
    }
    c->closing_next = s->closing.first;
    s->closing.first = c;
}

void client_close(struct client *c, bool after_reply)
{
    if (after_reply && c->conn != NULL) {
        c->flags |= CLIENT_CLOSE_AFTER_REPLY;
        client_wrote(c);
    } else {
        close_now(c);
    }
}

struct client *client_find(struct shard *s, uint64_t id)
{
    struct table_probe p;
    struct client *c = table_first(s->clients_by_id, id_hash(id), &p);
    while (c != NULL && c->id != id)
        c = table_next(&p);
    return c != NULL && !(c->flags & CLIENT_CLOSING) ? c : NULL;
}

struct kill {
    struct task task;
    uint64_t id;
};

static void run_kill(struct task *t, void *arg)
{
    struct kill *k = container_of(t, struct kill, task);
    struct client *c = client_find(arg, k->id);
    if (c != NULL)
        close_now(c);
    mem_free(k, sizeof(*k));
}

void client_kill(struct shard *here, struct client *c, bool itself)
{
    if (c->home == here) {
        client_close(c, itself);
        return;
    }
    struct kill *k = mem_zalloc(sizeof(*k));
    k->task.run = run_kill;
    k->id = c->id;
    shard_post(c->home, &k->task);
}

void client_set_string(char **field, struct slice s)
{
    if (*field != NULL)
        mem_free(*field, strlen(*field) + 1);
    *field = NULL;
    if (s.len == 0)
        return;
    *field = mem_alloc(s.len + 1);
    memcpy(*field, s.p, s.len);
    (*field)[s.len] = 0;
}

static void client_free(struct client *c)
{
    list_remove(c->home->clients, c);
    table_erase(c->home->clients_by_id, id_hash(c->id), c);
    admit_release(&c->waiter);
    tracking_free(c);
    client_consume(c, c->in_len);
    if (c->in != NULL)
        rbuf_unref(c->in);
    if (c->big != NULL)
        blob_unref(c->big);
    outbox_free(&c->out);
    resp_reader_free(&c->reader);
    client_set_string(&c->name, slice_of(NULL, 0));
    client_set_string(&c->lib_name, slice_of(NULL, 0));
    client_set_string(&c->lib_ver, slice_of(NULL, 0));
    mem_free(c, sizeof(*c));
}

static bool in_some_list(const struct client *c)
{
    return (c->flags & (CLIENT_READY | CLIENT_OUTGOING | CLIENT_GATED | CLIENT_IN_HOLD_LIST)) || c->releasing ||
           c->subs > 0 || c->blocked != NULL || c->waiter.fetching;
}

void clients_reap(struct shard *s)
{
    struct client **at = (struct client **)&s->closing.first;
    while (*at != NULL) {
        struct client *c = *at;
        if (c->tx != NULL)
            tx_discard(c); /* not when it was closed: a script of its EXEC may have been running */
        shard_retry_cancel(s, &c->waiter);
        pubsub_leave(c);
        if (in_some_list(c)) {
            at = &c->closing_next;
            continue;
        }
        *at = c->closing_next;
        client_free(c);
    }
}

static bool over_output_limit(struct client *c, uint64_t now_us)
{
    const struct config *cfg = c->home->server->config;
    const struct output_limit *limit = &cfg->output_limit[c->flags & CLIENT_SUBSCRIBER ? OUTPUT_PUBSUB : OUTPUT_NORMAL];
    size_t queued = outbox_queued(&c->out);
    if (limit->hard > 0 && queued > limit->hard)
        return true;
    if (limit->soft == 0 || queued <= limit->soft) {
        c->soft_limit_since_us = 0;
        return false;
    }
    if (c->soft_limit_since_us == 0)
        c->soft_limit_since_us = now_us;
    return now_us - c->soft_limit_since_us > (uint64_t)limit->soft_seconds * 1000000;
}

bool client_cut(struct client *c)
{
    if (likely(!over_output_limit(c, c->home->now_us)))
        return false;
    logger_line(c->home->server->logger, LOG_WARNING,
                "Client %s scheduled to be closed ASAP for overcoming of output buffer limits.", c->peer);
    stat_add(&c->home->stats.output_cut, 1);
    close_now(c);
    return true;
}

struct client_sums {
    uint64_t input_max, output_max, bytes;
};

static void add_sums(struct client_sums *sums, const struct client *c)
{
    uint64_t in = (c->in ? c->in->cap : 0) + (c->big ? c->big->len : 0), out = outbox_queued(&c->out);
    sums->input_max = max_u64(sums->input_max, in);
    sums->output_max = max_u64(sums->output_max, out);
    sums->bytes += sizeof(*c) + in + out;
}

static void publish_sums(struct shard *s, const struct client_sums *sums)
{
    atomic_store_explicit(&s->stats.input_max, sums->input_max, memory_order_relaxed);
    atomic_store_explicit(&s->stats.output_max, sums->output_max, memory_order_relaxed);
    atomic_store_explicit(&s->stats.clients_bytes, sums->bytes, memory_order_relaxed);
}

void clients_cron(struct shard *s)
{
    const struct config *cfg = s->server->config;
    struct client_sums sums = {0};
    for (struct client *c = s->clients, *next; c != NULL; c = next) {
        next = c->next;
        if (c->flags & CLIENT_CLOSING || client_cut(c))
            continue;
        add_sums(&sums, c);
        if (cfg->timeout > 0 && !(c->flags & (CLIENT_SUBSCRIBER | CLIENT_MONITOR)) && !(c->flags & CLIENT_PARKED) &&
            s->now_us - c->active_us > (uint64_t)cfg->timeout * 1000000) {
            logger_line(s->server->logger, LOG_VERBOSE, "Closing idle client %s", c->peer);
            close_now(c);
        }
    }
    publish_sums(s, &sums);
}

static void append_flags(const struct client *c, struct buf *out)
{
    size_t before = out->len;
    if (client_blocked(c) != NULL)
        buf_append_byte(out, 'b');
    if (c->flags & CLIENT_MONITOR)
        buf_append_byte(out, 'O');
    if (c->flags & CLIENT_SUBSCRIBER)
        buf_append_byte(out, 'P');
    if (tx_queueing(c))
        buf_append_byte(out, 'x');
    if (c->tracking != NULL) {
        buf_append_byte(out, 't');
        if (c->tracking->broken)
            buf_append_byte(out, 'R');
        if (c->tracking->bcast)
            buf_append_byte(out, 'B');
    }
    if (c->flags & CLIENT_CLOSE_AFTER_REPLY)
        buf_append_byte(out, 'c');
    if (c->is_unix)
        buf_append_byte(out, 'U');
    if (c->flags & CLIENT_NO_EVICT)
        buf_append_byte(out, 'e');
    if (c->flags & CLIENT_NO_TOUCH)
        buf_append_byte(out, 'T');
    if (out->len == before)
        buf_append_byte(out, 'N');
}

/* What its memory is, in the words of CLIENT LIST. The outbox's first segment stands for the buffer that a client of
 * Redis has for itself, those behind it for the list of what did not fit. */
struct client_memory {
    size_t in, in_free, args, tx, buffer, buffer_used, list, total;
    unsigned list_length;
};

static struct client_memory memory_of(const struct client *c)
{
    struct client_memory m = {.in = c->in_len, .tx = tx_bytes(c)};
    size_t in_cap = c->in ? c->in->cap : 0;
    const struct out_seg *first = c->out.head != NULL ? c->out.head : c->out.spare;
    m.in_free = in_cap > c->in_len ? in_cap - c->in_len : 0;
    m.args = c->big != NULL ? c->big->len : 0;
    for (unsigned i = 0; i < c->nbigs; i++)
        m.args += c->bigs[i]->len;
    if (first != NULL) {
        m.buffer = first->bytes.cap;
        m.buffer_used = first->bytes.len;
    }
    for (const struct out_seg *seg = c->out.head; seg != NULL; seg = seg->next) {
        m.list_length += seg != c->out.head;
        m.list += (seg != c->out.head ? sizeof(*seg) + seg->bytes.cap : 0) + (seg->blob ? seg->blob->len : 0);
    }
    m.total = sizeof(*c) + in_cap + m.args + m.tx + m.buffer + m.list;
    return m;
}

static void append_command_name(const struct client *c, struct buf *out)
{
    buf_append_str(out, c->last_cmd ? c->last_cmd->full_name : "NULL");
}

/* The fields of Redis 7.4, and no more: there are client libraries that refuse a line with a field they do not know. */
void client_append_info(struct client *c, struct buf *out)
{
    uint64_t now = c->home->now_us;
    struct client_memory m = memory_of(c);

    buf_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=", (unsigned long long)c->id,
               c->peer, c->local, c->conn ? c->conn->fd : -1, c->name ? c->name : "",
               (unsigned long long)((now - c->created_us) / 1000000),
               (unsigned long long)(now > c->active_us ? (now - c->active_us) / 1000000 : 0));
    append_flags(c, out);
    buf_printf(out, " db=%u sub=%u psub=%u ssub=%u multi=%d watch=%d qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=%zu",
               c->db, pubsub_count(c, CHANNEL_PLAIN), pubsub_count(c, CHANNEL_PATTERN), pubsub_count(c, CHANNEL_SHARD),
               tx_length(c), tx_watching(c), m.in, m.in_free, m.args, m.tx);
    buf_printf(out, " rbs=%zu rbp=%zu obl=%zu oll=%u omem=%zu tot-mem=%zu events=%s%s cmd=", m.buffer, m.buffer,
               m.buffer_used, m.list_length, m.list, m.total, c->flags & CLIENT_READ_PAUSED ? "" : "r",
               c->out_sending > 0 ? "w" : "");
    append_command_name(c, out);
    buf_printf(out, " user=default redir=%lld resp=%d lib-name=%s lib-ver=%s",
               c->tracking ? (long long)c->tracking->redirect : -1, c->proto, c->lib_name ? c->lib_name : "",
               c->lib_ver ? c->lib_ver : "");
}
