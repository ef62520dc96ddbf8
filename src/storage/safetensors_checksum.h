/* The checksum of what a safetensors file holds: XXH3, 64 bits, of every tensor in the order of the data (its name with
 * the NUL, its shape as 64-bit little-endian numbers, its data), then of the texts in order (key and value, each with
 * its NUL), this one left out. */
#ifndef SPHERENET_STORAGE_SAFETENSORS_CHECKSUM_H
#define SPHERENET_STORAGE_SAFETENSORS_CHECKSUM_H

#include <xxhash.h>

#include "storage/safetensors.h"

#define CHECKSUM_KEY "xxh3_64" /* in the metadata; 16 hexadecimal digits */

enum { CHECKSUM_BYTES = 17 };

struct content_checksum {
    XXH3_state_t *state;
};

/* False without memory. */
bool content_checksum_begin(struct content_checksum *sum);
void content_checksum_free(struct content_checksum *sum); /* one of zeros is allowed */
void content_checksum_tensor(const struct content_checksum *sum,
                             const struct tensor_info *tensor); /* but not its data */
void content_checksum_bytes(const struct content_checksum *sum, const void *bytes, size_t count);
void content_checksum_text(const struct content_checksum *sum, const char *key, const char *value);
uint64_t content_checksum_value(const struct content_checksum *sum);

/* The checksum as it stands in the file. */
void content_checksum_print(char digits[CHECKSUM_BYTES], uint64_t value);

#endif
