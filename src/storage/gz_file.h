/* Whole data files in memory, plain or compressed by gzip. */
#ifndef SPHERENET_STORAGE_GZ_FILE_H
#define SPHERENET_STORAGE_GZ_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct file {
    char *path; /* of the file that was found, for messages */
    uint8_t *bytes;
    size_t size;     /* bytes read so far */
    size_t on_disk;  /* its size there */
    bool compressed; /* by gzip */
    size_t most;     /* bytes that it can hold: exact for a plain file, what deflate can make of it for the others */
    struct gzip_reader *reader;
};

/* Whether FOLDER/NAME or FOLDER/NAME.gz is there. */
bool file_exists(const char *folder, const char *name);

/* Opens FOLDER/NAME or, where that does not exist, FOLDER/NAME.gz; what is compressed will be decompressed, whatever
 * the name. `advice` ends the message for a missing file: what the user should get and where to put it. Pass to
 * file_free; on failure nothing is left. */
bool file_open(struct file *file, const char *folder, const char *name, const char *advice, struct error *err);

/* Reads on until there are `size` bytes, or fewer at the file's end. Memory grows with the bytes that arrive. */
bool file_fill(struct file *file, size_t size, struct error *err);

/* Both, to the end. More than `maximum` bytes is an error, found before more memory than that is used. */
bool file_read(struct file *file, const char *folder, const char *name, size_t maximum, const char *advice,
               struct error *err);

/* struct file's `most` of FOLDER/NAME or FOLDER/NAME.gz; 0 where it cannot be opened. */
size_t file_most(const char *folder, const char *name);

void file_free(struct file *file);

#endif
