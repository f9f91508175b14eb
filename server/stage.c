#include "server/stage.h"

#include "core/base/panic.h"
#include "core/proto/resp_writer.h"

#define MULTI "*1\r\n$5\r\nMULTI\r\n"
#define EXEC "*1\r\n$4\r\nEXEC\r\n"
#define STAGE_KEEP (MIB)

static void put_select(struct stage *s, uint32_t db)
{
    resp_array(&s->bytes, 2);
    resp_bulk(&s->bytes, SLICE_LIT("SELECT"));
    resp_bulk_int(&s->bytes, db);
    s->db = db;
}

void stage_begin(struct stage *s)
{
    s->group_start = s->bytes.len;
    s->group = 0;
}

/* The first SELECT of a group stands before its MULTI, so group_start is moved behind it. */
void stage_effect(struct stage *s, uint32_t db, int argc, const struct slice *argv)
{
    if (s->db != (int64_t)db) {
        put_select(s, db);
        if (s->group == 0)
            s->group_start = s->bytes.len;
    }
    if (s->group++ == 0)
        s->group_db = db;
    resp_array(&s->bytes, (size_t)argc);
    for (int i = 0; i < argc; i++)
        resp_bulk(&s->bytes, argv[i]);
}

void stage_end(struct stage *s)
{
    if (s->group > 1) {
        buf_insert(&s->bytes, s->group_start, MULTI, sizeof(MULTI) - 1);
        buf_append(&s->bytes, EXEC, sizeof(EXEC) - 1);
    }
    s->group = 0;
}

bool stage_cut(struct stage *s, struct buf *group)
{
    if (s->group_start == 0 || s->bytes.len == 0 || s->spaces > 0)
        return false;
    if (s->group > 0)
        buf_append(group, s->bytes.p + s->group_start, s->bytes.len - s->group_start);
    s->bytes.len = s->group > 0 ? s->group_start : s->bytes.len;
    s->cut = s->group;
    s->group = 0;
    return true;
}

/* What the frame was, logged or of an `always` database, the rest may be too. */
void stage_resume(struct stage *s, const struct buf *group)
{
    stage_begin(s);
    if (s->cut == 0)
        return;
    put_select(s, (uint32_t)s->group_db);
    s->group_start = s->bytes.len;
    buf_append_slice(&s->bytes, buf_slice(group));
    s->group = s->cut;
}

void stage_clear(struct stage *s)
{
    ensure(s->group == 0);
    buf_reset(&s->bytes, STAGE_KEEP);
    s->db = -1;
    s->spaces = 0;
    s->logged = false;
    s->always = false;
}

void stage_free(struct stage *s) { buf_free(&s->bytes); }
