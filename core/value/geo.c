#include "core/value/geo.h"

#include <math.h>

#define STEP_MAX 26 /* bits of each coordinate */
#define EARTH_RADIUS 6372797.560856
#define MERCATOR_MAX 20037726.37 /* half of the equator, as the projection has it */

static double radians(double degrees) { return degrees * (M_PI / 180.0); }
static double degrees(double radians_) { return radians_ / (M_PI / 180.0); }

/* --- cells --- */

/* One of 2^step by 2^step cells of the map. */
struct cell {
    uint32_t x, y; /* columns to the east, rows to the north */
    unsigned step;
};

/* Puts a zero before each bit. */
static uint64_t spread(uint32_t v)
{
    uint64_t x = v;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x << 2) & 0x3333333333333333;
    return (x | x << 1) & 0x5555555555555555;
}

/* The bits at even places. */
static uint32_t gather(uint64_t x)
{
    x &= 0x5555555555555555;
    x = (x | x >> 1) & 0x3333333333333333;
    x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x >> 4) & 0x00ff00ff00ff00ff;
    x = (x | x >> 8) & 0x0000ffff0000ffff;
    return (uint32_t)(x | x >> 16);
}

static uint64_t cell_bits(struct cell c) { return spread(c.y) | spread(c.x) << 1; }

/* Where `v` lies between -max and max, in cells; the upper edge is the first cell beyond. */
static uint32_t cell_index(double v, double max, unsigned step)
{
    return (uint32_t)((v + max) / (2 * max) * (double)((uint64_t)1 << step));
}

static struct cell cell_of(struct geo_point p, double lat_max, unsigned step)
{
    return (struct cell){cell_index(p.lon, GEO_LON_MAX, step), cell_index(p.lat, lat_max, step), step};
}

/* The lower edge of a column or row. */
static double edge(uint64_t index, double max, unsigned step)
{
    return -max + (double)index / (double)((uint64_t)1 << step) * (2 * max);
}

struct box {
    double west, south, east, north;
};

static struct box box_of(struct cell c)
{
    return (struct box){
        .west = edge(c.x, GEO_LON_MAX, c.step),
        .south = edge(c.y, GEO_LAT_MAX, c.step),
        .east = edge((uint64_t)c.x + 1, GEO_LON_MAX, c.step),
        .north = edge((uint64_t)c.y + 1, GEO_LAT_MAX, c.step),
    };
}

/* The map has no end: what leaves it on one side comes in on the other. (But a point on its outer edge is in a cell
 * beyond it, and so are others on that edge.) */
static struct cell neighbour(struct cell c, int east, int north)
{
    uint32_t mask = (1u << c.step) - 1;
    if (east != 0)
        c.x = (c.x + (uint32_t)east) & mask;
    if (north != 0)
        c.y = (c.y + (uint32_t)north) & mask;
    return c;
}

/* --- scores --- */

double geo_encode(struct geo_point p) { return (double)cell_bits(cell_of(p, GEO_LAT_MAX, STEP_MAX)); }

/* Any double; outside of 64 bits as x86 converts them, which is what a Redis there does. */
static uint64_t score_bits(double score)
{
    if (score >= 0)
        return score < 0x1p64 ? (uint64_t)score : 0;
    return score > -0x1p63 ? (uint64_t)(int64_t)score : (uint64_t)1 << 63;
}

static double clamped(double v, double max) { return v > max ? max : v < -max ? -max : v; }

struct geo_point geo_decode(double score)
{
    uint64_t bits = score_bits(score);
    struct box b = box_of((struct cell){gather(bits >> 1), gather(bits), STEP_MAX});
    return (struct geo_point){clamped((b.west + b.east) / 2, GEO_LON_MAX),
                              clamped((b.south + b.north) / 2, GEO_LAT_MAX)};
}

void geo_text(double score, char out[static GEO_TEXT_CHARS])
{
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = cell_bits(cell_of(geo_decode(score), 90, STEP_MAX));
    for (unsigned i = 0; i + 1 < GEO_TEXT_CHARS; i++)
        out[i] = alphabet[bits >> (2 * STEP_MAX - 5 * (i + 1)) & 31];
    out[GEO_TEXT_CHARS - 1] = '0'; /* 52 bits are ten characters and two bits */
}

/* --- distances --- */

static double lat_distance(double a, double b) { return EARTH_RADIUS * fabs(radians(a) - radians(b)); }

double geo_distance(struct geo_point a, struct geo_point b)
{
    double u = sin((radians(b.lat) - radians(a.lat)) / 2), v = sin((radians(b.lon) - radians(a.lon)) / 2);
    if (v == 0)
        return lat_distance(a.lat, b.lat);
    return 2 * EARTH_RADIUS * asin(sqrt(u * u + cos(radians(a.lat)) * cos(radians(b.lat)) * v * v));
}

bool geo_inside(const struct geo_shape *s, struct geo_point p, double *distance)
{
    if (s->box) {
        struct geo_point beside = {s->center.lon, p.lat};
        if (lat_distance(p.lat, s->center.lat) > s->height / 2 || geo_distance(p, beside) > s->width / 2)
            return false;
    }
    *distance = geo_distance(s->center, p);
    return s->box || *distance <= s->radius;
}

/* --- covering a shape --- */

/* So many halvings of the map that a cell and its neighbours still hold the shape, mostly. */
static unsigned estimate_step(double reach, double lat)
{
    int step = -1;
    if (reach == 0)
        return STEP_MAX;
    for (; reach < MERCATOR_MAX; reach *= 2)
        step++;
    if (fabs(lat) > 66)
        step--;
    if (fabs(lat) > 80)
        step--;
    return step < 1 ? 1 : step > STEP_MAX ? STEP_MAX : (unsigned)step;
}

/* The box around the shape. It is widest at the side that is nearer to a pole. */
static struct box bounds(const struct geo_shape *s)
{
    double height = s->box ? s->height / 2 : s->radius, width = s->box ? s->width / 2 : s->radius;
    double dlat = degrees(height / EARTH_RADIUS);
    double widest = s->center.lat < 0 ? s->center.lat - dlat : s->center.lat + dlat;
    double dlon = degrees(width / EARTH_RADIUS / cos(radians(widest)));
    return (struct box){s->center.lon - dlon, s->center.lat - dlat, s->center.lon + dlon, s->center.lat + dlat};
}

/* Whether the cell's neighbours reach beyond the bounds on all sides. */
static bool reaches(struct cell c, const struct box *b)
{
    return box_of(neighbour(c, 0, 1)).north >= b->north && box_of(neighbour(c, 0, -1)).south <= b->south &&
           box_of(neighbour(c, 1, 0)).east >= b->east && box_of(neighbour(c, -1, 0)).west <= b->west;
}

/* Whether nothing of the shape can be in the neighbour in that direction: the cell itself ends beyond the bounds. */
static bool useless(const struct box *cell, const struct box *b, int east, int north)
{
    return (north < 0 && cell->south < b->south) || (north > 0 && cell->north > b->north) ||
           (east < 0 && cell->west < b->west) || (east > 0 && cell->east > b->east);
}

unsigned geo_cover(const struct geo_shape *s, struct geo_range out[static GEO_RANGES_MAX])
{
    static const struct {
        int8_t east, north;
    } order[GEO_RANGES_MAX] = {{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct box b = bounds(s);
    double reach = s->box ? sqrt(s->width / 2 * (s->width / 2) + s->height / 2 * (s->height / 2)) : s->radius;
    struct cell center = cell_of(s->center, GEO_LAT_MAX, estimate_step(reach, s->center.lat));
    if (center.step > 1 && !reaches(center, &b))
        center = cell_of(s->center, GEO_LAT_MAX, center.step - 1);
    struct box own = box_of(center);
    unsigned n = 0;
    for (unsigned i = 0; i < GEO_RANGES_MAX; i++) {
        if (center.step >= 2 && useless(&own, &b, order[i].east, order[i].north))
            continue;
        struct cell c = neighbour(center, order[i].east, order[i].north);
        unsigned shift = 2 * (STEP_MAX - c.step);
        struct geo_range r = {(double)(cell_bits(c) << shift), (double)((cell_bits(c) + 1) << shift)};
        if (n == 0 || r.min != out[n - 1].min) /* with four cells in all, opposite neighbours are the same */
            out[n++] = r;
    }
    return n;
}
