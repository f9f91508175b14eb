/* What SCAN, SSCAN, HSCAN and ZSCAN have in common.
 *
 * SCAN's cursor: the table cursor (a hash value whose low bits are always zero, see core/ds/table.h) with the shard's
 * index in its lowest six bits. Shards are gone through in order; 0 begins and ends. */
#ifndef SERVER_SCAN_H
#define SERVER_SCAN_H

#include "core/base/buf.h"

bool scan_cursor_parse(struct slice s, uint64_t *cursor);
unsigned scan_cursor_shard(uint64_t cursor, unsigned shards);

struct call;

struct scan_options {
    struct slice match; /* if not `all` */
    bool all;
    int64_t count;
    struct slice type; /* p is NULL: any */
    bool no_values;
};
enum scan_of { SCAN_KEYS, SCAN_ELEMENTS, SCAN_FIELDS }; /* TYPE is for keys only, NOVALUES for fields */
/* The options from argv[from] on; replies with an error if it returns false. */
bool scan_options(struct call *c, int from, enum scan_of of, struct scan_options *o);
bool scan_matches(const struct scan_options *o, struct slice name);
/* [cursor, items]: `items` is `n` replies, one behind the other, and is freed. */
void scan_reply(struct call *c, uint64_t cursor, size_t n, struct buf *items);

#endif
