/* The records of dirty entries and of tombs. */
#include "tier/tier_impl.h"

#define BATCH_KEYS 512
#define BURIALS_A_SLICE 64 /* buckets */
#define SCRATCH_KEEP (64 * KIB)

/* Tombs written with this stamp; when a checkpoint has passed it their records are removed. */
struct absent {
    struct space_id space;
    uint64_t hash, stamp;
};

/* --- records --- */

void clean_put_meta(struct tier *t, struct batch *b, const struct keyspace *ks, struct key key,
                    const struct record_meta *meta)
{
    record_meta_key(&t->scratch, ks->id, key);
    record_meta_encode(&t->encoded, buf_slice(&t->scratch), meta);
    store_batch_put(&b->ops, buf_slice(&t->scratch), buf_slice(&t->encoded));
}

static void sample(struct tier *t, struct slice payload)
{
    t->uncounted += payload.len;
    if (likely(!trainer_collecting(t->cfg.trainer)) || t->unsampled-- > 0)
        return;
    t->unsampled = rng_below(&t->rng, 2 * TRAINER_STRIDE - 1);
    trainer_sample(t->cfg.trainer, payload);
}

static void encode_value(struct tier *t, struct slice store_key, uint64_t stamp, struct slice payload)
{
    const struct dictionary *d = dictionaries_newest(trainer_dictionaries(t->cfg.trainer));
    sample(t, payload);
    record_value_encode(&t->encoded, store_key, stamp, t->cfg.compression, d, payload);
    add(&t->stats.value_bytes_in, payload.len);
    add(&t->stats.value_bytes_out, t->encoded.len);
    if (record_value_compression(buf_slice(&t->encoded)) == RECORD_ZSTD_DICT)
        add(&t->stats.with_dictionary, 1);
}

static void put_value(struct tier *t, struct batch *b, const struct keyspace *ks, const struct entry *e, struct key key,
                      uint64_t stamp)
{
    struct value v = entry_value(e);

    buf_clear(&t->payload);
    value_encode(&v, &t->payload);
    record_value_key(&t->scratch, ks->id, key);
    encode_value(t, buf_slice(&t->scratch), stamp, buf_slice(&t->payload));
    store_batch_put(&b->values, buf_slice(&t->scratch), buf_slice(&t->encoded));
    buf_reset(&t->payload, SCRATCH_KEEP);
    buf_reset(&t->encoded, SCRATCH_KEEP);
}

void clean_delete_records(struct tier *t, struct batch *b, const struct keyspace *ks, struct key key)
{
    record_value_key(&t->scratch, ks->id, key);
    store_batch_delete(&b->values, buf_slice(&t->scratch));
    record_meta_key(&t->scratch, ks->id, key);
    store_batch_delete(&b->ops, buf_slice(&t->scratch));
}

static void remember_absent(struct tier *t, const struct keyspace *ks, struct key key, uint64_t stamp)
{
    queue_push(&t->absents, ks->id.lsn);
    queue_push(&t->absents, ks->id.db);
    queue_push(&t->absents, key.hash);
    queue_push(&t->absents, stamp);
}

/* A logged deletion leaves a record *absent, stamp*; an unlogged one just removes the records, and is forgotten at
 * once. */
static void clean_tomb(struct tier *t, struct batch *b, struct space *s, struct entry *tomb, struct key key,
                       uint64_t stamp)
{
    if (!s->logged) {
        clean_delete_records(t, b, s->ks, key);
        keyspace_cleaning(s->ks, tomb);
        tomb->flags |= ENTRY_FORGET;
        return;
    }
    record_value_key(&t->scratch, s->ks->id, key);
    store_batch_delete(&b->values, buf_slice(&t->scratch));
    struct record_meta meta = {
        .type = RECORD_ABSENT, .expire_ms = ENTRY_NO_EXPIRY, .inner_ms = ENTRY_NO_EXPIRY, .stamp = stamp};
    clean_put_meta(t, b, s->ks, key, &meta);
    remember_absent(t, s->ks, key, stamp);
    keyspace_cleaning(s->ks, tomb);
}

struct record_meta clean_meta(const struct space *s, const struct entry *e, uint64_t stamp)
{
    return (struct record_meta){.type = e->type,
                                .encoding = e->encoding,
                                .temperature = e->temperature,
                                .expire_ms = entry_expiry(e),
                                .inner_ms = entry_inner_expiry(e),
                                .ram_bytes = keyspace_ram_bytes(e),
                                .stamp = s->logged ? stamp : 0};
}

static void clean_entry(struct tier *t, struct batch *b, struct space *s, struct entry *e, struct key key,
                        uint64_t stamp)
{
    struct record_meta meta = clean_meta(s, e, stamp);
    if (e->flags & ENTRY_DIRTY)
        put_value(t, b, s->ks, e, key, meta.stamp);
    clean_put_meta(t, b, s->ks, key, &meta);
    keyspace_cleaning(s->ks, e);
}

void clean_one(struct tier *t, struct space *s, struct entry *e, uint64_t hash, uint64_t stamp)
{
    struct key key = {entry_key(e), hash};
    struct batch *b = batch_open(t);
    if (e->flags & ENTRY_TOMB)
        clean_tomb(t, b, s, e, key, stamp);
    else
        clean_entry(t, b, s, e, key, stamp);
    if (s->logged && stamp > b->stamp)
        b->stamp = stamp;
    add(&t->stats.cleaned, 1);
    if (b->ops.count >= BATCH_KEYS || b->ops.ops.len + b->values.ops.len >= t->cfg.batch_bytes)
        batch_close(t);
}

/* --- forgetting tombs --- */

bool tier_forget(struct tier *t, uint64_t l0)
{
    unsigned n = 0;
    while (!queue_empty(&t->absents) && n < CLEANS_A_SLICE && tier_can_write(t)) {
        struct absent a;
        if (queue_peek_at(&t->absents, 3) > l0)
            break;
        a.space.lsn = queue_pop(&t->absents);
        a.space.db = (uint32_t)queue_pop(&t->absents);
        a.hash = queue_pop(&t->absents);
        a.stamp = queue_pop(&t->absents);
        struct space *s = tier_space_by_id(t, a.space);
        struct entry *tomb = s ? keyspace_forgetting(s->ks, a.hash) : NULL;
        if (tomb == NULL)
            continue;
        clean_delete_records(t, batch_open(t), s->ks, (struct key){entry_key(tomb), a.hash});
        n++;
    }
    batch_close(t);
    return queue_empty(&t->absents) || queue_peek_at(&t->absents, 3) > l0;
}

/* --- burying tombs of unlogged keyspaces --- */

struct burial {
    struct tier *tier;
    struct space *space;
};

static void bury_one(void *arg, void *item)
{
    struct burial *b = arg;
    struct entry *tomb = item;
    if ((tomb->flags & ENTRY_DIRTY) && !(tomb->flags & ENTRY_WRITING))
        clean_one(b->tier, b->space, tomb, key_of(b->space->ks, entry_key(tomb)).hash, 0);
}

void tier_bury(struct tier *t, struct keyspace *ks)
{
    struct burial b = {t, tier_space(t, ks)};
    if (b.space->logged)
        return;
    for (int i = 0; i < BURIALS_A_SLICE && tier_can_write(t); i++)
        if ((b.space->burying = table_scan(ks->tombs, b.space->burying, bury_one, &b)) == 0)
            break;
    batch_close(t);
}
