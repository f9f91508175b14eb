/* What is stored on flash for a key (DESIGN section 6). Keys: 'm' space hash key -> meta record; 'v' space hash key ->
 * value record, where space is 12 big-endian bytes (LSN, database number): spaces are contiguous, meta records of all
 * spaces come first. hash is the top 4 bytes of the key's hash: flash has the order of the tables in RAM, so a
 * checkpoint that walks its dirty keys in hash order writes neighbours (an insertion into RocksDB's memtable then costs
 * a fifth of one at a random place), and a start fills its tables from front to back. The hash's seed is part of the
 * checkpoint record. 'd' id (4 bytes, big-endian) -> a dictionary, and 'f' -> the libraries of functions: they belong
 * to no space. Records are little-endian, versioned, with a CRC-32C over everything before it (and the store key, so
 * that a record cannot be taken for another's). */
#ifndef TIER_RECORD_H
#define TIER_RECORD_H

#include "core/base/buf.h"
#include "core/keyspace/keyspace.h" /* struct space_id */
#include "tier/dictionary.h"

#define RECORD_SPACE_BYTES 12
#define RECORD_HASH_BYTES 4
#define RECORD_ABSENT 0xff /* type of a deletion */

struct record_meta {
    uint8_t type;         /* value class id, or RECORD_ABSENT */
    uint8_t encoding;     /* what OBJECT ENCODING said, a hint */
    uint32_t temperature; /* 24 bits */
    int64_t expire_ms;    /* Unix time, or -1 */
    int64_t inner_ms;     /* when the first part of the value falls due, or -1 */
    uint64_t ram_bytes;   /* what the value takes in RAM when fetched */
    uint64_t stamp;       /* end LSN of the frame holding the last effect included */
};

enum record_compression { RECORD_PLAIN = 0, RECORD_ZSTD = 1, RECORD_LZ4 = 2, RECORD_ZSTD_DICT = 3 };

/* Store keys, appended to `out` (which is cleared). */
void record_meta_key(struct buf *out, struct space_id space, struct key key);
void record_value_key(struct buf *out, struct space_id space, struct key key);
/* [from, to) of a space's meta or value records ('m' or 'v'), for scans and range deletion. */
void record_space_range(struct buf *from, struct buf *to, char kind, struct space_id space);
/* Takes a store key apart; false if malformed. `key` borrows from store_key; of its hash only the top 4 bytes are set.
 */
bool record_parse_key(struct slice store_key, char *kind, struct space_id *space, struct key *key);

void record_meta_encode(struct buf *out, struct slice store_key, const struct record_meta *m);
/* 0 or -EBADMSG. */
int record_meta_decode(struct slice store_key, struct slice record, struct record_meta *m) must_check;
/* `payload` is the type's RDB encoding; compressed if `how` says so and it pays (else stored plain). RECORD_ZSTD with a
 * dictionary (NULL: none) compresses small values too. */
void record_value_encode(struct buf *out, struct slice store_key, uint64_t stamp, enum record_compression how,
                         const struct dictionary *dictionary, struct slice payload);
/* The same behind what is in `out`. */
void record_value_append(struct buf *out, struct slice store_key, uint64_t stamp, enum record_compression how,
                         const struct dictionary *dictionary, struct slice payload);
/* What it came to. */
static inline enum record_compression record_value_compression(struct slice record)
{
    return (enum record_compression)record.p[1];
}
/* *payload is cleared and filled. 0 or -EBADMSG, also if the record names a dictionary that is not in the set. */
int record_value_decode(struct slice store_key, struct slice record, const struct dictionaries *dictionaries,
                        uint64_t *stamp, struct buf *payload) must_check;

/* The libraries of functions: one value record, under this key. */
void record_functions_key(struct buf *out);

/* Dictionaries: key, [from, to) of all, record. *content borrows from the record. */
void record_dictionary_key(struct buf *out, uint32_t id);
void record_dictionary_range(struct buf *from, struct buf *to);
void record_dictionary_encode(struct buf *out, struct slice store_key, struct slice content);
/* 0 or -EBADMSG. */
int record_dictionary_decode(struct slice store_key, struct slice record, uint32_t *id,
                             struct slice *content) must_check;

#endif
