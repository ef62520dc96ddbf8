#include "data/augment.h"

#include <string.h>

#include "base/number.h"
#include "base/rng.h"

struct augment augment_make(const struct dataset *dataset, const struct data_config *config) {
    struct augment augment = {
        .height = dataset->height,
        .width = dataset->width,
        .channels = dataset->channels,
        .flip = config->flip,
        .padding = config->crop_padding,
    };
    for (int value = 0; value < 256; value++)
        augment.normalised[value] = (real)((value - config->pixel_mean) / config->pixel_scale);
    return augment;
}

/* A crop that starts at row `top` of the padded image moves the image down by padding - top. All numbers are drawn
 * whether used or not, so that the crops of a seed do not depend on `flip`. */
struct placement augment_draw(const struct augment *augment, uint64_t seed, int64_t position) {
    struct rng rng = rng_stream(seed, RNG_AUGMENT, (uint64_t)position, 0);
    uint32_t offsets = (uint32_t)(2 * augment->padding + 1);
    bool flipped = rng_below(&rng, 2);
    int top = (int)rng_below(&rng, offsets);
    int left = (int)rng_below(&rng, offsets);
    return (struct placement){
        .flipped = flipped && augment->flip,
        .down = augment->padding - top,
        .right = augment->padding - left,
    };
}

/* One row of pixels to one row of input. Input columns begin to end - 1 show image columns, the others are zero. */
static void place_row(const struct augment *augment, struct placement placement, const uint8_t *pixels, real *input) {
    int width = augment->width, channels = augment->channels;
    int begin = clamp(placement.right, 0, width);
    int end = clamp(width + placement.right, begin, width);
    memset(input, 0, (size_t)(begin * channels) * sizeof *input);
    for (int x = begin; x < end; x++) {
        int column = x - placement.right;
        const uint8_t *pixel = pixels + (placement.flipped ? width - 1 - column : column) * channels;
        for (int c = 0; c < channels; c++)
            input[x * channels + c] = augment->normalised[pixel[c]];
    }
    memset(input + end * channels, 0, (size_t)((width - end) * channels) * sizeof *input);
}

void augment_apply(const struct augment *augment, struct placement placement, const uint8_t *pixels, real *input) {
    size_t row_size = (size_t)(augment->width * augment->channels);
    for (int y = 0; y < augment->height; y++) {
        int row = y - placement.down;
        real *input_row = input + (size_t)y * row_size;
        if (row < 0 || row >= augment->height)
            memset(input_row, 0, row_size * sizeof *input_row);
        else
            place_row(augment, placement, pixels + (size_t)row * row_size, input_row);
    }
}
