/* Geo: GEOADD, GEOPOS, GEODIST, GEOHASH. A geo index is a sorted set whose scores are geohashes (core/value/geo.h), so
 * adding is ZADD. Searching is in geo_search.c. */
#include "server/cmd/geo.h"

#include <stdio.h>

#include "core/base/num.h"
#include "server/words.h"

/* --- shared --- */

bool arg_point(struct call *c, const struct slice *argv, struct geo_point *out)
{
    if (!arg_double(c, argv[0], &out->lon, NULL) || !arg_double(c, argv[1], &out->lat, NULL))
        return false;
    if (geo_valid(*out))
        return true;
    reply_errorf(c, "ERR invalid longitude,latitude pair %f,%f", out->lon, out->lat);
    return false;
}

bool arg_unit(struct call *c, struct slice s, double *metres)
{
    static const struct {
        const char *word;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_is(s, units[i].word)) {
            *metres = units[i].metres;
            return true;
        }
    reply_error(c, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

/* A coordinate: seventeen decimals without trailing zeros. */
static void reply_coordinate(struct call *c, double v)
{
    char text[64];
    struct slice s = slice_of(text, num_format_ld(text, sizeof(text), v));
    if (c->proto == 2) {
        reply_bulk(c, s);
        return;
    }
    buf_append_byte(c->out, ',');
    buf_append_slice(c->out, s);
    buf_append(c->out, "\r\n", 2);
}

void reply_point(struct call *c, struct geo_point p)
{
    reply_array(c, 2);
    reply_coordinate(c, p.lon);
    reply_coordinate(c, p.lat);
}

void reply_distance(struct call *c, double d)
{
    char text[400];
    int n = snprintf(text, sizeof(text), "%.4f", d);
    reply_bulk(c, slice_of(text, (size_t)n));
}

/* --- GEOADD --- */

static bool add_option(struct slice word, bool *nx, bool *xx)
{
    *nx |= slice_is(word, "nx");
    *xx |= slice_is(word, "xx");
    return slice_is(word, "nx") || slice_is(word, "xx") || slice_is(word, "ch");
}

/* The ZADD that it is; false after an error. */
static bool as_zadd(struct call *c, struct words *w)
{
    bool nx = false, xx = false;
    int at = 2;
    while (at < c->argc && add_option(c->argv[at], &nx, &xx))
        at++;
    if ((c->argc - at) % 3 != 0 || (nx && xx)) {
        reply_syntax(c);
        return false;
    }
    words_add_str(w, "ZADD");
    for (int i = 1; i < at; i++)
        words_add(w, c->argv[i]);
    for (int i = at; i < c->argc; i += 3) {
        struct geo_point p;
        if (!arg_point(c, c->argv + i, &p))
            return false;
        words_add_i64(w, (int64_t)geo_encode(p));
        words_add(w, c->argv[i + 2]);
    }
    return true;
}

static void geoadd_run(struct call *c)
{
    struct words w;
    struct slice *argv = c->argv;
    int argc = c->argc;
    words_init(&w);
    if (as_zadd(c, &w)) {
        c->argv = w.at;
        c->argc = w.n;
        zadd_run(c);
        c->argv = argv;
        c->argc = argc;
    }
    words_free(&w);
}

/* --- reading --- */

/* Replies `reply` for each member that is there, and `missing` for the others; all of a missing key are. */
static void each_member(struct call *c, void (*reply)(struct call *c, double score), void (*missing)(struct call *c))
{
    struct value v;
    bool exists = read_zset(c, 1, &v);
    if (c->failed)
        return;
    reply_array(c, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        double score;
        if (exists && zset_score(&v, c->argv[i], &score))
            reply(c, score);
        else
            missing(c);
    }
}

static void reply_position(struct call *c, double score) { reply_point(c, geo_decode(score)); }
static void geopos_run(struct call *c) { each_member(c, reply_position, reply_null_array); }

static void reply_text(struct call *c, double score)
{
    char text[GEO_TEXT_CHARS];
    geo_text(score, text);
    reply_bulk(c, slice_of(text, sizeof(text)));
}

static void geohash_run(struct call *c) { each_member(c, reply_text, reply_null); }

static void geodist_run(struct call *c)
{
    struct value v;
    double metres = 1, a, b;
    if (c->argc > 5) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 5 && !arg_unit(c, c->argv[4], &metres))
        return;
    bool both = read_zset(c, 1, &v) && zset_score(&v, c->argv[2], &a) && zset_score(&v, c->argv[3], &b);
    if (both)
        reply_distance(c, geo_distance(geo_decode(a), geo_decode(b)) / metres);
    else if (!c->failed)
        reply_null(c);
}

/* --- declarations --- */

const struct command_arg geo_unit_args[] = {
    ARG_TOKEN("m", "M"), ARG_TOKEN("km", "KM"), ARG_TOKEN("ft", "FT"), ARG_TOKEN("mi", "MI"), ARG_END,
};
static const struct command_arg condition_args[] = {
    ARG_TOKEN("nx", "NX"),
    ARG_TOKEN("xx", "XX"),
    ARG_END,
};
static const struct command_arg point_member_args[] = {
    ARG("longitude", "double"),
    ARG("latitude", "double"),
    ARG("member", "string"),
    ARG_END,
};
static const struct command_arg geoadd_args[] = {
    ARG("key", "key"),
    ARG_ONEOF("condition", condition_args, .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_TOKEN("change", "CH", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_BLOCK("data", point_member_args, .flags = ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg members_args[] = {
    ARG("key", "key"),
    ARG("member", "string", .flags = ARG_OPTIONAL | ARG_MULTIPLE),
    ARG_END,
};
static const struct command_arg geodist_args[] = {
    ARG("key", "key"),
    ARG("member1", "string"),
    ARG("member2", "string"),
    ARG_ONEOF("unit", geo_unit_args, .flags = ARG_OPTIONAL),
    ARG_END,
};

struct command geo_commands[] = {
    {.name = "geoadd",
     .run = geoadd_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     GEO,
     .keys = KEY1(KEY_RW | KEY_UPDATE),
     .summary = "Adds one or more members to a geospatial index. The key is created if it doesn't exist.",
     .since = "3.2.0",
     .complexity = "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
     .args = geoadd_args,
     .history = STRINGS(CHANGE("6.2.0", "Added the `CH`, `NX` and `XX` options."))},
    {.name = "geopos",
     .run = geopos_run,
     .arity = -2,
     .flags = CMD_READONLY,
     GEO,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns the longitude and latitude of members from a geospatial index.",
     .since = "3.2.0",
     .complexity = "O(1) for each member requested.",
     .args = members_args},
    {.name = "geodist",
     .run = geodist_run,
     .arity = -4,
     .flags = CMD_READONLY,
     GEO,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns the distance between two members of a geospatial index.",
     .since = "3.2.0",
     .complexity = "O(1)",
     .args = geodist_args},
    {.name = "geohash",
     .run = geohash_run,
     .arity = -2,
     .flags = CMD_READONLY,
     GEO,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members from a geospatial index as geohash strings.",
     .since = "3.2.0",
     .complexity = "O(1) for each member requested.",
     .args = members_args},
    {.name = NULL},
};
