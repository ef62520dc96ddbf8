/* Activations between layers, and their gradients, with what is still to be done to each value when it is read.
 *
 * A layer that only maps each channel, such as batch normalisation or ReLU, makes no pass over memory: it changes the
 * view, and whoever reads the values next applies it. The same holds for gradients on the way back.
 *
 * Tensors are [n][height][width][channels]; a position is one pixel of one image, counted through the batch.
 * Per-channel pointers may be NULL, which stands for 1 (scale, scale_d) or 0 (all others). */
#ifndef SPHERENET_KERNEL_VIEW_H
#define SPHERENET_KERNEL_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/real.h"

/* value = scale data + shift, and with `relu`, 0 if that is negative. */
struct view {
    const real *data;
    int channels;
    const real *scale, *shift;
    bool relu;
    const real *mean, *variance; /* of data over the batch, where they are wanted */
};

/* to[count][channels]: the values at `count` positions from `position` on. squares[count]: the sum of each position's
 * squares; NULL: not wanted. */
void view_read(const struct view *view, size_t position, int count, real *to, real *squares);

/* dL/d data = scale_d d + scale_x (data - mean) + offset, where d is the gradient of the view's value before it is
 * relu. Slope, scale_x and offset are all NULL or all there. */
struct gradient {
    const real *d;
    const real *scale_d, *scale_x, *offset;
    struct view of;
};

/* to[count][channels]: dL/d data at `count` positions from `position` on. */
void gradient_read(const struct gradient *gradient, size_t position, int count, real *to);

/* Where a layer puts the gradient of its input's value before ReLU. */
struct gradient_target {
    real *d;
    bool add;   /* to what is there */
    real *sums; /* [n][2][channels]: per image the sum of d, and of d (data - mean); NULL: not wanted */
};

/* Starts the sums of an image. */
void gradient_begin(const struct gradient_target *target, const struct view *view, int image);

/* Takes the gradient of the view's value at `count` positions of one image. row: [count][channels], changed.
 * box: [count], NULL: none; box times the value is added to each position's gradient. */
void gradient_write(const struct gradient_target *target, const struct view *view, int image, size_t position,
                    int count, real *row, const real *box);

/* The same for a whole batch; d, the gradient of its values, may be target->d. */
void gradient_write_all(const struct gradient_target *target, const struct view *view, int n, int positions,
                        const real *d, int threads);

/* --- Moments ----------------------------------------------------------------------------------------------------- */

/* Mean and sum of squared deviations of one image's values so far, per channel: [2][channels]. */
void moments_begin(real *moments, int channels);
/* Adds rows[count][channels] to an image of which `before` positions are in. work: [2][channels] */
void moments_add(real *moments, int channels, int before, const real *rows, int count, real *work);
/* moments: [n][2][channels], those of each image. x: [n][positions][channels] */
void moments_measure(real *moments, const real *x, int n, int positions, int channels, int threads);
/* Mean and biased variance of the batch from them. */
void moments_join(real *mean, real *variance, const real *moments, int n, int positions, int channels);

#endif
