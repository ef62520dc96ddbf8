#include "storage/safetensors_checksum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool content_checksum_begin(struct content_checksum *sum) {
    sum->state = XXH3_createState();
    return sum->state && XXH3_64bits_reset(sum->state) == XXH_OK;
}

void content_checksum_free(struct content_checksum *sum) {
    XXH3_freeState(sum->state);
    sum->state = NULL;
}

void content_checksum_bytes(const struct content_checksum *sum, const void *bytes, size_t count) {
    if (count)
        XXH3_64bits_update(sum->state, bytes, count);
}

void content_checksum_tensor(const struct content_checksum *sum, const struct tensor_info *tensor) {
    content_checksum_bytes(sum, tensor->name, strlen(tensor->name) + 1);
    content_checksum_bytes(sum, tensor->shape, (size_t)tensor->dims * sizeof *tensor->shape);
}

void content_checksum_text(const struct content_checksum *sum, const char *key, const char *value) {
    content_checksum_bytes(sum, key, strlen(key) + 1);
    content_checksum_bytes(sum, value, strlen(value) + 1);
}

uint64_t content_checksum_value(const struct content_checksum *sum) {
    return XXH3_64bits_digest(sum->state);
}

void content_checksum_print(char digits[CHECKSUM_BYTES], uint64_t value) {
    snprintf(digits, CHECKSUM_BYTES, "%016" PRIx64, value);
}
