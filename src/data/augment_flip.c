/* Mirrored left-right, half of the time. */
#include "data/augment.h"

static void place(struct placement *placement, const struct augment_config *config,
                  const struct augment_context *context) {
    struct rng rng = augment_rng(context, STREAM_PLACE);
    if (config->flip)
        placement->flipped = rng_below(&rng, 2);
}

extern const struct param augment_flip_params[];
extern const struct augmentation augment_flip;

const struct param augment_flip_params[] = {
    BOOL_KEY(struct augment_config, flip, "flip", "false", "mirror training images left-right with probability 1/2"),
    END_OF_KEYS,
};

const struct augmentation augment_flip = {
    .kind = {"flip", "mirrors images left-right, half of them", augment_flip_params, sizeof(struct augment_config)},
    .place = place,
};
