/* Padded, then cropped to its size again at a random place. */
#include "data/augment.h"

/* A crop that starts at row `top` of the padded image moves the image down by padding - top. The flip has the stream's
 * first number, used or not, so that the crops of a seed do not depend on it. */
static void place(struct placement *placement, const struct augment_config *config,
                  const struct augment_context *context) {
    int padding = config->crop_padding;
    if (padding == 0)
        return;
    struct rng rng = augment_rng(context, STREAM_PLACE);
    rng_below(&rng, 2);
    placement->down = padding - (int)rng_below(&rng, (uint32_t)(2 * padding + 1));
    placement->right = padding - (int)rng_below(&rng, (uint32_t)(2 * padding + 1));
    placement->border_is_mirrored = config->crop_fill == CROP_MIRROR;
}

extern const struct param augment_crop_params[];
extern const struct augmentation augment_crop;

static const char *const fill_names[] = {[CROP_ZERO] = "zero", [CROP_MIRROR] = "mirror", NULL};

const struct param augment_crop_params[] = {
    INT_KEY(struct augment_config, crop_padding, "crop_padding", "0", 0, 16,
            "pixels added on each side of a training image before a random crop of its size; 0: no crop"),
    ENUM_KEY(struct augment_config, crop_fill, "crop_fill", "zero", fill_names,
             "those pixels: zero network input, or the image mirrored at its border, whose pixels are repeated"),
    END_OF_KEYS,
};

const struct augmentation augment_crop = {
    .kind = {"crop", "adds pixels on each side and crops at a random place", augment_crop_params,
             sizeof(struct augment_config)},
    .place = place,
};
