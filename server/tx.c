#include "server/tx.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/reply.h"
#include "server/server.h"
#include "server/tracking.h"

/* --- the queue --- */

struct transaction *tx_get(struct client *c)
{
    if (c->tx == NULL)
        c->tx = mem_zalloc(sizeof(*c->tx));
    return c->tx;
}

bool tx_queueing(const struct client *c) { return c->tx != NULL && c->tx->multi; }
int tx_length(const struct client *c) { return tx_queueing(c) ? c->tx->n : -1; }

int tx_watching(const struct client *c)
{
    int n = 0;
    for (const struct watch *w = c->tx != NULL ? c->tx->watches : NULL; w != NULL; w = w->next)
        n++;
    return n;
}

size_t tx_bytes(const struct client *c)
{
    if (c->tx == NULL)
        return 0;
    size_t bytes = sizeof(*c->tx->queue) * (size_t)c->tx->n;
    for (const struct tx_block *b = c->tx->blocks; b != NULL; b = b->next)
        bytes += b->size;
    return bytes;
}

#define BLOCK_BYTES 2048

static void *take_bytes(struct transaction *tx, size_t bytes)
{
    struct tx_block *b = tx->blocks;
    bytes = (bytes + 7) & ~(size_t)7;
    if (b == NULL || b->size - b->used < bytes) {
        size_t size = max_u64(BLOCK_BYTES, sizeof(*b) + bytes);
        b = mem_alloc(size);
        *b = (struct tx_block){tx->blocks, size, sizeof(*b)};
        tx->blocks = b;
    }
    b->used += bytes;
    return (uint8_t *)b + b->used - bytes;
}

static void free_blocks(struct transaction *tx)
{
    for (struct tx_block *b = tx->blocks, *next; b != NULL; b = next) {
        next = b->next;
        mem_free(b, b->size);
    }
}

static struct queued copy_request(struct transaction *tx, const struct request *r)
{
    struct queued q = {.cmd = r->cmd, .argc = r->argc, .first_key = r->first_key, .hash = r->hash, .db = tx->db};
    size_t bytes = sizeof(struct slice) * (size_t)r->argc;
    for (int i = 0; i < r->argc; i++)
        bytes += r->argv[i].len;
    q.argv = take_bytes(tx, bytes);
    uint8_t *p = (uint8_t *)(q.argv + r->argc);
    for (int i = 0; i < r->argc; i++) {
        q.argv[i] = slice_of(p, r->argv[i].len);
        if (r->argv[i].len > 0)
            p = mempcpy(p, r->argv[i].p, r->argv[i].len);
    }
    return q;
}

/* SELECT changes what the commands queued after it will see. */
static void follow_select(struct transaction *tx, const struct request *r, const struct config *cfg)
{
    int64_t db;
    if (r->cmd->route == ROUTE_HOME && strcmp(r->cmd->name, "select") == 0 && num_parse_i64(r->argv[1], &db) &&
        db >= 0 && db < cfg->databases)
        tx->db = (uint32_t)db;
}

void tx_queue(struct call *c, const struct request *r, bool refused)
{
    struct transaction *tx = c->client->tx;
    if (refused) {
        tx->doomed = true;
        return;
    }
    if (r->cmd->flags & CMD_NO_MULTI) {
        tx->doomed = true;
        reply_error(c, "ERR Command not allowed inside a transaction");
        return;
    }
    tx->queue = mem_room_for_one(tx->queue, (unsigned)tx->n, &tx->cap, sizeof(*tx->queue), 16);
    tx->queue[tx->n++] = copy_request(tx, r);
    follow_select(tx, r, c->server->config);
    buf_append(c->out, "+QUEUED\r\n", 9);
}

void tx_discard(struct client *c)
{
    struct transaction *tx = c->tx;
    tx_unwatch(c);
    free_blocks(tx);
    mem_free(tx->queue, sizeof(*tx->queue) * tx->cap);
    mem_free(tx, sizeof(*tx));
    c->tx = NULL;
}

void tx_abort(struct call *c, const char *why)
{
    if (c->client->tx != NULL)
        tx_discard(c->client);
    reply_errorf(c, "EXECABORT Transaction discarded because of: %s", why);
}

/* --- what EXEC needs --- */

uint64_t tx_owners(struct client *c)
{
    struct server *server = c->home->server;
    struct transaction *tx = c->tx;
    uint64_t mask = 0;

    for (struct watch *w = tx->watches; w != NULL; w = w->next)
        mask |= 1ull << w->owner->index;
    for (int i = 0; i < tx->n; i++)
        mask |= request_owners(server, tx->queue[i].cmd, tx->queue[i].argv, tx->queue[i].argc);
    return mask;
}

static void queued_call(struct call *q, const struct call *exec, const struct queued *item)
{
    struct request r = {.client = exec->client,
                        .cmd = item->cmd,
                        .argv = item->argv,
                        .argc = item->argc,
                        .first_key = item->first_key,
                        .hash = item->hash};
    call_init(q, exec->shard, &r);
    q->db = item->db;
    q->proto = exec->client->proto;
    q->no_touch = exec->no_touch;
    q->track = exec->client->tracking != NULL && tracking_wanted(exec->client);
    q->out = exec->out;
    q->held = exec->held;
    q->in_exec = true;
}

/* Which database a number will stand for after the SWAPDBs that have been queued so far. */
static uint32_t *swaps_begin(const struct call *c)
{
    uint32_t *map = mem_alloc(sizeof(*map) * call_databases(c));
    for (uint32_t db = 0; db < call_databases(c); db++)
        map[db] = db;
    return map;
}

static void swaps_end(const struct call *c, uint32_t *map) { mem_free(map, sizeof(*map) * call_databases(c)); }

static void map_swap(uint32_t *map, uint32_t databases, const struct queued *item)
{
    int64_t a, b;
    if (item->cmd->route != ROUTE_ALL || strcmp(item->cmd->name, "swapdb") != 0 || !num_parse_i64(item->argv[1], &a) ||
        !num_parse_i64(item->argv[2], &b) || a < 0 || b < 0 || a >= databases || b >= databases)
        return;
    uint32_t held = map[a];
    map[a] = map[b];
    map[b] = held;
}

/* What was replied from `at` on is the error of one of its commands: it becomes the reason why none runs. */
static void refuse_exec(struct call *c, size_t at)
{
    char why[512];
    size_t text = at + 1, end = c->out->len - 2; /* between the dash and the end of the line */
    snprintf(why, sizeof(why), "%.*s", (int)(end - text), (const char *)c->out->p + text);
    c->out->len = at;
    tx_abort(c, why);
}

/* Values are looked for where they are now. */
static enum admit admit_all_values(struct call *c, struct waiter *w)
{
    struct transaction *tx = c->client->tx;
    struct call *calls = mem_alloc(sizeof(*calls) * (size_t)tx->n);
    uint32_t *map = swaps_begin(c);
    for (int i = 0; i < tx->n; i++) {
        queued_call(&calls[i], c, &tx->queue[i]);
        calls[i].db = map[calls[i].db];
        map_swap(map, call_databases(c), &tx->queue[i]);
    }
    enum admit a = admit_values(calls, tx->n, w);
    swaps_end(c, map);
    mem_free(calls, sizeof(*calls) * (size_t)tx->n);
    return a;
}

/* Inside a transaction nothing waits, so all of it is admitted at once. */
enum admit tx_admit(struct call *c, struct waiter *w)
{
    struct transaction *tx = c->client->tx;
    size_t total = 0, at = c->out->len;
    enum admit a = ADMIT_RUN;

    if (tx->doomed || tx->n == 0)
        return ADMIT_RUN;
    for (int i = 0; i < tx->n && a == ADMIT_RUN; i++) {
        struct call q;
        queued_call(&q, c, &tx->queue[i]);
        a = admit_pause(&q, w);
        if (a == ADMIT_RUN && (tx->queue[i].cmd->flags & (CMD_WRITE | CMD_SCRIPT)))
            a = admit_write(&q, w, &total);
    }
    if (a == ADMIT_RUN && unlikely(admit_any_cold(c)))
        a = admit_all_values(c, w);
    if (a == ADMIT_REFUSED)
        refuse_exec(c, at);
    return a;
}

/* SCAN sees the keyspace of its cursor's shard, which is held. */
static void run_queued(struct call *exec, struct queued *item)
{
    struct call q;
    queued_call(&q, exec, item);
    q.waited = item == exec->client->tx->queue ? exec->waited : 0; /* the slow log has no EXEC */
    if (item->cmd->route == ROUTE_ANY && exec->held) {
        uint64_t mask = request_owners(exec->server, item->cmd, item->argv, item->argc);
        if (mask != 0)
            q.shard = exec->server->shards[__builtin_ctzll(mask)];
        q.held = false;
    }
    call_run(&q);
    exec->always |= q.always;
    exec->changes += q.changes;
}

void tx_exec(struct call *c)
{
    struct client *client = c->client;
    struct transaction *tx = client->tx;

    if (tx->doomed) {
        tx_discard(client);
        reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    if (tx_watched_changed(c)) {
        tx_discard(client);
        reply_null_array(c);
        return;
    }
    tx_unwatch(client);
    tx->multi = false; /* what runs now does not queue */
    reply_array(c, (size_t)tx->n);
    for (int i = 0; i < tx->n; i++)
        run_queued(c, &tx->queue[i]);
    tx_discard(client);
}

/* --- watches --- */

struct watched {
    uint64_t hash;
    uint64_t version;
    uint32_t db;
    uint32_t refs;
    struct slice name; /* the bytes stand behind the struct */
    bool stale;        /* SWAPDB has brought what is due: that it is deleted is no change */
};

/* Of a key's hash; again, it gives that back. */
static uint64_t watch_hash(uint32_t db, uint64_t hash) { return hash ^ ((uint64_t)db * 0x9e3779b97f4a7c15ull); }

static uint64_t watched_hash(const void *item, void *arg)
{
    (void)arg;
    return ((const struct watched *)item)->hash;
}

static const struct table_type watches_type = {.hash = watched_hash};

static struct watched *watched_find(struct shard *owner, uint32_t db, struct key key)
{
    struct table_probe p;
    if (owner->watches == NULL)
        return NULL;
    for (struct watched *w = table_first(owner->watches, watch_hash(db, key.hash), &p); w != NULL; w = table_next(&p))
        if (w->db == db && slice_eq(w->name, key.name))
            return w;
    return NULL;
}

static struct watched *watched_get(struct shard *owner, uint32_t db, struct key key)
{
    struct watched *w = watched_find(owner, db, key);
    if (w != NULL)
        return w;
    if (owner->watches == NULL)
        owner->watches = table_new(&watches_type, NULL);
    w = mem_alloc(sizeof(*w) + key.name.len);
    *w = (struct watched){.hash = watch_hash(db, key.hash), .version = ++owner->watch_version, .db = db};
    if (key.name.len > 0)
        memcpy(w + 1, key.name.p, key.name.len);
    w->name = slice_of(w + 1, key.name.len);
    table_insert(owner->watches, w->hash, w);
    atomic_fetch_add(&owner->server->watched_keys, 1);
    return w;
}

static void watched_drop(struct shard *owner, uint32_t db, struct key key)
{
    struct watched *w = watched_find(owner, db, key);
    ensure(w != NULL && w->refs > 0);
    if (--w->refs > 0)
        return;
    table_erase(owner->watches, w->hash, w);
    atomic_fetch_sub(&owner->server->watched_keys, 1);
    mem_free(w, sizeof(*w) + w->name.len);
    if (table_count(owner->watches) == 0) {
        table_free(owner->watches);
        owner->watches = NULL;
    }
}

void watch_touch(struct shard *owner, uint32_t db, struct key key)
{
    struct watched *w = watched_find(owner, db, key);
    if (w == NULL)
        return;
    if (w->stale)
        w->stale = false; /* nothing is done with it before it is deleted */
    else
        w->version = ++owner->watch_version;
}

struct touch_db {
    struct shard *owner;
    uint32_t db, other;
    int64_t now_ms;
};

static void touch_if_exists(void *arg, void *item)
{
    struct touch_db *t = arg;
    struct watched *w = item;
    struct key key = {w->name, watch_hash(w->db, w->hash)};
    if (w->db != t->db)
        return;
    bool is = keyspace_find(t->owner->spaces[t->db], key) != NULL && !w->stale;
    const struct entry *next = t->other != t->db ? keyspace_find(t->owner->spaces[t->other], key) : NULL;
    w->stale = next != NULL && entry_expired(next, t->now_ms);
    if (is || (next != NULL && !w->stale))
        w->version = ++t->owner->watch_version;
}

void watch_touch_db(struct shard *owner, uint32_t db, uint32_t other, int64_t now_ms)
{
    struct touch_db t = {owner, db, other, now_ms};
    uint64_t cursor = 0;
    if (owner->watches == NULL)
        return;
    do
        cursor = table_scan(owner->watches, cursor, touch_if_exists, &t);
    while (cursor != 0);
}

static bool already_watched(const struct transaction *tx, uint32_t db, struct slice name)
{
    for (struct watch *w = tx->watches; w != NULL; w = w->next)
        if (w->db == db && slice_eq(w->key.name, name))
            return true;
    return false;
}

void tx_watch(struct call *c, int arg)
{
    struct place p = place_peek(c, arg); /* an expired key is gone before it is watched */
    struct transaction *tx = tx_get(c->client);
    if (already_watched(tx, c->db, p.key.name))
        return;
    struct watched *watched = watched_get(p.owner, c->db, p.key);
    struct watch *w = mem_alloc(sizeof(*w) + p.key.name.len);
    watched->refs++;
    *w = (struct watch){.next = tx->watches, .owner = p.owner, .version = watched->version, .db = c->db, .key = p.key};
    if (p.key.name.len > 0)
        memcpy(w + 1, p.key.name.p, p.key.name.len);
    w->key.name.p = (const uint8_t *)(w + 1);
    if (tx->watches == NULL)
        atomic_fetch_add(&c->server->watching_clients, 1);
    tx->watches = w;
}

bool tx_watched_changed(struct call *c)
{
    struct transaction *tx = c->client->tx;
    for (struct watch *w = tx->watches; w != NULL; w = w->next) {
        place_in(c, w->db, w->key.name); /* an expired key is deleted here, which touches it */
        struct watched *watched = watched_find(w->owner, w->db, w->key);
        if (watched == NULL || watched->version != w->version)
            return true;
    }
    return false;
}

/* The owner's watch table is data: it may be lent just now, so giving up a watch is a data task of the owner. */
struct unwatch {
    struct task task;
    struct watch *watch;
};

static void run_unwatch(struct task *t, void *arg)
{
    struct unwatch *u = container_of(t, struct unwatch, task);
    struct watch *w = u->watch;
    (void)arg;
    watched_drop(w->owner, w->db, w->key);
    mem_free(w, sizeof(*w) + w->key.name.len);
    mem_free(u, sizeof(*u));
}

void tx_unwatch(struct client *c)
{
    struct transaction *tx = c->tx;
    if (tx->watches != NULL)
        atomic_fetch_sub(&c->home->server->watching_clients, 1);
    for (struct watch *w = tx->watches, *next; w != NULL; w = next) {
        struct unwatch *u = mem_zalloc(sizeof(*u));
        next = w->next;
        u->task.run = run_unwatch;
        u->watch = w;
        shard_post(w->owner, &u->task);
    }
    tx->watches = NULL;
}
