/* The shortest decimal of a double: of all decimals with the fewest digits that read back as it, the nearest. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include "core/base/base.h"

#define DECIMAL_DIGITS_MAX 17

/* digits * 10^exponent; the last digit is not 0. */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* `v` is finite and above 0. Some 20 ns. */
struct decimal decimal_shortest(double v);

#endif
