/* Random changes of a list in all its forms, against an array of texts: contents from both ends and from any index,
 * encodings in parts, copies, and the accounts agree after every step. The limits are so low that nodes split and join
 * all the time, and change now and then. */
#include "core/value/list.h"

#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "tests/sim/tap.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAX 3000

static struct slice model[MAX];
static size_t n;
static struct rng rng;
static struct value_limits limits;
static struct value list;

static uint64_t below(uint64_t limit) { return rng_below(&rng, limit); }

/* --- the model --- */

/* Few different ones, so that they repeat; some that fill a node, some that are too large for one. */
static struct slice random_text(void)
{
    size_t len = below(60) == 0 ? below(20000) : below(4) == 0 ? below(300) : below(4);
    char *text = malloc(len + NUM_I64_MAX);
    if (below(3) == 0) {
        len = num_format_i64(text, (int64_t)below(5) << below(50));
        return slice_of(text, len);
    }
    for (size_t i = 0; i < len; i++)
        text[i] = "ab"[below(2)];
    return slice_of(text, len);
}

static void model_erase(size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        free((void *)model[i].p);
    memmove(model + at, model + at + count, (n - at - count) * sizeof(*model));
    n -= count;
}

static void model_insert(size_t at, struct slice s)
{
    memmove(model + at + 1, model + at, (n - at) * sizeof(*model));
    model[at] = s;
    n++;
}

static size_t model_remove(struct slice s, uint64_t most, bool back)
{
    size_t removed = 0;
    for (size_t i = 0, at = back ? n : 0; i < n + removed && removed < most; i++) {
        at -= back;
        if (slice_eq(model[at], s)) {
            model_erase(at, 1);
            removed++;
        } else {
            at += !back;
        }
    }
    return removed;
}

/* --- steps --- */

/* Now and then as a blob, which the list may keep. */
static void put(void (*op)(const struct list_item *item), struct slice s)
{
    struct list_item item = {.bytes = s};
    if (below(2))
        item.blob = blob_copy(s, s.len);
    if (item.blob != NULL)
        item.bytes = blob_slice(item.blob);
    op(&item);
    if (item.blob != NULL)
        blob_unref(item.blob);
}

static size_t where;
static enum list_end end;
static void do_push(const struct list_item *item) { list_push(&list, end, item, &limits); }
static void do_insert(const struct list_item *item) { list_insert(&list, where, item, &limits); }
static void do_set(const struct list_item *item) { list_set(&list, where, item, &limits); }

static void push(void)
{
    struct slice s = random_text();
    end = below(2) ? LIST_HEAD : LIST_TAIL;
    put(do_push, s);
    model_insert(end == LIST_HEAD ? 0 : n, s);
}

static void insert(void)
{
    struct slice s = random_text();
    where = below(n + 1);
    put(do_insert, s);
    model_insert(where, s);
}

static void set(void)
{
    where = below(n);
    free((void *)model[where].p);
    model[where] = random_text();
    put(do_set, model[where]);
}

static void erase(void)
{
    size_t at = below(4) ? below(n) : 0, count = below(150) ? below(min_u64(n - at, 5)) + 1 : below(n - at) + 1;
    if (below(4) == 0)
        at = n - count;
    list_erase(&list, at, count, &limits);
    model_erase(at, count);
}

static void pop(void)
{
    size_t at = below(2) ? 0 : n - 1;
    list_erase(&list, at, 1, &limits);
    model_erase(at, 1);
}

static void remove_some(void)
{
    struct slice s = random_text();
    uint64_t most = below(2) ? below(4) : UINT64_MAX;
    bool back = below(2);
    uint64_t removed = list_remove(&list, s, most, back, &limits);
    ensure(removed == model_remove(s, most, back));
    free((void *)s.p);
}

static void change_limits(void)
{
    static const int sizes[] = {-1, -1, -2, 0, 1, 2, 3, 10, 50, 300};
    limits.list_max_listpack_size = sizes[below(ARRAY_LEN(sizes))];
}

/* --- checks --- */

static void check_iter(const struct value *v, size_t from, bool back, size_t most)
{
    struct list_iter it;
    struct pack_item item;
    list_iter_init(&it, v, from, back);
    for (size_t i = from; most-- > 0 && i < n; i += back ? (size_t)-1 : 1) {
        ensure(list_iter_next(&it, &item) && pack_equals(item, model[i]));
        ensure(it.blob == NULL || it.blob->data == item.bytes.p);
    }
    if (most == SIZE_MAX - n)
        ensure(!list_iter_next(&it, &item));
}

static void check_same(const struct value *v)
{
    list_validate(v);
    ensure(list_count(v) == n);
    check_iter(v, 0, false, n);
}

static void check_codec(void)
{
    struct buf parts = {0}, whole = {0};
    struct value read, before = list;
    uint64_t cursor = 0;
    uint8_t type;
    do
        type = list_class.encode(&list, &cursor, &parts, below(3000) + 1);
    while (cursor != 0);
    value_encode(&list, &whole);
    ensure(whole.p[0] == type && slice_eq(buf_slice(&parts), slice_of(whole.p + 1, whole.len - 1)));
    int error = value_decode(buf_slice(&whole), &limits, &read);
    ensure((error == 0) == (n > 0));
    if (error == 0) {
        check_same(&read);
        list_class.release(&read);
    }
    ensure(memcmp(&before, &list, sizeof(list)) == 0);
    buf_free(&parts);
    buf_free(&whole);
}

static void check(void)
{
    list_validate(&list);
    ensure(list_count(&list) == n && list_class.length(&list) == n);
    check_iter(&list, below(n + 2), below(2), below(50));
    if (below(20) == 0) {
        check_same(&list);
        check_iter(&list, n - 1, true, n);
        check_codec();
        struct value copy = list_class.copy(&list);
        check_same(&copy);
        list_class.release(&copy);
    }
}

static void step(size_t target)
{
    size_t choice = below(20);
    if (n == 0 || (n < MAX && choice < (n < target ? 11 : 3)))
        (below(2) ? push : insert)();
    else if (choice < 12)
        set();
    else if (choice < 17)
        (below(3) ? pop : erase)();
    else if (choice == 17 && below(50) == 0)
        remove_some();
    else if (choice == 18 && below(20) == 0)
        change_limits();
}

static bool forms_seen[2];

static void play(size_t steps, size_t target)
{
    limits = value_limits_default;
    list = list_class.empty();
    change_limits();
    for (size_t i = 0; i < steps; i++) {
        step(target);
        check();
        forms_seen[list.encoding != ENC_PACK] = true;
    }
    list_erase(&list, 0, n, &limits);
    model_erase(0, n);
    ensure(list_count(&list) == 0 && list.encoding == ENC_PACK);
    list_class.release(&list);
}

/* Bytes that no list has. */
static void refuses(const char *what, const char *bytes, size_t len)
{
    struct value v;
    ok(value_decode(slice_of(bytes, len), &value_limits_default, &v) < 0, "refused: %s", what);
}
#define REFUSES(what, bytes) refuses(what, bytes, sizeof(bytes) - 1)

int main(void)
{
    uint64_t seed = tap_seed();
    rng_seed(&rng, seed);
    for (size_t i = 0; i < 60; i++)
        play(3000, i % 3 == 0 ? MAX : 40);
    ok(forms_seen[0] && forms_seen[1], "both forms were seen (seed %" PRIu64 ")", seed);
    REFUSES("no items", "\x01\x00");
    REFUSES("no nodes", "\x12\x00");
    REFUSES("an empty pack alone", "\x12\x01\x02\x07\x07\0\0\0\0\0\xff");
    REFUSES("a container that does not exist", "\x12\x01\x03\x01x");
    REFUSES("a pack that is none", "\x12\x01\x02\x01x");
    REFUSES("fewer items than announced", "\x01\x02\x01x");
    REFUSES("more nodes than announced", "\x12\x01\x01\x01x\x01\x01x");
    REFUSES("a length that is a special string", "\x01\xc0\x01\x01x");
    return tap_done();
}
