/* The RDB encodings of streams, all by the published format (versions 9 to 13):
 *
 *     nodes: count | {id, 16 bytes big-endian, as a string | pack as a string} ...
 *     length | last id | [first id | max deleted id | entries added]                             []: not in 15
 *     groups: count | {name | last id | [entries read]
 *                      | pending: count | {id, 16 bytes | delivered u64 | deliveries} ...
 *                      | consumers: count | {name | seen u64 | <active u64> | count | id, 16 bytes ...} ...} ...
 *     ( seconds | most | producers: count | {name | count | {name | id} ...} ... | added | duplicates )
 *
 * Types 15, 21 and 26 are read too; what 26 has at the end (), what XADD of Redis 8.6 has been told not to add twice,
 * is left out. 19 is written, which Redis 7.0 reads; it lacks when a consumer was active (<>): that is taken to be when
 * it was seen. Writing 21 would make files that a Redis 7.0 refuses altogether. Ids outside nodes are two lengths,
 * except where they are said to be 16 bytes. */
#include <errno.h>

#include "core/value/rdb.h"
#include "core/value/stream_group.h"

enum { RDB_STREAM = 15, RDB_STREAM_2 = 19, RDB_STREAM_3 = 21, RDB_STREAM_4 = 26 };

bool stream_reads(uint8_t rdb_type)
{
    return rdb_type == RDB_STREAM || rdb_type == RDB_STREAM_2 || rdb_type == RDB_STREAM_3 || rdb_type == RDB_STREAM_4;
}

/* --- writing ---
 *
 * The encoding is a row of units: each node; what stands between nodes and groups; then of each group its head, each
 * pending entry, and of each of its consumers its head and each of its ids. The cursor is the number of units that have
 * been written. */

struct writer {
    struct buf *out;
    uint64_t skip; /* units that parts before have written */
    uint64_t done;
    size_t until; /* out->len that ends the part */
};

/* Whether the next unit is to be written now. After a false with w->skip 0 the part is full. */
static bool wants(struct writer *w)
{
    if (w->skip > 0) {
        w->skip--;
        return false;
    }
    return w->out->len < w->until;
}

static bool full(const struct writer *w) { return w->skip == 0 && w->out->len >= w->until; }

static void put_id(struct buf *out, struct stream_id id)
{
    rdb_put_length(out, id.ms);
    rdb_put_length(out, id.seq);
}

static void put_raw_id(struct buf *out, struct stream_id id)
{
    uint64_t be[2] = {__builtin_bswap64(id.ms), __builtin_bswap64(id.seq)};
    buf_append(out, be, sizeof(be));
}

/* The first unit of a tree that is not skipped. */
static void *seek(struct writer *w, const struct btree *t, struct btree_iter *it)
{
    uint64_t over = min_u64(w->skip, btree_count(t));
    w->skip -= over;
    return btree_select((struct btree *)t, over, it, NULL);
}

static void put_nodes(struct writer *w, const struct stream *s)
{
    struct btree_iter it;
    for (struct stream_node *n = seek(w, s->nodes, &it); n != NULL && wants(w); n = btree_next(&it), w->done++) {
        rdb_put_length(w->out, sizeof(n->id));
        put_raw_id(w->out, n->id);
        rdb_put_length(w->out, pack_bytes(n->pack));
        buf_append_slice(w->out, pack_slice(n->pack));
    }
}

static void put_middle(struct writer *w, const struct stream *s)
{
    if (!wants(w))
        return;
    rdb_put_length(w->out, s->length);
    put_id(w->out, s->last);
    put_id(w->out, s->first);
    put_id(w->out, s->max_deleted);
    rdb_put_length(w->out, s->added);
    rdb_put_length(w->out, stream_groups(s));
    w->done++;
}

static void put_pending(struct writer *w, const struct stream_group *g)
{
    struct btree_iter it;
    if (wants(w)) {
        rdb_put_string(w->out, g->name);
        put_id(w->out, g->last);
        rdb_put_length(w->out, (uint64_t)g->read);
        rdb_put_length(w->out, btree_count(g->pending));
        w->done++;
    }
    for (struct stream_pending *p = seek(w, g->pending, &it); p != NULL && wants(w); p = btree_next(&it), w->done++) {
        put_raw_id(w->out, p->id);
        buf_put_u64(w->out, (uint64_t)p->delivered_ms);
        rdb_put_length(w->out, p->deliveries);
    }
}

static void put_consumer(struct writer *w, const struct stream_consumer *c)
{
    struct btree_iter it;
    if (wants(w)) {
        rdb_put_string(w->out, c->name);
        buf_put_u64(w->out, (uint64_t)c->seen_ms);
        rdb_put_length(w->out, btree_count(c->ids));
        w->done++;
    }
    for (struct stream_id *id = seek(w, c->ids, &it); id != NULL && wants(w); id = btree_next(&it), w->done++)
        put_raw_id(w->out, *id);
}

/* The number of consumers stands behind what is pending: a unit of its own. */
static void put_group(struct writer *w, const struct stream_group *g)
{
    struct btree_iter it = {0};
    put_pending(w, g);
    if (!full(w) && wants(w)) {
        rdb_put_length(w->out, btree_count(g->consumers));
        w->done++;
    }
    for (struct stream_consumer *c; !full(w) && (c = stream_consumer_next(g, &it)) != NULL;)
        put_consumer(w, c);
}

static uint64_t units(const struct stream *s)
{
    uint64_t ids = s->pending; /* each pending entry is one of a consumer, too */
    return btree_count(s->nodes) + 1 + 2 * stream_groups(s) + s->pending + s->consumers + ids;
}

uint8_t stream_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget)
{
    const struct stream *s = stream_of(v);
    struct btree_iter it = {0};
    struct writer w = {.out = out, .skip = *cursor, .done = *cursor};
    if (*cursor == 0)
        rdb_put_length(out, btree_count(s->nodes));
    w.until = budget < SIZE_MAX - out->len ? out->len + max_u64(budget, 1) : SIZE_MAX; /* a unit at least */
    put_nodes(&w, s);
    if (!full(&w))
        put_middle(&w, s);
    for (struct stream_group *g; !full(&w) && (g = stream_group_next(s, &it)) != NULL;)
        put_group(&w, g);
    *cursor = w.done == units(s) ? 0 : w.done;
    return RDB_STREAM_2;
}

/* --- reading --- */

struct input {
    struct reader r;
    struct buf text; /* the last string */
    uint8_t type;
    struct stream *s;
};

static void refuse(struct input *in) { in->r.bad = true; }

static uint64_t get_length(struct input *in)
{
    int special;
    uint64_t n = rdb_get_length(&in->r, &special);
    if (special >= 0)
        refuse(in);
    return n;
}

static struct stream_id get_id(struct input *in)
{
    uint64_t ms = get_length(in), seq = get_length(in);
    return (struct stream_id){ms, seq};
}

static struct stream_id raw_id(struct slice bytes)
{
    uint64_t be[2] = {0};
    if (bytes.len == sizeof(be))
        memcpy(be, bytes.p, sizeof(be));
    return (struct stream_id){__builtin_bswap64(be[0]), __builtin_bswap64(be[1])};
}

static struct stream_id get_raw_id(struct input *in) { return raw_id(reader_bytes(&in->r, sizeof(struct stream_id))); }

/* A time that is not negative, or `none`. */
static int64_t get_time(struct input *in, int64_t none)
{
    int64_t ms = (int64_t)reader_u64(&in->r);
    if (ms < 0 && ms != none)
        refuse(in);
    return ms;
}

static struct slice get_string(struct input *in)
{
    buf_clear(&in->text);
    rdb_get_string(&in->r, &in->text);
    return buf_slice(&in->text);
}

/* *last: the id of the last entry so far. */
static void get_node(struct input *in, struct stream_id *last)
{
    struct slice key = get_string(in);
    struct stream_node n = {.id = raw_id(key)};
    if (key.len != sizeof(n.id) || stream_id_cmp(n.id, *last) <= 0)
        refuse(in);
    struct slice pack = get_string(in);
    if (in->r.bad || !stream_node_valid(pack, n.id, last)) {
        refuse(in);
        return;
    }
    if (stream_node_live(pack.p) == 0) /* trimming leaves such nodes in Redis */
        return;
    n.pack = pack_copy(pack);
    in->s->memory += pack_memory(n.pack);
    in->s->length += stream_node_live(n.pack);
    btree_append(in->s->nodes, &n);
}

static void get_nodes(struct input *in)
{
    struct stream *s = in->s;
    struct stream_id last = STREAM_ID_MIN;
    for (uint64_t n = get_length(in); n > 0 && !in->r.bad; n--)
        get_node(in, &last);
    if (get_length(in) != s->length)
        refuse(in);
    s->last = get_id(in);
    if (stream_id_cmp(s->last, last) < 0)
        refuse(in);
    s->added = s->length;
    if (in->type == RDB_STREAM)
        return;
    get_id(in); /* the nodes say which id is the first one */
    s->max_deleted = get_id(in);
    s->added = get_length(in);
}

static void get_pending(struct input *in, struct stream_group *g)
{
    struct stream_id last = STREAM_ID_MIN;
    for (uint64_t n = get_length(in), i = 0; i < n && !in->r.bad; i++) {
        struct stream_pending p = {.id = get_raw_id(in)};
        p.delivered_ms = get_time(in, 0);
        p.deliveries = get_length(in);
        if (i > 0 && stream_id_cmp(p.id, last) <= 0)
            refuse(in);
        last = p.id;
        if (!in->r.bad)
            stream_pending_append(in->s, g, &p);
    }
}

/* An id that is pending in the group, and not with another consumer. */
static void get_own(struct input *in, struct stream_group *g, struct stream_consumer *c)
{
    struct stream_id id = get_raw_id(in);
    struct stream_pending *p = in->r.bad ? NULL : stream_pending_find(g, id);
    const struct stream_id *last = btree_last(c->ids);
    if (p == NULL || p->consumer != NULL || (last != NULL && stream_id_cmp(id, *last) <= 0)) {
        refuse(in);
        return;
    }
    p->consumer = c;
    stream_consumer_append(in->s, c, id);
}

static uint64_t get_consumer(struct input *in, struct stream_group *g)
{
    struct slice name = get_string(in);
    if (in->r.bad || stream_consumer_find(g, name) != NULL) {
        refuse(in);
        return 0;
    }
    struct stream_consumer *c = stream_consumer_add(in->s, g, name, 0);
    c->seen_ms = get_time(in, 0);
    c->active_ms = in->type >= RDB_STREAM_3 ? get_time(in, -1) : c->seen_ms;
    for (uint64_t n = get_length(in); n > 0 && !in->r.bad; n--)
        get_own(in, g, c);
    return btree_count(c->ids);
}

static void get_group(struct input *in)
{
    struct slice name = get_string(in);
    struct stream_group *g = in->r.bad ? NULL : stream_group_add(in->s, name, STREAM_ID_MIN, STREAM_READ_UNKNOWN);
    if (g == NULL) {
        refuse(in);
        return;
    }
    g->last = get_id(in);
    if (in->type != RDB_STREAM)
        g->read = (int64_t)get_length(in);
    if (g->read < 0) /* Redis 7.0 lets it overflow */
        g->read = STREAM_READ_UNKNOWN;
    get_pending(in, g);
    uint64_t owned = 0;
    for (uint64_t n = get_length(in); n > 0 && !in->r.bad; n--)
        owned += get_consumer(in, g);
    if (owned != btree_count(g->pending))
        refuse(in);
}

static void skip_producers(struct input *in)
{
    get_length(in);
    get_length(in);
    for (uint64_t n = get_length(in); n > 0 && !in->r.bad; n--) {
        get_string(in);
        for (uint64_t ids = get_length(in); ids > 0 && !in->r.bad; ids--) {
            get_string(in);
            get_id(in);
        }
    }
    get_length(in);
    get_length(in);
}

int stream_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out)
{
    struct value v = stream_class.empty();
    struct input in = {.r = reader_of(bytes), .type = rdb_type, .s = stream_of(&v)};
    (void)limits; /* nodes stay as they are */
    get_nodes(&in);
    for (uint64_t n = get_length(&in); n > 0 && !in.r.bad; n--)
        get_group(&in);
    if (rdb_type == RDB_STREAM_4)
        skip_producers(&in);
    buf_free(&in.text);
    if (in.r.bad || reader_left(&in.r) > 0) {
        stream_class.release(&v);
        return -EBADMSG;
    }
    stream_find_first(in.s);
    *out = v;
    return 0;
}
