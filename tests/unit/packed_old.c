/* The packed formats of old RDB files: the items of known bytes, and which bytes are refused. Every proper prefix of
 * what is good, and every byte changed, is read in a block of just its size: a sanitizer sees a look behind it. */
#include "core/ds/packed_old.h"
#include "tests/sim/tap.h"

#include <stdio.h>
#include <stdlib.h>

typedef uint8_t *converter(struct slice);

/* The items as text, a blank behind each; "refused". */
static const char *items_of(converter *convert, const void *bytes, size_t len)
{
    static char text[2048];
    char scratch[PACK_TEXT_MAX];
    size_t n = 0;
    uint8_t *exact = malloc(len ? len : 1), *p;
    memcpy(exact, bytes, len);
    p = convert(slice_of(exact, len));
    free(exact);
    if (p == NULL)
        return "refused";
    text[0] = 0;
    for (uint32_t at = pack_first(p); at != pack_end(p) && n < sizeof(text) - 1; at = pack_next(p, at)) {
        struct slice s = pack_text(pack_get(p, at), scratch);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s ", (int)s.len, (const char *)s.p);
    }
    pack_free(p);
    return text;
}

static bool gives(converter *convert, const void *bytes, size_t len, const char *want)
{
    const char *got = items_of(convert, bytes, len);
    if (strcmp(got, want) != 0)
        tap_diag("got '%s', want '%s'", got, want);
    return strcmp(got, want) == 0;
}
#define GIVES(convert, bytes, want) gives(convert, bytes, sizeof(bytes) - 1, want)
#define REFUSES(convert, bytes) GIVES(convert, bytes, "refused")

static bool survives_damage(converter *convert, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    bool cut = true;
    for (size_t i = 0; i < len; i++)
        cut &= strcmp(items_of(convert, bytes, i), "refused") == 0;
    for (size_t i = 0; i < len; i++)
        for (int v = 0; v < 256; v++) {
            memcpy(copy, bytes, len);
            copy[i] = (uint8_t)v;
            items_of(convert, copy, len);
        }
    free(copy);
    return cut;
}

/* A ziplist of entries as they are, header and end mark around them. */
static size_t ziplist_of(uint8_t *out, const void *entries, size_t len, size_t last, uint16_t count)
{
    uint32_t total = (uint32_t)(len + 11), tail = (uint32_t)(10 + last);
    memcpy(out, &total, 4);
    memcpy(out + 4, &tail, 4);
    memcpy(out + 8, &count, 2);
    memcpy(out + 10, entries, len);
    out[10 + len] = 0xff;
    return total;
}

static const char every_int[] =
    "\0\xf1\2\xfd\2\xfe\x80\3\xc0\0\x80\4\xf0\0\0\x80\5\xd0\0\0\0\x80\6\xe0\0\0\0\0\0\0\0\x80";
#define EVERY_INT_LAST 22

static void ziplist(void)
{
    uint8_t z[20000], entries[17000];
    ok(GIVES(ziplist_to_pack, "\x0b\0\0\0\x0a\0\0\0\0\0\xff", ""), "an empty ziplist");
    ok(GIVES(ziplist_to_pack, "\x14\0\0\0\x0f\0\0\0\2\0\0\3foo\5\2\x31\x32\xff", "foo 12 "), "strings");
    size_t len = ziplist_of(z, every_int, sizeof(every_int) - 1, EVERY_INT_LAST, 7);
    ok(gives(ziplist_to_pack, z, len, "0 12 -128 -32768 -8388608 -2147483648 -9223372036854775808 "),
       "integers of every width");
    ok(survives_damage(ziplist_to_pack, z, len), "no proper prefix is taken");
    z[8] = z[9] = 0xff;
    ok(gives(ziplist_to_pack, z, len, "0 12 -128 -32768 -8388608 -2147483648 -9223372036854775808 "), "count unknown");

    memset(entries, 'x', sizeof(entries));
    memcpy(entries, "\0\x41\x2c", 3);                          /* 300 bytes, then a length before of five bytes */
    memcpy(entries + 303, "\xfe\x2f\1\0\0\x80\0\0\x40\0", 10); /* 16384 bytes */
    memcpy(entries + 303 + 10 + 16384, "\xfe\x0a\x40\0\0\xf3", 6);
    len = ziplist_of(z, entries, 303 + 10 + 16384 + 6, 303 + 10 + 16384, 3);
    uint8_t *p = ziplist_to_pack(slice_of(z, len));
    ok(p != NULL && pack_count(p) == 3 && pack_get(p, pack_at(p, 0)).bytes.len == 300 &&
           pack_get(p, pack_at(p, 1)).bytes.len == 16384 && pack_get(p, pack_at(p, 2)).integer == 2,
       "long strings");
    pack_free(p);
}

static void hostile_ziplist(void)
{
    uint8_t z[200];
    ok(REFUSES(ziplist_to_pack, "\x0c\0\0\0\x0a\0\0\0\0\0\xff") &&
           REFUSES(ziplist_to_pack, "\x0b\0\0\0\x0a\0\0\0\0\0\xfe") &&
           REFUSES(ziplist_to_pack, "\x0b\0\0\0\x0a\0\0\0\1\0\xff") &&
           REFUSES(ziplist_to_pack, "\x0b\0\0\0\x0b\0\0\0\0\0\xff"),
       "total, end, count, offset of the last");
    size_t len = ziplist_of(z, "\0\xf1\3\xf1", 4, 2, 2);
    ok(gives(ziplist_to_pack, z, len, "refused"), "a wrong length before");
    len = ziplist_of(z, "\0\xf1\xff\2\0\0\0\xf1", 8, 2, 2);
    ok(gives(ziplist_to_pack, z, len, "refused"), "an end mark within");
    len = ziplist_of(z, "\0\xf1\2\xf1", 4, 0, 2);
    ok(gives(ziplist_to_pack, z, len, "refused"), "an offset that is not the last");
    for (int e = 0xc1; e <= 0xff; e++) {
        char entry[10] = {0, (char)e, 0, 0, 0, 0, 0, 0, 0, 0};
        size_t width = e == 0xd0 ? 4 : e == 0xe0 ? 8 : e == 0xf0 ? 3 : e == 0xfe ? 1 : 0;
        len = ziplist_of(z, entry, 2 + width, 0, 1);
        bool known = width > 0 || (e >= 0xf1 && e <= 0xfd);
        if ((strcmp(items_of(ziplist_to_pack, z, len), "refused") != 0) != known)
            ok(false, "encoding 0x%02x", e);
    }
    len = ziplist_of(z, "\0\x80\xff\xff\xff\xff", 6, 0, 1);
    ok(gives(ziplist_to_pack, z, len, "refused"), "a string longer than all");
}

static void zipmap(void)
{
    static const char good[] = "\2\3foo\3\0bar\5hello\5\2world..\xff";
    ok(GIVES(zipmap_to_pack, "\0\xff", ""), "an empty zipmap");
    ok(GIVES(zipmap_to_pack, good, "foo bar hello world "), "keys and values, unused bytes left out");
    ok(survives_damage(zipmap_to_pack, (const uint8_t *)good, sizeof(good) - 1), "no proper prefix is taken");
    ok(GIVES(zipmap_to_pack, "\1\xfe\1\0\0\0k\xfe\2\0\0\0\0-9\xff", "k -9 "), "long lengths");
    ok(GIVES(zipmap_to_pack, "\xfe\1k\1\0v\xff", "k v "), "count unknown");
    ok(REFUSES(zipmap_to_pack, "\2\1k\1\0v\xff") && REFUSES(zipmap_to_pack, "\1\1k\1\0v\xfe") &&
           REFUSES(zipmap_to_pack, "\1\1k\1\1v\xff") && REFUSES(zipmap_to_pack, "\1\1k\xff") &&
           REFUSES(zipmap_to_pack, "\1\1k\1\0v\xff\xff") && REFUSES(zipmap_to_pack, "\1\xfe\xff\xff\xff\xffk\1\0v\xff"),
       "hostile ones");
}

static bool second_refused(void *arg, uint32_t index, struct pack_item item)
{
    ++*(int *)arg;
    return index == 0 && item.is_int == pack_equals(item, SLICE_LIT("0"));
}

static void visitors(void)
{
    uint8_t z[200];
    int seen = 0;
    size_t len = ziplist_of(z, every_int, sizeof(every_int) - 1, EVERY_INT_LAST, 7);
    ok(ziplist_each(slice_of(z, len), NULL, NULL), "validated without a visitor");
    ok(!ziplist_each(slice_of(z, len), second_refused, &seen) && seen == 2, "a visitor may refuse");
    seen = 0;
    ok(!zipmap_each(SLICE_LIT("\xfe\1k\1\0v\xff"), second_refused, &seen) && seen == 2, "also of a zipmap");
}

int main(void)
{
    ziplist();
    hostile_ziplist();
    zipmap();
    visitors();
    return tap_done();
}
