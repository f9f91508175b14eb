/* The RDB encodings of sorted sets (internal to zset*.c): see struct value_class. */
#ifndef VALUE_ZSET_CODEC_H
#define VALUE_ZSET_CODEC_H

#include "core/value/value.h"

uint8_t zset_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget);
bool zset_reads(uint8_t rdb_type);
int zset_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out);

#endif
