/* Admission: what a command needs before it touches anything (DESIGN section 2). In order: is the client paused, may
 * the log take more, is there flash and memory for what it writes, are the values it needs in RAM. Whatever is missing
 * is asked for, and the command is run again from the start when that has changed: this is the only way a command
 * waits. */
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/flash.h"
#include "server/latency.h"
#include "server/memory.h"
#include "server/reply.h"
#include "server/save.h"
#include "server/server.h"
#include "server/snapshot.h"

#define WRITE_OVERHEAD 128            /* bytes of RAM a write may take beside its arguments */
#define FRAME_MAX ((uint64_t)3 << 30) /* a frame's length has 32 bits; effects are a little longer than commands */
#define SCRIPT_RESERVE 4096           /* bytes of RAM and log that a script should find */
#define SCRIPT_OVERDRAFT (4 * MIB)    /* what it may take from a full memory, if a sixteenth of the budget is less */
#define SCRIPT_PINS 256               /* keys for which a script is run again; then it reads on the spot */

/* --- pins --- */

static void pin(struct waiter *w, struct shard *owner, uint64_t hash)
{
    struct waiter_pin *p;
    if (w->pins < WAITER_PINS) {
        p = &w->few[w->pins];
    } else {
        uint32_t at = w->pins - WAITER_PINS;
        w->more = mem_room_for_one(w->more, at, &w->pins_cap, sizeof(*w->more), 16);
        p = &w->more[at];
    }
    w->pins++;
    *p = (struct waiter_pin){owner, hash};
    tier_pin(owner->tier, hash);
}

void admit_release(struct waiter *w)
{
    if (likely(w->pins == 0))
        return;
    for (uint32_t i = 0; i < w->pins; i++) {
        struct waiter_pin *p = i < WAITER_PINS ? &w->few[i] : &w->more[i - WAITER_PINS];
        tier_unpin(p->shard->tier, p->hash);
    }
    mem_free(w->more, sizeof(*w->more) * w->pins_cap);
    w->more = NULL;
    w->pins = w->pins_cap = 0;
    w->fetch_ticks = 0;
}

/* --- fetching --- */

struct fetch_wait {
    struct tier_wait wait;
    struct waiter *waiter;
    struct shard *owner;
};

static void count_down(struct waiter *w, struct shard *here)
{
    if (atomic_fetch_sub_explicit(&w->missing, 1, memory_order_acq_rel) != 1)
        return;
    if (here == w->shard)
        w->task.run(&w->task, here);
    else
        shard_post(w->shard, &w->task);
}

static void note_wait(struct waiter *w)
{
    uint64_t from = w->fetching_since, now = timing_now(&w->shard->server->timing);
    w->fetch_ticks += now > from ? now - from : 0;
    latency_mark(w->shard, LATENCY_FETCH, &from);
}

static void waiter_task(struct task *t, void *arg)
{
    struct waiter *w = container_of(t, struct waiter, task);
    (void)arg;
    w->fetching = false;
    note_wait(w);
    w->again(w);
}

static void fetched(struct tier_wait *wait, int error)
{
    struct fetch_wait *f = container_of(wait, struct fetch_wait, wait);
    struct waiter *w = f->waiter;
    struct shard *owner = f->owner;
    if (error < 0)
        w->error = error;
    mem_free(f, sizeof(*f));
    count_down(w, owner);
}

struct needed {
    struct shard *owner;
    struct keyspace *ks;
    struct key key;
};

static struct needed need_of(struct call *c, int arg)
{
    struct needed n;
    n.owner = call_owner(c, c->argv[arg]);
    n.ks = n.owner->spaces[c->db];
    n.key.name = c->argv[arg];
    n.key.hash = arg == c->first_key ? c->first_hash : hash_key(c->argv[arg], n.ks->hash_seed);
    return n;
}

static struct entry *cold_entry(struct call *c, const struct needed *n)
{
    struct entry *e = n->ks->cold ? keyspace_find(n->ks, n->key) : NULL;
    return e != NULL && entry_cold(e) && (c->apply || !entry_expired(e, c->now_ms)) ? e : NULL;
}

static enum admit refuse_oom(struct call *c)
{
    reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
    stat_add(&c->shard->stats.out_of_memory, 1);
    return ADMIT_REFUSED;
}

static enum admit wait_retry(struct call *c, struct waiter *w, enum wait_why why)
{
    shard_retry_later(c->shard, w, why);
    return ADMIT_WAIT;
}

static bool has_cold_in(const struct call *c, uint32_t db)
{
    if (likely(!c->held))
        return c->shard->spaces[db]->cold > 0;
    for (uint64_t mask = c->server->holds.held; mask != 0; mask &= mask - 1)
        if (c->server->shards[__builtin_ctzll(mask)]->spaces[db]->cold > 0)
            return true;
    return false;
}

static bool has_cold(const struct call *c) { return has_cold_in(c, c->db); }

bool admit_any_cold(const struct call *c)
{
    for (uint32_t db = 0; db < call_databases(c); db++)
        if (has_cold_in(c, db))
            return true;
    return false;
}

struct needs {
    struct call *c;
    bool (*each)(struct call *c, struct needed *k, void *arg);
    void *arg;
    bool stopped;
};

const struct entry *need_value(struct needs *n, struct slice name, unsigned types)
{
    struct needed k = {.owner = call_owner(n->c, name)};
    k.ks = k.owner->spaces[n->c->db];
    k.key = key_of(k.ks, name);
    struct entry *e = keyspace_find(k.ks, k.key);
    if (e == NULL || (!n->c->apply && entry_expired(e, n->c->now_ms)))
        return NULL;
    if (types >> e->type & 1)
        n->stopped = n->stopped || n->each(n->c, &k, n->arg);
    return e;
}

typedef bool each_key(struct call *c, struct needed *k, void *arg);

/* Calls `each` for the keys that the call declares (NEED_VALUE: those whose value it needs); stops when it returns
 * true. */
static bool each_declared(struct call *c, enum key_need least, each_key *each, void *arg)
{
    struct key_refs refs;
    bool stopped = false;
    if (c->cmd->keys[0].first == 0)
        return false;
    command_key_refs(c->cmd, c->argv, c->argc, &refs);
    for (int i = 0; i < refs.n && !stopped; i++)
        if (refs.at[i].need >= least) {
            struct needed k = need_of(c, refs.at[i].arg);
            stopped = each(c, &k, arg);
        }
    key_refs_free(&refs);
    return stopped;
}

/* Calls `each` for every cold or hot key whose value the call needs; stops when it returns true. */
static bool each_needed(struct call *c, each_key *each, void *arg)
{
    if (c->cmd->keys[0].first == 0)
        return false;
    bool stopped = each_declared(c, NEED_VALUE, each, arg);
    if (!stopped && unlikely(c->cmd->needs != NULL)) {
        struct needs n = {.c = c, .each = each, .arg = arg};
        c->cmd->needs(c, &n);
        stopped = n.stopped;
    }
    return stopped;
}

static bool is_cold(struct call *c, struct needed *k, void *arg)
{
    (void)arg;
    return cold_entry(c, k) != NULL;
}

struct want {
    struct waiter *w;
    uint64_t bytes;
};

static bool pin_needed(struct call *c, struct needed *k, void *arg)
{
    struct want *want = arg;
    struct entry *e = cold_entry(c, k);
    want->bytes += e ? entry_cold_size(e) : 0;
    pin(want->w, k->owner, k->key.hash);
    return false;
}

static bool start_fetch(struct call *c, struct needed *k, void *arg)
{
    struct want *want = arg;
    struct entry *e = cold_entry(c, k);
    if (e != NULL) {
        struct fetch_wait *f = mem_alloc(sizeof(*f));
        *f = (struct fetch_wait){.wait = {NULL, fetched}, .waiter = want->w, .owner = k->owner};
        atomic_fetch_add_explicit(&want->w->missing, 1, memory_order_relaxed);
        tier_fetch(k->owner->tier, k->ks, e, k->key, &f->wait);
    }
    return false;
}

/* Nothing more can be dropped (what is hot is as small as if it were cold, or pinned): reading must still be possible,
 * so a small part of the budget may be overshot until the run ends. */
static bool small_overshoot(const struct call *c, uint64_t bytes)
{
    uint64_t own = c->server->config->db[c->db].maxmemory;
    return bytes <= min_u64(memory_budget(c->server), own > 0 ? own : UINT64_MAX) / 8;
}

/* Some needed value is cold (`more`: beside those that are pinned already). First everything needed is pinned and its
 * RAM found, in one step; then all fetches start. None completes before this returns: completions are mailbox tasks of
 * the owners, which are this shard or held. */
static enum admit fetch_all(struct call *calls, int n, struct waiter *w, bool more)
{
    struct call *c = &calls[0];
    struct want want = {w, 0};
    uint64_t waited = w->fetch_ticks;

    if (!more)
        admit_release(w);
    w->fetch_ticks = waited;
    if (w->error < 0) {
        reply_errorf(c, "ERR cannot read a value from the flash tier: %s", strerror(-w->error));
        w->error = 0;
        return ADMIT_REFUSED;
    }
    for (int i = 0; i < n; i++)
        each_needed(&calls[i], pin_needed, &want);
    enum room room = memory_room_for(c->shard, c->db, want.bytes);
    if (room == ROOM_SOON || (room == ROOM_NEVER && !small_overshoot(c, want.bytes))) {
        admit_release(w);
        return room == ROOM_SOON ? wait_retry(c, w, WAIT_MEMORY) : refuse_oom(c);
    }
    w->task.run = waiter_task;
    w->why = WAIT_FETCH;
    w->fetching = true;
    w->fetching_since = timing_now(&c->server->timing);
    atomic_store_explicit(&w->missing, 1, memory_order_relaxed);
    for (int i = 0; i < n; i++)
        each_needed(&calls[i], start_fetch, &want);
    ensure(atomic_fetch_sub_explicit(&w->missing, 1, memory_order_acq_rel) > 1);
    return ADMIT_WAIT;
}

enum admit admit_values(struct call *calls, int n, struct waiter *w)
{
    for (int i = 0; i < n; i++)
        if (unlikely(has_cold(&calls[i])) && each_needed(&calls[i], is_cold, NULL))
            return fetch_all(calls, n, w, false);
    return ADMIT_RUN;
}

/* --- values that are being written out in parts --- */

static bool encodes_here(const struct call *c)
{
    if (likely(!c->held))
        return tier_encoding(c->shard->tier);
    for (uint64_t mask = c->server->holds.held; mask != 0; mask &= mask - 1)
        if (tier_encoding(c->server->shards[__builtin_ctzll(mask)]->tier))
            return true;
    return false;
}

static bool is_encoding(struct call *c, struct needed *k, void *arg)
{
    (void)c;
    (void)arg;
    return tier_encoding_key(k->owner->tier, k->ks, k->key.hash);
}

/* --- the log and pauses --- */

static size_t args_bytes(const struct call *c)
{
    size_t n = 0;
    for (int i = 0; i < c->argc; i++)
        n += c->argv[i].len;
    return n;
}

static enum admit admit_log(struct call *c, struct waiter *w, size_t bytes)
{
    struct server *server = c->server;
    enum log_room room;

    if (!server->config_logged)
        return ADMIT_RUN;
    if (unlikely(bytes > FRAME_MAX)) {
        reply_error(c, "ERR the command is too large for the log");
        return ADMIT_REFUSED;
    }
    room = log_admit(server->log, c->shard->stage.bytes.len + bytes + 64 * (size_t)c->argc,
                     !(c->cmd->flags & CMD_DENYOOM));
    if (likely(room == LOG_ROOM_OK)) {
        if (likely(!log_lagging(server->log, c->shard->now_us)) ||
            server->config->db[c->db].durability != DURABILITY_EVERYSEC)
            return ADMIT_RUN;
        return wait_retry(c, w, WAIT_LOG);
    }
    if (room == LOG_ROOM_WAIT)
        return wait_retry(c, w, WAIT_LOG);
    reply_error(c, "MISCONF Errors writing to the AOF file: No space left on device");
    return ADMIT_REFUSED;
}

/* Whether so many bytes had better be written a little later. */
static bool log_waits(const struct call *c, size_t bytes)
{
    struct server *server = c->server;
    if (!server->config_logged)
        return false;
    if (log_admit(server->log, c->shard->stage.bytes.len + bytes, false) == LOG_ROOM_WAIT)
        return true;
    return unlikely(log_lagging(server->log, c->shard->now_us)) &&
           server->config->db[c->db].durability == DURABILITY_EVERYSEC;
}

static bool paused(const struct call *c)
{
    int64_t until = atomic_load_explicit(&c->server->paused_until_ms, memory_order_relaxed);
    if (likely(until == 0) || c->now_ms >= until)
        return false;
    if (atomic_load_explicit(&c->server->paused_all, memory_order_relaxed))
        return !(c->cmd->flags & CMD_ADMIN) && c->cmd->route != ROUTE_HOME;
    if ((c->cmd->flags & CMD_SCRIPT) && c->cmd->no_writes(c->server, c->argv))
        return false;
    return c->cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE | CMD_SCRIPT);
}

enum admit admit_pause(struct call *c, struct waiter *w)
{
    return unlikely(paused(c)) ? wait_retry(c, w, WAIT_PAUSE) : ADMIT_RUN;
}

/* Whether a key of the call has to be handed over to a snapshot before it changes, which is not to be done at once. */
static bool snapshot_wants(struct call *c, struct needed *k, void *arg)
{
    struct entry *e = keyspace_find(k->ks, k->key);
    (void)c;
    (void)arg;
    return e != NULL && snapshot_makes_wait(k->owner, k->ks, e);
}

/* As in Redis, while RDB files cannot be written. */
static enum admit refuse_unsaved(struct call *c)
{
    reply_error(c, "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
                   "Commands that may modify the data set are disabled, because this instance is configured to report "
                   "errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check "
                   "the Redis logs for details about the RDB error.");
    return ADMIT_REFUSED;
}

/* By how much a call lengthens a string beyond its arguments. */
static uint64_t string_growth(struct call *c)
{
    uint64_t end = c->cmd->string_end(c->argv, c->argc);
    if (likely(end <= WRITE_OVERHEAD) || end > (uint64_t)call_max_string(c)) /* the run refuses what is too long */
        return 0;
    struct needed n = need_of(c, c->cmd->keys[0].first);
    struct entry *e = keyspace_find(n.ks, n.key);
    if (e == NULL)
        return end;
    if (e->type != VALUE_STRING)
        return 0;
    struct value v = entry_cold(e) ? (struct value){0} : entry_value(e);
    uint64_t now = entry_cold(e) ? entry_cold_size(e) : value_class_of(VALUE_STRING)->length(&v);
    return end > now ? end - now : 0;
}

/* Bytes of RAM that a write may take. */
static uint64_t write_bytes(struct call *c, size_t args)
{
    return args + WRITE_OVERHEAD + (unlikely(c->cmd->string_end != NULL) ? string_growth(c) : 0);
}

enum admit admit_write(struct call *c, struct waiter *w, size_t *total)
{
    size_t bytes = args_bytes(c);
    *total += bytes;
    if (unlikely(encodes_here(c)) && each_declared(c, NEED_META, is_encoding, NULL))
        return wait_retry(c, w, WAIT_VALUE);
    if (unlikely(save_stops_writes(c->server)))
        return refuse_unsaved(c);
    if (unlikely(c->shard->cut_part != NULL) && !c->held && each_declared(c, NEED_META, snapshot_wants, NULL))
        return wait_retry(c, w, WAIT_SNAPSHOT);
    enum admit a = admit_log(c, w, *total);
    if (a != ADMIT_RUN || !(c->cmd->flags & CMD_DENYOOM))
        return a;
    enum flash_room flash = flash_room(c->shard, c->db);
    if (unlikely(flash != FLASH_ROOM_YES))
        return flash == FLASH_ROOM_SOON ? wait_retry(c, w, WAIT_MEMORY) : refuse_oom(c);
    enum room room = memory_room_for(c->shard, c->db, write_bytes(c, bytes));
    if (likely(room == ROOM_YES))
        return ADMIT_RUN;
    return room == ROOM_SOON ? wait_retry(c, w, WAIT_MEMORY) : refuse_oom(c);
}

/* A script only waits: what it may not do is said when it does it. */
static enum admit admit_script(struct call *c, struct waiter *w)
{
    size_t bytes = args_bytes(c);
    if (unlikely(encodes_here(c)) && each_declared(c, NEED_META, is_encoding, NULL))
        return wait_retry(c, w, WAIT_VALUE);
    if (unlikely(c->shard->cut_part != NULL) && !c->held && each_declared(c, NEED_META, snapshot_wants, NULL))
        return wait_retry(c, w, WAIT_SNAPSHOT);
    if (log_waits(c, bytes + SCRIPT_RESERVE))
        return wait_retry(c, w, WAIT_LOG);
    if (memory_room_for(c->shard, c->db, bytes + SCRIPT_RESERVE) == ROOM_SOON)
        return wait_retry(c, w, WAIT_MEMORY);
    return ADMIT_RUN;
}

/* --- commands inside scripts --- */

bool memory_refuses(struct call *c)
{
    return memory_room_for(c->shard, c->db, args_bytes(c) + WRITE_OVERHEAD) == ROOM_NEVER;
}

/* Once nothing can wait any more, a part of the budget may be overdrawn: what was written meanwhile cannot have been
 * cleaned yet. */
static enum admit overdraw(struct call *c, const struct nested_admission *n, uint64_t bytes)
{
    *n->overdrawn += bytes;
    return *n->overdrawn <= max_u64(memory_budget(c->server) / 16, SCRIPT_OVERDRAFT) ? ADMIT_RUN : refuse_oom(c);
}

static enum admit nested_memory(struct call *c, const struct nested_admission *n)
{
    uint64_t bytes = write_bytes(c, args_bytes(c));
    enum flash_room flash = flash_room(c->shard, c->db);
    enum room room = unlikely(flash != FLASH_ROOM_YES) ? ROOM_NEVER : memory_room_for(c->shard, c->db, bytes);
    if (flash == FLASH_ROOM_SOON)
        room = ROOM_SOON;
    if (likely(room == ROOM_YES))
        return ADMIT_RUN;
    if (room == ROOM_SOON && n->waiter != NULL)
        return wait_retry(c, n->waiter, WAIT_MEMORY);
    if (room == ROOM_NEVER && !n->wrote && !n->allow_oom)
        return refuse_oom(c);
    return overdraw(c, n, bytes);
}

static enum admit nested_write(struct call *c, const struct nested_admission *n)
{
    struct server *server = c->server;
    if (n->waiter != NULL && unlikely(encodes_here(c)) && each_declared(c, NEED_META, is_encoding, NULL))
        return wait_retry(c, n->waiter, WAIT_VALUE);
    if (n->waiter != NULL && unlikely(c->shard->cut_part != NULL) && !c->held &&
        each_declared(c, NEED_META, snapshot_wants, NULL))
        return wait_retry(c, n->waiter, WAIT_SNAPSHOT);
    if (unlikely(save_stops_writes(server)) && !n->wrote)
        return refuse_unsaved(c);
    if (server->config_logged) {
        if (unlikely(c->shard->stage.bytes.len + args_bytes(c) > FRAME_MAX)) {
            reply_error(c, "ERR the effects of the script are too large for the log");
            return ADMIT_REFUSED;
        }
        enum log_room room = log_admit(server->log, c->shard->stage.bytes.len + args_bytes(c) + 64 * (size_t)c->argc,
                                       !(c->cmd->flags & CMD_DENYOOM));
        if (unlikely(room == LOG_ROOM_WAIT) && n->waiter != NULL)
            return wait_retry(c, n->waiter, WAIT_LOG);
        if (unlikely(room == LOG_ROOM_FULL)) {
            reply_error(c, "MISCONF Errors writing to the AOF file: No space left on device");
            return ADMIT_REFUSED;
        }
    }
    return c->cmd->flags & CMD_DENYOOM ? nested_memory(c, n) : ADMIT_RUN;
}

struct fetch_now {
    int error;
};

static bool fetch_now(struct call *c, struct needed *k, void *arg)
{
    struct fetch_now *f = arg;
    struct entry *e = cold_entry(c, k);
    if (e == NULL)
        return false;
    stat_add(&c->shard->stats.fetched_late, 1);
    f->error = tier_fetch_now(k->owner->tier, k->ks, &e, k->key);
    return true;
}

/* One after the other: reading one may tell of others. */
static enum admit read_on_the_spot(struct call *c)
{
    struct fetch_now f = {0};
    while (f.error == 0 && each_needed(c, fetch_now, &f))
        ;
    if (f.error == 0)
        return ADMIT_RUN;
    reply_errorf(c, "ERR cannot read a value from the flash tier: %s", strerror(-f.error));
    return ADMIT_REFUSED;
}

enum admit admit_nested(struct call *c, const struct nested_admission *n)
{
    if (c->cmd->flags & CMD_WRITE) {
        enum admit a = nested_write(c, n);
        if (unlikely(a != ADMIT_RUN))
            return a;
    }
    if (likely(!has_cold(c)) || !each_needed(c, is_cold, NULL))
        return ADMIT_RUN;
    if (n->waiter != NULL && n->waiter->pins < SCRIPT_PINS)
        return fetch_all(c, 1, n->waiter, true);
    return read_on_the_spot(c);
}

enum admit admit(struct call *c, struct waiter *w)
{
    size_t total = 0;
    enum admit a;
    if (c->cmd->route == ROUTE_HOME)
        return ADMIT_RUN;
    a = admit_pause(c, w);
    if (unlikely(a != ADMIT_RUN))
        return a;
    if (unlikely(c->cmd->route == ROUTE_CHANNEL && push_congested(c->server))) {
        c->shard->pushes.waited_for = true;
        return wait_retry(c, w, WAIT_MEMORY);
    }
    if (c->cmd->flags & CMD_WRITE) {
        a = admit_write(c, w, &total);
        if (unlikely(a != ADMIT_RUN))
            return a;
    } else if (c->cmd->flags & CMD_SCRIPT) {
        a = admit_script(c, w);
        if (unlikely(a != ADMIT_RUN))
            return a;
    }
    return admit_values(c, 1, w);
}
