/* What the command files about hashes share. */
#ifndef SERVER_CMD_HASH_H
#define SERVER_CMD_HASH_H

#include "core/value/hash.h"
#include "server/reply.h"

/* The time by which fields are stale. */
static inline int64_t hash_now(const struct call *c) { return c->apply ? HASH_TIMELESS : c->now_ms; }

/* The value of a field of the hash at `p`, or null; p->e may be NULL. */
void reply_field(struct call *c, const struct place *p, struct slice field);
void reply_field_of(struct call *c, const struct value *v, struct slice field);

extern const struct command_arg hash_fields_args[]; /* key field [field ...] */

#define HASH_KEY(f)                                                 \
    {                                                               \
        {                                                           \
            .flags = (f), .first = 1, .step = 1, .need = NEED_VALUE \
        }                                                           \
    }
#define HASH .acl = ACL_HASH, .route = ROUTE_KEYS, .group = "hash"

#endif
