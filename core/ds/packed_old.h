/* The packed formats of RDB files before listpack, read only: ziplist (lists, hashes, sorted sets up to Redis 6.2) and
 * zipmap (hashes before Redis 2.6). Bytes are hostile: nothing is read beyond them, and what the format forbids is
 * refused. Intsets are still in use: core/ds/intset.h. */
#ifndef DS_PACKED_OLD_H
#define DS_PACKED_OLD_H

#include "core/ds/pack.h"

/* Hands each item to `visit`, up to the first that it or the format refuses; `visit` may be NULL. True if `bytes` are
 * exactly one ziplist and every item was taken. */
bool ziplist_each(struct slice bytes, pack_visit *visit, void *arg);
/* The same items as a pack, which the caller frees with pack_free; NULL if `bytes` are no ziplist or the pack would be
 * too large. */
uint8_t *ziplist_to_pack(struct slice bytes);

/* The same for a zipmap; each key is followed by its value. */
bool zipmap_each(struct slice bytes, pack_visit *visit, void *arg);
uint8_t *zipmap_to_pack(struct slice bytes);

#endif
