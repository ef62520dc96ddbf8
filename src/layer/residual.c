/* A residual unit (He et al. 2016): y = body(x) + shortcut(x). */
#include "layer/chain.h"
#include "layer/layers.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    KINDS_KEY(struct residual_config, body, "body", NULL, &layer_registry,
              "the layers whose output is added to the shortcut"),
    KINDS_KEY(struct residual_config, shortcut, "shortcut", "[]", &layer_registry,
              "layers the input takes on its way to the sum; none: the identity"),
    END_OF_KEYS,
};

struct residual {
    struct chain body, shortcut;
};

static bool residual_plan(struct layer *layer, struct planner *planner) {
    struct residual *unit = layer->state;
    const struct residual_config *config = layer->choice.config;
    if (planner->depth >= PLAN_LEVELS)
        return plan_error(planner, layer, "residual units nest more than %d deep", PLAN_LEVELS - 1);
    if (!config->body.count)
        return plan_error(planner, layer, "the body has no layers");
    if (!chain_plan(&unit->body, planner, &config->body, layer->in) ||
        !chain_plan(&unit->shortcut, planner, &config->shortcut, layer->in))
        return false;
    struct shape *body = &unit->body.out, *shortcut = &unit->shortcut.out;
    if (body->height != shortcut->height || body->width != shortcut->width || body->channels != shortcut->channels)
        return plan_error(planner, layer,
                          "the body's output is %dx%dx%d, the shortcut's %dx%dx%d; they are to be added", body->height,
                          body->width, body->channels, shortcut->height, shortcut->width, shortcut->channels);
    layer->out = *body;
    layer->reads_input = true;
    return true;
}

static size_t values(const struct shape *shape, const struct pass *pass) {
    return shape_size(shape) * (size_t)pass->n;
}

static void residual_forward(struct layer *layer, const struct pass *pass, real *y, const real *x) {
    struct residual *unit = layer->state;
    const real *body = chain_forward(&unit->body, pass, x);
    const real *shortcut = chain_forward(&unit->shortcut, pass, x);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < values(&layer->out, pass); i++)
        y[i] = body[i] + shortcut[i];
}

static void residual_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                              const real *y) {
    (void)y;
    struct residual *unit = layer->state;
    bool identity = !unit->shortcut.count;
    real *shortcut = pass->gradients[unit->body.level][2];
    chain_backward(&unit->body, pass, dx, dy, x);
    if (!identity)
        chain_backward(&unit->shortcut, pass, dx ? shortcut : NULL, dy, x);
    if (!dx)
        return;
    const real *added = identity ? dy : shortcut;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < values(&layer->in, pass); i++)
        dx[i] += added[i];
}

static const struct chain *residual_branch(const struct layer *layer, int index) {
    const struct residual *unit = layer->state;
    return index == 0 ? &unit->body : index == 1 ? &unit->shortcut : NULL;
}

const struct layer_type layer_residual = {
    .kind = {"residual", "body(x) + shortcut(x)", params, sizeof(struct residual_config)},
    .state_size = sizeof(struct residual),
    .plan = residual_plan,
    .forward = residual_forward,
    .backward = residual_backward,
    .branch = residual_branch,
};
