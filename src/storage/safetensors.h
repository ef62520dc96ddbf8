/* Gzipped safetensors files: named tensors and text metadata.
 *
 * After gunzip: 8 bytes little-endian header length, a JSON header {"__metadata__": {text: text},
 * NAME: {"dtype", "shape", "data_offsets"}}, then the tensors, C order, little-endian. The writer puts them in header
 * order; the reader takes them in any. The writer adds a checksum of all of it to the metadata, which gunzip does not
 * take away as it does gzip's own; the reader checks it where there is one.
 *
 * Values come and go in pieces of at most TENSOR_PIECE, so that nobody holds a tensor for the file's sake. */
#ifndef SPHERENET_STORAGE_SAFETENSORS_H
#define SPHERENET_STORAGE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/real.h"

#define TENSOR_METADATA_KEY "__metadata__" /* no tensor's name */

enum {
    TENSOR_MAX_DIMS = 8,
    TENSOR_HEADER_MAX_BYTES = 16 * 1024 * 1024, /* JSON, without its length */
    TENSOR_PIECE = 4096                         /* values */
};

/* What a stored tensor's values are. */
enum tensor_values {
    TENSOR_REALS,    /* F64, F32, F16, BF16 */
    TENSOR_INTEGERS, /* I64, I32, I16, I8, U64, U32, U16, U8 */
    TENSOR_OTHERS    /* what else there is: not to be read */
};

struct tensor_info {
    const char *name;
    int dims; /* 0 to TENSOR_MAX_DIMS */
    int64_t shape[TENSOR_MAX_DIMS];
    /* Of a file that is read; what is written is REAL_NAME. */
    const char *dtype; /* "BF16" */
    enum tensor_values values;
};

struct stored_text {
    const char *key, *value; /* UTF-8 */
};

/* --- Writing ----------------------------------------------------------------------------------------------------- */

/* The values [first, first + count) of tensor number `tensor`, in C order. */
typedef void tensor_give(const void *context, int tensor, size_t first, size_t count, real *values);

struct tensor_contents {
    const struct tensor_info *tensors;
    int tensor_count;
    const struct stored_text *texts;
    int text_count;
    tensor_give *give; /* asked twice for everything: for the checksum, which comes before the data, and for the data */
    const void *context;
};

/* Writes PATH by way of a temporary file in the same folder, fsync and rename, so that PATH is always a whole file:
 * when it fails, the old one if there was one, and no temporary file stays. Same content, same bytes. Names and texts
 * that are not UTF-8, or appear twice, are refused. */
bool safetensors_write(const char *path, const struct tensor_contents *contents, struct error *err);

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* An open file, its tensors in the order of their data. One of zeros is closed. */
struct safetensors {
    int tensor_count, text_count;
    struct tensor_info *tensors;
    struct stored_text *texts;
    struct safetensors_reader *reader; /* private */
};

/* Takes the values [first, first + count) of a tensor. */
typedef void tensor_take(void *context, size_t first, size_t count, const real *values);

/* Opens a regular file, gzipped or not, and reads all of it once, so that a file that is damaged anywhere
 * (ERROR_DAMAGED) is refused before any of its values is used. Every size is checked before it is used; any bytes give
 * a message, never a crash, and what the header promises must fit into the file. Keeps the path; `file` is closed when
 * it fails. */
bool safetensors_open(struct safetensors *file, const char *path, struct error *err);
void safetensors_close(struct safetensors *file);

/* By name; -1 when absent. */
int safetensors_find(const struct safetensors *file, const char *name);
/* NULL when absent. */
const char *safetensors_text(const struct safetensors *file, const char *key);

/* Hands the tensor's values, which must not be TENSOR_OTHERS, converted to real, to `take`, piece by piece. The data is
 * read in its order: tensors that come later in it are best asked for later. Fails when the file can no longer be read
 * as it could be at first. */
bool safetensors_read(struct safetensors *file, int tensor, tensor_take *take, void *context, struct error *err);

#endif
