/* Packs, byte for byte as redis-server 7.0 writes listpacks (the expected bytes were taken from DUMPs of hashes), and
 * which bytes from outside are refused. */
#include "core/ds/pack.h"
#include "core/base/mem.h"
#include "tests/sim/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LIT(s) SLICE_LIT(s)
#define HEX_MAX 512

static uint8_t *pack_of(const char *const *texts, size_t n)
{
    uint8_t *p = pack_new();
    for (size_t i = 0; i < n; i++)
        p = pack_append(p, pack_str(slice_str(texts[i])));
    return p;
}
#define PACK_OF(...) pack_of((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void hex(char out[static HEX_MAX], const uint8_t *bytes, size_t len)
{
    out[0] = 0;
    for (size_t i = 0; i < len && 2 * i + 3 < HEX_MAX; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static bool is_hex(const uint8_t *bytes, size_t len, const char *want)
{
    char got[HEX_MAX];
    hex(got, bytes, len);
    bool same = strcmp(got, want) == 0;
    if (!same)
        tap_diag("got %s, want %s", got, want);
    return same;
}

/* The items as text, a blank behind each. */
static bool reads(const uint8_t *p, const char *want)
{
    char got[1024], scratch[PACK_TEXT_MAX];
    size_t n = 0;
    for (uint32_t at = pack_first(p); at != pack_end(p); at = pack_next(p, at)) {
        struct slice s = pack_text(pack_get(p, at), scratch);
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s ", (int)s.len, (const char *)s.p);
    }
    bool same = strlen(want) == n && memcmp(got, want, n) == 0 && pack_validate(pack_slice(p));
    if (!same)
        tap_diag("got '%.*s', want '%s'", (int)n, got, want);
    return same;
}

static void empty(void)
{
    uint8_t *p = pack_new();
    ok(is_hex(p, pack_bytes(p), "070000000000ff"), "an empty pack");
    ok(pack_count(p) == 0 && pack_empty(p) && pack_first(p) == pack_end(p) && pack_last(p) == 0 && pack_at(p, 0) == 0 &&
           pack_at(p, -1) == 0 && pack_find(p, pack_first(p), LIT("a"), 0) == 0,
       "has nothing in it");
    ok(pack_memory(p) == mem_class(7) && pack_validate(pack_slice(p)), "and is small and valid");
    p = pack_erase_range(p, 0, 5);
    uint8_t *tail;
    p = pack_split(p, pack_first(p), &tail);
    p = pack_join(p, tail);
    ok(is_hex(p, pack_bytes(p), "070000000000ff"), "and stays so");
    pack_free(p);
    pack_free(NULL);
}

static void integers(void)
{
    uint8_t *p = PACK_OF("0", "127", "128", "-1", "4095", "4096", "-4096", "-4097", "32767", "32768", "-32768",
                         "-32769", "8388607", "8388608", "-8388608", "-8388609", "2147483647", "2147483648",
                         "-2147483648", "-2147483649", "9223372036854775807", "-9223372036854775808");
    ok(is_hex(p, pack_bytes(p),
              "7b0000001600"
              "00017f01c08002dfff02cfff02f1001003d00002f1ffef03f1ff7f03f200800004f1008003f2ff7fff04f2ffff7f04f3000080"
              "0005f200008004f3ffff7fff05f3ffffff7f05f4000000800000000009f30000008005f4ffffff7fffffffff09f4ffffffffff"
              "ffff7f09f4000000000000008009ff"),
       "integers of every width");
    ok(reads(p, "0 127 128 -1 4095 4096 -4096 -4097 32767 32768 -32768 -32769 8388607 8388608 -8388608 -8388609 "
                "2147483647 2147483648 -2147483648 -2147483649 9223372036854775807 -9223372036854775808 "),
       "read back");
    bool all = true;
    for (uint32_t at = pack_first(p); at != pack_end(p); at = pack_next(p, at))
        all &= pack_get(p, at).is_int && pack_cost(pack_get(p, at)) == pack_next(p, at) - at;
    ok(all, "as integers, and cost what they take");
    pack_free(p);
    p = PACK_OF("", "a", "007", "-0", "+1", "9223372036854775808");
    ok(is_hex(p, pack_bytes(p),
              "2e0000000600"
              "80018161028330303704822d3003822b3103933932323333373230333638353437373538303814ff"),
       "what spells no canonical int64 stays a string");
    pack_free(p);
}

/* A string of `len` bytes, then "y": the bytes before and behind its data. */
static void one_length(uint32_t len, const char *head, const char *tail)
{
    uint8_t *x = malloc(len), *p = pack_new();
    memset(x, 'x', len);
    p = pack_append_pair(p, pack_str(slice_of(x, len)), pack_str(LIT("y")));
    uint32_t data = (uint32_t)strlen(head) / 2, behind = data + len;
    ok(is_hex(p, data, head) && is_hex(p + behind, pack_bytes(p) - behind, tail), "a string of %" PRIu32 " bytes", len);
    struct pack_item item = pack_get(p, pack_first(p));
    ok(pack_validate(pack_slice(p)) && slice_eq(item.bytes, slice_of(x, len)) && pack_last(p) == pack_end(p) - 3 &&
           pack_prev(p, pack_last(p)) == pack_first(p) && pack_next(p, pack_first(p)) == pack_last(p) &&
           pack_cost(item) == pack_last(p) - pack_first(p),
       "is read from both ends");
    ok(pack_find(p, pack_first(p), slice_of(x, len), 0) == pack_first(p) &&
           pack_find(p, pack_first(p), slice_of(x, len - 1), 0) == 0 &&
           pack_find(p, pack_first(p), LIT("y"), 0) == pack_last(p),
       "and found");
    pack_free(p);
    free(x);
}

static void lengths(void)
{
    one_length(62, "4a0000000200be", "3f817902ff");
    one_length(63, "4b0000000200bf", "40817902ff");
    one_length(64, "4d0000000200e040", "42817902ff");
    one_length(124, "890000000200e07c", "7e817902ff");
    one_length(125, "8a0000000200e07d", "7f817902ff");
    one_length(126, "8c0000000200e07e", "0180817902ff");
    one_length(4095, "0d1000000200efff", "2081817902ff");
    one_length(4096, "111000000200f000100000", "2085817902ff");
    one_length(16377, "0a4000000200f0f93f0000", "7ffe817902ff");
    one_length(16378, "0c4000000200f0fa3f0000", "00ffff817902ff");
    one_length(16379, "0d4000000200f0fb3f0000", "018080817902ff");
    one_length(2097145, "0b0020000200f0f9ff1f00", "7ffffe817902ff");
    one_length(2097146, "0d0020000200f0faff1f00", "00ffffff817902ff");
    one_length(2097147, "0e0020000200f0fbff1f00", "01808080817902ff");
}

static void changes(void)
{
    uint8_t *p = PACK_OF("b", "2", "d"), *tail;
    p = pack_prepend(p, pack_str(LIT("a")));
    ok(reads(p, "a b 2 d ") && pack_count(p) == 4, "prepend");
    p = pack_insert(p, pack_at(p, 2), pack_int(-300));
    p = pack_insert_behind(p, pack_at(p, -1), pack_str(LIT("e")));
    p = pack_insert(p, pack_end(p), pack_str(LIT("f")));
    ok(reads(p, "a b -300 2 d e f "), "insert before, behind, and at the end");
    p = pack_replace(p, pack_at(p, 1), pack_str(LIT("bbbbbbbbbbbbbbbbbbbbbbbbb")));
    p = pack_replace(p, pack_at(p, -1), pack_str(LIT("F")));
    p = pack_replace(p, pack_at(p, 0), pack_str(LIT("")));
    ok(reads(p, " bbbbbbbbbbbbbbbbbbbbbbbbb -300 2 d e F "), "replace by longer, as long, shorter");
    uint32_t at = pack_at(p, 1);
    p = pack_erase(p, at, 2);
    ok(reads(p, " 2 d e F ") && pack_equals(pack_get(p, at), LIT("2")), "erase leaves what followed at the position");
    p = pack_erase(p, pack_at(p, -2), 2);
    ok(reads(p, " 2 d "), "erase at the end");
    p = pack_splice(p, pack_at(p, 1), 1, (struct pack_item[]){pack_int(1), pack_int(2), pack_int(3)}, 3);
    ok(reads(p, " 1 2 3 d ") && pack_count(p) == 5, "splice one into three");
    p = pack_split(p, pack_at(p, 3), &tail);
    ok(reads(p, " 1 2 ") && reads(tail, "3 d ") && pack_count(p) == 3 && pack_count(tail) == 2, "split");
    p = pack_join(tail, p);
    ok(reads(p, "3 d  1 2 ") && pack_count(p) == 5, "join");
    p = pack_erase_range(p, -3, 100);
    p = pack_erase_range(p, 2, 1);
    ok(reads(p, "3 d "), "erase a range, as far as it exists");
    uint8_t *q = pack_copy(pack_slice(p));
    p = pack_erase_range(p, 0, 2);
    ok(reads(q, "3 d ") && reads(p, ""), "a copy is another pack");
    pack_free(p);
    pack_free(q);
}

static void many_at_once(void)
{
    struct pack_item items[100];
    uint8_t *p = PACK_OF("a", "z");
    for (int i = 0; i < 100; i++)
        items[i] = pack_int(i);
    p = pack_splice(p, pack_at(p, 1), 1, items, 100);
    bool same = pack_count(p) == 101;
    for (int i = 0; i < 100; i++)
        same &= pack_same(pack_get(p, pack_at(p, i + 1)), items[i]);
    ok(same && pack_validate(pack_slice(p)), "a hundred items in the place of one");
    pack_free(p);
}

static void comparisons(void)
{
    ok(pack_equals(pack_int(-7), LIT("-7")) && !pack_equals(pack_int(7), LIT("07")) &&
           !pack_equals(pack_int(0), LIT("")) && !pack_equals(pack_int(0), LIT("-0")),
       "an integer equals its canonical text");
    ok(pack_equals(pack_str(LIT("12")), LIT("12")) && !pack_equals(pack_str(LIT("12")), LIT("123")) &&
           pack_equals(pack_str(LIT("")), slice_of(NULL, 0)),
       "a string equals its bytes");
    ok(pack_same(pack_int(12), pack_str(LIT("12"))) && pack_same(pack_str(LIT("12")), pack_int(12)) &&
           pack_same(pack_str(LIT("a")), pack_str(LIT("a"))) && !pack_same(pack_int(1), pack_int(2)) &&
           !pack_same(pack_int(1), pack_str(LIT("a"))),
       "items are the same if their texts are");
}

static void find(void)
{
    uint8_t *p = PACK_OF("a", "b", "b", "a", "17", "x", "x", "17");
    ok(pack_find(p, pack_first(p), LIT("b"), 1) == pack_at(p, 2), "fields alone are compared");
    ok(pack_find(p, pack_first(p), LIT("17"), 1) == pack_at(p, 4), "integers too");
    ok(pack_find(p, pack_at(p, 1), LIT("a"), 1) == pack_at(p, 3), "or values alone");
    ok(pack_find(p, pack_at(p, 5), LIT("17"), 0) == pack_at(p, 7), "from a position on");
    ok(pack_find(p, pack_at(p, 7), LIT("x"), 1) == 0 && pack_find(p, pack_end(p), LIT("17"), 0) == 0 &&
           pack_find(p, pack_first(p), LIT("17"), 2) == 0 && pack_find(p, pack_first(p), LIT("017"), 0) == 0,
       "not what is not there");
    pack_free(p);
}

static void count_beyond_the_header(void)
{
    uint8_t *p = pack_new();
    for (int i = 0; i < 65534; i++)
        p = pack_append(p, pack_int(i & 127));
    ok(is_hex(p + 4, 2, "feff") && pack_count(p) == 65534, "65534 are counted in the header");
    p = pack_append(p, pack_int(5));
    ok(is_hex(p + 4, 2, "ffff") && pack_count(p) == 65535 && pack_validate(pack_slice(p)), "65535 are not");
    p = pack_append_pair(p, pack_int(6), pack_int(7));
    ok(is_hex(p + 4, 2, "ffff") && pack_count(p) == 65537, "nor 65537");
    ok(pack_get(p, pack_at(p, -1)).integer == 7 && pack_get(p, pack_at(p, 65535)).integer == 6 &&
           pack_at(p, 65537) == 0 && pack_at(p, -65537) == pack_first(p) && pack_at(p, -65538) == 0 &&
           pack_at(p, INT64_MIN) == 0 && pack_at(p, INT64_MAX) == 0,
       "indexes work");
    uint8_t *tail, *copy = pack_copy(pack_slice(p));
    p = pack_erase(p, pack_first(p), 4);
    ok(is_hex(p + 4, 2, "fdff") && pack_count(p) == 65533, "with fewer the header counts again");
    copy = pack_split(copy, pack_at(copy, 3), &tail);
    ok(pack_count(copy) == 3 && is_hex(copy + 4, 2, "0300") && is_hex(tail + 4, 2, "feff"), "also when split");
    copy = pack_join(copy, tail);
    ok(pack_count(copy) == 65537 && is_hex(copy + 4, 2, "ffff"), "joined it does not");
    pack_free(p);
    pack_free(copy);
}

static uint8_t unhex(char c) { return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

/* In a block of just their size, so that a sanitizer sees a look behind. */
static bool valid(const char *text)
{
    size_t len = strlen(text) / 2;
    uint8_t *bytes = malloc(len ? len : 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(unhex(text[2 * i]) << 4 | unhex(text[2 * i + 1]));
    bool good = pack_validate(slice_of(bytes, len));
    free(bytes);
    return good;
}

static void hostile(void)
{
    ok(valid("070000000000ff") && valid("07000000ffffff") && valid("0a0000000100816102ff"), "good ones");
    ok(!valid("") && !valid("07") && !valid("060000000000") && !valid("0600000000ff"), "too short");
    ok(!valid("080000000000ff") && !valid("060000000000ff") && !valid("07000000000000"), "total and terminator");
    ok(!valid("070000000100ff") && !valid("0a0000000000816102ff") && !valid("0a0000000200816102ff"), "count");
    ok(!valid("0a0000000100816101ff") && !valid("0a0000000100816103ff") && !valid("0b000000010081610082ff") &&
           !valid("0b00000001008161ff02ff"),
       "the length behind");
    ok(!valid("0a0000000100826102ff") && !valid("0a0000000100ef6102ff") && !valid("0a0000000100f06102ff") &&
           !valid("0c0000000100f0ffffffffff") && !valid("0a0000000100f46102ff") && !valid("080000000100c0ff") &&
           !valid("0e0000000100f0ffffffff040404ff"),
       "entries that are cut");
    for (int e = 0xf5; e <= 0xff; e++) {
        char text[32];
        snprintf(text, sizeof(text), "090000000100%02x01ff", e);
        ok(!valid(text), "no encoding 0x%02x", e);
    }
    ok(valid("0a0000000100813102ff") && valid("0b0000000100e0016103ff") && valid("0e0000000100f0010000006106ff"),
       "longer encodings than needed");
}

/* What pack_validate takes, pack_find must find. */
static void found_in_longer_encodings(void)
{
    static const uint8_t bytes[] = "\x1a\0\0\0\5\0\x81\x31\2\xe0\1\x61\3\xf0\1\0\0\0\x62\6\xc0\7\2\0\1\xff";
    const uint8_t *p = bytes;
    ok(pack_validate(slice_of(p, sizeof(bytes) - 1)) && pack_find(p, PACK_HEADER, LIT("1"), 0) == 6 &&
           pack_find(p, PACK_HEADER, LIT("a"), 0) == 9 && pack_find(p, PACK_HEADER, LIT("b"), 1) == 13 &&
           pack_find(p, PACK_HEADER, LIT("7"), 0) == 20 && pack_find(p, PACK_HEADER, LIT("c"), 0) == 0,
       "found in longer encodings than needed");
}

static bool sees(void *arg, uint32_t index, struct pack_item item)
{
    uint32_t *seen = arg;
    *seen += index == *seen && pack_equals(item, LIT("7"));
    return index < 2;
}

static void visitor(void)
{
    uint32_t seen = 0;
    uint8_t *p = PACK_OF("7", "7");
    ok(pack_validate_each(pack_slice(p), sees, &seen) && seen == 2, "each item is shown");
    p = pack_append_items(p, (struct pack_item[]){pack_int(7), pack_int(7)}, 2);
    seen = 0;
    ok(!pack_validate_each(pack_slice(p), sees, &seen) && seen == 3, "until one is refused");
    ok(pack_fits(p, PACK_BYTES_MAX - pack_bytes(p)) && !pack_fits(p, PACK_BYTES_MAX - pack_bytes(p) + 1) &&
           !pack_fits(p, UINT64_MAX),
       "a pack has a limit");
    pack_free(p);
}

int main(void)
{
    empty();
    integers();
    lengths();
    changes();
    many_at_once();
    comparisons();
    find();
    count_beyond_the_header();
    hostile();
    found_in_longer_encodings();
    visitor();
    return tap_done();
}
