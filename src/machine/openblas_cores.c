#include "machine/openblas_cores.h"

#include <stddef.h>
#include <strings.h>

const struct blas_core blas_cores[] = {
#if defined __x86_64__
    {"Prescott", CPU_SSE, CPU_SSE},
    {"Core2", CPU_SSE, CPU_SSSE3},
    {"Nehalem", CPU_SSE, CPU_SSE4},
    {"Barcelona", CPU_SSE, CPU_SSE},
    {"Opteron", CPU_SSE, CPU_3DNOW},
    {"Opteron_SSE3", CPU_SSE, CPU_3DNOW},
    {"Sandybridge", CPU_AVX, CPU_AVX},
    {"Bulldozer", CPU_AVX, CPU_FMA4},
    {"Piledriver", CPU_AVX, CPU_FMA4},
    {"Steamroller", CPU_AVX, CPU_FMA4},
    {"Excavator", CPU_AVX, CPU_FMA4},
    {"Haswell", CPU_AVX2, CPU_AVX2},
    {"Zen", CPU_AVX2, CPU_AVX2},
    {"SkylakeX", CPU_AVX512, CPU_AVX512},
    {"Cooperlake", CPU_AVX512, CPU_AVX512_BF16},
    {"SapphireRapids", CPU_AVX512, CPU_AMX},
#elif defined __aarch64__
    {"armv8", CPU_NEON, CPU_NEON},    {"neoversen1", CPU_NEON, CPU_NEON}, {"neoversev1", CPU_SVE, CPU_SVE},
    {"neoversen2", CPU_SVE, CPU_SVE}, {"neoversev2", CPU_SVE, CPU_SVE},   {"armv8sve", CPU_SVE, CPU_SVE},
    {"a64fx", CPU_SVE, CPU_SVE},
#endif
    {NULL, CPU_ANY, CPU_ANY},
};

_Static_assert(sizeof blas_cores / sizeof *blas_cores <= MOST_BLAS_CORES, "MOST_BLAS_CORES is too small");

const struct blas_core *blas_core_find(const char *name) {
    for (const struct blas_core *core = blas_cores; core->name; core++)
        if (!strcasecmp(core->name, name))
            return core;
    return NULL;
}
