#include "core/value/zset_pack.h"

#include <math.h>

#include "core/base/num.h"

#define INTEGRAL_MAX ((double)(INT64_MAX / 2)) /* as Redis: safely inside an int64 */
#define SCORE_TEXT 40

/* --- scores --- */

/* A text as `strtod` reads it in Redis. */
static bool score_of(struct pack_item item, double *out)
{
    if (likely(item.is_int)) {
        *out = (double)item.integer;
        return true;
    }
    return num_parse_double(item.bytes, out);
}

static struct pack_item item_of_score(double score, char text[static SCORE_TEXT])
{
    if (score >= -INTEGRAL_MAX && score <= INTEGRAL_MAX && score == (double)(int64_t)score)
        return pack_int((int64_t)score);
    return pack_str(slice_of(text, num_format_double(text, score)));
}

double zset_pack_score(const uint8_t *p, uint32_t at)
{
    double score = 0;
    (void)score_of(pack_get(p, at), &score);
    return score + 0.0; /* minus zero, which foreign bytes may spell, is zero */
}

struct zset_item zset_pack_item(const uint8_t *p, uint32_t at, char scratch[static PACK_TEXT_MAX])
{
    return (struct zset_item){pack_text(pack_get(p, at), scratch), zset_pack_score(p, pack_next(p, at))};
}

/* --- places --- */

static uint32_t next_member(const uint8_t *p, uint32_t at) { return pack_next(p, pack_next(p, at)); }

/* Of two walks to the place, the shorter one would do; the pack is small. */
uint64_t zset_pack_rank(const uint8_t *p, uint32_t at)
{
    uint64_t rank = 0;
    for (uint32_t i = pack_first(p); i != at; i = next_member(p, i))
        rank++;
    return rank;
}

static bool comes_behind(const uint8_t *p, uint32_t at, struct slice member, double score)
{
    char scratch[PACK_TEXT_MAX];
    double other = zset_pack_score(p, pack_next(p, at));
    return other > score || (other == score && slice_cmp(pack_text(pack_get(p, at), scratch), member) > 0);
}

/* Where a new member has to stand: at the end, as often, or before the first that comes behind it. */
static uint32_t place_for(const uint8_t *p, struct slice member, double score)
{
    uint32_t at = pack_first(p), end = pack_end(p), last = pack_last(p);
    if (last == 0 || !comes_behind(p, pack_prev(p, last), member, score))
        return end;
    while (!comes_behind(p, at, member, score))
        at = next_member(p, at);
    return at;
}

/* --- changes --- */

static uint8_t *put_at(uint8_t *p, uint32_t at, struct slice member, double score)
{
    char text[SCORE_TEXT];
    struct pack_item pair[2] = {pack_str(member), item_of_score(score, text)};
    return pack_splice(p, at, 0, pair, 2);
}

uint8_t *zset_pack_insert(uint8_t *p, struct slice member, double score)
{
    return put_at(p, place_for(p, member, score), member, score);
}

uint8_t *zset_pack_append(uint8_t *p, struct slice member, double score)
{
    return put_at(p, pack_end(p), member, score);
}

/* Whether the member at `at` may take the score without moving. */
static bool stays(const uint8_t *p, uint32_t at, struct slice member, double score)
{
    uint32_t next = next_member(p, at), before = pack_prev(p, at);
    if (next != pack_end(p) && !comes_behind(p, next, member, score))
        return false;
    return before == 0 || !comes_behind(p, pack_prev(p, before), member, score);
}

uint8_t *zset_pack_rescore(uint8_t *p, uint32_t at, struct slice member, double score)
{
    char text[SCORE_TEXT];
    if (stays(p, at, member, score))
        return pack_replace(p, pack_next(p, at), item_of_score(score, text));
    return zset_pack_insert(pack_erase(p, at, 2), member, score);
}

/* --- intervals --- */

struct zset_interval zset_pack_in_scores(const uint8_t *p, const struct zset_scores *range)
{
    struct zset_interval in = {0, 0};
    for (uint32_t at = pack_first(p); at != pack_end(p); at = next_member(p, at), in.to++) {
        double score = zset_pack_score(p, pack_next(p, at));
        if (range->min_open ? score <= range->min : score < range->min)
            in.from++;
        else if (range->max_open ? score >= range->max : score > range->max)
            break;
    }
    return in;
}

static bool below(struct slice member, const struct zset_lex_bound *min)
{
    if (min->infinite != 0)
        return min->infinite > 0;
    int order = slice_cmp(member, min->member);
    return min->open ? order <= 0 : order < 0;
}

static bool above(struct slice member, const struct zset_lex_bound *max)
{
    if (max->infinite != 0)
        return max->infinite < 0;
    int order = slice_cmp(member, max->member);
    return max->open ? order >= 0 : order > 0;
}

struct zset_interval zset_pack_in_lex(const uint8_t *p, struct zset_lex_bound min, struct zset_lex_bound max)
{
    char scratch[PACK_TEXT_MAX];
    struct zset_interval in = {0, 0};
    for (uint32_t at = pack_first(p); at != pack_end(p); at = next_member(p, at), in.to++) {
        struct slice member = pack_text(pack_get(p, at), scratch);
        if (below(member, &min))
            in.from++;
        else if (above(member, &max))
            break;
    }
    return in;
}

/* --- bytes from outside --- */

struct check {
    char texts[2][PACK_TEXT_MAX]; /* of the members before and now */
    struct slice last, member;
    double last_score;
    uint32_t n; /* items seen */
};

static bool check_item(void *arg, uint32_t index, struct pack_item item)
{
    struct check *c = arg;
    double score;
    c->n = index + 1;
    if (index % 2 == 0) {
        c->member = pack_text(item, c->texts[index / 2 % 2]);
        return true;
    }
    if (!score_of(item, &score))
        return false;
    bool first = index == 1;
    bool ordered = first || c->last_score < score || (c->last_score == score && slice_cmp(c->last, c->member) < 0);
    c->last = c->member;
    c->last_score = score;
    return ordered;
}

bool zset_pack_valid(struct slice bytes)
{
    struct check c = {.n = 0};
    return pack_validate_each(bytes, check_item, &c) && c.n > 0 && c.n % 2 == 0;
}
