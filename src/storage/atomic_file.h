/* Files that are whole or not there, whatever ends the process or the machine. */
#ifndef SPHERENET_STORAGE_ATOMIC_FILE_H
#define SPHERENET_STORAGE_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* All return false with errno set. */

/* Writes all bytes to fd. */
bool atomic_file_write(int fd, const void *bytes, size_t count);

/* Takes what was written to fd, open on `temporary`, to the disk, then to `path` in the same folder. Closes fd in any
 * case; removes `temporary` when it fails. */
bool atomic_file_replace(int fd, const char *temporary, const char *path);

/* A stream whose bytes get their name when it is closed. What is there and no regular file, a pipe or a link, is
 * written itself, and so is a file in a folder that takes no new ones. */
struct atomic_stream {
    FILE *file;      /* NULL: not open */
    char *temporary; /* "PATH.tmp", in which the bytes are until then; NULL: in PATH itself */
};

bool atomic_stream_open(struct atomic_stream *stream, const char *path);

/* The file is whole, or as it was before; one that was written itself is removed. */
bool atomic_stream_close(struct atomic_stream *stream, const char *path);
void atomic_stream_abandon(struct atomic_stream *stream, const char *path); /* the same, as if it had failed */

#endif
