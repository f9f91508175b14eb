/* A reference-counted block of bytes: the value of a large string, a large argument received in place, and what a reply
 * or a log frame refers to. Immutable while shared: writers check blob_unique and copy otherwise.
 * Any thread may take and drop references; the bytes are written only by an owner that holds the sole one. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stdatomic.h>

#include "core/base/slice.h"

struct blob {
    _Atomic uint32_t refs;
    uint32_t units; /* of BLOB_UNIT bytes allocated for data */
    size_t len;
    uint8_t data[];
};
#define BLOB_UNIT 16 /* every size class of the allocator is a multiple of it */
#define BLOB_TAIL 2

/* Bytes that fit; BLOB_TAIL more lie behind them (room for a CRLF on receive). */
static inline size_t blob_cap(const struct blob *b) { return (size_t)b->units * BLOB_UNIT - BLOB_TAIL; }
/* One reference; len 0, data uninitialised; room for at least `cap` bytes (below 64 GiB). */
struct blob *blob_new(size_t cap);
struct blob *blob_copy(struct slice s, size_t cap);
static inline struct blob *blob_ref(struct blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}
void blob_unref(struct blob *b);
static inline bool blob_unique(struct blob *b) { return atomic_load_explicit(&b->refs, memory_order_acquire) == 1; }
/* Bytes the allocator spends on a blob of this capacity. */
size_t blob_memory(size_t cap);
static inline struct slice blob_slice(const struct blob *b) { return slice_of(b->data, b->len); }

#endif
