/* What a file is, by bytes that stand at a fixed place in every one of its kind. */
#ifndef SPHERENET_STORAGE_FILE_KIND_H
#define SPHERENET_STORAGE_FILE_KIND_H

#include <stddef.h>
#include <stdint.h>

enum { FILE_KIND_BYTES = 512 }; /* from a file's beginning are enough for all marks */

struct file_mark {
    size_t at, count; /* of the bytes; of what begins with "<", in any case of letters and after blanks too */
    const char *bytes, *what;
};

/* `what` of the first of the marks that the file has, or NULL. */
const char *file_kind_find(const struct file_mark *marks, size_t mark_count, const uint8_t *bytes, size_t count);

/* What is met in place of any file, by its beginning: "is a web page, not data: ...", archives, ...; NULL for others.
 */
const char *file_kind_foreign(const uint8_t *bytes, size_t count);

#endif
