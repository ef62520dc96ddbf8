#define _GNU_SOURCE
#include "machine/cpu.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <omp.h>

#include "base/cgroup.h"
#include "base/mem.h"

enum { MOST_CPUS = 1 << 16 };

/* The mask has to be as large as the system's own, which nothing tells but a call that fails. */
static int affinity_count(void) {
    for (size_t most = CPU_SETSIZE; most <= 1 << 22; most *= 2) {
        size_t size = CPU_ALLOC_SIZE(most);
        cpu_set_t *set = CPU_ALLOC(most);
        if (!set)
            break;
        bool good = sched_getaffinity(0, size, set) == 0;
        bool too_small = !good && errno == EINVAL;
        int count = good ? CPU_COUNT_S(size, set) : 1;
        CPU_FREE(set);
        if (!too_small)
            return count;
    }
    return 1;
}

/* Processors that one group allows. */
static double quota_of(const char *folder, bool unified) {
    double quota, period, unused;
    bool given = unified ? cgroup_read(folder, "cpu.max", &quota, &period) == 2 /* else "max 100000" */
                         : cgroup_read(folder, "cpu.cfs_quota_us", &quota, &unused) >= 1 &&
                               cgroup_read(folder, "cpu.cfs_period_us", &period, &unused) >= 1;
    return given && quota > 0 && period > 0 ? quota / period : INFINITY;
}

int cpu_quota(const char *root, int most) {
    double limit = fmin(most, cgroup_limit(root, "cpu", quota_of));
    return limit > 1 ? (int)ceil(limit) : 1;
}

int cpu_count(void) {
    /* The mask of a main thread that OpenMP has bound is that of its place alone. */
    return cpu_quota("", omp_get_proc_bind() == omp_proc_bind_false ? affinity_count() : omp_get_num_procs());
}

void cpu_unbind(void) {
    size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
    cpu_set_t *set = CPU_ALLOC(MOST_CPUS);
    int places = omp_get_num_places();
    if (set)
        CPU_ZERO_S(size, set);
    for (int place = 0; set && place < places; place++) {
        int count = omp_get_place_num_procs(place), *numbers = mem_alloc((size_t)count * sizeof *numbers);
        omp_get_place_proc_ids(place, numbers);
        for (int i = 0; i < count; i++)
            CPU_SET_S((size_t)numbers[i], size, set);
        free(numbers);
    }
    /* Clang's library has places where it binds nothing. */
    if (set && places && omp_get_proc_bind() != omp_proc_bind_false)
        sched_setaffinity(0, size, set);
    CPU_FREE(set);
}

const char *cpu_name(void) {
    static char name[128] = "unknown CPU";
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (colon && !strncmp(line, "model name", 10)) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file)
        fclose(file);
    return name;
}

const char *cpu_description(void) {
    static char text[256];
    enum cpu_feature vectors = cpu_vectors(), built_for = cpu_built_for();
    if (vectors == CPU_ANY)
        return cpu_name();
    int length = snprintf(text, sizeof text, "%s, %s", cpu_name(), cpu_feature_name(vectors));
    if (built_for < vectors)
        snprintf(text + length, sizeof text - (size_t)length, " (this program is built for %s)",
                 cpu_feature_name(built_for));
    return text;
}

double cpu_peak_memory(void) {
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lf", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    if (kilobytes > 0)
        return kilobytes * 1024;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}
