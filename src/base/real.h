/* The arithmetic type of weights and activations: float, or double in the build that checks gradients. */
#ifndef SPHERENET_BASE_REAL_H
#define SPHERENET_BASE_REAL_H

#ifdef SN_DOUBLE
typedef double real;
#define REAL_NAME "F64"      /* the safetensors data type */
#define REAL_EPSILON 0x1p-53 /* 1 - REAL_EPSILON is the largest value below 1 */
#else
typedef float real;
#define REAL_NAME "F32"
#define REAL_EPSILON 0x1p-24f
#endif

#endif
