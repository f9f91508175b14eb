#include "server/push.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/client.h"
#include "server/server.h"

#define BY_REFERENCE (16 * KIB)
#define BACKLOG_MAX (32 * MIB)

/* From one shard to one home. A control task, because receiving it touches nothing but the queue of the home's thread;
 * so it is there before the grant of a hold that the sender lent for. It is posted once and freed when delivered. */
struct push_batch {
    struct task task;
    struct push_batch *next;
    uint64_t written_lsn, durable_lsn;
    uint64_t cost; /* bytes that it will put into outboxes */
    unsigned n, cap;
    struct push_item *items;
};

/* --- messages --- */

static struct push push_ref(const struct push *m)
{
    return (struct push){blob_ref(m->bytes), m->resp2 != NULL ? blob_ref(m->resp2) : NULL};
}

static void push_unref(const struct push *m)
{
    blob_unref(m->bytes);
    if (m->resp2 != NULL)
        blob_unref(m->resp2);
}

/* --- into an outbox --- */

static void append(struct client *c, struct blob *b)
{
    const struct push_queues *q = &c->home->pushes;
    struct buf *out = outbox_writer(&c->out);
    outbox_gate(&c->out, q->written_lsn, q->durable_lsn);
    size_t start = out->len, copied = b->len < BY_REFERENCE ? b->len : 1;
    buf_append(out, b->data, copied);
    if (c->proto == 2 && b->data[0] == '>')
        out->p[start] = '*';
    if (copied < b->len)
        outbox_blob(&c->out, b, copied);
}

static void keep(struct push_queues *q, struct client *c, const struct push *m)
{
    q->kept = mem_room_for_one(q->kept, q->nkept, &q->kept_cap, sizeof(*q->kept), 4);
    q->kept[q->nkept++] = (struct push_kept){c, push_ref(m)};
}

/* In the middle of a script replies may leave (busy.h), but nothing that tells what the script has done: that is logged
 * when it is over. What comes behind something that was kept is kept as well. */
static bool kept_back(struct shard *s, const struct client *c)
{
    struct push_queues *q = &s->pushes;
    if (q->delivering)
        return c == q->running;
    q->keeping |= s->script_run != NULL;
    return q->keeping || c == q->running;
}

/* False if it gets nothing now. */
static bool give(struct client *c, const struct push *m)
{
    struct blob *b = m->bytes;
    if (unlikely(c->flags & (CLIENT_CLOSING | CLIENT_CLOSE_AFTER_REPLY)))
        return false;
    if (unlikely(kept_back(c->home, c))) {
        keep(&c->home->pushes, c, m);
        return false;
    }
    if (c->proto == 2 && m->resp2 != NULL) {
        if (!(c->flags & CLIENT_SUBSCRIBER))
            return false;
        b = m->resp2;
    }
    append(c, b);
    client_wrote(c);
    return true;
}

void push_here(struct client *c, const struct push *m)
{
    if (!give(c, m))
        return;
    c->flags |= CLIENT_PUSHED;
    client_cut(c);
}

void push_begin(struct shard *s, const struct client *c) { s->pushes.running = c; }

void push_end(struct shard *s)
{
    struct push_queues *q = &s->pushes;
    q->running = NULL;
    q->keeping = false;
    for (unsigned i = 0; i < q->nkept; i++) {
        push_here(q->kept[i].client, &q->kept[i].message);
        push_unref(&q->kept[i].message);
    }
    q->nkept = 0;
}

/* --- to other shards --- */

/* At once, so that what a later task of this mailbox pushes comes behind it; while the data is lent, a holder may be
 * looking at the clients. */
static void receive(struct task *t, void *arg)
{
    struct push_batch *b = container_of(t, struct push_batch, task);
    struct shard *s = arg;
    *s->pushes.in_last = b;
    s->pushes.in_last = &b->next;
    if (!atomic_load_explicit(&s->lent, memory_order_acquire))
        push_deliver(s);
}

static struct push_batch *batch_for(struct push_queues *q, unsigned home)
{
    struct push_batch *b = q->out[home];
    if (b != NULL)
        return b;
    b = q->out[home] = mem_zalloc(sizeof(*b));
    q->out_mask |= 1ull << home;
    b->task.run = receive;
    b->task.control = true;
    return b;
}

void push_elsewhere(struct shard *s, unsigned home, const struct push_item *item)
{
    struct push_batch *b = batch_for(&s->pushes, home);
    ensure(home != s->index);
    b->items = mem_room_for_one(b->items, b->n, &b->cap, sizeof(*b->items), 4);
    b->written_lsn = max_u64(b->written_lsn, s->pushes.written_lsn);
    b->durable_lsn = max_u64(b->durable_lsn, s->pushes.durable_lsn);
    b->cost += max_u64(item->receivers, 1) * (item->message.bytes->len + 64);
    b->items[b->n] = *item;
    b->items[b->n++].message = push_ref(&item->message);
}

void push_item_send(struct shard *s, unsigned home, const struct push_item *item)
{
    if (home == s->index)
        item->deliver(s, item);
    else
        push_elsewhere(s, home, item);
}

static void to_client(struct shard *home, const struct push_item *item)
{
    struct client *c = client_find(home, item->hash);
    if (c != NULL)
        push_here(c, &item->message);
}

void push_to(struct shard *s, unsigned home, uint64_t client_id, const struct push *m)
{
    struct push_item item = {.deliver = to_client, .hash = client_id, .receivers = 1, .message = *m};
    push_item_send(s, home, &item);
}

void push_post(struct shard *s)
{
    struct push_queues *q = &s->pushes;
    q->published = false;
    for (; q->out_mask != 0; q->out_mask &= q->out_mask - 1) {
        unsigned home = (unsigned)__builtin_ctzll(q->out_mask);
        struct push_batch *b = q->out[home];
        q->out[home] = NULL;
        struct shard *to = s->server->shards[home];
        b->written_lsn = max_u64(b->written_lsn, s->lsn);
        b->durable_lsn = max_u64(b->durable_lsn, s->gave_always ? s->always_lsn : 0);
        atomic_fetch_add_explicit(&to->pushes.backlog, b->cost, memory_order_relaxed);
        shard_post(to, &b->task);
    }
}

static void batch_free(struct push_batch *b)
{
    for (unsigned i = 0; i < b->n; i++)
        push_unref(&b->items[i].message);
    mem_free(b->items, sizeof(*b->items) * b->cap);
    mem_free(b, sizeof(*b));
}

static void deliver_batch(struct shard *s, struct push_batch *b)
{
    s->pushes.written_lsn = b->written_lsn;
    s->pushes.durable_lsn = b->durable_lsn;
    s->pushes.delivering = true;
    for (unsigned i = 0; i < b->n; i++)
        b->items[i].deliver(s, &b->items[i]);
    s->pushes.written_lsn = s->pushes.durable_lsn = 0;
    s->pushes.delivering = false;
}

bool push_congested(const struct server *server)
{
    for (unsigned i = 0; i < server->nshards; i++)
        if (atomic_load_explicit(&server->shards[i]->pushes.backlog, memory_order_relaxed) > BACKLOG_MAX)
            return true;
    return false;
}

void push_deliver(struct shard *s)
{
    struct push_queues *q = &s->pushes;
    while (q->in != NULL) {
        struct push_batch *b = q->in;
        atomic_fetch_sub_explicit(&q->backlog, b->cost, memory_order_relaxed);
        if ((q->in = b->next) == NULL)
            q->in_last = &q->in;
        deliver_batch(s, b);
        batch_free(b);
    }
}

void push_queues_init(struct push_queues *q) { q->in_last = &q->in; }

/* After the threads: what was posted last has nobody to go to. */
void push_queues_free(struct push_queues *q)
{
    for (struct push_batch *b = q->in, *next; b != NULL; b = next) {
        next = b->next;
        batch_free(b);
    }
    for (; q->out_mask != 0; q->out_mask &= q->out_mask - 1)
        batch_free(q->out[__builtin_ctzll(q->out_mask)]);
    mem_free(q->kept, sizeof(*q->kept) * q->kept_cap);
}
