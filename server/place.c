/* Places: what server/call.h promises to command files. */
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/dispatch.h"
#include "server/notify.h"
#include "server/reply.h"
#include "server/server.h"
#include "server/tracking.h"

struct shard *call_owner(const struct call *c, struct slice key)
{
    return likely(c->server->nshards == 1) || !(c->held || c->apply) ? c->shard : shard_of(c->server, key);
}

static void note_always(struct call *c, uint32_t db)
{
    if (unlikely(c->server->config->db[db].durability == DURABILITY_ALWAYS))
        c->always = true;
}

/* --- look-up --- */

static void remove_silently(struct call *c, struct place *p)
{
    struct slice argv[] = {SLICE_LIT("DEL"), p->key.name};
    place_delete(c, p);
    effect_in(c, p->db, 2, argv);
}

static void expire_now(struct call *c, struct place *p)
{
    remove_silently(c, p);
    key_event(c, p, EVENT_EXPIRED, "expired");
    stat_add(&p->owner->stats.expired, 1);
}

/* Fills in the place of p->key: `value` is left alone. Into the caller's place, as those that follow: a place is large.
 */
static void locate(struct call *c, uint32_t db, struct place *p)
{
    p->owner = call_owner(c, p->key.name);
    p->db = db;
    p->ks = p->owner->spaces[db];
    note_always(c, db);
    p->e = keyspace_find(p->ks, p->key);
    if (p->e != NULL && unlikely(entry_expired(p->e, c->now_ms)) && !c->apply) {
        if (c->now_ms < atomic_load_explicit(&c->server->paused_until_ms, memory_order_relaxed))
            p->e = NULL; /* while writes are paused nothing is deleted: it is only hidden */
        else
            expire_now(c, p);
    }
}

static inline void locate_arg(struct call *c, int arg, struct place *p)
{
    p->key.name = c->argv[arg];
    p->key.hash = arg == c->first_key ? c->first_hash : hash_key(p->key.name, c->server->hash_seed);
    locate(c, c->db, p);
}

static void locate_name(struct call *c, uint32_t db, struct slice name, struct place *p)
{
    p->key = (struct key){name, hash_key(name, c->server->hash_seed)};
    locate(c, db, p);
}

static void heat(struct call *c, const struct place *p)
{
    struct entry *e = p->e;
    if (unlikely(c->no_touch || c->apply))
        return;
    e->temperature = temperature_touch(&p->owner->temperature[p->db], e->temperature, &c->shard->rng) & 0xffffff;
    if (unlikely(e->flags & ENTRY_PROBATION) && !entry_cold(e))
        keyspace_reread(e);
}

static void is_read(struct call *c, const struct place *p)
{
    if (p->e == NULL) {
        stat_add(&c->shard->stats.misses, 1);
        key_event(c, p, EVENT_KEYMISS, "keymiss");
        return;
    }
    stat_add(&c->shard->stats.hits, 1);
    heat(c, p);
}

struct place place_read(struct call *c, int arg)
{
    struct place p;
    locate_arg(c, arg, &p);
    is_read(c, &p);
    return p;
}

struct place place_read_in(struct call *c, uint32_t db, struct slice name)
{
    struct place p;
    locate_name(c, db, name, &p);
    is_read(c, &p);
    return p;
}

struct place place_write(struct call *c, int arg)
{
    struct place p;
    locate_arg(c, arg, &p);
    if (p.e != NULL)
        heat(c, &p);
    return p;
}

struct place place_peek(struct call *c, int arg)
{
    struct place p;
    locate_arg(c, arg, &p);
    return p;
}

struct place place_in(struct call *c, uint32_t db, struct slice name)
{
    struct place p;
    locate_name(c, db, name, &p);
    return p;
}

int place_fetch(struct place *p) { return tier_fetch_now(p->owner->tier, p->ks, &p->e, p->key); }

bool place_is(struct call *c, const struct place *p, enum value_type type)
{
    if (p->e == NULL || p->e->type == type)
        return true;
    reply_wrongtype(c);
    return false;
}

struct slice place_string(const struct place *p, char scratch[static 21])
{
    if (p->e == NULL)
        return slice_of("", 0);
    struct value v = entry_value(p->e);
    return string_bytes(&v, scratch);
}

/* --- changes --- */

/* An entry that is due and changes is being deleted for that: nobody's doing. */
static void tell_trackers(struct call *c, const struct place *p)
{
    bool due = p->e != NULL && entry_expired(p->e, c->now_ms);
    tracking_changed(c->shard, p->owner, p->key, c->origin, due);
}

static void changed(struct call *c, const struct place *p)
{
    c->changes++;
    if (unlikely(p->owner->watches != NULL) && !c->apply)
        watch_touch(p->owner, p->db, p->key);
    if (unlikely(p->owner->tracking != NULL))
        tell_trackers(c, p);
    if (unlikely(p->owner->blocking.nkeys > 0))
        block_touch(p->owner, p->db, p->key);
}

void place_put(struct call *c, struct place *p, const struct value *v, int64_t expire_ms)
{
    bool created = p->e == NULL;
    p->e = keyspace_put_at(p->ks, p->e, p->key, v, expire_ms);
    if (created)
        p->e->temperature = temperature_new(&p->owner->temperature[p->db]) & 0xffffff;
    changed(c, p);
    if (created)
        key_event(c, p, EVENT_NEW, "new");
}

struct blob *place_writable(struct call *c, struct place *p, size_t len)
{
    (void)c;
    return keyspace_writable(p->ks, &p->e, p->key, len);
}

void place_written(struct call *c, struct place *p)
{
    keyspace_written(p->ks, p->e, p->key);
    changed(c, p);
}

struct value *place_change(struct call *c, struct place *p, enum value_type type)
{
    (void)c;
    p->value = p->e != NULL ? keyspace_change(p->ks, p->e) : value_class_of(type)->empty();
    return &p->value;
}

void place_changed(struct call *c, struct place *p, uint32_t event_class, const char *event)
{
    const struct value_class *cls = value_class_of(p->value.type);
    bool empty = !cls->may_be_empty && cls->length(&p->value) == 0, deleted = p->e != NULL && empty;
    if (p->e != NULL)
        p->e = keyspace_changed(p->ks, p->e, p->key, &p->value, true);
    if (deleted)
        place_delete(c, p);
    else if (p->e != NULL)
        changed(c, p);
    else if (empty)
        cls->release(&p->value);
    else
        place_put(c, p, &p->value, ENTRY_NO_EXPIRY);
    if (event != NULL)
        key_event(c, p, event_class, event);
    if (deleted)
        key_event(c, p, EVENT_GENERIC, "del");
}

void place_unchanged(struct call *c, struct place *p)
{
    (void)c;
    if (p->e != NULL)
        p->e = keyspace_changed(p->ks, p->e, p->key, &p->value, false);
    else
        value_release(&p->value);
}

struct value place_take(struct call *c, struct place *p)
{
    changed(c, p);
    struct value v = keyspace_take(p->ks, p->e, p->key);
    p->e = NULL;
    return v;
}

void place_set_expiry(struct call *c, struct place *p, int64_t expire_ms)
{
    p->e = keyspace_set_expiry(p->ks, p->e, p->key, expire_ms);
    changed(c, p);
}

void place_delete(struct call *c, struct place *p)
{
    changed(c, p);
    keyspace_delete(p->ks, p->e, p->key);
    p->e = NULL;
}

void place_emptied(struct call *c, struct place *p, uint32_t event_class, const char *event)
{
    place_delete(c, p);
    key_event(c, p, event_class, event);
    key_event(c, p, EVENT_GENERIC, "del");
}

void key_event_send(struct call *c, uint32_t db, struct slice key, uint32_t event_class, const char *event)
{
    notify_key(c->shard, db, key, event_class, event);
}

/* --- effects --- */

void effect_in(struct call *c, uint32_t db, int argc, const struct slice *argv)
{
    note_always(c, db);
    if (!c->apply)
        stage_effect_in(c->shard, db, argc, argv);
}

bool effect_matters(const struct call *c, uint32_t db) { return !c->apply && server_logged(c->server, db); }

void effect(struct call *c, int argc, const struct slice *argv) { effect_in(c, c->db, argc, argv); }

void effect_of_server(struct call *c, int argc, const struct slice *argv)
{
    uint32_t best = 0;
    for (uint32_t db = 1; db < call_databases(c); db++)
        if (c->server->modes[db] > c->server->modes[best])
            best = db;
    effect_in(c, best, argc, argv);
}

void place_remove(struct call *c, struct place *p)
{
    remove_silently(c, p);
    key_event(c, p, EVENT_GENERIC, "del");
}

void place_expire(struct call *c, struct place *p, int64_t expire_ms)
{
    char text[NUM_I64_MAX];
    bool persist = expire_ms == ENTRY_NO_EXPIRY;
    struct slice argv[3] = {persist ? SLICE_LIT("PERSIST") : SLICE_LIT("PEXPIREAT"), p->key.name};
    if (!persist)
        argv[2] = slice_of(text, num_format_i64(text, expire_ms));
    place_set_expiry(c, p, expire_ms);
    effect_in(c, p->db, persist ? 2 : 3, argv);
    key_event(c, p, EVENT_GENERIC, persist ? "persist" : "expire");
}

/* --- databases --- */

uint32_t call_databases(const struct call *c) { return (uint32_t)c->server->config->databases; }

unsigned call_keyspaces(const struct call *c, uint32_t db, struct keyspace **out, unsigned max)
{
    unsigned n = 0;
    if (!c->held && !c->apply) {
        out[n++] = c->shard->spaces[db];
        return n;
    }
    for (unsigned i = 0; i < c->server->nshards && n < max; i++)
        out[n++] = c->server->shards[i]->spaces[db];
    return n;
}

uint64_t call_dbsize(const struct call *c)
{
    struct keyspace *ks[SHARDS_MAX];
    uint64_t sum = 0;
    for (unsigned i = 0, n = call_keyspaces(c, c->db, ks, SHARDS_MAX); i < n; i++)
        sum += ks[i]->keys;
    return sum;
}

unsigned call_shards(const struct call *c) { return c->server->nshards; }
uint64_t call_shard_keys(const struct call *c, unsigned shard)
{
    return atomic_load_explicit(&c->server->shards[shard]->figures[c->db].keys, memory_order_relaxed);
}

uint64_t call_random(struct call *c) { return rng_u64(&c->shard->rng); }
bool call_checks_sums(const struct call *c) { return !c->server->config->skip_checksums; }
const struct value_limits *call_limits(const struct call *c) { return &c->server->config->limits; }
int64_t call_max_string(const struct call *c) { return (int64_t)c->server->config->proto_max_bulk_len; }
size_t call_hll_sparse_max(const struct call *c)
{
    return c->apply ? SIZE_MAX : (size_t)c->server->config->hll_sparse_max_bytes;
}
bool call_lazy_flush(const struct call *c) { return c->server->config->lazyfree_lazy_user_flush; }

const struct temperature *call_temperature(const struct call *c, const struct place *p)
{
    (void)c;
    return &p->owner->temperature[p->db];
}

void place_set_temperature(struct call *c, struct place *p, int64_t idle_s, int64_t freq)
{
    const struct temperature *t = call_temperature(c, p);
    if (!t->lfu && idle_s >= 0)
        p->e->temperature = temperature_from_idle(t, (uint64_t)idle_s) & 0xffffff;
    if (t->lfu && freq >= 0)
        p->e->temperature = temperature_from_freq(t, (uint8_t)freq) & 0xffffff;
}

#define BLOB_BY_REFERENCE (16 * 1024)

struct value call_string(const struct call *c, struct slice arg)
{
    for (unsigned i = 0; i < c->nbigs; i++)
        if (arg.p == c->bigs[i]->data && arg.len == c->bigs[i]->len)
            return (struct value){.type = VALUE_STRING, .encoding = ENC_BLOB, .blob = blob_ref(c->bigs[i])};
    return string_value(arg);
}

bool call_reply_blob(struct call *c, struct blob *b)
{
    struct client *client = c->client;
    if (b->len < BLOB_BY_REFERENCE || client == NULL || c->out != &client->out.tail->bytes || !client->out.tail->open)
        return false;
    resp_bulk_header(c->out, b->len);
    c->out = outbox_blob(&client->out, b, 0);
    buf_append(c->out, "\r\n", 2);
    return true;
}
