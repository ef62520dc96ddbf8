#include "data/standardize.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"

/* Whole numbers, so that sums are exact in any order: 2^64 is reached after 2.8e14 pixels. */
struct sums {
    uint64_t values[CHANNELS_MAX], squares[CHANNELS_MAX];
};

static void add_image(struct sums *sums, const uint8_t *pixels, int count, int channels) {
    for (int i = 0; i < count; i++, pixels += channels) {
        for (int c = 0; c < channels; c++) {
            sums->values[c] += pixels[c];
            sums->squares[c] += (uint64_t)pixels[c] * pixels[c];
        }
    }
}

static void join(struct sums *all, const struct sums *part) {
    for (int c = 0; c < CHANNELS_MAX; c++) {
        all->values[c] += part->values[c];
        all->squares[c] += part->squares[c];
    }
}

/* False, with the error, where an image cannot be fetched. */
static bool add_images(struct sums *sums, const struct dataset *dataset, int first, int end, struct error *err) {
    bool good = true;
    uint8_t *pixels = mem_block(dataset_image_bytes(dataset));
    if (!pixels)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory to measure the pixels");
    for (int i = first; good && i < end; i++) {
        good = dataset_fetch(dataset, SPLIT_TRAIN, i, NULL, pixels, err);
        if (good)
            add_image(sums, pixels, dataset->height * dataset->width, dataset->channels);
    }
    free(pixels);
    return good;
}

enum { BLOCK = 256 }; /* images that a thread takes at a time */

/* The error is that of the first image that cannot be fetched. */
static bool add_all(struct sums *all, const struct dataset *dataset, struct error *err) {
    int images = dataset->splits[SPLIT_TRAIN].count, blocks = ceil_div(images, BLOCK), failed = blocks;
#pragma omp parallel for schedule(dynamic)
    for (int block = 0; block < blocks; block++) {
        struct sums part = {0};
        struct error why;
        int first = block * BLOCK;
        bool good = add_images(&part, dataset, first, first + smaller(BLOCK, images - first), &why);
#pragma omp critical
        {
            join(all, &part);
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
    struct sums sums = {0};
    if (!config->standardize)
        return true;
    if (!add_all(&sums, dataset, err))
        return false;
    uint64_t count = (uint64_t)dataset->splits[SPLIT_TRAIN].count * (uint64_t)(dataset->height * dataset->width);
    config->pixel_mean.count = config->pixel_scale.count = dataset->channels;
    for (int c = 0; c < dataset->channels; c++) {
        unsigned __int128 square = (unsigned __int128)sums.values[c] * sums.values[c];
        unsigned __int128 spread = (unsigned __int128)count * sums.squares[c] - square; /* count^2 times the variance */
        double deviation = sqrt((double)spread) / (double)count;
        config->pixel_mean.values[c] = (double)sums.values[c] / (double)count;
        config->pixel_scale.values[c] = deviation < PIXEL_SCALE_MIN ? 1 : deviation;
    }
    return true;
}
