/* IDX files in the test's folder. */
#ifndef SPHERENET_TESTS_SUPPORT_IDX_WRITER_H
#define SPHERENET_TESTS_SUPPORT_IDX_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "data/idx_file.h"

struct idx_content {
    int type, dimensions;
    uint32_t sizes[IDX_DIMENSIONS_MAX];
    double (*value)(size_t index); /* of each element */
};

/* Gzipped if the name ends in .gz. Folders of the name are made. */
void idx_write(const char *name, const struct idx_content *content);

/* Bytes of any kind under a name, gzipped if that ends in .gz. */
void write_maybe_gzipped(const char *name, const void *bytes, size_t size);

#endif
