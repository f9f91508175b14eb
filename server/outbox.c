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

struct buf *outbox_writer(struct outbox *o)
{
    if (o->tail == NULL || !o->tail->open)
        push(o)->open = true;
    return &o->tail->bytes;
}

struct out_seg *outbox_pending(struct outbox *o)
{
    struct out_seg *s = push(o);
    s->pending = true;
    return s;
}

struct buf *outbox_blob(struct outbox *o, struct blob *b)
{
    ensure(o->tail != NULL && o->tail->open && o->tail->blob == NULL);
    o->tail->blob = blob_ref(b);
    push(o)->open = true;
    return &o->tail->bytes;
}

/* There may be several, and others between them: blobs were replied, or commands forwarded. All are of this turn, so all
 * get the same gates. */
void outbox_close_open(struct outbox *o, uint64_t written_lsn, uint64_t durable_lsn)
{
    for (struct out_seg *s = o->head; s != NULL; s = s->next) {
        if (!s->open)
            continue;
        s->open = false;
        s->written_lsn = written_lsn;
        s->durable_lsn = durable_lsn;
    }
}

static void release(struct outbox *o, struct out_seg *s)
{
    if (s->blob != NULL)
        blob_unref(s->blob);
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
    while (o->head != NULL)
        outbox_sent(o, 1);
    if (o->spare != NULL) {
        buf_free(&o->spare->bytes);
        mem_free(o->spare, sizeof(*o->spare));
        o->spare = NULL;
    }
}
