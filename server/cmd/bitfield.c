/* BITFIELD and BITFIELD_RO: integers of any width in a string. */
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/bits.h"
#include "server/cmd/bitmap.h"
#include "server/reply.h"

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY };
struct field_op {
    enum field_verb verb;
    enum bits_overflow overflow;
    struct bits_type type;
    uint64_t at;
    int64_t by;
};

#define FIELD_FEW 16
struct field_ops {
    struct field_op few[FIELD_FEW], *op;
    size_t n, cap;
    bool writes;
    uint64_t end; /* bits needed for what is written */
};

static bool parse_type(struct slice s, struct bits_type *out)
{
    int64_t width;
    bool is_signed = s.len > 0 && s.p[0] == 'i';
    if (!(is_signed || (s.len > 0 && s.p[0] == 'u')) || !num_parse_i64(slice_of(s.p + 1, s.len - 1), &width) ||
        width < 1 || width > 63 + is_signed)
        return false;
    *out = (struct bits_type){is_signed, (uint8_t)width};
    return true;
}

static bool arg_type(struct call *c, struct slice s, struct bits_type *out)
{
    if (parse_type(s, out))
        return true;
    reply_error(c, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    return false;
}

static bool arg_overflow(struct call *c, struct slice s, enum bits_overflow *out)
{
    static const char *const words[] = {[BITS_WRAP] = "wrap", [BITS_SAT] = "sat", [BITS_FAIL] = "fail"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_is(s, words[i])) {
            *out = (enum bits_overflow)i;
            return true;
        }
    reply_error(c, "ERR Invalid OVERFLOW type specified");
    return false;
}

/* How many arguments follow the verb; 0 if it is none or they are not all there. */
static int verb_args(struct slice word, int left, enum field_verb *verb)
{
    static const struct {
        const char *word;
        int args;
    } verbs[] = {[FIELD_GET] = {"get", 2}, [FIELD_SET] = {"set", 3}, [FIELD_INCRBY] = {"incrby", 3}};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (slice_is(word, verbs[i].word)) {
            *verb = (enum field_verb)i;
            return verbs[i].args <= left ? verbs[i].args : 0;
        }
    return 0;
}

static bool arg_field(struct call *c, const struct slice *args, struct field_op *op)
{
    return arg_type(c, args[0], &op->type) && bitmap_offset(c, args[1], op->type.width, &op->at) &&
           (op->verb == FIELD_GET || arg_i64(c, args[2], &op->by));
}

static bool field_args(struct call *c, struct field_ops *ops)
{
    enum bits_overflow overflow = BITS_WRAP;
    for (int i = 2; i < c->argc;) {
        struct field_op *op = &ops->op[ops->n];
        int left = c->argc - i - 1;
        if (slice_is(c->argv[i], "overflow") && left >= 1) {
            if (!arg_overflow(c, c->argv[i + 1], &overflow))
                return false;
            i += 2;
            continue;
        }
        int args = verb_args(c->argv[i], left, &op->verb);
        if (args == 0) {
            reply_syntax(c);
            return false;
        }
        if (!arg_field(c, &c->argv[i + 1], op))
            return false;
        op->overflow = overflow;
        if (op->verb != FIELD_GET) {
            ops->writes = true;
            ops->end = max_u64(ops->end, op->at + op->type.width);
        }
        ops->n++;
        i += args + 1;
    }
    return true;
}

/* Runs one SET or INCRBY on the string *s; true if that has changed, and *s with it. */
static bool field_write(struct call *c, struct place *p, struct slice *s, const struct field_op *op)
{
    int64_t now, old = bits_read(*s, op->at, op->type);
    bool set = op->verb == FIELD_SET;
    if (!bits_add(op->type, set ? op->by : old, set ? 0 : op->by, op->overflow, &now)) {
        reply_null(c);
        return false;
    }
    reply_int(c, set ? old : now);
    if (now == old)
        return false;
    uint8_t *bytes = bitmap_writable(c, p, s->len);
    bits_write(bytes, op->at, op->type, now);
    *s = slice_of(bytes, s->len);
    return true;
}

static void fields_read(struct call *c, struct slice s, const struct field_ops *ops)
{
    reply_array(c, ops->n);
    for (size_t i = 0; i < ops->n; i++)
        reply_int(c, bits_read(s, ops->op[i].at, ops->op[i].type));
}

static void fields_run(struct call *c, struct place *p, const struct field_ops *ops)
{
    char scratch[21];
    struct slice s = place_string(p, scratch);
    if (!ops->writes) {
        fields_read(c, s, ops);
        return;
    }
    size_t len = (ops->end + 7) / 8;
    bool changed = len > s.len;
    len = max_u64(len, s.len);
    s = slice_of(bitmap_writable(c, p, len), len); /* raw from now on, as in Redis, even if nothing changes */
    reply_array(c, ops->n);
    for (size_t i = 0; i < ops->n; i++) {
        const struct field_op *op = &ops->op[i];
        if (op->verb == FIELD_GET)
            reply_int(c, bits_read(s, op->at, op->type));
        else
            changed |= field_write(c, p, &s, op);
    }
    if (changed) {
        place_written(c, p);
        key_event(c, p, EVENT_STRING, "setbit");
        effect_verbatim(c);
    }
}

static void bitfield_with(struct call *c, bool read_only)
{
    struct field_ops ops = {.op = ops.few, .cap = (size_t)c->argc / 3 + 1};
    if (ops.cap > FIELD_FEW)
        ops.op = mem_alloc(ops.cap * sizeof(*ops.op));
    if (field_args(c, &ops)) {
        if (read_only && ops.writes) {
            reply_error(c, "ERR BITFIELD_RO only supports the GET subcommand");
        } else {
            struct place p = ops.writes ? place_write(c, 1) : place_read(c, 1);
            if (place_is(c, &p, VALUE_STRING))
                fields_run(c, &p, &ops);
        }
    }
    if (ops.op != ops.few)
        mem_free(ops.op, ops.cap * sizeof(*ops.op));
}

/* A BITFIELD that only reads. Words are taken as field_args takes them. */
static uint16_t bitfield_key_flags(const struct slice *argv, int argc)
{
    enum field_verb verb;
    for (int i = 2, args; i < argc; i += args + 1) {
        bool overflow = slice_is(argv[i], "overflow");
        args = overflow ? 1 : verb_args(argv[i], argc - i - 1, &verb);
        if (args == 0 || (!overflow && verb != FIELD_GET))
            return KEY_RW | KEY_ACCESS | KEY_UPDATE;
    }
    return KEY_RO | KEY_ACCESS;
}

static uint64_t bitfield_end(const struct slice *argv, int argc)
{
    enum field_verb verb;
    uint64_t end = 0;
    for (int i = 2, args; i < argc; i += args + 1) {
        struct bits_type type;
        int64_t at;
        bool overflow = slice_is(argv[i], "overflow");
        args = overflow ? 1 : verb_args(argv[i], argc - i - 1, &verb);
        if (args == 0)
            return 0;
        if (!overflow && verb != FIELD_GET && parse_type(argv[i + 1], &type) &&
            bitmap_parse_offset(argv[i + 2], type.width, &at))
            end = max_u64(end, ((uint64_t)at + type.width + 7) / 8);
    }
    return end;
}

static void bitfield_run(struct call *c) { bitfield_with(c, false); }
static void bitfield_ro_run(struct call *c) { bitfield_with(c, true); }

/* --- declarations --- */

#define BITMAP .acl = ACL_BITMAP, .route = ROUTE_KEYS, .group = "bitmap"

static const struct command_arg field_get[] = {
    ARG("encoding", "string"),
    ARG("offset", "integer"),
    ARG_END,
};
static const struct command_arg field_set[] = {
    ARG("encoding", "string"),
    ARG("offset", "integer"),
    ARG("value", "integer"),
    ARG_END,
};
static const struct command_arg field_incrby[] = {
    ARG("encoding", "string"),
    ARG("offset", "integer"),
    ARG("increment", "integer"),
    ARG_END,
};
static const struct command_arg field_overflow[] = {
    ARG_TOKEN("wrap", "WRAP"),
    ARG_TOKEN("sat", "SAT"),
    ARG_TOKEN("fail", "FAIL"),
    ARG_END,
};
static const struct command_arg field_write_operation[] = {
    ARG_BLOCK("set-block", field_set, .token = "SET"),
    ARG_BLOCK("incrby-block", field_incrby, .token = "INCRBY"),
    ARG_END,
};
static const struct command_arg field_write_args[] = {
    ARG_ONEOF("overflow-block", field_overflow, .token = "OVERFLOW", .flags = ARG_OPTIONAL),
    ARG_ONEOF("write-operation", field_write_operation),
    ARG_END,
};
static const struct command_arg field_operation[] = {
    ARG_BLOCK("get-block", field_get, .token = "GET"),
    ARG_BLOCK("write", field_write_args),
    ARG_END,
};
static const struct command_arg bitfield_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("operation", field_operation, .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg bitfield_ro_args[] = {
    ARG("key", "key"),
    ARG_BLOCK("get-block", field_get, .token = "GET", .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN),
    ARG_END,
};

struct command bitfield_commands[] = {
    {.name = "bitfield",
     .run = bitfield_run,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     BITMAP,
     .key_flags = bitfield_key_flags,
     .string_end = bitfield_end,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS,
               .first = 1,
               .step = 1,
               .need = NEED_VALUE,
               .notes = "This command allows both access and modification of the key"}},
     .summary = "Performs arbitrary bitfield integer operations on strings.",
     .since = "3.2.0",
     .complexity = "O(1) for each subcommand specified",
     .args = bitfield_args},
    {.name = "bitfield_ro",
     .run = bitfield_ro_run,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     BITMAP,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .need = NEED_VALUE}},
     .summary = "Performs arbitrary read-only bitfield integer operations on strings.",
     .since = "6.0.0",
     .complexity = "O(1) for each subcommand specified",
     .args = bitfield_ro_args},
    {.name = NULL},
};
