/* From uint8 pixels to network input. */
#ifndef SPHERENET_DATA_NORMALIZE_H
#define SPHERENET_DATA_NORMALIZE_H

#include "base/real.h"
#include "data/augment.h"
#include "data/dataset.h"

struct normalizer {
    int height, width, channels;
    real values[CHANNELS_MAX][256]; /* network input for every pixel value */
};

struct normalizer normalizer_make(const struct dataset *dataset, const struct data_config *config);

/* pixels [height][width][channels] to input, of the same shape. */
void normalize_image(const struct normalizer *normalizer, struct placement placement, const uint8_t *pixels,
                     real *input);

#endif
