/* g = sign(cos theta) cos^2 theta (Liu et al. 2018, "Decoupled Networks", section 3.3): flat at a right angle, where
 * its slope 2 |c| is 0, so that filters far from a patch hardly learn from it. */
#include <math.h>

#include "op/angular_cosines.h"

static void square_value(const struct angular *a, real *g, const struct angular_cosines *cosines, int count) {
    (void)a;
    const struct angular_cosines c = *cosines;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        real cosine = real_clamp(cosine_of(&c, i), 1);
        g[i] = cosine * real_abs(cosine);
    }
}

static void square_slope(const struct angular *a, const struct angular_slopes *to, const real *g, int count) {
    (void)a;
    real *c = to->c, *slope = to->slope;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        real size = (real)sqrt((double)real_abs(g[i])); /* which the compiler computes in real */
        c[i] = g[i] < 0 ? -size : size;
        slope[i] = 2 * size;
    }
}

static double square_at(double theta, double shape, double *slope, double *shape_slope) {
    (void)shape;
    double c = cos(theta);
    *shape_slope = 0;
    *slope = -2 * fabs(c) * sin(theta);
    return c * fabs(c);
}

const struct angular_type angular_square_cosine = {
    .kind = {.name = "square_cosine", .help = "sign(cos theta) cos^2 theta, flat at a right angle"},
    .value = square_value,
    .slope = square_slope,
    .at = square_at,
};
