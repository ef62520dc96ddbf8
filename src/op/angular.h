/* Angular activations g(theta), the half of the operator family that looks at the angle (paper, section 2.2).
 *
 * All fall from 1 at theta = 0 to -1 at theta = pi. They are computed from c = cos theta, as functions of
 * asin c = pi/2 - theta, which keeps full accuracy near theta = pi/2 where most angles are.
 *
 * The backward pass starts from g alone, which is what the forward pass leaves in memory: g gives the angle back, and
 * the angle c and dg/dc.
 *
 * Near |c| = 1: dg/dc of the linear and sigmoid activations grows like 1/sqrt(1 - c^2). c is clamped to
 * [-1 + ANGULAR_CLAMP, 1 - ANGULAR_CLAMP], and the gradient there is the one at the clamped value, at most 708 times
 * dg/dtheta: finite, and still pointing the right way. The cosine activation needs no clamp.
 *
 * To add one: write a row in angular.c and name it in the table there. */
#ifndef SPHERENET_OP_ANGULAR_H
#define SPHERENET_OP_ANGULAR_H

#include "base/real.h"
#include "spec/param.h"

#define ANGULAR_CLAMP 1e-6

/* What the sigmoid needs of k, an entry per filter: g = height * tanh(asin(c) * steepness). */
struct angular_coefficients {
    real *steepness, *width;       /* 1 / (2k), and 2k */
    real *height, *inverse_height; /* coth(pi / (4k)), and its inverse */
    real *height_slope;            /* d height / dk */
    real *small_c, *small_g;       /* up to these polynomials do for all that becomes of c and of g */
};

enum { ANGULAR_COEFFICIENTS = 7 };

/* Cosines of filters with one patch: c[i] = dots[i] x_inverse w_inverse[i], perhaps rounded beyond [-1, 1]. */
struct angular_cosines {
    const real *dots, *w_inverse;
    real x_inverse;
};

struct angular {
    struct kind kind;
    bool uses_k;   /* sigmoids */
    bool trains_k; /* k is a parameter of the layer */
    bool identity; /* g(c) = c */
    /* g[i] = g(arccos c[i]) for i < count filters; g may be c->dots. */
    void (*value)(real *g, const struct angular_cosines *c, const struct angular_coefficients *k, int count);
    /* From g[i]: c[i], slope[i] = dg/dc and, where trains_k, k_slope[i] = dg/dk. */
    void (*slope)(real *c, real *slope, real *k_slope, const real *g, const struct angular_coefficients *k, int count);
    /* g of one angle, dg/dtheta and dg/dk: for losses, which continue g beyond pi. */
    double (*at)(double theta, double k, double *slope, double *k_slope);
};

extern const struct registry angular_registry;
extern const struct angular angular_cosine;

/* Where the coefficients of so many filters lie in memory of ANGULAR_COEFFICIENTS times as many reals. */
static inline struct angular_coefficients angular_coefficients_in(real *memory, int filters) {
    return (struct angular_coefficients){
        .steepness = memory,
        .width = memory + filters,
        .height = memory + 2 * filters,
        .inverse_height = memory + 3 * filters,
        .height_slope = memory + 4 * filters,
        .small_c = memory + 5 * filters,
        .small_g = memory + 6 * filters,
    };
}

/* Coefficients of one filter at the (effective, positive) value k. */
void angular_set_k(const struct angular_coefficients *coefficients, int filter, double k);

#endif
