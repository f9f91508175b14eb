#include "server/cmd/store.h"

#include "server/cmd/dump.h"
#include "server/reply.h"

void store_result(struct call *c, int arg, struct value *v, uint32_t event_class, const char *event)
{
    const struct value_class *cls = value_class_of(v->type);
    struct place dst = place_write(c, arg);
    uint64_t n = cls->length(v);
    if (n > 0) {
        place_put(c, &dst, v, ENTRY_NO_EXPIRY);
        effect_value(c, &dst, ENTRY_NO_EXPIRY);
        key_event(c, &dst, event_class, event);
    } else {
        cls->release(v);
        if (dst.e != NULL)
            place_remove(c, &dst);
    }
    reply_int(c, (int64_t)n);
}
