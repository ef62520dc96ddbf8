#include "data/normalize.h"

#include <string.h>

#include "base/number.h"

struct normalizer normalizer_make(const struct dataset *dataset, const struct data_config *config) {
    struct normalizer normalizer = {.height = dataset->height, .width = dataset->width, .channels = dataset->channels};
    for (int c = 0; c < dataset->channels; c++) {
        double mean = config->pixel_mean.values[config->pixel_mean.count > 1 ? c : 0];
        double scale = config->pixel_scale.values[config->pixel_scale.count > 1 ? c : 0];
        for (int value = 0; value < 256; value++)
            normalizer.values[c][value] = (real)((value - mean) / scale);
    }
    return normalizer;
}

/* One row of pixels on its way to one row of input. */
struct row {
    const struct normalizer *normalizer;
    struct placement placement;
    const uint8_t *pixels;
    real *input;
};

/* The place in the image of one that may lie beyond its border, at which it is mirrored again and again. */
static int mirrored(int place, int size) {
    int period = 2 * size, within = (place % period + period) % period;
    return within < size ? within : period - 1 - within;
}

/* Input columns first to end - 1 from image columns. channels: a constant where there are few. */
static inline void show_channels(const struct row *row, int first, int end, int channels) {
    const real(*values)[256] = row->normalizer->values;
    bool flipped = row->placement.flipped;
    int column = first - row->placement.right, step = flipped ? -channels : channels;
    int from = (flipped ? row->normalizer->width - 1 - column : column) * channels;
    for (int to = first * channels; to < end * channels; to += channels, from += step)
        for (int c = 0; c < channels; c++)
            row->input[to + c] = values[c][row->pixels[from + c]];
}

static void show(const struct row *row, int first, int end) {
    if (row->normalizer->channels == 1)
        show_channels(row, first, end, 1);
    else if (row->normalizer->channels == 3)
        show_channels(row, first, end, 3);
    else
        show_channels(row, first, end, row->normalizer->channels);
}

/* Input columns first to end - 1, all of them beyond the image. */
static void fill(const struct row *row, int first, int end) {
    int width = row->normalizer->width, channels = row->normalizer->channels;
    if (!row->placement.border_is_mirrored) {
        memset(row->input + first * channels, 0, (size_t)((end - first) * channels) * sizeof *row->input);
        return;
    }
    for (int x = first; x < end; x++) {
        struct row single = *row;
        single.placement.right = x - mirrored(x - row->placement.right, width);
        show(&single, x, x + 1);
    }
}

static void erase(const struct normalizer *normalizer, struct placement placement, real *input) {
    size_t pixel = (size_t)normalizer->channels, row_size = (size_t)normalizer->width * pixel;
    for (int y = 0; y < placement.erased.height; y++)
        memset(input + (size_t)(placement.erased.top + y) * row_size + (size_t)placement.erased.left * pixel, 0,
               (size_t)placement.erased.width * pixel * sizeof *input);
}

void normalize_image(const struct normalizer *normalizer, struct placement placement, const uint8_t *pixels,
                     real *input) {
    int height = normalizer->height, width = normalizer->width;
    size_t row_size = (size_t)(width * normalizer->channels);
    int first = clamp(placement.right, 0, width), end = clamp(width + placement.right, first, width);
    for (int y = 0; y < height; y++) {
        int from = placement.border_is_mirrored ? mirrored(y - placement.down, height) : y - placement.down;
        bool within = from >= 0 && from < height;
        struct row row = {normalizer, placement, pixels + (size_t)(within ? from : 0) * row_size,
                          input + (size_t)y * row_size};
        if (!within) {
            fill(&row, 0, width);
            continue;
        }
        fill(&row, 0, first);
        show(&row, first, end);
        fill(&row, end, width);
    }
    erase(normalizer, placement, input);
}
