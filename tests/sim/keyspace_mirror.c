#include "tests/sim/keyspace_mirror.h"

#include "core/base/panic.h"

void mirror_init(struct mirror *w, struct keyspace *ks, struct rng *rng)
{
    w->ks = ks;
    w->fifo_head = w->fifo_tail = 0;
    for (size_t i = 0; i < MIRROR_KEYS; i++) {
        struct mirror_key *m = &w->keys[i];
        *m = (struct mirror_key){.name_len = i == 0 ? 0 : rng_below(rng, 8) ? 4 + i % 20 : 250 + i % 50};
        for (size_t k = 0; k < m->name_len; k++)
            m->name[k] = (uint8_t)rng_u64(rng);
        memcpy(m->name, &(uint32_t){(uint32_t)i}, i == 0 ? 0 : 4); /* no two are the same */
    }
}

void mirror_free(struct mirror *w)
{
    for (size_t i = 0; i < MIRROR_KEYS; i++)
        buf_free(&w->keys[i].bytes);
}

struct key mirror_name(const struct mirror *w, const struct mirror_key *m)
{
    return key_of(w->ks, slice_of(m->name, m->name_len));
}

struct entry *mirror_entry(const struct mirror *w, const struct mirror_key *m)
{
    return keyspace_find(w->ks, mirror_name(w, m));
}

/* --- changes --- */

void mirror_mark(struct mirror *w, struct mirror_key *m, bool *flag)
{
    if (!w->ks->track)
        return;
    *flag = true;
    if (!m->queued) {
        ensure(w->fifo_tail < MIRROR_FIFO);
        m->queued = true;
        w->fifo[w->fifo_tail++] = (uint32_t)(m - w->keys);
    }
}

void mirror_value(struct mirror_key *m, struct slice bytes)
{
    buf_clear(&m->bytes);
    buf_append_slice(&m->bytes, bytes);
    m->version++;
}

void mirror_create(struct mirror_key *m)
{
    m->forget = m->dirty = m->meta = m->cold = false;
    if (!m->tomb)
        m->writing = m->on_flash = m->queued = false;
    m->tomb = false;
    m->in = true;
    m->expire = ENTRY_NO_EXPIRY;
    m->temperature = 0;
}

void mirror_delete(struct mirror *w, struct mirror_key *m)
{
    m->in = m->cold = m->meta = m->dirty = false;
    m->tomb = w->ks->track && m->on_flash;
    if (m->tomb)
        mirror_mark(w, m, &m->dirty);
    else
        m->queued = m->writing = false;
}

/* --- agreement --- */

static bool has(const struct entry *e, unsigned flag) { return (e->flags & flag) != 0; }

struct entry *mirror_tomb(const struct mirror *w, const struct mirror_key *m)
{
    struct table_probe p;
    struct key key = mirror_name(w, m);
    for (struct entry *e = table_first(w->ks->tombs, key.hash, &p); e != NULL; e = table_next(&p))
        if (slice_eq(entry_key(e), key.name))
            return e;
    return NULL;
}

static void agree_value(const struct mirror_key *m, const struct entry *e)
{
    char scratch[STRING_INT_CHARS + 1];
    ensure(entry_cold(e) == m->cold);
    if (m->cold) {
        ensure(entry_cold_size(e) == m->cold_size && entry_ticket(e) == m->ticket);
        return;
    }
    struct value v = entry_value(e);
    ensure(v.type == VALUE_STRING && slice_eq(string_bytes(&v, scratch), buf_slice(&m->bytes)));
}

void mirror_agree(const struct mirror *w, const struct mirror_key *m)
{
    const struct entry *e = mirror_entry(w, m), *tomb = mirror_tomb(w, m);
    ensure((e != NULL) == m->in && (tomb != NULL) == m->tomb);
    if (tomb != NULL)
        ensure(has(tomb, ENTRY_TOMB) && has(tomb, ENTRY_FORGET) == m->forget);
    if (e != NULL) {
        ensure(slice_eq(entry_key(e), slice_of(m->name, m->name_len)) && !has(e, ENTRY_TOMB));
        ensure(entry_expiry(e) == m->expire && e->temperature == m->temperature);
        agree_value(m, e);
    }
    e = e != NULL ? e : tomb;
    if (e == NULL)
        return;
    ensure(has(e, ENTRY_DIRTY) == m->dirty && has(e, ENTRY_META_DIRTY) == m->meta && has(e, ENTRY_QUEUED) == m->queued);
    ensure(has(e, ENTRY_WRITING) == m->writing && has(e, ENTRY_ON_FLASH) == m->on_flash);
}

struct seen {
    struct keyspace *ks;
    size_t n;
};

static void see(void *arg, void *item)
{
    struct seen *seen = arg;
    seen->n++;
    ensure(keyspace_find(seen->ks, key_of(seen->ks, entry_key(item))) == item);
}

static void agree_samples(struct keyspace *ks, uint64_t random)
{
    void *out[16];
    size_t n = table_sample(ks->entries, random, out, 16);
    ensure((n > 0) == (ks->keys > 0));
    for (size_t i = 0; i < n; i++)
        ensure(keyspace_find(ks, key_of(ks, entry_key(out[i]))) == out[i]);
}

void mirror_agree_all(const struct mirror *w, uint64_t random)
{
    uint64_t in = 0, cold = 0, cold_bytes = 0, expires = 0, dirty = 0, flash = 0, tombs = 0, cursor = 0;
    int64_t first = INT64_MAX;
    struct keyspace *ks = w->ks;
    struct seen seen = {ks, 0};
    for (const struct mirror_key *m = w->keys; m < w->keys + MIRROR_KEYS; m++) {
        mirror_agree(w, m);
        in += m->in;
        tombs += m->tomb;
        dirty += m->dirty || m->meta;
        if (!m->in)
            continue;
        cold += m->cold;
        cold_bytes += m->cold ? m->cold_size : 0;
        flash += m->on_flash;
        expires += m->expire != ENTRY_NO_EXPIRY;
        if (m->expire != ENTRY_NO_EXPIRY && m->expire < first)
            first = m->expire;
    }
    keyspace_validate(ks);
    ensure(ks->keys == in && ks->cold == cold && ks->expires == expires && ks->dirty_keys == dirty);
    ensure(ks->cold_bytes == cold_bytes && ks->flash_keys == flash && table_count(ks->tombs) == tombs);
    ensure(keyspace_next_expiry(ks) == first && ks->dirty.tail - ks->dirty.head == w->fifo_tail - w->fifo_head);
    do
        cursor = table_scan(ks->entries, cursor, see, &seen);
    while (cursor != 0);
    ensure(seen.n == in);
    agree_samples(ks, random);
}
