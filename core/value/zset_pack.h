/* The small form of a sorted set (internal to zset*.c): a pack of member, score, member, score …, in order. A place is
 * the position of a member. */
#ifndef VALUE_ZSET_PACK_H
#define VALUE_ZSET_PACK_H

#include "core/value/zset.h"

/* The score at a position. Bytes that zset_pack_valid has passed hold nothing that is no score. */
double zset_pack_score(const uint8_t *p, uint32_t at);
static inline uint32_t zset_pack_count(const uint8_t *p) { return pack_count(p) / 2; }
/* What is at a member's position; `scratch` holds a member that is an integer. */
struct zset_item zset_pack_item(const uint8_t *p, uint32_t at, char scratch[static PACK_TEXT_MAX]);
/* 0 if there is none. */
static inline uint32_t zset_pack_find(const uint8_t *p, struct slice member)
{
    return pack_find(p, pack_first(p), member, 1);
}
uint64_t zset_pack_rank(const uint8_t *p, uint32_t at);
struct zset_interval zset_pack_in_scores(const uint8_t *p, const struct zset_scores *range);
struct zset_interval zset_pack_in_lex(const uint8_t *p, struct zset_lex_bound min, struct zset_lex_bound max);

/* Take ownership of `p`, return what replaces it. */
uint8_t *zset_pack_insert(uint8_t *p, struct slice member, double score) must_check;
uint8_t *zset_pack_append(uint8_t *p, struct slice member, double score) must_check;
uint8_t *zset_pack_rescore(uint8_t *p, uint32_t at, struct slice member, double score) must_check;

/* Whether the bytes are a pack of the small form: pairs, scores, in order. Whether a member is there twice with
 * different scores is not seen. */
bool zset_pack_valid(struct slice bytes);

#endif
