/* A keyspace against an array: random writes, expiries, deletions, and what tier/ does with it – cleaning, dropping,
 * fetching, forgetting, with writes that fail and fetches that come too late. After every step the touched key, and
 * every so often all of them, the counts, the order of the dirty queue and of the expiry index agree with the model. */
#include "core/keyspace/keyspace.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "tests/sim/tap.h"

#define KEYS 500
#define NAME_MAX_LEN 300
#define PENDING 8
#define FIFO (1 << 20)

struct model_key {
    uint8_t name[NAME_MAX_LEN];
    size_t name_len;
    bool in, tomb; /* at most one of them */
    bool cold, dirty, meta, writing, on_flash, queued, forget;
    struct buf bytes;
    int64_t expire;
    uint32_t temperature, ticket;
    uint64_t cold_size;
    uint64_t version; /* counts the changes of the value */
};

static struct model_key keys[KEYS];
static uint32_t fifo[FIFO];
static size_t fifo_head, fifo_tail;
static struct pending {
    struct model_key *m;
    uint32_t ticket;
    uint64_t version;
} fetches[PENDING];
static size_t nfetches;
static struct keyspace *ks;
static struct rng rng;
static int64_t now_ms;

static bool one_in(uint64_t n) { return rng_below(&rng, n) == 0; }
static struct model_key *any_key(void) { return &keys[rng_below(&rng, KEYS)]; }

/* A key of which `wanted` is true, from a random place on; any key if there is none. */
static struct model_key *key_where(bool (*wanted)(const struct model_key *m))
{
    struct model_key *m = any_key();
    for (size_t i = 0; i < KEYS && !wanted(m); i++)
        m = m + 1 == keys + KEYS ? keys : m + 1;
    return m;
}

static struct key key_for(const struct model_key *m) { return key_of(ks, slice_of(m->name, m->name_len)); }
static struct entry *entry_for(const struct model_key *m) { return keyspace_find(ks, key_for(m)); }

/* --- what the model does --- */

static void model_mark(struct model_key *m, bool *flag)
{
    if (!ks->track)
        return;
    *flag = true;
    if (!m->queued) {
        ensure(fifo_tail < FIFO);
        m->queued = true;
        fifo[fifo_tail++] = (uint32_t)(m - keys);
    }
}

static void model_value(struct model_key *m, struct slice bytes)
{
    buf_clear(&m->bytes);
    buf_append_slice(&m->bytes, bytes);
    m->version++;
}

static void model_create(struct model_key *m)
{
    m->forget = m->dirty = m->meta = m->cold = false;
    if (!m->tomb)
        m->writing = m->on_flash = m->queued = false;
    m->tomb = false;
    m->in = true;
    m->expire = ENTRY_NO_EXPIRY;
    m->temperature = 0;
}

static void model_delete(struct model_key *m)
{
    m->in = m->cold = m->meta = m->dirty = false;
    m->tomb = ks->track && m->on_flash;
    if (m->tomb)
        model_mark(m, &m->dirty);
    else
        m->queued = m->writing = false;
}

/* --- agreement --- */

static bool has(const struct entry *e, unsigned flag) { return (e->flags & flag) != 0; }

static struct entry *find_tomb(const struct model_key *m)
{
    struct table_probe p;
    struct key key = key_for(m);
    for (struct entry *e = table_first(ks->tombs, key.hash, &p); e != NULL; e = table_next(&p))
        if (slice_eq(entry_key(e), key.name))
            return e;
    return NULL;
}

static void agree_value(const struct model_key *m, const struct entry *e)
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

static void agree(const struct model_key *m)
{
    const struct entry *e = entry_for(m), *tomb = find_tomb(m);
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

static void see(void *arg, void *item)
{
    struct slice name = entry_key(item);
    size_t *seen = arg;
    (*seen)++;
    ensure(keyspace_find(ks, key_of(ks, name)) == item);
}

static void agree_samples(void)
{
    void *out[16];
    size_t n = table_sample(ks->entries, rng_u64(&rng), out, 16);
    ensure((n > 0) == (ks->keys > 0));
    for (size_t i = 0; i < n; i++)
        ensure(keyspace_find(ks, key_of(ks, entry_key(out[i]))) == out[i]);
}

static void agree_all(void)
{
    uint64_t in = 0, cold = 0, cold_bytes = 0, expires = 0, dirty = 0, flash = 0, tombs = 0, cursor = 0;
    int64_t first = INT64_MAX;
    size_t seen = 0;
    for (struct model_key *m = keys; m < keys + KEYS; m++) {
        agree(m);
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
    ensure(keyspace_next_expiry(ks) == first && ks->dirty.tail - ks->dirty.head == fifo_tail - fifo_head);
    do
        cursor = table_scan(ks->entries, cursor, see, &seen);
    while (cursor != 0);
    ensure(seen == in);
    agree_samples();
}

/* --- writes --- */

/* Bytes that become an integer, an embedded string with a short or a long length, or a blob. */
static struct slice random_bytes(struct buf *b)
{
    static const size_t most[] = {12, 300, 2000, 9000};
    buf_clear(b);
    if (one_in(4)) {
        buf_printf(b, "%lld", (long long)(rng_u64(&rng) >> rng_below(&rng, 64)));
        return buf_slice(b);
    }
    size_t len = rng_below(&rng, most[rng_below(&rng, ARRAY_LEN(most))]);
    for (size_t i = 0; i < len; i++)
        buf_append_byte(b, (uint8_t)rng_u64(&rng));
    return buf_slice(b);
}

/* Somebody else (a reply on its way) refers to a value: its bytes must not change under him. */
static struct blob *held;
static struct buf held_bytes;

static void hold(struct blob *b)
{
    if (held != NULL) {
        ensure(slice_eq(blob_slice(held), buf_slice(&held_bytes)));
        blob_unref(held);
    }
    held = b != NULL ? blob_ref(b) : NULL;
    buf_clear(&held_bytes);
    if (b != NULL)
        buf_append_slice(&held_bytes, blob_slice(b));
    else
        buf_free(&held_bytes);
}

static struct value random_value(struct slice bytes)
{
    if (!one_in(6))
        return string_value(bytes);
    struct value v = {.type = VALUE_STRING, .encoding = ENC_RAW, .blob = blob_copy(bytes, bytes.len + 5000)};
    if (one_in(2))
        hold(v.blob);
    return v;
}

static int64_t random_expiry(void) { return one_in(2) ? ENTRY_NO_EXPIRY : now_ms + (int64_t)rng_below(&rng, 5000); }

static void wrote(struct model_key *m, struct slice bytes)
{
    m->cold = false;
    m->ticket = 0;
    model_value(m, bytes);
    model_mark(m, &m->dirty);
}

static void put(struct model_key *m, struct buf *scratch)
{
    struct slice bytes = random_bytes(scratch);
    struct value v = random_value(bytes);
    bool born = !m->in;
    int64_t expire = one_in(3) ? EXPIRE_KEEP : random_expiry();
    struct entry *e;
    if (m->in && one_in(3)) {
        e = keyspace_set_value(ks, entry_for(m), key_for(m), &v);
        expire = EXPIRE_KEEP;
    } else {
        e = keyspace_put(ks, key_for(m), &v, expire);
    }
    if (born) {
        model_create(m);
        e->temperature = m->temperature = (uint32_t)rng_u64(&rng) & 0xffffff;
    }
    if (expire != EXPIRE_KEEP)
        m->expire = expire;
    ensure(!has(e, ENTRY_PROBATION | ENTRY_FRESH));
    wrote(m, bytes);
}

/* APPEND, SETRANGE and the like: in place, or in a new blob with room. */
static void write_at(struct model_key *m, struct buf *scratch)
{
    struct entry *e = entry_for(m);
    if (!m->in || m->cold)
        return;
    struct slice more = random_bytes(scratch);
    size_t len = m->bytes.len + more.len;
    struct blob *b = keyspace_writable(ks, &e, key_for(m), len);
    ensure(b->cap >= len && b->len == m->bytes.len && blob_unique(b) && e == entry_for(m));
    if (more.len > 0)
        memcpy(b->data + b->len, more.p, more.len);
    b->len = len;
    keyspace_written(ks, e, key_for(m));
    struct buf all = {0};
    buf_append_slice(&all, buf_slice(&m->bytes));
    buf_append_slice(&all, more);
    wrote(m, buf_slice(&all));
    buf_free(&all);
}

static void expire_at(struct model_key *m)
{
    int64_t expire = random_expiry();
    if (!m->in)
        return;
    struct entry *e = keyspace_set_expiry(ks, entry_for(m), key_for(m), expire);
    ensure(e == entry_for(m));
    if (m->expire != expire)
        model_mark(m, &m->meta);
    m->expire = expire;
}

static void erase(struct model_key *m)
{
    char digits[STRING_INT_CHARS + 1];
    if (!m->in)
        return;
    if (!m->cold && one_in(2)) {
        struct value v = keyspace_take(ks, entry_for(m), key_for(m));
        ensure(v.encoding != ENC_EMBED && slice_eq(string_bytes(&v, digits), buf_slice(&m->bytes)));
        value_class_of(v.type)->release(&v);
    } else {
        keyspace_delete(ks, entry_for(m), key_for(m));
    }
    model_delete(m);
}

static void load(struct model_key *m)
{
    int64_t expire = random_expiry();
    if (m->in || m->tomb || !ks->track)
        return;
    if (one_in(4)) {
        keyspace_load_tomb(ks, key_for(m));
        m->on_flash = true;
        model_delete(m);
        return;
    }
    model_create(m);
    m->cold = m->on_flash = true;
    m->ticket = 0;
    m->expire = expire;
    m->temperature = (uint32_t)rng_u64(&rng) & 0xffffff;
    m->cold_size = rng_below(&rng, (uint64_t)1 << 40);
    model_value(m, SLICE_LIT("as it was"));
    keyspace_load_cold(ks, key_for(m), VALUE_STRING, m->cold_size, expire, m->temperature);
}

/* Moves the clock; what falls due comes in the order of its time. */
static void expire_due(void)
{
    struct entry *e;
    int64_t last = 0;
    now_ms += (int64_t)rng_below(&rng, 200);
    while ((e = keyspace_next_expired(ks, now_ms)) != NULL) {
        struct model_key *m = keys;
        while (!slice_eq(entry_key(e), slice_of(m->name, m->name_len)))
            m++;
        ensure(m->in && m->expire <= now_ms && m->expire >= last && entry_expired(e, now_ms));
        last = m->expire;
        erase(m);
    }
    ensure(keyspace_next_expiry(ks) > now_ms);
}

/* --- movement --- */

static void clean_oldest(void)
{
    if (fifo_head == fifo_tail) {
        ensure(queue_empty(&ks->dirty));
        return;
    }
    struct model_key *m = &keys[fifo[fifo_head]];
    bool there = (m->in || m->tomb) && m->queued, dirty = there && (m->dirty || m->meta);
    struct dirty_item item = keyspace_pop_dirty(ks);
    ensure(item.busy == (dirty && m->writing));
    if (item.busy)
        return;
    fifo_head++;
    m->queued &= !there;
    ensure((item.e != NULL) == dirty);
    if (!dirty)
        return;
    ensure(item.e == (m->in ? entry_for(m) : find_tomb(m)));
    keyspace_cleaning(ks, item.e);
    m->dirty = m->meta = false;
    m->writing = m->on_flash = true;
}

static void complete_write(struct model_key *m)
{
    if (!one_in(5)) {
        keyspace_cleaned(ks, key_for(m));
        if (m->writing && m->forget)
            m->tomb = m->forget = m->queued = m->on_flash = false;
    } else {
        keyspace_not_cleaned(ks, key_for(m));
        if (m->writing)
            model_mark(m, m->cold ? &m->meta : &m->dirty);
        m->forget = m->writing ? false : m->forget;
    }
    m->writing = false;
}

static void forget(struct model_key *m)
{
    struct entry *e = keyspace_forgetting(ks, key_for(m).hash);
    bool can = m->tomb && !m->dirty && !m->writing;
    ensure((e != NULL) == can);
    if (can)
        m->writing = m->forget = true;
}

static void drop(struct model_key *m)
{
    if (!m->in || m->cold || m->dirty || m->writing || !m->on_flash)
        return;
    m->cold_size = keyspace_ram_bytes(entry_for(m));
    struct entry *e = keyspace_drop(ks, entry_for(m), key_for(m));
    ensure(e == entry_for(m) && !has(e, ENTRY_PROBATION | ENTRY_FRESH));
    m->cold = true;
    m->ticket = 0;
}

static void fetch(struct model_key *m)
{
    if (!m->in || !m->cold || nfetches == PENDING)
        return;
    m->ticket = keyspace_fetching(ks, entry_for(m));
    ensure(m->ticket != 0);
    fetches[nfetches++] = (struct pending){m, m->ticket, m->version};
}

/* A value arrives: it is installed only if nobody has written the key since. */
static void install(struct buf *scratch)
{
    if (nfetches == 0)
        return;
    struct pending *at = &fetches[rng_below(&rng, nfetches)], f = *at;
    *at = fetches[--nfetches];
    struct entry *e = entry_for(f.m);
    if (e == NULL || !entry_cold(e) || entry_ticket(e) != f.ticket)
        return;
    ensure(f.version == f.m->version);
    buf_clear(scratch);
    buf_append_slice(scratch, buf_slice(&f.m->bytes));
    struct value v = string_value(buf_slice(scratch));
    if (v.encoding == ENC_EMBED)
        v = (struct value){.type = VALUE_STRING, .encoding = ENC_BLOB, .blob = blob_copy(v.embed, v.embed.len)};
    e = keyspace_install(ks, e, key_for(f.m), &v);
    ensure(e == entry_for(f.m) && has(e, ENTRY_PROBATION) && has(e, ENTRY_FRESH));
    keyspace_reread(e);
    ensure(has(e, ENTRY_PROBATION) && !has(e, ENTRY_FRESH));
    if (one_in(2))
        keyspace_reread(e);
    f.m->cold = false;
}

/* --- rounds --- */

static bool is_writing(const struct model_key *m) { return m->writing; }
static bool is_cold(const struct model_key *m) { return m->cold; }
static bool is_old_tomb(const struct model_key *m) { return m->tomb && !m->dirty && !m->writing; }
static bool is_raw(const struct model_key *m) { return m->in && !m->cold && entry_for(m)->encoding == ENC_RAW; }
static bool is_clean(const struct model_key *m) { return m->in && !m->cold && !m->dirty && !m->writing && m->on_flash; }

static void step(struct buf *scratch, unsigned writes)
{
    struct model_key *m = any_key();
    switch (rng_below(&rng, 100) < writes ? rng_below(&rng, 8) : 8 + rng_below(&rng, 8)) {
    case 0 ... 3:
        put(m, scratch);
        break;
    case 4:
        write_at(m = one_in(2) ? m : key_where(is_raw), scratch);
        break;
    case 5:
        expire_at(m = one_in(2) ? m : key_where(is_cold));
        break;
    case 6:
        erase(m);
        break;
    case 7:
        load(m);
        break;
    case 8 ... 9:
        clean_oldest();
        break;
    case 10 ... 11:
        complete_write(m = key_where(is_writing));
        break;
    case 12:
        drop(m = key_where(is_clean));
        break;
    case 13:
        fetch(m = key_where(is_cold));
        break;
    case 14:
        install(scratch);
        break;
    default:
        forget(m = one_in(4) ? m : key_where(is_old_tomb));
        break;
    }
    agree(m);
}

static void dirty_all(void)
{
    /* the order among those queued now is the table's: the queue is emptied first, and then told apart by key */
    while (fifo_head < fifo_tail) {
        clean_oldest();
        for (struct model_key *m = keys; m < keys + KEYS; m++)
            complete_write(m);
    }
    keyspace_dirty_all(ks);
    ensure(ks->dirty_keys == ks->keys && ks->dirty.tail - ks->dirty.head == ks->keys);
    while (!queue_empty(&ks->dirty)) {
        struct dirty_item item = keyspace_pop_dirty(ks);
        ensure(item.e != NULL && has(item.e, entry_cold(item.e) ? ENTRY_META_DIRTY : ENTRY_DIRTY));
        keyspace_cleaning(ks, item.e);
        keyspace_cleaned(ks, (struct key){entry_key(item.e), hash_key(entry_key(item.e), ks->hash_seed)});
    }
    for (struct model_key *m = keys; m < keys + KEYS; m++)
        m->on_flash |= m->in;
}

static void tear_down(void)
{
    hold(NULL);
    for (struct model_key *m = keys; m < keys + KEYS; m++)
        erase(m);
    while (table_count(ks->tombs) > 0 || fifo_head < fifo_tail) {
        clean_oldest();
        for (struct model_key *m = keys; m < keys + KEYS; m++) {
            forget(m);
            complete_write(m);
        }
    }
    agree_all();
    ok(ks->bytes == 0 && ks->keys == 0 && ks->dirty_keys == 0 && ks->flash_keys == 0 && ks->cold_bytes == 0,
       "every account is zero when all is deleted");
    ok(btree_count(ks->expiry) == 0 && ks->dirty.memory <= 8192, "the expiry index and the dirty queue are empty");
}

static void name_keys(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        struct model_key *m = &keys[i];
        *m = (struct model_key){.name_len = i == 0 ? 0 : rng_below(&rng, 8) ? 4 + i % 20 : 250 + i % 50};
        for (size_t k = 0; k < m->name_len; k++)
            m->name[k] = (uint8_t)rng_u64(&rng);
        memcpy(m->name, &(uint32_t){(uint32_t)i}, i == 0 ? 0 : 4);
    }
}

static void round_of(const char *name, bool track, unsigned writes, int steps)
{
    struct buf scratch = {0};
    fifo_head = fifo_tail = nfetches = 0;
    now_ms = 1000000;
    ks = keyspace_new((struct space_id){1, 0}, rng_u64(&rng));
    ks->track = track;
    name_keys();
    for (int i = 0; i < steps; i++) {
        step(&scratch, writes);
        if (i % 50 == 0)
            expire_due();
        if (i % 500 == 0)
            agree_all();
    }
    agree_all();
    ok(true, "%s: %d steps", name, steps);
    if (track)
        dirty_all();
    agree_all();
    tear_down();
    keyspace_free(ks);
    for (size_t i = 0; i < KEYS; i++)
        buf_free(&keys[i].bytes);
    buf_free(&scratch);
}

/* Freed as it stands: what is left is LeakSanitizer's to say. */
static void freed_in_use(void)
{
    struct buf scratch = {0};
    fifo_head = fifo_tail = nfetches = 0;
    ks = keyspace_new((struct space_id){1, 0}, 7);
    ks->track = true;
    name_keys();
    for (int i = 0; i < 3000; i++)
        step(&scratch, 60);
    uint64_t memory = keyspace_memory(ks);
    keyspace_free(ks);
    hold(NULL);
    for (size_t i = 0; i < KEYS; i++)
        buf_free(&keys[i].bytes);
    buf_free(&scratch);
    ok(memory > 0, "freed while it is full of everything");
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    round_of("mostly writes", true, 90, 60000);
    round_of("mostly movement", true, 30, 100000);
    round_of("neither logged nor tiered", false, 100, 30000);
    freed_in_use();
    return tap_done();
}
