/* Files and folders of tests. */
#ifndef SPHERENET_TESTS_SUPPORT_DISK_H
#define SPHERENET_TESTS_SUPPORT_DISK_H

#include <stdbool.h>
#include <stddef.h>

/* Everything in the file, NUL-terminated, to be freed; NULL: it cannot be opened. size: its length, or NULL. */
char *disk_read(const char *path, size_t *size);

/* These fail the test where they cannot do it. */
void disk_write(const char *path, const void *bytes, size_t count);
void disk_write_text(const char *path, const char *text);

bool disk_exists(const char *path); /* a link counts, wherever it leads */

/* Removes a folder with all that is in it, or a file. */
void disk_remove(const char *path);

#endif
