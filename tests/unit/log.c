/* The log from one and several threads: positions, rotation, recycling, huge frames, room, checkpoints, replay. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log.h"
#include "tests/sim/fs_sim.h"
#include "tests/sim/tap.h"

#define DIR "log"

struct bench {
    struct fs_sim *disk;
    struct clock_manual manual;
    struct entropy_seeded entropy;
    struct log_config cfg;
    struct log *log;
    char error[512];
    _Atomic int fatal;
    _Atomic int progress;
};

static void on_progress(void *arg) { atomic_fetch_add(&((struct bench *)arg)->progress, 1); }

static void on_fatal(void *arg, const char *what, int error)
{
    (void)what;
    atomic_store(&((struct bench *)arg)->fatal, error);
}

static void bench_init(struct bench *b, unsigned writers, bool threadless)
{
    memset(b, 0, sizeof(*b));
    b->disk = fs_sim_new(7);
    clock_manual_init(&b->manual, 1000000, 0);
    entropy_seeded_init(&b->entropy, 9);
    b->cfg = (struct log_config){.fs = fs_sim_fs(b->disk),
                                 .clock = threadless ? &b->manual.base : clock_real(),
                                 .entropy = &b->entropy.base,
                                 .dir = DIR,
                                 .segment_bytes = 4096,
                                 .writers = writers,
                                 .threadless = threadless,
                                 .progress = on_progress,
                                 .fatal = on_fatal,
                                 .arg = b};
}

static struct log_recovery bench_recover(struct bench *b)
{
    ensure(log_open(&b->log, &b->cfg, b->error) == 0);
    struct log_recovery r = {.from = log_last_checkpoint(b->log)->l0};
    ensure(log_recover(b->log, &r, b->error) == 0);
    return r;
}

static void bench_start(struct bench *b)
{
    (void)bench_recover(b);
    ensure(log_start(b->log, b->error) == 0);
}

static void bench_free(struct bench *b)
{
    if (b->log != NULL)
        log_close(b->log, LOG_MARK_NONE);
    fs_sim_free(b->disk);
}

/* Takes turns until the log wants none. */
static void settle(struct bench *b)
{
    while (log_turn(b->log) == 0)
        ;
}

static uint64_t append_text(struct bench *b, unsigned writer, const char *text)
{
    struct iovec iov = {(void *)text, strlen(text)};
    return log_append(b->log, writer, &iov, 1, iov.iov_len, true);
}

static uint64_t append_bytes(struct bench *b, size_t len, bool logged)
{
    uint8_t *p = mem_zalloc(len);
    struct iovec iov = {p, len};
    uint64_t end = log_append(b->log, 0, &iov, 1, len, logged);
    mem_free(p, len);
    return end;
}

static int gather(void *arg, uint64_t lsn, struct slice payload)
{
    (void)lsn;
    buf_append_slice(arg, payload);
    return 0;
}

/* All that is replayed from `from`, as one string; the caller frees. */
static struct buf replay_text(struct bench *b, uint64_t from)
{
    struct buf all = {0};
    ensure(log_replay(b->log, from, gather, &all) == 0);
    return all;
}

static void test_positions(void)
{
    struct bench b;
    bench_init(&b, 1, true);
    ensure(log_open(&b.log, &b.cfg, b.error) == 0);
    ok(!log_existed(b.log) && log_clean_stop(b.log) == UINT64_MAX, "a new log knows that it is new");
    struct log_recovery r = {.from = 100};
    ok(log_recover(b.log, &r, b.error) == 0 && r.end == 100 && log_start(b.log, b.error) == 0,
       "it starts at or above what is on flash");
    ok(append_text(&b, 0, "hello") == 105 && log_appended(b.log) == 105 && log_written(b.log) == 105 &&
           log_durable(b.log) == 100,
       "appended and written move, durable does not");
    ok(append_bytes(&b, 10, false) == 115, "an unlogged frame takes LSNs");
    log_want_durable(b.log, 115);
    settle(&b);
    ok(log_durable(b.log) == 115, "a wanted sync moves durable");
    append_text(&b, 0, "world");
    log_close(b.log, LOG_MARK_CLEAN_STOP);
    ensure(log_open(&b.log, &b.cfg, b.error) == 0);
    ok(log_existed(b.log) && log_clean_stop(b.log) == 120 && log_last_checkpoint(b.log)->l0 == 100,
       "a clean stop is remembered");
    r = (struct log_recovery){.from = 100};
    ok(log_recover(b.log, &r, b.error) == 0 && r.end == 120 && r.frames == 2 && r.bytes == 10, "and recovered");
    struct buf text = replay_text(&b, 100);
    ok(slice_is(buf_slice(&text), "helloworld"), "what was logged is replayed");
    buf_free(&text);
    text = replay_text(&b, 105);
    ok(slice_is(buf_slice(&text), "world"), "from any frame on");
    buf_free(&text);
    ensure(log_start(b.log, b.error) == 0);
    ok(log_clean_stop(b.log) == UINT64_MAX, "the mark is gone when the log starts");
    bench_free(&b);
}

static void test_everysec(void)
{
    struct bench b;
    bench_init(&b, 1, true);
    bench_start(&b);
    settle(&b);
    uint64_t began = b.manual.now_us, end = append_text(&b, 0, "x");
    for (uint64_t us; (us = log_turn(b.log)) != UINT64_MAX && log_durable(b.log) < end;)
        b.manual.now_us += us;
    ok(log_durable(b.log) == end && b.manual.now_us - began <= 1000000, "a write is synced within a second");
    append_text(&b, 0, "y");
    ok(!log_lagging(b.log, b.manual.now_us), "a fresh write does not lag");
    b.manual.now_us += 2100000;
    ok(log_lagging(b.log, b.manual.now_us), "one that nobody syncs does");
    settle(&b);
    ok(!log_lagging(b.log, b.manual.now_us), "until it is synced");
    log_set_everysec(b.log, false);
    end = append_text(&b, 0, "z");
    b.manual.now_us += 5000000;
    settle(&b);
    ok(!log_lagging(b.log, b.manual.now_us) && log_durable(b.log) < end, "without everysec nothing is due");
    log_set_everysec(b.log, true);
    b.manual.now_us += 1000000;
    settle(&b);
    ok(log_durable(b.log) == end, "turned on, it covers what is there already");
    bench_free(&b);
}

static void test_rotation(void)
{
    struct bench b;
    struct log_info info;
    bench_init(&b, 1, true);
    bench_start(&b);
    settle(&b);
    struct buf expected = {0};
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof(text), "frame %d of many;", i);
        buf_append_str(&expected, text);
        ensure(log_admit(b.log, strlen(text), false) == LOG_ROOM_OK);
        append_text(&b, 0, text);
        settle(&b);
    }
    log_info(b.log, &info);
    ok(info.segments >= 7 && info.frames == 200, "segments follow one another");
    log_close(b.log, LOG_MARK_NONE);
    fs_sim_crash(b.disk);
    struct log_recovery r = bench_recover(&b);
    struct buf text = replay_text(&b, 0);
    ok(r.frames == 200 && slice_eq(buf_slice(&text), buf_slice(&expected)), "and are replayed in order");
    buf_free(&text);
    buf_free(&expected);
    bench_free(&b);
}

static void test_checkpoint(void)
{
    struct bench b;
    struct log_info before, after;
    bench_init(&b, 1, true);
    bench_start(&b);
    settle(&b);
    uint64_t l0 = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t end = append_bytes(&b, 300, true);
        l0 = i == 79 ? end : l0;
        settle(&b);
    }
    log_info(b.log, &before);
    struct log_checkpoint c = {.l0 = l0, .state = SLICE_LIT("the state"), .replid = "me"};
    ok(log_checkpoint(b.log, &c, 600) == 0, "a checkpoint is recorded");
    log_info(b.log, &after);
    ok(after.first_lsn <= 600 && after.segments == before.segments, "what a replica needs is kept");
    for (int i = 0; i < 60; i++) {
        append_bytes(&b, 300, true);
        settle(&b);
    }
    c.l0 = l0 = log_appended(b.log) - 20 * 300;
    ok(log_checkpoint(b.log, &c, UINT64_MAX) == 0, "and another");
    log_info(b.log, &after);
    ok(log_durable(b.log) >= l0 && after.first_lsn <= l0 && after.first_lsn > l0 - 8192,
       "the log is cut below L0 and not above");
    uint64_t bytes = after.segment_bytes;
    for (int i = 0; i < 20; i++) {
        append_bytes(&b, 300, true);
        settle(&b);
    }
    log_info(b.log, &after);
    ok(after.segment_bytes == bytes, "the segments below are used again");
    ok(log_since_checkpoint(b.log) == 40 * 300, "the log since L0 is counted");
    log_close(b.log, LOG_MARK_NONE);
    fs_sim_crash(b.disk);
    struct log_recovery r = bench_recover(&b);
    ok(log_last_checkpoint(b.log)->l0 == l0 && slice_is(log_last_checkpoint(b.log)->state, "the state") &&
           strcmp(log_last_checkpoint(b.log)->replid, "me") == 0 && r.frames == 40,
       "recovery starts at L0");
    bench_free(&b);
}

static void test_huge(void)
{
    struct bench b;
    bench_init(&b, 1, true);
    bench_start(&b);
    settle(&b);
    ok(log_admit(b.log, 50000, false) == LOG_ROOM_WAIT, "a frame larger than a segment waits for one of its own");
    settle(&b);
    ok(log_admit(b.log, 50000, false) == LOG_ROOM_OK, "and gets it");
    append_text(&b, 0, "small");
    uint64_t end = append_bytes(&b, 50000, true);
    append_text(&b, 0, "small");
    log_want_durable(b.log, end + 5);
    settle(&b);
    ok(append_bytes(&b, 20000, true) == end + 20005, "one that was not admitted waits inside");
    log_close(b.log, LOG_MARK_NONE);
    struct log_recovery r = bench_recover(&b);
    ok(r.frames == 4 && r.bytes == 70010, "they are recovered");
    bench_free(&b);
}

static void test_full_disk(void)
{
    struct bench b;
    struct log_info info;
    bench_init(&b, 1, true);
    b.cfg.reserve_bytes = 10000;
    bench_start(&b);
    settle(&b);
    fs_sim_set_quota(b.disk, 8 * 4096 + 10000);
    int appended = 0;
    enum log_room room;
    while ((room = log_admit(b.log, 300, false)) != LOG_ROOM_FULL && appended < 1000) {
        if (room == LOG_ROOM_OK)
            append_bytes(&b, 300, true), appended++;
        settle(&b);
    }
    log_info(b.log, &info);
    ok(room == LOG_ROOM_FULL && info.disk_full, "a full disk refuses writes");
    uint64_t left = 0;
    ensure(b.cfg.fs->ops->free_bytes(b.cfg.fs, DIR, &left) == 0);
    ok(left >= 9000, "room for a checkpoint is left");
    int reserved = 0;
    for (; reserved < 100 && log_admit(b.log, 300, true) == LOG_ROOM_OK; reserved++, settle(&b))
        append_bytes(&b, 300, true);
    ok(reserved >= 8 && reserved < 100, "deletions go on for a segment");
    struct log_checkpoint c = {.l0 = log_appended(b.log)};
    ok(log_durable(b.log) < c.l0 && log_checkpoint(b.log, &c, UINT64_MAX) == 0 && log_durable(b.log) == c.l0,
       "a checkpoint can be recorded, and makes the log durable up to it");
    b.manual.now_us += 200000;
    settle(&b);
    ok(log_admit(b.log, 300, false) == LOG_ROOM_OK, "it makes room");
    log_info(b.log, &info);
    ok(!info.disk_full && atomic_load(&b.fatal) == 0, "and all is well");
    bench_free(&b);
}

static void test_failed_sync(void)
{
    struct bench b;
    bench_init(&b, 1, true);
    bench_start(&b);
    settle(&b);
    uint64_t end = append_text(&b, 0, "lost?");
    fs_sim_fail(b.disk, FS_SIM_SYNC, 1, -EIO);
    log_want_durable(b.log, end);
    settle(&b);
    ok(atomic_load(&b.fatal) == -EIO, "a failed sync is fatal");
    log_want_durable(b.log, end + 1);
    append_text(&b, 0, "more");
    b.manual.now_us += 3000000;
    settle(&b);
    ok(log_durable(b.log) == 0 && log_written(b.log) == end, "it is not tried again, and nothing moves any more");
    bench_free(&b);
}

static void test_failed_write(void)
{
    struct bench b;
    bench_init(&b, 2, true);
    bench_start(&b);
    settle(&b);
    uint64_t before = append_text(&b, 0, "good");
    fs_sim_fail(b.disk, FS_SIM_WRITE, 1, -EIO);
    append_text(&b, 1, "bad");
    append_text(&b, 0, "later");
    append_text(&b, 1, "later");
    ok(atomic_load(&b.fatal) == -EIO && log_written(b.log) == before, "written does not pass a failed write");
    bench_free(&b);
}

struct meanwhile {
    struct bench *bench;
    uint64_t written, durable; /* as they were while the write was in progress */
};

/* Another writer's frame is complete, and its sync is wanted. */
static void overtake(void *arg)
{
    struct meanwhile *m = arg;
    log_want_durable(m->bench->log, append_text(m->bench, 1, "fast"));
    settle(m->bench);
    m->written = log_written(m->bench->log);
    m->durable = log_durable(m->bench->log);
}

/* `filled` bytes before it decide whether the frame that is slow closes its segment. */
static void test_slow_write(size_t filled)
{
    struct bench b;
    struct meanwhile m = {.bench = &b};
    bench_init(&b, 2, true);
    bench_start(&b);
    settle(&b);
    uint64_t before = append_bytes(&b, filled, true);
    fs_sim_during_write(b.disk, overtake, &m);
    uint64_t end = append_text(&b, 0, "slow");
    ok(m.written == before, "written does not pass a write in progress");
    ok(m.durable == before, "nor does a sync that ends meanwhile");
    ok(log_written(b.log) == end + 4, "it does when the write is there");
    settle(&b);
    ok(log_durable(b.log) == end + 4 && atomic_load(&b.fatal) == 0, "and what was wanted becomes durable");
    log_close(b.log, LOG_MARK_CLEAN_STOP);
    struct log_recovery r = bench_recover(&b);
    ok(r.frames == 3 && r.end == end + 4, "all of it is recovered");
    bench_free(&b);
}

static void test_lost_manifest(void)
{
    struct bench b;
    bench_init(&b, 1, true);
    bench_start(&b);
    settle(&b);
    append_text(&b, 0, "x");
    log_close(b.log, LOG_MARK_CLEAN_STOP);
    b.log = NULL;
    ensure(b.cfg.fs->ops->rename(b.cfg.fs, DIR "/kelvin.manifest", DIR "/away") == 0);
    ok(log_open(&b.log, &b.cfg, b.error) == -EBADMSG && strstr(b.error, "kelvin.manifest") != NULL,
       "segments without their manifest are refused");
    ensure(b.cfg.fs->ops->rename(b.cfg.fs, DIR "/away", DIR "/kelvin.manifest") == 0);
    ensure(fs_sim_flip(b.disk, DIR "/kelvin.manifest", 25, 1));
    ok(log_open(&b.log, &b.cfg, b.error) == -EBADMSG && strstr(b.error, "damaged") != NULL,
       "a damaged manifest is refused");
    b.log = NULL;
    bench_free(&b);
}

/* --- several threads -------------------------------------------------------------------------------------------- */

#define THREADS 3
#define FRAMES 400

struct writer {
    struct bench *bench;
    unsigned index;
    uint64_t ends[FRAMES];
    bool disordered;
};

static void *write_frames(void *arg)
{
    struct writer *w = arg;
    struct log *l = w->bench->log;
    for (unsigned i = 0; i < FRAMES; i++) {
        char text[64];
        snprintf(text, sizeof(text), "[%u %u]%.*s", w->index, i, (int)(i % 40),
                 "........................................");
        while (log_admit(l, strlen(text), false) != LOG_ROOM_OK)
            clock_real()->sleep_us(clock_real(), 50);
        w->ends[i] = append_text(w->bench, w->index, text);
        uint64_t durable = log_durable(l), written = log_written(l), appended = log_appended(l);
        w->disordered |= durable > written || written > appended || appended < w->ends[i];
        if (i % 16 == 0)
            log_want_durable(l, w->ends[i]);
    }
    return NULL;
}

struct tally {
    unsigned next[THREADS];
    bool wrong;
    uint64_t lsn;
};

static int count_frame(void *arg, uint64_t lsn, struct slice payload)
{
    struct tally *t = arg;
    unsigned writer, number;
    char text[64] = "";
    memcpy(text, payload.p, payload.len < 63 ? payload.len : 63);
    t->wrong |= sscanf(text, "[%u %u]", &writer, &number) != 2 || writer >= THREADS || lsn != t->lsn;
    if (!t->wrong)
        t->wrong = number != t->next[writer]++;
    t->lsn = lsn + payload.len;
    return 0;
}

/* Checkpoints beside the writers. */
static void cut_now_and_then(struct bench *b)
{
    for (int i = 0; i < 20; i++) {
        struct log_checkpoint c = {.l0 = log_written(b->log)};
        ensure(log_checkpoint(b->log, &c, 0) == 0);
        clock_real()->sleep_us(clock_real(), 500);
    }
}

static void test_threads(void)
{
    struct bench b;
    struct writer w[THREADS];
    pthread_t t[THREADS];
    bench_init(&b, THREADS, false);
    bench_start(&b);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct writer){.bench = &b, .index = i};
        ensure(pthread_create(&t[i], NULL, write_frames, &w[i]) == 0);
    }
    cut_now_and_then(&b);
    bool disordered = false;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        disordered |= w[i].disordered;
    }
    ok(!disordered, "durable <= written <= appended, always");
    uint64_t end = log_appended(b.log);
    ok(log_written(b.log) == end, "with nobody writing, all is written");
    log_want_durable(b.log, end);
    while (log_durable(b.log) < end)
        clock_real()->sleep_us(clock_real(), 100);
    ok(atomic_load(&b.progress) > 0, "progress was reported");
    log_close(b.log, LOG_MARK_CLEAN_STOP);
    ensure(log_open(&b.log, &b.cfg, b.error) == 0);
    struct log_recovery r = {.from = 0};
    ok(log_recover(b.log, &r, b.error) == 0 && r.end == end && r.frames == THREADS * FRAMES, "everything is recovered");
    struct tally tally = {.wrong = false};
    ok(log_replay(b.log, 0, count_frame, &tally) == 0 && !tally.wrong && tally.next[0] == FRAMES &&
           tally.next[1] == FRAMES && tally.next[2] == FRAMES,
       "each writer's frames in its order, without holes");
    bench_free(&b);
}

int main(void)
{
    test_positions();
    test_everysec();
    test_rotation();
    test_checkpoint();
    test_huge();
    test_full_disk();
    test_failed_sync();
    test_failed_write();
    test_slow_write(100);
    test_slow_write(3800);
    test_lost_manifest();
    test_threads();
    return tap_done();
}
