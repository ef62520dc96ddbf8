#include "layer/layer.h"

static bool relu_plan(struct layer *layer, struct planner *planner) {
    (void)layer, (void)planner;
    return true;
}

static void relu_map(struct layer *layer, const struct pass *pass, struct view *view) {
    (void)layer, (void)pass;
    view->rectified = true;
}

const struct layer_type layer_relu = {
    .kind = {"relu", "max(x, 0)", layer_name_params, sizeof(struct layer_config)},
    .plan = relu_plan,
    .map = relu_map,
    .rectifies = true,
};
