#include "layer/configs.h"

static bool relu_plan(struct layer *layer, struct planner *planner) {
    (void)layer, (void)planner;
    return true;
}

static void relu_fold(struct layer *layer, const struct step *step, struct view *view) {
    (void)layer, (void)step;
    view->relu = true;
}

const struct layer_type layer_relu = {
    .kind = {"relu", "max(x, 0)", layer_name_params, sizeof(layer_relu_config)},
    .plan = relu_plan,
    .fold = relu_fold,
    .is_relu = true,
};
