#include "storage/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
