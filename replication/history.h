/* History ids (DESIGN section 8): the name of a stream of effects, so that a replica can tell whether the LSN it stands
 * at is a place in the history of the primary it meets. The rule: an id never covers a byte that was taken back.
 *
 * A server that stopped cleanly goes on under its id. One that did not may have lost the end of its stream, which a
 * replica may have; so it takes a new id, and the old one stays good as the second, up to where recovery ended. An id
 * is durable (log_set_history) before the first effect under it.
 *
 * Plain data; owned by whoever holds it. */
#ifndef REPLICATION_HISTORY_H
#define REPLICATION_HISTORY_H

#include "core/base/rng.h"

#define HISTORY_ID_CHARS 40

struct history {
    char id[HISTORY_ID_CHARS + 1];
    char second[HISTORY_ID_CHARS + 1]; /* "": none */
    uint64_t second_limit;             /* LSN up to which `second` names this stream too */
};

/* The ids of a run, from those of the last one (id "": there was none). `clean`: it ended with a clean stop. `end`: the
 * LSN at which the stream goes on. */
struct history history_continue(const struct history *last, bool clean, uint64_t end, struct entropy *entropy);

#endif
