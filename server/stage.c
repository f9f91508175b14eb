#include "server/stage.h"

#include "core/base/num.h"
#include "core/base/panic.h"

#define MULTI "*1\r\n$5\r\nMULTI\r\n"
#define EXEC "*1\r\n$4\r\nEXEC\r\n"
#define STAGE_KEEP (MIB)

static void put_header(struct buf *b, char kind, size_t n)
{
    uint8_t *p = buf_reserve(b, 24);
    size_t len;
    p[0] = (uint8_t)kind;
    len = 1 + num_format_u64((char *)p + 1, n);
    p[len++] = '\r';
    p[len++] = '\n';
    b->len += len;
}

static void put_arg(struct buf *b, struct slice s)
{
    put_header(b, '$', s.len);
    uint8_t *p = buf_reserve(b, s.len + 2);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    p[s.len] = '\r';
    p[s.len + 1] = '\n';
    b->len += s.len + 2;
}

static void put_select(struct stage *s, uint32_t db)
{
    char text[24];
    put_header(&s->bytes, '*', 2);
    put_arg(&s->bytes, SLICE_LIT("SELECT"));
    put_arg(&s->bytes, slice_of(text, num_format_u64(text, db)));
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
    s->group++;
    put_header(&s->bytes, '*', (size_t)argc);
    for (int i = 0; i < argc; i++)
        put_arg(&s->bytes, argv[i]);
}

void stage_end(struct stage *s)
{
    if (s->group > 1) {
        buf_insert(&s->bytes, s->group_start, MULTI, sizeof(MULTI) - 1);
        buf_append(&s->bytes, EXEC, sizeof(EXEC) - 1);
    }
    s->group = 0;
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
