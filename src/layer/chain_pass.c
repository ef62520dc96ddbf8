/* The two passes through a chain. */
#include "kernel/moments.h"
#include "kernel/reduce.h"
#include "layer/chain.h"
#include "layer/profile.h"

static int positions(const struct layer *layer) {
    return layer->out.height * layer->out.width;
}

static void join_moments(const struct fusion *fusion, const struct step *step) {
    int channels = fusion->layer->out.channels;
    if (!fusion->layer->type->fills_moments)
        moments_measure(fusion->moments, fusion->y, step->n, positions(fusion->layer), channels, step->threads);
    moments_join(fusion->mean, fusion->variance, fusion->moments, step->n, positions(fusion->layer), channels,
                 &step->part);
}

static struct step with_scratch(const struct step *step, real *scratch) {
    struct step own = *step;
    own.scratch = scratch;
    return own;
}

/* What the fusion's layer makes of x, before the layers that fold into it. */
static void layer_forward(struct fusion *fusion, const struct step *step, const struct view *x) {
    struct layer *layer = fusion->layer;
    if (fusion->steps_aside && step->mode == STEP_EVALUATE) {
        fusion->view = *x;
        return;
    }
    struct step own = with_scratch(step, fusion->forward_scratch);
    real *moments = step->mode == STEP_TRAIN ? fusion->moments : NULL;
    layer->type->forward(layer, &own, fusion->y, x, moments);
    fusion->view = (struct view){.data = fusion->y, .channels = layer->out.channels};
    if (moments) {
        join_moments(fusion, step);
        fusion->view.mean = fusion->mean;
        fusion->view.variance = fusion->variance;
    }
}

const struct view *chain_forward(struct chain *chain, const struct step *step, const struct view *x) {
    for (int f = 0; f < chain->fusion_count; f++) {
        struct fusion *fusion = &chain->fusions[f];
        layer_forward(fusion, step, x);
        profile_add(step->profile, fusion->layer, PASS_FORWARD);
        for (int i = 0; i < fusion->fold_count; i++) {
            fusion->inputs[i] = fusion->view;
            fusion->folds[i].type->fold(&fusion->folds[i], step, &fusion->view);
            profile_add(step->profile, &fusion->folds[i], PASS_FORWARD);
        }
        x = &fusion->view;
    }
    return x;
}

/* Turns the gradient of the fusion's values into that of y, and sets the gradients of the folded layers' parameters. */
static void unfold(const struct fusion *fusion, const struct step *step, struct gradient *gradient) {
    int channels = fusion->layer->out.channels;
    real *scale_d = fusion->coefficients, *scale_x = scale_d + channels, *offset = scale_x + channels;
    sums_join(fusion->joined, fusion->sums, step->n, positions(fusion->layer), 2 * channels, step->part.group);
    for (int c = 0; c < channels; c++) {
        scale_d[c] = 1;
        scale_x[c] = offset[c] = 0;
    }
    for (int i = fusion->fold_count - 1; i >= 0; i--) {
        const struct view *in = &fusion->inputs[i];
        struct fold_gradient fold = {
            .count = step_whole(step) * positions(fusion->layer),
            .scale_d = scale_d,
            .scale_x = scale_x,
            .offset = offset,
            .sum = fusion->joined,
            .product = fusion->joined + channels,
            .mean = in->mean,
            .variance = in->variance,
            .scale = in->scale,
            .shift = in->shift,
        };
        if (fusion->folds[i].type->unfold)
            fusion->folds[i].type->unfold(&fusion->folds[i], step, &fold);
        profile_add(step->profile, &fusion->folds[i], PASS_BACKWARD);
    }
    gradient->scale_d = scale_d;
    gradient->scale_x = scale_x;
    gradient->offset = offset;
}

static void fusion_backward(const struct fusion *fusion, const struct step *step, const struct gradient_target *dx,
                            const real *d, const struct view *x) {
    struct gradient gradient = {.d = d, .of = fusion->view};
    if (fusion->sums)
        unfold(fusion, step, &gradient);
    struct step own = with_scratch(step, fusion->backward_scratch);
    fusion->layer->type->backward(fusion->layer, &own, dx, &gradient, x);
    profile_add(step->profile, fusion->layer, PASS_BACKWARD);
}

void chain_backward(struct chain *chain, const struct step *step, const struct gradient_target *dx, const real *d,
                    const struct view *x) {
    int last = chain->fusion_count - 1;
    if (last < 0 && dx) {
        const struct gradient gradient = {.d = d, .of = *x};
        gradient_pass(dx, x, step->n, chain->in.height * chain->in.width, &gradient, step->threads);
    }
    if (last >= 0 && fusion_is_unfinished(&chain->fusions[last])) {
        const struct fusion *fusion = &chain->fusions[last];
        const struct gradient_target finished = {fusion->gradient, false, fusion->sums, positions(fusion->layer)};
        const struct gradient gradient = {.d = d, .of = fusion->view};
        gradient_pass(&finished, &fusion->view, step->n, positions(fusion->layer), &gradient, step->threads);
        d = finished.d;
    }
    for (int f = last; f > 0; f--) {
        const struct fusion *before = &chain->fusions[f - 1];
        struct gradient_target target = {before->gradient, false, before->sums, positions(before->layer)};
        fusion_backward(&chain->fusions[f], step, &target, d, &before->view);
        d = target.d;
    }
    if (last >= 0)
        fusion_backward(&chain->fusions[0], step, dx, d, x);
}
