#include "core/value/list.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/value/list_form.h"

static const uint8_t *pack_of(const struct value *v) { return v->encoding == ENC_EMBED ? v->embed.p : v->ptr; }

uint64_t list_count(const struct value *v)
{
    return v->encoding == LIST_QUICK ? ((const struct quicklist *)v->ptr)->count : pack_count(pack_of(v));
}

/* --- forms --- */

void list_open(struct list_open *o, const struct value *v)
{
    if (v->encoding == LIST_QUICK) {
        o->q = v->ptr;
        return;
    }
    o->q = &o->one;
    o->one = (struct quicklist){.head.pack = v->ptr, .head.count = pack_count(v->ptr)};
    if (o->one.head.count == 0)
        pack_free(v->ptr);
    else
        o->one.memory = pack_memory(v->ptr);
    o->one.count = o->one.head.count;
}

static void close_pack(struct list_open *o, struct value *v)
{
    v->encoding = ENC_PACK;
    v->ptr = o->q->count > 0 ? o->q->head.pack : pack_new();
    o->q->head.count = 0;
    if (o->q == &o->one)
        return;
    quicklist_clear(o->q);
    mem_free(o->q, sizeof(*o->q));
}

void list_close(struct list_open *o, struct value *v, struct list_limit limit)
{
    struct quicklist *q = o->q;
    bool was_pack = q == &o->one;
    if (q->count == 0 || (was_pack && q->tail.count == 0 && !q->head.plain) || quicklist_fits_pack(q, limit)) {
        close_pack(o, v);
    } else if (was_pack) {
        v->encoding = LIST_QUICK;
        v->ptr = memcpy(mem_alloc(sizeof(*q)), q, sizeof(*q));
    }
}

/* --- reading --- */

void list_iter_init(struct list_iter *it, const struct value *v, uint64_t index, bool back)
{
    uint32_t within;
    it->back = back;
    it->blob = NULL;
    it->pack = NULL;
    it->node.where = AT_END;
    if (v->encoding != LIST_QUICK) {
        it->pack = pack_of(v);
        it->at = index <= UINT32_MAX ? pack_at(it->pack, (int64_t)index) : 0;
        if (it->at == 0)
            it->pack = NULL;
        return;
    }
    quicklist_seek(v->ptr, index, &it->node, &within);
    const struct list_node *n = quicklist_node(&it->node);
    if (n != NULL && !n->plain) {
        it->pack = n->pack;
        it->at = pack_at(n->pack, within);
    }
}

/* Gives the item of a plain node, and goes on behind it. */
static bool next_plain(struct list_iter *it, struct pack_item *item)
{
    const struct list_node *n = quicklist_node(&it->node);
    it->blob = n->blob;
    *item = pack_str(blob_slice(n->blob));
    quicklist_step(&it->node, it->back);
    return true;
}

bool list_iter_next_node(struct list_iter *it, struct pack_item *item)
{
    if (it->pack != NULL)
        quicklist_step(&it->node, it->back);
    it->pack = NULL;
    const struct list_node *n = quicklist_node(&it->node);
    if (n == NULL)
        return false;
    if (n->plain)
        return next_plain(it, item);
    it->pack = n->pack;
    it->at = it->back ? pack_last(n->pack) : pack_first(n->pack);
    return list_iter_next(it, item);
}

/* --- changing --- */

/* A pack stays one however large its items are, as far as it holds them. */
static struct list_limit limit_of(const struct value *v, const struct value_limits *limits)
{
    struct list_limit limit = list_limit_of(limits->list_max_listpack_size);
    limit.plain_from = v->encoding == LIST_QUICK ? limits->list_plain_from : 0;
    return limit;
}

void list_push(struct value *v, enum list_end end, const struct list_item *item, const struct value_limits *limits)
{
    struct list_open o;
    list_open(&o, v);
    o.q->compress = limits->list_compress_depth;
    quicklist_push(o.q, end, item, limit_of(v, limits));
    list_close(&o, v, (struct list_limit){0});
}

void list_insert(struct value *v, uint64_t index, const struct list_item *item, const struct value_limits *limits)
{
    struct list_open o;
    list_open(&o, v);
    o.q->compress = limits->list_compress_depth;
    quicklist_insert(o.q, index, item, limit_of(v, limits));
    list_close(&o, v, (struct list_limit){0});
}

void list_set(struct value *v, uint64_t index, const struct list_item *item, const struct value_limits *limits)
{
    struct list_open o;
    list_open(&o, v);
    o.q->compress = limits->list_compress_depth;
    quicklist_set(o.q, index, item, limit_of(v, limits));
    list_close(&o, v, limit_of(v, limits));
}

void list_erase(struct value *v, uint64_t index, uint64_t n, const struct value_limits *limits)
{
    struct list_open o;
    list_open(&o, v);
    if (n == 1 && (index == 0 || index + 1 == o.q->count))
        quicklist_drop(o.q, index == 0 ? LIST_HEAD : LIST_TAIL);
    else
        quicklist_erase(o.q, index, n, limit_of(v, limits));
    list_close(&o, v, limit_of(v, limits));
}

uint64_t list_remove(struct value *v, struct slice s, uint64_t most, bool back, const struct value_limits *limits)
{
    struct list_open o;
    list_open(&o, v);
    uint64_t removed = quicklist_remove(o.q, s, most, back, limit_of(v, limits));
    list_close(&o, v, limit_of(v, limits));
    return removed;
}

/* --- the class --- */

static struct value empty(void) { return (struct value){.type = VALUE_LIST, .encoding = ENC_PACK, .ptr = pack_new()}; }

static const char *encoding_name(const struct value *v) { return v->encoding == LIST_QUICK ? "quicklist" : "listpack"; }

static void copy_node(void *to, const void *elem)
{
    const struct list_node *n = elem;
    struct list_node c = *n;
    if (n->plain)
        blob_ref(n->blob);
    else
        c.pack = pack_copy(pack_slice(n->pack));
    quicklist_append_node(to, c);
}

static struct value copy(const struct value *v)
{
    struct value c = *v;
    if (v->encoding != LIST_QUICK) {
        c.encoding = ENC_PACK;
        c.ptr = pack_copy(pack_slice(pack_of(v)));
        return c;
    }
    struct quicklist_cursor node;
    uint32_t within;
    struct quicklist *q = c.ptr = mem_zalloc(sizeof(struct quicklist));
    q->compress = ((const struct quicklist *)v->ptr)->compress;
    quicklist_seek(v->ptr, 0, &node, &within);
    do
        copy_node(c.ptr, quicklist_node(&node));
    while (quicklist_step(&node, false));
    return c;
}

static void release(struct value *v)
{
    if (v->encoding == LIST_QUICK) {
        quicklist_clear(v->ptr);
        mem_free(v->ptr, sizeof(struct quicklist));
    } else if (v->encoding == ENC_PACK) {
        pack_free(v->ptr);
    }
}

static size_t memory(const struct value *v)
{
    if (v->encoding == ENC_PACK)
        return pack_memory(v->ptr);
    if (v->encoding != LIST_QUICK)
        return 0;
    const struct quicklist *q = v->ptr;
    return mem_class(sizeof(*q)) + q->memory + (q->middle != NULL ? btree_memory(q->middle) : 0);
}

static uint64_t effort(const struct value *v) { return v->encoding == LIST_QUICK ? quicklist_nodes(v->ptr) : 1; }

static void digest(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg)
{
    struct list_iter it;
    struct pack_item item;
    char scratch[PACK_TEXT_MAX];
    list_iter_init(&it, v, 0, false);
    while (list_iter_next(&it, &item))
        mix(arg, pack_text(item, scratch));
}

void list_validate(const struct value *v)
{
    ensure(v->type == VALUE_LIST);
    if (v->encoding == LIST_QUICK)
        quicklist_validate(v->ptr);
    else
        ensure(pack_validate(pack_slice(pack_of(v))));
}

const struct value_class list_class = {
    .name = "list",
    .encoding_name = encoding_name,
    .encode = list_encode,
    .reads = list_reads,
    .decode = list_decode,
    .empty = empty,
    .copy = copy,
    .release = release,
    .memory = memory,
    .length = list_count,
    .effort = effort,
    .digest = digest,
};
