/* Invalidations on their way: to the home of the client that tracks, and from there, if it redirects, to that of the
 * client it has named. */
#include "core/base/panic.h"
#include "core/proto/resp_writer.h"
#include "server/server.h"
#include "server/tracking_shard.h"

#define INVALIDATE ">2\r\n$10\r\ninvalidate\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
#define NULL_RESP3 "_\r\n"
#define NULL_RESP2 "$-1\r\n"

struct blob *invalidation_of(const struct slice *names, size_t n)
{
    size_t bytes = sizeof(INVALIDATE) + 64;
    for (size_t i = 0; i < n; i++)
        bytes += names[i].len + 64;
    struct blob *blob = blob_new(bytes);
    struct buf b = {.p = blob->data, .cap = bytes}; /* so large that it does not grow */
    buf_append(&b, INVALIDATE, sizeof(INVALIDATE) - 1);
    resp_array(&b, n);
    for (size_t i = 0; i < n; i++)
        resp_bulk(&b, names[i]);
    ensure(b.p == blob->data);
    blob->len = b.len;
    return blob;
}

/* --- redirected --- */

static void deliver_broken(struct shard *home, const struct push_item *item)
{
    struct client *c = client_find(home, item->hash);
    if (c == NULL || c->tracking == NULL || c->tracking->redirect != item->about)
        return;
    c->tracking->broken = true;
    if (c->proto > 2)
        push_here(c, &item->message);
}

/* The client that was named is gone: who has named it is told so. */
static void send_broken(struct shard *here, uint64_t tracker, uint64_t redirect)
{
    struct buf b = {0};
    resp_push(&b, 3, 2);
    resp_bulk(&b, SLICE_LIT("tracking-redir-broken"));
    resp_int(&b, (int64_t)redirect);
    struct push_item item = {.deliver = deliver_broken,
                             .hash = number_id(tracker),
                             .about = redirect,
                             .message.bytes = blob_copy(buf_slice(&b), b.len)};
    push_item_send(here, number_home(tracker), &item);
    blob_unref(item.message.bytes);
    buf_free(&b);
}

static void deliver_redirected(struct shard *home, const struct push_item *item)
{
    struct client *c = client_find(home, item->hash);
    if (c != NULL && !(c->flags & CLIENT_CLOSE_AFTER_REPLY))
        push_here(c, &item->message);
    else
        send_broken(home, item->about, item->hash);
}

/* The same for a subscriber with RESP2. */
static struct blob *as_message(const struct blob *bytes)
{
    struct slice body = slice_of(bytes->data + sizeof(INVALIDATE) - 1, bytes->len - sizeof(INVALIDATE) + 1);
    if (slice_eq(body, SLICE_LIT(NULL_RESP3)))
        body = SLICE_LIT(NULL_RESP2);
    struct blob *b = blob_copy(SLICE_LIT(MESSAGE), sizeof(MESSAGE) - 1 + body.len);
    memcpy(b->data + b->len, body.p, body.len);
    b->len += body.len;
    return b;
}

static void redirect(struct shard *home, const struct client *c, const struct push *m)
{
    struct push_item item = {.deliver = deliver_redirected,
                             .hash = c->tracking->redirect,
                             .about = number_of(c),
                             .message = {m->bytes, as_message(m->bytes)}};
    push_item_send(home, c->tracking->redirect_home, &item);
    blob_unref(item.message.resp2);
}

/* --- at the home of who tracks --- */

static void give(struct shard *home, struct client *c, const struct push *m)
{
    if (c->tracking->redirect != 0)
        redirect(home, c, m);
    else if (c->proto > 2)
        push_here(c, m);
}

static void deliver(struct shard *home, const struct push_item *item)
{
    struct client *c = client_find(home, item->hash);
    if (c != NULL && c->tracking != NULL && c->tracking->bcast == (item->kind == INVALIDATE_PREFIX))
        give(home, c, &item->message);
}

void invalidation_send(struct shard *here, uint64_t number, uint8_t kind, const struct push *m)
{
    struct push_item item = {.deliver = deliver, .hash = number_id(number), .kind = kind, .message = *m};
    push_item_send(here, number_home(number), &item);
}

static void deliver_flushed(struct shard *home, const struct push_item *item)
{
    for (struct client *c = home->clients, *next; c != NULL; c = next) {
        next = c->next;
        if (c->tracking != NULL && !(c->flags & CLIENT_CLOSING))
            give(home, c, &item->message);
    }
}

void invalidation_send_flushed(struct shard *here)
{
    struct slice text = SLICE_LIT(INVALIDATE NULL_RESP3);
    struct push_item item = {.deliver = deliver_flushed, .message.bytes = blob_copy(text, text.len)};
    for (unsigned home = 0; home < here->server->nshards; home++)
        push_item_send(here, home, &item);
    blob_unref(item.message.bytes);
}
