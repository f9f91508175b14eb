/* Searching geo indexes: GEOSEARCH, GEOSEARCHSTORE, and GEORADIUS and family, which they replace. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "server/cmd/geo.h"
#include "server/cmd/store.h"

enum family { SEARCH, SEARCH_STORE, RADIUS, RADIUS_RO, RADIUS_MEMBER, RADIUS_MEMBER_RO };
enum sort { SORT_NONE, SORT_NEAREST, SORT_FARTHEST };

struct search {
    enum family family;
    int source; /* argument of the index */
    struct value v;
    bool exists;
    struct geo_shape shape; /* in metres */
    double unit;            /* of distances, in metres */
    bool from_member, from_point, by_radius, by_box;
    bool with_distance, with_hash, with_point;
    enum sort sort;
    int64_t count; /* 0: all */
    bool any;
    int store; /* argument of the destination; 0: replied */
    bool store_distance;
};

static bool is_search(const struct search *s) { return s->family == SEARCH || s->family == SEARCH_STORE; }

/* --- options --- */

/* The centre is where a member is. Of a missing key nothing is known; the other options are still to be checked. */
static bool at_member(struct call *c, struct search *s, struct slice member)
{
    double score;
    if (!s->exists)
        return true;
    if (!zset_score(&s->v, member, &score)) {
        reply_error(c, "ERR could not decode requested zset member");
        return false;
    }
    s->shape.center = geo_decode(score);
    return true;
}

/* RADIUS UNIT */
static bool radius(struct call *c, struct search *s, const struct slice *argv)
{
    double v;
    if (!arg_double(c, argv[0], &v, "ERR need numeric radius"))
        return false;
    if (v < 0) {
        reply_error(c, "ERR radius cannot be negative");
        return false;
    }
    if (!arg_unit(c, argv[1], &s->unit))
        return false;
    s->shape.box = false;
    s->shape.radius = v * s->unit;
    return true;
}

/* WIDTH HEIGHT UNIT */
static bool box(struct call *c, struct search *s, const struct slice *argv)
{
    double width, height;
    if (!arg_double(c, argv[0], &width, "ERR need numeric width") ||
        !arg_double(c, argv[1], &height, "ERR need numeric height"))
        return false;
    if (width < 0 || height < 0) {
        reply_error(c, "ERR height or width cannot be negative");
        return false;
    }
    if (!arg_unit(c, argv[2], &s->unit))
        return false;
    s->shape.box = true;
    s->shape.width = width * s->unit;
    s->shape.height = height * s->unit;
    return true;
}

static bool plain_word(struct search *s, struct slice word)
{
    if (slice_is(word, "withdist"))
        s->with_distance = true;
    else if (slice_is(word, "withhash"))
        s->with_hash = true;
    else if (slice_is(word, "withcoord"))
        s->with_point = true;
    else if (slice_is(word, "any"))
        s->any = true;
    else if (slice_is(word, "asc"))
        s->sort = SORT_NEAREST;
    else if (slice_is(word, "desc"))
        s->sort = SORT_FARTHEST;
    else if (s->family == SEARCH_STORE && slice_is(word, "storedist"))
        s->store_distance = true;
    else
        return false;
    return true;
}

/* What an option of GEOSEARCH at argv[at] takes; 0: it is none, or is wrong and that has been replied. */
static int search_option(struct call *c, struct search *s, int at, int left)
{
    const struct slice *argv = c->argv + at;
    if (slice_is(argv[0], "frommember") && left >= 2 && !s->from_point) {
        s->from_member = true;
        return at_member(c, s, argv[1]) ? 2 : 0;
    }
    if (slice_is(argv[0], "fromlonlat") && left >= 3 && !s->from_member) {
        s->from_point = true;
        return arg_point(c, argv + 1, &s->shape.center) ? 3 : 0;
    }
    if (slice_is(argv[0], "byradius") && left >= 3 && !s->by_box) {
        s->by_radius = true;
        return radius(c, s, argv + 1) ? 3 : 0;
    }
    if (slice_is(argv[0], "bybox") && left >= 4 && !s->by_radius) {
        s->by_box = true;
        return box(c, s, argv + 1) ? 4 : 0;
    }
    return 0;
}

static int store_option(struct search *s, struct slice word, int at, int left)
{
    bool distance = slice_is(word, "storedist");
    if ((s->family != RADIUS && s->family != RADIUS_MEMBER) || left < 2 || !(distance || slice_is(word, "store")))
        return 0;
    s->store = at + 1;
    s->store_distance = distance;
    return 2;
}

static int count_option(struct call *c, struct search *s, struct slice text)
{
    if (!arg_i64(c, text, &s->count))
        return 0;
    if (s->count > 0)
        return 2;
    reply_error(c, "ERR COUNT must be > 0");
    return 0;
}

static int option(struct call *c, struct search *s, int at)
{
    struct slice word = c->argv[at];
    int left = c->argc - at;
    if (plain_word(s, word))
        return 1;
    if (slice_is(word, "count") && left >= 2)
        return count_option(c, s, c->argv[at + 1]);
    return is_search(s) ? search_option(c, s, at, left) : store_option(s, word, at, left);
}

static bool options(struct call *c, struct search *s, int at)
{
    while (at < c->argc) {
        int taken = option(c, s, at);
        if (taken == 0) {
            if (!c->failed)
                reply_syntax(c);
            return false;
        }
        at += taken;
    }
    return true;
}

/* What only shows when all options are known. */
static bool consistent(struct call *c, const struct search *s)
{
    int len = (int)min_u64(c->argv[0].len, 128);
    const char *name = (const char *)c->argv[0].p;
    if (s->store != 0 && (s->with_distance || s->with_hash || s->with_point))
        reply_errorf(c, "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                     s->family == SEARCH_STORE ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
    else if (is_search(s) && !s->from_member && !s->from_point)
        reply_errorf(c, "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s", len, name);
    else if (is_search(s) && !s->by_radius && !s->by_box)
        reply_errorf(c, "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s", len, name);
    else if (s->any && s->count == 0)
        reply_error(c, "ERR the ANY argument requires COUNT argument");
    return !c->failed;
}

/* The arguments before the options; *at is where those begin. */
static bool centre(struct call *c, struct search *s, int *at)
{
    *at = s->source + 1;
    if (is_search(s))
        return true;
    bool by_member = s->family == RADIUS_MEMBER || s->family == RADIUS_MEMBER_RO;
    *at = by_member ? 5 : 6;
    if (by_member && !s->exists)
        return true;
    return (by_member ? at_member(c, s, c->argv[2]) : arg_point(c, c->argv + 2, &s->shape.center)) &&
           radius(c, s, c->argv + *at - 2);
}

/* --- searching --- */

struct match {
    size_t name, len; /* in `names` */
    double score, distance;
    struct geo_point point;
    size_t nth;
};

struct matches {
    struct match *at;
    size_t n, cap;
    struct buf names;
};

static void add_match(struct matches *m, const struct zset_item *item, struct geo_point p, double distance)
{
    if (m->n == m->cap) {
        size_t cap = m->cap == 0 ? 32 : 2 * m->cap;
        m->at = mem_realloc(m->at, sizeof(*m->at) * m->cap, sizeof(*m->at) * cap);
        m->cap = cap;
    }
    m->at[m->n] = (struct match){m->names.len, item->member.len, item->score, distance, p, m->n};
    m->n++;
    buf_append_slice(&m->names, item->member);
}

static struct slice match_name(const struct matches *m, const struct match *one)
{
    return slice_of(m->names.p + one->name, one->len);
}

static void free_matches(struct matches *m)
{
    mem_free(m->at, sizeof(*m->at) * m->cap);
    buf_free(&m->names);
}

static void search_range(const struct search *s, struct geo_range range, size_t limit, struct matches *m)
{
    struct zset_scores scores = {.min = range.min, .max = range.max, .max_open = true};
    struct zset_interval in = zset_in_scores(&s->v, &scores);
    struct zset_iter it;
    struct zset_item item;
    double distance;
    zset_iter_init(&it, &s->v, in.from, false);
    for (uint64_t left = zset_width(in); left > 0 && m->n < limit && zset_iter_next(&it, &item); left--) {
        struct geo_point p = geo_decode(item.score);
        if (geo_inside(&s->shape, p, &distance))
            add_match(m, &item, p, distance);
    }
}

static int nearest_first(const void *a, const void *b)
{
    const struct match *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->nth < y->nth ? -1 : 1;
}

static int farthest_first(const void *a, const void *b)
{
    const struct match *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance > y->distance ? -1 : 1;
    return x->nth < y->nth ? -1 : 1;
}

/* With ANY the first that are found will do; else COUNT means the nearest. */
static void find(const struct search *s, struct matches *m)
{
    struct geo_range ranges[GEO_RANGES_MAX];
    unsigned n = geo_cover(&s->shape, ranges);
    enum sort sort = s->sort == SORT_NONE && s->count != 0 && !s->any ? SORT_NEAREST : s->sort;
    for (unsigned i = 0; i < n; i++)
        search_range(s, ranges[i], s->any ? (size_t)s->count : SIZE_MAX, m);
    if (sort != SORT_NONE && m->n > 1)
        qsort(m->at, m->n, sizeof(*m->at), sort == SORT_NEAREST ? nearest_first : farthest_first);
    if (s->count != 0)
        m->n = min_u64(m->n, (uint64_t)s->count);
}

/* --- answers --- */

static void reply_match(struct call *c, const struct search *s, const struct matches *m, const struct match *one)
{
    int extras = s->with_distance + s->with_hash + s->with_point;
    if (extras > 0)
        reply_array(c, (size_t)extras + 1);
    reply_bulk(c, match_name(m, one));
    if (s->with_distance)
        reply_distance(c, one->distance / s->unit);
    if (s->with_hash)
        reply_int(c, one->score < 0x1p63 && one->score >= -0x1p63 ? (int64_t)one->score : INT64_MIN);
    if (s->with_point)
        reply_point(c, one->point);
}

static struct value value_of(struct call *c, const struct search *s, const struct matches *m)
{
    struct zset_build *b = zset_build_new();
    bool added;
    for (size_t i = 0; i < m->n; i++) {
        const struct match *one = &m->at[i];
        *zset_build_member(b, match_name(m, one), &added) = s->store_distance ? one->distance / s->unit : one->score;
    }
    return zset_build_value(b, call_limits(c));
}

static void search_run(struct call *c, enum family family)
{
    struct search s = {.family = family, .source = family == SEARCH_STORE ? 2 : 1, .unit = 1};
    struct matches m = {.at = NULL};
    int at;
    s.store = family == SEARCH_STORE ? 1 : 0;
    s.exists = read_zset(c, s.source, &s.v);
    if (c->failed || !centre(c, &s, &at) || !options(c, &s, at) || !consistent(c, &s))
        return;
    if (s.exists)
        find(&s, &m);
    if (s.store != 0) {
        struct value v = value_of(c, &s, &m);
        store_result(c, s.store, &v, EVENT_ZSET, family == SEARCH_STORE ? "geosearchstore" : "georadiusstore");
    } else {
        reply_array(c, m.n);
        for (size_t i = 0; i < m.n; i++)
            reply_match(c, &s, &m, &m.at[i]);
    }
    free_matches(&m);
}

static void geosearch_run(struct call *c) { search_run(c, SEARCH); }
static void geosearchstore_run(struct call *c) { search_run(c, SEARCH_STORE); }
static void georadius_run(struct call *c) { search_run(c, RADIUS); }
static void georadius_ro_run(struct call *c) { search_run(c, RADIUS_RO); }
static void georadiusbymember_run(struct call *c) { search_run(c, RADIUS_MEMBER); }
static void georadiusbymember_ro_run(struct call *c) { search_run(c, RADIUS_MEMBER_RO); }

/* --- declarations --- */

static const struct command_arg point_args[] = {
    ARG("longitude", "double"),
    ARG("latitude", "double"),
    ARG_END,
};
static const struct command_arg from_args[] = {
    ARG("member", "string", .token = "FROMMEMBER"),
    ARG_BLOCK("fromlonlat", point_args, .token = "FROMLONLAT"),
    ARG_END,
};
static const struct command_arg circle_args[] = {
    ARG("radius", "double", .token = "BYRADIUS"),
    ARG_ONEOF("unit", geo_unit_args),
    ARG_END,
};
static const struct command_arg box_args[] = {
    ARG("width", "double", .token = "BYBOX"),
    ARG("height", "double"),
    ARG_ONEOF("unit", geo_unit_args),
    ARG_END,
};
static const struct command_arg by_args[] = {
    ARG_BLOCK("circle", circle_args),
    ARG_BLOCK("box", box_args),
    ARG_END,
};
static const struct command_arg order_args[] = {
    ARG_TOKEN("asc", "ASC"),
    ARG_TOKEN("desc", "DESC"),
    ARG_END,
};
static const struct command_arg count_args[] = {
    ARG("count", "integer", .token = "COUNT"),
    ARG_TOKEN("any", "ANY", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg count_any_args[] = {
    ARG("count", "integer", .token = "COUNT"),
    ARG_TOKEN("any", "ANY", .since = "6.2.0", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg store_args[] = {
    ARG("storekey", "key", .display = "key", .token = "STORE", .key_spec = 1),
    ARG("storedistkey", "key", .display = "key", .token = "STOREDIST", .key_spec = 2),
    ARG_END,
};
#define AREA_ARGS                                                                                                  \
    ARG_ONEOF("from", from_args), ARG_ONEOF("by", by_args), ARG_ONEOF("order", order_args, .flags = ARG_OPTIONAL), \
        ARG_BLOCK("count-block", count_args, .flags = ARG_OPTIONAL)
#define WITH_ARGS                                                 \
    ARG_TOKEN("withcoord", "WITHCOORD", .flags = ARG_OPTIONAL),   \
        ARG_TOKEN("withdist", "WITHDIST", .flags = ARG_OPTIONAL), \
        ARG_TOKEN("withhash", "WITHHASH", .flags = ARG_OPTIONAL)
#define RADIUS_ARGS(counts)                                               \
    ARG("radius", "double"), ARG_ONEOF("unit", geo_unit_args), WITH_ARGS, \
        ARG_BLOCK("count-block", counts, .flags = ARG_OPTIONAL), ARG_ONEOF("order", order_args, .flags = ARG_OPTIONAL)
static const struct command_arg search_args[] = {
    ARG("key", "key"),
    AREA_ARGS,
    WITH_ARGS,
    ARG_END,
};
static const struct command_arg search_store_args[] = {
    ARG("destination", "key"),
    ARG("source", "key", .key_spec = 1),
    AREA_ARGS,
    ARG_TOKEN("storedist", "STOREDIST", .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg radius_args[] = {
    ARG("key", "key"),
    ARG("longitude", "double"),
    ARG("latitude", "double"),
    RADIUS_ARGS(count_any_args),
    ARG_ONEOF("store", store_args, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg radius_ro_args[] = {
    ARG("key", "key"), ARG("longitude", "double"), ARG("latitude", "double"), RADIUS_ARGS(count_any_args), ARG_END,
};
static const struct command_arg radius_member_args[] = {
    ARG("key", "key"),
    ARG("member", "string"),
    RADIUS_ARGS(count_args),
    ARG_ONEOF("store", store_args, .flags = ARG_OPTIONAL),
    ARG_END,
};
static const struct command_arg radius_member_ro_args[] = {
    ARG("key", "key"),
    ARG("member", "string"),
    RADIUS_ARGS(count_args),
    ARG_END,
};

struct command geo_search_commands[] = {
    {.name = "geosearch",
     .run = geosearch_run,
     .arity = -7,
     .flags = CMD_READONLY,
     GEO,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Queries a geospatial index for members inside an area of a box or a circle.",
     .since = "6.2.0",
     .complexity = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the "
                   "shape provided as the filter and M is the number of items inside the shape",
     .args = search_args,
     .history = STRINGS(CHANGE("7.0.0", "Added support for uppercase unit names."))},
    {.name = "geosearchstore",
     .run = geosearchstore_run,
     .arity = -8,
     .flags = CMD_WRITE | CMD_DENYOOM,
     GEO,
     .keys = {{.flags = KEY_OW | KEY_UPDATE, .first = 1, .step = 1, .need = NEED_META},
              {.flags = KEY_RO | KEY_ACCESS, .first = 2, .step = 1, .need = NEED_VALUE}},
     .summary =
         "Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result.",
     .since = "6.2.0",
     .complexity = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the "
                   "shape provided as the filter and M is the number of items inside the shape",
     .args = search_store_args,
     .history = STRINGS(CHANGE("7.0.0", "Added support for uppercase unit names."))},
    {.name = "georadius",
     .run = georadius_run,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     GEO,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_OW | KEY_UPDATE, .first = 6, .step = 1, .keyword = "STORE"},
              {.flags = KEY_OW | KEY_UPDATE, .first = 6, .step = 1, .keyword = "STOREDIST"}},
     .summary =
         "Queries a geospatial index for members within a distance from a coordinate, optionally stores the result.",
     .since = "3.2.0",
     .complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area "
                   "delimited by center and radius and M is the number of items inside the index.",
     .args = radius_args,
     .history = STRINGS(CHANGE("6.2.0", "Added the `ANY` option for `COUNT`."),
                        CHANGE("7.0.0", "Added support for uppercase unit names.")),
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"},
    {.name = "georadius_ro",
     .run = georadius_ro_run,
     .arity = -6,
     .flags = CMD_READONLY,
     GEO,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members from a geospatial index that are within a distance from a coordinate.",
     .since = "3.2.10",
     .complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area "
                   "delimited by center and radius and M is the number of items inside the index.",
     .args = radius_ro_args,
     .history = STRINGS(CHANGE("6.2.0", "Added the `ANY` option for `COUNT`.")),
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` argument"},
    {.name = "georadiusbymember",
     .run = georadiusbymember_run,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     GEO,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .need = NEED_VALUE},
              {.flags = KEY_OW | KEY_UPDATE, .first = 5, .step = 1, .keyword = "STORE"},
              {.flags = KEY_OW | KEY_UPDATE, .first = 5, .step = 1, .keyword = "STOREDIST"}},
     .summary = "Queries a geospatial index for members within a distance from a member, optionally stores the result.",
     .since = "3.2.0",
     .complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area "
                   "delimited by center and radius and M is the number of items inside the index.",
     .args = radius_member_args,
     .history = STRINGS(CHANGE("7.0.0", "Added support for uppercase unit names.")),
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "georadiusbymember_ro",
     .run = georadiusbymember_ro_run,
     .arity = -5,
     .flags = CMD_READONLY,
     GEO,
     .keys = KEY1(KEY_RO | KEY_ACCESS),
     .summary = "Returns members from a geospatial index that are within a distance from a member.",
     .since = "3.2.10",
     .complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area "
                   "delimited by center and radius and M is the number of items inside the index.",
     .args = radius_member_ro_args,
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = NULL},
};
