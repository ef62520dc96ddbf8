/* From an image to a vector. The values stay in their channels-last order; what follows knows the shape they had, so
 * that checkpoints show dense weights in the usual channel, row, column order. */
#include <string.h>

#include "layer/layer.h"

static bool flatten_plan(struct layer *layer, struct planner *planner) {
    (void)planner;
    layer->out.flat = true;
    layer->in_place = true;
    return true;
}

static void flatten_forward(struct layer *layer, const struct pass *pass, real *y, const real *x) {
    if (y != x)
        memcpy(y, x, shape_size(&layer->in) * (size_t)pass->n * sizeof *y);
}

static void flatten_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                             const real *y) {
    (void)x, (void)y;
    if (dx && dx != dy)
        memcpy(dx, dy, shape_size(&layer->in) * (size_t)pass->n * sizeof *dx);
}

const struct layer_type layer_flatten = {
    .kind = {"flatten", "an image becomes one vector", layer_name_params, sizeof(struct layer_config)},
    .plan = flatten_plan,
    .forward = flatten_forward,
    .backward = flatten_backward,
};
