/* The RDB encodings of hashes. Written:
 *
 *   16 LISTPACK      the pack as a string
 *    4 HASH          count | field | value | ...                         tables
 *   25 LISTPACK_EX   earliest deadline u64 | the pack as a string        packs with deadlines
 *   24 METADATA      earliest deadline u64 | count | ttl | field | value | ...
 *                    ttl: a length; 0 for no deadline, else deadline - earliest + 1
 *
 * Read as well: 13 ZIPLIST and 9 ZIPMAP (older packs), and what release candidates of Redis 7.4 wrote: 23, a 25 without
 * the deadline in front, and 22, a 24 without it and with absolute times. */
#include <errno.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/ds/packed_old.h"
#include "core/value/hash_impl.h"
#include "core/value/rdb.h"

enum {
    RDB_HASH = 4,
    RDB_ZIPMAP = 9,
    RDB_ZIPLIST = 13,
    RDB_LISTPACK = 16,
    RDB_METADATA_RC = 22,
    RDB_LISTPACK_EX_RC = 23,
    RDB_METADATA = 24,
    RDB_LISTPACK_EX = 25,
};

/* --- Encoding --- */

struct encoding {
    struct buf *out;
    int64_t earliest; /* HASH_NO_DEADLINE: no field has one, and no ttl is written */
};

static void put_item(void *arg, void *item)
{
    const struct encoding *e = arg;
    struct hash_item f = hash_item_of(item);
    if (e->earliest != HASH_NO_DEADLINE)
        rdb_put_length(e->out, f.deadline == HASH_NO_DEADLINE ? 0 : (uint64_t)(f.deadline - e->earliest + 1));
    rdb_put_string(e->out, f.field);
    rdb_put_string(e->out, f.value);
}

/* The cursor is that of the table's scan, which is 0 at the beginning and at the end, too. */
static uint8_t encode_table(const struct hash_table *h, uint64_t *cursor, struct buf *out, size_t budget)
{
    struct encoding e = {out, hash_table_next_deadline(h)};
    size_t until = budget < SIZE_MAX - out->len ? out->len + budget : SIZE_MAX;
    if (*cursor == 0) {
        if (e.earliest != HASH_NO_DEADLINE)
            buf_put_u64(out, (uint64_t)e.earliest);
        rdb_put_length(out, hash_table_fields(h));
    }
    do
        *cursor = table_scan(h->fields, *cursor, put_item, &e);
    while (*cursor != 0 && out->len < until);
    return e.earliest != HASH_NO_DEADLINE ? RDB_METADATA : RDB_HASH;
}

uint8_t hash_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget)
{
    if (hash_is_table(v))
        return encode_table(v->ptr, cursor, out, budget);
    if (v->encoding == ENC_EMBED) {
        struct value whole = hash_class.copy(v);
        uint8_t type = hash_encode(&whole, cursor, out, budget);
        hash_class.release(&whole);
        return type;
    }
    bool deadlines = v->encoding == HASH_PACK_EX;
    if (deadlines)
        buf_put_u64(out, (uint64_t)hash_next_deadline(v));
    rdb_put_length(out, pack_bytes(v->ptr));
    buf_append_slice(out, pack_slice(v->ptr));
    *cursor = 0;
    return deadlines ? RDB_LISTPACK_EX : RDB_LISTPACK;
}

/* --- Decoding --- */

bool hash_reads(uint8_t rdb_type)
{
    return rdb_type == RDB_HASH || rdb_type == RDB_ZIPMAP || rdb_type == RDB_ZIPLIST || rdb_type == RDB_LISTPACK ||
           (rdb_type >= RDB_METADATA_RC && rdb_type <= RDB_LISTPACK_EX);
}

/* False if the field is there already. */
static bool add(struct value *v, struct slice field, struct slice value, int64_t deadline,
                const struct value_limits *limits)
{
    if (hash_set(v, field, value, HASH_TIMELESS, HASH_CLEAR_DEADLINE, limits) != HASH_MISSING)
        return false;
    if (deadline != HASH_NO_DEADLINE)
        hash_set_deadline(v, field, deadline);
    return true;
}

/* --- field by field --- */

/* Absolute, or relative to the earliest one; HASH_NO_DEADLINE also if the bytes are bad. */
static int64_t get_deadline(struct reader *r, uint64_t base)
{
    int special;
    uint64_t ttl = rdb_get_length(r, &special);
    if (ttl == 0 && special < 0)
        return HASH_NO_DEADLINE;
    if (special >= 0 || base > HASH_DEADLINE_MAX || ttl > HASH_DEADLINE_MAX || base + ttl > HASH_DEADLINE_MAX) {
        r->bad = true;
        return HASH_NO_DEADLINE;
    }
    return (int64_t)(base + ttl);
}

static void get_fields(struct reader *r, uint8_t rdb_type, const struct value_limits *limits, struct value *v)
{
    bool deadlines = rdb_type != RDB_HASH;
    struct buf field = {0}, value = {0};
    int special;
    /* What is relative to the earliest deadline is so by one less: 0 stands for none. */
    uint64_t base = rdb_type == RDB_METADATA ? reader_u64(r) - 1 : 0, n = rdb_get_length(r, &special);
    r->bad |= special >= 0 || n == 0 || (rdb_type == RDB_METADATA && base == UINT64_MAX);
    if (!r->bad && n > (uint64_t)limits->hash_max_listpack_entries)
        hash_to_table(v);
    for (; n > 0 && !r->bad; n--) {
        int64_t deadline = deadlines ? get_deadline(r, base) : HASH_NO_DEADLINE;
        buf_clear(&field);
        buf_clear(&value);
        if (!rdb_get_string(r, &field) || !rdb_get_string(r, &value) ||
            !add(v, buf_slice(&field), buf_slice(&value), deadline, limits))
            r->bad = true;
    }
    buf_free(&field);
    buf_free(&value);
}

/* --- packs --- */

struct check {
    const struct value_limits *limits;
    unsigned width;
    int64_t last;  /* deadline, as stored */
    bool in_order; /* deadlines so far: ascending, then 0 */
    bool too_long;
};

static bool check_deadline(struct check *c, struct pack_item item)
{
    if (!item.is_int || item.integer < 0 || item.integer > HASH_DEADLINE_MAX)
        return false;
    int64_t deadline = item.integer == 0 ? INT64_MAX : item.integer;
    c->in_order &= deadline >= c->last && (c->last != 0 || deadline != INT64_MAX);
    c->last = deadline;
    return true;
}

static bool check_item(void *arg, uint32_t index, struct pack_item item)
{
    struct check *c = arg;
    if (index % c->width == 2)
        return check_deadline(c, item);
    c->too_long |= !item.is_int && item.bytes.len > (size_t)c->limits->hash_max_listpack_value;
    return true;
}

/* Whether no two of the pack's fields, which are not many, are the same. */
static bool fields_differ(const struct value *v)
{
    uint64_t slots = 4, width = hash_pack_width(v);
    bool differ = true;
    while (slots < 2 * hash_pack_fields(v))
        slots *= 2;
    uint32_t *seen = mem_zalloc(slots * sizeof(*seen)), at = PACK_HEADER;
    for (const uint8_t *p = v->ptr; p[at] != PACK_END && differ;) {
        char scratch[PACK_TEXT_MAX];
        struct pack_item field = pack_get(p, at);
        uint64_t slot = hash_key(pack_text(field, scratch), value_hash_seed) & (slots - 1);
        for (; seen[slot] != 0 && differ; slot = (slot + 1) & (slots - 1))
            differ = !pack_same(pack_get(p, seen[slot]), field);
        seen[slot] = at;
        for (unsigned i = 0; i < width; i++)
            at = pack_next(p, at);
    }
    mem_free(seen, slots * sizeof(*seen));
    return differ;
}

static bool add_all(const struct value *from, const struct value_limits *limits, struct value *v)
{
    struct hash_iter it;
    bool good = true;
    hash_iter_init(&it, from, HASH_TIMELESS);
    while (good && hash_iter_next(&it))
        good = add(v, it.field, it.value, it.deadline, limits);
    return good;
}

/* A pack that is as it should be is copied; another one is put in order, or becomes a table. */
static bool take_pack(struct slice bytes, bool deadlines, const struct value_limits *limits, struct value *v)
{
    struct check c = {.limits = limits, .width = deadlines ? 3 : 2, .in_order = true};
    struct value from = {.type = VALUE_HASH, .encoding = deadlines ? HASH_PACK_EX : ENC_PACK, .ptr = (void *)bytes.p};
    if (!pack_validate_each(bytes, check_item, &c))
        return false;
    uint64_t fields = hash_pack_fields(&from);
    if (fields == 0 || pack_count(bytes.p) % c.width != 0)
        return false;
    if (fields > (uint64_t)limits->hash_max_listpack_entries) {
        hash_to_table(v);
        return add_all(&from, limits, v);
    }
    if (c.too_long || !c.in_order)
        return add_all(&from, limits, v);
    if (!fields_differ(&from))
        return false;
    pack_free(v->ptr);
    v->ptr = pack_copy(bytes);
    v->encoding = from.encoding;
    return true;
}

static bool take_old_pack(uint8_t *pack, const struct value_limits *limits, struct value *v)
{
    bool good = pack != NULL && take_pack(pack_slice(pack), false, limits, v);
    pack_free(pack);
    return good;
}

static void get_pack(struct reader *r, uint8_t rdb_type, const struct value_limits *limits, struct value *v)
{
    struct buf text = {0};
    bool deadlines = rdb_type == RDB_LISTPACK_EX || rdb_type == RDB_LISTPACK_EX_RC, good;
    if (rdb_type == RDB_LISTPACK_EX)
        reader_u64(r); /* the pack tells it */
    if (!rdb_get_string(r, &text))
        good = false;
    else if (rdb_type == RDB_ZIPLIST)
        good = take_old_pack(ziplist_to_pack(buf_slice(&text)), limits, v);
    else if (rdb_type == RDB_ZIPMAP)
        good = take_old_pack(zipmap_to_pack(buf_slice(&text)), limits, v);
    else
        good = take_pack(buf_slice(&text), deadlines, limits, v);
    r->bad |= !good;
    buf_free(&text);
}

int hash_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out)
{
    struct reader r = reader_of(bytes);
    struct value v = hash_class.empty();
    if (rdb_type == RDB_HASH || rdb_type == RDB_METADATA || rdb_type == RDB_METADATA_RC)
        get_fields(&r, rdb_type, limits, &v);
    else
        get_pack(&r, rdb_type, limits, &v);
    if (r.bad || reader_left(&r) > 0) {
        hash_class.release(&v);
        return -EBADMSG;
    }
    *out = v;
    return 0;
}
