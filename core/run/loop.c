#include "core/run/loop.h"

#include <errno.h>
#include <string.h>

#include "core/base/mem.h"

static void rbuf_plain_free(struct rbuf *b) { mem_free(b, sizeof(*b) + b->cap); }

struct rbuf *rbuf_new(uint32_t cap)
{
    struct rbuf *b = mem_alloc(sizeof(*b) + cap);
    atomic_init(&b->refs, 1);
    b->cap = cap;
    b->free = rbuf_plain_free;
    b->owner = NULL;
    b->data = (uint8_t *)(b + 1);
    return b;
}

void rbuf_unref(struct rbuf *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        b->free(b);
}

int loop_create(struct loop **out, const char *backend)
{
    bool any = strcmp(backend, "auto") == 0;
    if (any || strcmp(backend, "io_uring") == 0) {
        int err = loop_uring_ops.create(out);
        if (err == 0 || !any)
            return err;
    } else if (strcmp(backend, "epoll") != 0) {
        return -EINVAL;
    }
    return loop_epoll_ops.create(out);
}

void loop_destroy(struct loop *l) { l->ops->destroy(l); }
