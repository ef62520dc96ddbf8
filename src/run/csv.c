#include "run/csv.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_ROW = 1024 };

/* The length of the header and of the leading rows with at most that iteration; a row that was cut off does not
 * count. */
static long kept_length(struct csv *csv, const char *header, int64_t last_iteration) {
    char line[LONGEST_ROW];
    long length = 0;
    while (fgets(line, sizeof line, csv->file)) {
        size_t end = strcspn(line, "\n");
        bool whole = line[end] == '\n';
        line[end] = '\0';
        if (!whole || (length == 0 && strcmp(line, header)))
            break;
        if (length > 0) {
            char *after;
            long long iteration = strtoll(line, &after, 10);
            if (after == line || *after != ',' || iteration > last_iteration)
                break;
            csv->last_seconds = strtod(strrchr(line, ',') + 1, NULL);
        }
        length = ftell(csv->file);
    }
    return length;
}

bool csv_open(struct csv *csv, const char *path, const char *header, int64_t last_iteration, struct error *err) {
    *csv = (struct csv){0};
    snprintf(csv->path, sizeof csv->path, "%s", path);
    csv->file = fopen(path, "r+");
    if (!csv->file)
        csv->file = fopen(path, "w+");
    if (!csv->file)
        return error_set_errno(err, "%s: cannot be opened for writing", path);
    long length = kept_length(csv, header, last_iteration);
    bool good = fseek(csv->file, length, SEEK_SET) == 0 && ftruncate(fileno(csv->file), length) == 0;
    if (good && length == 0)
        good = fprintf(csv->file, "%s\n", header) > 0 && fflush(csv->file) == 0;
    if (good)
        return true;
    error_set_errno(err, "%s: cannot be written", path);
    csv_close(csv);
    return false;
}

bool csv_row(struct csv *csv, struct error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    bool good = vfprintf(csv->file, format, args) > 0;
    va_end(args);
    good = good && fputc('\n', csv->file) != EOF && fflush(csv->file) == 0;
    return good || error_set_errno(err, "%s: cannot write a row", csv->path);
}

bool csv_sync(struct csv *csv, struct error *err) {
    if (fflush(csv->file) == 0 && fsync(fileno(csv->file)) == 0)
        return true;
    return error_set_errno(err, "%s: cannot be written", csv->path);
}

void csv_close(struct csv *csv) {
    if (csv->file)
        fclose(csv->file);
    csv->file = NULL;
}
