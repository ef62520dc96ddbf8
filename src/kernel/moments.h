/* Mean and variance of each channel over a batch, gathered image by image: the same on any number of threads. */
#ifndef SPHERENET_KERNEL_MOMENTS_H
#define SPHERENET_KERNEL_MOMENTS_H

#include "base/real.h"
#include "process/group.h"

/* Mean and sum of squared deviations of one image's values so far, per channel: [2][channels]. */
void moments_begin(real *moments, int channels);
/* Adds rows[count][channels] to an image of which `before` positions are in. */
void moments_add(real *moments, int channels, int before, const real *rows, int count);
/* moments: [n][2][channels], those of each image. x: [n][positions][channels] */
void moments_measure(real *moments, const real *x, int n, int positions, int channels, int threads);
/* Mean and biased variance of the batch from them, n images of which are computed here. */
void moments_join(real *mean, real *variance, const real *moments, int n, int positions, int channels,
                  const struct batch_part *part);

#endif
