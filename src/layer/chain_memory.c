#include "layer/chain_memory.h"

static int plan_used(struct planner *planner, size_t reals, real **place) {
    int buffer = plan_buffer(planner, reals, place);
    plan_use(planner, buffer);
    return buffer;
}

static size_t output_reals(const struct planner *planner, const struct fused_block *block) {
    return shape_size(&block->layer->out) * (size_t)planner->batch;
}

/* Of the sums that the block's gradient comes with, and of its moments: two of each channel for each image. */
static size_t sums_reals(const struct planner *planner, const struct fused_block *block) {
    return (size_t)planner->batch * 2 * (size_t)block->layer->out.channels;
}

void plan_use_view(struct planner *planner, const struct fused_block *block) {
    if (!block)
        return;
    if (block->steps_aside)
        plan_use_view(planner, block->source);
    plan_use(planner, block->buffers.y);
    plan_use(planner, block->buffers.mean);
    plan_use(planner, block->buffers.variance);
    for (int i = 0; i < block->fold_count; i++)
        plan_use_kept(planner, &block->folds[i]);
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

static void plan_moments(struct planner *planner, struct fused_block *block) {
    size_t channels = (size_t)block->layer->out.channels;
    bool wanted = false;
    for (int i = 0; i < block->fold_count; i++)
        wanted = wanted || block->folds[i].type->wants_moments;
    if (!wanted || planner->forward_only)
        return;
    plan_used(planner, sums_reals(planner, block), &block->moments);
    block->buffers.mean = plan_used(planner, channels, &block->mean);
    block->buffers.variance = plan_used(planner, channels, &block->variance);
}

/* Whether the block's view goes through ReLU in evaluation. */
static bool view_has_relu(const struct fused_block *block) {
    return block && (block_has_relu(block) || (block->steps_aside && view_has_relu(block->source)));
}

static void block_plan_forward(struct fused_block *block, struct planner *planner, const struct fused_block *x,
                               bool is_output) {
    struct layer *layer = block->layer;
    block->buffers = (struct block_buffers){NO_BUFFER, NO_BUFFER, NO_BUFFER, NO_BUFFER};
    block->source = x;
    /* The output is read as it lies in memory, and a scale would come before the ReLU of the input's view. */
    block->steps_aside = layer->type->only_trains && !is_output && !(block_is_scaled(block) && view_has_relu(x));
    if (layer->type->plan_forward) {
        layer->type->plan_forward(layer, planner, x);
    } else {
        plan_tick(planner);
        plan_use_view(planner, x);
    }
    plan_use_kept(planner, layer);
    plan_used(planner, layer->scratch, &block->forward_scratch);
    if (!(block->steps_aside && planner->forward_only))
        block->buffers.y = plan_used(planner, output_reals(planner, block), &block->y);
    plan_moments(planner, block);
    plan_use_view(planner, block);
    if (block_is_scaled(block) && !planner->forward_only)
        block->buffers.sums = plan_buffer(planner, sums_reals(planner, block), &block->sums);
}

const struct fused_block *chain_plan_forward(struct chain *chain, struct planner *planner,
                                             const struct fused_block *x) {
    for (int s = 0; s < chain->block_count; s++) {
        block_plan_forward(&chain->blocks[s], planner, x, chain->level == 0 && s == chain->block_count - 1);
        x = &chain->blocks[s];
    }
    return x;
}

void chain_plan_turn(const struct chain *chain, struct planner *planner) {
    const struct fused_block *last = &chain->blocks[chain->block_count - 1];
    plan_tick(planner);
    planner->turn = planner->now;
    plan_use_view(planner, last);
    plan_use_kept(planner, last->layer);
    if (chain->block_count > 1)
        plan_use_view(planner, last - 1);
}

/* --- Backward ---------------------------------------------------------------------------------------------------- */

bool chain_in_place(const struct chain *chain) {
    return chain->block_count != 1 || block_is_unfinished(&chain->blocks[0]) || chain->blocks[0].layer->in_place;
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

static void block_plan_backward(struct fused_block *block, struct planner *planner,
                                const struct planned_gradient *gradient) {
    struct layer *layer = block->layer;
    size_t channels = (size_t)layer->out.channels;
    plan_tick(planner);
    plan_use(planner, gradient->d);
    plan_use_view(planner, block);
    plan_use_kept(planner, layer);
    plan_used(planner, layer->backward_scratch, &block->backward_scratch);
    if (gradient->scaled) {
        plan_use(planner, block->buffers.sums);
        plan_used(planner, 2 * channels, &block->joined);
        plan_used(planner, 3 * channels, &block->coefficients);
    }
    if (layer->type->plan_backward)
        layer->type->plan_backward(layer, planner, gradient);
    else
        plan_write(planner, gradient);
}

/* The gradient of the block before: in place of the block's own where that is the chain's, else apart. */
static int plan_input_gradient(struct fused_block *block, struct planner *planner, int d, bool is_own) {
    struct fused_block *before = block - 1;
    if (!is_own || !block->layer->in_place)
        return plan_buffer(planner, output_reals(planner, before), &before->gradient);
    plan_point(planner, d, &before->gradient);
    return d;
}

void chain_plan_backward(struct chain *chain, struct planner *planner, struct planned_gradient gradient) {
    int last = chain->block_count - 1, d = gradient.d;
    bool is_own = last >= 0 && block_is_unfinished(&chain->blocks[last]);
    if (last < 0)
        plan_pass(planner, &gradient);
    if (is_own) {
        struct fused_block *block = &chain->blocks[last];
        d = plan_buffer(planner, output_reals(planner, block), &block->gradient);
        plan_pass(planner, &(struct planned_gradient){.d = gradient.d, .dx = d, .x = block});
    }
    for (int s = last; s >= 0; s--) {
        struct fused_block *block = &chain->blocks[s];
        struct planned_gradient own = gradient;
        own.d = d;
        own.scaled = block_is_scaled(block);
        if (s > 0) {
            own.dx = plan_input_gradient(block, planner, d, is_own);
            own.add = false;
            own.x = block - 1;
        }
        block_plan_backward(block, planner, &own);
        d = own.dx;
        is_own = true;
    }
}
