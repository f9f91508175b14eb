/* Fields that are due are hidden from every command, so nothing depends on when they are deleted; memory does, and the
 * logged HDELs tell replicas. */
#include "server/expire_fields.h"

#include "core/base/mem.h"
#include "core/value/hash.h"
#include "server/dispatch.h"
#include "server/memory.h"
#include "server/notify.h"
#include "server/server.h"
#include "server/snapshot.h"
#include "server/tracking.h"
#include "server/words.h"

#define SLICE_US 1000
#define PIECE_FIELDS 128 /* of one effect: as many fields, or as many bytes */
#define PIECE_BYTES (64 * KIB)
#define PASSED_OVER_MAX 32  /* cold hashes, a slice and database */
#define FETCH_PAUSE_MS 1000 /* after one that failed */

/* --- cold hashes --- */

/* One of s->field_fetches, which are few: an entry that is free has no shard. */
static void fetched(struct tier_wait *wait, int error)
{
    struct field_fetch *f = container_of(wait, struct field_fetch, wait);
    if (error < 0)
        f->shard->field_fetch_after_ms = f->shard->now_ms + FETCH_PAUSE_MS;
    f->shard = NULL;
}

static void fetch(struct shard *s, uint32_t db, struct entry *e)
{
    struct key key = key_of(s->spaces[db], entry_key(e));
    struct field_fetch *free_one = NULL;
    for (size_t i = 0; i < ARRAY_LEN(s->field_fetches); i++) {
        struct field_fetch *f = &s->field_fetches[i];
        if (f->shard != NULL && f->hash == key.hash)
            return;
        if (f->shard == NULL)
            free_one = f;
    }
    if (free_one == NULL || s->now_ms < s->field_fetch_after_ms ||
        memory_room_for(s, db, entry_cold_size(e)) != ROOM_YES)
        return;
    *free_one = (struct field_fetch){.wait = {NULL, fetched}, .shard = s, .hash = key.hash};
    tier_fetch(s->tier, s->spaces[db], e, key, &free_one->wait);
}

/* --- hot hashes --- */

struct piece {
    struct words words;
    size_t bytes;
};

static bool take(void *arg, struct slice field)
{
    struct piece *p = arg;
    words_add_copy(&p->words, field);
    p->bytes += field.len;
    return p->bytes < PIECE_BYTES;
}

static void expire_piece(struct shard *s, uint32_t db, struct entry *e)
{
    struct keyspace *ks = s->spaces[db];
    struct piece p = {.bytes = 0};
    words_init(&p.words);
    words_add_str(&p.words, "HDEL");
    words_add_copy(&p.words, entry_key(e));
    struct key key = key_of(ks, p.words.at[1]);

    struct value v = keyspace_change(ks, e);
    size_t n = hash_expire(&v, s->now_ms, PIECE_FIELDS, take, &p);
    bool empty = hash_length(&v, HASH_TIMELESS) == 0;
    e = keyspace_changed(ks, e, key, &v, true);
    notify_key(s, db, key.name, EVENT_HASH, "hexpired");
    if (empty) {
        keyspace_delete(ks, e, key);
        notify_key(s, db, key.name, EVENT_GENERIC, "del");
    }
    watch_touch(s, db, key);
    if (unlikely(s->tracking != NULL))
        tracking_changed(s, s, key, NULL, true);
    s->gave_always |= s->server->config->db[db].durability == DURABILITY_ALWAYS;
    stage_begin(&s->stage);
    stage_effect_in(s, db, p.words.n, p.words.at);
    stage_end(&s->stage);
    stat_add(&s->stats.expired_fields, n);
    words_free(&p.words);
}

static bool log_has_room(struct shard *s, uint32_t db)
{
    return !server_logged(s->server, db) ||
           log_admit(s->server->log, 2 * PIECE_BYTES + s->stage.bytes.len, true) == LOG_ROOM_OK;
}

static bool expire_db(struct shard *s, uint32_t db, uint64_t until_us)
{
    uint64_t cold = 0;
    struct entry *e;
    while ((e = keyspace_inner_expired(s->spaces[db], s->now_ms, cold)) != NULL && cold < PASSED_OVER_MAX) {
        if (!log_has_room(s, db))
            return false;
        if (entry_cold(e)) {
            fetch(s, db, e);
            cold++;
            continue;
        }
        expire_piece(s, db, e);
        if (s->stage.bytes.len > STAGE_MAX || clock_mono_us(s->server->clock) > until_us)
            return true;
    }
    return false;
}

bool expire_fields_slice(struct shard *s)
{
    struct server *server = s->server;
    bool more = false;
    if (!server->config->active_expire || snapshot_holds_back(s) ||
        atomic_load_explicit(&server->paused_until_ms, memory_order_relaxed) > s->now_ms)
        return false;
    for (int db = 0; db < server->config->databases && !more; db++)
        more = expire_db(s, (uint32_t)db, s->now_us + SLICE_US);
    return more;
}
