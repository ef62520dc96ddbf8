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

/* --- Polynomials where they serve ------------------------------------------------------------------------------- */

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
        float tail = vmath_asin_tail(half), missing = 2.1855694e-08F; /* of pi/4 in float */
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
    IN_PIECES(vmath_small_asin, VMATH_SMALL_ASIN, asin_of_any)
}

void vmath_tanh(float *y, const float *x, int count) {
    IN_PIECES(vmath_small_tanh, VMATH_SMALL_TANH, library_tanh)
}

void vmath_atanh(float *y, const float *x, int count) {
    IN_PIECES(vmath_small_atanh, VMATH_SMALL_ATANH, library_atanh)
}

void vmath_sin(float *y, const float *x, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++)
        y[i] = vmath_small_sin(x[i]);
}

#endif
