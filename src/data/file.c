#include "data/file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/text.h"

enum { READ_BYTES = 1 << 24, GZIP_BUFFER_BYTES = 1 << 18 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* A file that is there but cannot be looked at counts as present, so that opening it gives the reason. */
static bool present(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* The path of the plain or the compressed file, to be freed; NULL when there is neither. */
static char *locate(const char *folder, const char *name) {
    static const char *const suffixes[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        struct text path = {0};
        text_printf(&path, "%s/%s%s", folder, name, suffixes[i]);
        if (present(path.data))
            return path.data;
        text_free(&path);
    }
    return NULL;
}

bool file_exists(const char *folder, const char *name) {
    char *path = locate(folder, name);
    free(path);
    return path != NULL;
}

/* Before opening: to open a directory or a pipe would fail late or wait for ever. */
static bool check_regular(const char *path, size_t *size, struct error *err) {
    struct stat status;
    if (stat(path, &status))
        return error_set_errno(err, "%s", path);
    if (S_ISDIR(status.st_mode))
        return error_set(err, "%s: is a directory, not a file", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, "%s: is not a regular file", path);
    *size = (size_t)status.st_size;
    return true;
}

static bool reserve(struct file *file, size_t capacity, struct error *err) {
    uint8_t *bytes = realloc(file->bytes, capacity);
    if (!bytes)
        return error_set(err, "%s: not enough memory to read it (%zu bytes)", file->path, capacity);
    file->bytes = bytes;
    return true;
}

/* At the end of the data: whether it is the end that it should be. */
static bool check_end(const struct file *file, gzFile stream, struct error *err) {
    int code;
    gzerror(stream, &code);
    if (code == Z_ERRNO)
        return error_set_errno(err, "%s", file->path);
    if (code == Z_BUF_ERROR)
        return error_set(err, "%s: truncated gzip file", file->path);
    if (code != Z_OK && code != Z_STREAM_END)
        return error_set(err, "%s: damaged gzip file", file->path);
    return true;
}

/* `size_on_disk` is exact for a plain file and a first guess for a compressed one. */
static bool read_stream(struct file *file, gzFile stream, size_t size_on_disk, size_t maximum, struct error *err) {
    size_t capacity = smaller(size_on_disk, maximum) + 1; /* one more byte tells the end, or what is too large */
    while (reserve(file, capacity, err)) {
        while (file->size < capacity) {
            size_t wanted = smaller(capacity - file->size, READ_BYTES);
            int got = gzread(stream, file->bytes + file->size, (unsigned)wanted);
            if (got <= 0)
                return check_end(file, stream, err);
            file->size += (size_t)got;
        }
        if (file->size > maximum)
            return error_set(err, "%s: holds more than %zu bytes, the most such a file may", file->path, maximum);
        capacity = smaller(2 * capacity, maximum + 1);
    }
    return false;
}

static bool read_path(struct file *file, size_t maximum, struct error *err) {
    size_t size_on_disk = 0;
    if (!check_regular(file->path, &size_on_disk, err))
        return false;
    gzFile stream = gzopen(file->path, "rbe"); /* zlib reads plain files too */
    if (!stream)
        return error_set_errno(err, "%s", file->path);
    gzbuffer(stream, GZIP_BUFFER_BYTES);
    bool ok = read_stream(file, stream, size_on_disk, maximum, err);
    gzclose_r(stream);
    return ok;
}

bool file_read(struct file *file, const char *folder, const char *name, size_t maximum, const char *advice,
               struct error *err) {
    *file = (struct file){.path = locate(folder, name)};
    if (!file->path)
        return error_set(err, "%s/%s: not found, and no %s.gz beside it either; %s", folder, name, name, advice);
    if (read_path(file, maximum, err))
        return true;
    file_free(file);
    return false;
}

void file_free(struct file *file) {
    free(file->path);
    free(file->bytes);
    *file = (struct file){0};
}
