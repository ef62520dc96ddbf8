#include "kernel/vmath.h"

#include <math.h>
#include <stdbool.h>

/* --- The C library's, four units in the last place --------------------------------------------------------------- */

#ifdef SN_DOUBLE
#define TANH tanh
#define ATANH atanh
#define SQRT sqrt
#else
#define TANH tanhf
#define ATANH atanhf
#define SQRT sqrtf
#endif

static void library_atanh(real *y, const real *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = ATANH(x[i]);
}

static void library_tanh(real *y, const real *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = TANH(x[i]);
}

void vmath_asin_slope(real *y, const real *c, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = 1 / SQRT((1 - c[i]) * (1 + c[i]));
}

#ifdef SN_DOUBLE

void vmath_asin(real *y, const real *x, int count) {
    for (int i = 0; i < count; i++)
        y[i] = asin(x[i]);
}

void vmath_tanh(real *y, const real *x, int count) {
    library_tanh(y, x, count);
}

void vmath_atanh(real *y, const real *x, int count) {
    library_atanh(y, x, count);
}

void vmath_sin(real *y, const real *x, int count) {
    for (int i = 0; i < count; i++)
        y[i] = sin(x[i]);
}

#else

/* --- Polynomials of our own -------------------------------------------------------------------------------------- */

/* All are x + x z p(z), z = x^2, where 1 + z p(z) is fitted to f(x)/x by least squares of the relative error on
 * Chebyshev's points. Before rounding they are off by 5.1e-9 (asin, |x| <= 1/2), 2.5e-9 (tanh, |x| <= 1), 1.5e-9
 * (atanh, |x| <= 1/2) and 2.5e-11 (sin, |x| <= pi/2). */
/* asin x - x */
static inline float asin_tail(float x) {
    float z = x * x, p = 0.04209503796325647F;
    p = 0.024220510032691257F + z * p;
    p = 0.04546249911306297F + z * p;
    p = 0.07495353339645787F + z * p;
    p = 0.1666675148886696F + z * p;
    return x * z * p;
}

static inline float asin_polynomial(float x) {
    return x + asin_tail(x);
}

static inline float tanh_polynomial(float x) {
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

static inline float atanh_polynomial(float x) {
    float z = x * x, p = 0.1762636237998167F;
    p = 0.051661334664964705F + z * p;
    p = 0.11815862481412236F + z * p;
    p = 0.14223663099958647F + z * p;
    p = 0.20002475895445376F + z * p;
    p = 0.33333300614524297F + z * p;
    return x + x * z * p;
}

static inline float sin_polynomial(float x) {
    float z = x * x, p = -2.3886095818295588e-08F;
    p = 2.752520185289439e-06F + z * p;
    p = -0.0001984086402236364F + z * p;
    p = 0.008333331069178768F + z * p;
    p = -0.16666666624906826F + z * p;
    return x + x * z * p;
}

enum { PIECE = 64 }; /* values that go one way or the other together; most are small */

static int piece_size(int left) {
    return left < PIECE ? left : PIECE;
}

static bool within(const float *x, int count, float limit) {
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int i = 0; i < count; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    return largest <= limit;
}

/* Beyond 1/2: asin x = pi/2 - 2 asin sqrt((1 - x) / 2). */
static void asin_of_any(float *y, const float *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) {
        float size = fabsf(x[i]);
        bool large = size > 0.5F;
        float half = large ? sqrtf(0.5F * (1 - size)) : size;
        float tail = asin_tail(half), missing = 2.1855694e-08F; /* of pi/4 in float */
        y[i] = copysignf(large ? (float)M_PI_2 - 2 * half - 2 * (tail + missing) : half + tail, x[i]);
    }
}

/* In pieces: the polynomial where it serves for all of a piece, else what serves for any value. */
#define IN_PIECES(POLYNOMIAL, LIMIT, ANY)                                                                              \
    for (int first = 0; first < count; first += PIECE) {                                                               \
        int size = piece_size(count - first);                                                                          \
        if (!within(x + first, size, LIMIT)) {                                                                         \
            ANY(y + first, x + first, size);                                                                           \
            continue;                                                                                                  \
        }                                                                                                              \
        _Pragma("omp simd") for (int i = first; i < first + size; i++) y[i] = POLYNOMIAL(x[i]);                        \
    }

void vmath_asin(float *y, const float *x, int count) {
    IN_PIECES(asin_polynomial, 0.5F, asin_of_any)
}

void vmath_tanh(float *y, const float *x, int count) {
    IN_PIECES(tanh_polynomial, 1.0F, library_tanh)
}

void vmath_atanh(float *y, const float *x, int count) {
    IN_PIECES(atanh_polynomial, 0.5F, library_atanh)
}

void vmath_sin(float *y, const float *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = sin_polynomial(x[i]);
}

#endif
