/* The RESP reader on any bytes: whole, one by one, and in pieces with big arguments received in place, they read the
 * same, with Redis's limits and with tiny ones. The cuts are drawn from the bytes themselves. */
#include "core/base/hash.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "fuzz/replay.h"
#include "tests/sim/feed.h"

static void feed_in_pieces(struct feed *f, struct slice in, struct rng *rng, uint64_t most)
{
    for (size_t at = 0; at < in.len;) {
        size_t n = min_u64(in.len - at, 1 + rng_below(rng, most));
        feed_bytes(f, slice_of(in.p + at, n));
        at += n;
    }
}

static void pieces_read_like(struct slice want, struct resp_limits limits, struct slice in, struct rng *rng,
                             uint64_t most)
{
    struct feed f;
    limits.big_arg = rng_below(rng, 2) ? SIZE_MAX : rng_below(rng, 40);
    feed_init(&f, &limits);
    feed_in_pieces(&f, in, rng, most);
    ensure(slice_eq(feed_text(&f), want));
    feed_free(&f);
}

static void read_with(struct resp_limits limits, struct slice in, struct rng *rng)
{
    struct feed whole;
    feed_init(&whole, &limits);
    feed_bytes(&whole, in);
    pieces_read_like(feed_text(&whole), limits, in, rng, 1);
    pieces_read_like(feed_text(&whole), limits, in, rng, 8);
    pieces_read_like(feed_text(&whole), limits, in, rng, 1 + in.len);
    feed_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct resp_limits tiny = {20, 16, RESP_ARGS_UNAUTH, 10, SIZE_MAX};
    struct slice in = slice_of(data, size);
    struct resp_limits usual = feed_limits();
    struct rng rng;
    if (size > 4096) /* byte by byte the cost is quadratic, and longer inputs say nothing new */
        return 0;
    rng_seed(&rng, hash_key(in, 0));
    usual.max_bulk = usual.max_bulk_unauth = 16 * KIB;
    read_with(usual, in, &rng);
    read_with(tiny, in, &rng);
    return 0;
}
