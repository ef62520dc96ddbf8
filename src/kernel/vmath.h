/* Element-wise functions over arrays, within 4 units in the last place (asin_slope: of 1 - c^2 rounded): the C
 * library's vector forms (libmvec), which vmath.c is compiled to use where there are any, and polynomials where they
 * do. y may be x. */
#ifndef SPHERENET_KERNEL_VMATH_H
#define SPHERENET_KERNEL_VMATH_H

#include <math.h>

#include "base/real.h"

void vmath_asin(real *y, const real *x, int count); /* |x| <= 1 */
void vmath_tanh(real *y, const real *x, int count);
void vmath_atanh(real *y, const real *x, int count);      /* |x| < 1 */
void vmath_sin(real *y, const real *x, int count);        /* |x| <= pi/2 */
void vmath_asin_slope(real *y, const real *c, int count); /* 1 / sqrt(1 - c^2), |c| < 1 */

/* The same functions of one small value, for loops that do more than one of them at a time. In float each is a
 * polynomial, in double the C library's. */
#define VMATH_SMALL_ASIN ((real)0.5)
#define VMATH_SMALL_TANH ((real)1)
#define VMATH_SMALL_ATANH ((real)0.5)
#define VMATH_SMALL_SIN ((real)1.57079632679489662)
#define VMATH_SMALL_SEC ((real)0.52359877559829887)

#ifdef SN_DOUBLE

static inline double vmath_small_asin(double x) {
    return asin(x);
}

static inline double vmath_small_tanh(double x) {
    return tanh(x);
}

static inline double vmath_small_atanh(double x) {
    return atanh(x);
}

static inline double vmath_small_sin(double x) {
    return sin(x);
}

static inline double vmath_small_sec(double x) {
    return 1 / cos(x);
}

#else

/* All are x + x z p(z), z = x^2, and sec 1 + z p(z), fitted to the function by least squares of the relative error on
 * Chebyshev's points of the range. Before rounding they are off by 5.1e-9 (asin), 2.5e-9 (tanh), 1.5e-9
 * (atanh), 2.5e-11 (sin) and 3.0e-9 (sec). */

/* asin x - x */
static inline float vmath_asin_tail(float x) {
    float z = x * x, p = 0.04209503796325647F;
    p = 0.024220510032691257F + z * p;
    p = 0.04546249911306297F + z * p;
    p = 0.07495353339645787F + z * p;
    p = 0.1666675148886696F + z * p;
    return x * z * p;
}

static inline float vmath_small_asin(float x) {
    return x + vmath_asin_tail(x);
}

static inline float vmath_small_tanh(float x) {
    float z = x * x, p = 0.00012039187276968732F;
    p = -0.0008367857662960887F + z * p;
    p = 0.003071458777412772F + z * p;
    p = -0.008589019067585468F + z * p;
    p = 0.02178184688091278F + z * p;
    p = -0.05395236238837242F + z * p;
    p = 0.13333190977573395F + z * p;
    p = -0.333333283662796F + z * p;
    return x + x * z * p;
}

static inline float vmath_small_atanh(float x) {
    float z = x * x, p = 0.1762636237998167F;
    p = 0.051661334664964705F + z * p;
    p = 0.11815862481412236F + z * p;
    p = 0.14223663099958647F + z * p;
    p = 0.20002475895445376F + z * p;
    p = 0.33333300614524297F + z * p;
    return x + x * z * p;
}

static inline float vmath_small_sin(float x) {
    float z = x * x, p = -2.3886095818295588e-08F;
    p = 2.752520185289439e-06F + z * p;
    p = -0.0001984086402236364F + z * p;
    p = 0.008333331069178768F + z * p;
    p = -0.16666666624906826F + z * p;
    return x + x * z * p;
}

static inline float vmath_small_sec(float x) {
    float z = x * x, p = 0.01959499903023243F;
    p = 0.032528698444366455F + z * p;
    p = 0.08497849106788635F + z * p;
    p = 0.2083178162574768F + z * p;
    p = 0.5000002980232239F + z * p;
    return 1 + z * p;
}

#endif

#endif
