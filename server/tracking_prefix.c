/* Broadcast mode: prefixes, and the names that were changed in a turn. They are sorted when they are sent, so that
 * those with one prefix stand together. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "server/tracking_shard.h"

#define NAMES_KEEP (64 * KIB)

/* --- registrations --- */

/* Where the prefix is, or would be. */
static unsigned place_of(const struct tracking *t, struct slice name)
{
    unsigned lo = 0, hi = t->nprefixes;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (slice_cmp(t->prefixes[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct prefix *prefix_get(struct tracking *t, struct slice name)
{
    unsigned at = place_of(t, name);
    if (at < t->nprefixes && slice_eq(t->prefixes[at].name, name))
        return &t->prefixes[at];
    t->prefixes = mem_room_for_one(t->prefixes, t->nprefixes, &t->prefixes_cap, sizeof(*t->prefixes), 8);
    memmove(t->prefixes + at + 1, t->prefixes + at, sizeof(*t->prefixes) * (t->nprefixes++ - at));
    uint8_t *copy = mem_alloc(name.len);
    if (name.len > 0)
        memcpy(copy, name.p, name.len);
    t->prefixes[at] = (struct prefix){.name = slice_of(copy, name.len)};
    return &t->prefixes[at];
}

static void prefix_free(struct prefix *p)
{
    mem_free((void *)p->name.p, p->name.len);
    mem_free(p->listeners, sizeof(*p->listeners) * p->cap);
}

static void listen(struct prefix *p, struct listener_of listener)
{
    p->listeners = mem_room_for_one(p->listeners, p->n, &p->cap, sizeof(*p->listeners), 4);
    p->listeners[p->n++] = listener;
}

void prefixes_add(struct tracking *t, const struct words *names, struct listener_of listener)
{
    for (int i = 0; i < names->n; i++)
        listen(prefix_get(t, names->at[i]), listener);
}

void prefixes_drop(struct tracking *t, uint64_t number, uint32_t registration)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < t->nprefixes; i++) {
        struct prefix p = t->prefixes[i];
        unsigned n = 0;
        for (unsigned k = 0; k < p.n; k++)
            if (p.listeners[k].number != number || p.listeners[k].registration > registration)
                p.listeners[n++] = p.listeners[k];
        p.n = n;
        if (n > 0)
            t->prefixes[kept++] = p;
        else
            prefix_free(&p);
    }
    t->nprefixes = kept;
}

void prefixes_free(struct tracking *t)
{
    for (unsigned i = 0; i < t->nprefixes; i++)
        prefix_free(&t->prefixes[i]);
    mem_free(t->prefixes, sizeof(*t->prefixes) * t->prefixes_cap);
    mem_free(t->changed, sizeof(*t->changed) * t->changed_cap);
    buf_free(&t->names);
}

/* --- names --- */

void prefixes_collect(struct tracking *t, struct slice name, uint64_t by)
{
    struct changed_name *last = t->nchanged > 0 ? &t->changed[t->nchanged - 1] : NULL;
    if (last != NULL && slice_eq(slice_of(t->names.p + last->at, last->name.len), name)) {
        last->by = by; /* a list that is filled, a counter */
        return;
    }
    t->changed = mem_room_for_one(t->changed, t->nchanged, &t->changed_cap, sizeof(*t->changed), 16);
    t->changed[t->nchanged++] = (struct changed_name){.name.len = name.len, .at = t->names.len, .by = by};
    buf_append_slice(&t->names, name);
}

static int by_name(const void *a, const void *b)
{
    const struct changed_name *x = a, *y = b;
    int order = slice_cmp(x->name, y->name);
    return order != 0 ? order : x->at < y->at ? -1 : x->at > y->at;
}

/* In order, each name once, as it was changed last. */
static unsigned sort_names(struct tracking *t)
{
    unsigned n = 0;
    for (unsigned i = 0; i < t->nchanged; i++)
        t->changed[i].name.p = t->names.p + t->changed[i].at;
    qsort(t->changed, t->nchanged, sizeof(*t->changed), by_name);
    for (unsigned i = 0; i < t->nchanged; i++) {
        if (n > 0 && slice_eq(t->changed[n - 1].name, t->changed[i].name))
            n--;
        t->changed[n++] = t->changed[i];
    }
    return n;
}

static bool begins_with(struct slice name, struct slice prefix)
{
    return name.len >= prefix.len && slice_eq(slice_of(name.p, prefix.len), prefix);
}

/* The first name that is not before the prefix. */
static unsigned first_with(const struct tracking *t, unsigned n, struct slice prefix)
{
    unsigned lo = 0, hi = n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (slice_cmp(t->changed[mid].name, prefix) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* --- messages --- */

/* What of `changed` a client gets that does not want to hear of what it did itself; id 0: all. NULL: nothing. */
static struct blob *message_without(const struct changed_name *changed, unsigned n, uint64_t id)
{
    struct slice few[64], *names = n <= ARRAY_LEN(few) ? few : mem_alloc(sizeof(*names) * n);
    unsigned wanted = 0;
    for (unsigned i = 0; i < n; i++)
        if (id == 0 || changed[i].by != id)
            names[wanted++] = changed[i].name;
    struct blob *b = wanted > 0 ? invalidation_of(names, wanted) : NULL;
    if (names != few)
        mem_free(names, sizeof(*names) * n);
    return b;
}

static void send_prefix(struct shard *here, const struct prefix *p, const struct changed_name *changed, unsigned n)
{
    struct push all = {.bytes = message_without(changed, n, 0)};
    for (unsigned i = 0; i < p->n; i++) {
        const struct listener_of *l = &p->listeners[i];
        struct push m = all;
        if (l->noloop)
            m.bytes = message_without(changed, n, number_id(l->number));
        if (m.bytes != NULL)
            invalidation_send(here, l->number, INVALIDATE_PREFIX, &m);
        if (l->noloop && m.bytes != NULL)
            blob_unref(m.bytes);
    }
    blob_unref(all.bytes);
}

void tracking_broadcast(struct shard *here)
{
    struct tracking *t = here->tracking;
    if (likely(t == NULL || t->nchanged == 0))
        return;
    unsigned n = sort_names(t);
    for (unsigned i = 0; i < t->nprefixes; i++) {
        unsigned first = first_with(t, n, t->prefixes[i].name), end = first;
        while (end < n && begins_with(t->changed[end].name, t->prefixes[i].name))
            end++;
        if (end > first)
            send_prefix(here, &t->prefixes[i], t->changed + first, end - first);
    }
    t->nchanged = 0;
    buf_reset(&t->names, NAMES_KEEP);
}
