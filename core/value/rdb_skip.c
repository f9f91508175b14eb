/* A shape is a word of
 *
 *   s      a string                     l   a length
 *   8 g    8, 16 bytes                  d   a score as text: a length byte and so many bytes (253 to 255: none)
 *   *( )   a count, then that many times what is in the brackets
 */
#include "core/value/rdb_skip.h"

#include <errno.h>

#include "core/value/lzf.h"
#include "core/value/rdb.h"

#define LZF_FROM 21 /* as in Redis */
#define LZF_GAIN 4
#define SPECIAL_LZF 0xc3

static const struct {
    uint8_t version;
    const char *shape;
} types[] = {
    [0] = {1, "s"},                                      /* string */
    [1] = {1, "*(s)"},                                   /* list */
    [2] = {1, "*(s)"},                                   /* set */
    [3] = {1, "*(sd)"},                                  /* sorted set, scores as text */
    [4] = {1, "*(ss)"},                                  /* hash */
    [5] = {8, "*(s8)"},                                  /* sorted set, binary scores */
    [9] = {2, "s"},                                      /* hash, zipmap */
    [10] = {2, "s"},                                     /* list, ziplist */
    [11] = {2, "s"},                                     /* set, intset */
    [12] = {2, "s"},                                     /* sorted set, ziplist */
    [13] = {4, "s"},                                     /* hash, ziplist */
    [14] = {7, "*(s)"},                                  /* list, quicklist of ziplists */
    [15] = {9, "*(ss)lll*(sll*(g8l)*(s8*(g)))"},         /* stream */
    [16] = {10, "s"},                                    /* hash, listpack */
    [17] = {10, "s"},                                    /* sorted set, listpack */
    [18] = {10, "*(ls)"},                                /* list, quicklist of listpacks or plain nodes */
    [19] = {10, "*(ss)llllllll*(slll*(g8l)*(s8*(g)))"},  /* stream: first id, deleted id, entries added and read */
    [20] = {11, "s"},                                    /* set, listpack */
    [21] = {11, "*(ss)llllllll*(slll*(g8l)*(s88*(g)))"}, /* stream: consumers' active time */
    [22] = {12, "*(lss)"},                               /* hash with expiring fields, of a release candidate */
    [23] = {12, "s"},                                    /* the same as a listpack */
    [24] = {12, "8*(lss)"},                              /* hash with expiring fields: the nearest time first */
    [25] = {12, "8s"},                                   /* the same as a listpack */
    [26] = {13, "*(ss)llllllll*(slll*(g8l)*(s88*(g)))ll*(s*(sll))ll"}, /* stream: ids that producers gave */
};

unsigned rdb_type_version(uint8_t type) { return type < ARRAY_LEN(types) ? types[type].version : 0; }

struct collector {
    const struct rdb_source *src;
    struct buf *out;
    struct buf packed; /* scratch of the compressor */
    bool compress;
};

static int take(struct collector *c, uint64_t n)
{
    if (n > c->src->left(c->src->arg))
        return -EBADMSG;
    uint8_t *p = buf_reserve(c->out, n);
    int err = c->src->read(c->src->arg, p, n);
    if (err == 0)
        c->out->len += n;
    return err;
}

static int take_byte(struct collector *c, uint8_t *b)
{
    int err = take(c, 1);
    *b = err == 0 ? c->out->p[c->out->len - 1] : 0;
    return err;
}

/* The length at offset `at` of what has been collected, whole. */
static int parse_length(const struct collector *c, size_t at, uint64_t *n)
{
    struct reader r = reader_of(slice_of(c->out->p + at, c->out->len - at));
    int special;
    *n = rdb_get_length(&r, &special);
    return r.bad || special >= 0 ? -EBADMSG : 0;
}

/* *special is the code of a special string, or -1. */
static int take_length(struct collector *c, uint64_t *n, int *special)
{
    size_t at = c->out->len;
    uint8_t first;
    int err = take_byte(c, &first);
    *special = first >> 6 == 3 ? first & 0x3f : -1;
    *n = 0;
    if (err < 0 || *special >= 0)
        return err;
    if (first >> 6 == 1)
        err = take(c, 1);
    else if (first >> 6 == 2)
        err = take(c, first == 0x80 ? 4 : first == 0x81 ? 8 : 0);
    return err < 0 ? err : parse_length(c, at, n);
}

static int take_number(struct collector *c, uint64_t *n)
{
    int special;
    int err = take_length(c, n, &special);
    return err < 0 ? err : special >= 0 ? -EBADMSG : 0;
}

static int take_special(struct collector *c, int code)
{
    uint64_t packed, len;
    if (code <= 2)
        return take(c, 1u << code);
    if (code != 3)
        return -EBADMSG;
    int err = take_number(c, &packed);
    if (err == 0)
        err = take_number(c, &len);
    return err < 0 ? err : take(c, packed);
}

/* The plain string that was collected from `head` on, its bytes from `at` on, becomes a compressed one if that pays. */
static void pack(struct collector *c, size_t head, size_t at)
{
    size_t len = c->out->len - at;
    buf_clear(&c->packed);
    uint8_t *p = buf_reserve(&c->packed, len);
    size_t n = lzf_compress(slice_of(c->out->p + at, len), p, len - LZF_GAIN);
    if (n == 0)
        return;
    c->out->len = head;
    buf_append_byte(c->out, SPECIAL_LZF);
    rdb_put_length(c->out, n);
    rdb_put_length(c->out, len);
    buf_append(c->out, p, n);
}

static int take_string(struct collector *c)
{
    size_t head = c->out->len;
    uint64_t n;
    int special;
    int err = take_length(c, &n, &special);
    if (err == 0 && special >= 0)
        return take_special(c, special);
    size_t at = c->out->len;
    if (err == 0)
        err = take(c, n);
    if (err == 0 && c->compress && n >= LZF_FROM)
        pack(c, head, at);
    return err;
}

static int take_score(struct collector *c)
{
    uint8_t len;
    int err = take_byte(c, &len);
    return err < 0 || len >= 253 ? err : take(c, len);
}

static const char *behind_group(const char *p)
{
    int depth = 1;
    for (; depth > 0; p++)
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
    return p;
}

static int take_shape(struct collector *c, const char *p);

/* p is at the group's first letter. Every turn takes a byte at least, so a lie ends with the source. */
static int take_group(struct collector *c, const char *p)
{
    uint64_t n;
    int err = take_number(c, &n);
    for (; err == 0 && n > 0; n--)
        err = take_shape(c, p);
    return err;
}

static int take_one(struct collector *c, char what)
{
    uint64_t n;
    switch (what) {
    case 's':
        return take_string(c);
    case 'l':
        return take_number(c, &n);
    case 'd':
        return take_score(c);
    default:
        return take(c, what == '8' ? 8 : 16);
    }
}

/* Up to the end of the shape, or of the group that p is in. */
static int take_shape(struct collector *c, const char *p)
{
    int err = 0;
    while (err == 0 && *p != 0 && *p != ')') {
        if (*p == '*') {
            err = take_group(c, p + 2);
            p = behind_group(p + 2);
        } else {
            err = take_one(c, *p++);
        }
    }
    return err;
}

int rdb_collect(uint8_t type, const struct rdb_source *src, bool compress, struct buf *out)
{
    struct collector c = {.src = src, .out = out, .compress = compress};
    if (rdb_type_version(type) == 0)
        return -ENOTSUP;
    int err = take_shape(&c, types[type].shape);
    buf_free(&c.packed);
    return err;
}

int rdb_read_length(const struct rdb_source *src, uint64_t *n)
{
    struct buf bytes = {0};
    struct collector c = {.src = src, .out = &bytes};
    int err = take_number(&c, n);
    buf_free(&bytes);
    return err;
}

int rdb_read_string(const struct rdb_source *src, struct buf *out)
{
    struct buf bytes = {0};
    struct collector c = {.src = src, .out = &bytes};
    int err = take_string(&c);
    struct reader r = reader_of(buf_slice(&bytes));
    buf_clear(out);
    if (err == 0 && !rdb_get_string(&r, out))
        err = -EBADMSG;
    buf_free(&bytes);
    return err;
}

/* --- slices --- */

static int slice_read(void *arg, void *p, size_t n)
{
    struct rdb_slice_source *s = arg;
    if (n > s->rest.len)
        return -EBADMSG;
    if (n > 0)
        memcpy(p, s->rest.p, n);
    s->rest = slice_of(s->rest.p + n, s->rest.len - n);
    return 0;
}

static uint64_t slice_left(void *arg) { return ((struct rdb_slice_source *)arg)->rest.len; }

void rdb_slice_source_init(struct rdb_slice_source *s, struct slice bytes)
{
    *s = (struct rdb_slice_source){{slice_read, slice_left, s}, bytes};
}
