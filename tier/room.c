/* Making room: what is cold and clean is dropped, what is dirty is cleaned first. */
#include "tier/tier_impl.h"

#define SAMPLE 64 /* items looked at to find victims */
#define DROPS_A_SLICE 256

static bool droppable(const struct entry *e)
{
    return !entry_cold(e) && (e->flags & ENTRY_ON_FLASH) && !(e->flags & (ENTRY_DIRTY | ENTRY_WRITING));
}

static bool cleanable(const struct entry *e)
{
    return !entry_cold(e) && (e->flags & ENTRY_DIRTY) && !(e->flags & (ENTRY_WRITING | ENTRY_ENCODING));
}

static uint32_t coldness(const struct entry *e, const struct temperature *temp)
{
    if (e->flags & ENTRY_PROBATION && !(e->flags & ENTRY_FRESH))
        return UINT32_MAX;
    return temperature_coldness(temp, e->temperature);
}

/* Dropping gains nothing where a cold entry takes as much (an 8-byte value in its entry). */
static bool worth_dropping(const struct entry *e) { return keyspace_ram_bytes(e) > 8; }

/* Hot entries of a sample that would make room and are not pinned, coldest first; at most the colder half of them. */
static unsigned victims(struct tier *t, struct keyspace *ks, const struct temperature *temp, struct entry **out)
{
    void *items[SAMPLE];
    uint32_t cold[SAMPLE];
    unsigned n = 0;
    size_t got = table_sample(ks->entries, rng_u64(&t->rng), items, SAMPLE);

    for (size_t i = 0; i < got; i++) {
        struct entry *e = items[i];
        if (entry_cold(e) || !worth_dropping(e) || tier_pinned(t, key_of(ks, entry_key(e)).hash))
            continue;
        uint32_t c = coldness(e, temp);
        unsigned at = n++;
        for (; at > 0 && cold[at - 1] < c; at--) {
            cold[at] = cold[at - 1];
            out[at] = out[at - 1];
        }
        cold[at] = c;
        out[at] = e;
    }
    return (n + 1) / 2;
}

static uint64_t drop(struct tier *t, struct keyspace *ks, struct entry *e)
{
    uint64_t before = ks->bytes;
    add(&t->stats.drops, 1);
    if (e->flags & ENTRY_PROBATION)
        add(&t->stats.dropped_probation, 1);
    struct key key = key_of(ks, entry_key(e));
    e = keyspace_drop(ks, e, key);
    key.name = entry_key(e); /* the entry has moved */
    tier_tell_moved(t, ks, key, true);
    return before > ks->bytes ? before - ks->bytes : 0;
}

uint64_t tier_reclaim(struct tier *t, struct keyspace *ks, uint64_t bytes, const struct temperature *temp,
                      uint64_t stamp)
{
    struct space *s = tier_space(t, ks);
    unsigned dropped = 0, cleaned = 0, barren = 0;
    uint64_t freed = 0, leaving = tier_reclaim_pending(t);
    bool may_clean = stamp != TIER_DROP_ONLY;

    if (!s->tiered)
        return 0;
    while (freed < bytes && dropped < DROPS_A_SLICE && cleaned < CLEANS_A_SLICE && barren < 64 && ks->keys > ks->cold) {
        struct entry *v[SAMPLE];
        unsigned n = victims(t, ks, temp, v), before = dropped + cleaned;
        for (unsigned i = 0; i < n && freed < bytes; i++) {
            if (droppable(v[i])) {
                freed += drop(t, ks, v[i]);
                dropped++;
            } else if (may_clean && cleanable(v[i]) && tier_can_write(t) && leaving < bytes) {
                leaving += keyspace_ram_bytes(v[i]);
                cleaned++;
                if (large_value(v[i]))
                    large_begin(t, ks, v[i], key_of(ks, entry_key(v[i])).hash);
                else
                    clean_one(t, s, v[i], key_of(ks, entry_key(v[i])).hash, stamp);
            }
        }
        barren = dropped + cleaned == before ? barren + 1 : 0;
    }
    batch_close(t);
    if (freed > 0 || cleaned > 0)
        s->barren = false;
    else if (may_clean && t->batches == 0 && !t->encoding.active && freed < bytes) {
        s->barren = true;
        s->barren_bytes = ks->bytes;
        s->barren_unpins = t->unpins;
    }
    return freed;
}

bool tier_exhausted(struct tier *t, const struct keyspace *ks)
{
    const struct space *s = tier_space(t, ks);
    return ks->keys == ks->cold || (s->barren && s->barren_bytes == ks->bytes && s->barren_unpins == t->unpins);
}

struct entry *tier_sample_coldest(struct tier *t, struct keyspace *ks, unsigned samples, bool volatile_only,
                                  bool by_ttl, bool random, const struct temperature *temp)
{
    struct entry *best = NULL;
    uint64_t best_score = 0;
    unsigned seen = 0;

    for (unsigned round = 0; round < 16 && seen < samples; round++) {
        void *items[16];
        size_t got = table_sample(ks->entries, rng_u64(&t->rng), items, min_u64(samples, ARRAY_LEN(items)));
        for (size_t i = 0; i < got && seen < samples; i++) {
            struct entry *e = items[i];
            if (volatile_only && !(e->flags & ENTRY_EXPIRES))
                continue;
            seen++;
            uint64_t score = random   ? 1
                             : by_ttl ? (uint64_t)(INT64_MAX - entry_expiry(e))
                                      : (uint64_t)coldness(e, temp) + 1;
            if (best == NULL || score > best_score) {
                best = e;
                best_score = score;
            }
        }
    }
    return best;
}
