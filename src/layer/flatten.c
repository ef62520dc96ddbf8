/* From an image to a vector. The values stay in their channels-last order; what follows knows the shape they had, so
 * that checkpoints show dense weights in the usual channel, row, column order. */
#include "layer/layer.h"

static bool flatten_plan(struct layer *layer, struct planner *planner) {
    (void)planner;
    layer->out.flat = true;
    return true;
}

static void flatten_fold(struct layer *layer, const struct step *step, struct view *view) {
    (void)layer, (void)step, (void)view;
}

const struct layer_type layer_flatten = {
    .kind = {"flatten", "an image becomes one vector", layer_name_params, sizeof(struct layer_config)},
    .plan = flatten_plan,
    .fold = flatten_fold,
};
