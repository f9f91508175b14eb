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

/* Encodings, 4 bits; the first six are shared by all types, the rest belongs to the class. */
enum value_encoding {
    ENC_COLD = 0,  /* the value is on flash only */
    ENC_INT = 1,   /* word is the int64 */
    ENC_EMBED = 2, /* the bytes (of a collection: its pack) stand in the entry itself */
    ENC_BLOB = 3,  /* word is a struct blob pointer */
    ENC_RAW = 4,   /* strings: as ENC_BLOB, made by APPEND or SETRANGE: OBJECT ENCODING says raw however short it is */
    ENC_PACK = 5,  /* collections: word is a pack (core/ds/pack.h), which the keyspace embeds when it is small */
    ENC_FIRST_OF_CLASS = 6,
};

/* When a collection leaves its small form: the configuration directives of the same names. */
struct value_limits {
    int list_max_listpack_size; /* items, or -1 … -5: 4, 8, 16, 32, 64 KiB */
    uint32_t list_plain_from;   /* bytes of an item that gets a node of its own (DEBUG); 0: as the limit says */
    int list_compress_depth;    /* nodes at each end that are written as they are; 0: all */
    int hash_max_listpack_entries, hash_max_listpack_value;
    int set_max_intset_entries, set_max_listpack_entries, set_max_listpack_value;
    int zset_max_listpack_entries, zset_max_listpack_value;
    uint64_t stream_node_max_bytes; /* 0: no limit of its own; so for the next */
    int64_t stream_node_max_entries;
};
extern const struct value_limits value_limits_default;

/* Seeds the hashes of members in big collections, so that nobody can choose members whose hashes are alike. Set once,
 * before there is a value, and the same after a restart: it is part of what the cursors of SSCAN and the like mean. */
extern uint64_t value_hash_seed;

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
    const char *name;                                    /* what TYPE answers */
    const char *(*encoding_name)(const struct value *v); /* what OBJECT ENCODING answers */
    bool may_be_empty;                                   /* a key whose collection has no elements stays */
    /* Appends the next part of the encoding, at least `budget` bytes if that many are left, and not much more. Returns
     * the RDB type byte, the same for all parts. *cursor is 0 for the first part and again when the last is done; what
     * it is in between is the class's. The value must not change between the parts. Most callers want value_encode. */
    uint8_t (*encode)(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget);
    bool (*reads)(uint8_t rdb_type); /* whether decode takes this RDB type byte */
    /* 0 or -EBADMSG; validates, and refuses what could not be there (duplicates, an empty collection); caller owns
     * *out. Any thread. */
    int (*decode)(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out);
    /* Collections: an empty value, which a command on a missing key fills. NULL: strings. */
    struct value (*empty)(void);
    /* A class may have a shorter form of small packs for entries: embed writes it and returns its length (the pack has
     * at most VALUE_EMBED_MAX bytes, and so has it), unembed makes the pack of it, which the caller owns. The functions
     * that read a value then take ENC_EMBED, too. NULL: the pack itself is embedded, and they see it as ENC_PACK. */
    size_t (*embed)(const uint8_t *pack, uint8_t *out);
    uint8_t *(*unembed)(struct slice bytes);
    /* A value with the same contents for another entry; may share immutable parts. Caller owns *out (a string's
     * ENC_EMBED borrows). */
    struct value (*copy)(const struct value *v);
    void (*release)(struct value *v);        /* frees what the value owns outside the entry. Any thread */
    size_t (*memory)(const struct value *v); /* bytes outside the entry, as mem_class counts. O(1) */
    uint64_t (*length)(const struct value *v);
    /* About how many allocations `release` frees; NULL: one. Above VALUE_EFFORT_MAX a shard leaves it to others. */
    uint64_t (*effort)(const struct value *v);
    /* When the first part of the value falls due (Unix ms), or -1: none does. NULL: parts of this type do not expire.
     * The keyspace asks after each change. */
    int64_t (*next_expiry)(const struct value *v);
    /* The contents, in their order; where they have none, an order-independent sum of the elements (value_digest). */
    void (*digest)(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg);
};

#define VALUE_EFFORT_MAX 256
#define VALUE_EMBED_MAX 256 /* bytes of a pack that stands in its entry: a change copies it twice */

/* The whole encoding of a value behind its RDB type byte: what flash and DUMP hold. */
void value_encode(const struct value *v, struct buf *out);
/* The value of such bytes. 0 or -EBADMSG. Caller owns *out. */
int value_decode(struct slice bytes, const struct value_limits *limits, struct value *out) must_check;

/* Sums up elements in any order: for `digest`. An element of several parts is told from others with the same bytes. */
struct value_digest {
    uint64_t sum[2];
};
void value_digest_add(struct value_digest *d, const struct slice *parts, int n);
static inline struct slice value_digest_bytes(const struct value_digest *d) { return slice_of(d->sum, sizeof(d->sum)); }

/* NULL if the type is not known (a type byte from flash or RESTORE may be anything). */
const struct value_class *value_class_of(uint8_t type);
/* Frees what the value owns outside its entry. Any thread. */
static inline void value_release(struct value *v) { value_class_of(v->type)->release(v); }
/* Which class reads this RDB type byte; NULL if none. */
const struct value_class *value_class_of_rdb(uint8_t rdb_type, uint8_t *type);

#endif
