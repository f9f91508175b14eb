/* Between the files of the hash class: its two forms. hash.c decides which one a value has. */
#ifndef VALUE_HASH_IMPL_H
#define VALUE_HASH_IMPL_H

#include "core/ds/btree.h"
#include "core/value/hash.h"

enum { HASH_TABLE = ENC_FIRST_OF_CLASS, HASH_PACK_EX };

static inline bool hash_is_table(const struct value *v) { return v->encoding == HASH_TABLE; }
/* HASH_TIMELESS is before any deadline. */
static inline bool hash_stale(int64_t deadline, int64_t now_ms)
{
    return deadline != HASH_NO_DEADLINE && deadline <= now_ms;
}
static inline enum hash_was hash_was_of(int64_t deadline, int64_t now_ms)
{
    return hash_stale(deadline, now_ms) ? HASH_STALE : HASH_THERE;
}

/* --- packs (hash_pack.c): values with ENC_PACK or HASH_PACK_EX --- */

static inline unsigned hash_pack_width(const struct value *v) { return v->encoding == HASH_PACK_EX ? 3 : 2; }
/* The position of a field, stale or not; 0 if it is missing. */
uint32_t hash_pack_find(const struct value *v, struct slice field);
int64_t hash_pack_deadline(const struct value *v, uint32_t at); /* of the field at this position */
uint64_t hash_pack_fields(const struct value *v);
/* Stale fields: they are the first ones. */
uint64_t hash_pack_stale(const struct value *v, int64_t now_ms);
void hash_pack_add(struct value *v, struct slice field, struct slice value);
void hash_pack_set_value(struct value *v, uint32_t at, struct slice value);
void hash_pack_set_deadline(struct value *v, uint32_t at, int64_t deadline);
void hash_pack_erase(struct value *v, uint32_t at);
/* Whether the pack may take so many bytes more. */
bool hash_pack_has_room(const struct value *v, uint64_t bytes);

/* --- tables (hash_table.c) --- */

struct hash_table {
    struct table *fields;
    struct btree *due; /* {deadline, hash} of fields that have one; NULL: none has */
    size_t item_bytes; /* what the fields take, as mem_class counts */
};

/* Takes an item of the table apart; slices borrow from it. */
struct hash_item {
    struct slice field, value;
    int64_t deadline;
};
struct hash_item hash_item_of(const void *item);

struct hash_table *hash_table_new(void);
struct hash_table *hash_table_copy(struct hash_table *h);
void hash_table_free(struct hash_table *h);
size_t hash_table_memory(const struct hash_table *h);
uint64_t hash_table_fields(const struct hash_table *h);
uint64_t hash_table_stale(const struct hash_table *h, int64_t now_ms);
/* The field's item, stale or not; NULL if it is missing. */
void *hash_table_find(struct hash_table *h, struct slice field);
void hash_table_prefetch(const struct hash_table *h, struct slice field, int step);
/* The field must not be in the table. */
void hash_table_add(struct hash_table *h, struct slice field, struct slice value, int64_t deadline);
/* Returns what the field was; creates it or replaces its value. */
enum hash_was hash_table_set(struct hash_table *h, struct slice field, struct slice value, int64_t now_ms,
                             enum hash_keep keep);
void hash_table_set_deadline(struct hash_table *h, struct slice field, int64_t deadline);
enum hash_was hash_table_delete(struct hash_table *h, struct slice field, int64_t now_ms);
int64_t hash_table_next_deadline(const struct hash_table *h);
size_t hash_table_expire(struct hash_table *h, int64_t now_ms, size_t max, hash_expiring *each, void *arg);
void hash_table_validate(struct hash_table *h);

/* A pack becomes a table. */
void hash_to_table(struct value *v);
/* Whether a hash with these must be a table. */
bool hash_too_long(struct slice field, struct slice value, const struct value_limits *limits);

/* --- the RDB encodings (hash_codec.c); see struct value_class --- */

uint8_t hash_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget);
bool hash_reads(uint8_t rdb_type);
int hash_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out);

#endif
