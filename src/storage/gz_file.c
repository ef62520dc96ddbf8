#include "storage/gz_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/number.h"
#include "base/text.h"
#include "storage/gzip_reader.h"

/* A file that is there but cannot be looked at counts as present, so that opening it gives the reason. */
static bool present(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The path of the plain or the compressed file, to be freed; NULL when there is neither. A folder of that name, as
 * programs that unpack make one, counts only where there is no file. */
static char *locate(const char *folder, const char *name) {
    struct text plain = {0}, compressed = {0};
    text_printf(&plain, "%s/%s", folder, name);
    text_printf(&compressed, "%s.gz", plain.data);
    bool is_plain = present(plain.data), is_compressed = present(compressed.data);
    struct text *found = is_plain && !(is_compressed && is_folder(plain.data)) ? &plain
                         : is_compressed                                       ? &compressed
                                                                               : NULL;
    char *path = found ? found->data : NULL;
    if (found != &plain)
        text_free(&plain);
    if (found != &compressed)
        text_free(&compressed);
    return path;
}

bool file_exists(const char *folder, const char *name) {
    char *path = locate(folder, name);
    free(path);
    return path != NULL;
}

static bool reserve(struct file *file, size_t capacity, struct error *err) {
    uint8_t *bytes = realloc(file->bytes, capacity);
    if (!bytes)
        return error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory to read it (%zu bytes)", file->path,
                              capacity);
    file->bytes = bytes;
    return true;
}

static bool open_reader(struct file *file, struct error *err) {
    file->reader = gzip_reader_open(file->path, err);
    if (!file->reader)
        return false;
    file->compressed = gzip_reader_is_gzipped(file->reader);
    file->on_disk = gzip_reader_size(file->reader);
    file->most = gzip_reader_most(file->reader);
    return true;
}

bool file_open(struct file *file, const char *folder, const char *name, const char *advice, struct error *err) {
    *file = (struct file){.path = locate(folder, name)};
    if (!file->path)
        return error_set(err, "%s/%s: not found, and no %s.gz beside it either; %s", folder, name, name, advice);
    if (open_reader(file, err))
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
        size_t wanted = capacity - file->size, got;
        if (!gzip_reader_read(file->reader, file->bytes + file->size, wanted, &got, err))
            return false;
        file->size += got;
        if (got < wanted)
            break;
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
    gzip_reader_close(file->reader);
    free(file->path);
    free(file->bytes);
    *file = (struct file){0};
}
