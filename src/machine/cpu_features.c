#include "machine/cpu.h"

#if defined __x86_64__
#include <cpuid.h>
#elif defined __aarch64__
#include <sys/auxv.h>
#endif

#if defined __x86_64__
/* Bits that __builtin_cpu_supports does not know; of instructions that need nothing from the system. */
static bool has_3dnow(void) {
    unsigned a, b, c, d;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && d >> 31 & 1;
}

static bool has_amx(void) {
    unsigned a, b, c, d;
    const unsigned amx_bf16 = 1u << 22, avx512_fp16 = 1u << 23, both = amx_bf16 | avx512_fp16;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & both) == both; /* as kernels for AMX are compiled */
}

bool cpu_has(enum cpu_feature feature) {
    __builtin_cpu_init();
    switch (feature) {
    case CPU_ANY:
    case CPU_SSE:
        return true;
    case CPU_3DNOW:
        return has_3dnow();
    case CPU_SSSE3:
        return __builtin_cpu_supports("ssse3");
    case CPU_SSE4:
        return __builtin_cpu_supports("sse4.2");
    case CPU_AVX:
        return __builtin_cpu_supports("avx");
    case CPU_FMA4:
        return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma4");
    case CPU_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CPU_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    case CPU_AVX512_BF16:
        return cpu_has(CPU_AVX512) && __builtin_cpu_supports("avx512bf16");
    case CPU_AMX:
        return cpu_has(CPU_AVX512_BF16) && has_amx();
    default:
        return false;
    }
}

enum cpu_feature cpu_vectors(void) {
    return cpu_has(CPU_AVX512) ? CPU_AVX512 : cpu_has(CPU_AVX2) ? CPU_AVX2 : cpu_has(CPU_AVX) ? CPU_AVX : CPU_SSE;
}

enum cpu_feature cpu_built_for(void) {
#if defined __AVX512VL__ && defined __AVX512BW__ && defined __AVX512DQ__
    return CPU_AVX512;
#elif defined __AVX2__ && defined __FMA__
    return CPU_AVX2;
#elif defined __AVX__
    return CPU_AVX;
#else
    return CPU_SSE;
#endif
}

#elif defined __aarch64__

bool cpu_has(enum cpu_feature feature) {
    const unsigned long hwcap_sve = 1ul << 22;
    return feature == CPU_ANY || feature == CPU_NEON || (feature == CPU_SVE && getauxval(AT_HWCAP) & hwcap_sve);
}

enum cpu_feature cpu_vectors(void) {
    return cpu_has(CPU_SVE) ? CPU_SVE : CPU_NEON;
}

/* SVE leaves the width open, and on most CPUs it is NEON's: nothing is lost without it that is worth a word. */
enum cpu_feature cpu_built_for(void) {
    return cpu_vectors();
}

#else

bool cpu_has(enum cpu_feature feature) {
    return feature == CPU_ANY;
}

enum cpu_feature cpu_vectors(void) {
    return CPU_ANY;
}

enum cpu_feature cpu_built_for(void) {
    return CPU_ANY;
}

#endif

const char *cpu_feature_name(enum cpu_feature feature) {
    static const char *const names[] = {
        [CPU_ANY] = "no vectors",
        [CPU_SSE] = "SSE",
        [CPU_AVX] = "AVX",
        [CPU_AVX2] = "AVX2",
        [CPU_AVX512] = "AVX-512",
        [CPU_NEON] = "NEON",
        [CPU_SVE] = "SVE",
        [CPU_3DNOW] = "3DNow!",
        [CPU_SSSE3] = "SSSE3",
        [CPU_SSE4] = "SSE4.2",
        [CPU_FMA4] = "FMA4",
        [CPU_AMX] = "AMX",
        [CPU_AVX512_BF16] = "AVX-512 BF16",
    };
    return names[feature];
}
