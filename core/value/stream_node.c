#include "core/value/stream_node.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

enum { DELETED = 1, SAME_NAMES = 2 };

#define FEW 64 /* items of an entry that are put together on the stack */

/* --- reading --- */

static uint32_t skip(const uint8_t *p, uint32_t at, uint32_t n)
{
    for (; n > 0; n--)
        at = pack_next(p, at);
    return at;
}

static int64_t integer(const uint8_t *p, uint32_t at) { return pack_get(p, at).integer; }

uint32_t stream_node_live(const uint8_t *pack) { return (uint32_t)integer(pack, PACK_HEADER); }
uint32_t stream_node_deleted(const uint8_t *pack) { return (uint32_t)integer(pack, pack_next(pack, PACK_HEADER)); }

static void read_head(const struct stream_node *n, struct stream_entry *e)
{
    const uint8_t *p = n->pack;
    uint32_t at = skip(p, PACK_HEADER, 2);
    e->pack = p;
    e->node = n->id;
    e->node_fields = (uint32_t)integer(p, at);
    e->node_names = pack_next(p, at);
    e->node_first = pack_next(p, skip(p, e->node_names, e->node_fields));
}

/* The entry whose flags are at e->at. */
static bool read_entry(struct stream_entry *e)
{
    const uint8_t *p = e->pack;
    uint32_t at = e->at;
    if (p[at] == PACK_END)
        return false;
    int64_t flags = integer(p, at);
    e->deleted = flags & DELETED;
    at = pack_next(p, at);
    e->id.ms = e->node.ms + (uint64_t)integer(p, at);
    at = pack_next(p, at);
    e->id.seq = e->node.seq + (uint64_t)integer(p, at);
    at = pack_next(p, at);
    e->names = flags & SAME_NAMES ? e->node_names : 0;
    e->fields = e->node_fields;
    if (!(flags & SAME_NAMES)) {
        e->fields = (uint32_t)integer(p, at);
        at = pack_next(p, at);
    }
    e->items = at;
    return true;
}

bool stream_node_first(const struct stream_node *n, struct stream_entry *e)
{
    read_head(n, e);
    e->at = e->node_first;
    return read_entry(e);
}

bool stream_node_last(const struct stream_node *n, struct stream_entry *e)
{
    read_head(n, e);
    e->at = pack_end(n->pack);
    return stream_node_prev(e);
}

bool stream_node_next(struct stream_entry *e)
{
    e->at = skip(e->pack, e->items, e->names != 0 ? e->fields : 2 * e->fields);
    e->at = pack_next(e->pack, e->at);
    return read_entry(e);
}

bool stream_node_prev(struct stream_entry *e)
{
    if (e->at == e->node_first)
        return false;
    uint32_t at = pack_prev(e->pack, e->at);
    for (int64_t n = integer(e->pack, at); n > 0; n--)
        at = pack_prev(e->pack, at);
    e->at = at;
    return read_entry(e);
}

/* --- changes --- */

/* Items that are put together, then put into the pack at once. */
struct items {
    struct pack_item few[FEW], *at;
    size_t n, cap;
};

static void items_init(struct items *i, size_t cap)
{
    i->n = 0;
    i->cap = cap;
    i->at = cap <= FEW ? i->few : mem_alloc(cap * sizeof(*i->at));
}

static void items_free(struct items *i)
{
    if (i->at != i->few)
        mem_free(i->at, i->cap * sizeof(*i->at));
}

static void put_int(struct items *i, int64_t v) { i->at[i->n++] = pack_int(v); }
static void put_str(struct items *i, struct slice s) { i->at[i->n++] = pack_str(s); }

uint8_t *stream_node_new(const struct stream_input *in)
{
    struct items head;
    items_init(&head, in->fields + 4);
    put_int(&head, 0);
    put_int(&head, 0);
    put_int(&head, in->fields);
    for (uint32_t i = 0; i < in->fields; i++)
        put_str(&head, in->items[2 * i]);
    put_int(&head, 0);
    uint8_t *pack = pack_append_items(pack_new(), head.at, head.n);
    items_free(&head);
    return pack;
}

static bool same_names(const struct stream_entry *node, const struct stream_input *in)
{
    if (in->fields != node->node_fields)
        return false;
    uint32_t at = node->node_names;
    for (uint32_t i = 0; i < in->fields; i++, at = pack_next(node->pack, at))
        if (!pack_equals(pack_get(node->pack, at), in->items[2 * i]))
            return false;
    return true;
}

/* The head's item at index `which` (0 or 1) grows by `by`. */
static uint8_t *adjust(uint8_t *pack, uint32_t which, int64_t by)
{
    uint32_t at = skip(pack, PACK_HEADER, which);
    int64_t v = integer(pack, at) + by;
    if (pack[at] >= 0x80 || v > 127)
        return pack_replace(pack, at, pack_int(v));
    pack[at] = (uint8_t)v; /* an integer below 128 is its own encoding */
    return pack;
}

uint8_t *stream_node_append(const struct stream_node *n, struct stream_id id, const struct stream_input *in)
{
    struct stream_entry node;
    struct items entry;
    read_head(n, &node);
    bool same = same_names(&node, in);
    items_init(&entry, 2 * (size_t)in->fields + 5);
    put_int(&entry, same ? SAME_NAMES : 0);
    put_int(&entry, (int64_t)(id.ms - n->id.ms));
    put_int(&entry, (int64_t)(id.seq - n->id.seq));
    if (!same)
        put_int(&entry, in->fields);
    for (uint32_t i = same ? 1 : 0; i < 2 * in->fields; i += same ? 2 : 1)
        put_str(&entry, in->items[i]);
    put_int(&entry, (int64_t)entry.n);
    uint8_t *pack = adjust(pack_append_items(n->pack, entry.at, entry.n), 0, 1);
    items_free(&entry);
    return pack;
}

uint64_t stream_node_cost_max(const struct stream_input *in)
{
    return pack_cost_max(3 * (uint64_t)in->fields + 16, 2 * (uint64_t)in->bytes);
}

void stream_node_mark(struct stream_entry *e)
{
    uint8_t *flags = (uint8_t *)e->pack + e->at; /* its own encoding, too */
    ensure(!e->deleted && *flags < 4);
    *flags |= DELETED;
    e->deleted = true;
}

uint8_t *stream_node_counted(uint8_t *pack, uint32_t marked)
{
    return adjust(adjust(pack, 0, -(int64_t)marked), 1, marked);
}

uint8_t *stream_node_cut(uint8_t *pack, const struct stream_entry *e)
{
    uint8_t *entry;
    pack = pack_split(pack, e->at, &entry);
    pack_free(entry);
    return adjust(pack, 1, -1);
}

/* --- bytes from outside --- */

/* A pack that is valid, so that a step from an item is safe; whether there is an item has to be asked. */
struct check {
    const uint8_t *p;
    uint32_t at;
    bool bad;
};

static int64_t take_int(struct check *c)
{
    if (c->bad || c->p[c->at] == PACK_END || !pack_get(c->p, c->at).is_int) {
        c->bad = true;
        return 0;
    }
    int64_t v = integer(c->p, c->at);
    c->at = pack_next(c->p, c->at);
    return v;
}

static void take_items(struct check *c, int64_t n)
{
    c->bad |= n < 0 || n > pack_bytes(c->p);
    for (; !c->bad && n > 0; n--) {
        c->bad = c->p[c->at] == PACK_END;
        if (!c->bad)
            c->at = pack_next(c->p, c->at);
    }
}

static struct stream_id take_id(struct check *c, struct stream_id node)
{
    uint64_t ms = (uint64_t)take_int(c), seq = (uint64_t)take_int(c);
    return (struct stream_id){node.ms + ms, node.seq + seq};
}

/* *flags and *id of the entry that is taken. */
static void take_entry(struct check *c, struct stream_id node, int64_t names, uint8_t *flags, struct stream_id *id)
{
    *flags = c->p[c->at]; /* what stream_node_mark changes has to be one byte */
    c->bad |= *flags > (DELETED | SAME_NAMES);
    take_int(c);
    *id = take_id(c, node);
    int64_t fields = *flags & SAME_NAMES ? names : take_int(c);
    c->bad |= fields < 1 || fields > pack_bytes(c->p);
    if (c->bad)
        return;
    int64_t items = *flags & SAME_NAMES ? fields : 2 * fields;
    take_items(c, items);
    c->bad |= take_int(c) != items + (*flags & SAME_NAMES ? 3 : 4);
}

static bool entries_valid(struct check *c, struct stream_id node, struct stream_id *last)
{
    int64_t live = take_int(c), deleted = take_int(c), names = take_int(c);
    bool any = false;
    take_items(c, names);
    c->bad |= take_int(c) != 0;
    while (!c->bad && c->p[c->at] != PACK_END) {
        uint8_t flags;
        struct stream_id id;
        take_entry(c, node, names, &flags, &id);
        c->bad |= any ? stream_id_cmp(id, *last) <= 0 : stream_id_cmp(id, node) < 0;
        any = true;
        *last = id;
        *(flags & DELETED ? &deleted : &live) -= 1;
    }
    return any && !c->bad && live == 0 && deleted == 0;
}

bool stream_node_valid(struct slice bytes, struct stream_id id, struct stream_id *last)
{
    if (!pack_validate(bytes))
        return false;
    struct check c = {.p = bytes.p, .at = PACK_HEADER};
    return entries_valid(&c, id, last);
}
