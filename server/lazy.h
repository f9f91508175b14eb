/* The background thread that frees what would take a shard too long. What is handed over is detached: nobody else has
 * it. */
#ifndef SERVER_LAZY_H
#define SERVER_LAZY_H

#include "core/keyspace/keyspace.h"

struct lazy;
struct lazy *lazy_start(void);
/* Frees what is queued, ends the thread. */
void lazy_stop(struct lazy *l);
/* Take ownership. Any thread. The memory counts as pending until it is gone. */
void lazy_free_keyspace(struct lazy *l, struct keyspace *ks);
void lazy_free_value(struct lazy *l, const struct value *v, uint64_t bytes);
/* Of these two, NULL: none. Any thread. */
uint64_t lazy_pending_bytes(const struct lazy *l);
/* Since the start, or since it was reset. */
uint64_t lazy_freed_objects(const struct lazy *l);
uint64_t lazy_pending_objects(const struct lazy *l);
void lazy_reset_stats(struct lazy *l);

#endif
