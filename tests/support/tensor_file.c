#include "support/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static size_t value_count(const struct tensor_info *info) {
    size_t count = 1;
    for (int d = 0; d < info->dims; d++)
        count *= (size_t)info->shape[d];
    return count;
}

/* --- Writing ----------------------------------------------------------------------------------------------------- */

static void give(const void *context, int tensor, size_t first, size_t count, real *values) {
    const struct stored_tensor *tensors = context;
    memcpy(values, tensors[tensor].data + first, count * sizeof *values);
}

bool tensor_file_write(const char *path, const struct stored_tensor *tensors, int tensor_count,
                       const struct stored_text *texts, int text_count, struct error *err) {
    struct tensor_info *infos = mem_alloc((size_t)tensor_count * sizeof *infos);
    for (int i = 0; i < tensor_count; i++) {
        infos[i] = (struct tensor_info){.name = tensors[i].name, .dims = tensors[i].dims};
        memcpy(infos[i].shape, tensors[i].shape, sizeof infos[i].shape);
    }
    struct tensor_contents contents = {infos, tensor_count, texts, text_count, give, tensors};
    bool good = safetensors_write(path, &contents, err);
    free(infos);
    return good;
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

static void take(void *context, size_t first, size_t count, const real *values) {
    real *data = context;
    memcpy(data + first, values, count * sizeof *values);
}

/* All tensors' values, one tensor after the other. */
static bool read_values(struct tensor_file *whole, struct error *err) {
    struct safetensors *file = &whole->file;
    size_t total = 0;
    for (int i = 0; i < file->tensor_count; i++)
        if (file->tensors[i].values == TENSOR_OTHERS)
            return error_set(err, "tensor \"%.100s\" has no numbers", file->tensors[i].name);
    for (int i = 0; i < file->tensor_count; i++)
        total += value_count(&file->tensors[i]);
    real *next = whole->values = mem_alloc((total + 1) * sizeof *whole->values);
    whole->tensors = mem_alloc((size_t)file->tensor_count * sizeof *whole->tensors);
    for (int i = 0; i < file->tensor_count; i++) {
        const struct tensor_info *info = &file->tensors[i];
        whole->tensors[i] = (struct stored_tensor){.name = info->name, .dims = info->dims, .data = next};
        memcpy(whole->tensors[i].shape, info->shape, sizeof info->shape);
        if (!safetensors_read(file, i, take, next, err))
            return false;
        next += value_count(info);
    }
    return true;
}

bool tensor_file_read(struct tensor_file *file, const char *path, struct error *err) {
    *file = (struct tensor_file){0};
    if (!safetensors_open(&file->file, path, err))
        return false;
    file->tensor_count = file->file.tensor_count;
    file->text_count = file->file.text_count;
    file->texts = file->file.texts;
    if (read_values(file, err))
        return true;
    tensor_file_free(file);
    return false;
}

void tensor_file_free(struct tensor_file *file) {
    safetensors_close(&file->file);
    free(file->tensors);
    free(file->values);
    *file = (struct tensor_file){0};
}

const struct stored_tensor *tensor_file_find(const struct tensor_file *file, const char *name) {
    int index = safetensors_find(&file->file, name);
    return index < 0 ? NULL : &file->tensors[index];
}

const char *tensor_file_text(const struct tensor_file *file, const char *key) {
    return safetensors_text(&file->file, key);
}
