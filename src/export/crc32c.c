#include "export/crc32c.h"

/* The polynomial, bits reversed. */
#define POLYNOMIAL 0x82f63b78u

uint32_t crc32c(const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    uint32_t crc = UINT32_MAX;
    for (; count; count--) {
        crc ^= *next++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    }
    return ~crc;
}
