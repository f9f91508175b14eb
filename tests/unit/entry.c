/* The layout of an entry: each combination of key length, expiry and value keeps its parts, and takes no more bytes
 * than the layout says. */
#include "core/keyspace/entry.h"

#include "tests/sim/tap.h"

static uint8_t bytes[70000];

static const size_t key_lengths[] = {0, 1, 5, 254, 255, 256, 1000, 65536};
static const struct entry_times times_of[] = {
    {ENTRY_NO_EXPIRY, ENTRY_NO_EXPIRY}, {0, ENTRY_NO_EXPIRY}, {1, 2}, {ENTRY_NO_EXPIRY, 1700000000000}, {INT64_MAX, 0}};

static unsigned flags_of(struct entry_times times)
{
    return (times.expire_ms == ENTRY_NO_EXPIRY ? 0u : ENTRY_EXPIRES) |
           (times.inner_ms == ENTRY_NO_EXPIRY ? 0u : ENTRY_INNER);
}

static bool same_parts(const struct entry *e, struct slice key, const struct value *v, struct entry_times times)
{
    return slice_eq(entry_key(e), key) && entry_expiry(e) == times.expire_ms &&
           entry_inner_expiry(e) == times.inner_ms && e->type == v->type && e->encoding == v->encoding &&
           e->temperature == 0 && e->flags == flags_of(times);
}

static bool same_value(const struct entry *e, const struct value *v)
{
    if (v->encoding == ENC_COLD)
        return entry_cold(e) && entry_word(e) == (uint64_t)v->integer;
    struct value got = entry_value(e);
    if (v->encoding == ENC_EMBED)
        return slice_eq(got.embed, v->embed);
    return !entry_cold(e) && got.integer == v->integer;
}

/* Header, times, word or embedded bytes, and the length of a key that does not fit its byte. */
static size_t expected_bytes(size_t klen, const struct value *v, struct entry_times times)
{
    size_t n = 8 + klen + (times.expire_ms != ENTRY_NO_EXPIRY ? 8 : 0) + (times.inner_ms != ENTRY_NO_EXPIRY ? 8 : 0) +
               (klen >= 255 ? 4 : 0);
    return v->encoding != ENC_EMBED ? n + 8 : n + v->embed.len;
}

static bool holds(const struct value *v)
{
    bool good = true;
    for (size_t k = 0; k < ARRAY_LEN(key_lengths); k++)
        for (size_t x = 0; x < ARRAY_LEN(times_of); x++) {
            struct slice key = slice_of(bytes + 1000, key_lengths[k]);
            struct entry *e = entry_new(key, v, times_of[x]);
            good &= same_parts(e, key, v, times_of[x]) && same_value(e, v);
            good &= entry_bytes(e) == expected_bytes(key.len, v, times_of[x]);
            e->temperature = 0xffffff;
            e->flags |= ENTRY_DIRTY | ENTRY_FRESH;
            good &= slice_eq(entry_key(e), key) && same_value(e, v);
            entry_free_shell(e);
        }
    return good;
}

static void embedded(void)
{
    static const size_t lengths[] = {0, 1, 44, 254, 255, 256, 1024, ENTRY_EMBED_MAX};
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        good &= holds(&(struct value){.encoding = ENC_EMBED, .embed = slice_of(bytes, lengths[i])});
    ok(good, "embedded strings of all lengths, with all keys and expiries");
}

static void words(void)
{
    static const int64_t integers[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(integers); i++)
        good &= holds(&(struct value){.encoding = ENC_INT, .integer = integers[i]});
    ok(good, "integers");
    struct blob *b = blob_copy(slice_of(bytes, 5000), 5000);
    ok(holds(&(struct value){.encoding = ENC_BLOB, .blob = b}) &&
           holds(&(struct value){.encoding = ENC_RAW, .blob = b}) && blob_unique(b),
       "pointers");
    blob_unref(b);
    ok(holds(&(struct value){.type = VALUE_STREAM, .encoding = ENC_COLD, .integer = INT64_MIN}), "nothing, when cold");
}

static void cold_words(void)
{
    const uint64_t size = ((uint64_t)1 << 40) - 1, ticket = ENTRY_TICKET_MASK;
    struct value v = {
        .type = VALUE_STRING, .encoding = ENC_COLD, .integer = (int64_t)(size << ENTRY_TICKET_BITS | ticket)};
    struct entry *e = entry_new(SLICE_LIT("key"), &v, (struct entry_times){77, 88});
    ok(entry_cold_size(e) == size && entry_ticket(e) == ticket, "size and ticket of a cold value at their largest");
    entry_set_word(e, (uint64_t)5 << ENTRY_TICKET_BITS | 3);
    ok(entry_cold_size(e) == 5 && entry_ticket(e) == 3 && entry_expiry(e) == 77 && entry_inner_expiry(e) == 88 &&
           slice_eq(entry_key(e), SLICE_LIT("key")),
       "a new word leaves the rest");
    ok(entry_expired(e, 77) && entry_expired(e, 78) && !entry_expired(e, 76), "expired from its time on");
    entry_free_shell(e);
    e = entry_new(SLICE_LIT("key"), &v, ENTRY_NO_TIMES);
    ok(!entry_expired(e, INT64_MAX), "never without one");
    entry_free_shell(e);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    embedded();
    words();
    cold_words();
    return tap_done();
}
