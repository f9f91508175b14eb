/* What the two files of bitmap commands share. */
#ifndef SERVER_CMD_BITMAP_H
#define SERVER_CMD_BITMAP_H

#include "server/call.h"

/* A bit's offset, not below 0; false if it is none. `width` as below. */
bool bitmap_parse_offset(struct slice s, uint8_t width, int64_t *out);
/* The same as an argument, within the longest string; with `width` > 0 also in the form #n, which counts in fields.
 * Replies on failure. */
bool bitmap_offset(struct call *c, struct slice s, uint8_t width, uint64_t *out);
/* The string's bytes, writable, at least `len` of them: a missing key is made, a short one filled with zeros. The
 * caller goes on with place_written. */
uint8_t *bitmap_writable(struct call *c, struct place *p, size_t len);

#endif
