/* How much of the processors the control groups of this process leave it. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"

/* One cgroup of this process, and where its hierarchy is mounted. */
struct group {
    bool unified;         /* version 2 */
    char path[PATH_MAX];  /* of the cgroup, from the root of the hierarchy that the process sees */
    char mount[PATH_MAX]; /* where a part of the hierarchy is seen */
    char top[PATH_MAX];   /* the cgroup that stands there, "/" for all of the hierarchy */
};

/* Reads numbers from the file `name` of a folder; how many there were. */
static int read_numbers(const char *folder, const char *name, double *a, double *b) {
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    int count = file ? fscanf(file, "%lf %lf", a, b) : 0;
    if (file)
        fclose(file);
    return count;
}

/* Processors that one cgroup allows; INFINITY when it sets no limit. */
static double folder_limit(const char *folder, bool unified) {
    double quota, period, unused;
    bool given = unified ? read_numbers(folder, "cpu.max", &quota, &period) == 2 /* else "max 100000" */
                         : read_numbers(folder, "cpu.cfs_quota_us", &quota, &unused) >= 1 &&
                               read_numbers(folder, "cpu.cfs_period_us", &period, &unused) >= 1;
    return given && quota > 0 && period > 0 ? quota / period : INFINITY;
}

/* The cgroup's path from where its hierarchy is mounted: "/job" for "/docker/17/job" when "/docker/17" stands there. */
static const char *path_below_mount(const struct group *group) {
    size_t top = strcmp(group->top, "/") ? strlen(group->top) : 0;
    const char *rest = group->path + top;
    return !strncmp(group->path, group->top, top) && (*rest == '/' || *rest == '\0') ? rest : "";
}

/* The smallest limit from the cgroup itself up to where the hierarchy is mounted. */
static double group_limit(const char *root, const struct group *group) {
    char folder[4 * PATH_MAX];
    snprintf(folder, sizeof folder, "%s%s", root, group->mount);
    size_t mount = strlen(folder);
    snprintf(folder + mount, sizeof folder - mount, "%s", path_below_mount(group));
    double limit = folder_limit(folder, group->unified);
    for (size_t end = strlen(folder); end >= mount; end--) {
        if (folder[end] == '/') {
            folder[end] = '\0';
            limit = fmin(limit, folder_limit(folder, group->unified));
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
static bool read_group(char *line, struct group *group) {
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return false;
    *path++ = '\0';
    controllers++;
    group->unified = !*controllers;
    snprintf(group->path, sizeof group->path, "%s", path);
    return group->unified || has_word(controllers, "cpu");
}

/* Looks up the mount of the hierarchy that holds the cgroup. A line of /proc/self/mountinfo:
 * "32 31 0:29 /top /mount/point rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct". */
static bool find_mount(const char *root, struct group *group) {
    char path[PATH_MAX], line[3 * PATH_MAX], type[64], options[1024];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *file = fopen(path, "r");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *filesystem = strstr(line, " - ");
        _Static_assert(PATH_MAX >= 4096, "the widths below");
        found = filesystem && sscanf(line, "%*s %*s %*s %4095s %4095s", group->top, group->mount) == 2 &&
                sscanf(filesystem, " - %63s %*s %1023s", type, options) == 2 &&
                (group->unified ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && has_word(options, "cpu"));
    }
    if (file)
        fclose(file);
    return found;
}

int cpu_quota(const char *root, int most) {
    char path[PATH_MAX], line[PATH_MAX + 256];
    struct group group;
    double limit = most;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (read_group(line, &group) && find_mount(root, &group))
            limit = fmin(limit, group_limit(root, &group));
    if (file)
        fclose(file);
    return limit > 1 ? (int)ceil(limit) : 1;
}
