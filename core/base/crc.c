/* Both sums are reflected. Software goes eight bytes a step through eight tables (Kounavis and Berry 2005), made once
 * before main; CRC-32C prefers the CPU's instruction, which takes eight bytes a step as well. */
#include "core/base/crc.h"

#include <assert.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define CRC32C_POLY 0x82f63b78u          /* Castagnoli, reflected */
#define CRC64_POLY 0x95ac9329ac4bc9b5ull /* Jones, reflected */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are folded in as they lie in memory");

/* table[k][b]: the remainder of byte b followed by k zero bytes. A sum of 32 bits is the low half of a word. Immutable
 * after start. */
static uint64_t tables32[8][256], tables64[8][256];
static uint32_t (*crc32c_best)(uint32_t crc, const uint8_t *p, size_t len);

static uint64_t fold(const uint64_t table[8][256], uint64_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= table[7 - i][word >> (8 * i) & 0xff];
    }
    while (len-- > 0)
        crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
    return crc;
}

static uint32_t crc32c_tables(uint32_t crc, const uint8_t *p, size_t len)
{
    return (uint32_t)fold(tables32, crc, p, len);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t crc, const uint8_t *p, size_t len)
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

static bool has_instruction(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
/* In assembly: gcc and clang agree neither on the target attribute nor on the intrinsics. */
static uint32_t crc32c_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    }
    for (; len > 0; p++, len--)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*p));
    return crc;
}

static bool has_instruction(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
#define crc32c_instruction crc32c_tables
static bool has_instruction(void) { return false; }
#endif

static void make(uint64_t table[8][256], uint64_t poly)
{
    for (unsigned b = 0; b < 256; b++) {
        uint64_t c = b;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? poly : 0);
        table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (unsigned b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

__attribute__((constructor)) static void init(void)
{
    make(tables32, CRC32C_POLY);
    make(tables64, CRC64_POLY);
    crc32c_best = has_instruction() ? crc32c_instruction : crc32c_tables;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t len) { return ~crc32c_best(~crc, p, len); }
uint32_t crc32c_software(uint32_t crc, const void *p, size_t len) { return ~crc32c_tables(~crc, p, len); }

uint64_t crc64_jones(uint64_t crc, const void *p, size_t len) { return fold(tables64, crc, p, len); }

/* Sums are polynomials over GF(2), reflected: the top bit is x^0. Product of two, modulo the sum's own. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = 1ull << 63; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b >> 1 ^ (b & 1 ? CRC64_POLY : 0);
    }
    return product;
}

/* A sum goes on over n more bytes by a multiplication with x^(8n). */
uint64_t crc64_jones_join(uint64_t a, uint64_t b, uint64_t len_b)
{
    uint64_t power = 1ull << 55; /* x^8 */
    for (; len_b > 0; len_b >>= 1) {
        if (len_b & 1)
            a = multiply(a, power);
        power = multiply(power, power);
    }
    return a ^ b;
}
