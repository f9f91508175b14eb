/* Meta record:   version 1 | type 1 | encoding 1 | 0 | temperature 4 | expire 8 | ram bytes 8 | stamp 8 | crc 4
 * Value record:  version 1 | compression 1 | stamp 8 | raw size 8 | body | crc 4
 * The CRC-32C covers the store key, then the record before it. */
#include "tier/record.h"

#include <errno.h>
#include <lz4.h>
#include <zstd.h>

#include "core/base/crc.h"
#include "core/base/mem.h"

#define VERSION 1
#define COMPRESS_FROM 512
#define ZSTD_LEVEL 1
#define RAW_MAX ((uint64_t)4 << 30)

static void put_be(struct buf *b, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        buf_append_byte(b, (uint8_t)(v >> (8 * i)));
}

static uint64_t get_be(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static void put_prefix(struct buf *out, char kind, struct space_id space)
{
    buf_clear(out);
    buf_append_byte(out, (uint8_t)kind);
    put_be(out, space.lsn, 8);
    put_be(out, space.db, 4);
}

static void put_key(struct buf *out, char kind, struct space_id space, struct key key)
{
    put_prefix(out, kind, space);
    put_be(out, key.hash >> 32, RECORD_HASH_BYTES);
    buf_append_slice(out, key.name);
}

void record_meta_key(struct buf *out, struct space_id space, struct key key) { put_key(out, 'm', space, key); }
void record_value_key(struct buf *out, struct space_id space, struct key key) { put_key(out, 'v', space, key); }

/* The end of a space is its prefix plus one, with carry; the kinds are letters, so it never wraps. */
void record_space_range(struct buf *from, struct buf *to, char kind, struct space_id space)
{
    put_prefix(from, kind, space);
    put_prefix(to, kind, space);
    for (size_t i = to->len; i-- > 0;)
        if (++to->p[i] != 0)
            return;
}

bool record_parse_key(struct slice store_key, char *kind, struct space_id *space, struct key *key)
{
    const size_t prefix = 1 + RECORD_SPACE_BYTES + RECORD_HASH_BYTES;
    if (store_key.len < prefix || (store_key.p[0] != 'm' && store_key.p[0] != 'v'))
        return false;
    *kind = (char)store_key.p[0];
    space->lsn = get_be(store_key.p + 1, 8);
    space->db = (uint32_t)get_be(store_key.p + 9, 4);
    key->hash = get_be(store_key.p + 1 + RECORD_SPACE_BYTES, RECORD_HASH_BYTES) << 32;
    key->name = slice_of(store_key.p + prefix, store_key.len - prefix);
    return true;
}

static void seal(struct buf *out, struct slice store_key)
{
    buf_put_u32(out, crc32c(crc32c(0, store_key.p, store_key.len), out->p, out->len));
}

/* The record without its CRC; false if that does not fit. */
static bool unseal(struct slice store_key, struct slice record, struct slice *body)
{
    if (record.len < 4)
        return false;
    struct reader r = reader_of(slice_of(record.p + record.len - 4, 4));
    *body = slice_of(record.p, record.len - 4);
    return reader_u32(&r) == crc32c(crc32c(0, store_key.p, store_key.len), body->p, body->len);
}

void record_meta_encode(struct buf *out, struct slice store_key, const struct record_meta *m)
{
    buf_clear(out);
    buf_append_byte(out, VERSION);
    buf_append_byte(out, m->type);
    buf_append_byte(out, m->encoding);
    buf_append_byte(out, 0);
    buf_put_u32(out, m->temperature);
    buf_put_u64(out, (uint64_t)m->expire_ms);
    buf_put_u64(out, m->ram_bytes);
    buf_put_u64(out, m->stamp);
    seal(out, store_key);
}

int record_meta_decode(struct slice store_key, struct slice record, struct record_meta *m)
{
    struct slice body;
    if (!unseal(store_key, record, &body))
        return -EBADMSG;
    struct reader r = reader_of(body);
    uint8_t version = reader_u8(&r);
    m->type = reader_u8(&r);
    m->encoding = reader_u8(&r);
    reader_u8(&r);
    m->temperature = reader_u32(&r) & 0xffffff;
    m->expire_ms = (int64_t)reader_u64(&r);
    m->ram_bytes = reader_u64(&r);
    m->stamp = reader_u64(&r);
    return r.bad || reader_left(&r) > 0 || version != VERSION ? -EBADMSG : 0;
}

/* Compresses behind what is in `out`; the length, or 0 if it does not pay (less than an eighth saved). */
static size_t compress(struct buf *out, enum record_compression how, struct slice raw)
{
    size_t bound = how == RECORD_ZSTD ? ZSTD_compressBound(raw.len) : (size_t)LZ4_compressBound((int)raw.len);
    uint8_t *p = buf_reserve(out, bound);
    size_t n = 0;
    if (how == RECORD_ZSTD) {
        n = ZSTD_compress(p, bound, raw.p, raw.len, ZSTD_LEVEL);
        n = ZSTD_isError(n) ? 0 : n;
    } else {
        int written = LZ4_compress_default((const char *)raw.p, (char *)p, (int)raw.len, (int)bound);
        n = written > 0 ? (size_t)written : 0;
    }
    return n > 0 && n < raw.len - raw.len / 8 ? n : 0;
}

void record_value_encode(struct buf *out, struct slice store_key, uint64_t stamp, enum record_compression how,
                         struct slice payload)
{
    size_t n = 0;
    buf_clear(out);
    buf_append_byte(out, VERSION);
    buf_append_byte(out, RECORD_PLAIN);
    buf_put_u64(out, stamp);
    buf_put_u64(out, payload.len);
    if (how != RECORD_PLAIN && payload.len >= COMPRESS_FROM && payload.len <= LZ4_MAX_INPUT_SIZE)
        n = compress(out, how, payload);
    if (n > 0)
        out->p[1] = (uint8_t)how;
    else
        buf_append_slice(out, payload);
    out->len += n;
    seal(out, store_key);
}

static int decompress(uint8_t how, struct slice body, uint64_t raw, struct buf *payload)
{
    uint8_t *p;
    if (raw > RAW_MAX || (how == RECORD_PLAIN && raw != body.len))
        return -EBADMSG;
    p = buf_reserve(payload, raw ? raw : 1);
    if (how == RECORD_PLAIN && body.len > 0)
        memcpy(p, body.p, body.len);
    else if (how == RECORD_ZSTD && ZSTD_decompress(p, raw, body.p, body.len) != raw)
        return -EBADMSG;
    else if (how == RECORD_LZ4 &&
             LZ4_decompress_safe((const char *)body.p, (char *)p, (int)body.len, (int)raw) != (int64_t)raw)
        return -EBADMSG;
    else if (how > RECORD_LZ4)
        return -EBADMSG;
    payload->len = raw;
    return 0;
}

int record_value_decode(struct slice store_key, struct slice record, uint64_t *stamp, struct buf *payload)
{
    struct slice body;
    buf_clear(payload);
    if (!unseal(store_key, record, &body))
        return -EBADMSG;
    struct reader r = reader_of(body);
    uint8_t version = reader_u8(&r), how = reader_u8(&r);
    *stamp = reader_u64(&r);
    uint64_t raw = reader_u64(&r);
    if (r.bad || version != VERSION)
        return -EBADMSG;
    return decompress(how, slice_of(r.p, reader_left(&r)), raw, payload);
}
