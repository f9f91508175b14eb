/* The RESP writer: every kind of reply in both protocols. */
#include "core/proto/resp_writer.h"
#include "tests/sim/tap.h"

#include <math.h>

/* Says whether the buffer holds exactly this, and empties it. */
static bool wrote(struct buf *b, struct slice want)
{
    bool same = slice_eq(buf_slice(b), want);
    if (!same)
        tap_diag("got %.*s", (int)b->len, (const char *)b->p);
    buf_clear(b);
    return same;
}

#define check(b, want, name) ok(wrote(b, SLICE_LIT(want)), "%s", name)

static void plain(struct buf *b)
{
    resp_simple(b, "OK");
    check(b, "+OK\r\n", "a simple string");
    resp_error(b, "ERR a\r\nb");
    check(b, "-ERR a  b\r\n", "an error keeps to its line");
    resp_errorf(b, "ERR '%s' %d", "x\ny", 7);
    check(b, "-ERR 'x y' 7\r\n", "a formatted one too");
    resp_bulk(b, SLICE_LIT("a\0\r\n"));
    check(b, "$4\r\na\0\r\n\r\n", "a bulk string is binary");
    resp_bulk(b, slice_of(NULL, 0));
    check(b, "$0\r\n\r\n", "an empty one");
    resp_bulk_str(b, "abc");
    resp_bulk_int(b, -12);
    resp_bulk_header(b, 5000000000);
    check(b, "$3\r\nabc\r\n$3\r\n-12\r\n$5000000000\r\n", "texts, numbers and headers");
    resp_array(b, 0);
    resp_array(b, 9);
    resp_array(b, 10);
    resp_array(b, 99);
    resp_array(b, 100);
    resp_array(b, 1048576);
    check(b, "*0\r\n*9\r\n*10\r\n*99\r\n*100\r\n*1048576\r\n", "array headers");
}

static void integers(struct buf *b)
{
    resp_int(b, 0);
    resp_int(b, 7);
    resp_int(b, 10);
    resp_int(b, 99);
    resp_int(b, 100);
    resp_int(b, -1);
    check(b, ":0\r\n:7\r\n:10\r\n:99\r\n:100\r\n:-1\r\n", "small integers");
    resp_int(b, INT64_MAX);
    resp_int(b, INT64_MIN);
    check(b, ":9223372036854775807\r\n:-9223372036854775808\r\n", "the largest and the smallest");
}

static void by_protocol(struct buf *b)
{
    resp_null(b, 2);
    resp_null_array(b, 2);
    check(b, "$-1\r\n*-1\r\n", "nulls of RESP2");
    resp_null(b, 3);
    resp_null_array(b, 3);
    check(b, "_\r\n_\r\n", "the null of RESP3");
    resp_map(b, 2, 60);
    resp_set(b, 2, 3);
    resp_push(b, 2, 3);
    check(b, "*120\r\n*3\r\n*3\r\n", "in RESP2 all are arrays, a map of twice its pairs");
    resp_map(b, 3, 60);
    resp_set(b, 3, 3);
    resp_push(b, 3, 3);
    check(b, "%60\r\n~3\r\n>3\r\n", "map, set and push");
    resp_bool(b, 2, true);
    resp_bool(b, 2, false);
    resp_bool(b, 3, true);
    resp_bool(b, 3, false);
    check(b, ":1\r\n:0\r\n#t\r\n#f\r\n", "truth");
    resp_verbatim(b, 2, "txt", SLICE_LIT("a b"));
    resp_verbatim(b, 3, "txt", SLICE_LIT("a b"));
    check(b, "$3\r\na b\r\n=7\r\ntxt:a b\r\n", "verbatim text");
}

static void doubles(struct buf *b)
{
    resp_double(b, 2, 1.5);
    resp_double(b, 3, 1.5);
    check(b, "$3\r\n1.5\r\n,1.5\r\n", "a double is a bulk string in RESP2");
    resp_double(b, 3, 3);
    resp_double(b, 3, 0.1);
    resp_double(b, 3, -2e300);
    check(b, ",3\r\n,0.1\r\n,-2e+300\r\n", "the shortest text");
    resp_double(b, 3, INFINITY);
    resp_double(b, 3, -INFINITY);
    resp_double(b, 3, NAN);
    resp_double(b, 2, INFINITY);
    check(b, ",inf\r\n,-inf\r\n,nan\r\n$3\r\ninf\r\n", "what is no number");
}

static void appends(struct buf *b)
{
    bool good = true;
    for (int i = 0; i < 100000; i++)
        resp_int(b, i);
    const uint8_t *p = b->p;
    for (int i = 0; i < 100000 && good; i++) {
        struct buf one = {0};
        buf_printf(&one, ":%d\r\n", i);
        good = memcmp(p, one.p, one.len) == 0;
        p += one.len;
        buf_free(&one);
    }
    ok(good && p == b->p + b->len, "replies stand one behind the other, however the buffer grows");
}

int main(void)
{
    struct buf b = {0};
    plain(&b);
    integers(&b);
    by_protocol(&b);
    doubles(&b);
    appends(&b);
    buf_free(&b);
    return tap_done();
}
