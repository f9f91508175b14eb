#include "core/base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Neither the allocator nor stdio's locks: they may be what is broken. */
void panic_at(const char *file, int line, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    size_t len = (size_t)snprintf(text, sizeof(text) / 2, "kelvin: panic at %s:%d: ", file, line);
    len = min_u64(len, sizeof(text) / 2 - 1);
    va_start(ap, fmt);
    int n = vsnprintf(text + len, sizeof(text) - len, fmt, ap);
    va_end(ap);
    len = min_u64(len + (n > 0 ? (size_t)n : 0), sizeof(text) - 1);
    text[len++] = '\n';
    if (write(STDERR_FILENO, text, len) < 0)
        abort();
    abort();
}
