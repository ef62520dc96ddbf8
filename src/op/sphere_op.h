/* The operator family: y = h(|w|, |x|) g(theta) + b, for convolutions and fully connected layers alike.
 *
 * w is a filter, x the patch under it, cos theta = c = w.x / (n_w n_x), n = sqrt(sum of squares + epsilon).
 * Magnitude product with the cosine activation is the ordinary operator and is computed as w.x, without epsilon.
 *
 * Forward. z = w.x is an ordinary convolution. |x|^2 of each patch is a box sum over one map that holds |pixel|^2, so
 * the norms cost one addition to each value of the input, while it is being read, however many filters there are.
 *
 * Backward. With H = dL/dy h dg/dc, the gradient of c, and c = z / (n_w n_x):
 *     G = dL/dz = H / (n_w n_x), which the ordinary convolution's two gradients take from there;
 *     dL/dn_x = -sum over filters of H c / n_x + sum of dL/dy g dh/dn_x,  and dn_x/dx = x / n_x;
 *     dL/dn_w likewise, summed over positions.
 * So dL/dx gets x * box(r) with r = dL/dn_x / n_x, again one box sum, and dL/dw gets w * s with s = dL/dn_w / n_w. */
#ifndef SPHERENET_OP_SPHERE_OP_H
#define SPHERENET_OP_SPHERE_OP_H

#include "kernel/conv.h"
#include "kernel/gradient.h"
#include "op/angular.h"
#include "op/magnitude.h"
#include "plan/step.h"

/* The section `operator` of a layer. */
struct operator_config {
    struct choice magnitude, angular;
    double epsilon;
};
extern const struct param sphere_operator_params[];   /* magnitude defaults to sphere */
extern const struct param ordinary_operator_params[]; /* magnitude defaults to product */

/* The plain dot product: no norm, no angle. */
bool operator_ordinary(const struct operator_config *config);
/* The one that puts out cos theta. */
struct operator_config operator_of_cosines(double epsilon);

struct position_row;

struct sphere_op {
    struct conv conv;
    const struct operator_config *config;
    struct magnitude magnitude;
    struct angular angular;
    bool bias;
    bool ordinary; /* operator_ordinary */
    bool y_is_g;   /* so that g need not be kept beside y */
    /* What the backward pass does with a row of positions; NULL: nothing, of the ordinary operator. */
    void (*backward_row)(const struct sphere_op *op, const struct position_row *row);
    /* Parameters and their gradients: w [filters][patch], b [filters]; b NULL when unused. */
    real *w, *dw, *b, *db;
    /* Kept from forward to backward: g [positions][filters] (NULL when y is g), norms [positions] and [filters]. */
    real *g, *x_norm, *w_norm;
    real *x_inverse;            /* [positions]: 1 / |x|, but 0 for a patch of zeros */
    real *w_inverse, *w_factor; /* [filters]: 1 / |w|, and the filter's factor of the magnitude */
    /* [positions]: that of x_norm, for whom it is an output too: the caller sets it before backward. NULL: it is none.
     */
    real *x_norm_gradient;
};

/* Everything but the pointers. False when the geometry cannot be computed by that algorithm. */
bool sphere_op_init(struct sphere_op *op, const struct operator_config *config, const struct conv_geometry *geometry,
                    enum conv_choice algorithm, bool bias);

/* Reals of scratch that forward, or backward, takes for a batch of n on so many threads. */
size_t sphere_op_scratch(const struct sphere_op *op, int n, int threads, bool backward);

/* y: [positions][filters]. moments: [n][2][filters], y's per image (see moments_join), or NULL. */
void sphere_op_forward(struct sphere_op *op, const struct step *step, real *y, const struct view *x, real *moments);

/* Sets dw, db, the gradients of the rows' tensors and, unless dx is NULL, the gradient of x. dy is that of the last
 * forward's y, x its input. dx may be dy's memory when both are of one size. */
void sphere_op_backward(struct sphere_op *op, const struct step *step, const struct gradient_target *dx,
                        const struct gradient *dy, const struct view *x);

#endif
