/* Flash records: there and back, in the order of their store keys; damaged or taken for another's they are refused. */
#include "tier/record.h"

#include <errno.h>

#include "core/base/crc.h"
#include "core/base/rng.h"
#include "tests/sim/tap.h"

#define LIT(s) SLICE_LIT(s)

static const struct space_id space = {0x0102030405060708, 0x090a0b0c};

static void store_keys(void)
{
    struct buf b = {0};
    struct space_id back;
    struct key key;
    char kind = 0;
    record_meta_key(&b, space, (struct key){LIT("k\0y"), 0x1112131415161718});
    ok(slice_eq(buf_slice(&b), LIT("m\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x11\x12\x13\x14k\0y")),
       "kind, space and the top of the hash in big-endian, key");
    ok(record_parse_key(buf_slice(&b), &kind, &back, &key) && kind == 'm' && space_id_eq(back, space) &&
           slice_eq(key.name, LIT("k\0y")) && key.hash == 0x1112131400000000,
       "taken apart");
    record_value_key(&b, space, (struct key){LIT(""), 0});
    ok(record_parse_key(buf_slice(&b), &kind, &back, &key) && kind == 'v' && key.name.len == 0, "of the empty key");
    ok(!record_parse_key(slice_of(b.p, b.len - 1), &kind, &back, &key) &&
           !record_parse_key(LIT(""), &kind, &back, &key),
       "too short");
    b.p[0] = 'x';
    ok(!record_parse_key(buf_slice(&b), &kind, &back, &key), "of an unknown kind");
    buf_free(&b);
}

static bool in_range(char kind, struct space_id range, char of_kind, struct space_id of, struct slice key)
{
    struct buf from = {0}, to = {0}, b = {0};
    record_space_range(&from, &to, kind, range);
    if (of_kind == 'm')
        record_meta_key(&b, of, (struct key){key, 1});
    else
        record_value_key(&b, of, (struct key){key, UINT64_MAX});
    bool in = slice_cmp(buf_slice(&b), buf_slice(&from)) >= 0 && slice_cmp(buf_slice(&b), buf_slice(&to)) < 0;
    buf_free(&from);
    buf_free(&to);
    buf_free(&b);
    return in;
}

static void ranges(void)
{
    const struct space_id last = {UINT64_MAX, UINT32_MAX}, next_db = {5, 1}, db = {5, 0}, carry = {5, UINT32_MAX};
    ok(in_range('m', db, 'm', db, LIT("")) && in_range('m', db, 'm', db, LIT("\xff\xff\xff")),
       "a space's range holds its keys");
    ok(!in_range('m', db, 'm', next_db, LIT("")) && !in_range('m', next_db, 'm', db, LIT("\xff\xff")) &&
           !in_range('m', db, 'v', db, LIT("")) && !in_range('v', db, 'm', db, LIT("")),
       "and no other's");
    ok(in_range('v', carry, 'v', carry, LIT("\xff")) && !in_range('v', carry, 'v', (struct space_id){6, 0}, LIT("")),
       "its end carries over");
    ok(in_range('m', last, 'm', last, LIT("\xff\xff")) && !in_range('m', last, 'v', (struct space_id){0, 0}, LIT("")),
       "as far as the next kind");
}

static bool same_meta(const struct record_meta *a, const struct record_meta *b)
{
    return a->type == b->type && a->encoding == b->encoding && a->temperature == b->temperature &&
           a->expire_ms == b->expire_ms && a->inner_ms == b->inner_ms && a->ram_bytes == b->ram_bytes &&
           a->stamp == b->stamp;
}

/* Whether every damaged form is refused: each byte changed, each shorter length, another's key. */
static bool damage_is_seen(struct slice key, struct buf *record, int (*decode)(struct slice key, struct slice record))
{
    bool seen = decode(LIT("another"), buf_slice(record)) == -EBADMSG;
    size_t step = 1 + record->len / 300;
    for (size_t i = 0; i < record->len; i += step) {
        seen &= decode(key, slice_of(record->p, i)) == -EBADMSG;
        for (int bit = 0; bit < 8; bit += 3) {
            record->p[i] ^= (uint8_t)(1 << bit);
            seen &= decode(key, buf_slice(record)) == -EBADMSG;
            record->p[i] ^= (uint8_t)(1 << bit);
        }
    }
    buf_append_byte(record, 0);
    seen &= decode(key, buf_slice(record)) == -EBADMSG;
    record->len--;
    return seen && decode(key, buf_slice(record)) == 0;
}

static int decode_meta(struct slice key, struct slice record)
{
    struct record_meta m;
    return record_meta_decode(key, record, &m);
}

static void meta(struct rng *rng)
{
    struct buf b = {0};
    bool good = true;
    for (int i = 0; i < 1000; i++) {
        struct record_meta back, m = {.type = (uint8_t)rng_u64(rng),
                                      .encoding = (uint8_t)rng_u64(rng),
                                      .temperature = (uint32_t)rng_below(rng, 1 << 24),
                                      .expire_ms = i % 2 ? -1 : (int64_t)rng_u64(rng),
                                      .inner_ms = i % 3 ? -1 : (int64_t)(rng_u64(rng) >> 1),
                                      .ram_bytes = rng_u64(rng),
                                      .stamp = rng_u64(rng)};
        record_meta_encode(&b, LIT("key"), &m);
        good &= record_meta_decode(LIT("key"), buf_slice(&b), &back) == 0 && same_meta(&m, &back);
    }
    ok(good, "meta records read back");
    ok(damage_is_seen(LIT("key"), &b, decode_meta), "damaged ones do not");
    struct record_meta m = {.expire_ms = -1, .inner_ms = -1};
    record_meta_encode(&b, LIT("key"), &m);
    ok(b.len == 36 && b.p[0] == 1 && damage_is_seen(LIT("key"), &b, decode_meta),
       "version 1 where nothing more is said");
    b.len -= 4;
    buf_append_byte(&b, 0);
    buf_put_u32(&b, crc32c(crc32c(0, "key", 3), b.p, b.len));
    ok(decode_meta(LIT("key"), buf_slice(&b)) == -EBADMSG, "nor do longer ones with a good checksum");
    buf_free(&b);
}

static const struct dictionaries no_dictionaries;

static int decode_value(struct slice key, struct slice record)
{
    struct buf payload = {0};
    uint64_t stamp;
    int err = record_value_decode(key, record, &no_dictionaries, &stamp, &payload);
    buf_free(&payload);
    return err;
}

static bool value_reads_back(struct rng *rng, enum record_compression how, struct slice payload, struct buf *record)
{
    struct buf back = {0};
    uint64_t stamp = rng_u64(rng), stamp_back;
    buf_append_str(&back, "what was there before");
    record_value_encode(record, LIT("key"), stamp, how, NULL, payload);
    bool good = record_value_decode(LIT("key"), buf_slice(record), &no_dictionaries, &stamp_back, &back) == 0 &&
                stamp == stamp_back && slice_eq(buf_slice(&back), payload);
    buf_free(&back);
    return good;
}

static void values(struct rng *rng)
{
    static const char *const names[] = {"plain", "zstd", "lz4"};
    struct buf text = {0}, noise = {0}, record = {0};
    for (int i = 0; i < 20000; i++) {
        buf_printf(&text, "item:%d;", i % 700);
        buf_append_byte(&noise, (uint8_t)rng_u64(rng));
    }
    for (int how = RECORD_PLAIN; how <= RECORD_LZ4; how++) {
        bool good = true;
        enum record_compression c = (enum record_compression)how;
        for (size_t len = 0; len < 3000; len += 1 + rng_below(rng, 40))
            good &= value_reads_back(rng, c, slice_of(noise.p, len), &record) &&
                    value_reads_back(rng, c, slice_of(text.p, len), &record);
        good &= value_reads_back(rng, c, buf_slice(&noise), &record);
        ok(good && record.p[1] == RECORD_PLAIN && record.len > noise.len, "%s: values of all lengths read back",
           names[how]);
        good = value_reads_back(rng, c, buf_slice(&text), &record);
        ok(good && (how == RECORD_PLAIN ? record.len > text.len : record.len < text.len / 4) && record.p[1] == how,
           "%s: what pays is compressed, nothing else", names[how]);
        ok(damage_is_seen(LIT("key"), &record, decode_value), "%s: damage is seen", names[how]);
    }
    buf_free(&text);
    buf_free(&noise);
    buf_free(&record);
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    store_keys();
    ranges();
    meta(&rng);
    values(&rng);
    return tap_done();
}
