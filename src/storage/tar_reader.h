/* The regular files in a tar archive, plain or gzipped, one after the other; nothing is kept of those that nobody
 * reads.
 *
 * All return false with an error that begins with the archive's path; an archive that breaks off is ERROR_DAMAGED. */
#ifndef SPHERENET_STORAGE_TAR_READER_H
#define SPHERENET_STORAGE_TAR_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { TAR_NAME_BYTES = 101 };

struct tar_reader {
    const char *path;
    struct gzip_reader *bytes;
    char name[TAR_NAME_BYTES]; /* of the member: what follows its folders; 100 bytes at most, which a header has */
    uint64_t size;             /* of the member */
    uint64_t left, padding;    /* what of it is unread, and the zeros that fill its last block */
    bool begun;                /* a header was read: this is a tar archive */
};

/* Keeps the path. On failure nothing is left. */
bool tar_open(struct tar_reader *tar, const char *path, struct error *err);

/* The next regular file. *found is false at the archive's end, when all of a gzip stream was read and its checksum was
 * right. */
bool tar_next(struct tar_reader *tar, bool *found, struct error *err);

/* The whole member, of tar->size bytes, to be freed. Memory grows with the bytes that arrive. NULL when it fails. */
uint8_t *tar_read(struct tar_reader *tar, struct error *err);

void tar_close(struct tar_reader *tar);

#endif
