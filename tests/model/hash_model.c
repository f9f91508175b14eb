/* A hash against an array: random changes and reads, with deadlines and a clock that goes on, under limits so low that
 * packs become tables all the time. After every step the hash is valid and the touched field agrees, and every so often
 * all of it, a copy, and what encodings in parts are read back as. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/value/hash.h"
#include "tests/sim/tap.h"

#define FIELDS 300
#define LONGEST 40

struct field {
    uint8_t name[LONGEST], value[400];
    size_t name_len, value_len;
    int64_t deadline;
    bool in;
    unsigned seen;
};

static struct field fields[FIELDS];
static size_t range; /* of fields in use */
static struct value hash;
static struct value_limits limits;
static struct rng rng;
static int64_t now_ms;
static bool expires; /* in this round there are deadlines */
static bool longs;   /* and values that no pack takes */

static bool one_in(uint64_t n) { return rng_below(&rng, n) == 0; }
static struct slice name_of(const struct field *f) { return slice_of(f->name, f->name_len); }
static struct slice value_of(const struct field *f) { return slice_of(f->value, f->value_len); }
static struct field *any_field(void) { return &fields[rng_below(&rng, range)]; }
static bool stale(const struct field *f) { return f->deadline != HASH_NO_DEADLINE && f->deadline <= now_ms; }
static bool visible(const struct field *f) { return f->in && !stale(f); }
static enum hash_was state(const struct field *f) { return !f->in ? HASH_MISSING : stale(f) ? HASH_STALE : HASH_THERE; }

static size_t count(bool (*wanted)(const struct field *f))
{
    size_t n = 0;
    for (size_t i = 0; i < range; i++)
        n += wanted(&fields[i]);
    return n;
}

static bool is_in(const struct field *f) { return f->in; }
static bool is_due(const struct field *f) { return f->in && stale(f); }

static struct field *find(struct slice name)
{
    for (size_t i = 0; i < range; i++)
        if (slice_eq(name_of(&fields[i]), name))
            return &fields[i];
    panic("a field that nobody has put there");
}

/* --- checks --- */

static void check_field(const struct field *f)
{
    char scratch[PACK_TEXT_MAX];
    struct slice value;
    int64_t deadline;
    ensure(hash_get(&hash, name_of(f), now_ms, scratch, &value) == visible(f));
    ensure(!visible(f) || slice_eq(value, value_of(f)));
    ensure(hash_get(&hash, name_of(f), HASH_TIMELESS, scratch, &value) == f->in);
    ensure(hash_deadline(&hash, name_of(f), now_ms, &deadline) == state(f));
    ensure(deadline == (f->in ? f->deadline : HASH_NO_DEADLINE));
}

static void see(void *arg, struct slice name, struct slice value)
{
    struct field *f = find(name);
    ensure(visible(f) && slice_eq(value, value_of(f)));
    f->seen++;
    (void)arg;
}

static void check_seen(void)
{
    for (size_t i = 0; i < range; i++) {
        ensure(fields[i].seen == (visible(&fields[i]) ? 1 : 0));
        fields[i].seen = 0;
    }
}

static void check_iteration(const struct value *v)
{
    struct hash_iter it;
    hash_iter_init(&it, v, now_ms);
    while (hash_iter_next(&it)) {
        see(NULL, it.field, it.value);
        ensure(it.deadline == find(it.field)->deadline);
    }
    check_seen();
}

static void check_scan(void)
{
    uint64_t cursor = 0, met = 0;
    do
        cursor = hash_scan(&hash, cursor, now_ms, &met, see, NULL);
    while (cursor != 0);
    check_seen();
    ensure(met >= count(visible));
}

static void check_next_deadline(void)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < range; i++)
        if (fields[i].in && fields[i].deadline != HASH_NO_DEADLINE && fields[i].deadline < first)
            first = fields[i].deadline;
    ensure(hash_next_deadline(&hash) == (first == INT64_MAX ? HASH_NO_DEADLINE : first));
}

static void check_random(void)
{
    struct hash_iter it;
    bool there = hash_random(&hash, &rng, now_ms, &it);
    ensure(there == (count(visible) > 0));
    if (there)
        ensure(visible(find(it.field)) && slice_eq(it.value, value_of(find(it.field))));
}

static void mix(void *arg, struct slice s) { buf_append_slice(arg, s); }

static bool same_digest(const struct value *a, const struct value *b)
{
    struct buf da = {0}, db = {0};
    hash_class.digest(a, mix, &da);
    hash_class.digest(b, mix, &db);
    bool same = slice_eq(buf_slice(&da), buf_slice(&db));
    buf_free(&da);
    buf_free(&db);
    return same;
}

static void check_copy(void)
{
    struct value copy = hash_class.copy(&hash);
    hash_validate(&copy, &limits);
    check_iteration(&copy);
    ensure(same_digest(&copy, &hash));
    hash_class.release(&copy);
}

static uint8_t encode_in_parts(struct buf *out)
{
    uint64_t cursor = 0;
    uint8_t type, first = 0;
    size_t budget = 1 + rng_below(&rng, 3000);
    do {
        size_t had = out->len;
        type = hash_class.encode(&hash, &cursor, out, budget);
        ensure(first == 0 || first == type);
        ensure(cursor == 0 || out->len - had >= budget);
        first = type;
    } while (cursor != 0);
    return type;
}

/* In a block of just its size, so that a sanitizer sees a look behind it. Cut short, it is refused. */
static void check_codec(void)
{
    struct buf out = {0};
    struct value back;
    if (count(is_in) == 0)
        return;
    uint8_t type = encode_in_parts(&out);
    uint8_t *exact = malloc(out.len);
    memcpy(exact, out.p, out.len);
    ensure((type == 24 || type == 25) == (hash_next_deadline(&hash) != HASH_NO_DEADLINE));
    ensure(hash_class.reads(type) && hash_class.decode(type, slice_of(exact, out.len), &limits, &back) == 0);
    hash_validate(&back, &limits);
    check_iteration(&back);
    ensure(same_digest(&back, &hash));
    hash_class.release(&back);
    size_t cut = rng_below(&rng, out.len);
    ensure(hash_class.decode(type, slice_of(exact, cut), &limits, &back) < 0);
    free(exact);
    buf_free(&out);
}

static void check_contents(void)
{
    for (size_t i = 0; i < range; i++)
        check_field(&fields[i]);
    ensure(hash_length(&hash, now_ms) == count(visible) && hash_class.length(&hash) == count(is_in));
    check_iteration(&hash);
    check_scan();
    check_random();
    check_next_deadline();
    check_copy();
    check_codec();
}

static size_t embedded; /* checks of the form that entries have */

static void check_embedded(void)
{
    uint8_t room[8 + VALUE_EMBED_MAX];
    struct value whole = hash;
    if (hash.encoding != ENC_PACK || pack_bytes(hash.ptr) > VALUE_EMBED_MAX)
        return;
    struct slice bytes = slice_of(room + 8, hash_class.embed(hash.ptr, room + 8));
    uint8_t *again = hash_class.unembed(bytes);
    ensure(bytes.len < pack_bytes(hash.ptr) && slice_eq(pack_slice(again), pack_slice(hash.ptr)));
    pack_free(again);
    hash = (struct value){.type = VALUE_HASH, .encoding = ENC_EMBED, .embed = bytes};
    check_contents();
    hash = whole;
    embedded++;
}

static void check_all(void)
{
    check_contents();
    check_embedded();
}

/* --- changes --- */

/* Integers, short strings, and now and then what a pack does not take. */
static size_t random_bytes(uint8_t *out, size_t most)
{
    if (one_in(3)) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%lld", (long long)(rng_u64(&rng) >> rng_below(&rng, 64)));
        memcpy(out, text, (size_t)n);
        return (size_t)n;
    }
    size_t len = rng_below(&rng, (size_t)limits.hash_max_listpack_value);
    if (longs && one_in(40))
        len = rng_below(&rng, most);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)rng_u64(&rng);
    return len;
}

static void set(struct field *f)
{
    enum hash_keep keep = one_in(2) ? HASH_KEEP_DEADLINE : HASH_CLEAR_DEADLINE;
    enum hash_was was = state(f);
    f->value_len = random_bytes(f->value, sizeof(f->value));
    ensure(hash_set(&hash, name_of(f), value_of(f), now_ms, keep, &limits) == was);
    f->in = true;
    if (was != HASH_THERE || keep == HASH_CLEAR_DEADLINE)
        f->deadline = HASH_NO_DEADLINE;
}

static void erase(struct field *f)
{
    ensure(hash_delete(&hash, name_of(f), now_ms) == state(f));
    f->in = false;
    f->deadline = HASH_NO_DEADLINE;
}

static void set_deadline(struct field *f)
{
    if (!f->in || !expires)
        return;
    f->deadline = one_in(3) ? HASH_NO_DEADLINE : now_ms + 1 + (int64_t)rng_below(&rng, 200);
    hash_set_deadline(&hash, name_of(f), f->deadline);
}

static int64_t last_expired;

static size_t allowed;

static bool expired(void *arg, struct slice name)
{
    struct field *f = find(name);
    (void)arg;
    ensure(is_due(f) && f->deadline >= last_expired);
    last_expired = f->deadline;
    f->in = false;
    f->deadline = HASH_NO_DEADLINE;
    return --allowed > 0;
}

static void expire(void)
{
    size_t due = count(is_due), max = rng_below(&rng, 20);
    allowed = 1 + rng_below(&rng, 20);
    size_t goes = min_u64(due, min_u64(max, allowed));
    last_expired = 0;
    ensure(hash_expire(&hash, now_ms, max, expired, NULL) == goes);
    ensure(count(is_due) == due - goes);
}

static void step(void)
{
    struct field *f = any_field();
    switch (rng_below(&rng, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        set(f);
        break;
    case 5:
    case 6:
    case 7:
        erase(f);
        break;
    case 8:
    case 9:
        set_deadline(f);
        break;
    case 10:
        now_ms += (int64_t)rng_below(&rng, 10);
        check_random();
        break;
    default:
        expire();
    }
    hash_validate(&hash, &limits);
    check_field(f);
}

/* Names all differ; some spell integers. */
static void name_fields(void)
{
    for (size_t i = 0; i < FIELDS; i++) {
        struct field *f = &fields[i];
        char text[LONGEST];
        int n = snprintf(text, sizeof(text), i % 3 == 0 ? "%zu" : i % 3 == 1 ? "field %zu" : "-%zu", i * i + 1);
        *f = (struct field){.name_len = (size_t)n, .deadline = HASH_NO_DEADLINE};
        memcpy(f->name, text, (size_t)n);
    }
}

static void round_of(int steps)
{
    bool was_table = false;
    limits = value_limits_default;
    limits.hash_max_listpack_entries = (int)rng_below(&rng, 40);
    limits.hash_max_listpack_value = 20 + (int)rng_below(&rng, 30);
    range = one_in(2) ? 1 + rng_below(&rng, 20) : FIELDS;
    expires = !one_in(3);
    longs = one_in(2);
    now_ms = 1000;
    name_fields();
    hash = hash_class.empty();
    for (int i = 0; i < steps; i++) {
        step();
        was_table |= hash_in_table(&hash);
        if (i % 50 == 0)
            check_all();
    }
    check_all();
    for (size_t i = 0; i < range; i++)
        erase(&fields[i]);
    hash_validate(&hash, &limits);
    ensure(hash_class.length(&hash) == 0 && hash_class.memory(&hash) < 3000);
    hash_class.release(&hash);
    ok(true, "%d steps on %zu fields, packs of up to %d fields of up to %d bytes%s%s", steps, range,
       limits.hash_max_listpack_entries, limits.hash_max_listpack_value, was_table ? ", a table" : "",
       expires ? ", with deadlines" : "");
}

/* Each of a few fields is picked about as often as the others. */
static void picks_evenly(int n, int entries)
{
    unsigned least = UINT32_MAX, most = 0;
    limits = value_limits_default;
    limits.hash_max_listpack_entries = entries;
    range = (size_t)n;
    name_fields();
    now_ms = 1000;
    hash = hash_class.empty();
    for (int i = 0; i < n; i++)
        set(&fields[i]);
    for (int i = 0; i < n * 1000; i++) {
        struct hash_iter it;
        hash_random(&hash, &rng, now_ms, &it);
        find(it.field)->seen++;
    }
    for (int i = 0; i < n; i++) {
        least = (unsigned)min_u64(least, fields[i].seen);
        most = (unsigned)max_u64(most, fields[i].seen);
    }
    ok(least > 700 && most < 1300, "%d fields are picked %u to %u times of 1000 each%s", n, least, most,
       hash_in_table(&hash) ? " from a table" : "");
    hash_class.release(&hash);
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    for (int i = 0; i < 30; i++)
        round_of(i % 3 == 0 ? 3000 : 600);
    ok(embedded > 10, "%zu times as entries have it", embedded);
    picks_evenly(5, 128);
    picks_evenly(60, 20);
    return tap_done();
}
