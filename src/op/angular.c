#include "op/angular.h"

#include <math.h>
#include <string.h>

#include "kernel/vmath.h"

#define TWO_OVER_PI 0.63661977236758134

#define HALF_PI 1.57079632679489662

/* Most filters are nearly perpendicular to most patches. Where polynomials serve for all of them, one loop of these
 * takes a value all the way; else each function has its loop. */

static inline __attribute__((always_inline)) real cosine_of(const struct angular_cosines *c, int i) {
    return c->dots[i] * c->x_inverse * c->w_inverse[i];
}

/* limits NULL, which is known to the compiler where these are called: limit holds for all. */
static inline __attribute__((always_inline)) bool all_within(const real *values, const real *limits, real limit,
                                                             int count) {
    int beyond = 0;
#pragma omp simd reduction(| : beyond)
    for (int i = 0; i < count; i++)
        beyond |= real_abs(values[i]) > (limits ? limits[i] : limit);
    return !beyond;
}

static inline __attribute__((always_inline)) bool cosines_within(const struct angular_cosines *cosines,
                                                                 const real *limits, real limit, int count) {
    const struct angular_cosines c = *cosines;
    int beyond = 0;
#pragma omp simd reduction(| : beyond)
    for (int i = 0; i < count; i++)
        beyond |= real_abs(cosine_of(&c, i)) > (limits ? limits[i] : limit);
    return !beyond;
}

/* --- cosine ------------------------------------------------------------------------------------------------------ */

static void cosine_value(real *g, const struct angular_cosines *cosines, const struct angular_coefficients *k,
                         int count) {
    const struct angular_cosines c = *cosines;
    (void)k;
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] = real_clamp(cosine_of(&c, i), 1);
}

static void cosine_slope(real *c, real *slope, real *k_slope, const real *g, const struct angular_coefficients *k,
                         int count) {
    (void)k_slope, (void)k;
    memmove(c, g, (size_t)count * sizeof *c);
    for (int i = 0; i < count; i++)
        slope[i] = 1;
}

static double cosine_at(double theta, double k, double *slope, double *k_slope) {
    (void)k;
    *k_slope = 0;
    *slope = -sin(theta);
    return cos(theta);
}

const struct angular angular_cosine = {
    .kind = {.name = "cosine", .help = "cos theta"},
    .identity = true,
    .value = cosine_value,
    .slope = cosine_slope,
    .at = cosine_at,
};

/* --- linear ------------------------------------------------------------------------------------------------------ */

/* angle[i] = pi/2 - theta of c clamped */
static void angles(real *angle, const struct angular_cosines *cosines, int count) {
    const struct angular_cosines c = *cosines;
    const real limit = (real)(1 - ANGULAR_CLAMP);
#pragma omp simd
    for (int i = 0; i < count; i++)
        angle[i] = real_clamp(cosine_of(&c, i), limit);
    vmath_asin(angle, angle, count);
}

/* The largest angle that comes from a clamped c: asin(1 - ANGULAR_CLAMP). */
#define LARGEST_ANGLE 1.5693821131146521

/* The cosines of clamped angles, and d asin(c) / dc; angle may be asin_slope. */
static void cosines(real *c, real *asin_slope, const real *angle, int count) {
    const real limit = (real)LARGEST_ANGLE;
#pragma omp simd
    for (int i = 0; i < count; i++)
        c[i] = real_clamp(angle[i], limit);
    vmath_sin(c, c, count);
    vmath_asin_slope(asin_slope, c, count);
}

static void linear_value(real *g, const struct angular_cosines *cosines, const struct angular_coefficients *k,
                         int count) {
    const struct angular_cosines c = *cosines;
    (void)k;
    if (cosines_within(&c, NULL, VMATH_SMALL_ASIN, count)) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] = vmath_small_asin(cosine_of(&c, i)) * (real)TWO_OVER_PI;
        return;
    }
    angles(g, &c, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= (real)TWO_OVER_PI;
}

static void linear_slope(real *c, real *slope, real *k_slope, const real *g, const struct angular_coefficients *k,
                         int count) {
    (void)k, (void)k_slope;
    if (all_within(g, NULL, VMATH_SMALL_SEC * (real)TWO_OVER_PI, count)) {
#pragma omp simd
        for (int i = 0; i < count; i++) {
            real angle = g[i] * (real)HALF_PI;
            c[i] = vmath_small_sin(angle);
            slope[i] = vmath_small_sec(angle) * (real)TWO_OVER_PI;
        }
        return;
    }
#pragma omp simd
    for (int i = 0; i < count; i++)
        slope[i] = g[i] * (real)HALF_PI;
    cosines(c, slope, slope, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        slope[i] *= (real)TWO_OVER_PI;
}

static double linear_at(double theta, double k, double *slope, double *k_slope) {
    (void)k;
    *k_slope = 0;
    *slope = -TWO_OVER_PI;
    return 1 - TWO_OVER_PI * theta;
}

static const struct angular linear = {
    .kind = {.name = "linear", .help = "1 - 2 theta / pi"},
    .value = linear_value,
    .slope = linear_slope,
    .at = linear_at,
};

/* --- sigmoid ----------------------------------------------------------------------------------------------------- */

/* A = coth(q) with q = pi/(4k); dA/dk = pi/(4k^2) / sinh^2 q. For large q both are at their limits. */
static double quarter_turn(double k) {
    return HALF_PI / 2 / k;
}

static double height_slope(double k) {
    double q = quarter_turn(k), sinh_q = sinh(q > 300 ? 300 : q);
    return q / k / (sinh_q * sinh_q);
}

static void sigmoid_value(real *g, const struct angular_cosines *cosines, const struct angular_coefficients *k,
                          int count) {
    const struct angular_cosines c = *cosines;
    if (cosines_within(&c, k->small_c, 0, count)) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] = vmath_small_tanh(vmath_small_asin(cosine_of(&c, i)) * k->steepness[i]) * k->height[i];
        return;
    }
    angles(g, &c, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= k->steepness[i];
    vmath_tanh(g, g, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= k->height[i];
}

/* dg/dc = dg/dangle / cos angle, dg/dangle = A (1 - tanh^2 u) / (2k) = slope_in_angle. With u = angle/(2k) and
 * A = coth(pi/(4k)): dg/dk = A' tanh u - A (1 - tanh^2 u) u / k, and u/k = 2 angle / (2k)^2. */
static inline real slope_in_angle(real tanh_u, const struct angular_coefficients *k, int i) {
    return k->height[i] * (1 - tanh_u) * (1 + tanh_u) * k->steepness[i];
}

static inline real slope_in_k(real tanh_u, real angle, const struct angular_coefficients *k, int i) {
    return k->height_slope[i] * tanh_u - 2 * slope_in_angle(tanh_u, k, i) * angle * k->steepness[i];
}

/* trains_k is known to the compiler where this is called. */
static inline __attribute__((always_inline)) void small_sigmoid_slope(real *c, real *slope, real *k_slope,
                                                                      const real *g,
                                                                      const struct angular_coefficients *k, int count,
                                                                      bool trains_k) {
#pragma omp simd
    for (int i = 0; i < count; i++) {
        real t = g[i] * k->inverse_height[i], angle = vmath_small_atanh(t) * k->width[i];
        c[i] = vmath_small_sin(angle);
        slope[i] = slope_in_angle(t, k, i) * vmath_small_sec(angle);
        if (trains_k)
            k_slope[i] = slope_in_k(t, angle, k, i);
    }
}

/* Where tanh has rounded to 1 the angle is lost, but so is the slope: the largest value below 1 stands in. */
static void large_sigmoid_slope(real *c, real *slope, real *k_slope, const real *g,
                                const struct angular_coefficients *k, int count) {
    const real limit = 1 - REAL_EPSILON;
    real angle_slope[count], *tanh_u = c, *angle = slope;
#pragma omp simd
    for (int i = 0; i < count; i++)
        tanh_u[i] = real_clamp(g[i] * k->inverse_height[i], limit);
    vmath_atanh(angle, tanh_u, count);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        angle[i] *= k->width[i];
        angle_slope[i] = slope_in_angle(tanh_u[i], k, i);
        k_slope[i] = slope_in_k(tanh_u[i], angle[i], k, i);
    }
    cosines(c, slope, angle, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        slope[i] *= angle_slope[i];
}

static void sigmoid_slope(real *c, real *slope, real *k_slope, const real *g, const struct angular_coefficients *k,
                          int count) {
    if (all_within(g, k->small_g, 0, count))
        small_sigmoid_slope(c, slope, k_slope, g, k, count, false);
    else
        large_sigmoid_slope(c, slope, k_slope, g, k, count);
}

static void learnable_sigmoid_slope(real *c, real *slope, real *k_slope, const real *g,
                                    const struct angular_coefficients *k, int count) {
    if (all_within(g, k->small_g, 0, count))
        small_sigmoid_slope(c, slope, k_slope, g, k, count, true);
    else
        large_sigmoid_slope(c, slope, k_slope, g, k, count);
}

static double sigmoid_at(double theta, double k, double *slope, double *k_slope) {
    double u = (HALF_PI - theta) / (2 * k), t = tanh(u), height = 1 / tanh(quarter_turn(k));
    double falloff = height * (1 - t) * (1 + t);
    *slope = -falloff / (2 * k);
    *k_slope = height_slope(k) * t - falloff * u / k;
    return height * t;
}

static const struct angular sigmoid = {
    .kind = {.name = "sigmoid", .help = "coth(pi/4k) tanh((pi/2 - theta)/2k), k fixed"},
    .uses_k = true,
    .value = sigmoid_value,
    .slope = sigmoid_slope,
    .at = sigmoid_at,
};

static const struct angular learnable_sigmoid = {
    .kind = {.name = "learnable_sigmoid", .help = "the same, k trained"},
    .uses_k = true,
    .trains_k = true,
    .value = sigmoid_value,
    .slope = learnable_sigmoid_slope,
    .at = sigmoid_at,
};

/* --- the table --------------------------------------------------------------------------------------------------- */

static const struct kind *const rows[] = {&angular_cosine.kind, &linear.kind, &sigmoid.kind, &learnable_sigmoid.kind,
                                          NULL};

const struct registry angular_registry = {.noun = "angular activation", .rows = rows};

void angular_set_k(const struct angular_coefficients *coefficients, int filter, double k) {
    coefficients->steepness[filter] = (real)(1 / (2 * k));
    coefficients->width[filter] = (real)(2 * k);
    coefficients->height[filter] = (real)(1 / tanh(quarter_turn(k)));
    coefficients->inverse_height[filter] = (real)tanh(quarter_turn(k));
    coefficients->height_slope[filter] = (real)height_slope(k);
    coefficients->small_c[filter] = (real)fmin(VMATH_SMALL_ASIN, sin(fmin(2 * k * VMATH_SMALL_TANH, HALF_PI)));
    double small_tanh = fmin(VMATH_SMALL_ATANH, tanh(VMATH_SMALL_SEC / (2 * k)));
    coefficients->small_g[filter] = (real)(small_tanh / tanh(quarter_turn(k)));
}
