#include "data/standardize.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "data/pixel_sums.h"

/* False, with the error, where an image cannot be fetched. */
static bool add_images(struct pixel_sums *sums, const struct dataset *dataset, int first, int end, struct error *err) {
    bool good = true;
    uint8_t *pixels = mem_block(dataset_image_bytes(dataset));
    if (!pixels)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory to measure the pixels");
    for (int i = first; good && i < end; i++) {
        good = dataset_fetch(dataset, SPLIT_TRAIN, i, NULL, pixels, err);
        if (good)
            pixel_sums_add(sums, pixels, dataset->height * dataset->width, dataset->channels);
    }
    free(pixels);
    return good;
}

enum { BLOCK = 256 }; /* images that a thread takes at a time */

/* The error is that of the first image that cannot be fetched. */
static bool add_all(struct pixel_sums *all, const struct dataset *dataset, struct error *err) {
    int images = dataset->splits[SPLIT_TRAIN].count, blocks = ceil_div(images, BLOCK), failed = blocks;
#pragma omp parallel for schedule(dynamic)
    for (int block = 0; block < blocks; block++) {
        struct pixel_sums part = {0};
        struct error why;
        int first = block * BLOCK;
        bool good = add_images(&part, dataset, first, first + smaller(BLOCK, images - first), &why);
#pragma omp critical
        {
            pixel_sums_join(all, &part);
            if (!good && block < failed) {
                failed = block;
                *err = why;
            }
        }
    }
    return failed == blocks;
}

bool standardize(const struct dataset *dataset, struct choice data, struct error *err) {
    struct data_config *config = data.config;
    struct pixel_sums sums = {0};
    if (!config->standardize)
        return true;
    if (!add_all(&sums, dataset, err))
        return false;
    config->pixel_mean.count = config->pixel_scale.count = dataset->channels;
    for (int c = 0; c < dataset->channels; c++) {
        double deviation = pixel_sums_deviation(&sums, c);
        config->pixel_mean.values[c] = pixel_sums_mean(&sums, c);
        config->pixel_scale.values[c] = deviation < PIXEL_SCALE_MIN ? 1 : deviation;
    }
    return true;
}
