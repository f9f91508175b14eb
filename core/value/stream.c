#include "core/value/stream.h"

#include <errno.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/value/stream_group.h"

#define ENC_STREAM ENC_FIRST_OF_CLASS

/* --- nodes --- */

static int cmp_id(const void *elem, const void *probe, void *arg)
{
    (void)arg;
    struct stream_id id;
    memcpy(&id, elem, sizeof(id));
    return stream_id_cmp(id, *(const struct stream_id *)probe);
}

static void key_id(void *key, const void *elem, void *arg)
{
    (void)arg;
    memcpy(key, elem, sizeof(struct stream_id));
}

static const struct btree_type node_type = {
    .elem_size = sizeof(struct stream_node),
    .key_size = sizeof(struct stream_id),
    .cmp = cmp_id,
    .key = key_id,
    .cmp_key = cmp_id,
};

/* The node that would hold this id; NULL if it is before all nodes (and then *it is at the first one). *end is an id up
 * to which the node's entries may go. */
static struct stream_node *seek_node(const struct stream *s, struct stream_id id, struct btree_iter *it,
                                     struct stream_id *end)
{
    const struct stream_node *behind = btree_seek_gt(s->nodes, &id, it);
    *end = behind != NULL ? behind->id : s->last;
    return btree_prev(it);
}

/* Puts a pack, whatever became of it, into its place again. */
static void set_pack(struct stream *s, struct stream_node *n, uint8_t *pack, size_t was)
{
    n->pack = pack;
    s->memory += pack_memory(pack) - was;
}

static void drop_node(struct stream *s, struct btree_iter *it)
{
    struct stream_node *n = btree_at(it);
    s->memory -= pack_memory(n->pack);
    pack_free(n->pack);
    btree_erase_at(it);
}

/* --- walking --- */

/* Whether an id is in the second half of a node, as far as one can tell from its ends. */
static bool nearer_to_end(struct stream_id node, struct stream_id id, struct stream_id end)
{
    if (end.ms != node.ms)
        return id.ms - node.ms > (end.ms - node.ms) / 2;
    return id.seq - node.seq > (end.seq - node.seq) / 2;
}

/* To the last entry before `from`, if the node has one, coming from its end: groups mostly read the newest entries. */
static void begin_from_end(struct stream_iter *it, const struct stream_node *n)
{
    bool more = stream_node_last(n, &it->entry);
    while (more && stream_id_cmp(it->entry.id, it->from) >= 0)
        more = stream_node_prev(&it->entry);
    it->begun = more;
}

void stream_iter_init(struct stream_iter *it, const struct stream *s, struct stream_id from, struct stream_id to,
                      bool back)
{
    it->from = from;
    it->to = to;
    it->back = back;
    it->begun = false;
    it->done = s->length == 0 || stream_id_cmp(from, to) > 0 || stream_id_cmp(from, s->last) > 0;
    if (it->done)
        return;
    struct stream_id end;
    const struct stream_node *n = seek_node(s, back ? to : from, &it->node, &end);
    it->done = n == NULL && back;
    if (n != NULL && !back && nearer_to_end(n->id, from, end))
        begin_from_end(it, n);
}

static bool step(struct stream_iter *it)
{
    struct stream_entry *e = &it->entry;
    struct stream_node *n;
    if (it->begun && (it->back ? stream_node_prev(e) : stream_node_next(e)))
        return true;
    if (!it->begun)
        n = btree_at(&it->node);
    else
        n = it->back ? btree_prev(&it->node) : btree_next(&it->node);
    it->begun = true;
    return n != NULL && (it->back ? stream_node_last(n, e) : stream_node_first(n, e));
}

bool stream_iter_next(struct stream_iter *it)
{
    while (!it->done && step(it)) {
        struct stream_id id = it->entry.id;
        bool low = stream_id_cmp(id, it->from)<0, high = stream_id_cmp(id, it->to)> 0;
        if (it->back ? low : high)
            break;
        if (!low && !high && !it->entry.deleted)
            return true;
    }
    it->done = true;
    return false;
}

bool stream_has(const struct stream *s, struct stream_id id)
{
    struct stream_iter it;
    stream_iter_init(&it, s, id, id, false);
    return stream_iter_next(&it);
}

/* --- changes --- */

void stream_find_first(struct stream *s)
{
    struct stream_iter it;
    stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
    s->first = stream_iter_next(&it) ? it.entry.id : STREAM_ID_MIN;
}

/* Whether the node takes one more entry. Deleted ones count, for they are there. */
static bool has_room(const struct stream_node *n, const struct stream_input *in, const struct value_limits *limits)
{
    uint64_t bytes = limits->stream_node_max_bytes, entries = limits->stream_node_max_entries;
    if (bytes == 0 || bytes > PACK_BYTES_MAX)
        bytes = PACK_BYTES_MAX;
    if (pack_bytes(n->pack) + in->bytes >= bytes || !pack_fits(n->pack, stream_node_cost_max(in)))
        return false;
    return entries == 0 || stream_node_live(n->pack) + (uint64_t)stream_node_deleted(n->pack) < entries;
}

int stream_add(struct stream *s, struct stream_id id, const struct stream_input *in, const struct value_limits *limits)
{
    ensure(stream_id_cmp(id, s->last) > 0 && in->fields > 0);
    if (stream_node_cost_max(in) > PACK_BYTES_MAX - PACK_EMPTY_BYTES)
        return -E2BIG;
    struct stream_node *n = btree_last(s->nodes), fresh = {id, NULL};
    size_t was = 0;
    if (n != NULL && has_room(n, in, limits)) {
        was = pack_memory(n->pack);
    } else {
        fresh.pack = stream_node_new(in);
        n = &fresh;
    }
    set_pack(s, n, stream_node_append(n, id, in), was);
    if (n == &fresh)
        btree_append(s->nodes, n);
    if (s->length++ == 0)
        s->first = id;
    s->last = id;
    s->added++;
    return 0;
}

bool stream_delete(struct stream *s, struct stream_id id)
{
    struct stream_iter it;
    stream_iter_init(&it, s, id, id, false);
    if (!stream_iter_next(&it))
        return false;
    struct stream_node *n = btree_at(&it.node);
    size_t was = pack_memory(n->pack);
    if (stream_node_live(n->pack) == 1) {
        drop_node(s, &it.node);
    } else {
        stream_node_mark(&it.entry);
        set_pack(s, n, stream_node_counted(n->pack, 1), was);
    }
    s->length--;
    if (stream_id_cmp(id, s->max_deleted) > 0)
        s->max_deleted = id;
    if (stream_id_cmp(id, s->first) == 0)
        stream_find_first(s);
    return true;
}

struct stream_id stream_top(const struct stream *s)
{
    struct stream_iter it;
    stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, true);
    return stream_iter_next(&it) ? it.entry.id : STREAM_ID_MIN;
}

/* Deleted entries behind the new last id have to go for good: what is added next may have smaller ids. */
void stream_set_last(struct stream *s, struct stream_id last)
{
    struct stream_node *n = btree_last(s->nodes);
    struct stream_entry e;
    while (n != NULL && stream_node_last(n, &e) && stream_id_cmp(e.id, last) > 0) {
        size_t was = pack_memory(n->pack);
        ensure(e.deleted);
        set_pack(s, n, stream_node_cut(n->pack, &e), was);
    }
    s->last = last;
}

/* --- deleting with a look at groups --- */

bool stream_referenced(const struct stream *s, struct stream_id id)
{
    struct btree_iter it = {0};
    for (struct stream_group *g; (g = stream_group_next(s, &it)) != NULL;)
        if (stream_id_cmp(id, g->last) > 0 || stream_pending_find(g, id) != NULL)
            return true;
    return false;
}

bool stream_unreference(struct stream *s, struct stream_id id)
{
    struct btree_iter it = {0};
    bool any = false;
    for (struct stream_group *g; (g = stream_group_next(s, &it)) != NULL;)
        any |= stream_pending_remove(s, g, id);
    return any;
}

enum stream_erased stream_erase(struct stream *s, struct stream_id id, enum stream_refs refs, bool *changed)
{
    if (refs == STREAM_DELREF && stream_unreference(s, id))
        *changed = true;
    if (refs == STREAM_ACKED && stream_has(s, id) && stream_referenced(s, id))
        return STREAM_NEEDED;
    if (!stream_delete(s, id))
        return STREAM_ERASED_NOT;
    *changed = true;
    return STREAM_ERASED;
}

/* --- trimming --- */

/* Whether nothing more has to go, the next entry being this one. */
static bool trimmed(const struct stream *s, const struct stream_trim *t, struct stream_id next)
{
    return t->by_id ? stream_id_cmp(next, t->id) >= 0 : s->length <= t->length;
}

/* Whether all entries of a node are to go. */
static bool covers(const struct stream *s, const struct stream_trim *t, const struct stream_node *n)
{
    struct stream_entry last;
    if (!t->by_id)
        return s->length >= t->length && s->length - t->length >= stream_node_live(n->pack);
    stream_node_last(n, &last);
    return stream_id_cmp(last.id, t->id) < 0;
}

/* Entry by entry. The node goes if it holds none any more; *it is then at the next one, else still here. */
static uint64_t trim_node(struct stream *s, const struct stream_trim *t, struct btree_iter *it, bool *gone)
{
    struct stream_node *n = btree_at(it);
    struct stream_entry e;
    uint32_t marked = 0;
    size_t was = pack_memory(n->pack);
    for (bool more = stream_node_first(n, &e); more && !trimmed(s, t, e.id); more = stream_node_next(&e)) {
        if (e.deleted || (t->refs == STREAM_ACKED && stream_referenced(s, e.id)))
            continue;
        if (t->refs == STREAM_DELREF)
            stream_unreference(s, e.id);
        stream_node_mark(&e);
        marked++;
        s->length--;
    }
    *gone = marked == stream_node_live(n->pack);
    if (*gone)
        drop_node(s, it);
    else if (marked > 0)
        set_pack(s, n, stream_node_counted(n->pack, marked), was);
    return marked;
}

/* One node of those that are to be trimmed. */
static uint64_t trim_next(struct stream *s, const struct stream_trim *t, struct btree_iter *it)
{
    const struct stream_node *n = btree_at(it);
    uint64_t live = stream_node_live(n->pack);
    bool gone;
    if (t->refs == STREAM_KEEPREF && covers(s, t, n)) {
        s->length -= live;
        drop_node(s, it);
        return live;
    }
    uint64_t removed = trim_node(s, t, it, &gone);
    if (!gone)
        btree_next(it);
    return removed;
}

uint64_t stream_trim(struct stream *s, const struct stream_trim *t)
{
    struct btree_iter it;
    uint64_t removed = 0, seen = 0;
    for (const struct stream_node *n = btree_begin(s->nodes, &it); n != NULL; n = btree_at(&it)) {
        uint64_t live = stream_node_live(n->pack);
        if (trimmed(s, t, n->id) || (t->limit > 0 && seen + live > t->limit) || (t->whole_nodes && !covers(s, t, n)))
            break;
        seen += live;
        removed += trim_next(s, t, &it);
    }
    if (removed > 0)
        stream_find_first(s);
    return removed;
}

/* --- the class --- */

static struct stream *new_stream(void)
{
    struct stream *s = mem_zalloc(sizeof(*s));
    s->nodes = btree_new(&node_type, NULL);
    return s;
}

static struct value empty(void)
{
    return (struct value){.type = VALUE_STREAM, .encoding = ENC_STREAM, .ptr = new_stream()};
}

static const char *encoding_name(const struct value *v)
{
    (void)v;
    return "stream";
}

static struct value copy(const struct value *v)
{
    const struct stream *from = stream_of(v);
    struct stream *s = new_stream();
    struct btree *nodes = s->nodes;
    struct btree_iter it;
    *s = *from;
    s->nodes = nodes;
    s->groups = NULL;
    s->memory = s->pending = s->consumers = 0;
    for (struct stream_node *n = btree_begin(from->nodes, &it); n != NULL; n = btree_next(&it)) {
        struct stream_node c = {n->id, pack_copy(pack_slice(n->pack))};
        s->memory += pack_memory(c.pack);
        btree_append(nodes, &c);
    }
    stream_groups_copy(s, from);
    return (struct value){.type = VALUE_STREAM, .encoding = ENC_STREAM, .ptr = s};
}

static void free_pack(void *arg, const void *elem)
{
    (void)arg;
    pack_free(((const struct stream_node *)elem)->pack);
}

static void release(struct value *v)
{
    struct stream *s = stream_of(v);
    btree_each(s->nodes, free_pack, NULL);
    btree_free(s->nodes);
    stream_groups_release(s);
    mem_free(s, sizeof(*s));
}

static size_t memory(const struct value *v)
{
    const struct stream *s = stream_of(v);
    return mem_class(sizeof(*s)) + s->memory + btree_memory(s->nodes) + stream_groups_memory(s);
}

static uint64_t length(const struct value *v) { return stream_of(v)->length; }

/* Packs, and the leaves of what is pending. */
static uint64_t effort(const struct value *v)
{
    const struct stream *s = stream_of(v);
    return 1 + btree_count(s->nodes) + s->pending / 16 + 3 * s->consumers + 3 * stream_groups(s);
}

static void mix_u64(void (*mix)(void *arg, struct slice s), void *arg, uint64_t v)
{
    mix(arg, slice_of(&v, sizeof(v)));
}

static void mix_id(void (*mix)(void *arg, struct slice s), void *arg, struct stream_id id)
{
    mix(arg, slice_of(&id, sizeof(id)));
}

static void mix_group(const struct stream_group *g, void (*mix)(void *arg, struct slice s), void *arg)
{
    struct btree_iter it = {0};
    mix(arg, g->name);
    mix_id(mix, arg, g->last);
    mix_u64(mix, arg, (uint64_t)g->read);
    for (const struct stream_consumer *c; (c = stream_consumer_next(g, &it)) != NULL;)
        mix(arg, c->name);
    for (const struct stream_pending *p = btree_begin(g->pending, &it); p != NULL; p = btree_next(&it)) {
        mix_id(mix, arg, p->id);
        mix(arg, p->consumer->name);
        mix_u64(mix, arg, (uint64_t)p->delivered_ms);
        mix_u64(mix, arg, p->deliveries);
    }
}

static void mix_entry(const struct stream_entry *e, void (*mix)(void *arg, struct slice s), void *arg)
{
    struct stream_fields f = stream_fields_of(e);
    struct pack_item name, value;
    char scratch[PACK_TEXT_MAX];
    mix_id(mix, arg, e->id);
    while (stream_fields_next(&f, &name, &value)) {
        mix(arg, pack_text(name, scratch));
        mix(arg, pack_text(value, scratch));
    }
}

static void digest(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg)
{
    const struct stream *s = stream_of(v);
    struct btree_iter groups = {0};
    struct stream_iter it;
    mix_id(mix, arg, s->last);
    mix_id(mix, arg, s->max_deleted);
    mix_u64(mix, arg, s->added);
    stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
    while (stream_iter_next(&it))
        mix_entry(&it.entry, mix, arg);
    for (const struct stream_group *g; (g = stream_group_next(s, &groups)) != NULL;)
        mix_group(g, mix, arg);
}

void stream_validate(const struct value *v)
{
    const struct stream *s = stream_of(v);
    struct btree_iter it;
    struct stream_iter entries;
    struct stream_id last = STREAM_ID_MIN;
    uint64_t length = 0;
    size_t bytes = 0;
    btree_validate(s->nodes);
    for (struct stream_node *n = btree_begin(s->nodes, &it); n != NULL; n = btree_next(&it)) {
        ensure(stream_id_cmp(n->id, last) > 0 && stream_node_valid(pack_slice(n->pack), n->id, &last));
        ensure(stream_node_live(n->pack) > 0);
        length += stream_node_live(n->pack);
        bytes += pack_memory(n->pack);
    }
    ensure(length == s->length && stream_id_cmp(last, s->last) <= 0);
    stream_iter_init(&entries, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
    ensure(stream_id_cmp(s->first, stream_iter_next(&entries) ? entries.entry.id : STREAM_ID_MIN) == 0);
    ensure(bytes + stream_groups_validate(s) == s->memory);
}

const struct value_class stream_class = {
    .name = "stream",
    .encoding_name = encoding_name,
    .may_be_empty = true,
    .encode = stream_encode,
    .reads = stream_reads,
    .decode = stream_decode,
    .empty = empty,
    .copy = copy,
    .release = release,
    .memory = memory,
    .length = length,
    .effort = effort,
    .digest = digest,
};
