/* Reads requests (RESP arrays of bulk strings, and inline commands) from bytes that arrive in pieces. No sockets.
 *
 * The reader is resumable: what it has parsed of an incomplete request is kept as offsets from the request's first
 * byte, so the caller may move the bytes between calls, and a request of a million arguments is parsed once.
 * Redis's limits and error texts ("Protocol error: ..."); source: the RESP specification and the behaviour of
 * redis-server 7.0.
 *
 * A big argument (declared length >= big_arg) can be received into its final place: when its header is parsed and its
 * bytes are not all there, resp_read returns RESP_BIG; see there.
 * Owned by one thread. */
#ifndef PROTO_RESP_READER_H
#define PROTO_RESP_READER_H

#include "core/base/slice.h"

enum resp_status {
    RESP_DONE,  /* one request is complete: argc, offsets; *consumed says how many bytes it took */
    RESP_MORE,  /* all bytes are looked at; call again with the same request start and more bytes */
    RESP_BIG,   /* argument `argc` (the next one) of `big_len` bytes starts at offset `big_off`; the caller gets a
                   block of big_len + 2 bytes, copies there what it has from big_off on, receives the rest (with the
                   two bytes behind it, CRLF, which nobody looks at) elsewhere, and then calls resp_reader_take_big */
    RESP_EMPTY, /* an empty inline line or *0 or *-1: nothing to run; *consumed is set */
    RESP_BAD,   /* `error` holds the text after "-ERR "; the client is to be closed */
};

struct resp_arg {
    const uint8_t *ext; /* not NULL: the argument was taken from outside (RESP_BIG) */
    size_t off;         /* else: offset from the request's first byte */
    size_t len;
};

/* max_args before authentication; a limit of at most this is refused in Redis's words for it. */
#define RESP_ARGS_UNAUTH 10

struct resp_limits {
    size_t max_bulk;        /* proto-max-bulk-len */
    size_t max_inline;      /* 64 KiB: longest inline line and longest header line */
    size_t max_args;        /* 1024*1024, or RESP_ARGS_UNAUTH */
    size_t max_bulk_unauth; /* 16384 before authentication, else the same as max_bulk */
    size_t big_arg;         /* from this length on an incomplete argument is RESP_BIG; SIZE_MAX: never */
};

struct resp_reader {
    struct resp_arg *args; /* argc valid ones; owned by the reader, from mem_alloc, reused */
    uint32_t argc;
    uint32_t args_cap;
    int64_t left; /* arguments still to come; -1: at the start of a request */
    size_t pos;   /* offset of the next byte to look at */
    int64_t bulk; /* length of the argument being read; -1: its header comes next */
    size_t big_off, big_len;
    bool inline_copy; /* the arguments of an inline command live in `scratch`, as `ext` */
    uint8_t *scratch; /* unquoted inline arguments */
    size_t scratch_cap;
    char error[96];
};

void resp_reader_init(struct resp_reader *r);
void resp_reader_free(struct resp_reader *r);
/* Before each new request. Keeps the allocations (shrinks them when a huge request has passed). */
void resp_reader_reset(struct resp_reader *r);
/* Looks at the `len` bytes at `p`, where p[0] is the request's first byte. *consumed is set by RESP_DONE and
 * RESP_EMPTY. */
enum resp_status resp_read(struct resp_reader *r, const struct resp_limits *limits, const uint8_t *p, size_t len,
                           size_t *consumed);
/* After RESP_BIG: the argument is `data` (big_len bytes, the caller keeps ownership). The request's remaining bytes
 * now start at a new buffer: offset big_off in the old numbering is offset of the next byte in the new one, i.e. the
 * caller goes on calling resp_read with p such that p + big_off is the byte behind the argument's CRLF.
 * (Arguments parsed before stay valid only if the caller keeps the earlier bytes at p[0..big_off).) */
void resp_reader_take_big(struct resp_reader *r, const uint8_t *data);
/* How many bytes beyond the given `len` are known to be needed before the request can be complete (0 if unknown):
 * what to read next. */
size_t resp_reader_wants(const struct resp_reader *r, size_t len);

#endif
