/* The arithmetic type of weights and activations: float, or double in the build that checks gradients. */
#ifndef SPHERENET_BASE_REAL_H
#define SPHERENET_BASE_REAL_H

#ifdef SN_DOUBLE
typedef double real;
#define REAL_NAME "F64" /* the safetensors data type */
#else
typedef float real;
#define REAL_NAME "F32"
#endif

#endif
