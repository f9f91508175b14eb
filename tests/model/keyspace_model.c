/* A keyspace against an array: random writes, expiries, deletions, and what tier/ does with it – cleaning, dropping,
 * fetching, forgetting, with writes that fail and fetches that come too late. After every step the touched key, and
 * every so often all of them, the counts, the order of the dirty queue and of the expiry index agree with the model.
 * Meanwhile cuts are taken, one after the other: each has to give the state of its instant, with the values that it
 * says are on flash being there in a snapshot of the store. */
#include "core/base/panic.h"
#include "core/keyspace/cut.h"
#include "tests/sim/keyspace_mirror.h"
#include "tests/sim/tap.h"

#define PENDING 8

static struct mirror mirror;
static struct mirror_key *const keys = mirror.keys, *const keys_end = mirror.keys + MIRROR_KEYS;
static struct keyspace *ks;
static struct pending {
    struct mirror_key *m;
    uint32_t ticket;
    uint64_t version;
} fetches[PENDING];
static size_t nfetches;
static struct rng rng;
static int64_t now_ms;

static bool one_in(uint64_t n) { return rng_below(&rng, n) == 0; }
static struct mirror_key *any_key(void) { return &keys[rng_below(&rng, MIRROR_KEYS)]; }
static struct key key_for(const struct mirror_key *m) { return mirror_name(&mirror, m); }
static struct entry *entry_for(const struct mirror_key *m) { return mirror_entry(&mirror, m); }
static bool has(const struct entry *e, unsigned flag) { return (e->flags & flag) != 0; }

/* A key of which `wanted` is true, from a random place on; any key if there is none. */
static struct mirror_key *key_where(bool (*wanted)(const struct mirror_key *m))
{
    struct mirror_key *m = any_key();
    for (size_t i = 0; i < MIRROR_KEYS && !wanted(m); i++)
        m = m + 1 == keys_end ? keys : m + 1;
    return m;
}

/* --- cuts --- */

/* What the store has of a key's value, and what a write under way will make of it. */
static struct stored {
    struct buf bytes, coming;
    bool writing; /* a value, not only metadata */
} store[MIRROR_KEYS];

static struct instant {
    bool in, handed;
    int64_t expire;
    struct buf bytes, stored;
} instant[MIRROR_KEYS];
static struct cut cut;
static bool cutting;
static uint64_t cuts, cut_keys, cut_stored;

static void set_bytes(struct buf *b, struct slice s)
{
    buf_clear(b);
    buf_append_slice(b, s);
}

/* Places of keys that the walk has put off. */
static size_t put_off[MIRROR_KEYS], nput_off;

static bool hand_over(struct cut *c, const struct entry *e, enum cut_why why)
{
    char digits[STRING_INT_CHARS + 1];
    size_t i = 0;
    while (!slice_eq(entry_key(e), slice_of(keys[i].name, keys[i].name_len)))
        i++;
    struct instant *was = &instant[i];
    ensure(c == &cut && was->in && !was->handed && was->expire == entry_expiry(e));
    if (why == CUT_WALK && nput_off < MIRROR_KEYS && one_in(20)) {
        put_off[nput_off++] = i;
        return false;
    }
    if (cut_on_flash(ks, e)) {
        ensure(slice_eq(buf_slice(&was->bytes), buf_slice(&was->stored)));
        cut_stored++;
    } else {
        struct value v = entry_value(e);
        ensure(slice_eq(buf_slice(&was->bytes), string_bytes(&v, digits)));
    }
    /* What has been written and not changed since is on flash now, if not in the snapshot. */
    if (why == CUT_CLEANED && !(e->flags & ENTRY_DIRTY))
        ensure(slice_eq(buf_slice(&was->bytes), buf_slice(&store[i].bytes)));
    was->handed = true;
    cut_keys++;
    return true;
}

/* A write under way is in the store's snapshot or is not. */
static void begin_cut(void)
{
    for (size_t i = 0; i < MIRROR_KEYS; i++) {
        bool early = store[i].writing && one_in(2);
        instant[i].in = keys[i].in;
        instant[i].handed = false;
        instant[i].expire = keys[i].expire;
        set_bytes(&instant[i].bytes, buf_slice(&keys[i].bytes));
        set_bytes(&instant[i].stored, buf_slice(early ? &store[i].coming : &store[i].bytes));
    }
    cut_begin(&cut, ks, one_in(8) ? NULL : hand_over);
    cutting = true;
}

static void end_cut(void)
{
    for (; nput_off > 0; nput_off--) {
        const struct mirror_key *m = &keys[put_off[nput_off - 1]];
        struct entry *e = m->in ? mirror_entry(&mirror, m) : NULL;
        if (e != NULL)
            cut_touch(ks, e, CUT_CHANGE);
    }
    cut_end(&cut);
    for (size_t i = 0; i < MIRROR_KEYS; i++)
        ensure(instant[i].in == instant[i].handed || cut.hand_over == NULL);
    cutting = false;
    cuts++;
}

static void step_cut(void)
{
    if (!cutting && one_in(200))
        begin_cut();
    else if (cutting && one_in(4) && !cut_step(&cut))
        end_cut();
    if (cutting && one_in(500))
        cut.hand_over = NULL; /* whoever wanted it has given up */
}

static void finish_cut(void)
{
    while (cutting)
        if (!cut_step(&cut))
            end_cut();
}

static void forget_store(void)
{
    for (size_t i = 0; i < MIRROR_KEYS; i++) {
        buf_free(&store[i].bytes);
        buf_free(&store[i].coming);
        buf_free(&instant[i].bytes);
        buf_free(&instant[i].stored);
        store[i].writing = false;
    }
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

static void wrote(struct mirror_key *m, struct slice bytes)
{
    m->cold = false;
    m->ticket = 0;
    mirror_value(m, bytes);
    mirror_mark(&mirror, m, &m->dirty);
}

static void put(struct mirror_key *m, struct buf *scratch)
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
        mirror_create(m);
        e->temperature = m->temperature = (uint32_t)rng_u64(&rng) & 0xffffff;
    }
    if (expire != EXPIRE_KEEP)
        m->expire = expire;
    ensure(!has(e, ENTRY_PROBATION | ENTRY_FRESH));
    wrote(m, bytes);
}

/* APPEND, SETRANGE and the like: in place, or in a new blob with room. */
static void write_at(struct mirror_key *m, struct buf *scratch)
{
    struct entry *e = entry_for(m);
    if (!m->in || m->cold)
        return;
    struct slice more = random_bytes(scratch);
    size_t len = m->bytes.len + more.len;
    struct blob *b = keyspace_writable(ks, &e, key_for(m), len);
    ensure(blob_cap(b) >= len && b->len == m->bytes.len && blob_unique(b) && e == entry_for(m));
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

static void expire_at(struct mirror_key *m)
{
    int64_t expire = random_expiry();
    if (!m->in)
        return;
    struct entry *e = keyspace_set_expiry(ks, entry_for(m), key_for(m), expire);
    ensure(e == entry_for(m));
    if (m->expire != expire)
        mirror_mark(&mirror, m, &m->meta);
    m->expire = expire;
}

static void erase(struct mirror_key *m)
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
    mirror_delete(&mirror, m);
}

static void load(struct mirror_key *m)
{
    int64_t expire = random_expiry();
    if (m->in || m->tomb || !ks->track)
        return;
    if (one_in(4)) {
        keyspace_load_tomb(ks, key_for(m));
        m->on_flash = true;
        mirror_delete(&mirror, m);
        return;
    }
    mirror_create(m);
    m->cold = m->on_flash = true;
    m->ticket = 0;
    m->expire = expire;
    m->temperature = (uint32_t)rng_u64(&rng) & 0xffffff;
    m->cold_size = rng_below(&rng, (uint64_t)1 << 40);
    mirror_value(m, SLICE_LIT("as it was"));
    set_bytes(&store[m - keys].bytes, SLICE_LIT("as it was"));
    struct entry_times times = {expire, ENTRY_NO_EXPIRY};
    keyspace_load_cold(ks, key_for(m), VALUE_STRING, m->cold_size, times, m->temperature);
}

/* Moves the clock; what falls due comes in the order of its time. */
static void expire_due(void)
{
    struct entry *e;
    int64_t last = 0;
    now_ms += (int64_t)rng_below(&rng, 200);
    while ((e = keyspace_next_expired(ks, now_ms)) != NULL) {
        struct mirror_key *m = keys;
        while (!slice_eq(entry_key(e), slice_of(m->name, m->name_len)))
            m++;
        ensure(m->in && m->expire <= now_ms && m->expire >= last && entry_expired(e, now_ms));
        last = m->expire;
        erase(m);
    }
    ensure(keyspace_next_expiry(ks) > now_ms);
}

/* --- movement --- */

/* The oldest word, which is taken only when it is not busy: then it can be asked for again. */
static struct dirty_item pop_dirty(void)
{
    uint64_t word = queue_peek(&ks->dirty), taken;
    struct dirty_item item = keyspace_find_dirty(ks, word);
    if (!item.busy)
        ensure(keyspace_take_dirty(ks, ks->dirty.head + 1, &taken, 2) == 1 && taken == word);
    return item;
}

static void clean_oldest(void)
{
    if (mirror.fifo_head == mirror.fifo_tail) {
        ensure(queue_empty(&ks->dirty));
        return;
    }
    struct mirror_key *m = &keys[mirror.fifo[mirror.fifo_head]];
    bool there = (m->in || m->tomb) && m->queued, dirty = there && (m->dirty || m->meta);
    struct dirty_item item = pop_dirty();
    ensure(item.busy == (dirty && m->writing));
    if (item.busy)
        return;
    mirror.fifo_head++;
    m->queued &= !there;
    ensure((item.e != NULL) == dirty);
    if (!dirty)
        return;
    ensure(item.e == (m->in ? entry_for(m) : mirror_tomb(&mirror, m)));
    keyspace_cleaning(ks, item.e);
    store[m - keys].writing = m->in && m->dirty;
    set_bytes(&store[m - keys].coming, buf_slice(&m->bytes));
    m->dirty = m->meta = false;
    m->writing = m->on_flash = true;
}

static void complete_write(struct mirror_key *m)
{
    struct stored *st = &store[m - keys];
    bool good = !one_in(5);
    if (st->writing && (good || one_in(2)))
        set_bytes(&st->bytes, buf_slice(&st->coming));
    st->writing = false;
    if (good) {
        keyspace_cleaned(ks, key_for(m));
        if (m->writing && m->forget)
            m->tomb = m->forget = m->queued = m->on_flash = false;
    } else {
        keyspace_not_cleaned(ks, key_for(m));
        if (m->writing)
            mirror_mark(&mirror, m, m->cold ? &m->meta : &m->dirty);
        m->forget = m->writing ? false : m->forget;
    }
    m->writing = false;
}

static void forget(struct mirror_key *m)
{
    struct entry *e = keyspace_forgetting(ks, key_for(m).hash);
    bool can = m->tomb && !m->dirty && !m->writing;
    ensure((e != NULL) == can);
    if (can)
        m->writing = m->forget = true;
}

static void drop(struct mirror_key *m)
{
    if (!m->in || m->cold || m->dirty || m->writing || !m->on_flash)
        return;
    m->cold_size = keyspace_ram_bytes(entry_for(m));
    struct entry *e = keyspace_drop(ks, entry_for(m), key_for(m));
    ensure(e == entry_for(m) && !has(e, ENTRY_PROBATION | ENTRY_FRESH));
    m->cold = true;
    m->ticket = 0;
}

static void fetch(struct mirror_key *m)
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

static bool is_writing(const struct mirror_key *m) { return m->writing; }
static bool is_cold(const struct mirror_key *m) { return m->cold; }
static bool is_old_tomb(const struct mirror_key *m) { return m->tomb && !m->dirty && !m->writing; }
static bool is_raw(const struct mirror_key *m) { return m->in && !m->cold && entry_for(m)->encoding == ENC_RAW; }
static bool is_clean(const struct mirror_key *m)
{
    return m->in && !m->cold && !m->dirty && !m->writing && m->on_flash;
}

static void step(struct buf *scratch, unsigned writes)
{
    struct mirror_key *m = any_key();
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
    step_cut();
    mirror_agree(&mirror, m);
}

static void dirty_all(void)
{
    /* the order among those queued now is the table's: the queue is emptied first, and then told apart by key */
    while (mirror.fifo_head < mirror.fifo_tail) {
        clean_oldest();
        for (struct mirror_key *m = keys; m < keys_end; m++)
            complete_write(m);
    }
    keyspace_dirty_all(ks);
    ensure(ks->dirty_keys == ks->keys && ks->dirty.tail - ks->dirty.head == ks->keys);
    while (!queue_empty(&ks->dirty)) {
        struct dirty_item item = pop_dirty();
        ensure(item.e != NULL && has(item.e, entry_cold(item.e) ? ENTRY_META_DIRTY : ENTRY_DIRTY));
        keyspace_cleaning(ks, item.e);
        keyspace_cleaned(ks, (struct key){entry_key(item.e), hash_key(entry_key(item.e), ks->hash_seed)});
    }
    for (struct mirror_key *m = keys; m < keys_end; m++)
        m->on_flash |= m->in;
}

static void tear_down(void)
{
    hold(NULL);
    finish_cut();
    for (struct mirror_key *m = keys; m < keys_end; m++)
        erase(m);
    while (table_count(ks->tombs) > 0 || mirror.fifo_head < mirror.fifo_tail) {
        clean_oldest();
        for (struct mirror_key *m = keys; m < keys_end; m++) {
            forget(m);
            complete_write(m);
        }
    }
    mirror_agree_all(&mirror, rng_u64(&rng));
    ok(ks->bytes == 0 && ks->keys == 0 && ks->dirty_keys == 0 && ks->flash_keys == 0 && ks->cold_bytes == 0,
       "every account is zero when all is deleted");
    ok(btree_count(ks->expiry) == 0 && ks->dirty.memory <= 8192, "the expiry index and the dirty queue are empty");
}

static void round_of(const char *name, bool track, unsigned writes, int steps)
{
    struct buf scratch = {0};
    nfetches = 0;
    now_ms = 1000000;
    ks = keyspace_new((struct space_id){1, 0}, rng_u64(&rng));
    ks->track = ks->queue_dirty = track;
    mirror_init(&mirror, ks, &rng);
    for (int i = 0; i < steps; i++) {
        step(&scratch, writes);
        if (i % 50 == 0)
            expire_due();
        if (i % 500 == 0)
            mirror_agree_all(&mirror, rng_u64(&rng));
    }
    mirror_agree_all(&mirror, rng_u64(&rng));
    ok(true, "%s: %d steps", name, steps);
    finish_cut();
    ok(cuts > 10 && cut_keys > 1000 && (cut_stored > 500) == track,
       "%llu cuts gave %llu keys as they were, %llu of them from flash", (unsigned long long)cuts,
       (unsigned long long)cut_keys, (unsigned long long)cut_stored);
    cuts = cut_keys = cut_stored = 0;
    if (track)
        dirty_all();
    mirror_agree_all(&mirror, rng_u64(&rng));
    tear_down();
    keyspace_free(ks);
    mirror_free(&mirror);
    forget_store();
    buf_free(&scratch);
}

/* Freed as it stands: what is left is LeakSanitizer's to say. */
static void freed_in_use(void)
{
    struct buf scratch = {0};
    nfetches = 0;
    ks = keyspace_new((struct space_id){1, 0}, 7);
    ks->track = ks->queue_dirty = true;
    mirror_init(&mirror, ks, &rng);
    for (int i = 0; i < 3000; i++)
        step(&scratch, 60);
    uint64_t memory = keyspace_memory(ks);
    finish_cut();
    keyspace_free(ks);
    forget_store();
    hold(NULL);
    mirror_free(&mirror);
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
