/* The bytes of a file, gunzipped where it is gzipped, for the safetensors reader. */
#ifndef SPHERENET_STORAGE_SAFETENSORS_SOURCE_H
#define SPHERENET_STORAGE_SAFETENSORS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/error.h"

enum { SOURCE_BUFFER_BYTES = 64 * 1024 };

struct byte_source {
    const char *path;
    struct error *err;
    int fd;
    int64_t most; /* bytes that there can be, gunzipped; INT64_MAX where the size of the file does not tell */
    bool gzipped, stream_ended; /* ended: the checksum was reached and is right */
    z_stream stream;            /* its next_in and avail_in are what of `buffer` is unread, gzipped or not */
    unsigned char buffer[SOURCE_BUFFER_BYTES];
};

/* Keeps path and err. Nothing is to be closed when it fails. */
bool byte_source_open(struct byte_source *source, const char *path, struct error *err);
void byte_source_close(struct byte_source *source);

/* Reads `count` bytes, at most SOURCE_BUFFER_BYTES, into `into`; *got is smaller only at the end of the file. */
bool byte_source_read(struct byte_source *source, void *into, size_t count, size_t *got);

/* That nothing follows the bytes read so far, and that a gzip stream ends with the right checksum. */
bool byte_source_expect_end(struct byte_source *source);

/* Stores "PATH: MESSAGE" and returns false. Control characters, which a damaged file may bring in, become '?'. */
bool byte_source_refuse(struct byte_source *source, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
