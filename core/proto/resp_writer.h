/* Writes replies in RESP2 or RESP3 into a buffer. `proto` is 2 or 3. RESP3 types fall back to what Redis sends to a
 * RESP2 client: map -> flat array, set/push -> array, double -> bulk, bool -> integer, null -> $-1, bignum/verbatim ->
 * bulk. */
#ifndef PROTO_RESP_WRITER_H
#define PROTO_RESP_WRITER_H

#include "core/base/buf.h"

void resp_simple(struct buf *b, const char *text); /* +OK; `text` has no CR or LF */
void resp_error(struct buf *b, const char *text);  /* "-" text; CR and LF become blanks */
void resp_errorf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void resp_int(struct buf *b, int64_t v);
void resp_bulk(struct buf *b, struct slice s);
void resp_bulk_str(struct buf *b, const char *s);
void resp_bulk_int(struct buf *b, int64_t v);     /* an integer as a bulk string */
void resp_bulk_header(struct buf *b, size_t len); /* "$len\r\n"; the caller appends body and CRLF */
void resp_null(struct buf *b, int proto);         /* $-1 or _ */
void resp_null_array(struct buf *b, int proto);   /* *-1 or _ */
void resp_array(struct buf *b, size_t n);
void resp_map(struct buf *b, int proto, size_t n); /* n pairs */
void resp_set(struct buf *b, int proto, size_t n);
void resp_push(struct buf *b, int proto, size_t n);
void resp_attribute(struct buf *b, size_t n); /* n pairs in front of a reply; RESP3 only */
void resp_bool(struct buf *b, int proto, bool v);
void resp_double(struct buf *b, int proto, double v);
void resp_bignum(struct buf *b, int proto, const char *digits);
void resp_verbatim(struct buf *b, int proto, const char *ext3, struct slice s);

#endif
