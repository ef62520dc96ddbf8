/* Stochastic depth (Huang et al. 2016): an image skips the body of a residual unit, whose last layer this is. What is
 * kept is scaled in training, so that evaluation takes the body as it is. */
#include "layer/drop.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    REAL_KEY(struct drop_config, rate, "rate", "0.2", 0, 0.99, "share of the images that skip the unit in training"),
    END_OF_KEYS,
};

/* The image's first number decides for all of its values. */
static void drop_image(struct rng *rng, double rate, real *values, int count) {
    struct rng first = *rng;
    real factor = rng_uniform(&first) < rate ? 0 : (real)(1 / (1 - rate));
#pragma omp simd
    for (int i = 0; i < count; i++)
        values[i] *= factor;
}

static const struct drop_kind kind = {RNG_STOCHASTIC_DEPTH, drop_image};

static bool stochastic_depth_plan(struct layer *layer, struct planner *planner) {
    if (planner->depth < 2)
        return layer_error(planner, layer, "stands outside of a residual unit; it belongs at the end of a unit's body");
    return drop_plan(layer, planner);
}

static void stochastic_depth_forward(struct layer *layer, const struct step *step, real *y, const struct view *x,
                                     real *moments) {
    (void)moments;
    drop_forward(&kind, layer, step, y, x);
}

static void stochastic_depth_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                                      const struct gradient *dy, const struct view *x) {
    drop_backward(&kind, layer, step, dx, dy, x);
}

const struct layer_type layer_stochastic_depth = {
    .kind = {"stochastic_depth", "in training, images skip the body of a residual unit, whose last layer it is, at random", params,
             sizeof(struct drop_config)},
    .plan = stochastic_depth_plan,
    .forward = stochastic_depth_forward,
    .backward = stochastic_depth_backward,
    .only_trains = true,
};
