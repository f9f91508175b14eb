/* The primitives of the RDB format: lengths and strings. Source: the RDB file format as published (version 11), "Length
 * Encoding" and "String Encoding". */
#ifndef VALUE_RDB_H
#define VALUE_RDB_H

#include "core/base/buf.h"

#define RDB_TYPE_STRING 0

void rdb_put_length(struct buf *out, uint64_t n);
/* *special is the code of a special string (then the length is 0), or -1. Sets r->bad on bad bytes. */
uint64_t rdb_get_length(struct reader *r, int *special);
/* Plain, or as an 8, 16 or 32-bit integer where the bytes are one in canonical form. */
void rdb_put_string(struct buf *out, struct slice s);
/* With LZF if that saves at least 8 bytes. */
void rdb_put_compressed(struct buf *out, struct slice s);
/* Appends the string at the reader to `out`; integers are formatted, LZF is expanded. False (and r->bad) on bad bytes.
 */
bool rdb_get_string(struct reader *r, struct buf *out);

#endif
