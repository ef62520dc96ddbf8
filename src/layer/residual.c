/* A residual unit (He et al. 2016): y = body(x) + shortcut(x). */
#include <assert.h>

#include "kernel/vector.h"
#include "layer/chain_memory.h"
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

/* Where the gradient of the sum is, which both branches read. */
enum sum_place {
    SUM_IS_DY,    /* in dy->d, while dx lies elsewhere or is not wanted */
    SUM_IS_DX,    /* in dy->d, which is also dx->d: the identity's share of dx, to which the body's is added */
    SUM_IS_COPIED /* in memory of its own, since dy->d is not it, or is added to before it is read */
};

struct residual {
    struct chain body, shortcut;
    enum sum_place sum_is;
    real *sum_gradient; /* where it is copied */
};

static bool residual_plan(struct layer *layer, struct planner *planner) {
    struct residual *unit = layer->state;
    const struct residual_config *config = layer->choice.config;
    if (planner->depth >= PLAN_DEPTH)
        return layer_error(planner, layer, "residual units nest more than %d deep", PLAN_DEPTH - 1);
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
    layer->in_place = !unit->shortcut.fusion_count && chain_in_place(&unit->body);
    return true;
}

static void residual_plan_forward(struct layer *layer, struct planner *planner, const struct fusion *x) {
    struct residual *unit = layer->state;
    const struct fusion *body = chain_plan_forward(&unit->body, planner, x);
    const struct fusion *shortcut = chain_plan_forward(&unit->shortcut, planner, x);
    plan_tick(planner);
    plan_use_view(planner, body);
    plan_use_view(planner, shortcut);
}

static void residual_plan_backward(struct layer *layer, struct planner *planner,
                                   const struct planned_gradient *gradient) {
    struct residual *unit = layer->state;
    struct planned_gradient of_branch = *gradient;
    bool in_place = gradient->dx != NO_BUFFER && gradient->dx == gradient->d;
    of_branch.scaled = false;
    unit->sum_is = in_place ? SUM_IS_DX : SUM_IS_DY;
    if (gradient->scaled || (in_place && gradient->add)) {
        unit->sum_is = SUM_IS_COPIED;
        of_branch.d = plan_buffer(planner, shape_size(&layer->out) * (size_t)planner->batch, &unit->sum_gradient);
        plan_use(planner, of_branch.d);
    }
    of_branch.add = gradient->add || unit->sum_is == SUM_IS_DX;
    chain_plan_backward(&unit->body, planner, of_branch);
    of_branch.add = true;
    if (unit->sum_is != SUM_IS_DX)
        chain_plan_backward(&unit->shortcut, planner, of_branch);
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

static void copy_sum_gradient(const struct layer *layer, const struct step *step, const struct gradient *dy) {
    const struct residual *unit = layer->state;
    int positions = layer->out.height * layer->out.width;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++)
        gradient_read(dy, (size_t)image * (size_t)positions, positions,
                      unit->sum_gradient + (size_t)image * shape_size(&layer->out));
}

static void residual_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                              const struct gradient *dy, const struct view *x) {
    struct residual *unit = layer->state;
    const real *sum = dy->d;
    if (unit->sum_is == SUM_IS_COPIED) {
        copy_sum_gradient(layer, step, dy);
        sum = unit->sum_gradient;
    }
    profile_add(step->profile, layer, PASS_BACKWARD);
    if (unit->sum_is == SUM_IS_DX) {
        assert(dx->d == dy->d);
        const struct gradient_target whole = {dx->d, true, dx->sums, dx->positions};
        chain_backward(&unit->body, step, &whole, sum, x);
        return;
    }
    const struct gradient_target first = {dx ? dx->d : NULL, dx && dx->add, NULL, 0};
    const struct gradient_target second = {first.d, true, dx ? dx->sums : NULL, dx ? dx->positions : 0};
    chain_backward(&unit->body, step, dx ? &first : NULL, sum, x);
    chain_backward(&unit->shortcut, step, dx ? &second : NULL, sum, x);
}

static const struct chain *residual_branch(const struct layer *layer, int index) {
    const struct residual *unit = layer->state;
    return index == 0 ? &unit->body : index == 1 ? &unit->shortcut : NULL;
}

const struct layer_type layer_residual = {
    .kind = {"residual", "body(x) + shortcut(x)", params, sizeof(layer_residual_config)},
    .state_size = sizeof(struct residual),
    .plan = residual_plan,
    .forward = residual_forward,
    .backward = residual_backward,
    .branch = residual_branch,
    .plan_forward = residual_plan_forward,
    .plan_backward = residual_plan_backward,
};
