#include "server/script/cache.h"

#include <ctype.h>
#include <pthread.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/sha1.h"
#include "server/server.h"

#define CHAINS 4096
#define CHUNK "@user_script"
#define RECENT_MOST 500 /* as Redis has it */
#define SWEEP_AT 500

struct script_cache {
    struct server *server;
    _Atomic(struct script *) by_sha[CHAINS], by_body[CHAINS];
    _Atomic uint64_t scripts, bytes;
    _Atomic uint64_t clock; /* calls of other scripts than the one before */
    pthread_mutex_t lock;   /* of adding and evicting, and of what follows */
    struct script *recent[RECENT_MOST];
    unsigned nrecent;
    struct script *evicted;
    _Atomic unsigned nevicted;
};

struct script_cache *script_cache_new(struct server *server)
{
    struct script_cache *cache = mem_zalloc(sizeof(*cache));
    cache->server = server;
    atomic_store(&cache->clock, 1); /* later than what was never called */
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

static size_t script_size(const struct script_cache *cache, size_t body)
{
    return sizeof(struct script) + sizeof(int) * cache->server->nshards + body;
}

/* --- finding --- */

/* The first 16 bits; -1: it is no SHA1 in hexadecimal. */
static int sha_chain(struct slice sha)
{
    int v = 0;
    if (sha.len != 40)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = num_hex_digit(sha.p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v % CHAINS;
}

static bool same_sha(const struct script *s, struct slice sha)
{
    if (likely(memcmp(s->sha, sha.p, 40) == 0))
        return true;
    for (int i = 0; i < 40; i++)
        if ((uint8_t)s->sha[i] != (sha.p[i] >= 'A' && sha.p[i] <= 'F' ? sha.p[i] + 32 : sha.p[i]))
            return false;
    return true;
}

static struct script *find_sha(struct script *s, struct slice sha)
{
    while (s != NULL && !same_sha(s, sha))
        s = s->next_sha;
    return s;
}

static enum script_stay stay_of(const struct script *s) { return atomic_load_explicit(&s->stay, memory_order_relaxed); }

static struct script *unless_evicted(struct script *s)
{
    return s != NULL && likely(stay_of(s) != SCRIPT_EVICTED) ? s : NULL;
}

struct script *script_by_sha(struct script_cache *cache, struct slice sha)
{
    int chain = sha_chain(sha);
    return chain < 0 ? NULL
                     : unless_evicted(find_sha(atomic_load_explicit(&cache->by_sha[chain], memory_order_acquire), sha));
}

struct script *script_by_body(struct script_cache *cache, struct slice body)
{
    uint64_t hash = hash_key(body, cache->server->hash_seed);
    struct script *s = atomic_load_explicit(&cache->by_body[hash % CHAINS], memory_order_acquire);
    while (s != NULL && (s->body_hash != hash || !slice_eq(s->body, body)))
        s = s->next_body;
    return unless_evicted(s);
}

/* --- the first line --- */

static struct slice take_word(struct slice *line)
{
    while (line->len > 0 && isspace(line->p[0]))
        *line = slice_of(line->p + 1, line->len - 1);
    size_t n = 0;
    while (n < line->len && !isspace(line->p[n]))
        n++;
    struct slice word = slice_of(line->p, n);
    *line = slice_of(line->p + n, line->len - n);
    return word;
}

static bool bad(struct buf *error, const char *what, struct slice word)
{
    if (error != NULL)
        buf_printf(error, "ERR %s%.*s", what, (int)min_u64(word.len, 128), (const char *)word.p);
    return false;
}

/* An empty list has no flags; behind a comma there is one. */
static bool parse_flags(struct slice list, uint32_t *flags, struct buf *error)
{
    for (bool more = list.len > 0; more;) {
        size_t n = 0;
        while (n < list.len && list.p[n] != ',')
            n++;
        uint32_t flag = script_flag_named(slice_of(list.p, n));
        if (flag == 0)
            return bad(error, "Unexpected flag in script shebang: ", slice_of(list.p, n));
        *flags |= flag;
        more = n < list.len;
        list = slice_of(list.p + n + more, list.len - n - more);
    }
    return true;
}

bool script_parse(struct slice body, uint32_t *flags, size_t *code, struct buf *error)
{
    *flags = SCRIPT_UNDECLARED;
    *code = 0;
    if (body.len < 2 || memcmp(body.p, "#!", 2) != 0)
        return true;
    const uint8_t *end = memchr(body.p, '\n', body.len);
    if (end == NULL)
        return bad(error, "Invalid script shebang", slice_of("", 0));
    *code = (size_t)(end - body.p);
    *flags = 0;
    struct slice line = slice_of(body.p, *code), word = take_word(&line);
    if (!slice_eq(word, SLICE_LIT("#!lua")))
        return bad(error, "Unexpected engine in script shebang: ", word);
    while ((word = take_word(&line)).len > 0) {
        if (word.len < 6 || memcmp(word.p, "flags=", 6) != 0)
            return bad(error, "Unknown lua shebang option: ", word);
        if (!parse_flags(slice_of(word.p + 6, word.len - 6), flags, error))
            return false;
    }
    return true;
}

static struct script *make(struct script_cache *cache, struct slice body)
{
    size_t size = script_size(cache, body.len);
    struct script *s = mem_zalloc(size);
    uint8_t *copy = (uint8_t *)s + size - body.len;
    sha1_hex(body, s->sha);
    if (body.len > 0)
        memcpy(copy, body.p, body.len);
    s->body = slice_of(copy, body.len);
    s->body_hash = hash_key(body, cache->server->hash_seed);
    return s;
}

/* --- who stays; under the lock --- */

void script_used(struct script_cache *cache, struct script *s)
{
    if (stay_of(s) != SCRIPT_RECENT || atomic_load_explicit(&s->used, memory_order_relaxed) ==
                                           atomic_load_explicit(&cache->clock, memory_order_relaxed))
        return;
    uint64_t now = atomic_fetch_add_explicit(&cache->clock, 1, memory_order_relaxed) + 1;
    atomic_store_explicit(&s->used, now, memory_order_relaxed);
}

static void forget_recent(struct script_cache *cache, const struct script *s)
{
    for (unsigned i = 0; i < cache->nrecent; i++)
        if (cache->recent[i] == s) {
            cache->recent[i] = cache->recent[--cache->nrecent];
            return;
        }
}

static void evict_oldest(struct script_cache *cache, struct shard *shard)
{
    struct script *oldest = cache->recent[0];
    for (unsigned i = 1; i < cache->nrecent; i++)
        if (atomic_load_explicit(&cache->recent[i]->used, memory_order_relaxed) <
            atomic_load_explicit(&oldest->used, memory_order_relaxed))
            oldest = cache->recent[i];
    forget_recent(cache, oldest);
    atomic_store_explicit(&oldest->stay, SCRIPT_EVICTED, memory_order_relaxed);
    oldest->next_evicted = cache->evicted;
    cache->evicted = oldest;
    atomic_fetch_add_explicit(&cache->nevicted, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&cache->scripts, 1, memory_order_relaxed);
    stat_add(&shard->stats.evicted_scripts, 1);
}

/* One that is in no list. */
static void stays(struct script_cache *cache, struct shard *shard, struct script *s, enum script_stay stay)
{
    atomic_store_explicit(&s->stay, stay, memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->scripts, 1, memory_order_relaxed);
    if (stay != SCRIPT_RECENT)
        return;
    if (cache->nrecent == RECENT_MOST)
        evict_oldest(cache, shard);
    cache->recent[cache->nrecent++] = s;
    script_used(cache, s);
}

static void keep(struct script_cache *cache, struct script *s)
{
    if (stay_of(s) != SCRIPT_RECENT)
        return;
    forget_recent(cache, s);
    atomic_store_explicit(&s->stay, SCRIPT_LOADED, memory_order_relaxed);
}

void script_keep(struct script_cache *cache, struct script *s)
{
    pthread_mutex_lock(&cache->lock);
    keep(cache, s);
    pthread_mutex_unlock(&cache->lock);
}

static void take_back(struct script_cache *cache, struct script *s)
{
    struct script **at = &cache->evicted;
    while (*at != s)
        at = &(*at)->next_evicted;
    *at = s->next_evicted;
    atomic_fetch_sub_explicit(&cache->nevicted, 1, memory_order_relaxed);
}

static void link_script(struct script_cache *cache, struct script *s)
{
    _Atomic(struct script *) *at = &cache->by_sha[sha_chain(slice_of(s->sha, 40))];
    s->next_sha = atomic_load_explicit(at, memory_order_relaxed);
    atomic_store_explicit(at, s, memory_order_release);
    at = &cache->by_body[s->body_hash % CHAINS];
    s->next_body = atomic_load_explicit(at, memory_order_relaxed);
    atomic_store_explicit(at, s, memory_order_release);
    atomic_fetch_add_explicit(&cache->bytes, mem_class(script_size(cache, s->body.len)), memory_order_relaxed);
}

/* --- adding --- */

/* The same one may be there, evicted or added by another thread since: then it stays, and this one is not needed. */
static struct script *publish(struct script_cache *cache, struct shard *shard, struct script *s, enum script_stay stay)
{
    struct slice sha = slice_of(s->sha, 40);
    pthread_mutex_lock(&cache->lock);
    struct script *same = find_sha(atomic_load_explicit(&cache->by_sha[sha_chain(sha)], memory_order_relaxed), sha);
    if (same == NULL) {
        stays(cache, shard, s, stay); /* before anybody sees it */
        link_script(cache, s);
    } else if (stay_of(same) == SCRIPT_EVICTED) {
        take_back(cache, same);
        stays(cache, shard, same, stay);
    } else if (stay == SCRIPT_LOADED) {
        keep(cache, same);
    }
    pthread_mutex_unlock(&cache->lock);
    return same != NULL ? same : s;
}

/* Scripts are compiled again when they are called: what nobody calls any more is not. */
static void forget_compiled(struct script_cache *cache, struct shard *shard)
{
    for (int i = 0; i < CHAINS; i++)
        for (struct script *s = atomic_load_explicit(&cache->by_sha[i], memory_order_acquire); s != NULL;
             s = s->next_sha)
            s->refs[shard->index] = 0;
    script_env_set(shard, SCRIPT_EVAL, NULL);
}

int script_ref(struct script *s, struct shard *shard, struct buf *error)
{
    int *ref = &s->refs[shard->index];
    struct script_env *env;
    if (likely(*ref > 0))
        return *ref;
    env = script_env_of(shard, SCRIPT_EVAL);
    if (env != NULL && unlikely(script_crowded(env))) {
        forget_compiled(shard->server->scripts, shard);
        env = script_env_of(shard, SCRIPT_EVAL);
    }
    if (env == NULL) {
        buf_append_str(error, "ERR not enough memory to run scripts (script-memory-limit)");
        return -1;
    }
    buf_append_str(error, "ERR Error compiling script (new function): ");
    *ref = script_compile(env, slice_of(s->body.p + s->code, s->body.len - s->code), CHUNK, error);
    if (*ref < 0) {
        *ref = 0;
        return -1;
    }
    buf_clear(error);
    return *ref;
}

struct script *script_add(struct script_cache *cache, struct shard *shard, struct slice body, enum script_stay stay,
                          struct buf *error)
{
    uint32_t flags;
    size_t code;
    if (!script_parse(body, &flags, &code, error))
        return NULL;
    struct script *s = make(cache, body), *kept = NULL;
    s->flags = flags;
    s->code = code;
    int ref = script_ref(s, shard, error);
    if (ref > 0)
        kept = publish(cache, shard, s, stay);
    if (kept == s)
        return s;
    if (kept != NULL && kept->refs[shard->index] == 0)
        kept->refs[shard->index] = ref;
    else if (ref > 0)
        script_unref(script_env_of(shard, SCRIPT_EVAL), ref);
    mem_free(s, script_size(cache, body.len));
    return kept;
}

/* --- forgetting --- */

bool script_cache_due(const struct script_cache *cache)
{
    return atomic_load_explicit(&cache->nevicted, memory_order_relaxed) >= SWEEP_AT;
}

static void unlink_script(struct script_cache *cache, struct script *s)
{
    struct script *first = atomic_load(&cache->by_sha[sha_chain(slice_of(s->sha, 40))]), **at = &first;
    while (*at != s)
        at = &(*at)->next_sha;
    *at = s->next_sha;
    atomic_store(&cache->by_sha[sha_chain(slice_of(s->sha, 40))], first);
    first = atomic_load(&cache->by_body[s->body_hash % CHAINS]);
    for (at = &first; *at != s;)
        at = &(*at)->next_body;
    *at = s->next_body;
    atomic_store(&cache->by_body[s->body_hash % CHAINS], first);
}

void script_cache_sweep(struct script_cache *cache)
{
    for (struct script *s = cache->evicted, *next; s != NULL; s = next) {
        next = s->next_evicted;
        unlink_script(cache, s);
        for (unsigned i = 0; i < cache->server->nshards; i++)
            if (s->refs[i] > 0)
                script_unref(script_env_of(cache->server->shards[i], SCRIPT_EVAL), s->refs[i]);
        size_t size = script_size(cache, s->body.len);
        atomic_fetch_sub_explicit(&cache->bytes, mem_class(size), memory_order_relaxed);
        mem_free(s, size);
    }
    cache->evicted = NULL;
    atomic_store(&cache->nevicted, 0);
}

static void forget_entries(struct script_cache *cache)
{
    for (int i = 0; i < CHAINS; i++) {
        struct script *s = atomic_exchange(&cache->by_sha[i], NULL);
        atomic_store(&cache->by_body[i], NULL);
        for (struct script *next; s != NULL; s = next) {
            next = s->next_sha;
            mem_free(s, script_size(cache, s->body.len));
        }
    }
    atomic_store(&cache->scripts, 0);
    atomic_store(&cache->bytes, 0);
    cache->nrecent = 0;
    cache->evicted = NULL;
    atomic_store(&cache->nevicted, 0);
}

void script_cache_flush(struct script_cache *cache)
{
    for (unsigned i = 0; i < cache->server->nshards; i++)
        script_env_set(cache->server->shards[i], SCRIPT_EVAL, NULL);
    forget_entries(cache);
}

void script_cache_free(struct script_cache *cache)
{
    if (cache == NULL)
        return;
    forget_entries(cache);
    pthread_mutex_destroy(&cache->lock);
    mem_free(cache, sizeof(*cache));
}

struct script_cache_info script_cache_info(const struct script_cache *cache)
{
    return (struct script_cache_info){atomic_load_explicit(&cache->scripts, memory_order_relaxed),
                                      atomic_load_explicit(&cache->bytes, memory_order_relaxed)};
}
