/* Sums over pixels in whole numbers, so that they are exact in any order: 2^64 is reached after 2.8e14 pixels. */
#ifndef SPHERENET_DATA_PIXEL_SUMS_H
#define SPHERENET_DATA_PIXEL_SUMS_H

#include "data/dataset.h"

struct pixel_sums {
    uint64_t count; /* of pixels */
    uint64_t values[CHANNELS_MAX], squares[CHANNELS_MAX];
};

/* count pixels of `channels` values. */
void pixel_sums_add(struct pixel_sums *sums, const uint8_t *pixels, int count, int channels);
void pixel_sums_join(struct pixel_sums *all, const struct pixel_sums *part);

/* Of a channel; count > 0. The deviation is the square root of the mean square of differences from the mean. */
double pixel_sums_mean(const struct pixel_sums *sums, int channel);
double pixel_sums_deviation(const struct pixel_sums *sums, int channel);

#endif
