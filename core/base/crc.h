/* CRC-32C (Castagnoli; SSE4.2 or ARMv8 instructions where the CPU has them, found at run time) for log and flash
 * records; CRC-64/Jones as in RDB files and DUMP payloads. Chain by passing the last result. */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include "core/base/base.h"

uint32_t crc32c(uint32_t crc, const void *p, size_t len); /* start with 0 */
/* The same sum without the CPU's instruction; for tests. */
uint32_t crc32c_software(uint32_t crc, const void *p, size_t len);
uint64_t crc64_jones(uint64_t crc, const void *p, size_t len); /* start with 0 */
/* The sum of two runs of bytes, one behind the other, of their sums, each begun with 0. */
uint64_t crc64_jones_join(uint64_t a, uint64_t b, uint64_t len_b);

#endif
