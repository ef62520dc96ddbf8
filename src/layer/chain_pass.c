/* The two passes through a chain. */
#include "kernel/moments.h"
#include "kernel/reduce.h"
#include "layer/chain.h"
#include "layer/profile.h"

static int positions(const struct layer *layer) {
    return layer->out.height * layer->out.width;
}

static void join_moments(const struct fused_block *block, const struct step *step) {
    int channels = block->layer->out.channels;
    if (!block->layer->type->fills_moments)
        moments_measure(block->moments, block->y, step->n, positions(block->layer), channels, step->threads);
    moments_join(block->mean, block->variance, block->moments, step->n, positions(block->layer), channels);
}

static struct step with_scratch(const struct step *step, real *scratch) {
    struct step own = *step;
    own.scratch = scratch;
    return own;
}

/* What the block's layer makes of x, before the layers that fold into it. */
static void layer_forward(struct fused_block *block, const struct step *step, const struct view *x) {
    struct layer *layer = block->layer;
    if (block->steps_aside && step->mode == STEP_EVALUATE) {
        block->view = *x;
        return;
    }
    struct step own = with_scratch(step, block->forward_scratch);
    real *moments = step->mode == STEP_TRAIN ? block->moments : NULL;
    layer->type->forward(layer, &own, block->y, x, moments);
    block->view = (struct view){.data = block->y, .channels = layer->out.channels};
    if (moments) {
        join_moments(block, step);
        block->view.mean = block->mean;
        block->view.variance = block->variance;
    }
}

const struct view *chain_forward(struct chain *chain, const struct step *step, const struct view *x) {
    for (int s = 0; s < chain->block_count; s++) {
        struct fused_block *block = &chain->blocks[s];
        layer_forward(block, step, x);
        profile_add(step->profile, block->layer, PASS_FORWARD);
        for (int i = 0; i < block->fold_count; i++) {
            block->inputs[i] = block->view;
            block->folds[i].type->fold(&block->folds[i], step, &block->view);
            profile_add(step->profile, &block->folds[i], PASS_FORWARD);
        }
        x = &block->view;
    }
    return x;
}

/* Turns the gradient of the block's values into that of y, and sets the gradients of the folded layers' parameters. */
static void unfold(const struct fused_block *block, const struct step *step, struct gradient *gradient) {
    int channels = block->layer->out.channels;
    real *scale_d = block->coefficients, *scale_x = scale_d + channels, *offset = scale_x + channels;
    reduce_in_order(block->joined, block->sums, step->n, 2 * channels);
    for (int c = 0; c < channels; c++) {
        scale_d[c] = 1;
        scale_x[c] = offset[c] = 0;
    }
    for (int i = block->fold_count - 1; i >= 0; i--) {
        const struct view *in = &block->inputs[i];
        struct fold_gradient fold = {
            .count = step->n * positions(block->layer),
            .scale_d = scale_d,
            .scale_x = scale_x,
            .offset = offset,
            .sum = block->joined,
            .product = block->joined + channels,
            .mean = in->mean,
            .variance = in->variance,
            .scale = in->scale,
            .shift = in->shift,
        };
        if (block->folds[i].type->unfold)
            block->folds[i].type->unfold(&block->folds[i], step, &fold);
        profile_add(step->profile, &block->folds[i], PASS_BACKWARD);
    }
    gradient->scale_d = scale_d;
    gradient->scale_x = scale_x;
    gradient->offset = offset;
}

static void block_backward(const struct fused_block *block, const struct step *step, const struct gradient_target *dx,
                           const real *d, const struct view *x) {
    struct gradient gradient = {.d = d, .of = block->view};
    if (block->sums)
        unfold(block, step, &gradient);
    struct step own = with_scratch(step, block->backward_scratch);
    block->layer->type->backward(block->layer, &own, dx, &gradient, x);
    profile_add(step->profile, block->layer, PASS_BACKWARD);
}

void chain_backward(struct chain *chain, const struct step *step, const struct gradient_target *dx, const real *d,
                    const struct view *x) {
    int last = chain->block_count - 1;
    if (last < 0 && dx) {
        const struct gradient gradient = {.d = d, .of = *x};
        gradient_pass(dx, x, step->n, chain->in.height * chain->in.width, &gradient, step->threads);
    }
    if (last >= 0 && block_is_unfinished(&chain->blocks[last])) {
        const struct fused_block *block = &chain->blocks[last];
        const struct gradient_target finished = {block->gradient, false, block->sums};
        const struct gradient gradient = {.d = d, .of = block->view};
        gradient_pass(&finished, &block->view, step->n, positions(block->layer), &gradient, step->threads);
        d = finished.d;
    }
    for (int s = last; s > 0; s--) {
        const struct fused_block *before = &chain->blocks[s - 1];
        struct gradient_target target = {before->gradient, false, before->sums};
        block_backward(&chain->blocks[s], step, &target, d, &before->view);
        d = target.d;
    }
    if (last >= 0)
        block_backward(&chain->blocks[0], step, dx, d, x);
}
