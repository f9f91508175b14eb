/* The scripts that EVAL and SCRIPT LOAD have seen: what EVALSHA finds. Server-wide, and not kept over a restart.
 *
 * Entries are immutable, but for the place where each shard notes what it compiled, which is that shard's own. Readers
 * on any thread take no lock: entries are only ever put in front of a chain, by compare-and-swap, and removed all at
 * once, under a hold of all shards. */
#ifndef SERVER_SCRIPT_CACHE_H
#define SERVER_SCRIPT_CACHE_H

#include "core/base/buf.h"
#include "server/script/engine.h"

struct script_cache;

struct script {
    struct script *next_sha, *next_body; /* chains */
    uint64_t body_hash;
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
struct script *script_add(struct script_cache *cache, struct shard *s, struct slice body, struct buf *error);
/* What this shard has compiled, or compiles now. -1 with the reason in `error`. */
int script_ref(struct script *script, struct shard *s, struct buf *error);
/* Forgets all; the environments of all shards go too. Under a hold of all. */
void script_cache_flush(struct script_cache *cache);

struct script_cache_info {
    uint64_t scripts, bytes;
};
struct script_cache_info script_cache_info(const struct script_cache *cache);

#endif
