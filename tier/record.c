/* Meta record:   version 1 | type 1 | encoding 1 | 0 | temperature 4 | expire 8 | ram bytes 8 | stamp 8 | crc 4
 *                version 2, if parts of the value expire: before the crc, when the first one does 8
 * Value record:  version 1 | compression 1 | stamp 8 | raw size 8 | body | crc 4
 *                the body of RECORD_ZSTD_DICT: dictionary id 4 | frame without magic number and id
 * Dictionary:    version 1 | content | crc 4
 * The CRC-32C covers the store key, then the record before it. */
#include "tier/record.h"

#include <errno.h>
#include <lz4.h>

#include "core/base/crc.h"
#include "core/base/mem.h"

#define VERSION 1
#define VERSION_INNER 2 /* meta records */
#define COMPRESS_FROM 512
#define DICTIONARY_FROM 32       /* frame header and id take 7 */
#define DICTIONARY_TO (64 * KIB) /* beyond, a value's own beginning serves as well */
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

/* The record begins at `at`. */
static void seal(struct buf *out, size_t at, struct slice store_key)
{
    buf_put_u32(out, crc32c(crc32c(0, store_key.p, store_key.len), out->p + at, out->len - at));
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
    bool inner = m->inner_ms != ENTRY_NO_EXPIRY;
    buf_clear(out);
    buf_append_byte(out, inner ? VERSION_INNER : VERSION);
    buf_append_byte(out, m->type);
    buf_append_byte(out, m->encoding);
    buf_append_byte(out, 0);
    buf_put_u32(out, m->temperature);
    buf_put_u64(out, (uint64_t)m->expire_ms);
    buf_put_u64(out, m->ram_bytes);
    buf_put_u64(out, m->stamp);
    if (inner)
        buf_put_u64(out, (uint64_t)m->inner_ms);
    seal(out, 0, store_key);
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
    m->inner_ms = version == VERSION_INNER ? (int64_t)reader_u64(&r) : ENTRY_NO_EXPIRY;
    bool good = version == VERSION || (version == VERSION_INNER && m->inner_ms != ENTRY_NO_EXPIRY);
    return r.bad || reader_left(&r) > 0 || !good ? -EBADMSG : 0;
}

/* Less than an eighth saved is not worth the reader's time. */
static bool pays(size_t n, size_t raw) { return n > 0 && n < raw - raw / 8; }

/* These append the body and return true, or append nothing. */
static bool put_lz4(struct buf *out, struct slice raw)
{
    size_t bound = (size_t)LZ4_compressBound((int)raw.len);
    uint8_t *p = buf_reserve(out, bound);
    int n = LZ4_compress_default((const char *)raw.p, (char *)p, (int)raw.len, (int)bound);
    if (n < 0 || !pays((size_t)n, raw.len))
        return false;
    out->len += (size_t)n;
    return true;
}

static bool put_zstd(struct buf *out, const struct dictionary *dictionary, struct slice raw)
{
    size_t before = out->len, bound = dictionary_bound(raw.len);
    if (dictionary != NULL)
        buf_put_u32(out, dictionary_id(dictionary));
    size_t n = dictionary_compress(dictionary, buf_reserve(out, bound), bound, raw);
    out->len += n;
    if (n > 0 && pays(out->len - before, raw.len))
        return true;
    out->len = before;
    return false;
}

static enum record_compression put_body(struct buf *out, enum record_compression how,
                                        const struct dictionary *dictionary, struct slice raw)
{
    bool in_reach = how == RECORD_ZSTD && dictionary != NULL && raw.len >= DICTIONARY_FROM && raw.len <= DICTIONARY_TO;
    bool big = raw.len >= COMPRESS_FROM && raw.len <= LZ4_MAX_INPUT_SIZE;
    if (in_reach && put_zstd(out, dictionary, raw))
        return RECORD_ZSTD_DICT;
    if (how == RECORD_ZSTD && !in_reach && big && put_zstd(out, NULL, raw))
        return RECORD_ZSTD;
    if (how == RECORD_LZ4 && big && put_lz4(out, raw))
        return RECORD_LZ4;
    buf_append_slice(out, raw);
    return RECORD_PLAIN;
}

void record_value_append(struct buf *out, struct slice store_key, uint64_t stamp, enum record_compression how,
                         const struct dictionary *dictionary, struct slice payload)
{
    size_t at = out->len;
    buf_append_byte(out, VERSION);
    buf_append_byte(out, RECORD_PLAIN);
    buf_put_u64(out, stamp);
    buf_put_u64(out, payload.len);
    how = put_body(out, how, dictionary, payload);
    out->p[at + 1] = (uint8_t)how;
    seal(out, at, store_key);
}

void record_value_encode(struct buf *out, struct slice store_key, uint64_t stamp, enum record_compression how,
                         const struct dictionary *dictionary, struct slice payload)
{
    buf_clear(out);
    record_value_append(out, store_key, stamp, how, dictionary, payload);
}

static int unpack_dictionary(const struct dictionaries *dictionaries, struct slice body, uint8_t *to, size_t len)
{
    struct reader r = reader_of(body);
    const struct dictionary *d = dictionaries_find(dictionaries, reader_u32(&r));
    if (r.bad || d == NULL)
        return -EBADMSG;
    return dictionary_decompress(d, to, len, slice_of(r.p, reader_left(&r)));
}

static int unpack(uint8_t how, const struct dictionaries *dictionaries, struct slice body, uint8_t *to, size_t len)
{
    switch (how) {
    case RECORD_PLAIN:
        if (len > 0)
            memcpy(to, body.p, len);
        return 0;
    case RECORD_ZSTD:
        return dictionary_decompress(NULL, to, len, body);
    case RECORD_LZ4:
        return LZ4_decompress_safe((const char *)body.p, (char *)to, (int)body.len, (int)len) == (int64_t)len
                   ? 0
                   : -EBADMSG;
    case RECORD_ZSTD_DICT:
        return unpack_dictionary(dictionaries, body, to, len);
    }
    return -EBADMSG;
}

int record_value_decode(struct slice store_key, struct slice record, const struct dictionaries *dictionaries,
                        uint64_t *stamp, struct buf *payload)
{
    struct slice body;
    buf_clear(payload);
    if (!unseal(store_key, record, &body))
        return -EBADMSG;
    struct reader r = reader_of(body);
    uint8_t version = reader_u8(&r), how = reader_u8(&r);
    *stamp = reader_u64(&r);
    uint64_t raw = reader_u64(&r);
    body = slice_of(r.p, reader_left(&r));
    if (r.bad || version != VERSION || raw > RAW_MAX || (how == RECORD_PLAIN && raw != body.len))
        return -EBADMSG;
    int err = unpack(how, dictionaries, body, buf_reserve(payload, raw ? raw : 1), raw);
    if (err == 0)
        payload->len = raw;
    return err;
}

void record_functions_key(struct buf *out)
{
    buf_clear(out);
    buf_append_byte(out, 'f');
}

/* --- dictionaries --- */

void record_dictionary_key(struct buf *out, uint32_t id)
{
    buf_clear(out);
    buf_append_byte(out, 'd');
    put_be(out, id, 4);
}

void record_dictionary_range(struct buf *from, struct buf *to)
{
    buf_clear(from);
    buf_append_byte(from, 'd');
    buf_clear(to);
    buf_append_byte(to, 'd' + 1);
}

void record_dictionary_encode(struct buf *out, struct slice store_key, struct slice content)
{
    buf_clear(out);
    buf_append_byte(out, VERSION);
    buf_append_slice(out, content);
    seal(out, 0, store_key);
}

int record_dictionary_decode(struct slice store_key, struct slice record, uint32_t *id, struct slice *content)
{
    struct slice body;
    if (store_key.len != 5 || store_key.p[0] != 'd' || !unseal(store_key, record, &body) || body.len < 1 ||
        body.p[0] != VERSION)
        return -EBADMSG;
    *id = (uint32_t)get_be(store_key.p + 1, 4);
    *content = slice_of(body.p + 1, body.len - 1);
    return 0;
}
