#include "persist/effects.h"

#include <errno.h>

#include "core/base/mem.h"
#include "core/base/num.h"

void effects_init(struct effects *e)
{
    *e = (struct effects){0};
    resp_reader_init(&e->reader);
}

void effects_free(struct effects *e)
{
    resp_reader_free(&e->reader);
    mem_free(e->argv, sizeof(*e->argv) * (size_t)e->cap);
}

void effects_begin(struct effects *e, uint64_t lsn, struct slice payload)
{
    e->payload = payload;
    e->pos = 0;
    e->lsn = lsn;
    e->db = 0;
}

static void fill_argv(struct effects *e, const uint8_t *base)
{
    int argc = (int)e->reader.argc;
    if (argc > e->cap) {
        mem_free(e->argv, sizeof(*e->argv) * (size_t)e->cap);
        e->cap = argc * 2;
        e->argv = mem_alloc(sizeof(*e->argv) * (size_t)e->cap);
    }
    for (int i = 0; i < argc; i++) {
        const struct resp_arg *a = &e->reader.args[i];
        e->argv[i] = slice_of(a->ext ? a->ext : base + a->off, a->len);
    }
    e->argc = argc;
}

/* Reads one command at e->pos; 1, or -EBADMSG. */
static int read_command(struct effects *e, uint64_t *lsn)
{
    static const struct resp_limits limits = {SIZE_MAX / 4, 64 * KIB, INT32_MAX, SIZE_MAX / 4, SIZE_MAX};
    const uint8_t *base = e->payload.p + e->pos;
    size_t consumed = 0;

    if (*base != '*')
        return -EBADMSG;
    resp_reader_reset(&e->reader);
    if (resp_read(&e->reader, &limits, base, e->payload.len - e->pos, &consumed) != RESP_DONE)
        return -EBADMSG;
    fill_argv(e, base);
    *lsn = e->lsn + e->pos;
    e->pos += consumed;
    return 1;
}

static int select_db(struct effects *e)
{
    int64_t db;
    if (e->argc != 2 || !num_parse_i64(e->argv[1], &db) || db < 0 || db > UINT32_MAX)
        return -EBADMSG;
    e->db = (uint32_t)db;
    return 0;
}

int effects_next(struct effects *e, struct effect_item *item)
{
    while (e->pos < e->payload.len) {
        uint64_t lsn;
        int err = read_command(e, &lsn);
        if (err < 0)
            return err;
        if (slice_is(e->argv[0], "multi") || slice_is(e->argv[0], "exec"))
            continue;
        if (slice_is(e->argv[0], "select")) {
            err = select_db(e);
            if (err < 0)
                return err;
            continue;
        }
        *item = (struct effect_item){lsn, e->db, e->argc, e->argv};
        return 1;
    }
    return 0;
}
