#include "core/base/blob.h"

#include "core/base/mem.h"

#include "core/base/panic.h"

static size_t units_for(size_t cap) { return (cap + BLOB_TAIL + BLOB_UNIT - 1) / BLOB_UNIT; }
static size_t blob_bytes(size_t units) { return sizeof(struct blob) + units * BLOB_UNIT; }

size_t blob_memory(size_t cap) { return mem_class(blob_bytes(units_for(cap))); }

struct blob *blob_new(size_t cap)
{
    size_t units = units_for(cap);
    ensure(units <= UINT32_MAX);
    struct blob *b = mem_alloc(blob_bytes(units));
    atomic_init(&b->refs, 1);
    b->units = (uint32_t)units;
    b->len = 0;
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
        mem_free(b, blob_bytes(b->units));
}
