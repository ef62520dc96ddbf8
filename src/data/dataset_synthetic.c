/* A learnable set made from the seed, for tests and first steps: every class has a smooth random pattern, and an image
 * is the pattern of its class, shifted at random around the edges, plus noise. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/rng.h"
#include "data/image_arrays.h"

enum { WAVES = 4, CYCLES_MAX = 2 };       /* a pattern: so many waves a channel, each of so many cycles at most */
enum { SHIFT_DIVISOR = 8 };               /* shifts go up to height and width divided by this, to either side */
enum { PATTERN_STREAM = SPLIT_TEST + 1 }; /* where images have their split in the name of the random stream */

static const double two_pi = 6.283185307179586;
static const double wave_amplitude = 24, noise_deviation = 24, grey = 127.5; /* pixel values */

struct synthetic_config {
    struct data_config common;
    int classes, height, width, channels, train_images, test_images;
};

static bool describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)err;
    const struct synthetic_config *settings = config;
    dataset->height = settings->height;
    dataset->width = settings->width;
    dataset->channels = settings->channels;
    dataset->classes = settings->classes;
    return true;
}

/* Adds a wave to one channel of pattern [height][width][channels]. Whole cycles, so that it goes on across the edges.
 */
static void add_wave(float *pattern, const struct dataset *dataset, int channel, struct rng *rng) {
    double down = rng_below(rng, CYCLES_MAX + 1);
    double right = 1 + rng_below(rng, CYCLES_MAX);
    double phase = rng_uniform(rng);
    for (int y = 0; y < dataset->height; y++)
        for (int x = 0; x < dataset->width; x++) {
            double cycles = phase + down * y / dataset->height + right * x / dataset->width;
            int pixel = y * dataset->width + x;
            pattern[pixel * dataset->channels + channel] += (float)(wave_amplitude * cos(two_pi * cycles));
        }
}

/* Of the first classes: [count][height][width][channels], to be freed; NULL when there is not enough memory. */
static float *make_patterns(const struct dataset *dataset, int count, uint64_t seed) {
    size_t size = dataset_image_bytes(dataset);
    float *patterns = mem_block((size_t)count * size * sizeof *patterns);
    for (int k = 0; patterns && k < count; k++) {
        struct rng rng = rng_stream(seed, RNG_SYNTHETIC, PATTERN_STREAM, (uint64_t)k);
        for (int c = 0; c < dataset->channels; c++)
            for (int w = 0; w < WAVES; w++)
                add_wave(patterns + (size_t)k * size, dataset, c, &rng);
    }
    return patterns;
}

/* The first row or column to take of a pattern, in [0, size). */
static int draw_shift(int size, struct rng *rng) {
    int most = size / SHIFT_DIVISOR;
    return (size - most + (int)rng_below(rng, (uint32_t)(2 * most + 1))) % size;
}

static uint8_t to_pixel(double value) {
    return (uint8_t)lrint(fmin(fmax(value, 0), 255));
}

static void make_image(uint8_t *pixels, const float *pattern, const struct dataset *dataset, struct rng rng) {
    int height = dataset->height, width = dataset->width, channels = dataset->channels;
    int top = draw_shift(height, &rng), left = draw_shift(width, &rng);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int from = (y + top) % height * width + (x + left) % width;
            for (int c = 0; c < channels; c++)
                *pixels++ = to_pixel(grey + pattern[from * channels + c] + noise_deviation * rng_normal(&rng));
        }
}

static bool make_split(struct dataset *dataset, int split, int count, const float *patterns, uint64_t seed,
                       struct error *err) {
    if (!image_arrays_reserve(dataset, split, count, err))
        return false;
    size_t size = dataset_image_bytes(dataset);
    struct split *images = &dataset->splits[split];
    uint8_t *pixels = image_arrays_pixels(dataset, split);
    images->count = count;
    for (int i = 0; i < count; i++) {
        int label = i % dataset->classes; /* as many of each class; training shuffles */
        images->labels[i] = label;
        make_image(pixels + (size_t)i * size, patterns + (size_t)label * size, dataset,
                   rng_stream(seed, RNG_SYNTHETIC, (uint64_t)split, (uint64_t)i));
    }
    return true;
}

static bool load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    const struct synthetic_config *settings = config;
    int images = split == SPLIT_TRAIN ? settings->train_images : settings->test_images;
    int count = smaller(images, data_config_limit(&settings->common, split));
    int used = smaller(dataset->classes, count); /* image i is of class i */
    float *patterns = make_patterns(dataset, used, seed);
    if (!patterns)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for the patterns of %d classes", used);
    bool ok = make_split(dataset, split, count, patterns, seed, err);
    free(patterns);
    return ok;
}

static const struct param synthetic_params[] = {
    INCLUDED_KEYS(struct synthetic_config, common, data_config_params),
    INT_KEY(struct synthetic_config, classes, "classes", "10", 2, 1000000, "number of classes"),
    INT_KEY(struct synthetic_config, height, "height", "16", 1, 256, "height of the images, in pixels"),
    INT_KEY(struct synthetic_config, width, "width", "16", 1, 256, "width of the images, in pixels"),
    INT_KEY(struct synthetic_config, channels, "channels", "3", 1, 16, "channels of the images"),
    INT_KEY(struct synthetic_config, train_images, "train_images", "1024", 1, 1000000, "number of training images"),
    INT_KEY(struct synthetic_config, test_images, "test_images", "256", 1, 1000000, "number of test images"),
    END_OF_KEYS,
};

extern const struct dataset_type dataset_synthetic;

const struct dataset_type dataset_synthetic = {
    .kind = {.name = "synthetic",
             .help = "images made from the seed: a smooth random pattern for each class, shifted, plus noise",
             .params = synthetic_params,
             .config_size = sizeof(struct synthetic_config)},
    .describe = describe,
    .load = load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};
