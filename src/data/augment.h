/* From uint8 pixels to network input: normalisation, and the random changes of training images. */
#ifndef SPHERENET_DATA_AUGMENT_H
#define SPHERENET_DATA_AUGMENT_H

#include "base/real.h"
#include "data/dataset.h"

struct augment {
    int height, width, channels;
    bool flip;
    int padding;
    real normalised[256]; /* network input for every pixel value */
};

/* What happens to one image: it is mirrored left-right or not, moved down and right by so many pixels (negative: up
 * and left), and what comes into view is zero network input. */
struct placement {
    bool flipped;
    int down, right;
};

struct augment augment_make(const struct dataset *dataset, const struct data_config *config);

/* The placement of the image at a position of the run, counted in images; a pure function of its arguments. */
struct placement augment_draw(const struct augment *augment, uint64_t seed, int64_t position);

/* pixels [height][width][channels] to input, of the same shape. */
void augment_apply(const struct augment *augment, struct placement placement, const uint8_t *pixels, real *input);

#endif
