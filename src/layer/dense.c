/* Fully connected: a convolution whose kernel is as large as its input. */
#include "layer/filters.h"
#include "layer/layers.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    {.key = "units",
     .type = PARAM_INT,
     .offset = offsetof(struct dense_config, units),
     .min = 1,
     .max = 65536,
     .help = "outputs"},
    {.key = "bias",
     .type = PARAM_BOOL,
     .offset = offsetof(struct dense_config, bias),
     .fallback = "true",
     .help = "add a trained bias to each output"},
    {.key = "operator",
     .type = PARAM_SECTION,
     .offset = offsetof(struct dense_config, operation),
     .params = ordinary_operator_params,
     .help = "magnitude x angular activation"},
    {.type = PARAM_END},
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
    filters_plan(layer, planner, &config->operation, geometry, config->bias, true);
    return true;
}

const struct layer_type layer_dense = {
    .kind = {"dense", "fully connected, ordinary unless its operator says otherwise", params,
             sizeof(struct dense_config)},
    .state_size = sizeof(struct sphere_op),
    .plan = dense_plan,
    .forward = filters_forward,
    .backward = filters_backward,
};
