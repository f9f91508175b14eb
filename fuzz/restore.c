/* DUMP payloads as RESTORE takes them: any bytes, and any bytes with a good footer (else nothing behind the checksum is
 * ever reached). What is accepted is a sound value that encodes to a payload of the same value. */
#include "core/base/panic.h"
#include "core/value/value.h"
#include "fuzz/replay.h"
#include "server/cmd/dump.h"

#define EXPANDED_MAX (8 * MIB) /* a test's memory, not a limit of the product */

static void mix(void *arg, struct slice s) { buf_append_slice(arg, s); }

static void digest_of(const struct value *v, struct buf *out)
{
    buf_clear(out);
    value_class_of(v->type)->digest(v, mix, out);
}

static void check(struct value *v)
{
    const struct value_class *cls = value_class_of(v->type);
    struct buf payload = {0}, digest = {0}, again = {0};
    struct value second, copy;
    ensure(cls != NULL && cls->name != NULL && cls->encoding_name(v) != NULL && v->encoding != ENC_EMBED);
    dump_encode(v, &payload);
    ensure(dump_decode(buf_slice(&payload), true, &value_limits_default, &second) == DUMP_OK);
    digest_of(v, &digest);
    digest_of(&second, &again);
    ensure(second.type == v->type && cls->length(v) == cls->length(&second));
    ensure(slice_eq(buf_slice(&digest), buf_slice(&again)));
    copy = cls->copy(v);
    cls->release(v);
    digest_of(&copy, &again);
    ensure(slice_eq(buf_slice(&digest), buf_slice(&again)));
    cls->release(&copy);
    cls->release(&second);
    buf_free(&payload);
    buf_free(&digest);
    buf_free(&again);
}

static void restore(struct slice payload)
{
    struct value v;
    if (dump_decode(payload, true, &value_limits_default, &v) == DUMP_OK)
        check(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf payload = {0};
    if (size > EXPANDED_MAX / 100)
        return 0;
    restore(slice_of(data, size));
    buf_append(&payload, data, size);
    buf_put_u16(&payload, 10); /* RDB version */
    buf_put_u64(&payload, 0);  /* no checksum: taken, as in Redis */
    restore(buf_slice(&payload));
    buf_free(&payload);
    return 0;
}
