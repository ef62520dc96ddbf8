#include "storage/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

bool atomic_file_write(int fd, const void *bytes, size_t count) {
    const char *next = bytes, *end = next + count;
    while (next < end) {
        ssize_t written = write(fd, next, (size_t)(end - next));
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0)
            next += written;
    }
    return true;
}

/* Makes a change of the folder that holds PATH last: a file made there, renamed or removed. File systems that cannot
 * flush a folder say EINVAL. */
static bool flush_folder(const char *path) {
    char folder[PATH_MAX];
    if ((size_t)snprintf(folder, sizeof folder, "%s", path) >= sizeof folder) {
        errno = ENAMETOOLONG;
        return false;
    }
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int code = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    errno = code;
    return code == 0;
}

bool atomic_file_replace(int fd, const char *temporary, const char *path) {
    int code = fsync(fd) ? errno : 0;
    if (close(fd) && !code)
        code = errno;
    if (!code && rename(temporary, path))
        code = errno;
    if (code) {
        unlink(temporary);
        errno = code;
        return false;
    }
    return flush_folder(path);
}

/* --- Streams ----------------------------------------------------------------------------------------------------- */

/* -1 with errno set. What has the name of the temporary file is left from a run that was killed. */
static int open_temporary(const char *temporary, const struct stat *old) {
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0 && old)
        (void)!fchmod(fd, old->st_mode & 0777); /* else it has the modes of a new file */
    return fd;
}

/* On failure what was opened is closed and gone, and errno set. */
static FILE *open_stream(int fd, const char *path) {
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    int code = errno;
    if (!file && fd >= 0) {
        close(fd);
        unlink(path);
    }
    errno = code;
    return file;
}

bool atomic_stream_open(struct atomic_stream *stream, const char *path) {
    struct stat status;
    bool there = lstat(path, &status) == 0;
    *stream = (struct atomic_stream){0};
    if (!there || S_ISREG(status.st_mode)) {
        char *temporary = mem_alloc(strlen(path) + sizeof ".tmp");
        sprintf(temporary, "%s.tmp", path);
        stream->file = open_stream(open_temporary(temporary, there ? &status : NULL), temporary);
        int code = errno;
        if (stream->file) {
            stream->temporary = temporary;
            return true;
        }
        free(temporary);
        errno = code;
        if (code != EACCES && code != EPERM && code != ENAMETOOLONG)
            return false;
    }
    stream->file = fopen(path, "w");
    return stream->file;
}

static bool is_regular(FILE *file) {
    struct stat status;
    return fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
}

/* Closes the stream; what it has written goes to its name, or goes away. */
static bool end(struct atomic_stream *stream, const char *path, bool keep) {
    const char *written = stream->temporary ? stream->temporary : path;
    bool removable = is_regular(stream->file);
    keep =
        keep && !ferror(stream->file) && !fflush(stream->file) && (!stream->temporary || !fsync(fileno(stream->file)));
    int code = errno;
    if (fclose(stream->file) && keep) {
        keep = false;
        code = errno;
    }
    if (keep && stream->temporary && rename(stream->temporary, path)) {
        keep = false;
        code = errno;
    }
    if (!keep && removable)
        unlink(written);
    if (keep && stream->temporary && !flush_folder(path)) {
        keep = false;
        code = errno;
    }
    free(stream->temporary);
    *stream = (struct atomic_stream){0};
    errno = code;
    return keep;
}

bool atomic_stream_close(struct atomic_stream *stream, const char *path) {
    return end(stream, path, true);
}

void atomic_stream_abandon(struct atomic_stream *stream, const char *path) {
    end(stream, path, false);
}
