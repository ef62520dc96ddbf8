/* How much memory is left. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/mem.h"

/* The number behind `key` in a file of lines "key number"; 0 when there is none. */
static double value_of(const char *folder, const char *name, const char *key) {
    char path[8192], line[256], word[128];
    double value, found = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%127s %lf", word, &value) == 2 && !strcmp(word, key))
            found = value;
    if (file)
        fclose(file);
    return found;
}

/* What a group leaves: its limit less what its processes use. Files that are cached count as used, but give way. */
static double left_in(const char *folder, bool unified) {
    double limit, used, unused;
    if (cgroup_read(folder, unified ? "memory.max" : "memory.limit_in_bytes", &limit, &unused) < 1 ||
        cgroup_read(folder, unified ? "memory.current" : "memory.usage_in_bytes", &used, &unused) < 1)
        return INFINITY;
    double cached = value_of(folder, "memory.stat", unified ? "active_file" : "total_active_file") +
                    value_of(folder, "memory.stat", unified ? "inactive_file" : "total_inactive_file");
    return fmax(0, limit - used + fmin(cached, used));
}

size_t mem_available(const char *root) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/proc", root);
    double kilobytes = value_of(folder, "meminfo", "MemAvailable:");
    double machine = kilobytes > 0 ? kilobytes * 1024 : (double)(SIZE_MAX / 2); /* where nobody tells */
    return (size_t)fmin(machine, cgroup_limit(root, "memory", left_in));
}
