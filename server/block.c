#include "server/block.h"

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/reply.h"
#include "server/server.h"
#include "server/timing.h"

struct blocked_key {
    struct shard *owner;
    uint64_t hash; /* in the table */
    uint64_t key_hash;
    uint64_t round;                  /* begins with each change: every waiter is tried once in it */
    struct block_link *first, *last; /* oldest first */
    struct block_link *at;           /* the one to be tried next, while it is being served */
    struct block_link *asked;        /* is trying: nobody behind it may */
    struct blocked_key *ready_next;
    uint64_t changed_at; /* when it became ready, among all keys of all shards */
    unsigned nokey;      /* waiters with `nokey` */
    uint32_t db;
    bool queued; /* in the ready list */
    struct slice name;
};

/* --- the table --- */

static uint64_t blocked_hash(const void *item, void *arg)
{
    (void)arg;
    return ((const struct blocked_key *)item)->hash;
}

static const struct table_type keys_type = {.hash = blocked_hash};

static uint64_t hash_in(uint32_t db, uint64_t hash) { return hash ^ ((uint64_t)db * 0x9e3779b97f4a7c15ull); }

static struct blocked_key *find(struct blocking *bl, uint32_t db, struct key key)
{
    struct table_probe p;
    struct blocked_key *k = table_first(bl->keys, hash_in(db, key.hash), &p);
    while (k != NULL && (k->db != db || !slice_eq(k->name, key.name)))
        k = table_next(&p);
    return k;
}

static void count_keys(struct shard *owner, int keys)
{
    struct blocking *bl = &owner->blocking;
    bl->nkeys += (unsigned)keys;
    atomic_store_explicit(&bl->counts.keys, bl->nkeys, memory_order_relaxed);
}

static struct blocked_key *get(struct shard *owner, uint32_t db, struct key key)
{
    struct blocking *bl = &owner->blocking;
    if (bl->keys == NULL)
        bl->keys = table_new(&keys_type, NULL);
    struct blocked_key *k = find(bl, db, key);
    if (k != NULL)
        return k;
    k = mem_alloc(sizeof(*k) + key.name.len);
    *k =
        (struct blocked_key){.owner = owner, .hash = hash_in(db, key.hash), .key_hash = key.hash, .round = 1, .db = db};
    if (key.name.len > 0)
        memcpy(k + 1, key.name.p, key.name.len);
    k->name = slice_of(k + 1, key.name.len);
    table_insert(bl->keys, k->hash, k);
    count_keys(owner, 1);
    return k;
}

/* Nobody waits for it any more: freed when it is in no list either. */
static void drop_if_unused(struct blocked_key *k)
{
    struct blocking *bl = &k->owner->blocking;
    if (k->first != NULL || k->queued || bl->served == k)
        return;
    table_erase(bl->keys, k->hash, k);
    count_keys(k->owner, -1);
    mem_free(k, sizeof(*k) + k->name.len);
}

static void make_ready(struct blocked_key *k)
{
    struct blocking *bl = &k->owner->blocking;
    if (k->queued || k->asked != NULL || bl->served == k)
        return;
    k->queued = true;
    k->ready_next = NULL;
    *bl->ready_end = k;
    bl->ready_end = &k->ready_next;
}

static struct blocked_key *take_ready(struct blocking *bl)
{
    struct blocked_key *k = bl->ready;
    bl->ready = k->ready_next;
    if (bl->ready == NULL)
        bl->ready_end = &bl->ready;
    k->queued = false;
    return k;
}

/* What is done to the key being served is what was taken from it: that makes nobody lucky who was not before. */
static void touch(struct blocked_key *k)
{
    if (k->owner->blocking.served == k)
        return;
    k->round++;
    if (!k->queued && k->asked == NULL)
        k->changed_at = atomic_fetch_add_explicit(&k->owner->server->blocked_changes, 1, memory_order_relaxed);
    make_ready(k);
}

void block_touch(struct shard *owner, uint32_t db, struct key key)
{
    struct blocked_key *k = find(&owner->blocking, db, key);
    if (k != NULL)
        touch(k);
}

static void touch_if_in(void *arg, void *item)
{
    struct blocked_key *k = item;
    if (k->db == *(const uint32_t *)arg)
        touch(k);
}

void block_touch_db(struct shard *owner, uint32_t db)
{
    uint64_t cursor = 0;
    if (owner->blocking.nkeys == 0)
        return;
    do
        cursor = table_scan(owner->blocking.keys, cursor, touch_if_in, &db);
    while (cursor != 0);
}

/* --- queues --- */

static void count_nokey(struct blocked_key *k, int n)
{
    bool had = k->nokey > 0;
    k->nokey += (unsigned)n;
    if (had != (k->nokey > 0))
        stat_add(&k->owner->blocking.counts.nokey_keys, had ? (uint64_t)-1 : 1);
}

static void enqueue(struct block_link *l, struct blocked_key *k)
{
    l->key = k;
    deque_push(k, l);
    if (l->b->nokey)
        count_nokey(k, 1);
}

/* Lets the key go on if it waited for this one. */
static void answered(struct block_link *l)
{
    struct blocked_key *k = l->key;
    if (k->asked != l)
        return;
    k->asked = NULL;
    make_ready(k);
}

static void leave(struct block_link *l)
{
    struct blocked_key *k = l->key;
    if (k->at == l)
        k->at = l->next;
    deque_remove(k, l);
    if (l->b->nokey)
        count_nokey(k, -1);
    answered(l);
    drop_if_unused(k);
}

/* --- deadlines --- */

struct deadline {
    uint64_t us;
    struct blocked *b;
};

static int compare(const void *elem, const void *probe, void *arg)
{
    const struct deadline *a = elem, *b = probe;
    (void)arg;
    if (a->us != b->us)
        return a->us < b->us ? -1 : 1;
    return (a->b > b->b) - (a->b < b->b);
}

static const struct btree_type deadlines_type = {.elem_size = sizeof(struct deadline), .cmp = compare};

static void find_next_deadline(struct blocking *bl)
{
    const struct deadline *first = btree_first(bl->deadlines);
    bl->next_deadline_us = first != NULL ? first->us : UINT64_MAX;
}

static void set_deadline(struct blocked *b, uint64_t us)
{
    struct blocking *bl = &b->shard->blocking;
    struct deadline d = {us, b};
    b->deadline_us = us;
    btree_insert(bl->deadlines, &d, &d);
    stat_add(&b->shard->blocking.counts.timeouts, 1);
    find_next_deadline(bl);
}

static void clear_deadline(struct blocked *b)
{
    struct deadline d = {b->deadline_us, b};
    if (b->deadline_us == 0)
        return;
    b->deadline_us = 0;
    ensure(btree_erase(b->shard->blocking.deadlines, &d, NULL));
    stat_add(&b->shard->blocking.counts.timeouts, (uint64_t)-1);
    find_next_deadline(&b->shard->blocking);
}

/* --- one that waits --- */

static void run_ready(struct task *t, void *arg);

static void enqueue_all(struct call *c, struct blocked *b)
{
    int n = 0;
    for (int arg = c->block.first; arg < c->block.first + c->block.n; arg++) {
        struct shard *owner = call_owner(c, c->argv[arg]);
        struct key key = {c->argv[arg], hash_key(c->argv[arg], c->server->hash_seed)};
        struct blocked_key *k = get(owner, c->db, key);
        if (k->last != NULL && k->last->b == b)
            continue; /* named twice */
        b->owners |= 1ull << owner->index;
        b->links[n] = (struct block_link){.b = b, .arg = arg};
        enqueue(&b->links[n++], k);
    }
}

static size_t size_of(const struct blocked *b) { return sizeof(*b) + sizeof(b->links[0]) * (size_t)b->n; }

static struct blocked *new_blocked(struct call *c, struct waiter *w, void (*again)(struct waiter *w))
{
    struct shard *s = w->shard;
    struct blocked *b = mem_zalloc(sizeof(*b) + sizeof(b->links[0]) * (size_t)c->block.n);
    b->n = c->block.n;
    b->waiter = w;
    b->shard = s;
    b->again = again;
    b->type = (uint8_t)c->block.type;
    b->nokey = c->block.nokey;
    b->ready.run = run_ready;
    b->notes = (void *)c->block.notes;
    b->notes_len = c->block.notes_len;
    stat_add(&s->blocking.counts.clients, 1);
    if (c->block.timeout_ms > 0 && (uint64_t)c->block.timeout_ms < (UINT64_MAX >> 1) / 1000)
        set_deadline(b, s->now_us + (uint64_t)c->block.timeout_ms * 1000);
    return b;
}

bool call_block(struct call *c, const struct block *b)
{
    if (c->in_exec || c->apply || c->origin == NULL)
        return false;
    c->block = *b;
    c->block.notes = NULL;
    if (b->notes_len > 0 && c->blocked == NULL)
        c->block.notes = memcpy(mem_alloc(b->notes_len), b->notes, b->notes_len);
    c->blocks = true;
    return true;
}

const void *call_notes(const struct call *c) { return c->blocked != NULL ? c->blocked->notes : NULL; }

int call_ready_key(const struct call *c)
{
    const struct blocked *b = c->blocked;
    const struct block_link *first = NULL;
    for (int i = 0; b != NULL && i < b->n && b->links[i].key != NULL; i++) {
        const struct block_link *l = &b->links[i];
        if (l->key->asked == l && (first == NULL || l->key->changed_at < first->key->changed_at))
            first = l;
    }
    return first != NULL ? first->arg : 0;
}

void block_wait(struct call *c, struct blocked **at, struct waiter *w, void (*again)(struct waiter *w))
{
    struct blocked *b = *at;
    w->why = WAIT_BLOCKED;
    if (b == NULL) {
        b = *at = new_blocked(c, w, again);
        enqueue_all(c, b);
        return;
    }
    b->trying = false;
    for (int i = 0; i < b->n && b->links[i].key != NULL; i++)
        answered(&b->links[i]);
}

static void forget_ended(struct blocked *b)
{
    struct blocked **at = &b->shard->blocking.ended;
    while (*at != NULL && *at != b)
        at = &(*at)->ended_next;
    if (*at == b)
        *at = b->ended_next;
}

static void free_blocked(struct blocked *b)
{
    if (b->notes != NULL)
        mem_free(b->notes, b->notes_len);
    mem_free(b, size_of(b));
}

void block_done(struct blocked **at)
{
    struct blocked *b = *at;
    struct shard *s = b->shard;
    *at = NULL;
    for (int i = 0; i < b->n && b->links[i].key != NULL; i++)
        leave(&b->links[i]);
    clear_deadline(b);
    if (b->outcome != BLOCK_WAITS)
        forget_ended(b);
    stat_add(&s->blocking.counts.clients, (uint64_t)-1);
    if (atomic_load(&b->posted))
        b->dead = true;
    else
        free_blocked(b);
}

bool block_is_local(const struct blocked *b) { return b->owners == 1ull << b->shard->index; }

bool block_ended(struct call *c, struct blocked **at)
{
    if (likely(*at == NULL) || (*at)->outcome == BLOCK_WAITS)
        return false;
    if ((*at)->outcome == BLOCK_TIMEOUT)
        reply_null_array(c);
    else if ((*at)->outcome == BLOCK_UNBLOCKED)
        reply_error(c, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    block_done(at);
    timing_start(c->shard);
    timing_book(c, c->shard->tick, c->shard->tick);
    return true;
}

/* What is being fetched for it comes, and then it runs. */
static void run_ended(struct blocked *b)
{
    if (b->waiter->fetching)
        return;
    shard_retry_cancel(b->shard, b->waiter);
    b->again(b->waiter);
}

void block_end(struct blocked *b, enum block_outcome outcome)
{
    if (b->outcome == BLOCK_WAITS)
        b->outcome = outcome;
    run_ended(b);
}

bool block_end_held(struct blocked *b, enum block_outcome outcome)
{
    if (b->outcome != BLOCK_WAITS)
        return false;
    b->outcome = outcome;
    b->ended_next = b->shard->blocking.ended;
    b->shard->blocking.ended = b;
    return true;
}

/* --- serving --- */

static void try(struct blocked *b)
{
    if (b->trying)
        return;
    b->trying = true;
    b->again(b->waiter);
}

/* A key of another shard is ready. */
static void run_ready(struct task *t, void *arg)
{
    struct blocked *b = container_of(t, struct blocked, ready);
    (void)arg;
    atomic_store(&b->posted, false);
    if (b->dead)
        free_blocked(b);
    else
        try(b);
}

/* Its answer lets the key go on, at once or later. */
static void ask(struct shard *s, struct block_link *l)
{
    struct blocked *b = l->b;
    l->tried = l->key->round;
    l->key->asked = l;
    if (b->shard == s)
        try(b);
    else if (!atomic_exchange(&b->posted, true))
        shard_post(b->shard, &b->ready);
}

#define NO_TYPE (-1)

static int type_of(struct shard *s, const struct blocked_key *k)
{
    const struct entry *e = keyspace_find(s->spaces[k->db], (struct key){k->name, k->key_hash});
    return e == NULL || entry_expired(e, s->now_ms) ? NO_TYPE : (int)e->type;
}

static void serve_key(struct shard *s, struct blocked_key *k)
{
    int type = type_of(s, k);
    s->blocking.served = k;
    k->at = k->first;
    while (k->at != NULL && k->asked == NULL && (type != NO_TYPE || k->nokey > 0)) {
        struct block_link *l = k->at;
        k->at = l->next;
        if (l->tried == k->round || !(l->b->nokey || l->b->type == type))
            continue;
        ask(s, l);
        type = type_of(s, k);
    }
    k->at = NULL;
    s->blocking.served = NULL;
    drop_if_unused(k);
}

void block_serve(struct shard *s)
{
    struct blocking *bl = &s->blocking;
    if (bl->serving)
        return;
    bl->serving = true;
    while (block_pending(bl)) {
        struct blocked *b = bl->ended;
        if (b != NULL) {
            bl->ended = b->ended_next;
            run_ended(b);
        } else {
            serve_key(s, take_ready(bl));
        }
    }
    bl->serving = false;
}

bool block_pending_held(const struct server *server)
{
    for (uint64_t m = server->holds.held; m != 0; m &= m - 1)
        if (block_pending(&server->shards[__builtin_ctzll(m)]->blocking))
            return true;
    return false;
}

void block_expire(struct shard *s)
{
    const struct deadline *d;
    while ((d = btree_first(s->blocking.deadlines)) != NULL && d->us <= s->now_us) {
        struct blocked *b = d->b;
        clear_deadline(b);
        block_end(b, BLOCK_TIMEOUT);
    }
}

/* --- life --- */

void blocking_init(struct blocking *bl)
{
    bl->deadlines = btree_new(&deadlines_type, NULL);
    bl->next_deadline_us = UINT64_MAX;
    bl->ready_end = &bl->ready;
}

void blocking_free(struct blocking *bl)
{
    while (bl->ready != NULL)
        drop_if_unused(take_ready(bl));
    ensure(bl->nkeys == 0);
    if (bl->keys != NULL)
        table_free(bl->keys);
    btree_free(bl->deadlines);
}
