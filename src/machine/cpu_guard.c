/* Compiled for every x86-64 CPU, unlike all other files: the Makefile sees to it. */
#include "machine/cpu_guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __x86_64__

#include <cpuid.h>

/* For the sets that have no name in __builtin_cpu_supports of every compiler, and their bits none in <cpuid.h>. */
static const unsigned movbe_bit = 1u << 22, f16c_bit = 1u << 29, lzcnt_bit = 1u << 5;

static bool cpuid_has(unsigned leaf, unsigned ecx_bit) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(leaf, &eax, &ebx, &ecx, &edx) && ecx & ecx_bit;
}

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
        [SET_LZCNT] = {"LZCNT", cpuid_has(0x80000001, lzcnt_bit)},
        [SET_MOVBE] = {"MOVBE", cpuid_has(1, movbe_bit)},
        [SET_AVX] = {"AVX", __builtin_cpu_supports("avx")},
        [SET_F16C] = {"F16C", __builtin_cpu_supports("avx") && cpuid_has(1, f16c_bit)},
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
        [SET_AVX512VBMI] = {"AVX-512 VBMI", __builtin_cpu_supports("avx512vbmi")},
        [SET_AVX512VBMI2] = {"AVX-512 VBMI2", __builtin_cpu_supports("avx512vbmi2")},
        [SET_AVX512BITALG] = {"AVX-512 BITALG", __builtin_cpu_supports("avx512bitalg")},
        [SET_AVX512VPOPCNTDQ] = {"AVX-512 VPOPCNTDQ", __builtin_cpu_supports("avx512vpopcntdq")},
        [SET_FMA4] = {"FMA4", __builtin_cpu_supports("fma4")},
        [SET_XOP] = {"XOP", __builtin_cpu_supports("xop")},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (needs >> i & 1 && !sets[i].here)
            return sets[i].name;
    return NULL;
}

/* What x86-64-v2 and x86-64-v3 consist of. */
enum {
    LEVEL_2 = 1u << SET_SSE3 | 1u << SET_SSSE3 | 1u << SET_SSE4_1 | 1u << SET_SSE4_2 | 1u << SET_POPCNT,
    LEVEL_3 = LEVEL_2 | 1u << SET_LZCNT | 1u << SET_MOVBE | 1u << SET_AVX | 1u << SET_F16C | 1u << SET_FMA |
              1u << SET_BMI | 1u << SET_BMI2 | 1u << SET_AVX2
};

/* Runs before main, in which any instruction might be one of those. */
static void __attribute__((constructor(101))) guard(void) {
    const char *lacking = cpu_guard_lacks(cpu_guard_needs);
    if (!lacking)
        return;
    const char *level = !cpu_guard_lacks(LEVEL_3) ? "-v3" : !cpu_guard_lacks(LEVEL_2) ? "-v2" : "";
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
