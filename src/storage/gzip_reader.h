/* The bytes of a regular file from its beginning, gunzipped where it is gzipped: one member after the other, as RFC
 * 1952 has it. Nothing is kept in memory but a buffer.
 *
 * All return false with an error that begins with the path; a gzip stream that breaks off, or whose checksum is wrong,
 * is ERROR_DAMAGED. */
#ifndef SPHERENET_STORAGE_GZIP_READER_H
#define SPHERENET_STORAGE_GZIP_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct gzip_reader;

/* Keeps the path. NULL when it fails. */
struct gzip_reader *gzip_reader_open(const char *path, struct error *err);
void gzip_reader_close(struct gzip_reader *reader); /* NULL is allowed */

bool gzip_reader_is_gzipped(const struct gzip_reader *reader);

/* The file's size on the disk, and the most bytes that it can hold: its own for a plain file, what deflate can make of
 * them for a gzipped one. */
size_t gzip_reader_size(const struct gzip_reader *reader);
size_t gzip_reader_most(const struct gzip_reader *reader);

/* Reads `count` bytes into `into`; *got is smaller only at the end of what the file holds. */
bool gzip_reader_read(struct gzip_reader *reader, void *into, size_t count, size_t *got, struct error *err);

/* Goes back to the beginning. */
bool gzip_reader_rewind(struct gzip_reader *reader, struct error *err);

/* After a read that came to the end: that nothing follows which is no gzip stream. */
bool gzip_reader_expect_end(struct gzip_reader *reader, struct error *err);

#endif
