/* What the machine offers. */
#ifndef SPHERENET_BASE_CPU_H
#define SPHERENET_BASE_CPU_H

/* Processors this process may use: its affinity mask and its cgroup's limit. At least 1. */
int cpu_count(void);

/* The CPU's name as the system gives it, "unknown CPU" when it does not. */
const char *cpu_name(void);

/* Most memory this program has held so far, bytes. Not what getrusage says, which counts whoever started it, too. */
double cpu_peak_memory(void);

#endif
