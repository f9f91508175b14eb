#include "core/value/string.h"

#include <errno.h>

#include "core/base/num.h"
#include "core/value/rdb.h"

#define EMBSTR_MAX 44 /* what Redis calls embstr */

static bool is_blob(const struct value *v) { return v->encoding == ENC_BLOB || v->encoding == ENC_RAW; }

struct value string_value(struct slice s)
{
    struct value v = {.type = VALUE_STRING};
    if (s.len <= STRING_INT_CHARS && num_parse_i64(s, &v.integer)) {
        v.encoding = ENC_INT;
    } else if (s.len <= STRING_EMBED_MAX) {
        v.encoding = ENC_EMBED;
        v.integer = 0;
        v.embed = s;
    } else {
        v.encoding = ENC_BLOB;
        v.blob = blob_copy(s, s.len);
    }
    return v;
}

struct slice string_bytes(const struct value *v, char scratch[static STRING_INT_CHARS + 1])
{
    if (v->encoding == ENC_EMBED)
        return v->embed;
    if (v->encoding == ENC_INT)
        return slice_of(scratch, num_format_i64(scratch, v->integer));
    return blob_slice(v->blob);
}

static const char *encoding_name(const struct value *v)
{
    if (v->encoding == ENC_INT)
        return "int";
    if (v->encoding == ENC_RAW)
        return "raw";
    return (v->encoding == ENC_EMBED ? v->embed.len : v->blob->len) <= EMBSTR_MAX ? "embstr" : "raw";
}

/* The cursor counts the bytes that are done. */
static uint8_t encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget)
{
    if (is_blob(v) && (*cursor > 0 || v->blob->len > budget)) {
        if (*cursor == 0)
            rdb_put_length(out, v->blob->len);
        size_t part = min_u64(v->blob->len - *cursor, budget);
        buf_append(out, v->blob->data + *cursor, part);
        *cursor = *cursor + part < v->blob->len ? *cursor + part : 0;
        return RDB_TYPE_STRING;
    }
    char scratch[STRING_INT_CHARS + 1];
    rdb_put_string(out, string_bytes(v, scratch));
    return RDB_TYPE_STRING;
}

static bool reads(uint8_t rdb_type) { return rdb_type == RDB_TYPE_STRING; }

/* The value of these bytes, owning them. What could be embedded comes in a blob, which the keyspace embeds when it
 * takes it. */
static struct value owned(struct slice s)
{
    struct value v = string_value(s);
    if (v.encoding == ENC_EMBED)
        v = (struct value){.type = VALUE_STRING, .encoding = ENC_BLOB, .blob = blob_copy(s, s.len)};
    return v;
}

/* Whether `bytes` are a plain string and nothing else: then it is taken without another copy, as it may be large. */
static bool is_plain(struct slice bytes, struct slice *s)
{
    struct reader r = reader_of(bytes);
    int special;
    uint64_t len = rdb_get_length(&r, &special);
    *s = slice_of(r.p, reader_left(&r));
    return !r.bad && special < 0 && len == s->len;
}

static int decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out)
{
    struct reader r = reader_of(bytes);
    struct buf text = {0};
    struct slice plain;
    (void)rdb_type;
    (void)limits;
    if (is_plain(bytes, &plain)) {
        *out = owned(plain);
        return 0;
    }
    bool good = rdb_get_string(&r, &text) && reader_left(&r) == 0;
    if (good)
        *out = owned(buf_slice(&text));
    buf_free(&text);
    return good ? 0 : -EBADMSG;
}

static struct value copy(const struct value *v)
{
    struct value c = *v;
    if (is_blob(v))
        blob_ref(v->blob);
    return c;
}

static void release(struct value *v)
{
    if (is_blob(v))
        blob_unref(v->blob);
}

static size_t memory(const struct value *v) { return is_blob(v) ? blob_memory(blob_cap(v->blob)) : 0; }

static uint64_t length(const struct value *v)
{
    char scratch[STRING_INT_CHARS + 1];
    return string_bytes(v, scratch).len;
}

static void digest(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg)
{
    char scratch[STRING_INT_CHARS + 1];
    mix(arg, string_bytes(v, scratch));
}

const struct value_class string_class = {
    .name = "string",
    .encoding_name = encoding_name,
    .encode = encode,
    .reads = reads,
    .decode = decode,
    .copy = copy,
    .release = release,
    .memory = memory,
    .length = length,
    .digest = digest,
};
