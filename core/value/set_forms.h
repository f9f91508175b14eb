/* What the files of sets share; nobody else includes this. */
#ifndef VALUE_SET_FORMS_H
#define VALUE_SET_FORMS_H

#include "core/value/set.h"

enum set_encoding { /* beside ENC_PACK */
                    SET_INTSET = ENC_FIRST_OF_CLASS,
                    SET_TABLE,
                    SET_UNMADE, /* empty, its form not yet chosen; the word is the number of members to expect */
};

struct set_table {
    struct table *members;
    uint64_t bytes; /* of the members' allocations, as mem_class counts */
};

static inline const uint8_t *set_pack(const struct value *v) { return v->ptr; }
static inline const uint8_t *set_ints(const struct value *v) { return v->ptr; }
static inline struct set_table *set_table(const struct value *v) { return v->ptr; }

/* Whether the member is an integer, as a number or as its text. */
bool set_member_int(struct pack_item member, int64_t *out);

/* The bytes of a table's item. */
struct slice set_item_bytes(const void *item);
/* An empty set that is a table. */
struct value set_table_new(void);
uint64_t set_hash(struct slice member);
bool set_table_has(const struct set_table *s, struct slice member, uint64_t hash);
/* Adds what the table does not have. */
void set_table_insert(struct set_table *s, struct slice member, uint64_t hash);

/* --- set_codec.c: see struct value_class --- */
uint8_t set_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget);
bool set_reads(uint8_t rdb_type);
int set_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out);

#endif
