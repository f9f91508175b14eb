/* Hashes whose fields expire, in a keyspace: whatever is done to them – changes, expiry of the key, overwriting,
 * deletion, cleaning, dropping, fetching – the keyspace knows which of them falls due next, of hot and of cold ones. */
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/keyspace/keyspace.h"
#include "core/value/hash.h"
#include "tests/sim/tap.h"

#include <stdio.h>

#define KEYS 60
#define FIELDS 12

static struct rng rng;
static struct keyspace *ks;
static struct value_limits limits;
static int64_t now_ms = 1000;
static struct buf flash[KEYS]; /* what a cold value is read from */

static char names[KEYS][8];
static struct key key_for(size_t i) { return key_of(ks, slice_str(names[i])); }
static struct entry *entry_for(size_t i) { return keyspace_find(ks, key_for(i)); }

static void change(struct value *v)
{
    char field[8];
    int n = snprintf(field, sizeof(field), "f%d", (int)rng_below(&rng, FIELDS));
    struct slice name = slice_of(field, (size_t)n);
    switch (rng_below(&rng, 4)) {
    case 0:
        hash_delete(v, name, now_ms);
        break;
    case 1:
        hash_set(v, name, SLICE_LIT("value"), now_ms, HASH_CLEAR_DEADLINE, &limits);
        break;
    case 2:
        hash_set(v, name, SLICE_LIT("a longer one, of which a pack does not take two"), now_ms, HASH_KEEP_DEADLINE,
                 &limits);
        break;
    default:
        hash_set(v, name, SLICE_LIT("1"), now_ms, HASH_KEEP_DEADLINE, &limits);
        hash_set_deadline(v, name, now_ms + 1 + (int64_t)rng_below(&rng, 500));
    }
}

static void write_hash(size_t i)
{
    struct entry *e = entry_for(i);
    if (e == NULL || e->type != VALUE_HASH) {
        struct value v = hash_class.empty();
        hash_set(&v, SLICE_LIT("first"), SLICE_LIT("1"), now_ms, HASH_CLEAR_DEADLINE, &limits);
        change(&v);
        keyspace_put(ks, key_for(i), &v, EXPIRE_KEEP);
    } else if (!entry_cold(e)) {
        struct value v = keyspace_change(ks, e);
        change(&v);
        bool empty = hash_class.length(&v) == 0;
        e = keyspace_changed(ks, e, key_for(i), &v, true);
        if (empty)
            keyspace_delete(ks, e, key_for(i));
    }
}

static void clean_and_drop(size_t i)
{
    struct entry *e = entry_for(i);
    if (e == NULL || entry_cold(e) || e->type != VALUE_HASH)
        return;
    struct value v = entry_value(e);
    buf_clear(&flash[i]);
    value_encode(&v, &flash[i]);
    if (e->flags & ENTRY_DIRTY) {
        keyspace_cleaning(ks, e);
        keyspace_cleaned(ks, key_for(i));
    }
    keyspace_drop(ks, e, key_for(i));
}

static void fetch(size_t i)
{
    struct entry *e = entry_for(i);
    struct value v;
    if (e == NULL || !entry_cold(e))
        return;
    int err = value_decode(buf_slice(&flash[i]), &limits, &v);
    ensure(err == 0);
    keyspace_install(ks, e, key_for(i), &v);
}

static void step(void)
{
    size_t i = rng_below(&rng, KEYS);
    struct entry *e = entry_for(i);
    struct value text = {.type = VALUE_STRING, .encoding = ENC_EMBED, .embed = SLICE_LIT("text")};
    switch (rng_below(&rng, 12)) {
    case 0:
        if (e != NULL)
            keyspace_delete(ks, e, key_for(i));
        break;
    case 1:
        keyspace_put(ks, key_for(i), &text, ENTRY_NO_EXPIRY);
        break;
    case 2:
        if (e != NULL)
            keyspace_set_expiry(ks, e, key_for(i), rng_below(&rng, 2) ? ENTRY_NO_EXPIRY : now_ms + 100);
        break;
    case 3:
    case 4:
        clean_and_drop(i);
        break;
    case 5:
        fetch(i);
        break;
    default:
        write_hash(i);
    }
}

/* The deadline of a cold value is that of the bytes on flash. */
static int64_t deadline_of(size_t i)
{
    struct entry *e = entry_for(i);
    if (e == NULL || e->type != VALUE_HASH)
        return HASH_NO_DEADLINE;
    if (!entry_cold(e)) {
        struct value v = entry_value(e);
        return hash_next_deadline(&v);
    }
    struct value v;
    int err = value_decode(buf_slice(&flash[i]), &limits, &v);
    ensure(err == 0);
    int64_t deadline = hash_next_deadline(&v);
    hash_class.release(&v);
    return deadline;
}

/* All that are due are met, in order; the rest is not. */
static size_t check(void)
{
    int64_t last = 0;
    size_t due = 0, n = 0;
    struct entry *e;
    for (size_t i = 0; i < KEYS; i++)
        due += deadline_of(i) != HASH_NO_DEADLINE && deadline_of(i) <= now_ms;
    for (; (e = keyspace_inner_expired(ks, now_ms, n)) != NULL; n++) {
        ensure(entry_inner_expiry(e) >= last && entry_inner_expiry(e) <= now_ms);
        last = entry_inner_expiry(e);
    }
    for (size_t i = 0; i < KEYS; i++)
        ensure(entry_for(i) == NULL || entry_inner_expiry(entry_for(i)) == deadline_of(i));
    ensure(n == due);
    keyspace_validate(ks);
    return n;
}

int main(void)
{
    size_t met = 0;
    rng_seed(&rng, tap_seed());
    limits = value_limits_default;
    limits.hash_max_listpack_entries = 6;
    ks = keyspace_new((struct space_id){1, 0}, 7);
    ks->track = ks->queue_dirty = true;
    for (size_t i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "key%zu", i);
    for (int i = 0; i < 30000; i++) {
        step();
        if (i % 10 == 0) {
            met += check();
            now_ms += (int64_t)rng_below(&rng, 20);
        }
    }
    ok(met > 1000, "%zu hashes with fields that are due were found", met);
    keyspace_free(ks);
    for (size_t i = 0; i < KEYS; i++)
        buf_free(&flash[i]);
    return tap_done();
}
