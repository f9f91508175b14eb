/* Geohashes and distances against known ones, and covers against all points: no point inside a shape is missed. */
#include "core/value/geo.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "tests/sim/tap.h"

static bool near(double a, double b, double slack) { return fabs(a - b) <= slack; }

static bool text_is(struct geo_point p, const char *want)
{
    char text[GEO_TEXT_CHARS];
    geo_text(geo_encode(p), text);
    return memcmp(text, want, GEO_TEXT_CHARS) == 0;
}

static void known(void)
{
    struct geo_point palermo = {13.361389, 38.115556}, catania = {15.087269, 37.502669};
    ok(geo_encode(palermo) == 3479099956230698.0 && geo_encode(catania) == 3479447370796909.0, "scores");
    ok(text_is(palermo, "sqc8b49rny0") && text_is(catania, "sqdtr74hyu0"), "geohash texts");
    ok(near(geo_distance(palermo, catania), 166274.26, 1), "a distance");
    ok(geo_distance(palermo, palermo) == 0, "no distance");
    ok(near(geo_distance((struct geo_point){0, -85}, (struct geo_point){0, 85}), 6372797.560856 * M_PI * 170 / 180, 1),
       "along a meridian");
    ok(geo_valid((struct geo_point){180, GEO_LAT_MAX}) && !geo_valid((struct geo_point){180.1, 0}) &&
           !geo_valid((struct geo_point){0, -85.06}) && !geo_valid((struct geo_point){NAN, 0}),
       "what is on the map");
}

static struct geo_point any_point(struct rng *rng)
{
    return (struct geo_point){rng_unit(rng) * 360 - 180, (rng_unit(rng) * 2 - 1) * GEO_LAT_MAX};
}

static void round_trips(struct rng *rng)
{
    bool close = true, stable = true, valid = true;
    for (int i = 0; i < 100000; i++) {
        struct geo_point p = any_point(rng), back = geo_decode(geo_encode(p));
        close &= near(p.lon, back.lon, 180.0 / (1 << 26)) && near(p.lat, back.lat, 85.1 / (1 << 26));
        stable &= geo_encode(back) == geo_encode(p);
    }
    static const double odd[] = {INFINITY, -INFINITY, -1, 0, 1e300, -1e300, 0x1p52, 0x1p63, 0x1p64, 0.5};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        valid &= geo_valid(geo_decode(odd[i]));
    ok(close, "a point is in its cell");
    ok(stable, "the middle of a cell is in it");
    ok(valid, "scores that are no geohashes decode to something");
}

static bool covered(const struct geo_range *r, unsigned n, double score)
{
    unsigned in = 0;
    for (unsigned i = 0; i < n; i++)
        in += score >= r[i].min && score < r[i].max;
    return in == 1;
}

/* Away from the poles and the date line, where cells of one size do not reach around everything (as in Redis). */
static struct geo_shape any_shape(struct rng *rng)
{
    struct geo_shape s = {.center = {rng_unit(rng) * 300 - 150, rng_unit(rng) * 120 - 60}, .box = rng_below(rng, 2)};
    s.radius = pow(10, rng_unit(rng) * 6);
    s.width = pow(10, rng_unit(rng) * 6);
    s.height = pow(10, rng_unit(rng) * 6);
    return s;
}

static struct geo_point near_point(struct rng *rng, const struct geo_shape *s)
{
    double reach = 3e-5 * (s->box ? fmax(s->width, s->height) : s->radius);
    struct geo_point p = s->center;
    p.lon += (rng_unit(rng) - 0.5) * reach;
    p.lat += (rng_unit(rng) - 0.5) * reach;
    return p;
}

static void covers(struct rng *rng)
{
    struct geo_range r[GEO_RANGES_MAX];
    bool good = true;
    unsigned inside = 0;
    double distance;
    for (int i = 0; i < 5000 && good; i++) {
        struct geo_shape s = any_shape(rng);
        unsigned n = geo_cover(&s, r);
        for (int j = 0; j < 40 && good; j++) {
            struct geo_point p = near_point(rng, &s);
            if (!geo_valid(p) || !geo_inside(&s, p, &distance))
                continue;
            inside++;
            good = covered(r, n, geo_encode(p));
            if (!good)
                tap_diag("%s at %f %f: radius %f, %f x %f misses %f %f", s.box ? "box" : "circle", s.center.lon,
                         s.center.lat, s.radius, s.width, s.height, p.lon, p.lat);
        }
    }
    ok(good && inside > 10000, "every point inside is in exactly one range of the cover (%u points)", inside);
}

int main(void)
{
    struct rng rng;
    rng_seed(&rng, tap_seed());
    known();
    round_trips(&rng);
    covers(&rng);
    return tap_done();
}
