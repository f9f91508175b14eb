/* SCAN's cursor: the table cursor (a hash value whose low bits are always zero, see core/ds/table.h) with the shard's
 * index in its lowest six bits. Shards are gone through in order; 0 begins and ends. */
#ifndef SERVER_SCAN_H
#define SERVER_SCAN_H

#include "core/base/slice.h"

bool scan_cursor_parse(struct slice s, uint64_t *cursor);
unsigned scan_cursor_shard(uint64_t cursor, unsigned shards);

#endif
