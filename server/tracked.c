#include "server/tracked.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/ds/intset.h"
#include "core/ds/table.h"

#define FREED_AT_ONCE 256

struct tracked {
    struct table *names;
    uint64_t numbers;
};

/* `ids` is the only number, shifted left with its lowest bit set, or the address of an intset of several. */
struct item {
    uint64_t hash;
    uintptr_t ids;
    uint32_t len;
    uint8_t name[];
};

static uint64_t item_hash(const void *item, void *arg)
{
    (void)arg;
    return ((const struct item *)item)->hash;
}

static const struct table_type names_type = {.hash = item_hash};

/* --- numbers --- */

static uintptr_t only(uint64_t who) { return (uintptr_t)(who << 1 | 1); }
static bool is_only(const struct item *i) { return i->ids & 1; }
static uint8_t *set_of(const struct item *i) { return (uint8_t *)i->ids; }
static uint32_t count(const struct item *i) { return is_only(i) ? 1 : intset_count(set_of(i)); }

static bool add_number(struct item *i, uint64_t who)
{
    bool added;
    if (i->ids == only(who))
        return false;
    if (is_only(i)) {
        uint8_t *s = intset_add(intset_new(), (int64_t)(i->ids >> 1), &added);
        i->ids = (uintptr_t)s;
    }
    i->ids = (uintptr_t)intset_add(set_of(i), (int64_t)who, &added);
    return added;
}

static void tell_all(const struct item *i, void (*tell)(void *arg, uint64_t who), void *arg)
{
    if (is_only(i)) {
        tell(arg, i->ids >> 1);
        return;
    }
    for (uint32_t n = 0; n < intset_count(set_of(i)); n++)
        tell(arg, (uint64_t)intset_at(set_of(i), n));
}

/* --- names --- */

struct tracked *tracked_new(void)
{
    struct tracked *t = mem_zalloc(sizeof(*t));
    t->names = table_new(&names_type, NULL);
    return t;
}

static void item_free(void *arg, void *item)
{
    struct item *i = item;
    (void)arg;
    if (!is_only(i))
        intset_free(set_of(i));
    mem_free(i, sizeof(*i) + i->len);
}

void tracked_free(struct tracked *t)
{
    while (t != NULL && !tracked_free_some(t))
        ;
}

bool tracked_free_some(struct tracked *t)
{
    if (!table_free_some(t->names, FREED_AT_ONCE, item_free, NULL))
        return false;
    mem_free(t, sizeof(*t));
    return true;
}

static struct item *find(struct tracked *t, uint64_t hash, struct slice name)
{
    struct table_probe p;
    for (struct item *i = table_first(t->names, hash, &p); i != NULL; i = table_next(&p))
        if (i->hash == hash && slice_eq(slice_of(i->name, i->len), name))
            return i;
    return NULL;
}

void tracked_add(struct tracked *t, uint64_t hash, struct slice name, uint64_t who)
{
    struct item *i = find(t, hash, name);
    ensure(who < 1ull << 62);
    if (i != NULL) {
        t->numbers += add_number(i, who);
        return;
    }
    i = mem_alloc(sizeof(*i) + name.len);
    i->hash = hash;
    i->ids = only(who);
    i->len = (uint32_t)name.len;
    if (name.len > 0)
        memcpy(i->name, name.p, name.len);
    table_insert(t->names, hash, i);
    t->numbers++;
}

static void take(struct tracked *t, struct item *i, void (*tell)(void *arg, uint64_t who), void *arg)
{
    table_erase(t->names, i->hash, i);
    t->numbers -= count(i);
    tell_all(i, tell, arg);
    item_free(NULL, i);
}

bool tracked_take(struct tracked *t, uint64_t hash, struct slice name, void (*tell)(void *arg, uint64_t who), void *arg)
{
    struct item *i = find(t, hash, name);
    if (i == NULL)
        return false;
    take(t, i, tell, arg);
    return true;
}

bool tracked_take_random(struct tracked *t, struct rng *rng, void (*begin)(void *arg, struct slice name),
                         void (*tell)(void *arg, uint64_t who), void *arg)
{
    struct item *i = table_random(t->names, rng);
    if (i == NULL)
        return false;
    begin(arg, slice_of(i->name, i->len));
    take(t, i, tell, arg);
    return true;
}

uint64_t tracked_names(const struct tracked *t) { return table_count(t->names); }
uint64_t tracked_numbers(const struct tracked *t) { return t->numbers; }

/* --- clients that are gone --- */

#define EMPTIED_MAX 64

struct sweep {
    struct tracked *t;
    const uint8_t *gone;
    struct item *emptied[EMPTIED_MAX]; /* nothing may be erased during a scan */
    unsigned n;
};

/* Of the two sets, the smaller one is gone through. A set of one number left stays an intset. */
static void drop_numbers(struct sweep *s, struct item *i)
{
    uint8_t *ids = set_of(i);
    bool removed;
    if (intset_count(ids) > intset_count(s->gone)) {
        for (uint32_t n = 0; n < intset_count(s->gone); n++) {
            ids = intset_remove(ids, intset_at(s->gone, n), &removed);
            s->t->numbers -= removed;
        }
    } else {
        for (uint32_t n = intset_count(ids); n-- > 0;) {
            int64_t who = intset_at(ids, n);
            if (!intset_find(s->gone, who, NULL))
                continue;
            ids = intset_remove(ids, who, &removed);
            s->t->numbers--;
        }
    }
    i->ids = (uintptr_t)ids;
}

static void sweep_one(void *arg, void *item)
{
    struct sweep *s = arg;
    struct item *i = item;
    if (is_only(i)) {
        if (!intset_find(s->gone, (int64_t)(i->ids >> 1), NULL))
            return;
    } else {
        drop_numbers(s, i);
        if (intset_count(set_of(i)) > 0)
            return;
    }
    if (s->n < EMPTIED_MAX)
        s->emptied[s->n++] = i;
}

static void tell_nobody(void *arg, uint64_t who)
{
    (void)arg;
    (void)who;
}

uint64_t tracked_sweep(struct tracked *t, uint64_t cursor, const uint8_t *gone)
{
    struct sweep s = {.t = t, .gone = gone};
    do {
        s.n = 0;
        uint64_t next = table_scan(t->names, cursor, sweep_one, &s);
        for (unsigned n = 0; n < s.n; n++)
            take(t, s.emptied[n], tell_nobody, NULL);
        if (s.n < EMPTIED_MAX)
            return next;
    } while (true); /* there may have been more in this place */
}
