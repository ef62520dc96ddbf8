/* conv and sphere_conv: one layer, two defaults of its operator's magnitude. */
#include "layer/filters.h"
#include "layer/layers.h"

#define CONV_PARAMS(OPERATOR_PARAMS)                                                                                   \
    LAYER_NAME_PARAM,                                                                                                  \
        {.key = "filters",                                                                                             \
         .type = PARAM_INT,                                                                                            \
         .offset = offsetof(struct conv_config, filters),                                                              \
         .min = 1,                                                                                                     \
         .max = 65536,                                                                                                 \
         .help = "output channels"},                                                                                   \
        {.key = "kernel",                                                                                              \
         .type = PARAM_INT,                                                                                            \
         .offset = offsetof(struct conv_config, kernel),                                                               \
         .fallback = "3",                                                                                              \
         .min = 1,                                                                                                     \
         .max = 64,                                                                                                    \
         .help = "height and width of a filter, pixels"},                                                              \
        {.key = "stride",                                                                                              \
         .type = PARAM_INT,                                                                                            \
         .offset = offsetof(struct conv_config, stride),                                                               \
         .fallback = "1",                                                                                              \
         .min = 1,                                                                                                     \
         .max = 64,                                                                                                    \
         .help = "pixels between positions"},                                                                          \
        {.key = "padding",                                                                                             \
         .type = PARAM_INT,                                                                                            \
         .offset = offsetof(struct conv_config, padding),                                                              \
         .fallback = "0",                                                                                              \
         .min = 0,                                                                                                     \
         .max = 63,                                                                                                    \
         .help = "zero pixels added on each side"},                                                                    \
        {.key = "bias",                                                                                                \
         .type = PARAM_BOOL,                                                                                           \
         .offset = offsetof(struct conv_config, bias),                                                                 \
         .fallback = "false",                                                                                          \
         .help = "add a trained bias to each filter's output"},                                                        \
        {.key = "operator",                                                                                            \
         .type = PARAM_SECTION,                                                                                        \
         .offset = offsetof(struct conv_config, operation),                                                            \
         .params = OPERATOR_PARAMS,                                                                                    \
         .help = "magnitude x angular activation"},                                                                    \
    {                                                                                                                  \
        .type = PARAM_END                                                                                              \
    }

static const struct param conv_params[] = {CONV_PARAMS(ordinary_operator_params)};
static const struct param sphere_conv_params[] = {CONV_PARAMS(sphere_operator_params)};

static bool conv_plan(struct layer *layer, struct planner *planner) {
    const struct conv_config *config = layer->choice.config;
    const struct shape *in = &layer->in;
    struct conv_geometry geometry = {
        .height = in->height,
        .width = in->width,
        .channels = in->channels,
        .kernel_h = config->kernel,
        .kernel_w = config->kernel,
        .stride = config->stride,
        .padding = config->padding,
        .filters = config->filters,
    };
    if (in->flat)
        return plan_error(planner, layer, "needs an image, but the layers before it made a flat vector");
    if (config->padding >= config->kernel)
        return plan_error(planner, layer, "padding %d must be smaller than the kernel, %d", config->padding,
                          config->kernel);
    if (!conv_geometry_complete(&geometry))
        return plan_error(planner, layer, "a %dx%d kernel does not fit its input of %dx%d with padding %d",
                          config->kernel, config->kernel, in->height, in->width, config->padding);
    layer->out = (struct shape){geometry.out_height, geometry.out_width, config->filters, false};
    filters_plan(layer, planner, &config->operation, geometry, config->bias, false);
    return true;
}

const struct layer_type layer_conv = {
    .kind = {"conv", "convolution, ordinary unless its operator says otherwise", conv_params,
             sizeof(struct conv_config)},
    .state_size = sizeof(struct sphere_op),
    .plan = conv_plan,
    .forward = filters_forward,
    .backward = filters_backward,
};

const struct layer_type layer_sphere_conv = {
    .kind = {"sphere_conv", "SphereConv: a convolution whose output depends on angles alone", sphere_conv_params,
             sizeof(struct conv_config)},
    .state_size = sizeof(struct sphere_op),
    .plan = conv_plan,
    .forward = filters_forward,
    .backward = filters_backward,
};
