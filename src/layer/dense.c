/* Fully connected: a convolution whose kernel is as large as its input. */
#include "layer/configs.h"
#include "layer/filters.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    INT_KEY(struct dense_config, units, "units", NULL, 1, 1000000, "outputs"),
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
    return filters_plan(layer, planner, &config->operation, &geometry, CONV_IM2COL, config->bias,
                        config->classifies ? FILTERS_CLASSES : FILTERS_DENSE);
}

#define DENSE(PLAN)                                                                                                    \
    {                                                                                                                  \
        .kind = {"dense", "fully connected, ordinary unless its operator says otherwise", params,                      \
                 sizeof(layer_dense_config)},                                                                          \
        .state_size = sizeof(struct sphere_op), .plan = PLAN, .forward = filters_forward, .fills_moments = true,       \
        .backward = filters_backward,                                                                                  \
    }

const struct layer_type layer_dense = DENSE(dense_plan);

/* --- The classifier ---------------------------------------------------------------------------------------------- */

static bool cosines_plan(struct layer *layer, struct planner *planner) {
    struct sphere_op *op = layer->state;
    if (!dense_plan(layer, planner))
        return false;
    plan_keep(planner, (size_t)planner->batch, &op->x_norm_gradient);
    return true;
}

/* Not in the registry. To whoever reads a table of layers it is a dense one. */
static const struct layer_type cosines = DENSE(cosines_plan);

static struct dense_config *classifying(struct arena *arena, struct choice dense) {
    struct dense_config *config = arena_alloc(arena, sizeof *config);
    *config = *(const struct dense_config *)dense.config;
    config->classifies = true;
    return config;
}

struct choice dense_scores(struct arena *arena, struct choice dense) {
    dense.config = classifying(arena, dense);
    return dense;
}

struct choice dense_cosines(struct arena *arena, struct choice dense) {
    struct dense_config *config = classifying(arena, dense);
    config->operation = operator_of_cosines(config->operation.epsilon);
    dense.kind = &cosines.kind;
    dense.config = config;
    return dense;
}

bool dense_classifier(const struct layer *layer, struct classifier *classifier) {
    bool angles = layer->type == &cosines;
    const struct sphere_op *op = layer->state;
    if (!angles && layer->type != &layer_dense)
        return false;
    *classifier = (struct classifier){
        .width = conv_patch(&op->conv.g),
        .weights = op->w,
        .lengths = angles ? op->x_norm : NULL,
        .lengths_gradient = angles ? op->x_norm_gradient : NULL,
    };
    return true;
}
