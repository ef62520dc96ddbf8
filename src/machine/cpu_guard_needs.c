/* Compiled as all other files are, so that it can tell what for; holds no code, since code might not run. */
#include "machine/cpu_guard.h"

/* clang-format off */
const uint32_t cpu_guard_needs = 0
#ifdef __SSE3__
    | 1u << SET_SSE3
#endif
#ifdef __SSSE3__
    | 1u << SET_SSSE3
#endif
#ifdef __SSE4_1__
    | 1u << SET_SSE4_1
#endif
#ifdef __SSE4_2__
    | 1u << SET_SSE4_2
#endif
#ifdef __POPCNT__
    | 1u << SET_POPCNT
#endif
#ifdef __LZCNT__
    | 1u << SET_LZCNT
#endif
#ifdef __MOVBE__
    | 1u << SET_MOVBE
#endif
#ifdef __AVX__
    | 1u << SET_AVX
#endif
#ifdef __F16C__
    | 1u << SET_F16C
#endif
#ifdef __FMA__
    | 1u << SET_FMA
#endif
#ifdef __BMI__
    | 1u << SET_BMI
#endif
#ifdef __BMI2__
    | 1u << SET_BMI2
#endif
#ifdef __AVX2__
    | 1u << SET_AVX2
#endif
#ifdef __AVX512F__
    | 1u << SET_AVX512F
#endif
#ifdef __AVX512CD__
    | 1u << SET_AVX512CD
#endif
#ifdef __AVX512BW__
    | 1u << SET_AVX512BW
#endif
#ifdef __AVX512DQ__
    | 1u << SET_AVX512DQ
#endif
#ifdef __AVX512VL__
    | 1u << SET_AVX512VL
#endif
#ifdef __AVX512VNNI__
    | 1u << SET_AVX512VNNI
#endif
#ifdef __AVX512BF16__
    | 1u << SET_AVX512BF16
#endif
#ifdef __AVX512VBMI__
    | 1u << SET_AVX512VBMI
#endif
#ifdef __AVX512VBMI2__
    | 1u << SET_AVX512VBMI2
#endif
#ifdef __AVX512BITALG__
    | 1u << SET_AVX512BITALG
#endif
#ifdef __AVX512VPOPCNTDQ__
    | 1u << SET_AVX512VPOPCNTDQ
#endif
#ifdef __FMA4__
    | 1u << SET_FMA4
#endif
#ifdef __XOP__
    | 1u << SET_XOP
#endif
    ;
