/* LCS: the longest common subsequence of two strings, by dynamic programming: time and memory are the product of the
 * lengths. */
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/string.h"
#include "server/reply.h"

struct lcs_options {
    bool idx, len, with_match_len;
    int64_t min_match;
};

static bool lcs_options(struct call *c, struct lcs_options *o)
{
    *o = (struct lcs_options){0};
    for (int i = 3; i < c->argc; i++) {
        struct slice w = c->argv[i];
        if (slice_is(w, "idx")) {
            o->idx = true;
        } else if (slice_is(w, "len")) {
            o->len = true;
        } else if (slice_is(w, "withmatchlen")) {
            o->with_match_len = true;
        } else if (slice_is(w, "minmatchlen") && i + 1 < c->argc) {
            if (!arg_i64(c, c->argv[++i], &o->min_match))
                return false;
            o->min_match = o->min_match < 0 ? 0 : o->min_match;
        } else {
            reply_syntax(c);
            return false;
        }
    }
    if (!o->idx || !o->len)
        return true;
    reply_error(c, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

struct lcs {
    struct slice a, b;
    uint32_t *table; /* (a.len + 1) x (b.len + 1) lengths of common subsequences of prefixes */
};

static uint32_t *lcs_cell(const struct lcs *l, size_t i, size_t j) { return &l->table[i * (l->b.len + 1) + j]; }

static void lcs_fill(struct lcs *l)
{
    for (size_t i = 0; i <= l->a.len; i++)
        for (size_t j = 0; j <= l->b.len; j++) {
            uint32_t v = 0;
            if (i > 0 && j > 0)
                v = l->a.p[i - 1] == l->b.p[j - 1] ? *lcs_cell(l, i - 1, j - 1) + 1
                                                   : (uint32_t)max_u64(*lcs_cell(l, i - 1, j), *lcs_cell(l, i, j - 1));
            *lcs_cell(l, i, j) = v;
        }
}

/* A matched range ending at (a_end, b_end), `n` long. */
static void lcs_range(struct call *c, struct buf *out, const struct lcs_options *o, size_t a, size_t b, size_t n)
{
    resp_array(out, o->with_match_len ? 3 : 2);
    resp_array(out, 2);
    resp_int(out, (int64_t)a);
    resp_int(out, (int64_t)(a + n - 1));
    resp_array(out, 2);
    resp_int(out, (int64_t)b);
    resp_int(out, (int64_t)(b + n - 1));
    if (o->with_match_len)
        resp_int(out, (int64_t)n);
    (void)c;
}

/* Walks back from the ends; emits ranges last first, as Redis does, and fills `text`. */
static size_t lcs_walk(struct call *c, const struct lcs *l, const struct lcs_options *o, uint8_t *text,
                       struct buf *ranges)
{
    size_t i = l->a.len, j = l->b.len, at = *lcs_cell(l, i, j), run = 0, found = 0;
    while (i > 0 && j > 0) {
        bool match = l->a.p[i - 1] == l->b.p[j - 1];
        if (match) {
            text[--at] = l->a.p[--i];
            j--;
            run++;
        }
        bool ends = !match || i == 0 || j == 0;
        if (ends && run > 0) {
            if (o->idx && (o->min_match == 0 || run >= (size_t)o->min_match)) {
                lcs_range(c, ranges, o, i, j, run);
                found++;
            }
            run = 0;
        }
        if (!match) {
            if (*lcs_cell(l, i - 1, j) > *lcs_cell(l, i, j - 1))
                i--;
            else
                j--;
        }
    }
    return found;
}

static void lcs_reply(struct call *c, struct lcs *l, const struct lcs_options *o)
{
    size_t len = *lcs_cell(l, l->a.len, l->b.len);
    struct buf ranges = {0};
    uint8_t *text;

    if (o->len) {
        reply_int(c, (int64_t)len);
        return;
    }
    text = mem_alloc(len);
    size_t found = lcs_walk(c, l, o, text, &ranges);
    if (o->idx) {
        reply_map(c, 2);
        reply_bulk_str(c, "matches");
        reply_array(c, found);
        buf_append_slice(c->out, buf_slice(&ranges));
        reply_bulk_str(c, "len");
        reply_int(c, (int64_t)len);
    } else {
        reply_bulk(c, slice_of(text, len));
    }
    mem_free(text, len);
    buf_free(&ranges);
}

static void lcs_run(struct call *c)
{
    char sa[21], sb[21];
    struct lcs_options o;
    struct place a = place_read(c, 1), b = place_read(c, 2);
    /* A look-up may have deleted an expired key and moved nothing else; entries stay where they are. */
    if ((a.e && a.e->type != VALUE_STRING) || (b.e && b.e->type != VALUE_STRING)) {
        reply_error(c, "ERR The specified keys must contain string values");
        return;
    }
    if (!lcs_options(c, &o))
        return;
    struct lcs l = {place_string(&a, sa), place_string(&b, sb), NULL};
    size_t cells = (l.a.len + 1) * (l.b.len + 1);
    if (l.a.len >= UINT32_MAX || l.b.len >= UINT32_MAX || cells * sizeof(uint32_t) > 512 * MIB) {
        reply_error(c, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    l.table = mem_alloc(cells * sizeof(uint32_t));
    lcs_fill(&l);
    lcs_reply(c, &l, &o);
    mem_free(l.table, cells * sizeof(uint32_t));
}

static const struct command_arg lcs_args[] = {
    ARG("key1", "key"),
    ARG("key2", "key"),
    ARG_TOKEN("len", "LEN", .flags = ARG_OPTIONAL),
    ARG_TOKEN("idx", "IDX", .flags = ARG_OPTIONAL),
    ARG("min-match-len", "integer", .token = "MINMATCHLEN", .flags = ARG_OPTIONAL),
    ARG_TOKEN("withmatchlen", "WITHMATCHLEN", .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command lcs_commands[] = {
    {.name = "lcs",
     .run = lcs_run,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_STRING,
     .route = ROUTE_KEYS,
     .group = "string",
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .last = 1, .step = 1, .need = NEED_VALUE}},
     .summary = "Finds the longest common substring.",
     .since = "7.0.0",
     .complexity = "O(N*M) where N and M are the lengths of s1 and s2, respectively",
     .args = lcs_args},
    {.name = NULL},
};
