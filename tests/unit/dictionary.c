/* Dictionaries: training, records that use them, what is refused, and what is found again after a crash. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/sim/store_mem.h"
#include "tests/sim/tap.h"
#include "tier/record.h"
#include "tier/trainer.h"

#define SAMPLES ((uint64_t)128 * KIB)
#define WINDOW ((uint64_t)256 * KIB)
#define WAIT_TRIES 60000 /* milliseconds: only ends a hang */

static struct rng rng;
static const struct slice store_key = {(const uint8_t *)"v-a-key", 7};

struct bench {
    struct store_mem_disk *disk;
    struct store *store;
    struct pool *pool;
    struct trainer *trainer;
    char error[512];
};

static int open_bench(struct bench *b, bool train)
{
    b->store = store_mem_open(b->disk);
    b->pool = pool_new(2);
    return trainer_open(
        &b->trainer,
        &(struct trainer_config){
            .store = b->store, .pool = b->pool, .train = train, .sample_bytes = SAMPLES, .window_bytes = WINDOW},
        b->error);
}

static void end_trainer(struct bench *b)
{
    pool_free(b->pool);
    trainer_free(b->trainer);
}

static void close_bench(struct bench *b)
{
    end_trainer(b);
    b->store->ops->close(b->store);
    store_mem_disk_free(b->disk);
}

/* Two kinds of data that have little in common. */
static size_t make(int kind, char *p, size_t cap)
{
    static const char *const words[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"};
    unsigned long long a = rng_u64(&rng), c = rng_u64(&rng);
    if (kind == 0)
        return (size_t)snprintf(p, cap, "{\"id\":%llu,\"user\":\"%s\",\"active\":%s,\"mail\":\"%s@example.org\"}",
                                a % 100000, words[a >> 61], c & 1 ? "true" : "false", words[c >> 61]);
    return (size_t)snprintf(p, cap, "<reading sensor='%s-%02llu' unit='kelvin' quality='%s'>%llu</reading>",
                            words[a >> 61], a % 100, words[c >> 61], c % 1000);
}

static struct trainer_stats stats(struct bench *b)
{
    struct trainer_stats st;
    trainer_stats(b->trainer, &st);
    return st;
}

/* Feeds data until the running collection is full, and waits for what becomes of it. */
static void feed(struct bench *b, int kind)
{
    uint64_t before = stats(b).trainings;
    trainer_count(b->trainer, WINDOW * 16);
    for (uint64_t fed = 0; trainer_collecting(b->trainer) && fed < 4 * SAMPLES;) {
        char text[256];
        size_t n = make(kind, text, sizeof(text));
        trainer_sample(b->trainer, slice_of(text, n));
        fed += n;
    }
    for (int i = 0; (stats(b).trainings == before || stats(b).training) && i < WAIT_TRIES; i++)
        clock_real()->sleep_us(clock_real(), 1000);
}

static const struct dictionary *newest(struct bench *b)
{
    return dictionaries_newest(trainer_dictionaries(b->trainer));
}

static int decode(struct bench *b, struct slice record, struct buf *out)
{
    uint64_t stamp = 0;
    int err = record_value_decode(store_key, record, trainer_dictionaries(b->trainer), &stamp, out);
    return err == 0 && stamp != 77 ? -EPROTO : err;
}

static bool round_trip(struct bench *b, struct slice payload, enum record_compression *how)
{
    struct buf record = {0}, back = {0};
    record_value_encode(&record, store_key, 77, RECORD_ZSTD, newest(b), payload);
    *how = record_value_compression(buf_slice(&record));
    bool same = decode(b, buf_slice(&record), &back) == 0 && slice_eq(buf_slice(&back), payload);
    buf_free(&record);
    buf_free(&back);
    return same;
}

static void test_train_and_use(struct bench *b)
{
    unsigned right = 0, used = 0;
    uint64_t in = 0, out = 0;
    struct buf record = {0}, back = {0};

    ok(trainer_collecting(b->trainer) && newest(b) == NULL, "a new store collects samples");
    feed(b, 0);
    ok(stats(b).dictionaries == 1 && stats(b).newest == 1, "dictionary 1 is there");
    ok(!trainer_collecting(b->trainer), "nothing is collected after that");
    for (int i = 0; i < 1000; i++) {
        char text[256];
        struct slice payload = slice_of(text, make(0, text, sizeof(text)));
        record_value_encode(&record, store_key, 77, RECORD_ZSTD, newest(b), payload);
        used += record_value_compression(buf_slice(&record)) == RECORD_ZSTD_DICT;
        right += decode(b, buf_slice(&record), &back) == 0 && slice_eq(buf_slice(&back), payload);
        in += payload.len;
        out += record.len;
    }
    ok(right == 1000 && used == 1000, "a thousand records: %u come back, %u use the dictionary", right, used);
    ok(out < in, "%llu bytes became %llu, headers included", (unsigned long long)in, (unsigned long long)out);
    buf_free(&record);
    buf_free(&back);
}

static void test_sizes(struct bench *b)
{
    static const size_t sizes[] = {0, 1, 31, 32, 33, 511, 512, 4096, 64 * KIB, 64 * KIB + 1, 300 * KIB};
    uint8_t *bytes = mem_alloc(300 * KIB);
    enum record_compression how;
    bool same = true;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        memset(bytes, 'x', sizes[i]);
        same &= round_trip(b, slice_of(bytes, sizes[i]), &how);
        ok(how == (sizes[i] < 32          ? RECORD_PLAIN
                   : sizes[i] <= 64 * KIB ? RECORD_ZSTD_DICT
                                          : RECORD_ZSTD),
           "%zu equal bytes: kind %d", sizes[i], (int)how);
        for (size_t k = 0; k < sizes[i]; k++)
            bytes[k] = (uint8_t)rng_u64(&rng);
        same &= round_trip(b, slice_of(bytes, sizes[i]), &how);
        ok(how == RECORD_PLAIN, "%zu random bytes stay as they are", sizes[i]);
    }
    ok(same, "all of them come back");
    mem_free(bytes, 300 * KIB);
}

/* A record with its checksum made right again after `at` was changed. */
static void damage(struct buf *record, size_t at, uint8_t mask)
{
    struct slice body;
    record->p[at] ^= mask;
    body = slice_of(record->p, record->len - 4);
    record->len -= 4;
    buf_put_u32(record, crc32c(crc32c(0, store_key.p, store_key.len), body.p, body.len));
}

static void test_refused(struct bench *b)
{
    struct buf record = {0}, copy = {0}, back = {0};
    unsigned wrong = 0, accepted = 0;
    char text[256];
    size_t len = make(0, text, sizeof(text));

    record_value_encode(&record, store_key, 77, RECORD_ZSTD, newest(b), slice_of(text, len));
    for (size_t i = 0; i < record.len; i++) {
        buf_clear(&copy);
        buf_append_slice(&copy, buf_slice(&record));
        copy.p[i] ^= 0x10;
        wrong += decode(b, buf_slice(&copy), &back) != -EBADMSG;
    }
    ok(wrong == 0, "every damaged byte is noticed");
    for (size_t n = 0; n < record.len; n++)
        wrong += decode(b, slice_of(record.p, n), &back) != -EBADMSG;
    ok(wrong == 0, "every shorter record is refused");
    for (size_t i = 22; i < record.len - 4; i++) { /* what a checksum does not catch must not hurt */
        buf_clear(&copy);
        buf_append_slice(&copy, buf_slice(&record));
        damage(&copy, i, (uint8_t)(1 + rng_below(&rng, 255)));
        int err = decode(b, buf_slice(&copy), &back);
        wrong += err != 0 && err != -EBADMSG;
        accepted += err == 0 && back.len != len;
    }
    ok(wrong == 0 && accepted == 0, "damage below a right checksum: an error, or the right length");
    buf_clear(&copy);
    buf_append_slice(&copy, buf_slice(&record));
    damage(&copy, 18, 0x40); /* the id's first byte */
    ok(decode(b, buf_slice(&copy), &back) == -EBADMSG, "an unknown dictionary is refused");
    struct dictionaries none = {0};
    uint64_t stamp;
    ok(record_value_decode(store_key, buf_slice(&record), &none, &stamp, &back) == -EBADMSG, "and in an empty set");
    ok(decode(b, buf_slice(&record), &back) == 0, "the untouched record is still read");
    buf_free(&record);
    buf_free(&copy);
    buf_free(&back);
}

/* Records of every dictionary, read by the next process. */
static void test_reload(struct bench *b)
{
    struct buf old = {0}, recent = {0}, back = {0};
    char a[256], c[256];
    size_t alen = make(0, a, sizeof(a)), clen = make(1, c, sizeof(c));

    record_value_encode(&old, store_key, 77, RECORD_ZSTD, newest(b), slice_of(a, alen));
    feed(b, 0);
    ok(stats(b).trainings == 2 && stats(b).dictionaries == 1, "the same data again: no second dictionary");
    feed(b, 1);
    ok(stats(b).dictionaries == 2 && stats(b).newest == 2, "other data: a second dictionary");
    record_value_encode(&recent, store_key, 77, RECORD_ZSTD, newest(b), slice_of(c, clen));
    end_trainer(b);
    store_mem_crash(b->store);
    ok(open_bench(b, false) == 0 && stats(b).dictionaries == 2 && stats(b).newest == 2, "both are found after a crash");
    ok(decode(b, buf_slice(&old), &back) == 0 && slice_eq(buf_slice(&back), slice_of(a, alen)), "the first is used");
    ok(decode(b, buf_slice(&recent), &back) == 0 && slice_eq(buf_slice(&back), slice_of(c, clen)), "and the second");
    trainer_count(b->trainer, WINDOW * 16);
    ok(!trainer_collecting(b->trainer), "nothing is trained where that is not wanted");
    buf_free(&old);
    buf_free(&recent);
    buf_free(&back);
}

static void test_store_fails(void)
{
    struct bench b = {.disk = store_mem_disk_new(1)};
    ok(open_bench(&b, true) == 0, "another store");
    store_mem_fail(b.store, STORE_MEM_WRITE, 1, -EIO);
    feed(&b, 0);
    ok(stats(&b).failures == 1 && newest(&b) == NULL, "a dictionary that cannot be written is not used");
    store_mem_fail(b.store, STORE_MEM_FLUSH, 1, -EIO);
    feed(&b, 0);
    ok(stats(&b).failures == 2 && newest(&b) == NULL, "nor one that cannot be flushed");
    feed(&b, 0);
    ok(stats(&b).failures == 2 && stats(&b).newest == 1, "the next one is used");
    close_bench(&b);
}

static void put(struct store *store, struct slice key, struct slice value)
{
    struct store_batch batch = {0};
    store_batch_put(&batch, key, value);
    ok(store->ops->write(store, &batch) == 0, "written");
    store_batch_free(&batch);
}

static void test_damaged_dictionary(struct bench *b)
{
    struct buf key = {0}, record = {0};
    record_dictionary_key(&key, 2);
    ok(b->store->ops->get(b->store, buf_slice(&key), &record) == 0, "the record of dictionary 2");
    record.p[record.len / 2] ^= 1;
    put(b->store, buf_slice(&key), buf_slice(&record));
    end_trainer(b);
    b->store->ops->close(b->store);
    ok(open_bench(b, true) == -EBADMSG, "damaged: refused");
    ok(strstr(b->error, "dictionary on flash is damaged") != NULL, "and said: %s", b->error);
    pool_free(b->pool);
    b->store->ops->close(b->store);
    store_mem_disk_free(b->disk);
    buf_free(&key);
    buf_free(&record);
}

/* Samples from several threads at once, while records are encoded. */
static void *feeder(void *arg)
{
    struct bench *b = arg;
    struct rng own;
    struct buf record = {0}, back = {0};
    unsigned wrong = 0;
    rng_seed(&own, 1);
    for (int i = 0; i < 20000; i++) {
        char text[128];
        int n =
            snprintf(text, sizeof(text), "{\"thread\":\"some\",\"number\":%llu,\"rest\":\"of the sample, the same\"}",
                     (unsigned long long)rng_below(&own, 100000));
        trainer_count(b->trainer, 1000);
        trainer_sample(b->trainer, slice_of(text, (size_t)n));
        record_value_encode(&record, store_key, 77, RECORD_ZSTD, newest(b), slice_of(text, (size_t)n));
        wrong += decode(b, buf_slice(&record), &back) != 0 || back.len != (size_t)n;
    }
    buf_free(&record);
    buf_free(&back);
    return wrong == 0 ? b : NULL;
}

static void test_threads(void)
{
    struct bench b = {.disk = store_mem_disk_new(1)};
    pthread_t thread[4];
    unsigned right = 0;
    ok(open_bench(&b, true) == 0, "a store for four threads");
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, feeder, &b);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(thread[i], &result);
        right += result != NULL;
    }
    ok(right == 4, "all records came back on %u of 4 threads", right);
    close_bench(&b);
    ok(true, "a training under way ends with the pool");
}

int main(void)
{
    uint64_t seed = tap_seed();
    struct bench b = {.disk = store_mem_disk_new(seed)};
    rng_seed(&rng, seed);
    ok(open_bench(&b, true) == 0, "open");
    test_train_and_use(&b);
    test_sizes(&b);
    test_refused(&b);
    test_reload(&b);
    test_damaged_dictionary(&b);
    test_store_fails();
    test_threads();
    return tap_done();
}
