#include "layer/filters.h"

#include <math.h>

#include "kernel/vector.h"

static void plan_parameters(const struct layer *layer, struct planner *planner, struct sphere_op *op,
                            enum filters_use use) {
    const struct conv_geometry *g = &op->conv.g;
    enum tensor_role role = op->magnitude.type->scale_free && use != FILTERS_CLASSES ? ROLE_SPHERE_WEIGHT : ROLE_WEIGHT;
    plan_tensor(planner, layer->name,
                &(struct tensor_request){
                    .name = "weight",
                    .role = role,
                    .dims = use == FILTERS_CONV ? 4 : 2,
                    .filters = g->filters,
                    .kernel_h = g->kernel_h,
                    .kernel_w = g->kernel_w,
                    .inputs = g->channels,
                    .deviation = sqrt(2.0 / conv_patch(g)),
                    .value = &op->w,
                    .grad = &op->dw,
                });
    if (op->bias)
        plan_tensor(planner, layer->name,
                    &(struct tensor_request){"bias", ROLE_BIAS, g->filters, .value = &op->b, .grad = &op->db});
    magnitude_plan(&op->magnitude, planner, layer->name);
    angular_plan(&op->angular, planner, layer->name, g->filters);
}

static void plan_kept(struct planner *planner, struct sphere_op *op) {
    size_t filters = (size_t)op->conv.g.filters;
    size_t positions = (size_t)conv_positions(&op->conv.g, planner->batch);
    if (op->ordinary)
        return;
    if (!op->y_is_g)
        plan_keep(planner, positions * filters, &op->g);
    plan_keep(planner, positions, &op->x_norm);
    plan_keep(planner, positions, &op->x_inverse);
    plan_keep(planner, filters, &op->w_norm);
    plan_keep(planner, filters, &op->w_inverse);
    plan_keep(planner, filters, &op->w_factor);
}

bool filters_plan(struct layer *layer, struct planner *planner, const struct operator_config *config,
                  const struct conv_geometry *geometry, enum conv_choice algorithm, bool bias, enum filters_use use) {
    struct sphere_op *op = layer->state;
    if (!sphere_op_init(op, config, geometry, algorithm, bias))
        return layer_error(
            planner, layer,
            "conv_algorithm winograd is for 3x3 kernels with stride 1 and padding 1, and for multiples of "
            "%d channels and filters; choose auto or im2col",
            (int)LANES);
    if (planner->gradient_sums)
        op->conv.partials = planner->gradient_sums;
    if (!planner->fewest_sums || op->conv.partials < planner->fewest_sums)
        planner->fewest_sums = op->conv.partials;
    plan_parameters(layer, planner, op, use);
    plan_kept(planner, op);
    plan_scratch(planner, sphere_op_scratch(op, planner->batch, planner->threads, false));
    plan_backward_scratch(planner, sphere_op_scratch(op, planner->batch, planner->threads, true));
    layer->in_place = shape_size(&layer->in) == shape_size(&layer->out);
    layer->multiply_adds = (int64_t)conv_positions(geometry, 1) * geometry->filters * conv_patch(geometry);
    return true;
}

void filters_forward(struct layer *layer, const struct step *step, real *y, const struct view *x, real *moments) {
    sphere_op_forward(layer->state, step, y, x, moments);
}

void filters_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                      const struct gradient *dy, const struct view *x) {
    sphere_op_backward(layer->state, step, dx, dy, x);
}
