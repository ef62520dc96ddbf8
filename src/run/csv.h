/* Comma-separated tables whose first column is the iteration: a header line, then one row at a time, whole rows only.
 */
#ifndef SPHERENET_RUN_CSV_H
#define SPHERENET_RUN_CSV_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct csv {
    FILE *file;
    char path[4096];
    double last_seconds; /* the last column of the last row that was kept; 0: no row */
};

/* Opens PATH for appending, first bringing it back to its rows of at most `last_iteration` (a resumed run writes the
 * later ones again). Makes the file, with its header, when it is not there or its header is damaged. */
bool csv_open(struct csv *csv, const char *path, const char *header, int64_t last_iteration, struct error *err);

/* Appends one row; the line end is added. */
bool csv_row(struct csv *csv, struct error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts what was written on the disk. */
bool csv_sync(struct csv *csv, struct error *err);
void csv_close(struct csv *csv);

#endif
