/* The arithmetic type of weights and activations: float, or double in the build that checks gradients. */
#ifndef SPHERENET_BASE_REAL_H
#define SPHERENET_BASE_REAL_H

#include <float.h>
#include <math.h>
#include <stddef.h>

#ifdef SN_DOUBLE
typedef double real;
#define REAL_NAME "F64" /* the safetensors data type */
#define REAL_LARGEST DBL_MAX
#define REAL_EPSILON 0x1p-53 /* 1 - REAL_EPSILON is the largest value below 1 */
#else
typedef float real;
#define REAL_NAME "F32"
#define REAL_LARGEST FLT_MAX
#define REAL_EPSILON 0x1p-24f
#endif

/* The value within [-limit, limit]; a NaN stays one. */
static inline real real_clamp(real value, real limit) {
    return value > limit ? limit : value < -limit ? -limit : value;
}

static inline real real_abs(real value) {
    return (real)fabs((double)value); /* which the compiler computes in real */
}

/* A count of reals rounded up to whole cache lines (of 64 bytes of float). */
static inline size_t real_aligned(size_t reals) {
    return (reals + 15) / 16 * 16;
}

#endif
