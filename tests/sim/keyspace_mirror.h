/* What a keyspace should hold: an array of keys, each with its state, and the order of the dirty queue. A model test
 * does everything twice, to the keyspace and to its mirror, and asks whether they agree: a difference aborts. Owned by
 * one thread. */
#ifndef TESTS_KEYSPACE_MIRROR_H
#define TESTS_KEYSPACE_MIRROR_H

#include "core/keyspace/keyspace.h"

#define MIRROR_KEYS 500
#define MIRROR_NAME_MAX 300
#define MIRROR_FIFO (1 << 20)

struct mirror_key {
    uint8_t name[MIRROR_NAME_MAX];
    size_t name_len;
    bool in, tomb; /* at most one of them */
    bool cold, dirty, meta, writing, on_flash, queued, forget;
    struct buf bytes;
    int64_t expire;
    uint32_t temperature, ticket;
    uint64_t cold_size;
    uint64_t version; /* counts the changes of the value */
};

struct mirror {
    struct keyspace *ks;
    struct mirror_key keys[MIRROR_KEYS];
    uint32_t fifo[MIRROR_FIFO]; /* the dirty queue since the start; its words as places in `keys` */
    size_t fifo_head, fifo_tail;
};

/* Gives the keys names of all sorts: empty, binary, longer than a length byte holds. The keyspace is empty. */
void mirror_init(struct mirror *w, struct keyspace *ks, struct rng *rng);
void mirror_free(struct mirror *w);
struct key mirror_name(const struct mirror *w, const struct mirror_key *m);
struct entry *mirror_entry(const struct mirror *w, const struct mirror_key *m); /* NULL: not in the keyspace */
struct entry *mirror_tomb(const struct mirror *w, const struct mirror_key *m);

/* A change: `flag` is the key's dirty or meta. */
void mirror_mark(struct mirror *w, struct mirror_key *m, bool *flag);
void mirror_value(struct mirror_key *m, struct slice bytes);
void mirror_create(struct mirror_key *m);
void mirror_delete(struct mirror *w, struct mirror_key *m);

/* Abort if the keyspace says otherwise: of one key; of all, the counts, the heads of both orders, a scan and a sample
 * (of the place that `random` says), and every invariant. */
void mirror_agree(const struct mirror *w, const struct mirror_key *m);
void mirror_agree_all(const struct mirror *w, uint64_t random);

#endif
