#include "base/path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "$NAME" or "${NAME}"; NULL: there is none. */
static const char *find_variable(const char *path) {
    for (const char *dollar = path; (dollar = strchr(dollar, '$')); dollar++)
        if (isalpha((unsigned char)dollar[1]) || dollar[1] == '_' || dollar[1] == '{')
            return dollar;
    return NULL;
}

static const char *expand_home(struct arena *arena, const char *path, struct error *err) {
    const char *home = getenv("HOME");
    if (path[1] && path[1] != '/')
        error_set(err,
                  "\"%.200s\": a user's name after ~ is not expanded; write the folder out, or ./%.200s for a file "
                  "of that name",
                  path, path);
    else if (!home || !*home)
        error_set(err, "\"%.200s\": ~ stands for $HOME, which is not set; write the folder out", path);
    else
        return arena_printf(arena, "%s%s", home, path + 1);
    return NULL;
}

const char *path_expand(struct arena *arena, const char *path, struct error *err) {
    const char *variable = find_variable(path);
    if (*path == '~')
        return expand_home(arena, path, err);
    if (!variable || access(path, F_OK) == 0)
        return path;
    error_set(err, "\"%.200s\": variables such as %.*s are not expanded; write the value out", path,
              (int)(strcspn(variable, "/")), variable);
    return NULL;
}

const char *path_origin(const char *path) {
    return *path == '/' ? "" : "; relative paths count from the current folder";
}
