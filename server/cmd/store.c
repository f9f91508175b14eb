#include "server/cmd/store.h"

#include "server/cmd/dump.h"
#include "server/reply.h"

static void effect_value(struct call *c, struct slice key, const struct value *v)
{
    struct buf payload = {0};
    dump_encode(v, &payload);
    struct slice argv[] = {SLICE_LIT("RESTORE"), key, SLICE_LIT("0"), buf_slice(&payload), SLICE_LIT("REPLACE")};
    effect(c, ARRAY_LEN(argv), argv);
    buf_free(&payload);
}

void store_result(struct call *c, int arg, struct value *v)
{
    const struct value_class *cls = value_class_of(v->type);
    struct place dst = place_write(c, arg);
    uint64_t n = cls->length(v);
    if (n > 0) {
        effect_value(c, dst.key.name, v);
        place_put(c, &dst, v, ENTRY_NO_EXPIRY);
    } else {
        cls->release(v);
        if (dst.e != NULL)
            place_remove(c, &dst);
    }
    reply_int(c, (int64_t)n);
}
