/* The sigmoid activations, g = coth(pi/(4k)) tanh((pi/2 - theta)/(2k)). The shape is k: small is near a step, large
 * near linear. It is fixed or, in the learnable sigmoid, |k| + k_offset with k trained, one for each filter or for all;
 * the offset keeps it positive (the reference code's way). */
#include <string.h>

#include "kernel/vmath.h"
#include "op/angular.h"
#include "op/angular_cosines.h"

#define HALF_PI 1.57079632679489662

enum k_sharing { K_PER_FILTER, K_PER_LAYER };
static const char *const sharing_names[] = {"filter", "layer", NULL}; /* enum k_sharing */

struct sigmoid_config {
    double k;
};

static const struct param sigmoid_params[] = {
    REAL_KEY(struct sigmoid_config, k, "k", "0.3", 0.01, 100, "small is near a step, large near linear"),
    END_OF_KEYS,
};

struct learnable_config {
    double initial_k, k_offset;
    int k_shared; /* enum k_sharing */
};

static const struct param learnable_params[] = {
    REAL_KEY(struct learnable_config, initial_k, "initial_k", "0.7", -100, 100, "where k starts"),
    REAL_KEY(struct learnable_config, k_offset, "k_offset", "0.05", 0.01, 10, "effective k = |k| + k_offset"),
    ENUM_KEY(struct learnable_config, k_shared, "k_shared", "filter", sharing_names,
             "one k for each filter or for the layer"),
    END_OF_KEYS,
};

struct sigmoid {
    /* [filters]; g = height * tanh(asin(c) * steepness): */
    real *steepness, *width;       /* 1 / (2k), and 2k */
    real *height, *inverse_height; /* coth(pi / (4k)), and its inverse */
    real *height_slope;            /* d height / dk */
    real *small_c, *small_g;       /* up to these polynomials do for all that becomes of c and of g */
    /* Of the learnable sigmoid, [filters] or [1]: */
    real *k, *dk;
};

/* --- k ----------------------------------------------------------------------------------------------------------- */

static double fixed_k(const struct angular *a, int filter) {
    (void)filter;
    return ((const struct sigmoid_config *)a->config)->k;
}

static int index_of_k(const struct angular *a, int filter) {
    const struct learnable_config *config = a->config;
    return config->k_shared == K_PER_LAYER ? 0 : filter;
}

static double trained_k(const struct angular *a, int filter) {
    const struct learnable_config *config = a->config;
    const struct sigmoid *s = a->state;
    return fabs((double)s->k[index_of_k(a, filter)]) + config->k_offset;
}

static void sigmoid_plan(const struct angular *a, struct planner *planner, const char *owner) {
    (void)owner;
    struct sigmoid *s = a->state;
    real **places[] = {&s->steepness,    &s->width,   &s->height, &s->inverse_height,
                       &s->height_slope, &s->small_c, &s->small_g};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        plan_keep(planner, (size_t)a->filters, places[i]);
}

static void learnable_plan(const struct angular *a, struct planner *planner, const char *owner) {
    const struct learnable_config *config = a->config;
    struct sigmoid *s = a->state;
    plan_tensor(planner, owner,
                &(struct tensor_request){
                    .name = "k",
                    .role = ROLE_SHAPE,
                    .filters = index_of_k(a, a->filters - 1) + 1,
                    .mean = config->initial_k,
                    .value = &s->k,
                    .grad = &s->dk,
                });
    sigmoid_plan(a, planner, owner);
}

/* d effective k / dk = sign(k) */
static void learnable_gradient(const struct angular *a, const real *sums) {
    const struct sigmoid *s = a->state;
    memset(s->dk, 0, (size_t)(index_of_k(a, a->filters - 1) + 1) * sizeof *s->dk);
    for (int f = 0; f < a->filters; f++) {
        int i = index_of_k(a, f);
        s->dk[i] += s->k[i] < 0 ? -sums[f] : sums[f];
    }
}

static void learnable_mean_gradient(const struct angular *a, const double *sums, int n) {
    const struct sigmoid *s = a->state;
    double sum = 0;
    for (int f = 0; f < a->filters; f++) {
        int i = index_of_k(a, f);
        sum = (i == f ? 0 : sum) + sums[f];
        s->dk[i] = (real)((s->k[i] < 0 ? -sum : sum) / n);
    }
}

/* --- Coefficients ------------------------------------------------------------------------------------------------ */

/* A = coth(q) with q = pi/(4k); dA/dk = pi/(4k^2) / sinh^2 q. For large q both are at their limits. */
static double quarter_turn(double k) {
    return HALF_PI / 2 / k;
}

static double height_slope(double k) {
    double q = quarter_turn(k), sinh_q = sinh(q > 300 ? 300 : q);
    return q / k / (sinh_q * sinh_q);
}

static void set_k(const struct sigmoid *s, int filter, double k) {
    s->steepness[filter] = (real)(1 / (2 * k));
    s->width[filter] = (real)(2 * k);
    s->height[filter] = (real)(1 / tanh(quarter_turn(k)));
    s->inverse_height[filter] = (real)tanh(quarter_turn(k));
    s->height_slope[filter] = (real)height_slope(k);
    s->small_c[filter] = (real)fmin(VMATH_SMALL_ASIN, sin(fmin(2 * k * VMATH_SMALL_TANH, HALF_PI)));
    double small_tanh = fmin(VMATH_SMALL_ATANH, tanh(VMATH_SMALL_SEC / (2 * k)));
    s->small_g[filter] = (real)(small_tanh / tanh(quarter_turn(k)));
}

static void sigmoid_prepare(const struct angular *a) {
    for (int f = 0; f < a->filters; f++)
        set_k(a->state, f, a->type->shape(a, f));
}

/* --- Values and slopes ------------------------------------------------------------------------------------------- */

static void sigmoid_value(const struct angular *a, real *g, const struct angular_cosines *cosines, int count) {
    const struct angular_cosines c = *cosines;
    const struct sigmoid *s = a->state;
    if (cosines_within(&c, s->small_c, 0, count)) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] = vmath_small_tanh(vmath_small_asin(cosine_of(&c, i)) * s->steepness[i]) * s->height[i];
        return;
    }
    angles_of_cosines(g, &c, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= s->steepness[i];
    vmath_tanh(g, g, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= s->height[i];
}

/* dg/dc = dg/dangle / cos angle, dg/dangle = A (1 - tanh^2 u) / (2k) = slope_in_angle. With u = angle/(2k) and
 * A = coth(pi/(4k)): dg/dk = A' tanh u - A (1 - tanh^2 u) u / k, and u/k = 2 angle / (2k)^2. */
static inline real slope_in_angle(real tanh_u, const struct sigmoid *s, int i) {
    return s->height[i] * (1 - tanh_u) * (1 + tanh_u) * s->steepness[i];
}

static inline real slope_in_k(real tanh_u, real angle, const struct sigmoid *s, int i) {
    return s->height_slope[i] * tanh_u - 2 * slope_in_angle(tanh_u, s, i) * angle * s->steepness[i];
}

/* trains_k is known to the compiler where these are called. */
static inline __attribute__((always_inline)) void small_slope(const struct sigmoid *s, const struct angular_slopes *to,
                                                              const real *g, int count, bool trains_k) {
    real *c = to->c, *slope = to->slope, *k_slope = to->shape_slope;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        real t = g[i] * s->inverse_height[i], angle = vmath_small_atanh(t) * s->width[i];
        c[i] = vmath_small_sin(angle);
        slope[i] = slope_in_angle(t, s, i) * vmath_small_sec(angle);
        if (trains_k)
            k_slope[i] = slope_in_k(t, angle, s, i);
    }
}

/* Where tanh has rounded to 1 the angle is lost, but so is the slope: the largest value below 1 stands in. */
static inline __attribute__((always_inline)) void large_slope(const struct sigmoid *s, const struct angular_slopes *to,
                                                              const real *g, int count, bool trains_k) {
    const real limit = 1 - REAL_EPSILON;
    real *c = to->c, *slope = to->slope, *k_slope = to->shape_slope, *angle_slope = to->work;
    real *tanh_u = c, *angle = slope;
#pragma omp simd
    for (int i = 0; i < count; i++)
        tanh_u[i] = real_clamp(g[i] * s->inverse_height[i], limit);
    vmath_atanh(angle, tanh_u, count);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        angle[i] *= s->width[i];
        angle_slope[i] = slope_in_angle(tanh_u[i], s, i);
        if (trains_k)
            k_slope[i] = slope_in_k(tanh_u[i], angle[i], s, i);
    }
    cosines_of_angles(c, slope, angle, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        slope[i] *= angle_slope[i];
}

static void sigmoid_slope(const struct angular *a, const struct angular_slopes *to, const real *g, int count) {
    const struct sigmoid *s = a->state;
    if (all_within(g, s->small_g, 0, count))
        small_slope(s, to, g, count, false);
    else
        large_slope(s, to, g, count, false);
}

static void learnable_slope(const struct angular *a, const struct angular_slopes *to, const real *g, int count) {
    const struct sigmoid *s = a->state;
    if (all_within(g, s->small_g, 0, count))
        small_slope(s, to, g, count, true);
    else
        large_slope(s, to, g, count, true);
}

static double sigmoid_at(double theta, double k, double *slope, double *k_slope) {
    double u = (HALF_PI - theta) / (2 * k), t = tanh(u), height = 1 / tanh(quarter_turn(k));
    double falloff = height * (1 - t) * (1 + t);
    *slope = -falloff / (2 * k);
    *k_slope = height_slope(k) * t - falloff * u / k;
    return height * t;
}

/* --- Rows -------------------------------------------------------------------------------------------------------- */

const struct angular_type angular_sigmoid = {
    .kind = {"sigmoid", "coth(pi/4k) tanh((pi/2 - theta)/2k), k fixed", sigmoid_params, sizeof(struct sigmoid_config)},
    .clamped = true,
    .state_size = sizeof(struct sigmoid),
    .plan = sigmoid_plan,
    .prepare = sigmoid_prepare,
    .value = sigmoid_value,
    .slope = sigmoid_slope,
    .shape = fixed_k,
    .at = sigmoid_at,
};

const struct angular_type angular_learnable_sigmoid = {
    .kind = {"learnable_sigmoid", "the same, k trained", learnable_params, sizeof(struct learnable_config)},
    .clamped = true,
    .state_size = sizeof(struct sigmoid),
    .plan = learnable_plan,
    .prepare = sigmoid_prepare,
    .value = sigmoid_value,
    .slope = learnable_slope,
    .gradient = learnable_gradient,
    .shape = trained_k,
    .at = sigmoid_at,
    .mean_gradient = learnable_mean_gradient,
};
