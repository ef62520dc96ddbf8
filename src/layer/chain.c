#include "layer/chain.h"

#include <stdint.h>
#include <string.h>

#include "kernel/moments.h"
#include "kernel/reduce.h"
#include "layer/profile.h"

enum { MOST_VALUES = 1 << 27, MAX_NAME_BYTES = 200 };

static const char *layer_name(struct planner *planner, const struct choice *choice) {
    const struct layer_config *config = choice->config;
    planner->layers++;
    if (*config->name)
        return config->name;
    return arena_printf(planner->arena, "%s_%d", choice->kind->name, planner->layers);
}

/* Counts of values stay well within int, so that sizes computed from them cannot overflow. */
static bool check_size(struct planner *planner, const struct layer *layer, const struct shape *shape) {
    double values = (double)shape->height * shape->width * shape->channels;
    double positions = (double)shape->height * shape->width * planner->batch;
    if (values <= MOST_VALUES && positions <= MOST_VALUES)
        return true;
    return layer_error(planner, layer, "%dx%dx%d values in batches of %d are too many", shape->height, shape->width,
                       shape->channels, planner->batch);
}

static bool plan_layer(struct planner *planner, struct layer *layer, struct choice choice, struct shape in) {
    *layer = (struct layer){.type = (const struct layer_type *)choice.kind, .choice = choice, .in = in, .out = in};
    layer->number = planner->layers;
    layer->name = layer_name(planner, &choice);
    layer->state = arena_alloc(planner->arena, layer->type->state_size);
    if (strlen(layer->name) > MAX_NAME_BYTES)
        return layer_error(planner, layer, "a name of more than %d bytes", MAX_NAME_BYTES);
    return check_size(planner, layer, &in) && layer->type->plan(layer, planner) &&
           check_size(planner, layer, &layer->out);
}

/* --- Stages ------------------------------------------------------------------------------------------------------ */

static bool has_relu(const struct fused_block *block) {
    for (int i = 0; i < block->fold_count; i++)
        if (block->folds[i].type->is_relu)
            return true;
    return false;
}

static bool is_scaled(const struct fused_block *block) {
    for (int i = 0; i < block->fold_count; i++)
        if (block->folds[i].type->unfold)
            return true;
    return false;
}

/* A layer that folds joins the block before it, unless its input would go through ReLU first: scale and shift come
 * before that. */
static bool joins(const struct chain *chain, const struct layer_type *type) {
    if (!type->fold || !chain->block_count)
        return false;
    return !type->unfold || !has_relu(&chain->blocks[chain->block_count - 1]);
}

/* A new block that begins with `layer`, or with a copy of its input when that layer folds. */
static void begin_stage(struct chain *chain, struct planner *planner, struct layer *layer,
                        const struct layer_type *type) {
    struct fused_block *block = &chain->blocks[chain->block_count++];
    *block = (struct fused_block){.layer = layer, .folds = layer + 1, .first_request = planner->request_count};
    if (type->fold) {
        struct layer *copy = arena_alloc(planner->arena, sizeof *copy);
        *copy = (struct layer){
            .type = &layer_identity, .number = planner->layers, .in = chain->out, .out = chain->out, .in_place = true};
        block->layer = copy;
        block->folds = layer;
    }
    if (chain->level == 0)
        planner->work = planner->scratch = 0;
}

/* When its layers are planned. */
static void end_stage(const struct chain *chain, struct planner *planner) {
    if (!chain->block_count)
        return;
    struct fused_block *block = &chain->blocks[chain->block_count - 1];
    size_t channels = (size_t)block->layer->out.channels, batch = (size_t)planner->batch;
    bool moments = false;
    for (int i = 0; i < block->fold_count; i++)
        moments = moments || block->folds[i].type->wants_moments;
    plan_keep(planner, shape_size(&block->layer->out) * batch, &block->y);
    block->inputs = arena_alloc(planner->arena, sizeof *block->inputs * (size_t)block->fold_count);
    if (moments) {
        plan_keep(planner, batch * 2 * channels, &block->moments);
        plan_keep(planner, channels, &block->mean);
        plan_keep(planner, channels, &block->variance);
    }
    if (is_scaled(block)) {
        plan_keep(planner, batch * 2 * channels, &block->sums);
        plan_keep(planner, 2 * channels, &block->joined);
        plan_keep(planner, 3 * channels, &block->coefficients);
    }
    block->last_request = planner->request_count;
    block->kept = planner->kept;
    block->work = planner->work;
    block->scratch = planner->scratch;
}

/* --- Where gradients go ------------------------------------------------------------------------------------------ */

/* Whether the gradient of a block's values takes a step before the block can use it: gradient_write's work, undone. */
static bool is_unfinished(const struct fused_block *block) {
    return has_relu(block) || is_scaled(block);
}

bool chain_in_place(const struct chain *chain) {
    return chain->block_count != 1 || is_unfinished(&chain->blocks[0]) || chain->blocks[0].layer->in_place;
}

static size_t output_reals(const struct planner *planner, const struct fused_block *block) {
    return shape_size(&block->layer->out) * (size_t)planner->batch;
}

/* A chain within a residual unit has two gradients, which take turns. */
static void plan_inner_gradients(const struct chain *chain, struct planner *planner) {
    int last = chain->block_count - 1, turn = 0;
    if (last >= 0 && !is_unfinished(&chain->blocks[last]))
        last--; /* that block's gradient is the one that the chain is given */
    size_t offset[2] = {0}, most = 0;
    for (int s = 0; s <= last; s++)
        if (most < output_reals(planner, &chain->blocks[s]))
            most = output_reals(planner, &chain->blocks[s]);
    for (int i = 0; i < 2 && i <= last; i++)
        offset[i] = plan_work(planner, most);
    for (int s = last; s >= 0; s--) {
        if (s < last && !chain->blocks[s + 1].layer->in_place)
            turn = 1 - turn;
        plan_work_at(planner, offset[turn], &chain->blocks[s].gradient);
    }
}

/* A piece of the region. */
struct piece {
    size_t offset, reals;
};

/* The lowest place from `floor` on that two pieces leave free. */
static struct piece first_fit(size_t floor, size_t reals, const struct piece *taken) {
    const size_t candidates[] = {floor, taken[0].offset + taken[0].reals, taken[1].offset + taken[1].reals};
    struct piece best = {SIZE_MAX, real_aligned(reals)};
    for (int i = 0; i < 3; i++) {
        size_t begin = candidates[i], end = begin + best.reals;
        bool is_free = begin >= floor;
        for (int j = 0; j < 2; j++)
            is_free = is_free && (end <= taken[j].offset || begin >= taken[j].offset + taken[j].reals);
        if (is_free && begin < best.offset)
            best.offset = begin;
    }
    return best;
}

/* The outermost chain puts gradients and work where activations are not needed any more. */
static void plan_outer_gradients(const struct chain *chain, struct planner *planner) {
    struct piece live[2] = {{0, 0}, {0, 0}}; /* the gradients of a block's output and of its input */
    for (int s = chain->block_count - 1; s >= 0; s--) {
        struct fused_block *block = &chain->blocks[s], *before = block - 1;
        size_t floor = block->kept, work = real_aligned(block->work);
        if (s == chain->block_count - 1 && is_unfinished(block)) {
            live[0] = first_fit(floor, output_reals(planner, block), live);
            plan_place(planner, live[0].offset, live[0].reals, &block->gradient);
        }
        live[1] = live[0];
        if (s > 0 && !(block->layer->in_place && live[0].reals))
            live[1] = first_fit(floor, output_reals(planner, before), live);
        struct piece all = first_fit(floor, work + block->scratch, live);
        plan_place(planner, all.offset + work, block->scratch, &block->backward_scratch);
        plan_place_work(planner, block->first_request, block->last_request, all.offset);
        plan_place(planner, floor, block->scratch, &block->forward_scratch);
        if (s > 0)
            plan_place(planner, live[1].offset, live[1].reals, &before->gradient);
        live[0] = live[1];
    }
}

bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in) {
    *chain = (struct chain){.count = list->count, .level = planner->depth, .in = in, .out = in};
    chain->layers = arena_alloc(planner->arena, sizeof *chain->layers * (size_t)list->count);
    chain->blocks = arena_alloc(planner->arena, sizeof *chain->blocks * (size_t)list->count);
    planner->depth++;
    for (int i = 0; i < list->count; i++) {
        const struct layer_type *type = (const struct layer_type *)list->choices[i].kind;
        if (!joins(chain, type)) {
            end_stage(chain, planner);
            begin_stage(chain, planner, &chain->layers[i], type);
        }
        /* After a mistake the shapes are unknown, and complaints about them would mislead. */
        if (!plan_layer(planner, &chain->layers[i], list->choices[i], chain->out))
            return false;
        chain->out = chain->layers[i].out;
        if (type->fold)
            chain->blocks[chain->block_count - 1].fold_count++;
    }
    planner->depth--;
    end_stage(chain, planner);
    if (chain->level > 0)
        plan_inner_gradients(chain, planner);
    else
        plan_outer_gradients(chain, planner);
    return true;
}

/* --- Passes ------------------------------------------------------------------------------------------------------ */

static int positions(const struct layer *layer) {
    return layer->out.height * layer->out.width;
}

static void join_moments(const struct fused_block *block, const struct step *step) {
    int channels = block->layer->out.channels;
    if (!block->layer->type->fills_moments)
        moments_measure(block->moments, block->y, step->n, positions(block->layer), channels, step->threads);
    moments_join(block->mean, block->variance, block->moments, step->n, positions(block->layer), channels);
}

/* A block of the outermost chain has scratch of its own, shared with the blocks within. */
static struct step step_through(const struct step *step, real *scratch) {
    struct step own = *step;
    if (scratch)
        own.scratch = scratch;
    return own;
}

const struct view *chain_forward(struct chain *chain, const struct step *step, const struct view *x) {
    for (int s = 0; s < chain->block_count; s++) {
        struct fused_block *block = &chain->blocks[s];
        struct step own = step_through(step, block->forward_scratch);
        real *moments = step->mode == STEP_TRAIN ? block->moments : NULL;
        block->layer->type->forward(block->layer, &own, block->y, x, moments);
        profile_add(step->profile, block->layer, PASS_FORWARD);
        block->view = (struct view){.data = block->y, .channels = block->layer->out.channels};
        if (moments) {
            join_moments(block, step);
            block->view.mean = block->mean;
            block->view.variance = block->variance;
        }
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

static void stage_backward(const struct fused_block *block, const struct step *step, const struct gradient_target *dx,
                           const real *d, const struct view *x) {
    struct gradient gradient = {.d = d, .of = block->view};
    if (block->sums)
        unfold(block, step, &gradient);
    struct step own = step_through(step, block->backward_scratch);
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
    if (last >= 0 && is_unfinished(&chain->blocks[last])) {
        const struct fused_block *block = &chain->blocks[last];
        const struct gradient_target finished = {block->gradient, false, block->sums};
        const struct gradient gradient = {.d = d, .of = block->view};
        gradient_pass(&finished, &block->view, step->n, positions(block->layer), &gradient, step->threads);
        d = finished.d;
    }
    for (int s = last; s > 0; s--) {
        const struct fused_block *before = &chain->blocks[s - 1];
        struct gradient_target target = {before->gradient, false, before->sums};
        stage_backward(&chain->blocks[s], step, &target, d, &before->view);
        d = target.d;
    }
    if (last >= 0)
        stage_backward(&chain->blocks[0], step, dx, d, x);
}

void chain_visit(const struct chain *chain, void (*visit)(const struct layer *layer, int level, void *context),
                 void *context) {
    for (int i = 0; i < chain->count; i++) {
        const struct layer *layer = &chain->layers[i];
        visit(layer, chain->level, context);
        for (int b = 0; layer->type->branch && layer->type->branch(layer, b); b++)
            chain_visit(layer->type->branch(layer, b), visit, context);
    }
}
