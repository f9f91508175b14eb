/* Bitmap commands: strings whose bits are addressed. BITFIELD is in bitfield.c. */
#include "server/cmd/bitmap.h"

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/bits.h"
#include "server/reply.h"

/* --- parsing --- */

/* What is being applied has been let in under the limit of its time. */
bool bitmap_parse_offset(struct slice s, uint8_t width, int64_t *out)
{
    bool fields = width > 0 && s.len > 0 && s.p[0] == '#';
    return num_parse_i64(fields ? slice_of(s.p + 1, s.len - 1) : s, out) &&
           !(fields && __builtin_mul_overflow(*out, (int64_t)width, out)) && *out >= 0;
}

bool bitmap_offset(struct call *c, struct slice s, uint8_t width, uint64_t *out)
{
    int64_t at;
    if (bitmap_parse_offset(s, width, &at) && (c->apply || at >> 3 < call_max_string(c))) {
        *out = (uint64_t)at;
        return true;
    }
    reply_error(c, "ERR bit offset is not an integer or out of range");
    return false;
}

/* A range of bytes or bits as it was given: negative positions count from the end. */
struct range {
    int64_t start, end;
    bool in_bits;
};

static bool arg_unit(struct call *c, struct slice s, bool *in_bits)
{
    *in_bits = slice_is(s, "bit");
    if (*in_bits || slice_is(s, "byte"))
        return true;
    reply_syntax(c);
    return false;
}

/* The bits first..last that the range covers in a string. False if there are none. */
static bool range_bits(const struct range *r, size_t len, uint64_t *first, uint64_t *last)
{
    int64_t total = (int64_t)len * (r->in_bits ? 8 : 1);
    int64_t start = r->start < 0 ? r->start + total : r->start;
    int64_t end = r->end < 0 ? r->end + total : r->end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    if (end >= total)
        end = total - 1;
    if (start > end)
        return false;
    *first = (uint64_t)start * (r->in_bits ? 1 : 8);
    *last = r->in_bits ? (uint64_t)end : (uint64_t)end * 8 + 7;
    return true;
}

/* --- single bits --- */

uint8_t *bitmap_writable(struct call *c, struct place *p, size_t len)
{
    char scratch[21];
    size_t old = place_string(p, scratch).len;
    if (p->e == NULL) {
        struct value v = {.type = VALUE_STRING, .encoding = ENC_RAW, .blob = blob_new(len)};
        place_put(c, p, &v, ENTRY_NO_EXPIRY);
    }
    struct blob *b = place_writable(c, p, len);
    if (old < len) {
        memset(b->data + old, 0, len - old);
        b->len = len;
    }
    return b->data;
}

static uint64_t setbit_end(const struct slice *argv, int argc)
{
    int64_t at;
    (void)argc;
    return bitmap_parse_offset(argv[2], 0, &at) ? ((uint64_t)at >> 3) + 1 : 0;
}

static void setbit_run(struct call *c)
{
    char scratch[21];
    uint64_t at;
    if (!bitmap_offset(c, c->argv[2], 0, &at))
        return;
    struct slice bit = c->argv[3];
    if (bit.len != 1 || (bit.p[0] != '0' && bit.p[0] != '1')) {
        reply_error(c, "ERR bit is not an integer or out of range");
        return;
    }
    struct place p = place_write(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    struct slice s = place_string(&p, scratch);
    bool on = bit.p[0] == '1', old = bits_get(s, at);
    uint8_t *bytes = bitmap_writable(c, &p, (at >> 3) + 1); /* raw from now on, as in Redis, even if nothing changes */
    if (at >> 3 >= s.len || old != on) {
        bits_set(bytes, at, on);
        place_written(c, &p);
        key_event(c, &p, EVENT_STRING, "setbit");
        effect_verbatim(c);
    }
    reply_int(c, old);
}

static void getbit_run(struct call *c)
{
    char scratch[21];
    uint64_t at;
    if (!bitmap_offset(c, c->argv[2], 0, &at))
        return;
    struct place p = place_read(c, 1);
    if (place_is(c, &p, VALUE_STRING))
        reply_int(c, bits_get(place_string(&p, scratch), at));
}

/* --- ranges --- */

static void bitcount_run(struct call *c)
{
    char scratch[21];
    struct range r = {0, -1, false};
    uint64_t first, last;

    if (c->argc == 3 || c->argc > 5) {
        reply_syntax(c);
        return;
    }
    if (c->argc > 3 && (!arg_i64(c, c->argv[2], &r.start) || !arg_i64(c, c->argv[3], &r.end)))
        return;
    if (c->argc > 4 && !arg_unit(c, c->argv[4], &r.in_bits))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    struct slice s = place_string(&p, scratch);
    bool reversed = r.start < 0 && r.end < 0 && r.start > r.end; /* empty, wherever the string begins */
    reply_int(c, !reversed && range_bits(&r, s.len, &first, &last) ? (int64_t)bits_count(s, first, last) : 0);
}

static bool bitpos_args(struct call *c, bool *on, struct range *r)
{
    int64_t bit;
    if (!arg_i64(c, c->argv[2], &bit))
        return false;
    if (bit != 0 && bit != 1) {
        reply_error(c, "ERR The bit argument must be 1 or 0.");
        return false;
    }
    *on = bit == 1;
    *r = (struct range){0, -1, false};
    if (c->argc > 6) {
        reply_syntax(c);
        return false;
    }
    return (c->argc < 4 || arg_i64(c, c->argv[3], &r->start)) &&
           (c->argc < 6 || arg_unit(c, c->argv[5], &r->in_bits)) && (c->argc < 5 || arg_i64(c, c->argv[4], &r->end));
}

static int64_t bitpos_in(struct slice s, bool on, const struct range *r, bool open_end)
{
    uint64_t first, last;
    if (!range_bits(r, s.len, &first, &last))
        return -1;
    int64_t found = bits_find(s, first, last, on);
    /* Zeros follow a string without end: the first of them is found if no end was asked for. */
    return found < 0 && !on && open_end ? (int64_t)s.len * 8 : found;
}

static void bitpos_run(struct call *c)
{
    char scratch[21];
    struct range r;
    bool on;
    if (!bitpos_args(c, &on, &r))
        return;
    struct place p = place_read(c, 1);
    if (!place_is(c, &p, VALUE_STRING))
        return;
    if (p.e == NULL)
        reply_int(c, on ? -1 : 0);
    else
        reply_int(c, bitpos_in(place_string(&p, scratch), on, &r, c->argc < 5));
}

/* --- BITOP --- */

static const char *const op_words[] = {
    [BITS_AND] = "AND",   [BITS_OR] = "OR",       [BITS_XOR] = "XOR",     [BITS_NOT] = "NOT",
    [BITS_DIFF] = "DIFF", [BITS_DIFF1] = "DIFF1", [BITS_ANDOR] = "ANDOR", [BITS_ONE] = "ONE",
};

static bool arg_op(struct call *c, enum bits_op *out)
{
    size_t op = 0;
    while (op < ARRAY_LEN(op_words) && !slice_is(c->argv[1], op_words[op]))
        op++;
    *out = (enum bits_op)op;
    if (op == ARRAY_LEN(op_words))
        reply_syntax(c);
    else if (op == BITS_NOT && c->argc != 4)
        reply_error(c, "ERR BITOP NOT must be called with a single source key.");
    else if ((op == BITS_DIFF || op == BITS_DIFF1 || op == BITS_ANDOR) && c->argc < 5)
        reply_errorf(c, "ERR BITOP %s must be called with at least two source keys.", op_words[op]);
    else
        return true;
    return false;
}

/* The sources' bytes; `scratch` has room for an integer of each. Look-ups move no entry, so all slices stay. */
static bool sources(struct call *c, struct slice *out, char (*scratch)[21], size_t *longest)
{
    *longest = 0;
    for (int i = 3; i < c->argc; i++) {
        struct place p = place_read(c, i);
        if (!place_is(c, &p, VALUE_STRING))
            return false;
        out[i - 3] = place_string(&p, scratch[i - 3]);
        *longest = max_u64(*longest, out[i - 3].len);
    }
    return true;
}

/* The result is what the log is told: the effect of several keys would depend on all of them. */
static void store(struct call *c, struct blob *result)
{
    struct place p = place_write(c, 2);
    if (result->len > 0) {
        struct value v = {.type = VALUE_STRING, .encoding = ENC_RAW, .blob = blob_ref(result)};
        struct slice argv[] = {SLICE_LIT("SET"), p.key.name, blob_slice(result)};
        place_put(c, &p, &v, ENTRY_NO_EXPIRY);
        key_event(c, &p, EVENT_STRING, "set");
        effect(c, 3, argv);
    } else if (p.e != NULL) {
        place_remove(c, &p);
    }
}

static void bitop_run(struct call *c)
{
    enum bits_op op;
    size_t n = (size_t)c->argc - 3, len;
    if (!arg_op(c, &op))
        return;
    struct slice *s = mem_alloc(n * sizeof(*s));
    char(*scratch)[21] = mem_alloc(n * sizeof(*scratch));
    if (sources(c, s, scratch, &len)) {
        struct blob *result = blob_new(len);
        bits_combine(op, s, n, result->data, len);
        result->len = len;
        store(c, result);
        blob_unref(result);
        reply_int(c, (int64_t)len);
    }
    mem_free(s, n * sizeof(*s));
    mem_free(scratch, n * sizeof(*scratch));
}

/* --- declarations --- */

#define KEY1(f)                                                      \
    {                                                                \
        {                                                            \
            .flags = (f), .first = 1, .step = 1, .need = NEED_VALUE, \
        }                                                            \
    }
#define BITMAP .acl = ACL_BITMAP, .route = ROUTE_KEYS, .group = "bitmap"
#define BYTE_BIT CHANGE("7.0.0", "Added the `BYTE|BIT` option.")

static const struct command_arg setbit_args[] = {
    ARG("key", "key"),
    ARG("offset", "integer"),
    ARG("value", "integer"),
    ARG_END,
};
static const struct command_arg getbit_args[] = {
    ARG("key", "key"),
    ARG("offset", "integer"),
    ARG_END,
};
static const struct command_arg unit_args[] = {
    ARG_TOKEN("byte", "BYTE"),
    ARG_TOKEN("bit", "BIT"),
    ARG_END,
};
static const struct command_arg bitcount_range[] = {
    ARG("start", "integer"),
    ARG("end", "integer"),
    ARG_ONEOF("unit", unit_args, .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg bitcount_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("range", bitcount_range, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg bitpos_end[] = {
    ARG("end", "integer"),
    ARG_ONEOF("unit", unit_args, .since = "7.0.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg bitpos_range[] = {
    ARG("start", "integer"),
    ARG_BLOCK("end-unit-block", bitpos_end, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg bitpos_arguments[] = {
    ARG("key", "key"),
    ARG("bit", "integer"),
    ARG_BLOCK("range", bitpos_range, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg bitop_operation[] = {
    ARG_TOKEN("and", "AND"),
    ARG_TOKEN("or", "OR"),
    ARG_TOKEN("xor", "XOR"),
    ARG_TOKEN("not", "NOT"),
    ARG_TOKEN("diff", "DIFF", .since = "8.2.0"),
    ARG_TOKEN("diff1", "DIFF1", .since = "8.2.0"),
    ARG_TOKEN("andor", "ANDOR", .since = "8.2.0"),
    ARG_TOKEN("one", "ONE", .since = "8.2.0"),
    ARG_END,
};
static const struct command_arg bitop_args[] = {
    ARG_ONEOF("operation", bitop_operation),
    ARG("destkey", "key"),
    ARG("key", "key", .key_spec = 1, .flags = ARG_MULTIPLE),
    ARG_END,
};
struct command bitmap_commands[] = {
    {.name = "setbit",
     .run = setbit_run,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     BITMAP,
     .keys = KEY1(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     .string_end = setbit_end,
     .summary = "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
     .since = "2.2.0",
     .complexity = "O(1)",
     .args = setbit_args},
    {.name = "getbit",
     .run = getbit_run,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     BITMAP,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns a bit value by offset.",
     .since = "2.2.0",
     .complexity = "O(1)",
     .args = getbit_args},
    {.name = "bitcount",
     .run = bitcount_run,
     .arity = -2,
     .flags = CMD_READONLY,
     BITMAP,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Counts the number of set bits (population counting) in a string.",
     .since = "2.6.0",
     .complexity = "O(N)",
     .args = bitcount_args,
     .history = STRINGS(BYTE_BIT)},
    {.name = "bitpos",
     .run = bitpos_run,
     .arity = -3,
     .flags = CMD_READONLY,
     BITMAP,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Finds the first set (1) or clear (0) bit in a string.",
     .since = "2.8.7",
     .complexity = "O(N)",
     .args = bitpos_arguments,
     .history = STRINGS(BYTE_BIT)},
    {.name = "bitop",
     .run = bitop_run,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     BITMAP,
     .keys = {{.flags = KEY_OW | KEY_UPDATE, .first = 2, .step = 1, .need = NEED_META},
              {.flags = KEY_RO | KEY_ACCESS, .first = 3, .last = -1, .step = 1, .need = NEED_VALUE}},
     .summary = "Performs bitwise operations on multiple strings, and stores the result.",
     .since = "2.6.0",
     .complexity = "O(N)",
     .args = bitop_args,
     .history = STRINGS(CHANGE("8.2.0", "Added the `DIFF`, `DIFF1`, `ANDOR`, and `ONE` operations."))},
    {.name = NULL},
};
