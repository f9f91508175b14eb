#include "server/script/cache.h"

#include <ctype.h>
#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/sha1.h"
#include "server/server.h"

#define CHAINS 4096
#define CHUNK "@user_script"

struct script_cache {
    struct server *server;
    _Atomic(struct script *) by_sha[CHAINS], by_body[CHAINS];
    _Atomic uint64_t scripts, bytes;
};

struct script_cache *script_cache_new(struct server *server)
{
    struct script_cache *cache = mem_zalloc(sizeof(*cache));
    cache->server = server;
    return cache;
}

static size_t script_size(const struct script_cache *cache, size_t body)
{
    return sizeof(struct script) + sizeof(int) * cache->server->nshards + body;
}

/* --- finding --- */

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The first 16 bits; -1: it is no SHA1 in hexadecimal. */
static int sha_chain(struct slice sha)
{
    int v = 0;
    if (sha.len != 40)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = digit(sha.p[i]);
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

struct script *script_by_sha(struct script_cache *cache, struct slice sha)
{
    int chain = sha_chain(sha);
    return chain < 0 ? NULL : find_sha(atomic_load_explicit(&cache->by_sha[chain], memory_order_acquire), sha);
}

struct script *script_by_body(struct script_cache *cache, struct slice body)
{
    uint64_t hash = hash_key(body, cache->server->hash_seed);
    struct script *s = atomic_load_explicit(&cache->by_body[hash % CHAINS], memory_order_acquire);
    while (s != NULL && (s->body_hash != hash || !slice_eq(s->body, body)))
        s = s->next_body;
    return s;
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

/* --- adding --- */

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

/* Another thread may be adding the same one: then its stays. */
static struct script *publish(struct script_cache *cache, struct script *s)
{
    struct slice sha = slice_of(s->sha, 40);
    _Atomic(struct script *) *at = &cache->by_sha[sha_chain(sha)];
    struct script *head = atomic_load_explicit(at, memory_order_acquire);
    do {
        struct script *same = find_sha(head, sha);
        if (same != NULL)
            return same;
        s->next_sha = head;
    } while (!atomic_compare_exchange_weak(at, &head, s));
    at = &cache->by_body[s->body_hash % CHAINS];
    head = atomic_load_explicit(at, memory_order_acquire);
    do
        s->next_body = head;
    while (!atomic_compare_exchange_weak(at, &head, s));
    atomic_fetch_add_explicit(&cache->scripts, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->bytes, mem_class(script_size(cache, s->body.len)), memory_order_relaxed);
    return s;
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

struct script *script_add(struct script_cache *cache, struct shard *shard, struct slice body, struct buf *error)
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
        kept = publish(cache, s);
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
    mem_free(cache, sizeof(*cache));
}

struct script_cache_info script_cache_info(const struct script_cache *cache)
{
    return (struct script_cache_info){atomic_load_explicit(&cache->scripts, memory_order_relaxed),
                                      atomic_load_explicit(&cache->bytes, memory_order_relaxed)};
}
