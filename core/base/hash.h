/* Key hashing. hash_key: XXH3-64 (xxhash, header-only use) under a per-process random seed.
 * hash_slot: the slot of Redis Cluster (CRC-16/XMODEM modulo 16384, hash tags honoured; Redis Cluster
 * specification, "Key distribution model"). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "core/base/slice.h"

#define HASH_SLOTS 16384

uint64_t hash_key(struct slice key, uint64_t seed);
uint16_t hash_slot(struct slice key);

#endif
