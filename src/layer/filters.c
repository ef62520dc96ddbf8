#include "layer/filters.h"

static void plan_parameters(const struct layer *layer, struct planner *planner, struct sphere_op *op, bool dense) {
    const struct conv_geometry *g = &op->geometry;
    enum tensor_role role = op->magnitude->scale_free ? ROLE_SPHERE_WEIGHT : ROLE_WEIGHT;
    plan_filters(planner, layer, role, dense, g->filters, g->kernel_h, g->kernel_w, g->channels, &op->w, &op->dw);
    if (op->bias)
        plan_vector(planner, layer, "bias", ROLE_BIAS, true, g->filters, 0, &op->b, &op->db);
    if (op->angular->trains_k)
        plan_vector(planner, layer, "k", ROLE_K, true, op->config->k_shared == K_PER_LAYER ? 1 : g->filters,
                    op->config->initial_k, &op->k, &op->dk);
}

static void plan_kept(struct planner *planner, struct sphere_op *op) {
    size_t filters = (size_t)op->geometry.filters;
    size_t positions = (size_t)conv_positions(&op->geometry, planner->batch);
    if (sphere_op_ordinary(op))
        return;
    if (!sphere_op_output_is_cosine(op))
        plan_keep(planner, positions * filters, &op->c);
    plan_keep(planner, positions, &op->x_norm);
    plan_keep(planner, positions, &op->x_inverse);
    plan_keep(planner, filters, &op->w_norm);
    plan_keep(planner, filters, &op->w_inverse);
    plan_keep(planner, filters, &op->w_factor);
    plan_keep(planner, ANGULAR_COEFFICIENTS * filters, &op->coefficients);
}

void filters_plan(struct layer *layer, struct planner *planner, const struct operator_config *config,
                  struct conv_geometry geometry, bool bias, bool dense) {
    struct sphere_op *op = layer->state;
    sphere_op_init(op, config, geometry, bias);
    plan_parameters(layer, planner, op, dense);
    plan_kept(planner, op);
    plan_scratch(planner, sphere_op_scratch(op, planner->batch));
    layer->reads_input = true;
    layer->reads_output = sphere_op_output_is_cosine(op);
    layer->multiply_adds = (int64_t)conv_positions(&geometry, 1) * geometry.filters * conv_patch(&geometry);
}

void filters_forward(struct layer *layer, const struct pass *pass, real *y, const real *x) {
    sphere_op_forward(layer->state, pass->n, y, x, pass->scratch);
}

void filters_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                      const real *y) {
    sphere_op_backward(layer->state, pass->n, dx, dy, x, y, pass->scratch);
}
