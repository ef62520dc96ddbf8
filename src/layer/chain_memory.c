#include "layer/chain_memory.h"

static int plan_used(struct planner *planner, size_t reals, real **place) {
    int buffer = plan_buffer(planner, reals, place);
    plan_use(planner, buffer);
    return buffer;
}

static size_t output_reals(const struct planner *planner, const struct fusion *fusion) {
    return shape_size(&fusion->layer->out) * (size_t)planner->batch;
}

/* Two of each channel for each image. */
static size_t moments_reals(const struct planner *planner, const struct fusion *fusion) {
    return (size_t)planner->batch * 2 * (size_t)fusion->layer->out.channels;
}

/* Of the sums that the fusion's gradient comes with. */
static size_t sums_of_batch(const struct planner *planner, const struct fusion *fusion) {
    const struct shape *out = &fusion->layer->out;
    return (size_t)planner->batch * gradient_sums_reals(out->height * out->width, out->channels);
}

void plan_use_view(struct planner *planner, const struct fusion *fusion) {
    if (!fusion)
        return;
    if (fusion->steps_aside)
        plan_use_view(planner, fusion->source);
    plan_use(planner, fusion->buffers.y);
    plan_use(planner, fusion->buffers.mean);
    plan_use(planner, fusion->buffers.variance);
    for (int i = 0; i < fusion->fold_count; i++)
        plan_use_kept(planner, &fusion->folds[i]);
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

static void plan_moments(struct planner *planner, struct fusion *fusion) {
    size_t channels = (size_t)fusion->layer->out.channels;
    bool wanted = false;
    for (int i = 0; i < fusion->fold_count; i++)
        wanted = wanted || fusion->folds[i].type->wants_moments;
    if (!wanted || planner->forward_only)
        return;
    plan_used(planner, moments_reals(planner, fusion), &fusion->moments);
    fusion->buffers.mean = plan_used(planner, channels, &fusion->mean);
    fusion->buffers.variance = plan_used(planner, channels, &fusion->variance);
}

/* Whether the fusion's view goes through ReLU in evaluation. */
static bool view_has_relu(const struct fusion *fusion) {
    return fusion && (fusion_has_relu(fusion) || (fusion->steps_aside && view_has_relu(fusion->source)));
}

static void fusion_plan_forward(struct fusion *fusion, struct planner *planner, const struct fusion *x,
                                bool is_output) {
    struct layer *layer = fusion->layer;
    fusion->buffers = (struct fusion_buffers){NO_BUFFER, NO_BUFFER, NO_BUFFER, NO_BUFFER};
    fusion->source = x;
    /* The output is read as it lies in memory, and a scale would come before the ReLU of the input's view. */
    fusion->steps_aside = layer->type->only_trains && !is_output && !(fusion_is_scaled(fusion) && view_has_relu(x));
    if (layer->type->plan_forward) {
        layer->type->plan_forward(layer, planner, x);
    } else {
        plan_tick(planner);
        plan_use_view(planner, x);
    }
    plan_use_kept(planner, layer);
    plan_used(planner, layer->scratch, &fusion->forward_scratch);
    if (!(fusion->steps_aside && planner->forward_only))
        fusion->buffers.y = plan_used(planner, output_reals(planner, fusion), &fusion->y);
    plan_moments(planner, fusion);
    plan_use_view(planner, fusion);
    if (fusion_is_scaled(fusion) && !planner->forward_only)
        fusion->buffers.sums = plan_buffer(planner, sums_of_batch(planner, fusion), &fusion->sums);
}

const struct fusion *chain_plan_forward(struct chain *chain, struct planner *planner, const struct fusion *x) {
    for (int f = 0; f < chain->fusion_count; f++) {
        fusion_plan_forward(&chain->fusions[f], planner, x, chain->depth == 0 && f == chain->fusion_count - 1);
        x = &chain->fusions[f];
    }
    return x;
}

void chain_plan_turn(const struct chain *chain, struct planner *planner) {
    const struct fusion *last = &chain->fusions[chain->fusion_count - 1];
    plan_tick(planner);
    planner->turn = planner->now;
    plan_use_view(planner, last);
    plan_use_kept(planner, last->layer);
    if (chain->fusion_count > 1)
        plan_use_view(planner, last - 1);
}

/* --- Backward ---------------------------------------------------------------------------------------------------- */

bool chain_in_place(const struct chain *chain) {
    return chain->fusion_count != 1 || fusion_is_unfinished(&chain->fusions[0]) || chain->fusions[0].layer->in_place;
}

/* gradient_write: what is added to dx, its ReLU's mask and its sums. */
static void plan_write(struct planner *planner, const struct planned_gradient *gradient) {
    plan_use(planner, gradient->dx);
    plan_use_view(planner, gradient->x);
    if (gradient->x)
        plan_use(planner, gradient->x->buffers.sums);
}

/* gradient_pass: from d to dx, in a step of its own. */
static void plan_pass(struct planner *planner, const struct planned_gradient *gradient) {
    plan_tick(planner);
    plan_use(planner, gradient->d);
    plan_write(planner, gradient);
}

static void fusion_plan_backward(struct fusion *fusion, struct planner *planner,
                                 const struct planned_gradient *gradient) {
    struct layer *layer = fusion->layer;
    size_t channels = (size_t)layer->out.channels;
    plan_tick(planner);
    plan_use(planner, gradient->d);
    plan_use_view(planner, fusion);
    plan_use_kept(planner, layer);
    plan_used(planner, layer->backward_scratch, &fusion->backward_scratch);
    if (gradient->scaled) {
        plan_use(planner, fusion->buffers.sums);
        plan_used(planner, 2 * channels, &fusion->joined);
        plan_used(planner, 3 * channels, &fusion->coefficients);
    }
    if (layer->type->plan_backward)
        layer->type->plan_backward(layer, planner, gradient);
    else
        plan_write(planner, gradient);
}

/* The gradient of the fusion before: in place of the fusion's own where that is the chain's, else apart. */
static int plan_input_gradient(struct fusion *fusion, struct planner *planner, int d, bool is_own) {
    struct fusion *before = fusion - 1;
    if (!is_own || !fusion->layer->in_place)
        return plan_buffer(planner, output_reals(planner, before), &before->gradient);
    plan_point(planner, d, &before->gradient);
    return d;
}

void chain_plan_backward(struct chain *chain, struct planner *planner, struct planned_gradient gradient) {
    int last = chain->fusion_count - 1, d = gradient.d;
    bool is_own = last >= 0 && fusion_is_unfinished(&chain->fusions[last]);
    if (last < 0)
        plan_pass(planner, &gradient);
    if (is_own) {
        struct fusion *fusion = &chain->fusions[last];
        d = plan_buffer(planner, output_reals(planner, fusion), &fusion->gradient);
        plan_pass(planner, &(struct planned_gradient){.d = gradient.d, .dx = d, .x = fusion});
    }
    for (int f = last; f >= 0; f--) {
        struct fusion *fusion = &chain->fusions[f];
        struct planned_gradient own = gradient;
        own.d = d;
        own.scaled = fusion_is_scaled(fusion);
        if (f > 0) {
            own.dx = plan_input_gradient(fusion, planner, d, is_own);
            own.add = false;
            own.x = fusion - 1;
        }
        fusion_plan_backward(fusion, planner, &own);
        d = own.dx;
        is_own = true;
    }
}
