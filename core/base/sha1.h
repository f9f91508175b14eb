/* SHA-1 (RFC 3174): scripts are named by it. Not for secrets. */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include "core/base/slice.h"

/* 40 lower-case digits and a NUL. */
void sha1_hex(struct slice s, char out[static 41]);

#endif
