/* Where an RDB value ends. The shapes of all published types (RDB versions 1 to 13) stand in one table in rdb_skip.c;
 * a value is collected by its shape, without being interpreted, so that a decoder gets it as a slice.
 *
 * Nothing is believed: a length is refused if it says more than is left of the source, so hostile bytes cannot make
 * more memory be allocated than they are long. Any thread. */
#ifndef VALUE_RDB_SKIP_H
#define VALUE_RDB_SKIP_H

#include "core/base/buf.h"

#define RDB_VERSION_LEAST 10  /* what is written where no type needs more: Redis 7.0 reads it */
#define RDB_VERSION_NEWEST 13 /* what is read */

/* Bytes that come one after the other. `read` gives exactly n (0, or a negative errno); at most left() are to come. */
struct rdb_source {
    int (*read)(void *arg, void *p, size_t n);
    uint64_t (*left)(void *arg);
    void *arg;
};

/* The lowest RDB version that has this type; 0: not one that can be read here (module types among them). */
unsigned rdb_type_version(uint8_t type);

/* Appends the encoding of one value of `type` (without the type byte) to `out`. With `compress`, plain strings of more
 * than 20 bytes are replaced by LZF ones where that saves at least four. 0; -EBADMSG: not such a value; -ENOTSUP: an
 * unknown type; or what `read` returned. After a failure `out` holds a part. */
int rdb_collect(uint8_t type, const struct rdb_source *src, bool compress, struct buf *out) must_check;

/* A length that stands alone; a special string is none: -EBADMSG. */
int rdb_read_length(const struct rdb_source *src, uint64_t *n) must_check;
/* A string, expanded and formatted; *out is cleared and filled. */
int rdb_read_string(const struct rdb_source *src, struct buf *out) must_check;

/* A slice as a source. The bytes are borrowed while it is used. */
struct rdb_slice_source {
    struct rdb_source source;
    struct slice rest;
};
void rdb_slice_source_init(struct rdb_slice_source *s, struct slice bytes);

#endif
