/* 3x3 convolutions of stride 1 in a transform domain: Winograd's F(4x4, 3x3) (Lavin and Gray 2016).
 *
 * Each 6x6 tile of the input and each filter is transformed to 36 values; there the convolution is 36 matrix products
 * over channels, with a quarter of the multiplications of the direct sum. Both gradients have the same form.
 *
 * Shapes as in kernel/conv.h. Results do not depend on the number of threads. */
#ifndef SPHERENET_KERNEL_WINOGRAD_H
#define SPHERENET_KERNEL_WINOGRAD_H

#include "kernel/conv.h"

/* 3x3, stride 1, and channel counts that fill vectors. */
bool winograd_fits(const struct conv_geometry *g);

/* Reals of scratch for each of the three. */
size_t winograd_scratch(const struct conv_geometry *g);

void winograd_forward(const struct conv_geometry *g, int n, real *y, const real *x, const real *w, real *scratch);
void winograd_backward_data(const struct conv_geometry *g, int n, real *dx, const real *dy, const real *w,
                            real *scratch);
void winograd_backward_weights(const struct conv_geometry *g, int n, real *dw, const real *x, const real *dy,
                               real *scratch);

#endif
