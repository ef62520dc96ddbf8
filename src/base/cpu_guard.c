/* Compiled for every x86-64 CPU, unlike all other files: the Makefile sees to it. */
#include "base/cpu_guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __x86_64__

const char *cpu_guard_lacks(uint32_t needs) {
    __builtin_cpu_init();
    const struct {
        const char *name;
        bool here;
    } sets[] = {
        [SET_SSE3] = {"SSE3", __builtin_cpu_supports("sse3")},
        [SET_SSSE3] = {"SSSE3", __builtin_cpu_supports("ssse3")},
        [SET_SSE4_1] = {"SSE4.1", __builtin_cpu_supports("sse4.1")},
        [SET_SSE4_2] = {"SSE4.2", __builtin_cpu_supports("sse4.2")},
        [SET_POPCNT] = {"POPCNT", __builtin_cpu_supports("popcnt")},
        [SET_AVX] = {"AVX", __builtin_cpu_supports("avx")},
        [SET_FMA] = {"FMA", __builtin_cpu_supports("fma")},
        [SET_BMI] = {"BMI", __builtin_cpu_supports("bmi")},
        [SET_BMI2] = {"BMI2", __builtin_cpu_supports("bmi2")},
        [SET_AVX2] = {"AVX2", __builtin_cpu_supports("avx2")},
        [SET_AVX512F] = {"AVX-512", __builtin_cpu_supports("avx512f")},
        [SET_AVX512CD] = {"AVX-512 CD", __builtin_cpu_supports("avx512cd")},
        [SET_AVX512BW] = {"AVX-512 BW", __builtin_cpu_supports("avx512bw")},
        [SET_AVX512DQ] = {"AVX-512 DQ", __builtin_cpu_supports("avx512dq")},
        [SET_AVX512VL] = {"AVX-512 VL", __builtin_cpu_supports("avx512vl")},
        [SET_AVX512VNNI] = {"AVX-512 VNNI", __builtin_cpu_supports("avx512vnni")},
        [SET_AVX512BF16] = {"AVX-512 BF16", __builtin_cpu_supports("avx512bf16")},
        [SET_FMA4] = {"FMA4", __builtin_cpu_supports("fma4")},
        [SET_XOP] = {"XOP", __builtin_cpu_supports("xop")},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (needs >> i & 1 && !sets[i].here)
            return sets[i].name;
    return NULL;
}

/* Runs before main, in which any instruction might be one of those. */
static void __attribute__((constructor(101))) guard(void) {
    const char *lacking = cpu_guard_lacks(cpu_guard_needs);
    if (!lacking)
        return;
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const char *level = avx2 ? "-v3" : __builtin_cpu_supports("sse4.2") ? "-v2" : "";
    dprintf(STDERR_FILENO,
            "spherenet: this program is built for CPUs with %s, which this CPU does not have; build it on this machine "
            "with `make`, or elsewhere with `make ARCH=x86-64%s`\n",
            lacking, level);
    _exit(EXIT_FAILURE);
}

#else

const char *cpu_guard_lacks(uint32_t needs) {
    (void)needs;
    return NULL;
}

#endif
