#include "tier/store.h"

#include <endian.h>

#include "core/base/panic.h"

#define HEAD 13

/* op 1 | key length 4 | value length 8 | key | value */
static void put_head(struct store_batch *b, uint8_t put, struct slice key, uint64_t len)
{
    buf_append_byte(&b->ops, put);
    buf_put_u32(&b->ops, (uint32_t)key.len);
    buf_put_u64(&b->ops, len);
    buf_append_slice(&b->ops, key);
    b->count++;
}

static void put_op(struct store_batch *b, uint8_t put, struct slice key, struct slice value)
{
    put_head(b, put, key, value.len);
    buf_append_slice(&b->ops, value);
}

void store_batch_put(struct store_batch *b, struct slice key, struct slice value) { put_op(b, 1, key, value); }
void store_batch_delete(struct store_batch *b, struct slice key) { put_op(b, 0, key, slice_of(NULL, 0)); }

size_t store_batch_put_begin(struct store_batch *b, struct slice key)
{
    size_t at = b->ops.len;
    put_head(b, 1, key, 0);
    return at;
}

void store_batch_put_end(struct store_batch *b, size_t at)
{
    uint8_t *head = b->ops.p + at;
    uint32_t klen;
    memcpy(&klen, head + 1, 4);
    uint64_t len = htole64(b->ops.len - at - HEAD - le32toh(klen));
    memcpy(head + 5, &len, 8);
}

void store_batch_join(struct store_batch *b, struct store_batch *from)
{
    buf_append_slice(&b->ops, buf_slice(&from->ops));
    b->count += from->count;
    store_batch_free(from);
}

void store_batch_clear(struct store_batch *b)
{
    buf_clear(&b->ops);
    b->count = 0;
}

void store_batch_free(struct store_batch *b)
{
    buf_free(&b->ops);
    b->count = 0;
}

bool store_batch_next(const struct store_batch *b, size_t *pos, bool *put, struct slice *key, struct slice *value)
{
    if (*pos == b->ops.len)
        return false;
    struct reader r = reader_of(slice_of(b->ops.p + *pos, b->ops.len - *pos));
    *put = reader_u8(&r) != 0;
    uint32_t klen = reader_u32(&r);
    uint64_t vlen = reader_u64(&r);
    *key = reader_bytes(&r, klen);
    *value = reader_bytes(&r, vlen);
    ensure(!r.bad);
    *pos = (size_t)(r.p - b->ops.p);
    return true;
}
