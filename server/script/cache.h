/* The scripts that EVAL and SCRIPT LOAD have seen: what EVALSHA finds. Server-wide, and not kept over a restart.
 *
 * Of those that came by EVAL the 500 that were called last stay; what came by SCRIPT LOAD stays until SCRIPT FLUSH.
 *
 * Entries are immutable, but for when they were used, and for the place where each shard notes what it compiled, which
 * is that shard's own. Readers on any thread take no lock: entries are put in front of a chain, and taken out when all
 * shards are the caller's. Until then what was evicted is there and is not found. Who adds an entry takes a lock, for
 * microseconds. */
#ifndef SERVER_SCRIPT_CACHE_H
#define SERVER_SCRIPT_CACHE_H

#include <stdatomic.h>

#include "core/base/buf.h"
#include "server/script/engine.h"

struct script_cache;

enum script_stay { SCRIPT_RECENT, SCRIPT_LOADED, SCRIPT_EVICTED };

struct script {
    struct script *next_sha, *next_body; /* chains */
    struct script *next_evicted;
    uint64_t body_hash;
    _Atomic uint64_t used; /* the cache's clock when it was called last */
    _Atomic int stay;      /* enum script_stay; changed under the cache's lock */
    char sha[41];
    uint32_t flags;    /* enum script_flag */
    struct slice body; /* as it was sent */
    size_t code;       /* where in it Lua begins: behind "#!..." */
    int refs[];        /* by shard: the compiled function in its environment; 0: not yet */
};

struct script_cache *script_cache_new(struct server *server);
void script_cache_free(struct script_cache *cache);
/* NULL: unknown. Any thread. `sha` in either case. */
struct script *script_by_sha(struct script_cache *cache, struct slice sha);
struct script *script_by_body(struct script_cache *cache, struct slice body);
/* The flags in the first line of a script that need not be known. False: there is something wrong with the line, and
 * `error` (or NULL) says what. */
bool script_parse(struct slice body, uint32_t *flags, size_t *code, struct buf *error);
/* Compiles a script that is not known for this shard, and adds it. NULL with the reason in `error`. */
struct script *script_add(struct script_cache *cache, struct shard *s, struct slice body, enum script_stay stay,
                          struct buf *error);
/* It was called. */
void script_used(struct script_cache *cache, struct script *script);
/* SCRIPT LOAD of one that is known. */
void script_keep(struct script_cache *cache, struct script *script);
/* What this shard has compiled, or compiles now. -1 with the reason in `error`. */
int script_ref(struct script *script, struct shard *s, struct buf *error);
/* Whether so many have been evicted that the next call should have all shards, to sweep. */
bool script_cache_due(const struct script_cache *cache);
/* Frees what was evicted. All shards are the caller's. */
void script_cache_sweep(struct script_cache *cache);
/* Forgets all; the environments of all shards go too. Under a hold of all. */
void script_cache_flush(struct script_cache *cache);

struct script_cache_info {
    uint64_t scripts, bytes;
};
struct script_cache_info script_cache_info(const struct script_cache *cache);

#endif
