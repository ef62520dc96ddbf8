/* Pixel mean and deviation of the training set. */
#ifndef SPHERENET_DATA_STANDARDIZE_H
#define SPHERENET_DATA_STANDARDIZE_H

#include "data/dataset.h"

/* Where data.standardize is set, puts mean and standard deviation (the square root of the mean square of differences
 * from the mean) of each channel over all training images into the configuration's pixel_mean and pixel_scale; 1 where
 * a channel does not vary. Looks at every image, so it is done once, when a run begins. What it finds depends neither
 * on the number of threads nor on the order of the images. */
bool standardize(const struct dataset *dataset, struct choice data, struct error *err);

#endif
