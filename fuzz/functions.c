/* What FUNCTION RESTORE takes: any bytes, and any bytes with a good footer. Every code in it is looked at for its
 * metadata; what is sound makes a library, and the set of them reads back as it was written. Lua does not run. */
#include <errno.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "fuzz/replay.h"
#include "server/functions.h"

#define EXPANDED_MAX (8 * MIB) /* a test's memory, not a limit of the product */

struct taken {
    struct functions *now;
    unsigned codes;
};

/* Its functions are the words of the code. */
static void add_functions(struct library *l)
{
    size_t from = 0;
    for (size_t i = 0; i <= l->code.len && l->n < 8; i++) {
        if (i < l->code.len && l->code.p[i] > ' ')
            continue;
        struct slice word = slice_of(l->code.p + from, i - from);
        if (functions_name_ok(word)) {
            unsigned before = l->n;
            int err = library_add(l, word, i % 2 ? word : slice_of(NULL, 0), (uint32_t)i);
            ensure(err == -EEXIST ? l->n == before : l->n == before + 1);
        }
        from = i + 1;
    }
}

static bool take(void *arg, struct slice code)
{
    struct taken *t = arg;
    struct buf text = {0}, error = {0};
    struct library_about about;
    t->codes++;
    if (functions_about(code, &about, &text, &error)) {
        ensure(functions_name_ok(about.name) && about.line < code.len && code.p[about.line] == '\n');
        struct library *l = library_new(&about, code);
        add_functions(l);
        struct functions *next = functions_with(t->now, l, &error);
        ensure(next != NULL || error.len > 0);
        if (next != NULL) {
            ensure(functions_library(next, about.name)->code.len == code.len);
            functions_unref(t->now);
            t->now = next;
        }
    } else {
        ensure(error.len > 0);
    }
    buf_free(&text);
    buf_free(&error);
    return true;
}

static bool same(void *arg, struct slice code)
{
    struct taken *t = arg;
    ensure(t->codes < t->now->nlibraries && slice_eq(t->now->libraries[t->codes]->code, code));
    t->codes++;
    return true;
}

static void check(struct functions *f)
{
    struct taken t = {f, 0};
    struct buf payload = {0}, error = {0};
    for (unsigned i = 0; i < f->nfunctions; i++)
        ensure(functions_find(f, f->by_name[i]->name) == f->by_name[i]);
    functions_encode(f, &payload);
    ensure(functions_payload_ok(buf_slice(&payload)));
    ensure(functions_decode(buf_slice(&payload), same, &t, &error) && t.codes == f->nlibraries);
    struct functions *joined = functions_join(f, f, true, &error);
    ensure(joined != NULL && joined->nfunctions == f->nfunctions);
    functions_unref(joined);
    ensure(f->nlibraries == 0 || functions_join(f, f, false, &error) == NULL);
    buf_free(&payload);
    buf_free(&error);
}

static void restore(struct slice payload)
{
    struct taken t = {functions_new(), 0};
    struct buf error = {0};
    if (functions_payload_ok(payload)) {
        functions_decode(payload, take, &t, &error);
        check(t.now);
    }
    functions_unref(t.now);
    buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf payload = {0};
    if (size > EXPANDED_MAX / 100)
        return 0;
    restore(slice_of(data, size));
    buf_append(&payload, data, size);
    buf_put_u16(&payload, 10); /* RDB version */
    buf_put_u64(&payload, crc64_jones(0, payload.p, payload.len));
    restore(buf_slice(&payload));
    buf_free(&payload);
    return 0;
}
