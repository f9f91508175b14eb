#include "core/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_key(struct slice key, uint64_t seed) { return XXH3_64bits_withSeed(key.p, key.len, seed); }

/* CRC-16/XMODEM: polynomial 0x1021, start 0, not reflected. The table is made once, before main. */
static uint16_t crc16_table[256];

__attribute__((constructor)) static void make_table(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint16_t crc = (uint16_t)(i << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
        crc16_table[i] = crc;
    }
}

static uint16_t crc16(struct slice s)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < s.len; i++)
        crc = (uint16_t)(crc << 8 ^ crc16_table[(crc >> 8 ^ s.p[i]) & 0xff]);
    return crc;
}

/* What is hashed: the text between the first '{' and the next '}' if there is any, else the whole key. */
static struct slice hash_tag(struct slice key)
{
    const uint8_t *open = key.len ? memchr(key.p, '{', key.len) : NULL;
    if (open == NULL)
        return key;
    size_t left = (size_t)(key.p + key.len - (open + 1));
    const uint8_t *close = left ? memchr(open + 1, '}', left) : NULL;
    if (close == NULL || close == open + 1)
        return key;
    return slice_of(open + 1, (size_t)(close - open - 1));
}

uint16_t hash_slot(struct slice key) { return crc16(hash_tag(key)) % HASH_SLOTS; }
