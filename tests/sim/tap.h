/* TAP for unit and model tests: ok() with file and line on failure, tap_done() prints the plan. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include "core/base/base.h"

void tap_ok(bool pass, const char *file, int line, const char *fmt, ...) printf_like(4, 5);
/* Prints the plan; returns the exit status for main. */
int tap_done(void);
void tap_diag(const char *fmt, ...) printf_like(1, 2);
/* The seed of a randomised test: KELVIN_SEED if set, else from the kernel; printed so that a failure can be replayed.
 */
uint64_t tap_seed(void);

#define ok(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)

#endif
