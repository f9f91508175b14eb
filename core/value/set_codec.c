/* Sets in RDB: SET (2) is a count and the members as strings; INTSET (11) and LISTPACK (20) are a string that holds the
 * bytes of core/ds/intset.h and core/ds/pack.h. Written are the first two, which Redis 7.0 reads. */
#include <errno.h>

#include "core/ds/intset.h"
#include "core/value/rdb.h"
#include "core/value/set_forms.h"

#define RDB_TYPE_SET 2
#define RDB_TYPE_SET_INTSET 11
#define RDB_TYPE_SET_LISTPACK 20

/* --- writing --- */

static void put_member(void *arg, struct pack_item member)
{
    char scratch[PACK_TEXT_MAX];
    rdb_put_string(arg, pack_text(member, scratch));
}

/* The cursor between the parts is that of set_scan. */
uint8_t set_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget)
{
    size_t start = out->len;
    if (v->encoding == SET_INTSET) {
        rdb_put_string(out, intset_slice(set_ints(v)));
        return RDB_TYPE_SET_INTSET;
    }
    if (*cursor == 0)
        rdb_put_length(out, set_count(v));
    do
        *cursor = set_scan(v, *cursor, put_member, out);
    while (*cursor != 0 && out->len - start < budget);
    return RDB_TYPE_SET;
}

/* --- reading --- */

bool set_reads(uint8_t rdb_type)
{
    return rdb_type == RDB_TYPE_SET || rdb_type == RDB_TYPE_SET_INTSET || rdb_type == RDB_TYPE_SET_LISTPACK;
}

/* The count is believed only in the choice of a form. */
static bool read_members(struct reader *r, const struct value_limits *limits, struct value *v)
{
    struct buf text = {0};
    int special;
    uint64_t n = rdb_get_length(r, &special);
    bool good = special < 0 && n > 0 && n <= reader_left(r);
    for (set_expect(v, n); good && n > 0; n--) {
        buf_clear(&text);
        good = rdb_get_string(r, &text) && set_add(v, pack_str(buf_slice(&text)), limits);
    }
    buf_free(&text);
    return good;
}

static bool from_ints(struct slice bytes, const struct value_limits *limits, struct value *v)
{
    if (!intset_validate(bytes))
        return false;
    uint32_t n = intset_count(bytes.p);
    if (n <= (uint32_t)limits->set_max_intset_entries) {
        v->encoding = SET_INTSET;
        v->ptr = intset_copy(bytes);
        return n > 0;
    }
    set_expect(v, n);
    for (uint32_t i = 0; i < n; i++)
        set_add(v, pack_int(intset_at(bytes.p, i)), limits);
    return true;
}

struct filling {
    struct value *v;
    const struct value_limits *limits;
};

static bool add_item(void *arg, uint32_t index, struct pack_item item)
{
    struct filling *f = arg;
    (void)index;
    return set_add(f->v, item, f->limits);
}

static bool from_pack(struct slice bytes, const struct value_limits *limits, struct value *v)
{
    struct filling f = {v, limits};
    if (!pack_validate(bytes))
        return false;
    set_expect(v, pack_count(bytes.p));
    return pack_validate_each(bytes, add_item, &f) && set_count(v) > 0;
}

static bool read_packed(uint8_t rdb_type, struct reader *r, const struct value_limits *limits, struct value *v)
{
    struct buf bytes = {0};
    bool good = rdb_get_string(r, &bytes) &&
                (rdb_type == RDB_TYPE_SET_INTSET ? from_ints : from_pack)(buf_slice(&bytes), limits, v);
    buf_free(&bytes);
    return good;
}

int set_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out)
{
    struct reader r = reader_of(bytes);
    struct value v = set_class.empty();
    bool good = rdb_type == RDB_TYPE_SET ? read_members(&r, limits, &v) : read_packed(rdb_type, &r, limits, &v);
    if (!good || r.bad || reader_left(&r) > 0) {
        set_class.release(&v);
        return -EBADMSG;
    }
    *out = v;
    return 0;
}
