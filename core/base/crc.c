#include "core/base/crc.h"

#include <string.h>

#define CRC32C_POLY 0x82f63b78u          /* Castagnoli, reflected */
#define CRC64_POLY 0x95ac9329ac4bc9b5ull /* Jones, reflected */

static uint32_t table32[8][256];
static uint64_t table64[8][256];
static uint32_t (*crc32c_best)(uint32_t crc, const uint8_t *p, size_t len);

static uint32_t crc32c_software(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= table32[7 - i][(word >> (8 * i)) & 0xff];
    }
    while (len-- > 0)
        crc = crc >> 8 ^ table32[0][(crc ^ *p++) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (len-- > 0)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

static void make_tables(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t c = i;
        uint64_t d = i;
        for (int bit = 0; bit < 8; bit++) {
            c = c & 1 ? c >> 1 ^ CRC32C_POLY : c >> 1;
            d = d & 1 ? d >> 1 ^ CRC64_POLY : d >> 1;
        }
        table32[0][i] = c;
        table64[0][i] = d;
    }
    for (int k = 1; k < 8; k++)
        for (unsigned i = 0; i < 256; i++) {
            table32[k][i] = table32[k - 1][i] >> 8 ^ table32[0][table32[k - 1][i] & 0xff];
            table64[k][i] = table64[k - 1][i] >> 8 ^ table64[0][table64[k - 1][i] & 0xff];
        }
}

__attribute__((constructor)) static void init(void)
{
    make_tables();
    crc32c_best = crc32c_software;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        crc32c_best = crc32c_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *p, size_t len) { return ~crc32c_best(~crc, p, len); }

uint64_t crc64_jones(uint64_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= table64[7 - i][(word >> (8 * i)) & 0xff];
    }
    while (len-- > 0)
        crc = crc >> 8 ^ table64[0][(crc ^ *p++) & 0xff];
    return crc;
}
