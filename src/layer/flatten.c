/* From an image to a vector. The values stay in their channels-last order; what follows knows the shape they had, so
 * that checkpoints show dense weights in the usual channel, row, column order. */
#include "layer/layer.h"

static bool flatten_plan(struct layer *layer, struct planner *planner) {
    (void)planner;
    layer->out.flat = true;
    return true;
}

static void flatten_map(struct layer *layer, const struct pass *pass, struct view *view) {
    (void)layer, (void)pass, (void)view;
}

const struct layer_type layer_flatten = {
    .kind = {"flatten", "an image becomes one vector", layer_name_params, sizeof(struct layer_config)},
    .plan = flatten_plan,
    .map = flatten_map,
};
