/* HyperLogLog commands. The strings are Redis's byte for byte (core/value/hll.h), the cached cardinality too: PFCOUNT,
 * a read, writes it when it is not valid, and says so with the effect PFCOUNT, so that log, flash and replicas have the
 * same bytes. No room in the log is asked for it: only a write, which was let in, makes a cache invalid, so there is at
 * most one such effect for a write. */
#include "core/value/hll.h"

#include <math.h>

#include "core/base/mem.h"
#include "server/reply.h"

#define CORRUPTED "INVALIDOBJ Corrupted HLL object detected"

/* True if the key is missing or a HyperLogLog; else replies. */
static bool is_hll(struct call *c, const struct place *p)
{
    char scratch[21];
    if (!place_is(c, p, VALUE_STRING))
        return false;
    if (p->e == NULL || hll_is(place_string(p, scratch)))
        return true;
    reply_error(c, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

/* The bytes of a key that is_hll. */
static struct slice bytes_of(const struct place *p)
{
    char scratch[21]; /* an integer is no HyperLogLog */
    return place_string(p, scratch);
}

static void create(struct call *c, struct place *p)
{
    struct value v = {.type = VALUE_STRING, .encoding = ENC_RAW, .blob = hll_new(64)};
    place_put(c, p, &v, ENTRY_NO_EXPIRY);
}

/* --- changing --- */

/* For the string that a limit, which may be another one tomorrow, has made dense. */
static void effect_dense(struct call *c, struct slice key)
{
    struct slice argv[] = {SLICE_LIT("PFDEBUG"), SLICE_LIT("TODENSE"), key};
    effect(c, 3, argv);
}

static bool make_dense(struct call *c, struct place *p)
{
    return hll_make_dense(place_writable(c, p, max_u64(bytes_of(p).len, HLL_DENSE_BYTES)));
}

/* Writes a mark that hll_find found a change at, and tells where the bytes are now. False if the string is corrupt. */
static bool raise_mark(struct call *c, struct place *p, struct hll_mark m, const struct hll_spot *spot, struct slice *s)
{
    struct blob *b = place_writable(c, p, s->len + (hll_is_dense(*s) ? 0 : HLL_GROWTH));
    if (!hll_raise(b, m, spot, call_hll_sparse_max(c))) {
        if (!make_dense(c, p))
            return false;
        b = place_writable(c, p, HLL_DENSE_BYTES);
        if (!hll_raise(b, m, spot, 0))
            return false;
    }
    *s = blob_slice(b);
    return true;
}

/* Adds a mark to the string *s of the place. */
static enum hll_found add(struct call *c, struct place *p, struct hll_mark m, struct hll_spot *spot, struct slice *s)
{
    enum hll_found found = hll_find(*s, m, spot, spot);
    return found == HLL_RAISE && !raise_mark(c, p, m, spot, s) ? HLL_CORRUPT : found;
}

/* Adds elements until one meets a corrupt run: returns the argument where that was, or argc. */
static int add_all(struct call *c, struct place *p, bool *changed)
{
    struct slice s = bytes_of(p);
    for (int i = 2; i < c->argc; i++) {
        struct hll_spot spot = {0};
        enum hll_found found = add(c, p, hll_mark_of(c->argv[i]), &spot, &s);
        if (found == HLL_CORRUPT)
            return i;
        *changed |= found == HLL_RAISE;
    }
    return c->argc;
}

static void pfadd_run(struct call *c)
{
    struct place p = place_write(c, 1);
    if (!is_hll(c, &p))
        return;
    bool changed = p.e == NULL;
    if (changed)
        create(c, &p);
    bool dense = hll_is_dense(bytes_of(&p));
    int done = add_all(c, &p, &changed);
    if (changed) {
        place_written(c, &p);
        key_event(c, &p, EVENT_STRING, "pfadd");
        effect(c, done, c->argv); /* what stands behind a corrupt run was not reached */
        if (hll_is_dense(bytes_of(&p)) != dense)
            effect_dense(c, p.key.name);
    }
    if (done < c->argc)
        reply_error(c, CORRUPTED);
    else
        reply_int(c, changed);
}

/* --- PFCOUNT --- */

static void pfcount_one(struct call *c)
{
    uint64_t count = 0;
    struct place p = place_read(c, 1);
    if (!is_hll(c, &p))
        return;
    if (p.e != NULL && p.e->encoding == ENC_EMBED)
        place_writable(c, &p, bytes_of(&p).len); /* raw from now on, as in Redis */
    if (p.e != NULL && !hll_cached(bytes_of(&p), &count)) {
        struct slice s = bytes_of(&p);
        if (!hll_count(s, &count)) {
            reply_error(c, CORRUPTED);
            return;
        }
        hll_cache(place_writable(c, &p, s.len)->data, count);
        place_written(c, &p);
        effect_verbatim(c);
    }
    reply_int(c, (int64_t)count);
}

/* Raises reg[] to the registers of the HyperLogLog in argument `arg`. Replies on failure. */
static bool merge_arg(struct call *c, int arg, uint8_t *reg, bool *dense)
{
    struct place p = place_read(c, arg);
    if (!is_hll(c, &p))
        return false;
    if (p.e == NULL)
        return true;
    *dense |= hll_is_dense(bytes_of(&p));
    if (hll_merge(reg, bytes_of(&p)))
        return true;
    reply_error(c, CORRUPTED);
    return false;
}

static bool merge_args(struct call *c, uint8_t *reg, bool *dense)
{
    memset(reg, 0, HLL_REGISTERS);
    *dense = false;
    for (int i = 1; i < c->argc; i++)
        if (!merge_arg(c, i, reg, dense))
            return false;
    return true;
}

static void pfcount_run(struct call *c)
{
    uint8_t reg[HLL_REGISTERS];
    bool dense;
    if (c->argc == 2)
        pfcount_one(c);
    else if (merge_args(c, reg, &dense))
        reply_int(c, (int64_t)hll_count_registers(reg));
}

/* --- PFMERGE --- */

/* In a sparse string the registers are raised one by one, in order: that, too, decides about its bytes. It has been
 * read by hll_merge, so it is not corrupt. */
static void raise_all(struct call *c, struct place *p, const uint8_t *reg)
{
    struct hll_spot spot = {0};
    struct slice s = bytes_of(p);
    for (uint32_t i = 0; i < HLL_REGISTERS && !hll_is_dense(s); i++)
        if (reg[i] > 0)
            add(c, p, (struct hll_mark){(uint16_t)i, reg[i]}, &spot, &s);
}

static void pfmerge_run(struct call *c)
{
    uint8_t reg[HLL_REGISTERS];
    bool dense;
    if (!merge_args(c, reg, &dense))
        return;
    struct place p = place_write(c, 1);
    if (p.e == NULL)
        create(c, &p);
    if (!dense)
        raise_all(c, &p, reg);
    if (dense || hll_is_dense(bytes_of(&p)))
        hll_set_dense(place_writable(c, &p, max_u64(bytes_of(&p).len, HLL_DENSE_BYTES)), reg);
    hll_uncache(place_writable(c, &p, bytes_of(&p).len)->data);
    place_written(c, &p);
    key_event(c, &p, EVENT_STRING, "pfadd");
    struct slice argv[] = {SLICE_LIT("SET"), p.key.name, bytes_of(&p), SLICE_LIT("KEEPTTL")};
    effect(c, 4, argv);
    reply_ok(c);
}

/* --- PFDEBUG --- */

/* Makes the string dense; false, with a reply, if it is corrupt. */
static bool debug_dense(struct call *c, struct place *p)
{
    if (hll_is_dense(bytes_of(p)))
        return true;
    if (!make_dense(c, p)) {
        reply_error(c, CORRUPTED);
        return false;
    }
    place_written(c, p);
    effect_dense(c, p->key.name);
    return true;
}

static void debug_getreg(struct call *c, struct place *p)
{
    uint8_t reg[HLL_REGISTERS];
    if (!debug_dense(c, p) || !hll_registers(bytes_of(p), reg))
        return;
    reply_array(c, HLL_REGISTERS);
    for (size_t i = 0; i < HLL_REGISTERS; i++)
        reply_int(c, reg[i]);
}

static void debug_decode(struct call *c, struct place *p)
{
    struct buf text = {0};
    if (hll_is_dense(bytes_of(p)))
        reply_error(c, "ERR HLL encoding is not sparse");
    else if (hll_decode(bytes_of(p), &text))
        reply_bulk(c, buf_slice(&text));
    else
        reply_error(c, CORRUPTED);
    buf_free(&text);
}

static void debug_encoding(struct call *c, struct place *p)
{
    reply_simple(c, hll_is_dense(bytes_of(p)) ? "dense" : "sparse");
}

static void debug_todense(struct call *c, struct place *p)
{
    bool sparse = !hll_is_dense(bytes_of(p));
    if (debug_dense(c, p))
        reply_int(c, sparse);
}

static void pfdebug_run(struct call *c)
{
    static const struct {
        const char *word;
        void (*run)(struct call *c, struct place *p);
    } subs[] = {
        {"getreg", debug_getreg}, {"decode", debug_decode}, {"encoding", debug_encoding}, {"todense", debug_todense}};
    struct place p = place_write(c, 2);
    if (p.e == NULL) {
        reply_error(c, "ERR The specified key does not exist");
        return;
    }
    if (!is_hll(c, &p))
        return;
    for (size_t i = 0; i < ARRAY_LEN(subs); i++)
        if (slice_is(c->argv[1], subs[i].word)) {
            subs[i].run(c, &p);
            return;
        }
    reply_errorf(c, "ERR Unknown PFDEBUG subcommand '%.*s'", (int)min_u64(c->argv[1].len, 128),
                 (const char *)c->argv[1].p);
}

/* --- PFSELFTEST --- */

#define SELFTEST_ELEMENTS 100000

/* The same elements into a sparse string, which never gets too long, and into a dense one. */
static bool selftest_add(struct blob *sparse, struct blob *dense, uint64_t element)
{
    struct hll_mark m = hll_mark_of(slice_of(&element, sizeof(element)));
    struct hll_spot spot = {0};
    bool ok = true;
    enum hll_found in_sparse = hll_find(blob_slice(sparse), m, &spot, &spot);
    enum hll_found in_dense = hll_find(blob_slice(dense), m, &spot, &(struct hll_spot){0});
    if (in_sparse == HLL_RAISE && !hll_is_dense(blob_slice(sparse)) && !hll_raise(sparse, m, &spot, HLL_DENSE_BYTES))
        ok = hll_make_dense(sparse) && hll_raise(sparse, m, &spot, 0);
    else if (in_sparse == HLL_RAISE && hll_is_dense(blob_slice(sparse)))
        ok = hll_raise(sparse, m, &spot, 0);
    if (in_dense == HLL_RAISE)
        ok &= hll_raise(dense, m, &spot, 0);
    return ok && in_sparse == in_dense;
}

/* NULL, or what is wrong. Six standard errors: no false alarm, as the elements are always the same. */
static const char *selftest_check(const struct blob *sparse, const struct blob *dense, uint64_t added)
{
    uint8_t a[HLL_REGISTERS], b[HLL_REGISTERS];
    uint64_t count;
    double bound = 6 * 1.04 / sqrt(HLL_REGISTERS) * (double)added;
    if (!hll_registers(blob_slice(sparse), a) || !hll_registers(blob_slice(dense), b) ||
        memcmp(a, b, HLL_REGISTERS) != 0)
        return "dense and sparse registers differ";
    if (!hll_count(blob_slice(dense), &count) || count != hll_count_registers(a))
        return "dense and sparse estimates differ";
    return fabs((double)count - (double)added) <= fmax(bound, 1) ? NULL : "the error is too large";
}

static const char *selftest(struct blob *sparse, struct blob *dense)
{
    uint64_t checkpoint = 1;
    const char *error = hll_make_dense(dense) ? NULL : "an empty one is corrupt";
    for (uint64_t i = 1; i <= SELFTEST_ELEMENTS && error == NULL; i++) {
        if (!selftest_add(sparse, dense, i * 0x9e3779b97f4a7c15ull))
            error = "an element was not added";
        else if (i == checkpoint) {
            error = selftest_check(sparse, dense, i);
            checkpoint *= 10;
        }
    }
    return error;
}

static void pfselftest_run(struct call *c)
{
    struct blob *sparse = hll_new(HLL_DENSE_BYTES), *dense = hll_new(HLL_DENSE_BYTES);
    const char *error = selftest(sparse, dense);
    if (error != NULL)
        reply_errorf(c, "ERR TESTFAILED %s", error);
    else
        reply_ok(c);
    blob_unref(sparse);
    blob_unref(dense);
}

/* --- declarations --- */

#define HLL .acl = ACL_HYPERLOGLOG, .group = "hyperloglog", .since = "2.8.9"

static const struct command_arg pfadd_args[] = {
    ARG("key", "key"),
    ARG("element", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg pfmerge_args[] = {
    ARG("destkey", "key"),
    ARG("sourcekey", "key", .key_spec = 1, .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg pfdebug_args[] = {
    ARG("subcommand", "string"),
    ARG("key", "key"),
    ARG_END,
};

struct command hyperloglog_commands[] = {
    {.name = "pfadd",
     .run = pfadd_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     HLL,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RW | KEY_INSERT, .first = 1, .step = 1, .need = NEED_VALUE}},
     .summary = "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.",
     .complexity = "O(1) to add every element.",
     .args = pfadd_args},
    {.name = "pfcount",
     .run = pfcount_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_MAY_REPLICATE,
     HLL,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RW | KEY_ACCESS,
               .first = 1,
               .last = -1,
               .step = 1,
               .need = NEED_VALUE,
               .notes = "RW because it may change the internal representation of the key, and propagate to replicas"}},
     .summary = "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
     .complexity = "O(1) with a very small average constant time when called with a single key. O(N) with N being the "
                   "number of keys, and much bigger constant times, when called with multiple keys.",
     .args = args_keys},
    {.name = "pfmerge",
     .run = pfmerge_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     HLL,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_INSERT, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_RO | KEY_ACCESS, .first = 2, .last = -1, .step = 1, .need = NEED_VALUE}},
     .summary = "Merges one or more HyperLogLog values into a single key.",
     .complexity = "O(N) to merge N HyperLogLogs, but with high constant times.",
     .args = pfmerge_args},
    {.name = "pfdebug",
     .run = pfdebug_run,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_ADMIN,
     HLL,
     .route = ROUTE_KEYS,
     .keys = {{.flags = KEY_RW | KEY_ACCESS, .first = 2, .step = 1, .need = NEED_VALUE}},
     .summary = "Internal commands for debugging HyperLogLog values.",
     .complexity = "N/A",
     .args = pfdebug_args,
     .internal = true},
    {.name = "pfselftest",
     .run = pfselftest_run,
     .arity = 1,
     .flags = CMD_ADMIN,
     HLL,
     .route = ROUTE_HOME,
     .summary = "An internal command for testing HyperLogLog values.",
     .complexity = "N/A",
     .internal = true},
    {.name = NULL},
};
