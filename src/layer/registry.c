/* The layers a spec can name: one line each. */
#include "layer/layer.h"

extern const struct layer_type layer_conv, layer_sphere_conv, layer_dense, layer_batch_norm, layer_sphere_norm,
    layer_relu, layer_max_pool, layer_avg_pool, layer_residual, layer_flatten;

static const struct kind *const rows[] = {
    &layer_conv.kind,
    &layer_sphere_conv.kind,
    &layer_dense.kind,
    &layer_batch_norm.kind,
    &layer_sphere_norm.kind,
    &layer_relu.kind,
    &layer_max_pool.kind,
    &layer_avg_pool.kind,
    &layer_residual.kind,
    &layer_flatten.kind,
    NULL,
};

const struct registry layer_registry = {.noun = "layer", .rows = rows};

const struct param layer_name_params[] = {LAYER_NAME_PARAM, END_OF_KEYS};
