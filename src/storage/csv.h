/* Comma-separated values: curves, tables whose first column is the iteration, of a header line and then one whole row
 * at a time; and fields of any table. */
#ifndef SPHERENET_STORAGE_CSV_H
#define SPHERENET_STORAGE_CSV_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

struct csv {
    int fd; /* -1: closed */
    char path[4096];
    off_t length;        /* of the file: whole rows */
    struct text pending; /* rows that are not in the file yet */
    double last_seconds; /* the last column of the last row that was kept; 0: no row */
};

/* Opens PATH for appending, first bringing it back to its rows of at most `last_iteration` (a resumed run writes the
 * later ones again). Makes the file, with its header, when it is not there or was cut off within its header; a file
 * that begins with anything else is refused and left alone. */
bool csv_open(struct csv *csv, const char *path, const char *header, int64_t last_iteration, struct error *err);

/* Appends one row, its values joined by commas; the line end is added. When the file cannot be written the row is kept,
 * and written with the next one or by csv_sync. */
bool csv_row(struct csv *csv, const char *row, struct error *err);

/* Puts all rows on the disk. */
bool csv_sync(struct csv *csv, struct error *err);

/* Tries once more to write what is pending. A closed csv is allowed. */
void csv_close(struct csv *csv);

/* Writes the text as one field, in quotes where it needs them (RFC 4180). */
void csv_field(FILE *file, const char *text);

#endif
