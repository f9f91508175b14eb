/* The log against a list of what was appended, on a simulated disk that loses power, over many lives of one log.
 *
 * A life: open, recover, check, run random operations, end. It ends cleanly, or the program is killed (the page cache
 * survives), or the power goes at a random call, in recovery as well. Now and then a sync fails, or the disk fills up.
 * After every recovery:
 *   - what is replayed is exactly the logged frames from L0 on up to one LSN: nothing missing, nothing twice, nothing
 * else;
 *   - that LSN is at or past all that was ever reported durable, and after a mere kill past all that was written;
 *   - the checkpoint is the last one recorded, or the one that was being recorded.
 * And damage: a flipped byte below what is known durable is refused without a change, one above is cut.
 *
 * KELVIN_SEED replays a run, KELVIN_TEST_SCALE multiplies its length. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/log.h"
#include "persist/manifest.h"
#include "persist/segment.h"
#include "tests/sim/fs_sim.h"
#include "tests/sim/tap.h"

#define DIR "data/appendonlydir"
#define SEGMENT_BYTES 4096
#define FRAME_MAX (3 * SEGMENT_BYTES)
#define FRAMES_MAX 100000
#define WRITERS 3

struct record {
    uint64_t lsn;
    uint32_t len;
    uint32_t nonce;
    bool logged;
};

struct model {
    struct fs_sim *disk;
    struct clock_manual clock;
    struct entropy_seeded entropy;
    struct rng rng;
    struct log *log;
    struct record *frames; /* the history, in order */
    size_t count;
    uint64_t end;      /* LSN behind it */
    uint64_t promised; /* highest LSN reported durable */
    uint64_t written;  /* after a kill, else 0 */
    uint64_t l0, l0_tried;
    bool fatal;
    size_t replayed; /* index of the next frame to be replayed */
    const char *wrong;
};

static void fill_payload(uint8_t *p, const struct record *f)
{
    struct rng r;
    rng_seed(&r, f->lsn * 1000003 + f->nonce);
    for (uint32_t i = 0; i < f->len; i++)
        p[i] = (uint8_t)rng_u64(&r);
    if (f->len > 4 && f->nonce % 5 == 0)
        memcpy(p, "#F lsn=00", f->len < 9 ? f->len : 9);
}

static void on_progress(void *arg) { (void)arg; }

static void on_fatal(void *arg, const char *what, int error)
{
    struct model *m = arg;
    (void)what;
    (void)error;
    m->fatal = true;
}

static void complain(struct model *m, const char *what)
{
    if (m->wrong == NULL)
        m->wrong = what;
}

/* --- recovery and its check ------------------------------------------------------------------------------------- */

static int check_frame(void *arg, uint64_t lsn, struct slice payload)
{
    static uint8_t expected[FRAME_MAX];
    struct model *m = arg;
    while (m->replayed < m->count &&
           (!m->frames[m->replayed].logged || m->frames[m->replayed].lsn + m->frames[m->replayed].len <= m->l0))
        m->replayed++;
    if (m->replayed == m->count)
        return 1;
    const struct record *f = &m->frames[m->replayed++];
    fill_payload(expected, f);
    return lsn != f->lsn || payload.len != f->len || memcmp(payload.p, expected, f->len) != 0;
}

/* The end of the last logged frame that ends at or below `lsn`: what a promise of `lsn` means on disk. */
static uint64_t logged_end(const struct model *m, uint64_t lsn)
{
    for (size_t i = m->count; i > 0; i--) {
        const struct record *f = &m->frames[i - 1];
        if (f->logged && f->lsn + f->len <= lsn)
            return f->lsn + f->len;
    }
    return 0;
}

static void forget_above(struct model *m, uint64_t lsn)
{
    while (m->count > 0 && m->frames[m->count - 1].lsn + m->frames[m->count - 1].len > lsn)
        m->count--;
    m->end = lsn;
}

static void check_checkpoint(struct model *m)
{
    char state[32];
    const struct log_checkpoint *c = log_last_checkpoint(m->log);
    if (c->l0 != m->l0 && c->l0 != m->l0_tried)
        complain(m, "the checkpoint is another one");
    m->l0 = m->l0_tried = c->l0;
    snprintf(state, sizeof(state), "state-%" PRIx64, c->l0);
    if (c->l0 > 0 && !slice_eq(c->state, slice_str(state)))
        complain(m, "the checkpoint's state is another one");
}

static void check_recovered(struct model *m, const struct log_recovery *r, uint64_t stop)
{
    if (r->end < logged_end(m, m->promised))
        complain(m, "durable frames are lost");
    if (r->end < logged_end(m, m->written))
        complain(m, "written frames are lost in a kill");
    if (stop != UINT64_MAX && (stop != m->end || r->end != stop))
        complain(m, "the clean stop's end is not the log's end");
    forget_above(m, max_u64(r->end, m->l0));
    m->end = r->end;
    m->replayed = 0;
    if (log_replay(m->log, m->l0, check_frame, m) != 0)
        complain(m, "the replay differs");
    uint64_t last = logged_end(m, r->end);
    if (last > m->l0 && (m->replayed == 0 || m->frames[m->replayed - 1].lsn + m->frames[m->replayed - 1].len != last))
        complain(m, "the replay is too short");
    m->promised = r->end; /* not its maximum: unlogged frames behind the end are taken back */
    m->written = 0;
}

static struct log_config config_of(struct model *m)
{
    return (struct log_config){.fs = fs_sim_fs(m->disk),
                               .clock = &m->clock.base,
                               .entropy = &m->entropy.base,
                               .dir = DIR,
                               .segment_bytes = SEGMENT_BYTES,
                               .reserve_bytes = 1024,
                               .writers = WRITERS,
                               .threadless = true,
                               .progress = on_progress,
                               .fatal = on_fatal,
                               .arg = m};
}

/* 0: the log runs. Errors are only legal when the power has gone. */
static int start_life(struct model *m, char *error)
{
    struct log_config cfg = config_of(m);
    m->fatal = false;
    int err = fs_sim_fs(m->disk)->ops->mkdir(fs_sim_fs(m->disk), "data");
    if (err == 0)
        err = fs_sim_fs(m->disk)->ops->sync_dir(fs_sim_fs(m->disk), ".");
    m->log = NULL;
    if (err == 0)
        err = log_open(&m->log, &cfg, error);
    if (err != 0)
        return err;
    uint64_t stop = log_clean_stop(m->log);
    check_checkpoint(m);
    struct log_recovery r = {.from = m->l0};
    err = log_recover(m->log, &r, error);
    if (err == 0 && !fs_sim_frozen(m->disk))
        check_recovered(m, &r, stop);
    if (err == 0)
        err = log_start(m->log, error);
    return err;
}

/* --- operations ------------------------------------------------------------------------------------------------- */

static uint32_t random_length(struct rng *r)
{
    if (rng_below(r, 60) == 0)
        return 1 + (uint32_t)rng_below(r, FRAME_MAX);
    return 1 + (uint32_t)rng_below(r, rng_below(r, 4) == 0 ? 1500 : 120);
}

static void append(struct model *m)
{
    static uint8_t payload[FRAME_MAX];
    struct record f = {.lsn = m->end,
                       .len = random_length(&m->rng),
                       .nonce = (uint32_t)rng_u64(&m->rng),
                       .logged = rng_below(&m->rng, 8) != 0};
    if (log_admit(m->log, f.len, rng_below(&m->rng, 10) == 0) != LOG_ROOM_OK || m->count == FRAMES_MAX)
        return;
    fill_payload(payload, &f);
    size_t half = f.len / 2;
    struct iovec iov[2] = {{payload, half}, {payload + half, f.len - half}};
    m->frames[m->count++] = f;
    m->end = f.lsn + f.len;
    uint64_t end = log_append(m->log, (unsigned)rng_below(&m->rng, WRITERS), iov, 2, f.len, f.logged);
    if (!m->fatal && end != m->end)
        complain(m, "a frame has another LSN");
}

static void checkpoint(struct model *m)
{
    char state[32];
    uint64_t l0 = m->end, keep = UINT64_MAX;
    if (m->count > 0 && rng_below(&m->rng, 2) == 0)
        l0 = max_u64(m->l0, m->frames[m->count - 1 - rng_below(&m->rng, min_u64(m->count, 40))].lsn);
    if (rng_below(&m->rng, 3) == 0)
        keep = l0 / 2;
    snprintf(state, sizeof(state), "state-%" PRIx64, l0);
    struct log_checkpoint c = {
        .l0 = l0, .state = slice_str(state), .replid = "0123456789012345678901234567890123456789"};
    m->l0_tried = l0;
    if (log_checkpoint(m->log, &c, keep) == 0)
        m->l0 = l0;
}

static void take_turns(struct model *m)
{
    m->clock.now_us += rng_below(&m->rng, 400000);
    for (uint64_t n = rng_below(&m->rng, 12); n > 0; n--)
        if (log_turn(m->log) != 0)
            break;
}

static void trouble(struct model *m)
{
    switch (rng_below(&m->rng, 40)) {
    case 0:
        fs_sim_fail(m->disk, FS_SIM_SYNC, 1 + rng_below(&m->rng, 4), -EIO);
        break;
    case 1:
        fs_sim_fail(m->disk, FS_SIM_WRITE, 1 + rng_below(&m->rng, 9), -EIO);
        break;
    case 2:
    case 3:
        fs_sim_set_quota(m->disk, SEGMENT_BYTES * rng_below(&m->rng, 8));
        break;
    case 4:
    case 5:
    case 6:
        fs_sim_set_quota(m->disk, UINT64_MAX);
        break;
    }
}

static void operate(struct model *m)
{
    switch (rng_below(&m->rng, 16)) {
    case 0:
        checkpoint(m);
        break;
    case 1:
    case 2:
        log_want_durable(m->log, m->end);
        break;
    case 3:
    case 4:
    case 5:
        take_turns(m);
        break;
    case 6:
        trouble(m);
        break;
    default:
        append(m);
    }
    m->promised = max_u64(m->promised, log_durable(m->log));
    if (log_durable(m->log) > log_written(m->log) || log_written(m->log) > log_appended(m->log))
        complain(m, "the positions are out of order");
}

/* --- ends of a life --------------------------------------------------------------------------------------------- */

/* Closes without a trace on disk. */
static void vanish(struct model *m)
{
    fs_sim_freeze_after(m->disk, 0);
    if (m->log != NULL)
        log_close(m->log, LOG_MARK_NONE);
    m->log = NULL;
}

static void end_life(struct model *m, bool running)
{
    m->written = 0;
    bool frozen = fs_sim_frozen(m->disk);
    uint64_t written = running && !frozen ? log_written(m->log) : 0;
    if (running && !m->fatal && !frozen && rng_below(&m->rng, 4) == 0) {
        fs_sim_freeze_after(m->disk, UINT64_MAX);
        fs_sim_set_quota(m->disk, UINT64_MAX);
        log_close(m->log, LOG_MARK_CLEAN_STOP);
        m->log = NULL;
        m->promised = m->fatal ? m->promised : m->end;
        if (rng_below(&m->rng, 2) == 0)
            fs_sim_crash(m->disk);
    } else if (frozen || rng_below(&m->rng, 2) == 0) {
        vanish(m);
        fs_sim_crash(m->disk);
    } else {
        vanish(m);
        m->written = written;
    }
    fs_sim_freeze_after(m->disk, UINT64_MAX);
    fs_sim_set_quota(m->disk, UINT64_MAX);
    for (int i = 0; i < FS_SIM_CALLS; i++)
        fs_sim_fail(m->disk, (enum fs_sim_call)i, 0, 0);
}

/* --- damage ----------------------------------------------------------------------------------------------------- */

/* Where the frame with this LSN lies. */
static bool locate(struct model *m, const struct record *f, struct buf *path, uint64_t *off)
{
    struct manifest man;
    bool found = false;
    struct fs *fs = fs_sim_fs(m->disk);
    manifest_init(&man);
    ensure(manifest_load(&man, fs, DIR) == 0);
    for (size_t i = 0; i < man.count && !found; i++) {
        struct file *file;
        struct segment_reader r;
        buf_clear(path);
        buf_printf(path, "%s/%s%c", DIR, man.segments[i].name, 0);
        ensure(fs->ops->open(fs, (char *)path->p, FS_READ, &file) == 0);
        ensure(segment_reader_init(&r, file, man.segments[i].id) == 0);
        while (!found && segment_next(&r) == SEGMENT_FRAME && r.frame.lsn < man.segments[i].end)
            found = r.frame.lsn == f->lsn;
        *off = r.item_off;
        segment_reader_free(&r);
        file->ops->close(file);
    }
    manifest_free(&man);
    return found;
}

/* A logged frame with lsn >= from, or NULL. */
static const struct record *choose_frame(struct model *m, uint64_t from)
{
    size_t first = m->count;
    while (first > 0 && m->frames[first - 1].lsn >= from)
        first--;
    if (first == m->count)
        return NULL;
    const struct record *f = &m->frames[first + rng_below(&m->rng, m->count - first)];
    return f->logged ? f : NULL;
}

/* Flips a byte of a frame, recovers, expects `err`, and an end at the frame if it is 0. */
static void damage(struct model *m, const struct record *chosen, int expected)
{
    char error[512];
    struct buf path = {0};
    struct record f = *chosen;
    uint64_t off, before = logged_end(m, f.lsn);
    struct log_config cfg = config_of(m);
    if (!locate(m, &f, &path, &off)) {
        complain(m, "a frame cannot be located");
        buf_free(&path);
        return;
    }
    off += rng_below(&m->rng, SEGMENT_FRAME_BYTES + f.len);
    uint8_t mask = (uint8_t)(1 + rng_below(&m->rng, 255));
    ensure(fs_sim_flip(m->disk, (char *)path.p, off, mask));
    ensure(log_open(&m->log, &cfg, error) == 0);
    struct log_recovery r = {.from = m->l0};
    int err = log_recover(m->log, &r, error);
    if (err != expected)
        complain(m, expected == 0 ? "a damaged tail is refused" : "damage below known durable is not refused");
    if (err == 0 && expected == 0 && r.end != max_u64(before, m->l0))
        complain(m, "the cut is in the wrong place");
    vanish(m);
    fs_sim_freeze_after(m->disk, UINT64_MAX);
    if (err == 0) {
        forget_above(m, max_u64(r.end, m->l0));
        m->promised = r.end;
    } else
        ensure(fs_sim_flip(m->disk, (char *)path.p, off, mask));
    buf_free(&path);
    m->written = 0;
}

static void close_cleanly(struct model *m)
{
    log_close(m->log, LOG_MARK_CLEAN_STOP);
    m->log = NULL;
    m->promised = m->end;
}

/* The log is running and nothing was tampered with. Leaves it closed. */
static void damage_below(struct model *m)
{
    close_cleanly(m);
    const struct record *f = choose_frame(m, m->l0);
    if (f != NULL && !m->fatal)
        damage(m, f, -EBADMSG);
}

/* Some frames that are durable and some that are not, without a manifest that says so; then the program is killed. */
static uint64_t leave_unsynced(struct model *m)
{
    log_want_durable(m->log, m->end);
    while (log_turn(m->log) == 0)
        ;
    uint64_t durable = log_durable(m->log);
    for (int i = 0; i < 5; i++)
        append(m);
    ensure(!m->fatal);
    vanish(m);
    m->fatal = false; /* the last sync has failed, as it was to */
    fs_sim_freeze_after(m->disk, UINT64_MAX);
    return durable;
}

/* Only the frames behind the damage know that it was durable. */
static void damage_marked(struct model *m)
{
    uint64_t durable = leave_unsynced(m);
    const struct record *f = choose_frame(m, m->l0);
    if (f != NULL && f->lsn < durable && logged_end(m, m->end) > durable)
        damage(m, f, -EBADMSG);
}

static void damage_above(struct model *m)
{
    uint64_t durable = leave_unsynced(m);
    const struct record *f = choose_frame(m, durable);
    if (f != NULL)
        damage(m, f, 0);
}

/* --- the run ---------------------------------------------------------------------------------------------------- */

static bool live_once(struct model *m)
{
    char error[512] = "";
    if (rng_below(&m->rng, 3) != 0)
        fs_sim_freeze_after(m->disk, rng_below(&m->rng, rng_below(&m->rng, 2) == 0 ? 60 : 400));
    int err = start_life(m, error);
    if (err != 0 && !fs_sim_frozen(m->disk)) {
        tap_diag("start: %d %s", err, error);
        complain(m, "a start failed");
    }
    for (uint64_t n = err == 0 ? rng_below(&m->rng, 200) : 0; n > 0 && !m->fatal && !fs_sim_frozen(m->disk); n--)
        operate(m);
    bool calm = err == 0 && !m->fatal && !fs_sim_frozen(m->disk) && rng_below(&m->rng, 5) == 0;
    if (!calm) {
        end_life(m, err == 0);
        return m->wrong == NULL;
    }
    fs_sim_freeze_after(m->disk, UINT64_MAX);
    fs_sim_set_quota(m->disk, UINT64_MAX);
    for (int i = 0; i < FS_SIM_CALLS; i++)
        fs_sim_fail(m->disk, (enum fs_sim_call)i, 0, 0);
    static void (*const damages[])(struct model *) = {damage_below, damage_marked, damage_above};
    damages[rng_below(&m->rng, 3)](m);
    return m->wrong == NULL;
}

static const char *run_episode(uint64_t seed, unsigned lives)
{
    struct model m = {0};
    rng_seed(&m.rng, seed);
    m.disk = fs_sim_new(rng_u64(&m.rng));
    clock_manual_init(&m.clock, 1000000, 0);
    entropy_seeded_init(&m.entropy, rng_u64(&m.rng));
    m.frames = mem_alloc(FRAMES_MAX * sizeof(*m.frames));
    unsigned life = 0;
    while (life < lives && live_once(&m))
        life++;
    if (m.wrong != NULL)
        tap_diag("episode seed %llu, life %u: %s", (unsigned long long)seed, life, m.wrong);
    if (m.log != NULL)
        vanish(&m);
    fs_sim_free(m.disk);
    mem_free(m.frames, FRAMES_MAX * sizeof(*m.frames));
    return m.wrong;
}

int main(void)
{
    const char *scale = getenv("KELVIN_TEST_SCALE");
    const char *one = getenv("KELVIN_EPISODE");
    uint64_t seed = tap_seed();
    unsigned episodes = 150 * (scale == NULL ? 1 : (unsigned)atoi(scale)), bad = 0;
    if (one != NULL) {
        ok(run_episode(strtoull(one, NULL, 0), 20) == NULL, "episode %s", one);
        return tap_done();
    }
    for (unsigned i = 0; i < episodes && bad < 3; i++)
        bad += run_episode(seed + i, 20) != NULL;
    ok(bad == 0, "%u logs of 20 lives each kept what they promised", episodes);
    return tap_done();
}
