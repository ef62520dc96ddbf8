#include "op/angular.h"

#include <string.h>

#include "kernel/vmath.h"
#include "op/angular_cosines.h"

#define TWO_OVER_PI 0.63661977236758134
#define HALF_PI 1.57079632679489662

struct angular angular_chosen(struct choice choice) {
    const struct kind *kind = choice.kind ? choice.kind : &angular_cosine.kind;
    return (struct angular){.type = (const struct angular_type *)kind, .config = choice.config};
}

void angular_plan(struct angular *a, struct planner *planner, const char *owner, int filters) {
    a->filters = filters;
    a->state = arena_alloc(planner->arena, a->type->state_size);
    if (a->type->plan)
        a->type->plan(a, planner, owner);
}

/* --- Angles and cosines ------------------------------------------------------------------------------------------ */

void angles_of_cosines(real *angle, const struct angular_cosines *cosines, int count) {
    const struct angular_cosines c = *cosines;
    const real limit = (real)(1 - ANGULAR_CLAMP);
#pragma omp simd
    for (int i = 0; i < count; i++)
        angle[i] = real_clamp(cosine_of(&c, i), limit);
    vmath_asin(angle, angle, count);
}

/* The largest angle that comes from a clamped c: asin(1 - ANGULAR_CLAMP). */
#define LARGEST_ANGLE 1.5693821131146521

void cosines_of_angles(real *c, real *asin_slope, const real *angle, int count) {
    const real limit = (real)LARGEST_ANGLE;
#pragma omp simd
    for (int i = 0; i < count; i++)
        c[i] = real_clamp(angle[i], limit);
    vmath_sin(c, c, count);
    vmath_asin_slope(asin_slope, c, count);
}

/* --- cosine ------------------------------------------------------------------------------------------------------ */

static void cosine_value(const struct angular *a, real *g, const struct angular_cosines *cosines, int count) {
    (void)a;
    const struct angular_cosines c = *cosines;
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] = real_clamp(cosine_of(&c, i), 1);
}

static void cosine_slope(const struct angular *a, const struct angular_slopes *to, const real *g, int count) {
    (void)a;
    memcpy(to->c, g, (size_t)count * sizeof *g);
    for (int i = 0; i < count; i++)
        to->slope[i] = 1;
}

static double cosine_at(double theta, double shape, double *slope, double *shape_slope) {
    (void)shape;
    *shape_slope = 0;
    *slope = -sin(theta);
    return cos(theta);
}

const struct angular_type angular_cosine = {
    .kind = {.name = "cosine", .help = "cos theta"},
    .identity = true,
    .value = cosine_value,
    .slope = cosine_slope,
    .at = cosine_at,
};

/* --- linear ------------------------------------------------------------------------------------------------------ */

static void linear_value(const struct angular *a, real *g, const struct angular_cosines *cosines, int count) {
    (void)a;
    const struct angular_cosines c = *cosines;
    if (cosines_within(&c, NULL, VMATH_SMALL_ASIN, count)) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] = vmath_small_asin(cosine_of(&c, i)) * (real)TWO_OVER_PI;
        return;
    }
    angles_of_cosines(g, &c, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        g[i] *= (real)TWO_OVER_PI;
}

static void linear_slope(const struct angular *a, const struct angular_slopes *to, const real *g, int count) {
    (void)a;
    real *c = to->c, *slope = to->slope;
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
    cosines_of_angles(c, slope, slope, count);
#pragma omp simd
    for (int i = 0; i < count; i++)
        slope[i] *= (real)TWO_OVER_PI;
}

static double linear_at(double theta, double shape, double *slope, double *shape_slope) {
    (void)shape;
    *shape_slope = 0;
    *slope = -TWO_OVER_PI;
    return 1 - TWO_OVER_PI * theta;
}

const struct angular_type angular_linear = {
    .kind = {.name = "linear", .help = "1 - 2 theta / pi"},
    .clamped = true,
    .value = linear_value,
    .slope = linear_slope,
    .at = linear_at,
};
