/* Element-wise functions over arrays, within 4 units in the last place (asin_slope: of 1 - c^2 rounded): the C
 * library's vector forms (libmvec), which vmath.c is compiled to use where there are any, and polynomials where they
 * do. y may be x. */
#ifndef SPHERENET_KERNEL_VMATH_H
#define SPHERENET_KERNEL_VMATH_H

#include "base/real.h"

void vmath_asin(real *y, const real *x, int count); /* |x| <= 1 */
void vmath_tanh(real *y, const real *x, int count);
void vmath_atanh(real *y, const real *x, int count);      /* |x| < 1 */
void vmath_sin(real *y, const real *x, int count);        /* |x| <= pi/2 */
void vmath_asin_slope(real *y, const real *c, int count); /* 1 / sqrt(1 - c^2), |c| < 1 */

#endif
