#include "tests/sim/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static unsigned count;
static unsigned failed;

void tap_ok(bool pass, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    count++;
    printf("%sok %u - ", pass ? "" : "not ", count);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    if (!pass) {
        failed++;
        printf("#   failed at %s:%d\n", file, line);
    }
    fflush(stdout);
}

int tap_done(void)
{
    printf("1..%u\n", count);
    return failed != 0;
}

void tap_diag(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
}

uint64_t tap_seed(void)
{
    const char *given = getenv("KELVIN_SEED");
    uint64_t seed = 1;
    if (given != NULL)
        seed = strtoull(given, NULL, 0);
    else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint64_t)(uintptr_t)&seed;
    tap_diag("KELVIN_SEED=%llu", (unsigned long long)seed);
    return seed;
}
