#include "data/image_cut.h"

#include <math.h>

#include "base/number.h"

enum { TRIALS = 10 };

/* The largest part in the middle that has the image's shape. */
static struct image_cut middle(const struct images_config *config, int height, int width) {
    double scale = fmax((double)config->height / height, (double)config->width / width);
    double part_height = fmin(config->height / scale, height), part_width = fmin(config->width / scale, width);
    return (struct image_cut){(height - part_height) / 2,
                              (width - part_width) / 2,
                              part_height,
                              part_width,
                              0,
                              0,
                              config->height,
                              config->width};
}

static struct image_cut padded(const struct images_config *config, int height, int width) {
    double scale = fmin((double)config->height / height, (double)config->width / width);
    int to_height = clamp((int)lrint(height * scale), 1, config->height);
    int to_width = clamp((int)lrint(width * scale), 1, config->width);
    return (struct image_cut){
        0, 0, height, width, (config->height - to_height) / 2, (config->width - to_width) / 2, to_height, to_width};
}

static struct image_cut fitted(const struct images_config *config, int height, int width) {
    if (config->fit == FIT_CROP)
        return middle(config, height, width);
    if (config->fit == FIT_PAD)
        return padded(config, height, width);
    return (struct image_cut){0, 0, height, width, 0, 0, config->height, config->width};
}

static struct image_cut drawn(const struct images_config *config, int height, int width, struct rng rng) {
    double area = (double)height * width;
    for (int i = 0; i < TRIALS; i++) {
        double share = config->crop_scale + (1 - config->crop_scale) * rng_uniform(&rng);
        double aspect = exp(log(config->crop_aspect) * (2 * rng_uniform(&rng) - 1)); /* width to height */
        double part_height = rint(sqrt(share * area / aspect)), part_width = rint(sqrt(share * area * aspect));
        if (part_height < 1 || part_width < 1 || part_height > height || part_width > width)
            continue;
        double top = rng_below(&rng, (uint32_t)(height - part_height) + 1);
        double left = rng_below(&rng, (uint32_t)(width - part_width) + 1);
        return (struct image_cut){top, left, part_height, part_width, 0, 0, config->height, config->width};
    }
    return middle(config, height, width);
}

struct image_cut image_cut(const struct images_config *config, int height, int width,
                           const struct augment_context *context) {
    return context && config->crop_scale > 0 ? drawn(config, height, width, augment_rng(context, STREAM_CUT))
                                             : fitted(config, height, width);
}
