/* LZF compression, as RDB files hold strings. The format (public, by Marc Lehmann): a control byte below 32 is followed
 * by that many literals plus one; else its top three bits plus two are the length of a match (7: one more byte is
 * added), and its other five with the byte behind are the distance back, less one. Expanding is in rdb.c. */
#ifndef VALUE_LZF_H
#define VALUE_LZF_H

#include "core/base/slice.h"

/* Compresses into `out`; returns the length, or 0 if it would be more than `cap`. */
size_t lzf_compress(struct slice in, uint8_t *out, size_t cap);

#endif
