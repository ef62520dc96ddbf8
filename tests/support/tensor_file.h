/* Safetensors files whole in memory, for tests that look into them or make them up. */
#ifndef SPHERENET_TESTS_SUPPORT_TENSOR_FILE_H
#define SPHERENET_TESTS_SUPPORT_TENSOR_FILE_H

#include "storage/safetensors.h"

struct stored_tensor {
    const char *name;
    int dims;
    int64_t shape[TENSOR_MAX_DIMS];
    const real *data; /* written: may be NULL when a shape element is 0; read: never NULL */
};

/* One of zeros is empty. */
struct tensor_file {
    int tensor_count, text_count;
    struct stored_tensor *tensors; /* in the order of their data */
    struct stored_text *texts;
    struct safetensors file; /* open: names and texts are its own */
    real *values;
};

/* As safetensors_write. */
bool tensor_file_write(const char *path, const struct stored_tensor *tensors, int tensor_count,
                       const struct stored_text *texts, int text_count, struct error *err);

/* As safetensors_open, with all values. Empties `file` when it fails. */
bool tensor_file_read(struct tensor_file *file, const char *path, struct error *err);
void tensor_file_free(struct tensor_file *file);

/* By name; NULL when absent. */
const struct stored_tensor *tensor_file_find(const struct tensor_file *file, const char *name);
const char *tensor_file_text(const struct tensor_file *file, const char *key);

#endif
