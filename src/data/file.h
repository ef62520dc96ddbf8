/* Whole data files in memory, plain or compressed by gzip. */
#ifndef SPHERENET_DATA_FILE_H
#define SPHERENET_DATA_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct file {
    char *path; /* of the file that was read, for messages */
    uint8_t *bytes;
    size_t size;
};

/* Whether FOLDER/NAME or FOLDER/NAME.gz is there. */
bool file_exists(const char *folder, const char *name);

/* Reads FOLDER/NAME or, where that does not exist, FOLDER/NAME.gz; what is compressed is decompressed, whatever the
 * name. More than `maximum` bytes is an error, found before more memory than that is used. `advice` ends the message
 * for a missing file: what the user should get and where to put it. Pass to file_free; on failure nothing is left. */
bool file_read(struct file *file, const char *folder, const char *name, size_t maximum, const char *advice,
               struct error *err);
void file_free(struct file *file);

#endif
