/* How much memory is left. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

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

/* What a limit of this process leaves, which counts what is mapped whether it is used or not. */
static double left_of_limit(const char *proc, int resource, const char *mapped) {
    char folder[8192];
    struct rlimit limit;
    if (getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return INFINITY;
    snprintf(folder, sizeof folder, "%s/self", proc);
    return fmax(0, (double)limit.rlim_cur - value_of(folder, "status", mapped) * 1024);
}

/* What a system leaves that promises no more memory than it has (vm.overcommit_memory = 2). */
static double left_of_promises(const char *proc) {
    char folder[8192];
    double mode, unused;
    snprintf(folder, sizeof folder, "%s/sys/vm", proc);
    if (cgroup_read(folder, "overcommit_memory", &mode, &unused) < 1 || mode != 2)
        return INFINITY;
    return fmax(0, (value_of(proc, "meminfo", "CommitLimit:") - value_of(proc, "meminfo", "Committed_AS:")) * 1024);
}

static void tighten(struct mem_bound *bound, double bytes, const char *name) {
    if (bytes < bound->bytes)
        *bound = (struct mem_bound){bytes, name};
}

struct mem_bound mem_address_bound(const char *root) {
    char proc[4096];
    struct mem_bound bound = {INFINITY, NULL};
    snprintf(proc, sizeof proc, "%s/proc", root);
    tighten(&bound, left_of_limit(proc, RLIMIT_AS, "VmSize:"), "the limit of address space (ulimit -v)");
    tighten(&bound, left_of_limit(proc, RLIMIT_DATA, "VmData:"), "the limit of data (ulimit -d)");
    tighten(&bound, left_of_promises(proc), "vm.overcommit_memory = 2");
    return bound;
}

struct mem_bound mem_bound(const char *root) {
    char proc[4096];
    snprintf(proc, sizeof proc, "%s/proc", root);
    double kilobytes = value_of(proc, "meminfo", "MemAvailable:");
    struct mem_bound bound = mem_address_bound(root);
    tighten(&bound, cgroup_limit(root, "memory", left_in), "the limit of the control group");
    tighten(&bound, kilobytes > 0 ? kilobytes * 1024 : (double)(SIZE_MAX / 2), "this machine"); /* where nobody tells */
    return bound;
}

size_t mem_available(const char *root) {
    return (size_t)mem_bound(root).bytes;
}
