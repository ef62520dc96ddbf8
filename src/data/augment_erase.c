/* Random erasing (Zhong et al., AAAI 2020): a rectangle of random size, shape and place becomes zero network input. */
#include <math.h>

#include "base/number.h"
#include "data/augment.h"

static const double least_share = 0.02, least_aspect = 0.3; /* of the image; height to width, or width to height */

enum { TRIALS = 10 }; /* rectangles that are drawn until one fits; else nothing is erased */

static void place(struct placement *placement, const struct augment_config *config,
                  const struct augment_context *context) {
    if (config->erase == 0)
        return;
    struct rng rng = augment_rng(context, STREAM_ERASE);
    if (rng_uniform(&rng) >= config->erase)
        return;
    double area = (double)context->height * context->width, most = fmax(config->erase_most, least_share);
    for (int i = 0; i < TRIALS; i++) {
        double share = least_share + (most - least_share) * rng_uniform(&rng);
        double aspect = exp(log(least_aspect) * (2 * rng_uniform(&rng) - 1));
        int height = (int)lrint(sqrt(share * area * aspect)), width = (int)lrint(sqrt(share * area / aspect));
        if (height < 1 || width < 1 || height > context->height || width > context->width)
            continue;
        placement->erased.height = height;
        placement->erased.width = width;
        placement->erased.top = (int)rng_below(&rng, (uint32_t)(context->height - height + 1));
        placement->erased.left = (int)rng_below(&rng, (uint32_t)(context->width - width + 1));
        return;
    }
}

extern const struct param augment_erase_params[];
extern const struct augmentation augment_erase;

const struct param augment_erase_params[] = {
    REAL_KEY(struct augment_config, erase, "erase", "0", 0, 1,
             "how often a random rectangle of a training image becomes zero network input; 0: never"),
    REAL_KEY(struct augment_config, erase_most, "erase_most", "0.33", 0.02, 1,
             "the largest share of the image that the rectangle takes; the smallest is 0.02"),
    END_OF_KEYS,
};

const struct augmentation augment_erase = {
    .kind = {"erase", "makes a random rectangle zero network input", augment_erase_params,
             sizeof(struct augment_config)},
    .place = place,
};
