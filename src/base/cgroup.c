#include "base/cgroup.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One cgroup of this process, and where its hierarchy is mounted. */
struct group {
    bool unified;         /* version 2 */
    char path[PATH_MAX];  /* of the cgroup, from the root of the hierarchy that the process sees */
    char mount[PATH_MAX]; /* where a part of the hierarchy is seen */
    char top[PATH_MAX];   /* the cgroup that stands there, "/" for all of the hierarchy */
};

int cgroup_read(const char *folder, const char *name, double *a, double *b) {
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    int count = file ? fscanf(file, "%lf %lf", a, b) : 0;
    if (file)
        fclose(file);
    return count;
}

/* The cgroup's path from where its hierarchy is mounted: "/job" for "/docker/17/job" when "/docker/17" stands there. */
static const char *path_below_mount(const struct group *group) {
    size_t top = strcmp(group->top, "/") ? strlen(group->top) : 0;
    const char *rest = group->path + top;
    return !strncmp(group->path, group->top, top) && (*rest == '/' || *rest == '\0') ? rest : "";
}

/* The smallest limit from the cgroup itself up to where the hierarchy is mounted. */
static double group_limit(const char *root, const struct group *group, cgroup_limit_of *limit_of) {
    char folder[4 * PATH_MAX];
    snprintf(folder, sizeof folder, "%s%s", root, group->mount);
    size_t mount = strlen(folder);
    snprintf(folder + mount, sizeof folder - mount, "%s", path_below_mount(group));
    double limit = limit_of(folder, group->unified);
    for (size_t end = strlen(folder); end >= mount; end--) {
        if (folder[end] == '/') {
            folder[end] = '\0';
            limit = fmin(limit, limit_of(folder, group->unified));
        }
    }
    return limit;
}

/* Whether `word` is one of the words that commas separate. */
static bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *place = list; (place = strstr(place, word)); place++)
        if ((place == list || place[-1] == ',') && (place[length] == ',' || place[length] == '\0'))
            return true;
    return false;
}

/* A line of /proc/self/cgroup: "0::/user.slice/job" in version 2, "4:cpu,cpuacct:/job" in version 1. */
static bool read_group(char *line, const char *controller, struct group *group) {
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return false;
    *path++ = '\0';
    controllers++;
    group->unified = !*controllers;
    snprintf(group->path, sizeof group->path, "%s", path);
    return group->unified || has_word(controllers, controller);
}

/* Looks up the mount of the hierarchy that holds the cgroup. A line of /proc/self/mountinfo:
 * "32 31 0:29 /top /mount/point rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct". */
static bool find_mount(const char *root, const char *controller, struct group *group) {
    char path[PATH_MAX], line[3 * PATH_MAX], type[64], options[1024];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *file = fopen(path, "r");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *filesystem = strstr(line, " - ");
        _Static_assert(PATH_MAX >= 4096, "the widths below");
        found = filesystem && sscanf(line, "%*s %*s %*s %4095s %4095s", group->top, group->mount) == 2 &&
                sscanf(filesystem, " - %63s %*s %1023s", type, options) == 2 &&
                (group->unified ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && has_word(options, controller));
    }
    if (file)
        fclose(file);
    return found;
}

double cgroup_limit(const char *root, const char *controller, cgroup_limit_of *limit_of) {
    char path[PATH_MAX], line[PATH_MAX + 256];
    struct group group;
    double limit = INFINITY;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (read_group(line, controller, &group) && find_mount(root, controller, &group))
            limit = fmin(limit, group_limit(root, &group, limit_of));
    if (file)
        fclose(file);
    return limit;
}
