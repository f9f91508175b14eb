/* The small form of a hash: a pack of {field, value} or, when some field has a deadline, of {field, value, deadline},
 * ordered by deadline, those without one (0) at the end. */
#include "core/value/hash_impl.h"

static uint32_t next_n(const uint8_t *p, uint32_t at, unsigned n)
{
    while (n-- > 0)
        at = pack_next(p, at);
    return at;
}

uint32_t hash_pack_find(const struct value *v, struct slice field)
{
    return pack_find(v->ptr, PACK_HEADER, field, hash_pack_width(v) - 1);
}

int64_t hash_pack_deadline(const struct value *v, uint32_t at)
{
    if (v->encoding != HASH_PACK_EX)
        return HASH_NO_DEADLINE;
    int64_t deadline = pack_get(v->ptr, next_n(v->ptr, at, 2)).integer;
    return deadline == 0 ? HASH_NO_DEADLINE : deadline;
}

uint64_t hash_pack_fields(const struct value *v) { return pack_count(v->ptr) / hash_pack_width(v); }

uint64_t hash_pack_stale(const struct value *v, int64_t now_ms)
{
    const uint8_t *p = v->ptr;
    uint64_t n = 0;
    for (uint32_t at = PACK_HEADER; v->encoding == HASH_PACK_EX && p[at] != PACK_END; at = next_n(p, at, 3), n++)
        if (!hash_stale(hash_pack_deadline(v, at), now_ms))
            break;
    return n;
}

bool hash_pack_has_room(const struct value *v, uint64_t bytes) { return pack_fits(v->ptr, bytes); }

void hash_pack_add(struct value *v, struct slice field, struct slice value)
{
    struct pack_item items[3] = {pack_str(field), pack_str(value), pack_int(0)};
    v->ptr = pack_append_items(v->ptr, items, hash_pack_width(v));
}

void hash_pack_set_value(struct value *v, uint32_t at, struct slice value)
{
    v->ptr = pack_replace(v->ptr, pack_next(v->ptr, at), pack_str(value));
}

/* --- deadlines --- */

/* The pack is made again with `width` items a field, new deadlines being 0. Returns where the field at `mark` now is.
 */
static uint32_t rebuild(struct value *v, unsigned width, uint32_t mark)
{
    const uint8_t *old = v->ptr;
    unsigned had = hash_pack_width(v);
    uint32_t marked = 0;
    uint8_t *p = pack_new();
    for (uint32_t at = PACK_HEADER; old[at] != PACK_END; at = next_n(old, at, had)) {
        struct pack_item items[3] = {pack_get(old, at), pack_get(old, pack_next(old, at)), pack_int(0)};
        if (at == mark)
            marked = pack_end(p);
        p = pack_append_items(p, items, width);
    }
    pack_free(v->ptr);
    v->ptr = p;
    v->encoding = width == 3 ? HASH_PACK_EX : ENC_PACK;
    return marked;
}

/* The field with the earliest deadline is the first one: if that has none, none has. */
static void narrow(struct value *v)
{
    if (v->encoding == HASH_PACK_EX && (pack_empty(v->ptr) || hash_pack_deadline(v, PACK_HEADER) == HASH_NO_DEADLINE))
        rebuild(v, 2, 0);
}

/* Where a field with this deadline belongs: behind those that are not later. */
static uint32_t place_of(const struct value *v, int64_t deadline)
{
    const uint8_t *p = v->ptr;
    uint32_t at = PACK_HEADER;
    for (; p[at] != PACK_END; at = next_n(p, at, 3)) {
        int64_t there = hash_pack_deadline(v, at);
        if (deadline != HASH_NO_DEADLINE && (there == HASH_NO_DEADLINE || there > deadline))
            break;
    }
    return at;
}

static void move(struct value *v, uint32_t at, int64_t deadline)
{
    uint8_t *old = pack_copy(pack_slice(v->ptr)); /* items must not lie in the pack that changes */
    struct pack_item items[3] = {pack_get(old, at), pack_get(old, pack_next(old, at)),
                                 pack_int(deadline == HASH_NO_DEADLINE ? 0 : deadline)};
    v->ptr = pack_erase(v->ptr, at, 3);
    v->ptr = pack_splice(v->ptr, place_of(v, deadline), 0, items, 3);
    pack_free(old);
}

void hash_pack_set_deadline(struct value *v, uint32_t at, int64_t deadline)
{
    if (hash_pack_deadline(v, at) == deadline)
        return;
    if (v->encoding == ENC_PACK)
        at = rebuild(v, 3, at);
    move(v, at, deadline);
    narrow(v);
}

void hash_pack_erase(struct value *v, uint32_t at)
{
    v->ptr = pack_erase(v->ptr, at, hash_pack_width(v));
    narrow(v);
}
