/* DEBUG about values: what they look like inside, and digests of what they hold. */
#include <stdio.h>

#include "core/base/blob.h"
#include "core/ds/pack.h"
#include "server/admin.h"
#include "server/cmd/debug.h"
#include "server/dispatch.h"
#include "server/reply.h"

#define DIGEST_WORDS 5 /* 160 bits, printed as 40 hexadecimal digits, as Redis prints a SHA-1 */

/* A cold value is read on the spot: DEBUG may block. */
static bool make_hot(struct call *c, struct place *p)
{
    if (tier_fetch_now(p->owner->tier, p->ks, &p->e, p->key) == 0)
        return true;
    reply_error(c, "ERR cannot read the value from the flash tier");
    return false;
}

/* The key in argument 2, its value in RAM; false, and replied, if there is none. */
static bool find(struct call *c, struct place *p)
{
    if (!debug_allowed(c))
        return false;
    *p = place_peek(c, 2);
    if (p->e == NULL) {
        reply_error(c, "ERR no such key");
        return false;
    }
    return make_hot(c, p);
}

void debug_object_run(struct call *c)
{
    struct place p;
    bool cold = debug_allowed(c) && (p = place_peek(c, 2)).e != NULL && entry_cold(p.e);
    if (c->failed || !find(c, &p))
        return;
    struct value v = entry_value(p.e);
    struct buf bytes = {0};
    char text[256];
    value_encode(&v, &bytes);
    snprintf(text, sizeof(text),
             "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%u tier:%s", (void *)p.e,
             value_class_of(v.type)->encoding_name(&v), bytes.len, p.e->temperature,
             temperature_idle_s(call_temperature(c, &p), p.e->temperature), cold ? "cold" : "hot");
    buf_free(&bytes);
    reply_simple(c, text);
}

static void print_pack(const uint8_t *pack)
{
    uint32_t i = 0;
    printf("listpack: %u bytes, %u entries\n", pack_bytes(pack), pack_count(pack));
    for (uint32_t at = pack_first(pack); pack[at] != PACK_END; at = pack_next(pack, at)) {
        char scratch[PACK_TEXT_MAX];
        struct slice text = pack_text(pack_get(pack, at), scratch);
        printf("%u: at %u, %.*s\n", i++, at, (int)min_u64(text.len, 128), (const char *)text.p);
    }
    fflush(stdout);
}

void debug_listpack_run(struct call *c)
{
    struct place p;
    if (!find(c, &p))
        return;
    struct value v = entry_value(p.e);
    const struct value_class *class = value_class_of(v.type);
    if (strncmp(class->encoding_name(&v), "listpack", 8) != 0) {
        reply_error(c, "ERR Not a listpack encoded object.");
        return;
    }
    uint8_t *own = v.encoding == ENC_EMBED && class->unembed != NULL ? class->unembed(v.embed) : NULL;
    print_pack(own != NULL ? own : v.encoding == ENC_EMBED ? v.embed.p : v.ptr);
    pack_free(own);
    reply_simple(c, "Listpack structure printed on stdout");
}

void debug_sdslen_run(struct call *c)
{
    struct place p;
    char text[256];
    if (!find(c, &p))
        return;
    struct value v = entry_value(p.e);
    if (v.type != VALUE_STRING || v.encoding == ENC_INT) {
        reply_error(c, "ERR Not an sds encoded string.");
        return;
    }
    size_t len = v.encoding == ENC_EMBED ? v.embed.len : v.blob->len;
    size_t cap = v.encoding == ENC_EMBED ? len : blob_cap(v.blob);
    snprintf(text, sizeof(text),
             "key_sds_len:%zu, key_sds_avail:0, key_zmalloc: %zu, val_sds_len:%zu, val_sds_avail:%zu, val_zmalloc: %zu",
             p.key.name.len, p.key.name.len, len, cap - len,
             v.encoding == ENC_EMBED ? len : blob_memory(blob_cap(v.blob)));
    reply_simple(c, text);
}

/* --- hash tables --- */

static void put_table(struct buf *out, uint64_t elements, uint64_t bytes)
{
    if (elements == 0)
        buf_append_str(out, "No stats available for empty dictionaries\n");
    else
        buf_printf(out, "Hash table 0 stats (main hash table):\n number of elements: %llu\n bytes: %llu\n",
                   (unsigned long long)elements, (unsigned long long)bytes);
}

void debug_htstats_run(struct call *c)
{
    struct keyspace *ks[SHARDS_MAX];
    struct buf out = {0};
    uint64_t keys = 0, bytes = 0, expires = 0;
    uint32_t db = c->db;
    if (!debug_allowed(c) || !arg_db(c, c->argv[2], &db))
        return;
    for (unsigned i = 0, n = call_keyspaces(c, db, ks, SHARDS_MAX); i < n; i++) {
        keys += table_count(ks[i]->entries);
        bytes += table_memory(ks[i]->entries);
        expires += ks[i]->expires;
    }
    buf_append_str(&out, "[Dictionary HT]\n");
    put_table(&out, keys, bytes);
    buf_printf(&out, "[Expires]\n number of elements: %llu\n", (unsigned long long)expires);
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&out));
    buf_free(&out);
}

void debug_htstats_key_run(struct call *c)
{
    struct place p;
    struct buf out = {0};
    if (!find(c, &p))
        return;
    struct value v = entry_value(p.e);
    const struct value_class *class = value_class_of(v.type);
    const char *encoding = class->encoding_name(&v);
    if (strcmp(encoding, "hashtable") != 0 && strcmp(encoding, "skiplist") != 0) {
        reply_error(c, "ERR The value stored at the specified key is not represented using an hash table");
        return;
    }
    put_table(&out, class->length(&v), class->memory(&v));
    resp_verbatim(c->out, c->proto, "txt", buf_slice(&out));
    buf_free(&out);
}

/* --- digests: order-independent over keys, equal for equal contents --- */

static void mix(void *arg, struct slice s)
{
    uint32_t *d = arg;
    for (unsigned i = 0; i < DIGEST_WORDS; i++)
        d[i] = (uint32_t)(hash_key(s, (uint64_t)d[i] << 8 | i) >> 7);
}

static void digest_text(const uint32_t *d, char out[41])
{
    for (unsigned i = 0; i < DIGEST_WORDS; i++)
        snprintf(out + i * 8, 9, "%08x", d[i]);
}

static bool digest_value(struct call *c, struct place *p, uint32_t *d)
{
    if (!make_hot(c, p))
        return false;
    struct value v = entry_value(p->e);
    uint8_t has_expiry = entry_expiry(p->e) != ENTRY_NO_EXPIRY;
    mix(d, slice_str(value_class_of(v.type)->name));
    value_class_of(v.type)->digest(&v, mix, d);
    mix(d, slice_of(&has_expiry, 1));
    return true;
}

struct names {
    struct buf bytes; /* length 4, bytes, ... */
};

static void collect(void *arg, void *item)
{
    struct names *n = arg;
    struct slice name = entry_key(item);
    buf_put_u32(&n->bytes, (uint32_t)name.len);
    buf_append_slice(&n->bytes, name);
}

static bool digest_db(struct call *c, uint32_t db, uint32_t *sum)
{
    struct keyspace *ks[SHARDS_MAX];
    struct names names = {0};
    bool ok = true;
    for (unsigned i = 0, n = call_keyspaces(c, db, ks, SHARDS_MAX); i < n; i++) {
        uint64_t cursor = 0;
        do
            cursor = table_scan(ks[i]->entries, cursor, collect, &names);
        while (cursor != 0);
    }
    for (struct reader r = reader_of(buf_slice(&names.bytes)); ok && reader_left(&r) > 0;) {
        struct slice name = reader_bytes(&r, reader_u32(&r));
        struct place p = place_in(c, db, name);
        uint32_t d[DIGEST_WORDS] = {db};
        if (p.e == NULL)
            continue;
        bool was_cold = entry_cold(p.e);
        mix(d, name);
        ok = digest_value(c, &p, d);
        if (ok && was_cold && !(p.e->flags & (ENTRY_DIRTY | ENTRY_WRITING))) /* its metadata may be under way */
            keyspace_drop(p.ks, p.e, p.key);
        for (unsigned i = 0; i < DIGEST_WORDS; i++)
            sum[i] ^= d[i];
    }
    buf_free(&names.bytes);
    return ok;
}

void debug_digest_run(struct call *c)
{
    uint32_t sum[DIGEST_WORDS] = {0};
    char text[41];
    if (!debug_allowed(c))
        return;
    for (uint32_t db = 0; db < call_databases(c); db++)
        if (!digest_db(c, db, sum))
            return;
    digest_text(sum, text);
    reply_simple(c, text);
}

void debug_digest_value_run(struct call *c)
{
    if (!debug_allowed(c))
        return;
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct place p = place_peek(c, i);
        uint32_t d[DIGEST_WORDS] = {0};
        char text[41];
        if (p.e != NULL && !digest_value(c, &p, d))
            return;
        digest_text(d, text);
        reply_simple(c, text);
    }
}
