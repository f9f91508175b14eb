/* Values and their classes. A value is a small tagged word: an integer, bytes, or a pointer to a structure. A *class*
 * holds everything the store needs to know about a type; there is no switch over types anywhere else. Adding a type is
 * adding a class (and its commands).
 *
 * The encoding of a class (encode/decode) is the RDB encoding of the type: one encoder serves flash, DUMP/RESTORE,
 * snapshots and full sync. Values know no threads; who owns the entry owns the value. */
#ifndef VALUE_VALUE_H
#define VALUE_VALUE_H

#include "core/base/blob.h"
#include "core/base/buf.h"

/* Class ids, stored in entries (4 bits) and on flash. The numbers are a format: never change them. */
enum value_type {
    VALUE_STRING = 0,
    VALUE_LIST = 1,
    VALUE_SET = 2,
    VALUE_ZSET = 3,
    VALUE_HASH = 4,
    VALUE_STREAM = 5,
    VALUE_TYPES = 16,
};

/* Encodings, 4 bits; the first four are shared by all types, the rest belongs to the class. */
enum value_encoding {
    ENC_COLD = 0,  /* the value is on flash only */
    ENC_INT = 1,   /* word is the int64 */
    ENC_EMBED = 2, /* the bytes stand in the entry itself */
    ENC_BLOB = 3,  /* word is a struct blob pointer */
    ENC_RAW = 4,   /* strings: as ENC_BLOB, made by APPEND or SETRANGE: OBJECT ENCODING says raw however short it is */
};

struct value {
    uint8_t type;
    uint8_t encoding;
    union {
        int64_t integer;
        struct blob *blob;
        void *ptr;
    };
    struct slice embed; /* ENC_EMBED: borrowed bytes */
};

struct value_class {
    const char *name;                                          /* what TYPE answers */
    const char *(*encoding_name)(const struct value *v);       /* what OBJECT ENCODING answers */
    uint8_t (*encode)(const struct value *v, struct buf *out); /* appends; returns the RDB type byte */
    bool (*reads)(uint8_t rdb_type);                           /* whether decode takes this RDB type byte */
    int (*decode)(uint8_t rdb_type, struct slice bytes,
                  struct value *out); /* 0 or -EBADMSG; validates; caller owns *out */
    /* A value with the same contents for another entry; may share immutable parts. Caller owns *out (ENC_EMBED
     * borrows). */
    struct value (*copy)(const struct value *v);
    void (*release)(struct value *v);        /* frees what the value owns outside the entry */
    size_t (*memory)(const struct value *v); /* bytes outside the entry, as mem_class counts */
    uint64_t (*length)(const struct value *v);
    void (*digest)(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg);
};

/* NULL if the type is not known (a type byte from flash or RESTORE may be anything). */
const struct value_class *value_class_of(uint8_t type);
/* Which class reads this RDB type byte; NULL if none. */
const struct value_class *value_class_of_rdb(uint8_t rdb_type, uint8_t *type);

#endif
