#include "kernel/vmath.h"

#include <math.h>

#ifdef SN_DOUBLE
#define ASIN asin
#define TANH tanh
#define ATANH atanh
#define SIN sin
#define COS cos
#else
#define ASIN asinf
#define TANH tanhf
#define ATANH atanhf
#define SIN sinf
#define COS cosf
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

void vmath_atanh(real *y, const real *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = ATANH(x[i]);
}

void vmath_sin_cos(real *sine, real *cosine, const real *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) {
        sine[i] = SIN(x[i]);
        cosine[i] = COS(x[i]);
    }
}
