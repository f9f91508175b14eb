#include "core/base/blob.h"

#include "core/base/mem.h"

#define BLOB_TAIL 2

static size_t blob_bytes(size_t cap) { return sizeof(struct blob) + cap + BLOB_TAIL; }

size_t blob_memory(size_t cap) { return mem_class(blob_bytes(cap)); }

struct blob *blob_new(size_t cap)
{
    struct blob *b = mem_alloc(blob_bytes(cap));
    atomic_init(&b->refs, 1);
    b->unused = 0;
    b->len = 0;
    b->cap = cap;
    return b;
}

struct blob *blob_copy(struct slice s, size_t cap)
{
    struct blob *b = blob_new(cap < s.len ? s.len : cap);
    if (s.len > 0)
        memcpy(b->data, s.p, s.len);
    b->len = s.len;
    return b;
}

void blob_unref(struct blob *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        mem_free(b, blob_bytes(b->cap));
}
