/* A flash store in memory behind tier/store.h: an ordered map whose writes are durable after flush only. */
#ifndef TESTS_STORE_MEM_H
#define TESTS_STORE_MEM_H

#include "tier/store.h"

/* Caller closes. Any thread. */
struct store *store_mem_new(void);
/* Power cut: back to the last flush. */
void store_mem_crash(struct store *s);
/* Calls of flush so far. */
unsigned store_mem_flushes(struct store *s);
/* From now on (0: no longer) every write fails with this negative errno. */
void store_mem_fail(struct store *s, int error);

#endif
