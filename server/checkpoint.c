#include "server/checkpoint.h"
#include "server/memory.h"

#include <errno.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/state.h"
#include "server/dispatch.h"
#include "server/function_store.h"
#include "server/snapshot.h"
#include "server/spaces.h"
#include "tier/record.h"

#define CLEANS_A_TURN 512
#define TOMBS_LOOK_US 1000000
/* Bytes of log that pay for one byte written anew: that then costs a twentieth of them, about. */
#define LOG_A_REWRITE 8

enum phase { PHASE_IDLE, PHASE_MARKING, PHASE_CLEANING, PHASE_RECORDING };

/* One shard's part; its thread's own between mark and record. */
struct part {
    cache_aligned uint64_t *until; /* by database: where the dirty queue ended at the mark */
    struct space_id *space;        /* by database: the space it belongs to */
    uint64_t barrier;
    uint64_t errors; /* failed writes of this shard's tier before the mark */
    enum { PART_CLEANING, PART_WRITING, PART_DONE } state;
};

struct checkpoint {
    struct server *server;
    _Atomic int phase;
    _Atomic bool asked, closed;
    _Atomic uint64_t forget_l0; /* L0 of the last completed one */
    _Atomic unsigned left;      /* shards that are not done */
    _Atomic bool incomplete;    /* a write has failed: some key is not on flash */
    struct part *parts;
    uint64_t l0;
    struct buf state;
    struct functions *functions; /* as of L0; NULL: no checkpoint is under way */
    uint64_t functions_recorded; /* generation of those on flash; 0: not known */
    struct space_id *dead;       /* taken at the mark */
    unsigned ndead, dead_cap;
    struct pool_job job;
    struct task done;
    int result;
    uint64_t retry_us; /* after a failure: not before */
    uint64_t tombs_look_us;
    _Atomic uint64_t started_us, last_us, completed, failed;
    _Atomic int last_error;
};

struct checkpoint *checkpoint_new(struct server *server)
{
    struct checkpoint *cp = mem_zalloc(sizeof(*cp));
    size_t databases = (size_t)server->config->databases;
    cp->server = server;
    cp->parts = mem_alloc_aligned(sizeof(*cp->parts) * server->nshards, 64);
    memset(cp->parts, 0, sizeof(*cp->parts) * server->nshards);
    for (unsigned i = 0; i < server->nshards; i++) {
        cp->parts[i].until = mem_zalloc(sizeof(uint64_t) * databases);
        cp->parts[i].space = mem_zalloc(sizeof(struct space_id) * databases);
    }
    return cp;
}

void checkpoint_free(struct checkpoint *cp)
{
    size_t databases = (size_t)cp->server->config->databases;
    for (unsigned i = 0; i < cp->server->nshards; i++) {
        mem_free(cp->parts[i].until, sizeof(uint64_t) * databases);
        mem_free(cp->parts[i].space, sizeof(struct space_id) * databases);
    }
    mem_free_aligned(cp->parts, sizeof(*cp->parts) * cp->server->nshards, 64);
    mem_free(cp->dead, sizeof(*cp->dead) * cp->dead_cap);
    buf_free(&cp->state);
    if (cp->functions != NULL)
        functions_unref(cp->functions);
    mem_free(cp, sizeof(*cp));
}

static void set_phase(struct checkpoint *cp, enum phase phase)
{
    atomic_store_explicit(&cp->phase, phase, memory_order_release);
}
static enum phase phase_of(const struct checkpoint *cp)
{
    return (enum phase)atomic_load_explicit(&cp->phase, memory_order_acquire);
}

void checkpoint_ask(struct checkpoint *cp) { atomic_store(&cp->asked, true); }
bool checkpoint_running(const struct checkpoint *cp) { return phase_of(cp) != PHASE_IDLE || atomic_load(&cp->asked); }

bool checkpoint_close(struct checkpoint *cp)
{
    atomic_store(&cp->closed, true);
    return atomic_load(&cp->phase) == PHASE_IDLE;
}

void checkpoint_spoil(struct checkpoint *cp)
{
    if (phase_of(cp) == PHASE_CLEANING)
        atomic_store(&cp->incomplete, true);
}

/* --- mark --- */

void checkpoint_encode_state(struct server *server, struct buf *out)
{
    struct state state;
    buf_clear(out);
    state_init(&state, (uint32_t)server->config->databases);
    state.hash_seed = server->hash_seed;
    for (uint32_t db = 0; db < state.databases; db++) {
        state.db[db].space = server->shards[0]->spaces[db]->id;
        state.db[db].logged = server_logged(server, db);
        state.db[db].snapshot = server->modes[db] == DURABILITY_SNAPSHOT;
    }
    state_encode(&state, out);
    state_free(&state);
}

static uint64_t clean_errors(const struct shard *s)
{
    struct tier_stats stats;
    tier_stats(s->tier, &stats);
    return stats.clean_errors;
}

static void mark_part(struct shard *s, struct part *part)
{
    for (int db = 0; db < s->server->config->databases; db++) {
        struct keyspace *ks = s->spaces[db];
        part->space[db] = ks->id;
        part->until[db] = server_logged(s->server, (uint32_t)db) ? ks->dirty.tail : 0;
        ks->rewritten = 0;
        ks->changes++;
    }
    part->errors = clean_errors(s);
    part->state = PART_CLEANING;
}

static void take_dead(struct checkpoint *cp)
{
    struct server *server = cp->server;
    mem_free(cp->dead, sizeof(*cp->dead) * cp->dead_cap);
    cp->dead = mem_alloc(sizeof(*cp->dead) * server->ndead);
    if (server->ndead > 0)
        memcpy(cp->dead, server->dead, sizeof(*cp->dead) * server->ndead);
    cp->ndead = cp->dead_cap = server->ndead;
    server->ndead = 0;
}

void checkpoint_mark(struct server *server)
{
    struct checkpoint *cp = server->checkpoint;
    if (cp == NULL || phase_of(cp) != PHASE_MARKING)
        return;
    cp->l0 = log_appended(server->log);
    checkpoint_encode_state(server, &cp->state);
    cp->functions = functions_ref(server->functions);
    take_dead(cp);
    for (unsigned i = 0; i < server->nshards; i++) {
        ensure(stage_empty(&server->shards[i]->stage));
        mark_part(server->shards[i], &cp->parts[i]);
    }
    atomic_store(&cp->left, server->nshards);
    atomic_store(&cp->incomplete, false);
    set_phase(cp, PHASE_CLEANING);
}

static void begin(struct checkpoint *cp)
{
    struct server *server = cp->server;
    atomic_store(&cp->started_us, server->shards[0]->now_us);
    atomic_store(&cp->phase, PHASE_MARKING);
    if (atomic_load(&cp->closed)) { /* at the same moment: checkpoint_close sees this or we see that */
        set_phase(cp, PHASE_IDLE);
        return;
    }
    atomic_store(&cp->asked, false);
    if (server->nshards == 1)
        checkpoint_mark(server);
    else
        hold_ask(server, server->shards[0], server_all_shards(server));
}

/* Deletions stay in RAM until a checkpoint has recorded them and another has passed that. */
static bool tombs_press(struct checkpoint *cp)
{
    struct server *server = cp->server;
    uint64_t now = server->shards[0]->now_us;
    if (now < cp->tombs_look_us)
        return false;
    cp->tombs_look_us = now + TOMBS_LOOK_US;
    bool press = memory_in_tombs(server, -1);
    for (int db = 0; server->db_limits && !press && db < server->config->databases; db++)
        press =
            server->config->db[db].maxmemory > 0 && server_logged(server, (uint32_t)db) && memory_in_tombs(server, db);
    return press;
}

/* What the next checkpoint would write beyond what the log carried here since the last one: values that were large
 * before they changed. What was written whole, or has grown, the log has paid for. */
static uint64_t rewriting(const struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        for (int db = 0; db < server->config->databases; db++)
            if (server_logged(server, (uint32_t)db))
                sum += atomic_load_explicit(&server->shards[i]->figures[db].rewriting, memory_order_relaxed);
    return sum;
}

/* A changed value is written whole, however little has changed: appending to a stream of ten million entries would cost
 * a multiple of appending to a short one if every 256 MB of log were followed by a checkpoint. So the log has to be in
 * proportion to what is written anew. That is judged by what is dirty now, not by what the last checkpoint wrote: one
 * huge value that has been changed once must not be written at once, and when it is gone nobody waits for it.
 *
 * Waiting costs disk, and time after a crash, hence the limits: checkpoint-log-max (a value of 5 GB that a few writes
 * touch is written anew so often, and no oftener), and what the disk has free. */
uint64_t checkpoint_due_at(const struct server *server)
{
    const struct config *cfg = server->config;
    uint64_t worth = min_u64(rewriting(server), UINT64_MAX / LOG_A_REWRITE) * LOG_A_REWRITE;
    uint64_t limit = min_u64(cfg->checkpoint_log_max, log_disk_free(server->log));
    return max_u64(cfg->checkpoint_log_size, min_u64(worth, limit));
}

void checkpoint_cron(struct server *server)
{
    struct checkpoint *cp = server->checkpoint;
    if (cp == NULL || phase_of(cp) != PHASE_IDLE || atomic_load(&cp->closed) ||
        server->shards[0]->now_us < cp->retry_us)
        return;
    if (log_since_checkpoint(server->log) > checkpoint_due_at(server) || tombs_press(cp))
        atomic_store(&cp->asked, true);
    if (atomic_load(&cp->asked))
        begin(cp);
}

/* --- record --- */

static int remove_space(struct server *server, struct space_id id, char kind)
{
    struct buf from = {0}, to = {0};
    record_space_range(&from, &to, kind, id);
    int err = server->store->ops->delete_range(server->store, buf_slice(&from), buf_slice(&to));
    buf_free(&from);
    buf_free(&to);
    return err;
}

int checkpoint_remove_space(struct server *server, struct space_id id)
{
    int err = remove_space(server, id, 'm');
    return err < 0 ? err : remove_space(server, id, 'v');
}

/* Together with the keys: one flush makes both durable. */
static int record_functions(struct checkpoint *cp)
{
    if (cp->functions->generation == cp->functions_recorded)
        return 0;
    cp->functions_recorded = 0;
    return function_store_write(cp->server, cp->functions, cp->l0);
}

static void run_record(struct pool_job *job)
{
    struct checkpoint *cp = container_of(job, struct checkpoint, job);
    struct server *server = cp->server;
    struct log_checkpoint record = {.l0 = cp->l0, .state = buf_slice(&cp->state)};

    memcpy(record.replid, server->history.id, sizeof(record.replid));
    memcpy(record.replid2, server->history.second, sizeof(record.replid2));
    record.replid2_limit = server->history.second_limit;
    cp->result = atomic_load(&cp->incomplete) ? -EIO : record_functions(cp);
    if (cp->result == 0)
        cp->result = server->store->ops->flush(server->store);
    if (cp->result == 0)
        cp->result = log_checkpoint(server->log, &record, cp->l0);
    for (unsigned i = 0; cp->result == 0 && i < cp->ndead; i++)
        cp->result = checkpoint_remove_space(server, cp->dead[i]);
    shard_post(server->shards[0], &cp->done);
}

static void recorded(struct task *t, void *arg)
{
    struct checkpoint *cp = container_of(t, struct checkpoint, done);
    struct server *server = cp->server;
    struct shard *s = arg;
    uint64_t now = clock_mono_us(server->clock);

    atomic_store(&cp->last_error, cp->result);
    atomic_store(&cp->last_us, now - atomic_load(&cp->started_us));
    if (cp->result == 0) {
        cp->functions_recorded = cp->functions->generation;
        atomic_store(&cp->forget_l0, cp->l0);
        atomic_fetch_add(&cp->completed, 1);
        logger_line(server->logger, LOG_NOTICE, "Checkpoint at LSN %llu completed in %.1f ms",
                    (unsigned long long)cp->l0, (double)(now - atomic_load(&cp->started_us)) / 1000);
    } else {
        atomic_fetch_add(&cp->failed, 1);
        cp->retry_us = s->now_us + 1000000;
        for (unsigned i = 0; i < cp->ndead; i++)
            spaces_bury(server, cp->dead[i]);
        logger_line(server->logger, LOG_WARNING, "Checkpoint failed: %s", strerror(-cp->result));
    }
    functions_unref(cp->functions);
    cp->functions = NULL;
    cp->ndead = 0;
    set_phase(cp, PHASE_IDLE);
}

/* --- clean --- */

static bool clean_part(struct shard *s, struct part *part)
{
    bool all = true;
    for (int db = 0; db < s->server->config->databases; db++) {
        struct keyspace *ks = tier_keyspace(s->tier, part->space[db]);
        bool done = true;
        if (ks != NULL && part->until[db] > 0)
            tier_clean(s->tier, ks, part->until[db], s->lsn, CLEANS_A_TURN, &done);
        all &= done;
    }
    return all;
}

static void part_done(struct checkpoint *cp)
{
    if (atomic_fetch_sub_explicit(&cp->left, 1, memory_order_acq_rel) != 1)
        return;
    set_phase(cp, PHASE_RECORDING);
    cp->job.run = run_record;
    cp->done.run = recorded;
    pool_submit(cp->server->pool, POOL_WRITE, &cp->job);
}

bool checkpoint_slice(struct shard *s)
{
    struct checkpoint *cp = s->server->checkpoint;
    if (cp == NULL)
        return false;
    bool more =
        !tier_forget(s->tier, atomic_load_explicit(&cp->forget_l0, memory_order_relaxed)) && tier_can_write(s->tier);
    if (phase_of(cp) != PHASE_CLEANING)
        return more;
    struct part *part = &cp->parts[s->index];
    if (part->state == PART_CLEANING && !snapshot_holds_back(s) && clean_part(s, part)) {
        part->state = PART_WRITING;
        part->barrier = tier_barrier(s->tier);
    }
    if (part->state == PART_WRITING && tier_passed(s->tier, part->barrier)) {
        part->state = PART_DONE;
        if (clean_errors(s) != part->errors)
            atomic_store(&cp->incomplete, true);
        part_done(cp);
    }
    return more;
}

void checkpoint_info(const struct checkpoint *cp, struct checkpoint_info *out)
{
    *out = (struct checkpoint_info){0};
    if (cp == NULL)
        return;
    out->running = phase_of(cp) != PHASE_IDLE;
    out->asked = atomic_load(&cp->asked);
    out->completed = atomic_load(&cp->completed);
    out->failed = atomic_load(&cp->failed);
    out->l0 = atomic_load(&cp->forget_l0);
    out->last_us = atomic_load(&cp->last_us);
    out->started_us = atomic_load(&cp->started_us);
    out->last_error = atomic_load(&cp->last_error);
}
