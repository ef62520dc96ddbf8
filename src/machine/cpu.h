/* What the machine offers. */
#ifndef SPHERENET_MACHINE_CPU_H
#define SPHERENET_MACHINE_CPU_H

#include <stdbool.h>

/* Processors this process may use: its affinity mask and its cgroups' limits. At least 1. */
int cpu_count(void);

/* With OMP_PROC_BIND or OMP_PLACES in the environment OpenMP binds the main thread to one of its places before main.
 * Lets the calling thread use all of them again. */
void cpu_unbind(void);

/* Processors, at most `most` and at least 1, that the quotas of this process's cgroups (version 1 or 2) and of all
 * above them allow. A part of a processor counts as a whole one: threads that share it lose less than one thread would
 * that leaves it idle. `root` goes before every path that is read: "" for the system itself. */
int cpu_quota(const char *root, int most);

/* The CPU's name as the system gives it, "unknown CPU" when it does not. */
const char *cpu_name(void);

/* The name, its widest vectors, and what the program is built for when that is less; one line in static memory. */
const char *cpu_description(void);

/* Instruction sets that kernels are written for. */
enum cpu_feature {
    CPU_ANY, /* no more than every CPU of its kind has; the vectors of a CPU that is neither x86-64 nor aarch64 */
    /* Vectors of x86-64: each does up to twice the work of the one before. */
    CPU_SSE,
    CPU_AVX,
    CPU_AVX2,   /* and FMA */
    CPU_AVX512, /* F, CD, BW, DQ and VL, as all CPUs with AVX-512 have but the Xeon Phi */
    /* Vectors of aarch64. */
    CPU_NEON,
    CPU_SVE,
    /* Others. */
    CPU_3DNOW,
    CPU_SSSE3,
    CPU_SSE4, /* 4.2 */
    CPU_FMA4,
    CPU_AVX512_BF16,
    CPU_AMX,
};

/* Whether the CPU, and the system for it, has the instructions. */
bool cpu_has(enum cpu_feature feature);
const char *cpu_feature_name(enum cpu_feature feature); /* "AVX-512" */

/* The widest vectors that the CPU has, and those that the compiler was told to use. */
enum cpu_feature cpu_vectors(void);
enum cpu_feature cpu_built_for(void);

/* Most memory this program has held so far, bytes. Not what getrusage says, which counts whoever started it, too. */
double cpu_peak_memory(void);

#endif
