/* What activations have in common when they compute with cosines. Private to op/. */
#ifndef SPHERENET_OP_ANGULAR_COSINES_H
#define SPHERENET_OP_ANGULAR_COSINES_H

#include "op/angular.h"

static inline __attribute__((always_inline)) real cosine_of(const struct angular_cosines *c, int i) {
    return c->dots[i] * c->x_inverse * c->w_inverse[i];
}

/* Most filters are nearly perpendicular to most patches. Where polynomials serve for all of them, one loop of these
 * takes a value all the way; else each function has its loop. limits NULL, which is known to the compiler where these
 * are called: limit holds for all. */
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

/* angle[i] = pi/2 - theta of c clamped */
void angles_of_cosines(real *angle, const struct angular_cosines *cosines, int count);

/* The cosines of clamped angles, and d asin(c) / dc; angle may be asin_slope. */
void cosines_of_angles(real *c, real *asin_slope, const real *angle, int count);

#endif
