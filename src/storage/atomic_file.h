/* Files that are whole or not there, whatever ends the process or the machine. */
#ifndef SPHERENET_STORAGE_ATOMIC_FILE_H
#define SPHERENET_STORAGE_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* All return false with errno set. */

/* Writes all bytes to fd. */
bool atomic_file_write(int fd, const void *bytes, size_t count);

/* Takes what was written to fd, open on `temporary`, to the disk, then to `path` in the same folder. Closes fd in any
 * case; removes `temporary` when it fails. */
bool atomic_file_replace(int fd, const char *temporary, const char *path);

#endif
