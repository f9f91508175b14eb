/* Flash records: any bytes, and any bytes with their checksum made right. What is accepted survives being encoded
 * again; store keys that are taken apart are put together the same. */
#include <stdio.h>
#include <zdict.h>

#include "core/base/crc.h"
#include "core/base/panic.h"
#include "fuzz/replay.h"
#include "tier/record.h"

#define RAW_SIZE_AT 10         /* of a value record: where it says how long the payload is */
#define RAW_SIZE_MAX (4 * MIB) /* a test's memory, not a limit of the product */
#define KEY "v\0\0\0\0\0\0\0\1\0\0\0\2key"

static void meta(struct slice key, struct slice record)
{
    struct record_meta m, again;
    struct buf out = {0};
    if (record_meta_decode(key, record, &m) == 0) {
        record_meta_encode(&out, key, &m);
        ensure(out.len == record.len && record_meta_decode(key, buf_slice(&out), &again) == 0);
        ensure(m.type == again.type && m.encoding == again.encoding && m.temperature == again.temperature);
        ensure(m.expire_ms == again.expire_ms && m.inner_ms == again.inner_ms && m.ram_bytes == again.ram_bytes &&
               m.stamp == again.stamp);
        ensure(m.temperature <= 0xffffff);
    }
    buf_free(&out);
}

static bool too_long(struct slice record)
{
    struct reader r = reader_of(record);
    (void)reader_bytes(&r, RAW_SIZE_AT);
    return reader_u64(&r) > RAW_SIZE_MAX;
}

#define SAMPLES 1000

/* Dictionary 1, from data of its own: the same in every run. */
static const struct dictionaries *known(void)
{
    static struct dictionaries set;
    static char samples[SAMPLES * 64], content[4096];
    size_t sizes[SAMPLES], at = 0;
    if (dictionaries_newest(&set) != NULL)
        return &set;
    for (unsigned i = 0; i < SAMPLES; at += sizes[i++])
        sizes[i] = (size_t)snprintf(samples + at, 64, "{\"id\":%u,\"name\":\"sample %u\"}", i, i * 7919 % 1000);
    size_t len = ZDICT_trainFromBuffer(content, sizeof(content), samples, sizes, SAMPLES);
    ensure(!ZDICT_isError(len));
    struct dictionary *d = dictionary_new(1, slice_of(content, len));
    ensure(d != NULL);
    dictionaries_add(&set, d);
    return &set;
}

static void value(struct slice key, struct slice record)
{
    struct buf payload = {0}, out = {0}, again = {0};
    uint64_t stamp, stamp_again;
    if (!too_long(record) && record_value_decode(key, record, known(), &stamp, &payload) == 0)
        for (int how = RECORD_PLAIN; how <= RECORD_ZSTD_DICT; how++) {
            const struct dictionary *d = how == RECORD_ZSTD_DICT ? dictionaries_newest(known()) : NULL;
            record_value_encode(&out, key, stamp, d != NULL ? RECORD_ZSTD : (enum record_compression)how, d,
                                buf_slice(&payload));
            ensure(record_value_decode(key, buf_slice(&out), known(), &stamp_again, &again) == 0);
            ensure(stamp == stamp_again && slice_eq(buf_slice(&payload), buf_slice(&again)));
        }
    buf_free(&payload);
    buf_free(&out);
    buf_free(&again);
}

static void store_key(struct slice bytes)
{
    struct space_id space;
    struct key key;
    struct buf out = {0};
    char kind;
    if (record_parse_key(bytes, &kind, &space, &key)) {
        if (kind == 'm')
            record_meta_key(&out, space, key);
        else
            record_value_key(&out, space, key);
        ensure(slice_eq(buf_slice(&out), bytes));
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice key = SLICE_LIT(KEY), bytes = slice_of(data, size);
    struct buf sealed = {0};
    meta(key, bytes);
    value(key, bytes);
    store_key(bytes);
    buf_append_slice(&sealed, bytes);
    buf_put_u32(&sealed, crc32c(crc32c(0, key.p, key.len), data, size));
    meta(key, buf_slice(&sealed));
    value(key, buf_slice(&sealed));
    buf_free(&sealed);
    return 0;
}
