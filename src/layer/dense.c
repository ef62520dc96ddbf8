/* Fully connected: a convolution whose kernel is as large as its input. */
#include "layer/configs.h"
#include "layer/filters.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    INT_KEY(struct dense_config, units, "units", NULL, 1, 65536, "outputs"),
    BOOL_KEY(struct dense_config, bias, "bias", "true", "add a trained bias to each output"),
    SECTION_KEY(struct dense_config, operation, "operator", ordinary_operator_params, "magnitude x angular activation"),
    END_OF_KEYS,
};

static bool dense_plan(struct layer *layer, struct planner *planner) {
    const struct dense_config *config = layer->choice.config;
    const struct shape *in = &layer->in;
    struct conv_geometry geometry = {
        .height = in->height,
        .width = in->width,
        .channels = in->channels,
        .kernel_h = in->height,
        .kernel_w = in->width,
        .stride = 1,
        .filters = config->units,
    };
    conv_geometry_complete(&geometry);
    layer->out = (struct shape){1, 1, config->units, true};
    if (config->angles)
        return filters_plan(layer, planner, &config->cosines, &geometry, CONV_IM2COL, false,
                            config->trains_k ? FILTERS_ANGLES_K : FILTERS_ANGLES);
    return filters_plan(layer, planner, &config->operation, &geometry, CONV_IM2COL, config->bias, FILTERS_DENSE);
}

const struct layer_type layer_dense = {
    .kind = {"dense", "fully connected, ordinary unless its operator says otherwise", params,
             sizeof(struct dense_config)},
    .state_size = sizeof(struct sphere_op),
    .plan = dense_plan,
    .forward = filters_forward,
    .fills_moments = true,
    .backward = filters_backward,
};

struct sphere_op *dense_operator(const struct layer *layer) {
    return layer->type == &layer_dense ? layer->state : NULL;
}
