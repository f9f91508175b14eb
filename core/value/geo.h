/* Places on Earth as scores of a sorted set: 52-bit geohashes, 26 bits each of longitude and latitude, interleaved,
 * longitude first. So a square cell of any power of two is an interval of scores, and a search looks into at most nine.
 * Knows no sorted sets and no replies.
 *
 * Distances are along great circles of a sphere (haversine), coordinates in degrees. Latitudes end where the Web
 * Mercator square does (EPSG:3857). Constants and the choice of cells are Redis's, since clients see them: they decide
 * which of two points at the same border is in, and in which order matches come. */
#ifndef VALUE_GEO_H
#define VALUE_GEO_H

#include "core/base/base.h"

#define GEO_LON_MAX 180.0
#define GEO_LAT_MAX 85.05112878
#define GEO_TEXT_CHARS 11

struct geo_point {
    double lon, lat;
};

static inline bool geo_valid(struct geo_point p)
{
    return p.lon >= -GEO_LON_MAX && p.lon <= GEO_LON_MAX && p.lat >= -GEO_LAT_MAX && p.lat <= GEO_LAT_MAX;
}

/* The score of a valid point. */
double geo_encode(struct geo_point p);
/* The middle of the cell that a score stands for; a score that is no geohash gives some valid point. */
struct geo_point geo_decode(double score);
/* The geohash as it is usually written (base 32, latitudes up to 90), of which the last character is always 0. */
void geo_text(double score, char out[static GEO_TEXT_CHARS]);

/* Metres. */
double geo_distance(struct geo_point a, struct geo_point b);

/* What is searched, in metres: a circle, or with `box` a box with sides along the meridians and parallels. */
struct geo_shape {
    struct geo_point center;
    bool box;
    double radius;
    double width, height;
};
/* Whether the point is inside; then *distance is its distance from the centre. */
bool geo_inside(const struct geo_shape *s, struct geo_point p, double *distance);

/* Scores with min <= score < max. */
struct geo_range {
    double min, max;
};
#define GEO_RANGES_MAX 9
/* Ranges that hold all points inside the shape, among others; no point is in two. Returns how many. */
unsigned geo_cover(const struct geo_shape *s, struct geo_range out[static GEO_RANGES_MAX]);

#endif
