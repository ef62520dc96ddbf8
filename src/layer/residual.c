/* A residual unit (He et al. 2016): y = body(x) + shortcut(x). */
#include "kernel/vector.h"
#include "layer/chain.h"
#include "layer/configs.h"
#include "layer/profile.h"

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
    real *sum_gradient; /* of y, where dy->d cannot serve */
};

static bool residual_plan(struct layer *layer, struct planner *planner) {
    struct residual *unit = layer->state;
    const struct residual_config *config = layer->choice.config;
    if (planner->depth >= PLAN_LEVELS)
        return layer_error(planner, layer, "residual units nest more than %d deep", PLAN_LEVELS - 1);
    if (!config->body.count)
        return layer_error(planner, layer, "the body has no layers");
    if (!chain_plan(&unit->body, planner, &config->body, layer->in) ||
        !chain_plan(&unit->shortcut, planner, &config->shortcut, layer->in))
        return false;
    struct shape *body = &unit->body.out, *shortcut = &unit->shortcut.out;
    if (body->height != shortcut->height || body->width != shortcut->width || body->channels != shortcut->channels)
        return layer_error(planner, layer,
                           "the body's output is %dx%dx%d, the shortcut's %dx%dx%d; they are to be added", body->height,
                           body->width, body->channels, shortcut->height, shortcut->width, shortcut->channels);
    layer->out = *body;
    /* The identity's share of dx is dy itself, to which the body's is then added. */
    layer->in_place = !unit->shortcut.block_count;
    size_t own = plan_work(planner, shape_size(&layer->out) * (size_t)planner->batch);
    plan_work_at(planner, own, &unit->sum_gradient);
    return true;
}

static void residual_forward(struct layer *layer, const struct step *step, real *y, const struct view *x,
                             real *moments) {
    (void)moments;
    struct residual *unit = layer->state;
    const struct view *body = chain_forward(&unit->body, step, x);
    const struct view *shortcut = chain_forward(&unit->shortcut, step, x);
    int rows = step->n * layer->out.height, width = layer->out.width;
#pragma omp parallel num_threads(step->threads)
    {
#pragma omp for schedule(static)
        for (int row = 0; row < rows; row++) {
            size_t position = (size_t)row * (size_t)width;
            view_sum(body, shortcut, position, width, y + position * (size_t)layer->out.channels);
        }
        vector_stream_end();
    }
}

/* The gradient of y: dy->d, or where that is not it or will be overwritten too soon, in memory of its own. */
static const real *gradient_of_sum(const struct layer *layer, const struct step *step, const struct gradient_target *dx,
                                   const struct gradient *dy) {
    const struct residual *unit = layer->state;
    real *own = unit->sum_gradient;
    int positions = layer->out.height * layer->out.width;
    bool overwritten = dx && dx->d == dy->d && (dx->add || !(layer->in_place && chain_in_place(&unit->body)));
    if (!dy->scale_d && !overwritten)
        return dy->d;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++)
        gradient_read(dy, (size_t)image * (size_t)positions, positions, own + (size_t)image * shape_size(&layer->out));
    return own;
}

static void residual_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                              const struct gradient *dy, const struct view *x) {
    struct residual *unit = layer->state;
    bool identity = !unit->shortcut.block_count;
    const real *sum = gradient_of_sum(layer, step, dx, dy);
    profile_add(step->profile, layer, PASS_BACKWARD);
    if (dx && identity && dx->d == sum) {
        struct gradient_target whole = {dx->d, true, dx->sums};
        chain_backward(&unit->body, step, &whole, sum, x);
        return;
    }
    struct gradient_target first = {dx ? dx->d : NULL, dx && dx->add, NULL};
    struct gradient_target second = {first.d, true, dx ? dx->sums : NULL};
    chain_backward(&unit->body, step, dx ? &first : NULL, sum, x);
    chain_backward(&unit->shortcut, step, dx ? &second : NULL, sum, x);
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
