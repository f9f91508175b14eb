/* The small parts of core/base and the queue: checksums, hash slots, slices, buffers, blobs, chance, and a FIFO against
 * its model. */
#include <stdio.h>

#include "core/base/blob.h"
#include "core/base/buf.h"
#include "core/base/crc.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/ds/queue.h"
#include "tests/sim/tap.h"

#define LIT(s) SLICE_LIT(s)
#define DIGITS "123456789" /* what every published check value is of */

/* --- checksums --- */

static uint64_t slow_crc64(const uint8_t *p, size_t len)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x95ac9329ac4bc9b5 : 0);
    }
    return crc;
}

static void checksums(struct rng *rng)
{
    uint8_t bytes[400];
    bool good = true;
    ok(crc64_jones(0, DIGITS, 9) == 0xe9c6d914c4b8d9ca, "CRC-64/Jones has its check value");
    ok(crc32c(0, DIGITS, 9) == 0xe3069283 && crc32c_software(0, DIGITS, 9) == 0xe3069283, "CRC-32C too");
    ok(crc64_jones(7, bytes, 0) == 7 && crc32c(7, bytes, 0) == 7, "nothing changes nothing");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rng_u64(rng);
    for (int i = 0; i < 20000; i++) {
        size_t from = rng_below(rng, 64), len = rng_below(rng, sizeof(bytes) - from), cut = rng_below(rng, len + 1);
        const uint8_t *p = bytes + from;
        good &= crc32c(0, p, len) == crc32c_software(0, p, len) && crc64_jones(0, p, len) == slow_crc64(p, len);
        good &= crc32c(crc32c(0, p, cut), p + cut, len - cut) == crc32c(0, p, len);
        good &= crc64_jones(crc64_jones(0, p, cut), p + cut, len - cut) == crc64_jones(0, p, len);
    }
    ok(good, "fast and slow agree wherever the bytes lie, and sums chain");
}

static unsigned slow_slot(struct slice s)
{
    unsigned crc = 0;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= (unsigned)s.p[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
    }
    return crc % HASH_SLOTS;
}

static bool tagged(struct slice key, struct slice tag) { return hash_slot(key) == slow_slot(tag); }

static void slots(void)
{
    ok(hash_slot(LIT(DIGITS)) == 0x31c3 % HASH_SLOTS && hash_slot(LIT(DIGITS)) == 12739, "CRC-16/XMODEM's check value");
    ok(hash_slot(LIT("foo")) == 12182 && hash_slot(LIT("bar")) == 5061 && hash_slot(LIT("hello")) == 866, "known keys");
    ok(hash_slot(LIT("")) == 0 && hash_slot(slice_of(NULL, 0)) == 0, "the empty key");
    ok(tagged(LIT("{user1000}.following"), LIT("user1000")) && tagged(LIT("a{b}c"), LIT("b")), "a tag decides alone");
    ok(tagged(LIT("foo{}{bar}"), LIT("foo{}{bar}")) && tagged(LIT("{}"), LIT("{}")) && tagged(LIT("{}x"), LIT("{}x")),
       "an empty tag is none");
    ok(tagged(LIT("foo{{bar}}zap"), LIT("{bar")) && tagged(LIT("foo{bar}{zap}"), LIT("bar")), "the first ones count");
    ok(tagged(LIT("a{b"), LIT("a{b")) && tagged(LIT("a}b{"), LIT("a}b{")) && tagged(LIT("}{a}"), LIT("a")),
       "half a tag");
}

static void hashes(void)
{
    bool good = true;
    for (int i = 0; i < 300; i++) {
        uint8_t key[300] = {0};
        size_t len = (size_t)i;
        uint64_t h = hash_key(slice_of(key, len), 5);
        good &= h == hash_key(slice_of(key, len), 5) && h != hash_key(slice_of(key, len), 6);
        key[len / 2] ^= 1;
        good &= len == 0 || h != hash_key(slice_of(key, len), 5);
    }
    ok(good, "a key's hash depends on every byte, its length and the seed, and on nothing else");
}

/* --- slices, buffers, blobs --- */

static void slices(void)
{
    ok(slice_is(LIT("SeT"), "set") && slice_is(LIT("set"), "SET") && !slice_is(LIT("set"), "sets") &&
           !slice_is(LIT("sets"), "set") && slice_is(LIT(""), "") && !slice_is(LIT("se\0"), "se"),
       "words, letter case ignored");
    ok(!slice_is(LIT("[]"), "{}") && !slice_is(LIT("@"), "`"), "letters only");
    ok(slice_cmp(LIT("a"), LIT("b")) < 0 && slice_cmp(LIT("ab"), LIT("a")) > 0 && slice_cmp(LIT("a"), LIT("a")) == 0 &&
           slice_cmp(LIT("\xff"), LIT("a")) > 0 && slice_cmp(slice_of(NULL, 0), LIT("a")) < 0,
       "order: unsigned bytes, a prefix first");
    ok(slice_eq(slice_of(NULL, 0), LIT("")) && !slice_eq(LIT("a"), LIT("b")), "equality");
}

static void buffers(struct rng *rng)
{
    struct buf b = {0};
    static uint8_t model[200000];
    size_t n = 0;
    bool good = true;
    for (int i = 0; i < 30000; i++) {
        uint8_t chunk[40];
        size_t len = rng_below(rng, sizeof(chunk)), at;
        for (size_t k = 0; k < len; k++)
            chunk[k] = (uint8_t)rng_u64(rng);
        switch (n > 100000 ? 2 : rng_below(rng, 4)) {
        case 0:
            at = rng_below(rng, n + 1);
            memmove(model + at + len, model + at, n - at);
            memcpy(model + at, chunk, len);
            buf_insert(&b, at, chunk, len);
            n += len;
            break;
        case 1:
            memcpy(model + n, chunk, len);
            buf_append(&b, chunk, len);
            n += len;
            break;
        case 2:
            at = min_u64(n, rng_below(rng, n > 100000 ? 90000 : 60));
            memmove(model, model + at, n - at);
            buf_consume(&b, at);
            n -= at;
            break;
        default:
            n += (size_t)sprintf((char *)model + n, "%d:%s", i, "text");
            buf_printf(&b, "%d:%s", i, "text");
        }
        good &= b.len == n && b.cap >= n && (i % 100 || n == 0 || memcmp(b.p, model, n) == 0);
    }
    ok(good && (n == 0 || memcmp(b.p, model, n) == 0), "appends, inserts, consumed and printed bytes");
    buf_reset(&b, SIZE_MAX);
    ok(b.len == 0 && b.p != NULL, "a reset buffer keeps its room");
    buf_reset(&b, 0);
    ok(b.len == 0 && b.p == NULL && b.cap == 0, "unless it is more than wanted");
}

static void fields(void)
{
    struct buf b = {0};
    buf_put_u16(&b, 0x0102);
    buf_put_u32(&b, 0x03040506);
    buf_put_u64(&b, 0x0708090a0b0c0d0e);
    ok(slice_eq(buf_slice(&b), LIT("\2\1\6\5\4\3\x0e\x0d\x0c\x0b\x0a\x09\x08\x07")), "fields are little-endian");
    struct reader r = reader_of(buf_slice(&b));
    ok(reader_u16(&r) == 0x0102 && reader_u32(&r) == 0x03040506 && reader_u64(&r) == 0x0708090a0b0c0d0e && !r.bad &&
           reader_left(&r) == 0,
       "and read back");
    ok(reader_u8(&r) == 0 && r.bad, "there is nothing behind the end");
    r = reader_of(buf_slice(&b));
    ok(reader_bytes(&r, 15).len == 0 && r.bad && reader_u8(&r) == 0 && reader_left(&r) == 0, "nor is it found later");
    r = reader_of(slice_of(NULL, 0));
    ok(reader_bytes(&r, 0).len == 0 && !r.bad && reader_bytes(&r, SIZE_MAX).len == 0 && r.bad, "of nothing, nothing");
    buf_free(&b);
}

static void blobs(void)
{
    struct blob *b = blob_copy(LIT("hello"), 100);
    ok(b->len == 5 && blob_cap(b) >= 100 && slice_eq(blob_slice(b), LIT("hello")) && blob_unique(b),
       "a copy with room");
    memset(b->data, 'x', blob_cap(b) + 2); /* a sanitizer objects if the room for CRLF is not there */
    struct blob *again = blob_ref(b);
    ok(again == b && !blob_unique(b), "shared");
    blob_unref(again);
    ok(blob_unique(b) && blob_memory(100) >= sizeof(*b) + 102, "and sole again");
    blob_unref(b);
    b = blob_copy(LIT("hello"), 2);
    ok(blob_cap(b) >= 5, "room for the bytes at least");
    blob_unref(b);
}

/* --- chance --- */

static void chance(void)
{
    struct rng a, b;
    struct entropy_seeded e, f;
    char hex[41], hex_again[41];
    unsigned seen[16] = {0};
    bool same = true, even = true, unit = true;
    rng_seed(&a, 1234567);
    ok(a.s[0] == 6457827717110365317u && a.s[1] == 3203168211198807973u && a.s[2] == 9817491932198370423u &&
           a.s[3] == 4593380528125082431u,
       "seeds are expanded by splitmix64");
    rng_seed(&b, 1234567);
    for (int i = 0; i < 1000; i++)
        same &= rng_u64(&a) == rng_u64(&b);
    ok(same, "a seed repeats");
    rng_seed(&b, 1234568);
    ok(rng_u64(&a) != rng_u64(&b), "another one differs");
    a = (struct rng){{1, 2, 3, 4}};
    ok(rng_u64(&a) == 11520 && rng_u64(&a) == 0 && rng_u64(&a) == 1509978240, "xoshiro256** as published");
    for (int i = 0; i < 160000; i++)
        seen[rng_below(&a, 16)]++;
    for (int i = 0; i < 16; i++)
        even &= seen[i] > 9500 && seen[i] < 10500;
    ok(even && rng_below(&a, 1) == 0, "below n every number comes as often");
    for (int i = 0; i < 10000; i++) {
        double x = rng_unit(&a);
        unit &= x >= 0 && x < 1;
    }
    ok(unit, "units lie in [0, 1)");
    entropy_seeded_init(&e, 3);
    entropy_seeded_init(&f, 3);
    entropy_hex(&e.base, hex, 40);
    entropy_hex(&f.base, hex_again, 40);
    ok(strlen(hex) == 40 && strspn(hex, "0123456789abcdef") == 40 && strcmp(hex, hex_again) == 0,
       "seeded entropy repeats");
    entropy_hex(entropy_real(), hex, 40);
    entropy_hex(entropy_real(), hex_again, 40);
    ok(strcmp(hex, hex_again) != 0, "the kernel's does not");
}

/* --- queue --- */

static void fifo(struct rng *rng)
{
    struct queue q;
    uint64_t pushed = 0, popped = 0;
    bool good = true;
    queue_init(&q);
    ok(queue_empty(&q) && q.memory == 0, "an empty queue takes no memory");
    for (int round = 0; round < 200; round++) {
        for (uint64_t n = rng_below(rng, 3000); n > 0; n--)
            queue_push(&q, pushed++ * 7);
        good &= q.tail == pushed && q.head == popped;
        if (pushed > popped) {
            uint64_t offset = rng_below(rng, pushed - popped);
            good &= queue_peek_at(&q, offset) == (popped + offset) * 7 && queue_peek(&q) == popped * 7;
        }
        for (uint64_t n = rng_below(rng, 3200); n > 0 && !queue_empty(&q); n--)
            good &= queue_pop(&q) == popped++ * 7;
        good &= q.memory <= ((pushed - popped) / 510 + 2) * 8192;
    }
    ok(good, "words come out as they went in; peeks see them before; memory follows");
    while (!queue_empty(&q))
        good &= queue_pop(&q) == popped++ * 7;
    ok(good && popped == pushed && q.memory <= 8192, "drained, it keeps a chunk at most");
    queue_push(&q, 1);
    ok(queue_pop(&q) == 1 && queue_empty(&q), "and works on");
    queue_free(&q);
    ok(q.memory == 0 && q.first == NULL, "freed");
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    checksums(&rng);
    slots();
    hashes();
    slices();
    buffers(&rng);
    fields();
    blobs();
    chance();
    fifo(&rng);
    return tap_done();
}
