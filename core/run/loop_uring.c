#include "core/run/loop.h"
#include <errno.h>
static int none(struct loop **out)
{
    (void)out;
    return -ENOSYS;
}
const struct loop_ops loop_uring_ops = {.name = "io_uring", .create = none};
