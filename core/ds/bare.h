/* A bare pack: the entries of a small pack (core/ds/pack.h) without header, end, and the lengths behind entries. An
 * item of up to 63 bytes then takes one byte besides its own, instead of two. Its length is known from outside; it is
 * read forwards only, and becomes a pack again to be changed.
 *
 * Eight bytes in front of it must be readable, as in front of the entries of a pack. A position is the offset of an
 * entry; the length is the end. */
#ifndef DS_BARE_H
#define DS_BARE_H

#include "core/ds/pack.h"

#define BARE_PACK_MAX 256 /* bytes of a pack of which there is a bare form */

/* Writes the bare form of a pack of up to BARE_PACK_MAX bytes; returns its length, which is less. */
size_t bare_from_pack(const uint8_t *pack, uint8_t out[static BARE_PACK_MAX]);
/* The pack, to the byte. Caller frees with pack_free. */
uint8_t *bare_to_pack(struct slice bare);
uint32_t bare_count(struct slice bare);
/* The first entry that equals `s`; the end if there is none. `skip` as in pack_find. */
uint32_t bare_find(struct slice bare, struct slice s, unsigned skip);

static inline struct pack_item bare_get(struct slice bare, uint32_t at) { return pack_get(bare.p, at); }

/* In a pack an entry of up to 127 bytes has one more behind it, a longer one (up to BARE_PACK_MAX) two. */
static inline uint32_t bare_next(struct slice bare, uint32_t at)
{
    uint32_t next = pack_next(bare.p, at);
    return next - (next - at <= 128 ? 1 : 2);
}

/* As pack_step. */
static inline struct pack_item bare_step(struct slice bare, uint32_t *at)
{
    struct pack_item item = bare_get(bare, *at);
    *at = bare_next(bare, *at);
    return item;
}

#endif
