#include "tests/sim/feed.h"

#include "core/base/mem.h"
#include "core/base/panic.h"

struct resp_limits feed_limits(void)
{
    return (struct resp_limits){512 * MIB, 64 * KIB, 1024 * 1024, 512 * MIB, SIZE_MAX};
}

void feed_init(struct feed *f, const struct resp_limits *limits)
{
    *f = (struct feed){.limits = *limits};
    resp_reader_init(&f->reader);
}

static void free_bigs(struct feed *f)
{
    for (int i = 0; i < f->nbigs; i++)
        mem_free(f->bigs[i].p, f->bigs[i].size);
    f->nbigs = 0;
}

void feed_free(struct feed *f)
{
    if (f->big != NULL)
        mem_free(f->big, f->reader.big_len + 2);
    free_bigs(f);
    buf_free(&f->in);
    buf_free(&f->out);
    resp_reader_free(&f->reader);
}

struct slice feed_text(const struct feed *f) { return buf_slice(&f->out); }

static void write_request(struct feed *f, const uint8_t *base)
{
    for (uint32_t i = 0; i < f->reader.argc; i++) {
        const struct resp_arg *a = &f->reader.args[i];
        buf_printf(&f->out, "[%zu:", a->len);
        buf_append(&f->out, a->ext != NULL ? a->ext : base + a->off, a->len);
        buf_append_byte(&f->out, ']');
    }
    buf_append_byte(&f->out, '\n');
}

static void begin_big(struct feed *f)
{
    size_t have = f->in.len - f->reader.big_off;
    ensure(have < f->reader.big_len + 2);
    f->big = mem_alloc(f->reader.big_len + 2);
    memcpy(f->big, f->in.p + f->reader.big_off, have);
    f->big_len = have;
    f->in.len = f->reader.big_off;
}

static struct slice continue_big(struct feed *f, struct slice bytes)
{
    size_t size = f->reader.big_len + 2, n = min_u64(bytes.len, size - f->big_len);
    memcpy(f->big + f->big_len, bytes.p, n);
    f->big_len += n;
    if (f->big_len == size) {
        f->bigs[f->nbigs].p = f->big;
        f->bigs[f->nbigs++].size = size;
        f->bigs_total++;
        resp_reader_take_big(&f->reader, f->big);
        f->big = NULL;
        f->needed = 0;
    }
    return slice_of(bytes.p + n, bytes.len - n);
}

static void request_over(struct feed *f, size_t consumed)
{
    ensure(consumed > 0 && consumed <= f->in.len && f->in.len >= f->needed);
    buf_consume(&f->in, consumed);
    free_bigs(f);
    f->needed = 0;
    resp_reader_reset(&f->reader);
}

/* One call of the reader; false if it has to wait for more bytes. */
static bool read_once(struct feed *f)
{
    size_t len = f->in.len, consumed = 0;
    struct resp_limits limits = f->limits;
    uint8_t *copy = mem_alloc(len);
    memcpy(copy, f->in.p, len);
    if (f->nbigs == FEED_BIGS_MAX)
        limits.big_arg = SIZE_MAX;
    enum resp_status st = resp_read(&f->reader, &limits, copy, len, &consumed);
    if (st == RESP_DONE)
        write_request(f, copy);
    mem_free(copy, len);
    switch (st) {
    case RESP_DONE:
        request_over(f, consumed);
        return f->in.len > 0;
    case RESP_EMPTY:
        buf_append_str(&f->out, "(empty)\n");
        request_over(f, consumed);
        return f->in.len > 0;
    case RESP_BIG:
        begin_big(f);
        return false;
    case RESP_BAD:
        buf_printf(&f->out, "!%s\n", f->reader.error);
        f->closed = true;
        return false;
    default:
        f->needed = len + resp_reader_wants(&f->reader, len);
        return false;
    }
}

void feed_bytes(struct feed *f, struct slice bytes)
{
    while (!f->closed && bytes.len > 0) {
        if (f->big != NULL) {
            bytes = continue_big(f, bytes);
            if (f->big != NULL)
                return;
        } else {
            buf_append_slice(&f->in, bytes);
            bytes.len = 0;
        }
        do
            if (f->in.len == 0)
                return;
        while (read_once(f));
    }
}
