#include "storage/gz_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/number.h"
#include "base/text.h"

enum { READ_BYTES = 1 << 24, GZIP_BUFFER_BYTES = 1 << 18 };

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

static bool open_stream(struct file *file, struct error *err) {
    file->stream = gzopen(file->path, "rbe"); /* zlib reads plain files too */
    if (!file->stream)
        return error_set_errno(err, "%s", file->path);
    gzbuffer(file->stream, GZIP_BUFFER_BYTES);
    file->compressed = !gzdirect(file->stream);
    file->most = file->compressed ? file->on_disk * DEFLATE_MOST : file->on_disk;
    return true;
}

bool file_open(struct file *file, const char *folder, const char *name, const char *advice, struct error *err) {
    *file = (struct file){.path = locate(folder, name)};
    if (!file->path)
        return error_set(err, "%s/%s: not found, and no %s.gz beside it either; %s", folder, name, name, advice);
    if (check_regular(file->path, &file->on_disk, err) && open_stream(file, err))
        return true;
    file_free(file);
    return false;
}

/* Room for more of `size` bytes: as many as the file has on the disk, which is all of a plain one, then twice those
 * that there are. */
static bool grow(struct file *file, size_t *capacity, size_t size, struct error *err) {
    size_t wanted = file->size < file->on_disk ? file->on_disk : 2 * file->size;
    *capacity = size_smaller(wanted + 1, size); /* one more byte tells the end */
    return reserve(file, *capacity, err);
}

bool file_fill(struct file *file, size_t size, struct error *err) {
    size_t capacity = file->size;
    while (file->size < size) {
        if (file->size == capacity && !grow(file, &capacity, size, err))
            return false;
        size_t wanted = size_smaller(capacity - file->size, READ_BYTES);
        int got = gzread(file->stream, file->bytes + file->size, (unsigned)wanted);
        if (got <= 0)
            return check_end(file, file->stream, err);
        file->size += (size_t)got;
    }
    return true;
}

static bool read_all(struct file *file, size_t maximum, struct error *err) {
    if (!file_fill(file, maximum + 1, err))
        return false;
    return file->size <= maximum ||
           error_set(err, "%s: holds more than %zu bytes, the most such a file may", file->path, maximum);
}

bool file_read(struct file *file, const char *folder, const char *name, size_t maximum, const char *advice,
               struct error *err) {
    if (!file_open(file, folder, name, advice, err))
        return false;
    if (read_all(file, maximum, err))
        return true;
    file_free(file);
    return false;
}

size_t file_most(const char *folder, const char *name) {
    struct file file;
    struct error ignored;
    size_t most = file_open(&file, folder, name, "", &ignored) ? file.most : 0;
    file_free(&file);
    return most;
}

void file_free(struct file *file) {
    if (file->stream)
        gzclose_r(file->stream);
    free(file->path);
    free(file->bytes);
    *file = (struct file){0};
}
