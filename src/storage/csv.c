#include "storage/csv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/atomic_file.h"

enum { LONGEST_ROW = 1024 };

static bool refuse(const struct csv *csv, struct error *err) {
    return error_set(err,
                     "%s: its first line is not the header that this program writes; move the file away, or resume "
                     "with the program that wrote it",
                     csv->path);
}

/* Looks for the header and the leading rows with at most that iteration, and sets the length to theirs; a row that was
 * cut off does not count. */
static bool measure(struct csv *csv, FILE *file, const char *header, int64_t last_iteration, struct error *err) {
    char line[LONGEST_ROW];
    while (fgets(line, sizeof line, file)) {
        size_t end = strcspn(line, "\n");
        bool whole = line[end] == '\n';
        line[end] = '\0';
        if (csv->length == 0 && (whole ? strcmp(line, header) : strncmp(line, header, end)))
            return refuse(csv, err);
        if (!whole)
            break;
        if (csv->length > 0) {
            char *after;
            long long iteration = strtoll(line, &after, 10);
            if (after == line || *after != ',' || iteration > last_iteration)
                break;
            csv->last_seconds = strtod(strrchr(line, ',') + 1, NULL);
        }
        csv->length += (off_t)end + 1;
    }
    return !ferror(file) || error_set_errno(err, "%s: cannot be read", csv->path);
}

static bool read_old(struct csv *csv, const char *header, int64_t last_iteration, struct error *err) {
    int copy = dup(csv->fd);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (!file) {
        if (copy >= 0)
            close(copy);
        return error_set_errno(err, "%s: cannot be read", csv->path);
    }
    bool good = measure(csv, file, header, last_iteration, err);
    fclose(file);
    return good;
}

/* Cuts off what a write that failed half-way, or a later iteration, has left behind the whole rows. */
static bool cut(struct csv *csv) {
    return ftruncate(csv->fd, csv->length) == 0 && lseek(csv->fd, csv->length, SEEK_SET) == csv->length;
}

static bool flush(struct csv *csv) {
    if (csv->pending.length == 0)
        return true;
    if (!cut(csv) || !atomic_file_write(csv->fd, csv->pending.data, csv->pending.length))
        return false;
    csv->length += (off_t)csv->pending.length;
    text_free(&csv->pending);
    return true;
}

static bool write_failed(const struct csv *csv, struct error *err) {
    return error_set_errno(err, "%s: cannot be written", csv->path);
}

bool csv_open(struct csv *csv, const char *path, const char *header, int64_t last_iteration, struct error *err) {
    *csv = (struct csv){.fd = -1};
    snprintf(csv->path, sizeof csv->path, "%s", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set_errno(err, "%s: cannot be opened for writing", path);
    csv->fd = fd;
    if (read_old(csv, header, last_iteration, err)) {
        if (csv->length == 0)
            text_printf(&csv->pending, "%s\n", header);
        if (cut(csv) && flush(csv))
            return true;
        write_failed(csv, err);
    }
    text_free(&csv->pending);
    csv_close(csv);
    return false;
}

bool csv_row(struct csv *csv, const char *row, struct error *err) {
    text_printf(&csv->pending, "%s\n", row);
    return flush(csv) || write_failed(csv, err);
}

bool csv_sync(struct csv *csv, struct error *err) {
    return (flush(csv) && fsync(csv->fd) == 0) || write_failed(csv, err);
}

void csv_close(struct csv *csv) {
    if (csv->fd < 0)
        return;
    if (!flush(csv))
        cut(csv);
    close(csv->fd);
    text_free(&csv->pending);
    csv->fd = -1;
}

void csv_field(FILE *file, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    putc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', file);
        putc(*text, file);
    }
    putc('"', file);
}
