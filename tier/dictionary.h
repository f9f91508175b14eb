/* zstd with trained dictionaries, and without (DESIGN section 6). What small values of one store have in common (field
 * names, braces, prefixes) stands in a dictionary; a record names the one it was compressed with.
 *
 * Contexts are kept per thread, made at first use and freed when the thread ends: making one for every record costs
 * more than compressing it. They and the dictionaries are zstd's own memory from the process's allocator, so mem_stats,
 * and with it maxmemory, counts them: some 40 KiB for a thread that compresses small values (up to a MiB after big
 * ones), 94 KiB for one that decompresses, 140 KiB a dictionary. */
#ifndef TIER_DICTIONARY_H
#define TIER_DICTIONARY_H

#include <stdatomic.h>

#include "core/base/slice.h"

#define DICTIONARIES_MAX 8

/* Immutable; any thread. */
struct dictionary;

/* Copies `content`, as ZDICT made it. NULL if it is not a dictionary. Caller frees, or hands it to dictionaries_add. */
struct dictionary *dictionary_new(uint32_t id, struct slice content);
void dictionary_free(struct dictionary *d);
uint32_t dictionary_id(const struct dictionary *d);

/* All dictionaries that records on flash may name, oldest first. They are added by one thread at a time and stay until
 * the end; read by any thread. Zero-initialised is empty. */
struct dictionaries {
    _Atomic unsigned n;
    struct dictionary *known[DICTIONARIES_MAX];
};
/* Takes ownership; from now on `d` is the newest. The set must not be full. */
void dictionaries_add(struct dictionaries *ds, struct dictionary *d);
/* Frees them all. Nobody may use the set any more. */
void dictionaries_clear(struct dictionaries *ds);
/* NULL: there is none (of that id). */
const struct dictionary *dictionaries_newest(const struct dictionaries *ds);
const struct dictionary *dictionaries_find(const struct dictionaries *ds, uint32_t id);

/* How much dictionary_compress may need for `len` bytes. */
size_t dictionary_bound(size_t len);
/* Compresses into [to, to + cap); `d` NULL is plain zstd. Bytes written, or 0 if it failed. Without a dictionary the
 * result is a whole zstd frame; with one it lacks the magic number and the id, which the record says itself. */
size_t dictionary_compress(const struct dictionary *d, uint8_t *to, size_t cap, struct slice raw);
/* The reverse: exactly `len` bytes. 0 or -EBADMSG. */
int dictionary_decompress(const struct dictionary *d, uint8_t *to, size_t len, struct slice body) must_check;

#endif
