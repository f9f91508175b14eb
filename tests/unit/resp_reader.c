/* The RESP reader: what it reads, Redis's errors and limits, and that it makes no difference how the bytes were cut on
 * their way, nor whether big arguments are received in place. */
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/sim/feed.h"
#include "tests/sim/tap.h"

#include <stdio.h>
#include <stdlib.h>

#define LIT(s) SLICE_LIT(s)

static struct resp_limits limits;

static bool shows(const struct feed *f, struct slice want)
{
    struct slice got = feed_text(f);
    if (slice_eq(got, want))
        return true;
    tap_diag("got %.*s", (int)min_u64(got.len, 500), (const char *)got.p);
    tap_diag("not %.*s", (int)min_u64(want.len, 500), (const char *)want.p);
    return false;
}

/* A reader that has read a request has room for arguments, and reads the next ones another way than its first. */
static bool warm = true;

static void begin(struct feed *f)
{
    feed_init(f, &limits);
    if (warm)
        feed_bytes(f, LIT("*1\r\n$1\r\nx\r\n"));
    buf_clear(&f->out);
}

static bool whole(struct slice in, struct slice want)
{
    struct feed f;
    begin(&f);
    feed_bytes(&f, in);
    bool same = shows(&f, want);
    feed_free(&f);
    return same;
}

static bool bytewise(struct slice in, struct slice want)
{
    struct feed f;
    begin(&f);
    for (size_t i = 0; i < in.len; i++)
        feed_bytes(&f, slice_of(in.p + i, 1));
    bool same = shows(&f, want);
    feed_free(&f);
    return same;
}

static bool in_two(struct slice in, struct slice want)
{
    bool same = true;
    for (size_t cut = 1; cut < in.len && same; cut++) {
        struct feed f;
        begin(&f);
        feed_bytes(&f, slice_of(in.p, cut));
        feed_bytes(&f, slice_of(in.p + cut, in.len - cut));
        same = shows(&f, want);
        if (!same)
            tap_diag("cut at %zu", cut);
        feed_free(&f);
    }
    return same;
}

static void check(const char *name, struct slice in, struct slice want)
{
    bool good = whole(in, want) && bytewise(in, want) && in_two(in, want);
    warm = false;
    good &= whole(in, want) && bytewise(in, want) && in_two(in, want);
    warm = true;
    ok(good, "%s", name);
}

/* --- requests --- */

static void multibulk(void)
{
    check("one request", LIT("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), LIT("[3:GET][1:k]\n"));
    check("a pipeline", LIT("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n"),
          LIT("[4:PING]\n[3:GET][1:k]\n[4:PING]\n"));
    check("arguments are binary, and may be empty", LIT("*3\r\n$0\r\n\r\n$4\r\n\r\n$1\r\n$2\r\n\0\xff\r\n"),
          LIT("[0:][4:\r\n$1][2:\0\xff]\n"));
    check("no arguments: *0, *-1, *-5", LIT("*0\r\n*-1\r\n*-5\r\n*1\r\n$1\r\nx\r\n"),
          LIT("(empty)\n(empty)\n(empty)\n[1:x]\n"));
    check("two-digit numbers",
          LIT("*12\r\n$10\r\n0123456789\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n"
              "$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n"),
          LIT("[10:0123456789][1:a][1:b][1:c][1:d][1:e][1:f][1:g][1:h][1:i][1:j][1:k]\n"));
    check("the byte behind a header's CR, and the two behind an argument, are not looked at, as in Redis",
          LIT("*1\rx$1\ryzab*1\r\n$1\r\nk\r\n"), LIT("[1:z]\n[1:k]\n"));
    check("an incomplete request gives nothing", LIT("*1\r\n$1\r\nx\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r"), LIT("[1:x]\n"));
}

static void inline_commands(void)
{
    check("inline, with LF or CRLF", LIT("GET k\nSET a b\r\n"), LIT("[3:GET][1:k]\n[3:SET][1:a][1:b]\n"));
    check("blanks around and between words", LIT("  GET \t k  \r\n"), LIT("[3:GET][1:k]\n"));
    check("empty and blank lines", LIT("\r\n\n   \t\r\nx\n"), LIT("(empty)\n(empty)\n(empty)\n[1:x]\n"));
    check("double quotes with escapes", LIT("SET \"a b\" \"\\x41\\n\\r\\t\\b\\a\\\\\\\"\\q\\xZ1\\z41\"\n"),
          LIT("[3:SET][3:a b][15:A\n\r\t\b\a\\\"qxZ1z41]\n"));
    check("single quotes: only \\' is an escape", LIT("a 'it\\'s' 'x\\n' ''\n"), LIT("[1:a][4:it's][3:x\\n][0:]\n"));
    check("a word runs on into a quote", LIT("ab\"cd\" e'f'\n"), LIT("[4:abcd][2:ef]\n"));
    check("a NUL ends the line, as in Redis", LIT("ab c\0d e\nx\n"), LIT("[2:ab][1:c]\n[1:x]\n"));
    check("inline and multibulk mixed", LIT("PING\r\n*1\r\n$1\r\nx\r\nPING\n"), LIT("[4:PING]\n[1:x]\n[4:PING]\n"));
    check("an open double quote", LIT("a \"b c\nPING\n"), LIT("!Protocol error: unbalanced quotes in request\n"));
    check("an open single quote", LIT("a 'b\n"), LIT("!Protocol error: unbalanced quotes in request\n"));
    check("text right behind a quote", LIT("\"a\"b\n"), LIT("!Protocol error: unbalanced quotes in request\n"));
    check("a backslash at the end", LIT("\"a\\\n"), LIT("!Protocol error: unbalanced quotes in request\n"));
}

/* --- errors and limits --- */

#define BAD(text) LIT("!Protocol error: " text "\n")

static void errors(void)
{
    check("a count that is no number", LIT("*x\r\n"), BAD("invalid multibulk length"));
    check("no count", LIT("*\r\n"), BAD("invalid multibulk length"));
    check("a count with a plus", LIT("*+1\r\n"), BAD("invalid multibulk length"));
    check("a count with a leading zero", LIT("*01\r\n$1\r\nx\r\n*1\r\n$1\r\nx\r\n"), BAD("invalid multibulk length"));
    check("a count with a blank", LIT("* 1\r\n"), BAD("invalid multibulk length"));
    check("a count beyond 32 bits", LIT("*3000000000\r\n"), BAD("invalid multibulk length"));
    check("a count beyond 64 bits", LIT("*30000000000000000000000000\r\n"), BAD("invalid multibulk length"));
    check("a length that is no number", LIT("*1\r\n$x\r\n"), BAD("invalid bulk length"));
    check("a negative length", LIT("*1\r\n$-1\r\n"), BAD("invalid bulk length"));
    check("a length with a leading zero", LIT("*1\r\n$03\r\nabc\r\n*1\r\n$1\r\nx\r\n"), BAD("invalid bulk length"));
    check("no dollar", LIT("*2\r\n$1\r\nx\r\n:1\r\n"), BAD("expected '$', got ':'"));
    check("what came before an error has been read", LIT("*1\r\n$1\r\nx\r\n*1\r\nfoo\r\nPING\r\n"),
          LIT("[1:x]\n!Protocol error: expected '$', got 'f'\n"));
}

static struct slice repeat(struct buf *b, const char *before, char c, size_t n, const char *after)
{
    buf_clear(b);
    buf_append_str(b, before);
    memset(buf_reserve(b, n), c, n);
    b->len += n;
    buf_append_str(b, after);
    return buf_slice(b);
}

static void limits_hold(void)
{
    struct buf in = {0}, want = {0};
    limits = (struct resp_limits){.max_bulk = 20, .max_inline = 64, .max_args = 100, .max_bulk_unauth = 20, SIZE_MAX};
    check("proto-max-bulk-len itself", LIT("*1\r\n$20\r\n01234567890123456789\r\n"),
          LIT("[20:01234567890123456789]\n"));
    check("and one more", LIT("*1\r\n$21\r\n012345678901234567890\r\n"), BAD("invalid bulk length"));
    check("more arguments than allowed", LIT("*101\r\n"), BAD("invalid multibulk length"));
    check("a line of the limit's length", repeat(&in, "", 'a', 64, "\n"), repeat(&want, "[64:", 'a', 64, "]\n"));
    check("a longer one", repeat(&in, "", 'a', 65, "\n"), BAD("too big inline request"));
    check("a count of too many digits", repeat(&in, "*", '1', 70, "\r\n"), BAD("too big mbulk count string"));
    check("a length of too many digits", repeat(&in, "*1\r\n$", '1', 70, "\r\n"), BAD("too big bulk count string"));
    limits = feed_limits();
    limits.max_args = RESP_ARGS_UNAUTH;
    limits.max_bulk_unauth = 16;
    check("ten arguments before authentication", LIT("*10\r\n"), LIT(""));
    check("eleven", LIT("*11\r\n"), BAD("unauthenticated multibulk length"));
    check("an argument too long before authentication", LIT("*1\r\n$17\r\n"), BAD("unauthenticated bulk length"));
    limits = feed_limits();
    ok(whole(repeat(&in, "", 'a', 64 * KIB, "\n"), repeat(&want, "[65536:", 'a', 64 * KIB, "]\n")),
       "an inline line of 64 KiB");
    ok(whole(repeat(&in, "", 'a', 64 * KIB + 1, "\n"), BAD("too big inline request")), "is the longest");
    ok(whole(LIT("*1048576\r\n"), LIT("")) && whole(LIT("*1048577\r\n"), BAD("invalid multibulk length")),
       "1024 * 1024 arguments are the most");
    buf_free(&in);
    buf_free(&want);
}

/* --- big arguments --- */

static void big_arguments(void)
{
    struct slice in =
        LIT("*4\r\n$3\r\nSET\r\n$20\r\n01234567890123456789\r\n$1\r\nx\r\n$25\r\nabcdefghijklmnopqrstuvwxy\r\n"
            "*1\r\n$4\r\nPING\r\n");
    struct slice want = LIT("[3:SET][20:01234567890123456789][1:x][25:abcdefghijklmnopqrstuvwxy]\n[4:PING]\n");
    struct feed f;
    limits.big_arg = 20;
    check("big arguments are received in place", in, want);
    feed_init(&f, &limits);
    feed_bytes(&f, in);
    ok(f.bigs_total == 0, "not when they are all there");
    feed_free(&f);
    feed_init(&f, &limits);
    for (size_t i = 0; i < in.len; i++)
        feed_bytes(&f, slice_of(in.p + i, 1));
    ok(f.bigs_total == 2, "both when the bytes come one by one");
    feed_free(&f);
    limits.big_arg = 21;
    feed_init(&f, &limits);
    for (size_t i = 0; i < in.len; i++)
        feed_bytes(&f, slice_of(in.p + i, 1));
    ok(f.bigs_total == 1, "only from big_arg on");
    feed_free(&f);
    limits = feed_limits();
}

/* --- any bytes, cut anywhere --- */

static void random_request(struct buf *b, struct rng *rng)
{
    static const char *const odd[] = {"PING\r\n", "get \"a\\x00b\" 'c'\n", "*0\r\n", "*-1\r\n",
                                      "\r\n",     "*1\r\n$0\r\n\r\n"};
    if (rng_below(rng, 4) == 0) {
        buf_append_str(b, odd[rng_below(rng, ARRAY_LEN(odd))]);
        return;
    }
    uint64_t n = 1 + rng_below(rng, 12);
    buf_printf(b, "*%d\r\n", (int)n);
    while (n-- > 0) {
        size_t len = rng_below(rng, rng_below(rng, 4) ? 12 : 200);
        buf_printf(b, "$%zu\r\n", len);
        for (size_t i = 0; i < len; i++)
            buf_append_byte(b, (uint8_t) "\r\n$*0a"[rng_below(rng, 6)]);
        buf_append_str(b, "\r\n");
    }
}

static bool random_pieces(struct rng *rng, struct slice in, struct slice want)
{
    struct feed f;
    limits.big_arg = 1 + rng_below(rng, 150);
    feed_init(&f, &limits);
    for (size_t at = 0; at < in.len;) {
        size_t n = min_u64(in.len - at, 1 + rng_below(rng, 1 + rng_below(rng, 300)));
        feed_bytes(&f, slice_of(in.p + at, n));
        at += n;
    }
    bool same = shows(&f, want);
    feed_free(&f);
    limits = feed_limits();
    return same;
}

static void random_cuts(struct rng *rng)
{
    bool good = true;
    struct buf in = {0};
    for (int round = 0; round < 500 && good; round++) {
        struct feed f;
        buf_clear(&in);
        for (int i = 0; i < 8; i++)
            random_request(&in, rng);
        if (rng_below(rng, 4) == 0) /* one byte wrong: the same error, or none, at the same place */
            in.p[rng_below(rng, in.len)] = (uint8_t) "x\r\n*$9"[rng_below(rng, 6)];
        feed_init(&f, &limits);
        feed_bytes(&f, buf_slice(&in));
        for (int i = 0; i < 10; i++)
            good &= random_pieces(rng, buf_slice(&in), feed_text(&f));
        feed_free(&f);
    }
    buf_free(&in);
    ok(good, "random pipelines cut at random read the same, big arguments in place or not");
}

/* --- memory --- */

static void memory_returned(void)
{
    struct resp_reader r;
    struct buf in = {0};
    size_t consumed;
    resp_reader_init(&r);
    buf_append_str(&in, "*100000\r\n");
    for (int i = 0; i < 100000; i++)
        buf_append_str(&in, "$1\r\nx\r\n");
    bool good = resp_read(&r, &limits, in.p, in.len, &consumed) == RESP_DONE && r.argc == 100000 && consumed == in.len;
    ok(good && r.args_cap >= 100000, "a hundred thousand arguments");
    resp_reader_reset(&r);
    ok(r.args_cap <= 1024, "their room is given back by the next request");
    ok(resp_read(&r, &limits, in.p, 20, &consumed) == RESP_MORE && r.argc == 1, "which is read as ever");
    resp_reader_free(&r);
    ok(r.args == NULL && r.scratch == NULL && r.args_cap == 0 && r.scratch_cap == 0, "free leaves nothing");
    resp_reader_init(&r);
    ok(resp_read(&r, &limits, (const uint8_t *)"*2\r\n$3\r\nGE", 10, &consumed) == RESP_MORE &&
           resp_reader_wants(&r, 10) == 3,
       "the reader knows what the argument still needs");
    resp_reader_free(&r);
    buf_free(&in);
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    limits = feed_limits();
    multibulk();
    inline_commands();
    errors();
    limits_hold();
    big_arguments();
    random_cuts(&rng);
    memory_returned();
    return tap_done();
}
