#include "core/ds/bare.h"

#include "core/base/panic.h"

size_t bare_from_pack(const uint8_t *pack, uint8_t out[static BARE_PACK_MAX])
{
    struct slice whole = pack_slice(pack);
    uint8_t *to = out;
    ensure(whole.len <= BARE_PACK_MAX);
    for (uint32_t at = PACK_HEADER, next; pack[at] != PACK_END; at = next) {
        next = pack_next(pack, at);
        to = mempcpy(to, pack + at, bare_next(whole, at) - at);
    }
    return (size_t)(to - out);
}

/* The length of an entry, backwards, as it stands behind it. */
static uint8_t *put_backlen(uint8_t *to, uint32_t len)
{
    if (len > 127) {
        *to++ = (uint8_t)(len >> 7);
        len = (len & 127) | 128;
    }
    *to++ = (uint8_t)len;
    return to;
}

uint8_t *bare_to_pack(struct slice bare)
{
    uint8_t bytes[BARE_PACK_MAX + PACK_HEADER], *to = bytes + PACK_HEADER;
    uint16_t count = 0;
    ensure(bare.len < BARE_PACK_MAX);
    for (uint32_t at = 0, next; at < bare.len; at = next, count++) {
        next = bare_next(bare, at);
        to = put_backlen(mempcpy(to, bare.p + at, next - at), next - at);
    }
    *to++ = PACK_END;
    uint32_t total = (uint32_t)(to - bytes);
    memcpy(bytes, &total, sizeof(total));
    memcpy(bytes + 4, &count, sizeof(count));
    return pack_copy(slice_of(bytes, total));
}

uint32_t bare_count(struct slice bare)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < bare.len; at = bare_next(bare, at))
        n++;
    return n;
}

uint32_t bare_find(struct slice bare, struct slice s, unsigned skip)
{
    uint32_t at = 0;
    while (at < bare.len && !pack_equals(bare_get(bare, at), s)) {
        at = bare_next(bare, at);
        for (unsigned i = 0; i < skip && at < bare.len; i++)
            at = bare_next(bare, at);
    }
    return at;
}
