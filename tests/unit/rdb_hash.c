/* The RDB encodings of hashes, byte by byte: what is written, what of older and newer versions is read, and what is
 * refused. Parts, limits and truncation are in model/hash_model.c. */
#include <stdlib.h>

#include "core/value/hash.h"
#include "tests/sim/tap.h"

#define LIT(s) SLICE_LIT(s)

enum { HASH = 4, ZIPMAP = 9, ZIPLIST = 13, LISTPACK = 16, META_RC = 22, PACK_EX_RC = 23, META = 24, PACK_EX = 25 };

/* The bytes lie in a block of just their size, so that a sanitizer sees a look behind them. */
static bool decode_with(uint8_t type, struct slice bytes, const struct value_limits *limits, struct value *v)
{
    uint8_t *exact = malloc(bytes.len ? bytes.len : 1);
    memcpy(exact, bytes.p, bytes.len);
    bool good = hash_class.decode(type, slice_of(exact, bytes.len), limits, v) == 0;
    if (good)
        hash_validate(v, limits);
    free(exact);
    return good;
}

/* The fields in their order, as "field=value@deadline ...". */
static void show(const struct value *v, struct buf *out)
{
    struct hash_iter it;
    hash_iter_init(&it, v, HASH_TIMELESS);
    while (hash_iter_next(&it)) {
        buf_printf(out, "%s%.*s=%.*s", out->len ? " " : "", (int)it.field.len, (const char *)it.field.p,
                   (int)it.value.len, (const char *)it.value.p);
        if (it.deadline != HASH_NO_DEADLINE)
            buf_printf(out, "@%lld", (long long)it.deadline);
    }
}

static bool reads_as(uint8_t type, struct slice bytes, const char *encoding, const char *want)
{
    struct value v;
    struct buf text = {0};
    if (!decode_with(type, bytes, &value_limits_default, &v))
        return false;
    show(&v, &text);
    bool same = slice_eq(buf_slice(&text), slice_str(want)) && strcmp(hash_class.encoding_name(&v), encoding) == 0;
    if (!same)
        tap_diag("%s %.*s", hash_class.encoding_name(&v), (int)text.len, (const char *)text.p);
    buf_free(&text);
    hash_class.release(&v);
    return same;
}

static bool refused(uint8_t type, struct slice bytes)
{
    struct value v;
    if (!decode_with(type, bytes, &value_limits_default, &v))
        return true;
    hash_class.release(&v);
    return false;
}

static bool writes(const struct value *v, uint8_t type, struct slice want)
{
    struct buf out = {0};
    uint64_t cursor = 0;
    uint8_t written = hash_class.encode(v, &cursor, &out, SIZE_MAX);
    bool same = written == type && cursor == 0 && slice_eq(buf_slice(&out), want);
    buf_free(&out);
    return same;
}

static void set(struct value *v, const char *field, const char *value)
{
    hash_set(v, slice_str(field), slice_str(value), HASH_TIMELESS, HASH_KEEP_DEADLINE, &value_limits_default);
}

/* a listpack of a, 1, b, x and its length as a string's */
#define PACK_AB              \
    "\x12\x12\0\0\0\4\0\x81" \
    "a\2\1\1\x81"            \
    "b\2\x81"                \
    "x\2\xff"
/* with deadlines 1000 and none */
#define PACK_AB_1000         \
    "\x17\x17\0\0\0\6\0\x81" \
    "a\2\1\1\xc3\xe8\2\x81"  \
    "b\2\x81"                \
    "x\2\0\1\xff"

static void written(void)
{
    struct value v = hash_class.empty();
    set(&v, "a", "1");
    set(&v, "b", "x");
    ok(writes(&v, LISTPACK, LIT(PACK_AB)), "a pack is written as it is");
    hash_set_deadline(&v, LIT("a"), 1000);
    ok(writes(&v, PACK_EX, LIT("\xe8\3\0\0\0\0\0\0" PACK_AB_1000)), "with deadlines, the earliest in front");
    hash_class.release(&v);

    char longer[100];
    memset(longer, 'l', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    v = hash_class.empty();
    set(&v, "a", longer);
    set(&v, "a", "-7");
    ok(writes(&v, HASH, LIT("\1\1a\xc0\xf9")), "a table is written field by field");
    hash_set_deadline(&v, LIT("a"), 1000);
    ok(writes(&v, META, LIT("\xe8\3\0\0\0\0\0\0\1\1\1a\xc0\xf9")),
       "with deadlines, relative to the earliest, plus one");
    hash_class.release(&v);
}

static void old_encodings(void)
{
    ok(reads_as(LISTPACK, LIT(PACK_AB), "listpack", "a=1 b=x"), "listpack");
    ok(reads_as(HASH, LIT("\2\1a\xc0\1\1b\1x"), "listpack", "a=1 b=x"), "field by field");
    ok(reads_as(HASH, LIT("\1\1a\xc3\5\x0a\0l\xe0\0\0"), "listpack", "a=llllllllll"), "an LZF string");
    ok(reads_as(ZIPLIST, LIT("\x16\x16\0\0\0\x12\0\0\0\4\0\0\1a\3\xf2\2\1b\3\1x\xff"), "listpack", "a=1 b=x"),
       "ziplist");
    ok(reads_as(ZIPMAP,
                LIT("\x0c\2\1a\1\0"
                    "1\1b\1\0x\xff"),
                "listpack", "a=1 b=x"),
       "zipmap");
}

static void deadlines(void)
{
    ok(reads_as(PACK_EX, LIT("\xe8\3\0\0\0\0\0\0" PACK_AB_1000), "listpackex", "a=1@1000 b=x"), "listpack of 7.4");
    ok(reads_as(PACK_EX_RC, LIT(PACK_AB_1000), "listpackex", "a=1@1000 b=x"), "listpack of its release candidates");
    ok(reads_as(META, LIT("\xe8\3\0\0\0\0\0\0\3\0\1a\1A\2\1b\1B\1\1c\1C"), "listpackex", "c=C@1000 b=B@1001 a=A"),
       "field by field");
    ok(reads_as(META_RC, LIT("\2\x43\xe8\1a\1A\0\1b\1B"), "listpackex", "a=A@1000 b=B"), "with absolute times");
    ok(reads_as(META, LIT("\0\0\0\0\0\0\1\0\1\0\1a\1A"), "listpack", "a=A"), "none has one after all");
    ok(reads_as(PACK_EX_RC,
                LIT("\x16\x16\0\0\0\6\0\x81"
                    "a\2\1\1\0\1\x81"
                    "b\2\x81"
                    "x\2\5\1\xff"),
                "listpackex", "b=x@5 a=1"),
       "a disorderly pack is put in order");
    ok(reads_as(PACK_EX_RC,
                LIT("\x0e\x0e\0\0\0\3\0\x81"
                    "a\2\1\1\0\1\xff"),
                "listpack", "a=1"),
       "a pack without deadlines becomes a plain one");
}

static void too_much_for_a_pack(void)
{
    struct value_limits low = value_limits_default;
    struct value v;
    low.hash_max_listpack_entries = 1;
    bool good = decode_with(LISTPACK, LIT(PACK_AB), &low, &v);
    ok(good && hash_in_table(&v) && hash_length(&v, 0) == 2, "more fields than a pack may have");
    if (good)
        hash_class.release(&v);
    good = decode_with(PACK_EX_RC, LIT(PACK_AB_1000), &low, &v);
    ok(good && hash_in_table(&v) && hash_next_deadline(&v) == 1000, "with deadlines");
    hash_class.release(&v);
    low = value_limits_default;
    low.hash_max_listpack_value = 0;
    good = decode_with(LISTPACK, LIT(PACK_AB), &low, &v);
    ok(good && hash_in_table(&v), "longer ones");
    hash_class.release(&v);
}

static void bad(void)
{
    ok(refused(HASH, LIT("\0")) && refused(META, LIT("\1\0\0\0\0\0\0\0\0")) &&
           refused(LISTPACK, LIT("\7\7\0\0\0\0\0\xff")),
       "no fields");
    ok(refused(HASH, LIT("\2\1a\1x\1a\1y")) && refused(META_RC, LIT("\2\5\1a\1x\0\1a\1y")) &&
           refused(LISTPACK, LIT("\x12\x12\0\0\0\4\0\x81"
                                 "a\2\1\1\x81"
                                 "a\2\x81"
                                 "x\2\xff")) &&
           refused(PACK_EX_RC, LIT("\x17\x17\0\0\0\6\0\x81"
                                   "a\2\1\1\xc3\xe8\2\x81"
                                   "a\2\x81"
                                   "x\2\0\1\xff")) &&
           refused(ZIPMAP, LIT("\x0c\2\1a\1\0"
                               "1\1a\1\0x\xff")),
       "the same field twice");
    ok(refused(LISTPACK, LIT("\x12\x12\0\0\0\4\0\x82"
                             "12\3\1\1\x0c\1\x81"
                             "x\2\xff")),
       "the same one as a string and as an integer");
    ok(refused(LISTPACK, LIT("\x0e\x0e\0\0\0\3\0\x81"
                             "a\2\1\1\0\1\xff")) &&
           refused(PACK_EX_RC, LIT("\x0c\x0c\0\0\0\2\0\x81"
                                   "a\2\1\1\xff")),
       "fields without values or deadlines");
    ok(refused(PACK_EX_RC, LIT("\x0f\x0f\0\0\0\3\0\x81"
                               "a\2\1\1\x81"
                               "7\2\xff")) &&
           refused(PACK_EX_RC, LIT("\x0f\x0f\0\0\0\3\0\x81"
                                   "a\2\1\1\xdf\xff\2\xff")),
       "deadlines that are no numbers, or negative");
    ok(refused(META_RC, LIT("\1\x81\0\1\0\0\0\0\0\0\1a\1x")) &&
           refused(META, LIT("\xff\xff\xff\xff\xff\xff\0\0\1\2\1a\1x")) &&
           refused(META, LIT("\xff\xff\xff\xff\xff\xff\xff\xff\1\2\1a\1x")) &&
           refused(META, LIT("\0\0\0\0\0\0\0\0\1\1\1a\1x")),
       "deadlines out of range");
    ok(refused(HASH, LIT("\1\1a\1xx")) && refused(LISTPACK, LIT(PACK_AB "x")), "bytes behind");
    ok(refused(HASH, LIT("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\1a\1x")) && refused(HASH, LIT("\xc0\1\1a\1x")),
       "a count that lies");
    ok(!hash_class.reads(0) && !hash_class.reads(21) && !hash_class.reads(26), "types of others");
}

int main(void)
{
    written();
    old_encodings();
    deadlines();
    too_much_for_a_pack();
    bad();
    return tap_done();
}
