#include "op/angular.h"

#include <math.h>
#include <string.h>

#include "kernel/vmath.h"

#define TWO_OVER_PI 0.63661977236758134

/* --- cosine ------------------------------------------------------------------------------------------------------ */

static void cosine_value(real *g, const real *c, const struct angular_coefficients *k, int count, real *work) {
    (void)k, (void)work;
    memmove(g, c, (size_t)count * sizeof *g);
}

static void cosine_slope(real *g, real *slope, real *k_slope, const real *c, const struct angular_coefficients *k,
                         int count, real *work) {
    (void)k_slope;
    cosine_value(g, c, k, count, work);
    for (int i = 0; i < count; i++)
        slope[i] = 1;
}

static const struct angular cosine = {
    .kind = {.name = "cosine", .help = "cos theta"},
    .identity = true,
    .value = cosine_value,
    .slope = cosine_slope,
};

/* --- linear ------------------------------------------------------------------------------------------------------ */

static void clamp(real *clamped, const real *c, int count) {
    const real limit = (real)(1 - ANGULAR_CLAMP);
#pragma omp simd
    for (int i = 0; i < count; i++)
        clamped[i] = c[i] > limit ? limit : c[i] < -limit ? -limit : c[i];
}

/* clamped[i] = c clamped, angle[i] = pi/2 - theta */
static void angles(real *clamped, real *angle, const real *c, int count) {
    clamp(clamped, c, count);
    vmath_asin(angle, clamped, count);
}

/* d asin(c) / dc */
static inline real asin_slope(real c) {
    return 1 / (real)sqrt((1 - c) * (1 + c));
}

static void linear_value(real *g, const real *c, const struct angular_coefficients *k, int count, real *work) {
    (void)k;
    angles(work, g, c, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= (real)TWO_OVER_PI;
}

static void linear_slope(real *g, real *slope, real *k_slope, const real *c, const struct angular_coefficients *k,
                         int count, real *work) {
    (void)k, (void)k_slope;
    angles(work, g, c, count);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        g[i] *= (real)TWO_OVER_PI;
        slope[i] = (real)TWO_OVER_PI * asin_slope(work[i]);
    }
}

static const struct angular linear = {
    .kind = {.name = "linear", .help = "1 - 2 theta / pi"},
    .value = linear_value,
    .slope = linear_slope,
};

/* --- sigmoid ----------------------------------------------------------------------------------------------------- */

/* work[0..count) = c clamped, angle = pi/2 - theta, g = tanh(angle * steepness) */
static void sigmoid_tanh(real *g, real *angle, const real *c, const struct angular_coefficients *k, int count,
                         real *work) {
    angles(work, angle, c, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] = angle[i] * k->steepness[i];
    vmath_tanh(g, g, count);
}

static void sigmoid_value(real *g, const real *c, const struct angular_coefficients *k, int count, real *work) {
    sigmoid_tanh(g, work + count, c, k, count, work);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= k->height[i];
}

static void sigmoid_slope(real *g, real *slope, real *k_slope, const real *c, const struct angular_coefficients *k,
                          int count, real *work) {
    (void)k_slope;
    sigmoid_tanh(g, work + count, c, k, count, work);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        slope[i] = k->height[i] * (1 - g[i] * g[i]) * k->steepness[i] * asin_slope(work[i]);
        g[i] *= k->height[i];
    }
}

/* With u = angle/(2k) and A = coth(pi/(4k)): dg/dk = A' tanh u - A (1 - tanh^2 u) u / k, and u/k = 2 angle / (2k)^2. */
static void learnable_slope(real *g, real *slope, real *k_slope, const real *c, const struct angular_coefficients *k,
                            int count, real *work) {
    real *angle = work + count;
    sigmoid_tanh(g, angle, c, k, count, work);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        real falloff = k->height[i] * (1 - g[i] * g[i]) * k->steepness[i];
        slope[i] = falloff * asin_slope(work[i]);
        k_slope[i] = k->height_slope[i] * g[i] - 2 * falloff * angle[i] * k->steepness[i];
        g[i] *= k->height[i];
    }
}

static const struct angular sigmoid = {
    .kind = {.name = "sigmoid", .help = "coth(pi/4k) tanh((pi/2 - theta)/2k), k fixed"},
    .uses_k = true,
    .value = sigmoid_value,
    .slope = sigmoid_slope,
};

static const struct angular learnable_sigmoid = {
    .kind = {.name = "learnable_sigmoid", .help = "the same, k trained"},
    .uses_k = true,
    .trains_k = true,
    .value = sigmoid_value,
    .slope = learnable_slope,
};

/* --- the table --------------------------------------------------------------------------------------------------- */

static const struct kind *const rows[] = {&cosine.kind, &linear.kind, &sigmoid.kind, &learnable_sigmoid.kind, NULL};

const struct registry angular_registry = {.noun = "angular activation", .rows = rows};

/* A = coth(q) with q = pi/(4k); dA/dk = pi/(4k^2) / sinh^2 q. For large q both are at their limits. */
void angular_set_k(const struct angular_coefficients *coefficients, int filter, double k) {
    double q = 0.78539816339744831 / k;
    double sinh_q = sinh(q > 300 ? 300 : q);
    coefficients->steepness[filter] = (real)(1 / (2 * k));
    coefficients->height[filter] = (real)(1 / tanh(q));
    coefficients->height_slope[filter] = (real)(q / k / (sinh_q * sinh_q));
}
