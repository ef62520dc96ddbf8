/* Element-wise functions over arrays. vmath.c is compiled so that the compiler uses the C library's vector forms
 * (libmvec, within 4 units in the last place); elsewhere it falls back on the scalar ones. y may be x. */
#ifndef SPHERENET_KERNEL_VMATH_H
#define SPHERENET_KERNEL_VMATH_H

#include "base/real.h"

void vmath_asin(real *y, const real *x, int count); /* |x| <= 1 */
void vmath_tanh(real *y, const real *x, int count);
void vmath_atanh(real *y, const real *x, int count); /* |x| < 1 */
void vmath_sin_cos(real *sine, real *cosine, const real *x, int count);

#endif
