/* Types, all by the published RDB format (version 11):
 *
 *    3  count, then member (string) and score (length byte, text; 253 nan, 254 inf, 255 -inf) of each   read
 *    5  count, then member (string) and score (8 bytes, little-endian IEEE 754) of each                 written, read
 *   12  a string that is a ziplist of member, score, member, score …                                    read
 *   17  a string that is such a pack                                                                    written, read
 *
 * Members are written lowest score first; Redis writes them highest first, and reads any order. */
#include "core/value/zset_codec.h"

#include <errno.h>
#include <math.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/ds/packed_old.h"
#include "core/value/rdb.h"
#include "core/value/zset_pack.h"
#include "core/value/zset_tree.h"

#define RDB_TYPE_ZSET 3
#define RDB_TYPE_ZSET_2 5
#define RDB_TYPE_ZSET_ZIPLIST 12
#define RDB_TYPE_ZSET_LISTPACK 17

/* --- writing --- */

static void put_item(struct buf *out, const struct zset_item *item)
{
    uint64_t bits;
    memcpy(&bits, &item->score, sizeof(bits));
    rdb_put_string(out, item->member);
    buf_put_u64(out, bits);
}

/* The cursor is the rank at which the next part begins: never 0, as every part holds a member. */
uint8_t zset_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget)
{
    if (v->encoding == ENC_PACK) {
        *cursor = 0;
        rdb_put_string(out, pack_slice(v->ptr));
        return RDB_TYPE_ZSET_LISTPACK;
    }
    struct zset_iter it;
    struct zset_item item;
    uint64_t rank = *cursor, count = zset_count(v);
    size_t start = out->len;
    if (rank == 0)
        rdb_put_length(out, count);
    zset_iter_init(&it, v, rank, false);
    for (bool more = true; more && zset_iter_next(&it, &item); more = out->len - start < budget) {
        put_item(out, &item);
        rank++;
    }
    *cursor = rank == count ? 0 : rank;
    return RDB_TYPE_ZSET_2;
}

/* --- packs --- */

/* Whether no member is in a valid pack twice: positions in a table with open addressing. */
static bool members_distinct(const uint8_t *p)
{
    size_t slots = 16, n = zset_pack_count(p);
    char scratch[PACK_TEXT_MAX];
    bool distinct = true;
    while (slots < 2 * n)
        slots *= 2;
    uint32_t *table = mem_zalloc(slots * sizeof(*table));
    for (uint32_t at = pack_first(p); at != pack_end(p) && distinct; at = pack_next(p, pack_next(p, at))) {
        struct pack_item member = pack_get(p, at);
        size_t i = hash_key(pack_text(member, scratch), value_hash_seed) & (slots - 1);
        for (; table[i] != 0 && distinct; i = (i + 1) & (slots - 1))
            distinct = !pack_same(pack_get(p, table[i]), member);
        table[i] = at;
    }
    mem_free(table, slots * sizeof(*table));
    return distinct;
}

static bool within_limits(const uint8_t *p, const struct value_limits *limits)
{
    char scratch[PACK_TEXT_MAX];
    if ((int64_t)zset_pack_count(p) > limits->zset_max_listpack_entries)
        return false;
    for (uint32_t at = pack_first(p); at != pack_end(p); at = pack_next(p, pack_next(p, at)))
        if ((int64_t)pack_text(pack_get(p, at), scratch).len > limits->zset_max_listpack_value)
            return false;
    return true;
}

static struct value rebuilt(const uint8_t *p, const struct value_limits *limits)
{
    struct zset_build *b = zset_build_new();
    char scratch[PACK_TEXT_MAX];
    bool added;
    for (uint32_t at = pack_first(p); at != pack_end(p); at = pack_next(p, pack_next(p, at))) {
        struct zset_item item = zset_pack_item(p, at, scratch);
        *zset_build_member(b, item.member, &added) = item.score;
    }
    return zset_build_value(b, limits);
}

/* Takes ownership of the pack. */
static int take_pack(uint8_t *p, const struct value_limits *limits, struct value *out)
{
    if (p == NULL || !zset_pack_valid(pack_slice(p)) || !members_distinct(p)) {
        pack_free(p);
        return -EBADMSG;
    }
    *out = (struct value){.type = VALUE_ZSET, .encoding = ENC_PACK, .ptr = p};
    if (!within_limits(p, limits)) {
        *out = rebuilt(p, limits);
        pack_free(p);
    }
    return 0;
}

static int decode_packed(uint8_t rdb_type, struct reader *r, const struct value_limits *limits, struct value *out)
{
    struct buf bytes = {0};
    int err = -EBADMSG;
    if (rdb_get_string(r, &bytes) && reader_left(r) == 0) {
        struct slice s = buf_slice(&bytes);
        if (rdb_type == RDB_TYPE_ZSET_ZIPLIST)
            err = take_pack(ziplist_to_pack(s), limits, out);
        else if (pack_validate(s))
            err = take_pack(pack_copy(s), limits, out);
    }
    buf_free(&bytes);
    return err;
}

/* --- member by member --- */

static bool get_text_score(struct reader *r, double *score)
{
    uint8_t len = reader_u8(r);
    if (len >= 254) {
        *score = len == 254 ? INFINITY : -INFINITY;
        return !r->bad;
    }
    struct slice text = reader_bytes(r, len);
    return len != 253 && !r->bad && num_parse_double(text, score);
}

static bool get_binary_score(struct reader *r, double *score)
{
    uint64_t bits = reader_u64(r);
    memcpy(score, &bits, sizeof(bits));
    return !r->bad && !isnan(*score);
}

static bool get_items(uint8_t rdb_type, struct reader *r, uint64_t count, struct zset_build *b)
{
    struct buf member = {0};
    bool good = true;
    for (; count > 0 && good; count--) {
        bool added = false;
        double score;
        buf_clear(&member);
        good = rdb_get_string(r, &member) &&
               (rdb_type == RDB_TYPE_ZSET_2 ? get_binary_score(r, &score) : get_text_score(r, &score));
        if (good)
            *zset_build_member(b, buf_slice(&member), &added) = score;
        good = good && added;
    }
    buf_free(&member);
    return good;
}

static int decode_items(uint8_t rdb_type, struct reader *r, const struct value_limits *limits, struct value *out)
{
    int special;
    uint64_t count = rdb_get_length(r, &special);
    if (r->bad || special >= 0 || count == 0 || count > reader_left(r) / 2)
        return -EBADMSG;
    struct zset_build *b = zset_build_new();
    if (!get_items(rdb_type, r, count, b) || reader_left(r) > 0) {
        zset_build_free(b);
        return -EBADMSG;
    }
    *out = zset_build_value(b, limits);
    return 0;
}

bool zset_reads(uint8_t rdb_type)
{
    return rdb_type == RDB_TYPE_ZSET || rdb_type == RDB_TYPE_ZSET_2 || rdb_type == RDB_TYPE_ZSET_ZIPLIST ||
           rdb_type == RDB_TYPE_ZSET_LISTPACK;
}

int zset_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out)
{
    struct reader r = reader_of(bytes);
    bool packed = rdb_type == RDB_TYPE_ZSET_ZIPLIST || rdb_type == RDB_TYPE_ZSET_LISTPACK;
    return packed ? decode_packed(rdb_type, &r, limits, out) : decode_items(rdb_type, &r, limits, out);
}
