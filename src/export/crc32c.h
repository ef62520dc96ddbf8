/* CRC-32C (Castagnoli; RFC 3720, appendix B.4). */
#ifndef SPHERENET_EXPORT_CRC32C_H
#define SPHERENET_EXPORT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t count);

#endif
