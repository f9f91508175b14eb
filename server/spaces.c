#include "server/spaces.h"

#include <errno.h>

#include "core/base/mem.h"
#include "server/dispatch.h"
#include "server/lazy.h"
#include "server/save.h"
#include "server/snapshot.h"
#include "server/tracking.h"

#define FREED_AT_ONCE_MAX MIB
#define UNLOGGED (1ull << 63) /* in the id of a space: beyond every LSN */

bool server_logged(const struct server *server, uint32_t db) { return server->modes[db] >= DURABILITY_OS; }
bool server_tracked(const struct server *server, uint32_t db)
{
    return server_logged(server, db) || server->config->db[db].tier;
}

static void discard(void *arg, const struct value *v, uint64_t bytes) { lazy_free_value(arg, v, bytes); }

static void attach(struct shard *s, uint32_t db, struct keyspace *ks)
{
    struct server *server = s->server;
    ks->track = server_tracked(server, db);
    ks->queue_dirty = server_logged(server, db);
    ks->discard = server->lazy != NULL ? discard : NULL;
    ks->arg = server->lazy;
    s->spaces[db] = ks;
    s->figures[db].of = NULL; /* its figures are published anew, even should its address be that of the one before */
    tier_attach(s->tier, ks, server_logged(server, db), server->config->db[db].tier);
}

void spaces_create(struct server *server, uint32_t db, struct space_id id)
{
    for (unsigned i = 0; i < server->nshards; i++)
        attach(server->shards[i], db, keyspace_new(id, server->hash_seed));
}

void spaces_apply_mode(struct server *server, uint32_t db)
{
    bool tracked = server_tracked(server, db);
    for (unsigned i = 0; i < server->nshards; i++) {
        struct shard *s = server->shards[i];
        struct keyspace *ks = s->spaces[db];
        bool queues = server_logged(server, db), begins = (tracked && !ks->track) || (queues && !ks->queue_dirty);
        ks->track = tracked;
        ks->queue_dirty = queues;
        tier_set_mode(s->tier, ks, server_logged(server, db), server->config->db[db].tier);
        if (begins)
            keyspace_dirty_all(ks);
    }
}

void spaces_refresh(struct server *server)
{
    server->config_logged = false;
    server->db_limits = false;
    for (int db = 0; db < server->config->databases; db++) {
        server->config_logged |= server_logged(server, (uint32_t)db);
        server->db_limits |= server->config->db[db].maxmemory > 0;
    }
}

void spaces_bury(struct server *server, struct space_id id)
{
    server->dead = mem_room_for_one(server->dead, server->ndead, &server->dead_cap, sizeof(*server->dead), 16);
    server->dead[server->ndead++] = id;
}

struct space_id spaces_unlogged_id(struct server *server, uint32_t db)
{
    return (struct space_id){UNLOGGED | ++server->unlogged_spaces, db};
}

bool spaces_is_unlogged(struct space_id id) { return id.lsn & UNLOGGED; }

/* The new space's id must be the same when the log is replayed, and no other's. The effect is in the frame that is
 * appended next: under a hold, or with one shard, nobody else appends, so that frame begins at log_appended. The n-th
 * space that a frame makes has its LSN + n: from 1, as the first spaces of all have 0, where the first frame begins,
 * too; and below the next frame, as a frame has more bytes than effects. Unlogged spaces are never replayed; theirs are
 * unique in this process. */
static struct space_id new_id(struct call *c, uint32_t db)
{
    struct server *server = c->server;
    if (c->apply)
        return (struct space_id){server->replay_lsn + ++server->replay_spaces, db};
    if (server_logged(server, db))
        return (struct space_id){log_appended(server->log) + ++c->shard->stage.spaces, db};
    return spaces_unlogged_id(server, db);
}

/* What is large is freed in the background even if it was to be done at once: nobody can tell but by the time. */
static void dispose(struct lazy *lazy, struct keyspace *ks, bool async)
{
    if (lazy != NULL && (async || keyspace_memory(ks) > FREED_AT_ONCE_MAX))
        lazy_free_keyspace(lazy, ks);
    else
        keyspace_free(ks);
}

static void flush_on(struct shard *s, uint32_t db, struct space_id id, bool async)
{
    struct keyspace *old = s->spaces[db];
    watch_touch_db(s, db, db, 0);
    block_touch_db(s, db);
    tier_detach(s->tier, old);
    attach(s, db, keyspace_new(id, s->server->hash_seed));
    s->spaces[db]->ticket = old->ticket; /* the id may be the old one's (replay), and fetches for it under way */
    if (!snapshot_keep(s, old))
        dispose(s->server->lazy, old, async);
}

void spaces_reset(struct server *server, uint32_t db, struct space_id id)
{
    for (unsigned i = 0; i < server->nshards; i++)
        flush_on(server->shards[i], db, id, true);
}

void call_flush(struct call *c, uint32_t db, bool async)
{
    struct server *server = c->server;
    struct space_id id = new_id(c, db);
    spaces_bury(server, server->shards[0]->spaces[db]->id);
    for (unsigned i = 0; i < server->nshards; i++)
        flush_on(server->shards[i], db, id, async);
    c->changes++;
}

void call_flushed(struct call *c) { tracking_flushed(c); }

void call_flushed_all(struct call *c)
{
    if (!c->apply && c->server->config->nsave > 0)
        save_ask(c->server->save);
}

static void swap_on(struct shard *s, uint32_t a, uint32_t b, int64_t now_ms)
{
    struct keyspace *ks = s->spaces[a];
    watch_touch_db(s, a, b, now_ms);
    watch_touch_db(s, b, a, now_ms);
    block_touch_db(s, a);
    block_touch_db(s, b);
    s->spaces[a] = s->spaces[b];
    s->spaces[b] = ks;
}

int call_swap(struct call *c, uint32_t a, uint32_t b)
{
    struct server *server = c->server;
    if (server_logged(server, a) != server_logged(server, b))
        return -EPERM;
    for (unsigned i = 0; i < server->nshards; i++)
        swap_on(server->shards[i], a, b, c->now_ms);
    spaces_apply_mode(server, a);
    spaces_apply_mode(server, b);
    c->changes++;
    return 0;
}
