/* Gzipped safetensors files: named tensors and text metadata.
 *
 * After gunzip: 8 bytes little-endian header length, a JSON header {"__metadata__": {text: text},
 * NAME: {"dtype", "shape", "data_offsets"}}, then the tensors, C order, little-endian. The writer puts them in header
 * order; the reader takes them in any. The writer adds a checksum of all of it to the metadata, which gunzip does not
 * take away as it does gzip's own; the reader checks it where there is one. */
#ifndef SPHERENET_STORAGE_SAFETENSORS_H
#define SPHERENET_STORAGE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/real.h"

#define TENSOR_METADATA_KEY "__metadata__" /* no tensor's name */

enum { TENSOR_MAX_DIMS = 8, TENSOR_HEADER_MAX_BYTES = 16 * 1024 * 1024 /* JSON, without its length */ };

struct stored_tensor {
    const char *name;
    int dims; /* 0 to TENSOR_MAX_DIMS */
    int64_t shape[TENSOR_MAX_DIMS];
    const real *data; /* written: may be NULL when a shape element is 0; read: never NULL */
};

struct stored_text {
    const char *key, *value; /* UTF-8 */
};

/* A file read whole, its tensors in the order of their data. Data of F32 and F64 tensors is converted to real; others
 * are refused. One of zeros is empty. */
struct tensor_file {
    int tensor_count, text_count;
    struct stored_tensor *tensors;
    struct stored_text *texts;
    void *memory; /* private: what the pointers point into */
};

/* Writes PATH by way of a temporary file in the same folder, fsync and rename, so that PATH is always a whole file:
 * when it fails, the old one if there was one, and no temporary file stays. Same content, same bytes. Names and texts
 * that are not UTF-8, or appear twice, are refused. */
bool tensor_file_write(const char *path, const struct stored_tensor *tensors, int tensor_count,
                       const struct stored_text *texts, int text_count, struct error *err);

/* Reads a file, gzipped or not. Every size is checked before it is used; any bytes give a message, never a crash,
 * and what the header promises must fit into the file before memory is taken for it. Empties `file` when it fails. */
bool tensor_file_read(struct tensor_file *file, const char *path, struct error *err);
void tensor_file_free(struct tensor_file *file);

/* By name; NULL when absent. */
const struct stored_tensor *tensor_file_find(const struct tensor_file *file, const char *name);
const char *tensor_file_text(const struct tensor_file *file, const char *key);

#endif
