/* Between shard.c and shard_life.c. */
#ifndef SERVER_SHARD_IMPL_H
#define SERVER_SHARD_IMPL_H

#include "server/shard.h"

/* For its mailbox: wakes the thread of the shard `arg`. Any thread. */
void shard_wake(void *arg);

#endif
