#define ZSTD_STATIC_LINKING_ONLY /* frames without magic number */
#include "tier/dictionary.h"

#include <errno.h>
#include <pthread.h>
#include <zdict.h>
#include <zstd.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

#define LEVEL 1 /* shards compress in their turn */

struct dictionary {
    uint32_t id;
    ZSTD_CDict *compress;
    ZSTD_DDict *decompress;
};

/* --- contexts of this thread --- */

struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;
static _Thread_local struct contexts *mine;

static void free_contexts(void *arg)
{
    struct contexts *c = arg;
    ZSTD_freeCCtx(c->compress);
    ZSTD_freeDCtx(c->decompress);
    mem_free(c, sizeof(*c));
}

static void make_key(void) { ensure(pthread_key_create(&at_exit, free_contexts) == 0); }

static struct contexts *contexts(void)
{
    if (unlikely(mine == NULL)) {
        pthread_once(&once, make_key);
        mine = mem_zalloc(sizeof(*mine));
        ensure(pthread_setspecific(at_exit, mine) == 0);
    }
    return mine;
}

/* What is set here holds for frames with a dictionary; ZSTD_compressCCtx goes by its own. */
static ZSTD_CCtx *new_compressor(void)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ensure(c != NULL);
    ensure(!ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_format, ZSTD_f_zstd1_magicless)));
    ensure(!ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_dictIDFlag, 0)));
    return c;
}

static ZSTD_CCtx *compressor(void)
{
    struct contexts *c = contexts();
    if (unlikely(c->compress == NULL))
        c->compress = new_compressor();
    return c->compress;
}

static ZSTD_DCtx *decompressor(ZSTD_format_e format)
{
    struct contexts *c = contexts();
    if (unlikely(c->decompress == NULL))
        ensure((c->decompress = ZSTD_createDCtx()) != NULL);
    ensure(!ZSTD_isError(ZSTD_DCtx_setParameter(c->decompress, ZSTD_d_format, (int)format)));
    return c->decompress;
}

/* --- a dictionary --- */

struct dictionary *dictionary_new(uint32_t id, struct slice content)
{
    if (ZDICT_getDictID(content.p, content.len) == 0)
        return NULL;
    struct dictionary *d = mem_zalloc(sizeof(*d));
    d->id = id;
    d->compress = ZSTD_createCDict(content.p, content.len, LEVEL);
    d->decompress = ZSTD_createDDict(content.p, content.len);
    if (d->compress != NULL && d->decompress != NULL)
        return d;
    dictionary_free(d);
    return NULL;
}

void dictionary_free(struct dictionary *d)
{
    ZSTD_freeCDict(d->compress);
    ZSTD_freeDDict(d->decompress);
    mem_free(d, sizeof(*d));
}

uint32_t dictionary_id(const struct dictionary *d) { return d->id; }

/* --- the set --- */

void dictionaries_add(struct dictionaries *ds, struct dictionary *d)
{
    unsigned n = atomic_load_explicit(&ds->n, memory_order_relaxed);
    ensure(n < DICTIONARIES_MAX);
    ds->known[n] = d;
    atomic_store_explicit(&ds->n, n + 1, memory_order_release);
}

void dictionaries_clear(struct dictionaries *ds)
{
    for (unsigned n = atomic_load(&ds->n); n-- > 0;)
        dictionary_free(ds->known[n]);
    atomic_store(&ds->n, 0);
}

const struct dictionary *dictionaries_newest(const struct dictionaries *ds)
{
    unsigned n = atomic_load_explicit(&ds->n, memory_order_acquire);
    return n > 0 ? ds->known[n - 1] : NULL;
}

const struct dictionary *dictionaries_find(const struct dictionaries *ds, uint32_t id)
{
    unsigned n = atomic_load_explicit(&ds->n, memory_order_acquire);
    while (n-- > 0)
        if (ds->known[n]->id == id)
            return ds->known[n];
    return NULL;
}

/* --- bytes --- */

size_t dictionary_bound(size_t len) { return ZSTD_compressBound(len); }

size_t dictionary_compress(const struct dictionary *d, uint8_t *to, size_t cap, struct slice raw)
{
    ZSTD_CCtx *c = compressor();
    size_t n;
    if (d == NULL) {
        n = ZSTD_compressCCtx(c, to, cap, raw.p, raw.len, LEVEL);
    } else {
        ensure(!ZSTD_isError(ZSTD_CCtx_refCDict(c, d->compress)));
        n = ZSTD_compress2(c, to, cap, raw.p, raw.len);
        ZSTD_CCtx_refCDict(c, NULL); /* the context outlives the dictionary */
    }
    return ZSTD_isError(n) ? 0 : n;
}

int dictionary_decompress(const struct dictionary *d, uint8_t *to, size_t len, struct slice body)
{
    ZSTD_DCtx *c = decompressor(d != NULL ? ZSTD_f_zstd1_magicless : ZSTD_f_zstd1);
    size_t n = ZSTD_decompress_usingDDict(c, to, len, body.p, body.len, d != NULL ? d->decompress : NULL);
    return n == len ? 0 : -EBADMSG;
}
