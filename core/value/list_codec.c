/* Lists in RDB. QUICKLIST_2 (18) is a count of nodes, and each node a container (1 plain, 2 packed) and a string: the
 * item, or the bytes of a pack. It is what is written, since Redis 7.0 reads it. Read are also LIST (1), a count and
 * the items as strings, ZIPLIST (10), the bytes of a ziplist, and QUICKLIST (14), a count and as many ziplists. */
#include <errno.h>

#include "core/ds/packed_old.h"
#include "core/value/list_form.h"
#include "core/value/quicklist_node.h"
#include "core/value/rdb.h"

#define RDB_TYPE_LIST 1
#define RDB_TYPE_LIST_ZIPLIST 10
#define RDB_TYPE_LIST_QUICKLIST 14
#define RDB_TYPE_LIST_QUICKLIST_2 18

#define CONTAINER_PLAIN 1
#define CONTAINER_PACKED 2

/* --- writing --- */

/* The packs that are to be compressed hold the items from *from up to *until. */
static void inner(struct quicklist *q, uint64_t *from, uint64_t *until)
{
    struct quicklist_cursor head, tail;
    uint32_t within;
    *from = *until = 0;
    if (q->compress == 0 || 2 * (uint64_t)q->compress >= quicklist_nodes(q))
        return;
    *until = q->count;
    quicklist_seek(q, 0, &head, &within);
    quicklist_seek(q, q->count - 1, &tail, &within);
    for (int i = 0; i < q->compress; i++) {
        *from += quicklist_node(&head)->count;
        *until -= quicklist_node(&tail)->count;
        quicklist_step(&head, false);
        quicklist_step(&tail, true);
    }
}

/* The cursor is the index of the first item that is not written. */
static void put_nodes(struct quicklist *q, uint64_t *cursor, struct buf *out, size_t budget)
{
    struct quicklist_cursor c;
    uint32_t within;
    uint64_t from, until;
    size_t start = out->len;
    inner(q, &from, &until);
    if (*cursor == 0)
        rdb_put_length(out, quicklist_nodes(q));
    quicklist_seek(q, *cursor, &c, &within);
    do {
        const struct list_node *n = quicklist_node(&c);
        struct slice bytes = n->plain ? blob_slice(n->blob) : pack_slice(n->pack);
        rdb_put_length(out, n->plain ? CONTAINER_PLAIN : CONTAINER_PACKED);
        if (!n->plain && *cursor >= from && *cursor < until)
            rdb_put_compressed(out, bytes);
        else
            rdb_put_string(out, bytes);
        *cursor += n->count;
    } while (quicklist_step(&c, false) && out->len - start < budget);
    if (*cursor == q->count)
        *cursor = 0;
}

uint8_t list_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget)
{
    if (v->encoding == LIST_QUICK) {
        put_nodes(v->ptr, cursor, out, budget);
    } else {
        rdb_put_length(out, 1);
        rdb_put_length(out, CONTAINER_PACKED);
        rdb_put_string(out, pack_slice(v->encoding == ENC_EMBED ? v->embed.p : v->ptr));
    }
    return RDB_TYPE_LIST_QUICKLIST_2;
}

/* --- reading --- */

struct filling {
    struct quicklist *q;
    struct list_limit limit;
};

static bool add_item(void *arg, uint32_t index, struct pack_item item)
{
    struct filling *f = arg;
    char scratch[PACK_TEXT_MAX];
    struct list_item text = {.bytes = pack_text(item, scratch)};
    (void)index;
    quicklist_push(f->q, LIST_TAIL, &text, f->limit);
    return true;
}

/* A pack that makes a good node becomes one; the items of any other are put one by one. */
static bool add_pack(struct filling *f, struct slice bytes)
{
    if (!pack_validate(bytes))
        return false;
    uint32_t count = pack_count(bytes.p);
    bool fits = bytes.len <= f->limit.bytes && count <= f->limit.items;
    if (!fits || (f->q->count > 0 && bytes.len < f->limit.bytes / 4))
        return pack_validate_each(bytes, add_item, f);
    if (count > 0)
        quicklist_append_node(f->q, (struct list_node){.pack = pack_copy(bytes), .count = count});
    return true;
}

static bool add_plain(struct filling *f, struct slice bytes)
{
    quicklist_push(f->q, LIST_TAIL, &(struct list_item){.bytes = bytes}, f->limit);
    return true;
}

/* Reads a string and adds what it holds. */
static bool add_node(struct filling *f, struct reader *r, uint8_t rdb_type)
{
    struct buf bytes = {0};
    int special = -1;
    uint64_t container = CONTAINER_PLAIN;
    if (rdb_type == RDB_TYPE_LIST_QUICKLIST_2)
        container = rdb_get_length(r, &special);
    bool good = special < 0 && rdb_get_string(r, &bytes);
    if (good && (rdb_type == RDB_TYPE_LIST_ZIPLIST || rdb_type == RDB_TYPE_LIST_QUICKLIST))
        good = ziplist_each(buf_slice(&bytes), add_item, f);
    else if (good && container == CONTAINER_PACKED)
        good = add_pack(f, buf_slice(&bytes));
    else if (good)
        good = container == CONTAINER_PLAIN && add_plain(f, buf_slice(&bytes));
    buf_free(&bytes);
    return good;
}

bool list_reads(uint8_t rdb_type)
{
    return rdb_type == RDB_TYPE_LIST || rdb_type == RDB_TYPE_LIST_ZIPLIST || rdb_type == RDB_TYPE_LIST_QUICKLIST ||
           rdb_type == RDB_TYPE_LIST_QUICKLIST_2;
}

static bool add_nodes(struct filling *f, struct reader *r, uint8_t rdb_type)
{
    int special = -1;
    uint64_t n = rdb_type == RDB_TYPE_LIST_ZIPLIST ? 1 : rdb_get_length(r, &special);
    bool good = special < 0;
    for (; good && n > 0; n--)
        good = add_node(f, r, rdb_type);
    return good && !r->bad && reader_left(r) == 0 && f->q->count > 0;
}

int list_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out)
{
    struct reader r = reader_of(bytes);
    struct list_open o;
    struct list_limit limit = list_limit_of(limits->list_max_listpack_size);
    struct value v = list_class.empty();
    list_open(&o, &v);
    o.q->compress = limits->list_compress_depth;
    struct filling f = {o.q, limit};
    bool good = add_nodes(&f, &r, rdb_type);
    list_close(&o, &v, limit);
    if (!good) {
        list_class.release(&v);
        return -EBADMSG;
    }
    *out = v;
    return 0;
}
