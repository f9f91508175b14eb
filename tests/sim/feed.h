/* Feeds pieces of a byte stream to a RESP reader as a client of the server does, and writes down what comes out:
 *
 *   [3:GET][1:k]\n   a request and its arguments
 *   (empty)\n        an empty line, *0 or *-1
 *   !text\n          a protocol error; nothing is read behind it
 *
 * Whole or in pieces, the same bytes must give the same text. The reader sees each time a fresh copy of exactly the
 * bytes that have arrived, so a sanitizer notices a look behind them, and nobody can keep a pointer into them. */
#ifndef TESTS_FEED_H
#define TESTS_FEED_H

#include "core/base/buf.h"
#include "core/proto/resp_reader.h"

#define FEED_BIGS_MAX 64 /* of one request; bigger arguments behind them come with the rest */

struct feed {
    struct resp_reader reader;
    struct resp_limits limits;
    struct buf in;  /* the request that is being read, without the arguments received in place */
    size_t needed;  /* length of `in` below which the request cannot be complete, by resp_reader_wants */
    uint8_t *big;   /* an argument that is being received in place, with its CRLF */
    size_t big_len; /* bytes of it that are there */
    size_t bigs_total;
    struct {
        uint8_t *p;
        size_t size;
    } bigs[FEED_BIGS_MAX];
    int nbigs;
    bool closed;
    struct buf out;
};

void feed_init(struct feed *f, const struct resp_limits *limits);
void feed_bytes(struct feed *f, struct slice bytes);
/* What came out; borrowed until the feed changes. */
struct slice feed_text(const struct feed *f);
void feed_free(struct feed *f);

/* Redis's limits for an authenticated client. */
struct resp_limits feed_limits(void);

#endif
