/* The one way to die of a bug. `ensure` stays in release builds: it guards structures and durable paths.
 * `debug_ensure` costs nothing in release builds. I/O faults are returned, never asserted. */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

#include "core/base/base.h"

/* Prints the message with file and line to stderr and aborts. Any thread. */
noreturn_fn void panic_at(const char *file, int line, const char *fmt, ...) printf_like(3, 4);

#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)
#define ensure(cond)                                                     \
    do {                                                                 \
        if (unlikely(!(cond)))                                           \
            panic_at(__FILE__, __LINE__, "assertion failed: %s", #cond); \
    } while (0)
#ifdef NDEBUG
#define debug_ensure(cond) ((void)0)
#else
#define debug_ensure(cond) ensure(cond)
#endif

#endif
