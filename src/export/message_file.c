#include "export/message_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "storage/atomic_file.h"

static bool cannot_be_written(const char *path, struct error *err) {
    return error_set_errno(err, "%s: cannot be written", path);
}

static void flush(struct message_file *file) {
    if (!file->code && !atomic_file_write(file->fd, file->bytes, file->used))
        file->code = errno;
    file->used = 0;
}

void message_file_add(struct message_file *file, const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    while (count) {
        size_t part = size_smaller(count, MESSAGE_FILE_BYTES - file->used);
        memcpy(file->bytes + file->used, next, part);
        file->used += part;
        next += part;
        count -= part;
        if (file->used == MESSAGE_FILE_BYTES)
            flush(file);
    }
}

static void append(ProtobufCBuffer *buffer, size_t count, const uint8_t *bytes) {
    message_file_add((struct message_file *)buffer, bytes, count);
}

/* What a file that is there is replaced by; pipes and devices are written themselves. */
static bool choose_temporary(struct message_file *file) {
    struct stat status;
    bool there = !stat(file->path, &status);
    *file->temporary = '\0';
    if (there && !S_ISREG(status.st_mode)) {
        errno = EISDIR;
        return !S_ISDIR(status.st_mode);
    }
    errno = ENAMETOOLONG;
    return (size_t)snprintf(file->temporary, sizeof file->temporary, "%s.tmp", file->path) < sizeof file->temporary;
}

bool message_file_open(struct message_file *file, const char *path, struct error *err) {
    file->buffer = (ProtobufCBuffer){.append = append};
    file->path = path;
    file->code = 0;
    file->used = 0;
    if (!choose_temporary(file))
        return cannot_be_written(path, err);
    file->fd = open(*file->temporary ? file->temporary : path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return file->fd >= 0 || cannot_be_written(path, err);
}

/* What was not written whole is not put in the place of what is there. */
static bool give_up(const struct message_file *file, struct error *err) {
    close(file->fd);
    if (*file->temporary)
        unlink(file->temporary);
    errno = file->code;
    return cannot_be_written(file->path, err);
}

bool message_file_close(struct message_file *file, struct error *err) {
    flush(file);
    if (file->code)
        return give_up(file, err);
    bool good = *file->temporary ? atomic_file_replace(file->fd, file->temporary, file->path) : !close(file->fd);
    return good || cannot_be_written(file->path, err);
}
