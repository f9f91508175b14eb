/* The flash store of tier/store.h as an ordered map in memory, with the crash semantics of RocksDB without a WAL: a
 * flush makes everything before it durable at once; RocksDB also flushes when it likes, so what a crash leaves is some
 * prefix of the writes, the last flush included, never a part of a batch. How long the prefix is is drawn from the
 * seed.
 *
 *   disk ---open---> store ---close---> disk: everything
 *                          ---crash---> disk: what was flushed, and perhaps some of what came after
 *
 * Stores: any thread, as the interface says. One store is open on a disk at a time. */
#ifndef TESTS_STORE_MEM_H
#define TESTS_STORE_MEM_H

#include "tier/store.h"

enum store_mem_call {
    STORE_MEM_WRITE,
    STORE_MEM_GET,
    STORE_MEM_FLUSH,
    STORE_MEM_DELETE_RANGE,
    STORE_MEM_SCAN,
    STORE_MEM_CALLS,
};

struct store_mem_disk;

struct store_mem_disk *store_mem_disk_new(uint64_t seed);
/* No store may be open on it. */
void store_mem_disk_free(struct store_mem_disk *d);
/* Closed by its own close (which flushes, as RocksDB does) or by store_mem_crash. */
struct store *store_mem_open(struct store_mem_disk *d);
/* The process dies. Snapshots of the store must have been released. */
void store_mem_crash(struct store *s);
/* The n-th call of this kind from now on (1: the next) fails with `error` (negative), once, and changes nothing. */
void store_mem_fail(struct store *s, enum store_mem_call kind, uint64_t n, int error);

#endif
