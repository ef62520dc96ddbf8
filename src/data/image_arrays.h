/* Images as arrays in memory: how a dataset that is small enough keeps what it has read. */
#ifndef SPHERENET_DATA_IMAGE_ARRAYS_H
#define SPHERENET_DATA_IMAGE_ARRAYS_H

#include "data/dataset.h"

/* dataset->images */
struct image_arrays {
    struct {
        int capacity;    /* images that there is room for */
        uint8_t *pixels; /* [count][height][width][channels] */
    } splits[SPLIT_COUNT];
};

/* Makes room for `images` > 0 images and labels in a split, which keeps its `count` images. What is new is zero; the
 * caller fills it and raises the count. Fails when there is not enough memory; the split is then as it was. */
bool image_arrays_reserve(struct dataset *dataset, int split, int images, struct error *err);

/* Those of a split for which room was made. */
static inline uint8_t *image_arrays_pixels(const struct dataset *dataset, int split) {
    const struct image_arrays *arrays = dataset->images;
    return arrays->splits[split].pixels;
}

/* The functions of a row of dataset_registry. */
bool image_arrays_fetch(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                        uint8_t *pixels, struct error *err);
void image_arrays_release(struct dataset *dataset);

#endif
