#include "core/keyspace/entry.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

#define LEN_WIDE 255

static size_t layout_bytes(size_t klen, unsigned times, bool embed, size_t vlen)
{
    return sizeof(struct entry) + 8 * times + (embed ? 0 : 8) + (klen >= LEN_WIDE ? 4 : 0) + klen + (embed ? vlen : 0);
}

#define EMBED_ALWAYS 255
#define BESIDE_GAIN 64 /* bytes for which a string is put beside its entry: that costs a cache miss */

bool entry_embeds(size_t key_len, size_t len, bool expires)
{
    if (likely(len < EMBED_ALWAYS))
        return true;
    if (len > ENTRY_EMBED_MAX)
        return false;
    size_t embedded = mem_class(layout_bytes(key_len, expires, true, len));
    return embedded < mem_class(layout_bytes(key_len, expires, false, 0)) + blob_memory(len) + BESIDE_GAIN;
}

struct entry *entry_new(struct slice key, const struct value *v, struct entry_times times)
{
    bool embed = v->encoding == ENC_EMBED;
    bool expires = times.expire_ms != ENTRY_NO_EXPIRY, inner = times.inner_ms != ENTRY_NO_EXPIRY;
    ensure(!embed || v->embed.len <= ENTRY_EMBED_MAX);
    struct entry *e = mem_alloc(layout_bytes(key.len, (unsigned)expires + inner, embed, v->embed.len));
    uint8_t *p = e->rest;

    e->temperature = 0;
    e->type = v->type;
    e->encoding = v->encoding;
    e->flags = (expires ? ENTRY_EXPIRES : 0) | (inner ? ENTRY_INNER : 0);
    e->klen8 = (uint8_t)(key.len < LEN_WIDE ? key.len : LEN_WIDE);
    e->vlen = embed ? v->embed.len & ENTRY_EMBED_MAX : 0;
    if (expires)
        p = (uint8_t *)mempcpy(p, &times.expire_ms, 8);
    if (inner)
        p = (uint8_t *)mempcpy(p, &times.inner_ms, 8);
    if (!embed)
        p = (uint8_t *)mempcpy(p, &v->integer, 8);
    if (e->klen8 == LEN_WIDE)
        p = (uint8_t *)mempcpy(p, &(uint32_t){(uint32_t)key.len}, 4);
    if (key.len > 0)
        p = (uint8_t *)mempcpy(p, key.p, key.len);
    if (embed && v->embed.len > 0)
        memcpy(p, v->embed.p, v->embed.len);
    return e;
}

void entry_free_shell(struct entry *e) { mem_free(e, entry_bytes(e)); }

/* Embedded bytes may change their number while the size of the block does not. */
static bool same_layout(const struct entry *e, const struct value *raw)
{
    struct value old = entry_raw(e);
    if (e->encoding != ENC_EMBED || raw->encoding != ENC_EMBED)
        return e->encoding != ENC_EMBED && raw->encoding != ENC_EMBED;
    if (old.embed.len == raw->embed.len)
        return true;
    size_t bytes = entry_bytes(e);
    return mem_same_class(bytes, bytes - old.embed.len + raw->embed.len);
}

static bool same_times(const struct entry *e, struct entry_times times)
{
    return (times.expire_ms != ENTRY_NO_EXPIRY) == ((e->flags & ENTRY_EXPIRES) != 0) &&
           (times.inner_ms != ENTRY_NO_EXPIRY) == ((e->flags & ENTRY_INNER) != 0);
}

bool entry_write(struct entry *e, const struct value *raw, struct entry_times times)
{
    if (!same_times(e, times) || !same_layout(e, raw))
        return false;
    if (e->flags & ENTRY_EXPIRES)
        memcpy(e->rest, &times.expire_ms, 8);
    if (e->flags & ENTRY_INNER)
        memcpy(e->rest + entry_inner_off(e), &times.inner_ms, 8);
    e->type = raw->type & 15;
    if (raw->encoding == ENC_EMBED) {
        struct value old = entry_raw(e);
        e->vlen = raw->embed.len & ENTRY_EMBED_MAX;
        memmove((uint8_t *)old.embed.p, raw->embed.p, raw->embed.len);
    } else {
        e->encoding = raw->encoding & 15;
        entry_set_word(e, (uint64_t)raw->integer);
    }
    return true;
}
