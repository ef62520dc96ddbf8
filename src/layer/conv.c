/* conv and sphere_conv: one layer, two defaults of its operator's magnitude. */
#include "layer/configs.h"
#include "layer/filters.h"

#define CONV_PARAMS(OPERATOR_PARAMS)                                                                                   \
    LAYER_NAME_PARAM, INT_KEY(struct conv_config, filters, "filters", NULL, 1, 65536, "output channels"),              \
        INT_KEY(struct conv_config, kernel, "kernel", "3", 1, 64, "height and width of a filter, pixels"),             \
        INT_KEY(struct conv_config, stride, "stride", "1", 1, 64, "pixels between positions"),                         \
        INT_KEY(struct conv_config, padding, "padding", "0", 0, 63, "zero pixels added on each side"),                 \
        BOOL_KEY(struct conv_config, bias, "bias", "false", "add a trained bias to each filter's output"),             \
        ENUM_KEY(struct conv_config, algorithm, "conv_algorithm", "auto", algorithm_names,                             \
                 "auto takes winograd where it fits, which is faster and rounds a little more"),                       \
        SECTION_KEY(struct conv_config, operation, "operator", OPERATOR_PARAMS, "magnitude x angular activation"),     \
        END_OF_KEYS

static const char *const algorithm_names[] = {"auto", "im2col", "winograd", NULL}; /* enum conv_choice */

static const struct param conv_params[] = {CONV_PARAMS(ordinary_operator_params)};
static const struct param sphere_conv_params[] = {CONV_PARAMS(sphere_operator_params)};

static bool conv_layer_plan(struct layer *layer, struct planner *planner) {
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
        return layer_error(planner, layer, "needs an image, but the layers before it made a flat vector");
    if (config->padding >= config->kernel)
        return layer_error(planner, layer, "padding %d must be smaller than the kernel, %d", config->padding,
                           config->kernel);
    if (!conv_geometry_complete(&geometry))
        return layer_error(planner, layer, "a %dx%d kernel does not fit its input of %dx%d with padding %d",
                           config->kernel, config->kernel, in->height, in->width, config->padding);
    layer->out = (struct shape){geometry.out_height, geometry.out_width, config->filters, false};
    return filters_plan(layer, planner, &config->operation, &geometry, (enum conv_choice)config->algorithm,
                        config->bias, FILTERS_CONV);
}

const struct layer_type layer_conv = {
    .kind = {"conv", "convolution, ordinary unless its operator says otherwise", conv_params,
             sizeof(layer_conv_config)},
    .state_size = sizeof(struct sphere_op),
    .plan = conv_layer_plan,
    .forward = filters_forward,
    .fills_moments = true,
    .backward = filters_backward,
};

const struct layer_type layer_sphere_conv = {
    .kind = {"sphere_conv", "SphereConv: a convolution whose output depends on angles alone", sphere_conv_params,
             sizeof(layer_sphere_conv_config)},
    .state_size = sizeof(struct sphere_op),
    .plan = conv_layer_plan,
    .forward = filters_forward,
    .fills_moments = true,
    .backward = filters_backward,
};
