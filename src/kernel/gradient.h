/* Gradients of activations, with what is still to be done to each value when it is read (kernel/view.h).
 *
 * Per-channel pointers may be NULL, which stands for 1 (scale_d) or 0 (all others). */
#ifndef SPHERENET_KERNEL_GRADIENT_H
#define SPHERENET_KERNEL_GRADIENT_H

#include "kernel/view.h"

/* dL/d data = scale_d d + scale_x (data - mean) + offset, where d is the gradient of the view's value before it is
 * relu. scale_d, scale_x and offset are all NULL or all there. */
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
    bool add;      /* to what is there */
    real *sums;    /* [n][gradient_sums_reals]: per image the sums of d, and of d (data - mean); NULL: not wanted */
    int positions; /* of an image; only with sums */
};

/* Reals of one image's sums, which are those of kernel/reduce.h, [2][channels]. */
size_t gradient_sums_reals(int positions, int channels);

/* Starts the sums of an image. */
void gradient_begin(const struct gradient_target *target, const struct view *view, int image);

/* Takes the gradient of the view's value at `count` positions of one image, the next ones of it. row:
 * [count][channels], changed. box: [count], NULL: none; box times the value is added to each position's gradient. */
void gradient_write(const struct gradient_target *target, const struct view *view, int image, size_t position,
                    int count, real *row, const real *box);

/* The same for a whole batch, from a gradient that is read first; its d may be target->d. */
void gradient_pass(const struct gradient_target *target, const struct view *view, int n, int positions,
                   const struct gradient *from, int threads);

#endif
