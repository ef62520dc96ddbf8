#include "kernel/vmath.h"

#include <math.h>

#ifdef SN_DOUBLE
#define ASIN asin
#define TANH tanh
#else
#define ASIN asinf
#define TANH tanhf
#endif

void vmath_asin(real *y, const real *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = ASIN(x[i]);
}

void vmath_tanh(real *y, const real *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = TANH(x[i]);
}
