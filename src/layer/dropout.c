/* Inverted dropout (Srivastava et al. 2014): each value is dropped by itself. */
#include "layer/drop.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    REAL_KEY(struct drop_config, rate, "rate", "0.5", 0, 0.99, "share of the values that training sets to 0"),
    END_OF_KEYS,
};

static void drop_each(struct rng *rng, double rate, real *values, int count) {
    real kept = (real)(1 / (1 - rate));
    for (int i = 0; i < count; i++)
        values[i] *= rng_uniform(rng) < rate ? 0 : kept; /* a NaN stays one */
}

static const struct drop_kind kind = {RNG_DROPOUT, drop_each};

static void dropout_forward(struct layer *layer, const struct step *step, real *y, const struct view *x,
                            real *moments) {
    (void)moments;
    drop_forward(&kind, layer, step, y, x);
}

static void dropout_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                             const struct gradient *dy, const struct view *x) {
    drop_backward(&kind, layer, step, dx, dy, x);
}

const struct layer_type layer_dropout = {
    .kind = {"dropout", "in training, sets values to 0 at random", params, sizeof(struct drop_config)},
    .plan = drop_plan,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .only_trains = true,
};
