/* One gzip stream into a file that is open for writing. */
#ifndef SPHERENET_STORAGE_GZIP_WRITER_H
#define SPHERENET_STORAGE_GZIP_WRITER_H

#define ZLIB_CONST /* zlib reads its input only */
#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

#include "base/error.h"

struct gzip_writer {
    const char *path; /* for messages */
    int fd;
    z_stream stream;
    unsigned char buffer[1 << 16]; /* deflated, not written yet */
};

/* All return false with an error "PATH: cannot be written: ...". Keeps the path; leaves fd to the caller. Nothing is to
 * be closed when it fails. */
bool gzip_writer_open(struct gzip_writer *writer, int fd, const char *path, struct error *err);
bool gzip_writer_add(struct gzip_writer *writer, const void *bytes, size_t count, struct error *err);
bool gzip_writer_finish(struct gzip_writer *writer, struct error *err); /* the end of the stream */
void gzip_writer_close(struct gzip_writer *writer);

#endif
