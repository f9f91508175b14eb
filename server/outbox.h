/* The outbox: everything that leaves for one client, in order. A segment is bytes that leave together once they are
 * ready and the log has reached their LSN at their level (I3).
 *
 *   open    inline replies of the current turn are appended to it (always the last one)
 *   pending a forwarded request's reply that has not come back yet
 *   ready   closed; waits for its gates, then is sent
 *
 * Owned by the client's home shard. */
#ifndef SERVER_OUTBOX_H
#define SERVER_OUTBOX_H

#include "core/base/blob.h"
#include "core/base/buf.h"

struct out_seg {
    struct out_seg *next;
    struct buf bytes;
    struct blob *blob; /* sent behind `bytes`, by reference, from `blob_from` on; or NULL */
    size_t blob_from;
    uint64_t written_lsn; /* gate: the log must be written up to here */
    uint64_t durable_lsn; /* gate: and durable up to here (0: no) */
    bool pending;
    bool open;
};

struct outbox {
    struct out_seg *head, *tail; /* head..: being sent first, then waiting */
    struct out_seg *first_open;  /* NULL: none is open */
    struct out_seg *spare;       /* one kept for reuse */
    size_t queued;               /* bytes in segments that are not open, and of all blobs */
};

/* Where the next inline reply goes: the bytes of an open segment at the tail. */
struct buf *outbox_writer(struct outbox *o);
/* A pending segment at the tail, which outbox_fill makes ready when the answer is back. */
struct out_seg *outbox_pending(struct outbox *o);
void outbox_fill(struct outbox *o, struct out_seg *s, const void *p, size_t len, uint64_t written_lsn,
                 uint64_t durable_lsn);
/* Appends a blob from byte `from` on by reference (takes a reference) behind what was written to the open segment;
 * writing goes on in a new one. */
struct buf *outbox_blob(struct outbox *o, struct blob *b, size_t from);
/* What is written to the open segment from now on waits at these gates too. */
void outbox_gate(struct outbox *o, uint64_t written_lsn, uint64_t durable_lsn);
/* Closes the open segment, if any, under these gates. */
void outbox_close_open(struct outbox *o, uint64_t written_lsn, uint64_t durable_lsn);
void outbox_free(struct outbox *o);
/* The first `n` segments have been sent. */
void outbox_sent(struct outbox *o, unsigned n);
static inline bool outbox_empty(const struct outbox *o) { return o->head == NULL; }
/* Bytes that have not been sent. */
static inline size_t outbox_queued(const struct outbox *o)
{
    return o->queued + (o->first_open != NULL ? o->tail->bytes.len : 0);
}

#endif
