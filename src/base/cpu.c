#define _GNU_SOURCE
#include "base/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Whole processors that a cgroup (version 2) allows, or `most`. */
static int cgroup_limit(int most) {
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    double quota, period;
    if (!file)
        return most;
    if (fscanf(file, "%lf %lf", &quota, &period) == 2 && period > 0 && quota / period < most)
        most = quota < period ? 1 : (int)(quota / period);
    fclose(file);
    return most;
}

int cpu_count(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return cgroup_limit(count);
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
