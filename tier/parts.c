#include "tier/parts.h"

#include "core/base/mem.h"

void parts_add(struct parts *p, struct buf *piece)
{
    if (p->n == p->cap) {
        size_t cap = p->cap == 0 ? 64 : p->cap * 2;
        p->at = mem_realloc(p->at, p->cap * sizeof(*p->at), cap * sizeof(*p->at));
        p->cap = cap;
    }
    p->at[p->n++] = *piece;
    p->bytes += piece->len;
    *piece = (struct buf){0};
}

void parts_join(struct parts *p, struct buf *out)
{
    buf_reserve(out, p->bytes);
    for (size_t i = 0; i < p->n; i++) {
        buf_append_slice(out, buf_slice(&p->at[i]));
        buf_free(&p->at[i]);
    }
    parts_free(p);
}

void parts_free(struct parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        buf_free(&p->at[i]);
    mem_free(p->at, p->cap * sizeof(*p->at));
    *p = (struct parts){0};
}

struct discard {
    struct pool_job job;
    struct parts parts;
};

static void discard_run(struct pool_job *job)
{
    struct discard *d = container_of(job, struct discard, job);
    parts_free(&d->parts);
    mem_free(d, sizeof(*d));
}

void parts_discard(struct parts *p, struct pool *pool)
{
    struct discard *d = mem_zalloc(sizeof(*d));
    d->job.run = discard_run;
    d->parts = *p;
    *p = (struct parts){0};
    pool_submit(pool, POOL_WRITE, &d->job);
}
