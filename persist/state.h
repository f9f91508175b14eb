/* What a checkpoint records beside the log's own facts: the map of database numbers to spaces and the mode each
 * database was in, as of L0. (Functions are a record on flash: they may be large, and this is written often.) Opaque to
 * the log (struct log_checkpoint.state). Version byte first; little-endian. */
#ifndef PERSIST_STATE_H
#define PERSIST_STATE_H

#include "core/keyspace/keyspace.h"

struct state_db {
    struct space_id space;
    bool logged;
    bool snapshot; /* not logged: what it holds is in the RDB file */
};

struct state {
    uint64_t hash_seed; /* of the keys: flash is ordered by their hashes */
    uint32_t databases;
    struct state_db *db; /* by number; owned */
};

void state_init(struct state *s, uint32_t databases); /* spaces (0, n), nothing logged */
void state_free(struct state *s);
bool state_any_logged(const struct state *s);
void state_encode(const struct state *s, struct buf *out);
/* 0 or -EBADMSG. *s need not be initialised. */
int state_decode(struct slice bytes, struct state *s) must_check;

#endif
