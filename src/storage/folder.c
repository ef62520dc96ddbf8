#include "storage/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The next entry that is not hidden; NULL at the end, and with errno set where there is an error. */
static const struct dirent *next_entry(DIR *folder) {
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(folder);
    } while (entry && *entry->d_name == '.');
    return entry;
}

const char *const *folder_names(struct arena *arena, const char *path, int *count) {
    const char **names = NULL;
    DIR *folder = opendir(path);
    *count = folder ? 0 : -1;
    if (!folder)
        return NULL;
    for (const struct dirent *entry; (entry = next_entry(folder)); ++*count) {
        names = arena_grow(arena, names, *count, sizeof *names);
        names[*count] = arena_string(arena, entry->d_name);
    }
    int failure = errno;
    closedir(folder);
    errno = failure;
    if (failure)
        *count = -1;
    else if (*count)
        qsort(names, (size_t)*count, sizeof *names, compare);
    return names;
}
