/* Convolution, its two gradients, and the box sums of the norms that a SphereConv needs.
 *
 * x: [n][height][width][channels]   y: [n][out_height][out_width][filters]
 * w: [filters][kernel_h][kernel_w][channels], so a filter is one row and faces one patch.
 * A fully connected layer is a convolution whose kernel is as large as its input.
 *
 * Results do not depend on the number of threads. `scratch` has conv_scratch(geometry) reals. */
#ifndef SPHERENET_KERNEL_CONV_H
#define SPHERENET_KERNEL_CONV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/real.h"

struct conv_geometry {
    int height, width, channels;
    int kernel_h, kernel_w, stride, padding;
    int filters;
    int out_height, out_width;
};

/* Fills out_height and out_width; false when the kernel does not fit the padded input. */
bool conv_geometry_complete(struct conv_geometry *g);

/* Values in one patch, and positions in n outputs. */
static inline int conv_patch(const struct conv_geometry *g) {
    return g->kernel_h * g->kernel_w * g->channels;
}
static inline int conv_positions(const struct conv_geometry *g, int n) {
    return n * g->out_height * g->out_width;
}

size_t conv_scratch(const struct conv_geometry *g);

void conv_forward(const struct conv_geometry *g, int n, real *y, const real *x, const real *w, real *scratch);
void conv_backward_data(const struct conv_geometry *g, int n, real *dx, const real *dy, const real *w, real *scratch);
void conv_backward_weights(const struct conv_geometry *g, int n, real *dw, const real *x, const real *dy,
                           real *scratch);

/* sums[n][out_height][out_width]: sum of squares of each patch. scratch: n*height*width reals. */
void conv_patch_squares(const struct conv_geometry *g, int n, real *sums, const real *x, real *scratch);

/* dx[p] += x[p] * (sum of r over the patches that cover pixel p), r: [n][out_height][out_width]. */
void conv_add_box(const struct conv_geometry *g, int n, real *dx, const real *x, const real *r);

#endif
