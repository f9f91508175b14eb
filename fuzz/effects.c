/* A frame's payload as replay and replicas walk it: any bytes. What is walked lies in the payload, in order; written
 * out again with a SELECT before each effect it walks the same. */
#include <errno.h>

#include "core/base/panic.h"
#include "core/proto/resp_writer.h"
#include "fuzz/replay.h"
#include "persist/effects.h"

#define LSN 1000

static void put_effect(struct buf *out, const struct effect_item *item)
{
    resp_array(out, 2);
    resp_bulk_str(out, "SELECT");
    resp_bulk_int(out, item->db);
    resp_array(out, (size_t)item->argc);
    for (int i = 0; i < item->argc; i++)
        resp_bulk(out, item->argv[i]);
}

static bool inside(struct slice all, struct slice part)
{
    return part.p >= all.p && part.p + part.len <= all.p + all.len;
}

/* Walks `payload` and writes its effects to `out`; how many there were. */
static size_t walk(struct slice payload, struct buf *out, int *end)
{
    struct effects e;
    struct effect_item item;
    uint64_t last = 0;
    size_t n = 0;
    effects_init(&e);
    effects_begin(&e, LSN, payload);
    for (; (*end = effects_next(&e, &item)) == 1; n++) {
        ensure(item.argc > 0 && item.lsn > last && item.lsn >= LSN && item.lsn < LSN + payload.len);
        last = item.lsn;
        for (int i = 0; i < item.argc; i++)
            ensure(inside(payload, item.argv[i]));
        put_effect(out, &item);
    }
    ensure(*end == 0 || *end == -EBADMSG);
    effects_free(&e);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once = {0}, twice = {0};
    int end;
    size_t n = walk(slice_of(data, size), &once, &end);
    ensure(n == 0 || once.len > 0);
    ensure(walk(buf_slice(&once), &twice, &end) == n && end == 0);
    ensure(slice_eq(buf_slice(&once), buf_slice(&twice)));
    buf_free(&once);
    buf_free(&twice);
    return 0;
}
