#include "layer/layer.h"

static bool relu_plan(struct layer *layer, struct planner *planner) {
    (void)planner;
    layer->in_place = true;
    layer->reads_output = true;
    return true;
}

static void relu_forward(struct layer *layer, const struct pass *pass, real *y, const real *x) {
    size_t count = shape_size(&layer->in) * (size_t)pass->n;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* a NaN stays one */
}

static void relu_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                          const real *y) {
    (void)x;
    if (!dx)
        return;
    size_t count = shape_size(&layer->in) * (size_t)pass->n;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

const struct layer_type layer_relu = {
    .kind = {"relu", "max(x, 0)", layer_name_params, sizeof(struct layer_config)},
    .plan = relu_plan,
    .forward = relu_forward,
    .backward = relu_backward,
};
