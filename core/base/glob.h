/* Glob patterns with Redis's meaning: * ? [abc] [^a-z] and backslash. Linear in practice: at most
 * O(pattern × string), never exponential (one backtrack point for the last star). */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include "core/base/slice.h"

bool glob_match(struct slice pattern, struct slice s, bool ignore_case);

#endif
