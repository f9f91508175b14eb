#include "server/outbox.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

#define SPARE_CAP (64 * KIB)

static struct out_seg *push(struct outbox *o)
{
    struct out_seg *s = o->spare;
    if (s != NULL)
        o->spare = NULL;
    else
        s = mem_zalloc(sizeof(*s));
    if (o->tail != NULL)
        o->tail->next = s;
    else
        o->head = s;
    o->tail = s;
    return s;
}

static void push_open(struct outbox *o)
{
    struct out_seg *s = push(o);
    s->open = true;
    if (o->first_open == NULL)
        o->first_open = s;
}

struct buf *outbox_writer(struct outbox *o)
{
    if (o->tail == NULL || !o->tail->open)
        push_open(o);
    return &o->tail->bytes;
}

struct out_seg *outbox_pending(struct outbox *o)
{
    struct out_seg *s = push(o);
    s->pending = true;
    return s;
}

void outbox_fill(struct outbox *o, struct out_seg *s, const void *p, size_t len, uint64_t written_lsn,
                 uint64_t durable_lsn)
{
    ensure(s->pending);
    buf_append(&s->bytes, p, len);
    s->written_lsn = written_lsn;
    s->durable_lsn = durable_lsn;
    s->pending = false;
    o->queued += len;
}

struct buf *outbox_blob(struct outbox *o, struct blob *b, size_t from)
{
    ensure(o->tail != NULL && o->tail->open && o->tail->blob == NULL && from <= b->len);
    o->tail->blob = blob_ref(b);
    o->tail->blob_from = from;
    o->queued += b->len - from;
    push_open(o);
    return &o->tail->bytes;
}

void outbox_gate(struct outbox *o, uint64_t written_lsn, uint64_t durable_lsn)
{
    struct out_seg *s = o->tail;
    ensure(s != NULL && s->open);
    s->written_lsn = max_u64(s->written_lsn, written_lsn);
    s->durable_lsn = max_u64(s->durable_lsn, durable_lsn);
}

/* There may be several, and others between them: blobs were replied, or commands forwarded. All are of this turn, so
 * all get the same gates, beside those that pushes from elsewhere have brought. */
void outbox_close_open(struct outbox *o, uint64_t written_lsn, uint64_t durable_lsn)
{
    for (struct out_seg *s = o->first_open; s != NULL; s = s->next) {
        if (!s->open)
            continue;
        s->open = false;
        s->written_lsn = max_u64(s->written_lsn, written_lsn);
        s->durable_lsn = max_u64(s->durable_lsn, durable_lsn);
        o->queued += s->bytes.len;
    }
    o->first_open = NULL;
}

static void release(struct outbox *o, struct out_seg *s)
{
    if (!s->open)
        o->queued -= s->bytes.len;
    if (s->blob != NULL) {
        o->queued -= s->blob->len - s->blob_from;
        blob_unref(s->blob);
    }
    if (o->spare == NULL && s->bytes.cap <= SPARE_CAP) {
        struct buf kept = s->bytes;
        kept.len = 0;
        *s = (struct out_seg){.bytes = kept};
        o->spare = s;
        return;
    }
    buf_free(&s->bytes);
    mem_free(s, sizeof(*s));
}

void outbox_sent(struct outbox *o, unsigned n)
{
    while (n-- > 0) {
        struct out_seg *s = o->head;
        o->head = s->next;
        if (o->head == NULL)
            o->tail = NULL;
        release(o, s);
    }
}

void outbox_free(struct outbox *o)
{
    o->first_open = NULL;
    while (o->head != NULL)
        outbox_sent(o, 1);
    if (o->spare != NULL) {
        buf_free(&o->spare->bytes);
        mem_free(o->spare, sizeof(*o->spare));
        o->spare = NULL;
    }
}
