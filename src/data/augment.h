/* The random changes of training images: the rows of a registry, each with keys of its own in the data section. What
 * happens to an image is a pure function of the keys, the seed and the image's position in the run.
 *
 * To add one: a file with its keys and a `struct augmentation`, and their names in augment.c. */
#ifndef SPHERENET_DATA_AUGMENT_H
#define SPHERENET_DATA_AUGMENT_H

#include <stdint.h>

#include "base/rng.h"
#include "spec/param.h"

enum crop_fill { CROP_ZERO, CROP_MIRROR };

/* Of all rows; part of data_config. */
struct augment_config {
    bool flip;
    int crop_padding, crop_fill; /* pixels on each side; enum crop_fill */
    double brightness, contrast, saturation;
    double erase, erase_most; /* how often; the largest share of the image */
};

/* What every row draws its numbers from. */
struct augment_context {
    uint64_t seed;
    int64_t position;            /* of the image in the run, counted in images */
    int height, width, channels; /* of the image */
};

/* Where an image's pixels go: mirrored left-right or not, then moved down and right by so many pixels (negative: up
 * and left). What comes into view is zero network input, or the image again, mirrored at its border. Of what is then
 * there, a rectangle becomes zero network input. */
struct placement {
    bool flipped;
    int down, right;
    bool border_is_mirrored;
    struct {
        int top, left, height, width; /* within the image; all 0: nothing is erased */
    } erased;
};

struct augmentation {
    struct kind kind; /* its keys are members of struct augment_config */
    void (*place)(struct placement *placement, const struct augment_config *config,
                  const struct augment_context *context); /* NULL: it moves nothing */
    void (*paint)(uint8_t *pixels, const struct augment_config *config,
                  const struct augment_context *context); /* NULL: it changes no pixel's value */
};

extern const struct registry augmentation_registry;
extern const struct param augment_params[]; /* the keys of all rows, of a struct augment_config */

/* The placement of a training image. That of a test image is all zeros. */
struct placement augment_draw(const struct augment_config *config, const struct augment_context *context);

/* Changes the pixels [height][width][channels] of a training image, before they are placed. */
void augment_paint(const struct augment_config *config, const struct augment_context *context, uint8_t *pixels);

enum augment_stream {
    STREAM_PLACE, /* flips, and crops of the image's own size */
    STREAM_CUT,   /* crops of random size out of a larger picture */
    STREAM_JITTER,
    STREAM_ERASE
};

/* One of the context's random streams. */
static inline struct rng augment_rng(const struct augment_context *context, enum augment_stream stream) {
    return rng_stream(context->seed, RNG_AUGMENT, (uint64_t)context->position, (uint64_t)stream);
}

#endif
