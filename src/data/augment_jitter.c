/* Brightness, contrast and saturation, each times a random factor, as torchvision's ColorJitter has them, but always in
 * this order. */
#include <math.h>

#include "base/number.h"
#include "data/augment.h"

/* What one image is multiplied by. */
struct factors {
    float brightness, contrast, saturation;
};

static float draw(struct rng *rng, double most) {
    return (float)(1 + most * (2 * rng_uniform(rng) - 1));
}

static float limited(float value) {
    return fminf(fmaxf(value, 0), 255);
}

/* The brightness that eyes see of one pixel (ITU-R BT.601). Other images than those of red, green and blue have no
 * colours, so each of their channels is taken to be as bright as it says. */
static float grey(const float *pixel, int channels) {
    float sum = 0;
    if (channels == 3)
        return 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
    for (int c = 0; c < channels; c++)
        sum += pixel[c];
    return sum / (float)channels;
}

enum { MOST_CHANNELS = REAL_LIST_MAX };

static void brighten(float *pixel, const uint8_t *from, float factor, int channels) {
    for (int c = 0; c < channels; c++)
        pixel[c] = limited(factor * (float)from[c]);
}

/* Of the image that is brightened. */
static float mean_grey(const uint8_t *pixels, const struct augment_context *context, float brightness) {
    int count = context->height * context->width;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        float pixel[MOST_CHANNELS];
        brighten(pixel, pixels + i * context->channels, brightness, context->channels);
        sum += (double)grey(pixel, context->channels);
    }
    return (float)(sum / count);
}

/* The value that is so many times as far from `centre`. */
static float spread(float value, float centre, float factor) {
    return limited(centre + factor * (value - centre));
}

static void paint_pixel(uint8_t *to, const struct factors *factors, float mean, int channels) {
    float pixel[MOST_CHANNELS];
    brighten(pixel, to, factors->brightness, channels);
    for (int c = 0; c < channels; c++)
        pixel[c] = spread(pixel[c], mean, factors->contrast);
    float own_grey = grey(pixel, channels);
    for (int c = 0; c < channels; c++)
        to[c] = (uint8_t)lrintf(channels == 3 ? spread(pixel[c], own_grey, factors->saturation) : pixel[c]);
}

/* All numbers are drawn, used or not, so that one key does not change what another one does. */
static void paint(uint8_t *pixels, const struct augment_config *config, const struct augment_context *context) {
    if (config->brightness == 0 && config->contrast == 0 && config->saturation == 0)
        return;
    struct rng rng = augment_rng(context, STREAM_JITTER);
    struct factors factors;
    factors.brightness = draw(&rng, config->brightness);
    factors.contrast = draw(&rng, config->contrast);
    factors.saturation = draw(&rng, config->saturation);
    float mean = config->contrast == 0 ? 0 : mean_grey(pixels, context, factors.brightness);
    for (int i = 0; i < context->height * context->width; i++)
        paint_pixel(pixels + i * context->channels, &factors, mean, context->channels);
}

extern const struct param augment_jitter_params[];
extern const struct augmentation augment_jitter;

const struct param augment_jitter_params[] = {
    REAL_KEY(struct augment_config, brightness, "brightness", "0", 0, 1,
             "multiply the pixels of a training image by a factor between 1 - brightness and 1 + brightness"),
    REAL_KEY(struct augment_config, contrast, "contrast", "0", 0, 1,
             "likewise their distance from the image's mean grey"),
    REAL_KEY(struct augment_config, saturation, "saturation", "0", 0, 1,
             "likewise their distance from their own grey; images of 3 channels, taken for red, green and blue"),
    END_OF_KEYS,
};

const struct augmentation augment_jitter = {
    .kind = {"jitter", "changes brightness, contrast and saturation", augment_jitter_params,
             sizeof(struct augment_config)},
    .paint = paint,
};
