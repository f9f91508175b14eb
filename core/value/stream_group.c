#include "core/value/stream_group.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

/* --- trees of groups and consumers, by name --- */

static struct slice name_of(const void *elem)
{
    const struct stream_group *g = *(void *const *)elem;
    return g->name;
}

static struct slice consumer_name_of(const void *elem)
{
    const struct stream_consumer *c = *(void *const *)elem;
    return c->name;
}

static int cmp_group(const void *elem, const void *probe, void *arg)
{
    (void)arg;
    return slice_cmp(name_of(elem), *(const struct slice *)probe);
}

static int cmp_consumer(const void *elem, const void *probe, void *arg)
{
    (void)arg;
    return slice_cmp(consumer_name_of(elem), *(const struct slice *)probe);
}

static int cmp_id(const void *elem, const void *probe, void *arg)
{
    (void)arg;
    return stream_id_cmp(*(const struct stream_id *)elem, *(const struct stream_id *)probe);
}

static void key_id(void *key, const void *elem, void *arg)
{
    (void)arg;
    memcpy(key, elem, sizeof(struct stream_id));
}

static void key_pointer(void *key, const void *elem, void *arg)
{
    (void)arg;
    memcpy(key, elem, sizeof(void *));
}

/* Probes are names. */
static const struct btree_type groups_type = {
    .elem_size = sizeof(void *),
    .key_size = sizeof(void *),
    .cmp = cmp_group,
    .key = key_pointer,
    .cmp_key = cmp_group,
};
static const struct btree_type consumers_type = {
    .elem_size = sizeof(void *),
    .key_size = sizeof(void *),
    .cmp = cmp_consumer,
    .key = key_pointer,
    .cmp_key = cmp_consumer,
};
static const struct btree_type pending_type = {
    .elem_size = sizeof(struct stream_pending),
    .key_size = sizeof(struct stream_id),
    .cmp = cmp_id,
    .key = key_id,
    .cmp_key = cmp_id,
};
static const struct btree_type ids_type = {.elem_size = sizeof(struct stream_id), .cmp = cmp_id};

/* The pointer in the element that has this name; NULL if there is none. */
static void *find(const struct btree *t, struct slice name, int (*cmp)(const void *, const void *, void *))
{
    struct btree_iter it;
    void **elem = btree_seek_ge((struct btree *)t, &name, &it);
    return elem != NULL && cmp(elem, &name, NULL) == 0 ? *elem : NULL;
}

static void *next(const struct btree *t, struct btree_iter *it)
{
    void **elem = it->t == NULL ? btree_begin((struct btree *)t, it) : btree_next(it);
    return elem != NULL ? *elem : NULL;
}

/* A structure with its name behind it. */
static void *new_named(size_t size, struct slice name, struct slice *own)
{
    uint8_t *p = mem_zalloc(size + name.len);
    if (name.len > 0)
        memcpy(p + size, name.p, name.len);
    *own = slice_of(p + size, name.len);
    return p;
}

static size_t group_memory(const struct stream_group *g)
{
    return mem_class(sizeof(*g) + g->name.len) + btree_memory(g->pending) + btree_memory(g->consumers);
}

static size_t consumer_memory(const struct stream_consumer *c)
{
    return mem_class(sizeof(*c) + c->name.len) + btree_memory(c->ids);
}

/* --- groups --- */

struct stream_group *stream_group_find(const struct stream *s, struct slice name)
{
    return s->groups != NULL ? find(s->groups, name, cmp_group) : NULL;
}

struct stream_group *stream_group_add(struct stream *s, struct slice name, struct stream_id last, int64_t read)
{
    struct slice own;
    if (s->groups == NULL)
        s->groups = btree_new(&groups_type, NULL);
    if (stream_group_find(s, name) != NULL)
        return NULL;
    struct stream_group *g = new_named(sizeof(*g), name, &own);
    *g = (struct stream_group){
        .last = last,
        .read = read,
        .pending = btree_new(&pending_type, NULL),
        .consumers = btree_new(&consumers_type, NULL),
        .name = own,
    };
    btree_insert(s->groups, &g, &g->name);
    s->memory += group_memory(g);
    return g;
}

static void free_consumer(struct stream *s, struct stream_consumer *c)
{
    s->memory -= consumer_memory(c);
    s->consumers--;
    btree_free(c->ids);
    mem_free(c, sizeof(*c) + c->name.len);
}

static void free_group(struct stream *s, struct stream_group *g)
{
    struct btree_iter it = {0};
    for (struct stream_consumer *c; (c = stream_consumer_next(g, &it)) != NULL;)
        free_consumer(s, c);
    s->memory -= group_memory(g);
    s->pending -= btree_count(g->pending);
    btree_free(g->consumers);
    btree_free(g->pending);
    mem_free(g, sizeof(*g) + g->name.len);
}

void stream_group_remove(struct stream *s, struct stream_group *g)
{
    btree_erase(s->groups, &g->name, NULL);
    free_group(s, g);
}

uint64_t stream_groups(const struct stream *s) { return s->groups != NULL ? btree_count(s->groups) : 0; }

struct stream_group *stream_group_next(const struct stream *s, struct btree_iter *it)
{
    return s->groups != NULL ? next(s->groups, it) : NULL;
}

/* --- how far a group has read --- */

/* Whether an entry was deleted from `from` on, but not by trimming. */
static bool has_gaps(const struct stream *s, struct stream_id from)
{
    if (s->length == 0 || stream_id_zero(s->max_deleted) || stream_id_cmp(s->first, s->max_deleted) > 0)
        return false;
    return stream_id_cmp(from, s->max_deleted) <= 0;
}

/* How many entries were added up to this id; STREAM_READ_UNKNOWN if deletions hide it. */
static int64_t added_up_to(const struct stream *s, struct stream_id id)
{
    int64_t added = (int64_t)s->added, trimmed = (int64_t)(s->added - s->length);
    int to_last = stream_id_cmp(id, s->last), to_first = stream_id_cmp(id, s->first);
    if (s->added == 0)
        return 0;
    if (to_last == 0 || (s->length == 0 && to_last < 0))
        return added >= 0 ? added : STREAM_READ_UNKNOWN;
    if (!stream_id_zero(id) && stream_id_cmp(id, s->max_deleted) < 0)
        return STREAM_READ_UNKNOWN;
    if (to_last > 0 || to_first > 0)
        return STREAM_READ_UNKNOWN;
    if (!stream_id_zero(s->max_deleted) && stream_id_cmp(s->max_deleted, s->first) >= 0)
        return STREAM_READ_UNKNOWN;
    return trimmed >= 0 && trimmed < INT64_MAX ? trimmed + (to_first == 0) : STREAM_READ_UNKNOWN;
}

void stream_group_advance(const struct stream *s, struct stream_group *g, struct stream_id id)
{
    if (stream_id_cmp(id, g->last) <= 0)
        return;
    bool known = g->read != STREAM_READ_UNKNOWN && g->read != INT64_MAX;
    if (known && stream_id_cmp(g->last, s->first) >= 0 && !has_gaps(s, g->last))
        g->read++;
    else if (s->added > 0)
        g->read = added_up_to(s, id);
    g->last = id;
}

bool stream_group_lag(const struct stream *s, const struct stream_group *g, int64_t *lag)
{
    int64_t read = g->read;
    *lag = (int64_t)s->length;
    if (s->length == 0)
        return true;
    /* All that is there is ahead, and no deletion is between. */
    if (stream_id_cmp(g->last, s->first) < 0 && stream_id_cmp(s->max_deleted, s->first) < 0)
        return true;
    if (read == STREAM_READ_UNKNOWN || has_gaps(s, g->last))
        read = added_up_to(s, g->last);
    *lag = (int64_t)(s->added - (uint64_t)read);
    return read != STREAM_READ_UNKNOWN;
}

/* --- consumers --- */

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct slice name)
{
    return find(g->consumers, name, cmp_consumer);
}

struct stream_consumer *stream_consumer_add(struct stream *s, struct stream_group *g, struct slice name, int64_t now_ms)
{
    struct slice own;
    struct stream_consumer *c = new_named(sizeof(*c), name, &own);
    size_t was = btree_memory(g->consumers);
    *c = (struct stream_consumer){
        .seen_ms = now_ms,
        .active_ms = -1,
        .ids = btree_new(&ids_type, NULL),
        .name = own,
    };
    btree_insert(g->consumers, &c, &c->name);
    s->memory += btree_memory(g->consumers) - was + consumer_memory(c);
    s->consumers++;
    return c;
}

void stream_consumer_remove(struct stream *s, struct stream_group *g, struct stream_consumer *c)
{
    struct btree_iter it;
    size_t was = btree_memory(g->consumers) + btree_memory(g->pending);
    for (const struct stream_id *id = btree_begin(c->ids, &it); id != NULL; id = btree_next(&it))
        btree_erase(g->pending, id, NULL);
    s->pending -= btree_count(c->ids);
    btree_erase(g->consumers, &c->name, NULL);
    s->memory += btree_memory(g->consumers) + btree_memory(g->pending) - was;
    free_consumer(s, c);
}

struct stream_consumer *stream_consumer_next(const struct stream_group *g, struct btree_iter *it)
{
    return next(g->consumers, it);
}

/* --- what is pending --- */

static struct stream_pending *seek_pending(const struct stream_group *g, struct stream_id id, struct btree_iter *it)
{
    struct stream_pending *p = btree_seek_ge(g->pending, &id, it);
    return p != NULL && stream_id_cmp(p->id, id) == 0 ? p : NULL;
}

struct stream_pending *stream_pending_find(const struct stream_group *g, struct stream_id id)
{
    struct btree_iter it;
    return seek_pending(g, id, &it);
}

static void own(struct stream *s, struct stream_consumer *c, struct stream_id id)
{
    size_t was = btree_memory(c->ids);
    btree_insert(c->ids, &id, &id);
    s->memory += btree_memory(c->ids) - was;
}

static void disown(struct stream *s, struct stream_consumer *c, struct stream_id id)
{
    size_t was = btree_memory(c->ids);
    ensure(btree_erase(c->ids, &id, NULL));
    s->memory += btree_memory(c->ids) - was;
}

struct stream_pending *stream_pending_assign(struct stream *s, struct stream_group *g, struct stream_id id,
                                             struct stream_consumer *c)
{
    struct btree_iter it;
    struct stream_pending *p = seek_pending(g, id, &it), fresh = {.id = id, .consumer = c};
    if (p != NULL && p->consumer == c)
        return p;
    if (p != NULL) {
        disown(s, p->consumer, id);
        p->consumer = c;
    } else {
        size_t was = btree_memory(g->pending);
        btree_insert_at(&it, &fresh);
        p = btree_at(&it);
        s->memory += btree_memory(g->pending) - was;
        s->pending++;
    }
    own(s, c, id);
    return p;
}

bool stream_pending_remove(struct stream *s, struct stream_group *g, struct stream_id id)
{
    struct btree_iter it;
    struct stream_pending *p = seek_pending(g, id, &it);
    if (p == NULL)
        return false;
    disown(s, p->consumer, id);
    size_t was = btree_memory(g->pending);
    btree_erase_at(&it);
    s->memory += btree_memory(g->pending) - was;
    s->pending--;
    return true;
}

void stream_pending_append(struct stream *s, struct stream_group *g, const struct stream_pending *p)
{
    size_t was = btree_memory(g->pending);
    btree_append(g->pending, p);
    s->memory += btree_memory(g->pending) - was;
    s->pending++;
}

void stream_consumer_append(struct stream *s, struct stream_consumer *c, struct stream_id id)
{
    size_t was = btree_memory(c->ids);
    btree_append(c->ids, &id);
    s->memory += btree_memory(c->ids) - was;
}

/* --- for the class --- */

static void copy_consumers(struct stream *to, struct stream_group *group, const struct stream_group *from)
{
    struct btree_iter it = {0}, ids;
    for (const struct stream_consumer *c; (c = stream_consumer_next(from, &it)) != NULL;) {
        struct stream_consumer *copy = stream_consumer_add(to, group, c->name, c->seen_ms);
        copy->active_ms = c->active_ms;
        for (const struct stream_id *id = btree_begin(c->ids, &ids); id != NULL; id = btree_next(&ids))
            stream_consumer_append(to, copy, *id);
    }
}

void stream_groups_copy(struct stream *to, const struct stream *from)
{
    struct btree_iter it = {0}, pending;
    for (const struct stream_group *g; (g = stream_group_next(from, &it)) != NULL;) {
        struct stream_group *copy = stream_group_add(to, g->name, g->last, g->read);
        copy_consumers(to, copy, g);
        for (struct stream_pending *p = btree_begin(g->pending, &pending); p != NULL; p = btree_next(&pending)) {
            struct stream_pending c = *p;
            c.consumer = stream_consumer_find(copy, p->consumer->name);
            stream_pending_append(to, copy, &c);
        }
    }
}

void stream_groups_release(struct stream *s)
{
    struct btree_iter it = {0};
    for (struct stream_group *g; (g = stream_group_next(s, &it)) != NULL;)
        free_group(s, g);
    if (s->groups != NULL)
        btree_free(s->groups);
}

size_t stream_groups_memory(const struct stream *s) { return s->groups != NULL ? btree_memory(s->groups) : 0; }

static size_t validate_group(const struct stream_group *g)
{
    struct btree_iter it = {0}, ids;
    size_t bytes = group_memory(g);
    uint64_t pending = 0;
    btree_validate(g->pending);
    btree_validate(g->consumers);
    for (const struct stream_consumer *c; (c = stream_consumer_next(g, &it)) != NULL;) {
        bytes += consumer_memory(c);
        btree_validate(c->ids);
        for (const struct stream_id *id = btree_begin(c->ids, &ids); id != NULL; id = btree_next(&ids), pending++)
            ensure(stream_pending_find(g, *id)->consumer == c);
    }
    ensure(pending == btree_count(g->pending));
    return bytes;
}

size_t stream_groups_validate(const struct stream *s)
{
    struct btree_iter it = {0};
    size_t bytes = 0;
    uint64_t pending = 0, consumers = 0;
    for (const struct stream_group *g; (g = stream_group_next(s, &it)) != NULL;) {
        bytes += validate_group(g);
        pending += btree_count(g->pending);
        consumers += btree_count(g->consumers);
    }
    ensure(pending == s->pending && consumers == s->consumers);
    return bytes;
}
