/* Activations between layers, with what is still to be done to each value when it is read.
 *
 * A layer that changes each value by a function of its channel, such as batch normalisation or ReLU, makes no pass over
 * memory: it changes the view, and whoever reads the values next applies it. kernel/gradient.h has the same for
 * gradients.
 *
 * Tensors are [n][height][width][channels]; a position is one pixel of one image, counted through the batch. */
#ifndef SPHERENET_KERNEL_VIEW_H
#define SPHERENET_KERNEL_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/real.h"

/* value = scale data + shift, and with `relu`, 0 if that is negative. Per channel; NULL: 1 and 0. */
struct view {
    const real *data;
    int channels;
    const real *scale, *shift;
    bool relu;
    const real *mean, *variance; /* of data over the batch, where they are wanted; else NULL */
};

/* to[count][channels]: the values at `count` positions from `position` on. squares[count]: the sum of each position's
 * squares; NULL: not wanted. */
void view_read(const struct view *view, size_t position, int count, real *to, real *squares);

/* to[count][channels]: the sums of the values of a and b, written past the caches (kernel/vector.h). */
void view_sum(const struct view *a, const struct view *b, size_t position, int count, real *to);

#endif
