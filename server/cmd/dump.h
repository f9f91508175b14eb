/* The DUMP payload: RDB type byte, the class's encoding, RDB version (2 bytes little-endian), CRC-64/Jones of all
 * before it. */
#ifndef SERVER_CMD_DUMP_H
#define SERVER_CMD_DUMP_H

#include "server/call.h"

void dump_encode(const struct value *v, struct buf *out);
enum dump_error { DUMP_OK = 0, DUMP_BAD_CHECKSUM = -1, DUMP_BAD_FORMAT = -2 };
/* On DUMP_OK the caller owns *out. Reads nothing beyond `payload`, whatever it holds. */
int dump_decode(struct slice payload, bool sum, const struct value_limits *limits, struct value *out) must_check;

/* Records that the key at `p` holds what `payload` does (dump_encode), until `expire_ms`, which may be ENTRY_NO_EXPIRY.
 */
void effect_restore(struct call *c, const struct place *p, int64_t expire_ms, struct slice payload);

/* The same of the value that is there. Costs nothing where effects go nowhere. */
void effect_value(struct call *c, const struct place *p, int64_t expire_ms);

#endif
