#include "storage/folder.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *const *folder_names(struct arena *arena, const char *path, int *count) {
    const char **names = NULL;
    DIR *folder = opendir(path);
    *count = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (*entry->d_name == '.')
            continue;
        names = arena_grow(arena, names, *count, sizeof *names);
        names[(*count)++] = arena_string(arena, entry->d_name);
    }
    if (folder)
        closedir(folder);
    if (*count)
        qsort(names, (size_t)*count, sizeof *names, compare);
    return names;
}
