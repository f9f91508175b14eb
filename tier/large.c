/* Large values are encoded in parts, a turn each, and compressed by the pool. */
#include "tier/tier_impl.h"

#define LARGE (256 * KIB) /* a value of more RAM is encoded in parts … */
#define PART (64 * KIB)   /* … of about so many bytes: a turn of well below a millisecond */

bool tier_encoding(const struct tier *t) { return t->encoding.active; }

bool tier_encoding_key(const struct tier *t, const struct keyspace *ks, uint64_t hash)
{
    return t->encoding.active && t->encoding.hash == hash && space_id_eq(t->encoding.space, ks->id);
}

bool large_value(const struct entry *e) { return (e->flags & ENTRY_DIRTY) && keyspace_ram_bytes(e) > LARGE; }

/* Only one at a time: others stay as they are. */
bool large_begin(struct tier *t, const struct keyspace *ks, struct entry *e, uint64_t hash)
{
    struct encoding *g = &t->encoding;
    if (g->active)
        return false;
    keyspace_encoding(e);
    g->active = true;
    g->space = ks->id;
    g->hash = hash;
    g->cursor = 0;
    g->ram_bytes = keyspace_ram_bytes(e);
    buf_clear(&g->name);
    buf_append_slice(&g->name, entry_key(e));
    atomic_fetch_add_explicit(&t->pending, g->ram_bytes, memory_order_relaxed);
    return true;
}

static void end_encoding(struct tier *t, struct space *s, struct entry *cleaned)
{
    if (s != NULL)
        run_encoded(s, t->encoding.hash, cleaned);
    t->encoding.active = false;
    atomic_fetch_sub_explicit(&t->pending, t->encoding.ram_bytes, memory_order_relaxed);
    if (t->encoding.payload.n > 0)
        parts_discard(&t->encoding.payload, t->cfg.pool);
    tier_publish_transit(t);
}

/* All parts are there: they go to the pool in a batch of their own. */
static void clean_large(struct tier *t, struct space *s, struct entry *e, uint64_t stamp)
{
    struct key key = {entry_key(e), t->encoding.hash};
    struct record_meta meta = clean_meta(s, e, stamp);
    batch_close(t);
    struct batch *b = batch_open(t);
    b->stamp = meta.stamp;
    b->large = t->encoding.payload;
    t->encoding.payload = (struct parts){0};
    record_value_key(&b->large_key, s->ks->id, key);
    clean_put_meta(t, b, s->ks, key, &meta);
    keyspace_cleaning(s->ks, e);
    add(&t->stats.cleaned, 1);
    add(&t->stats.value_bytes_in, b->large.bytes);
    batch_close(t);
}

/* The type byte comes before the first part. */
static void add_part(struct encoding *g, const struct value *v)
{
    struct buf part = {0};
    bool first = g->cursor == 0;
    buf_reserve(&part, PART + PART / 8);
    if (first)
        buf_append_byte(&part, 0);
    uint8_t type = value_class_of(v->type)->encode(v, &g->cursor, &part, PART);
    if (first)
        part.p[0] = type;
    parts_add(&g->payload, &part);
}

bool tier_encode_part(struct tier *t, uint64_t stamp)
{
    struct encoding *g = &t->encoding;
    if (likely(!g->active))
        return false;
    struct space *s = tier_space_by_id(t, g->space);
    struct entry *e = s ? keyspace_find(s->ks, (struct key){buf_slice(&g->name), g->hash}) : NULL;
    if (e == NULL || !(e->flags & ENTRY_ENCODING)) {
        end_encoding(t, s, NULL);
        return false;
    }
    if (!tier_can_write(t))
        return false;
    struct value v = entry_value(e);
    add_part(g, &v);
    tier_publish_transit(t);
    if (g->cursor != 0)
        return true;
    clean_large(t, s, e, stamp);
    end_encoding(t, s, e);
    return true;
}
