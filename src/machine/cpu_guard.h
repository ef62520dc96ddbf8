/* A program that was built for another CPU says so, instead of dying of an instruction that this one does not have. */
#ifndef SPHERENET_MACHINE_CPU_GUARD_H
#define SPHERENET_MACHINE_CPU_GUARD_H

#include <stdint.h>

/* Instruction sets of x86-64 that a compiler may use unasked. */
enum instruction_set {
    SET_SSE3,
    SET_SSSE3,
    SET_SSE4_1,
    SET_SSE4_2,
    SET_POPCNT,
    SET_LZCNT,
    SET_MOVBE,
    SET_AVX,
    SET_F16C,
    SET_FMA,
    SET_BMI,
    SET_BMI2,
    SET_AVX2,
    SET_AVX512F,
    SET_AVX512CD,
    SET_AVX512BW,
    SET_AVX512DQ,
    SET_AVX512VL,
    SET_AVX512VNNI,
    SET_AVX512BF16,
    SET_AVX512VBMI,
    SET_AVX512VBMI2,
    SET_AVX512BITALG,
    SET_AVX512VPOPCNTDQ,
    SET_FMA4,
    SET_XOP,
};

/* One bit for each set that the program's files were compiled with. */
extern const uint32_t cpu_guard_needs;

/* The name of the first set among `needs` that this CPU lacks; NULL: it has them all. */
const char *cpu_guard_lacks(uint32_t needs);

#endif
