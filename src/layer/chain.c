#include "layer/chain.h"

#include <stdint.h>
#include <string.h>

#include "kernel/chunk.h"
#include "layer/times.h"

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
    return plan_error(planner, layer, "%dx%dx%d values in batches of %d are too many", shape->height, shape->width,
                      shape->channels, planner->batch);
}

static bool plan_layer(struct planner *planner, struct layer *layer, struct choice choice, struct shape in) {
    *layer = (struct layer){.type = (const struct layer_type *)choice.kind, .choice = choice, .in = in, .out = in};
    layer->number = planner->layers;
    layer->name = layer_name(planner, &choice);
    layer->state = arena_alloc(planner->arena, layer->type->state_size);
    if (strlen(layer->name) > MAX_NAME_BYTES)
        return plan_error(planner, layer, "a name of more than %d bytes", MAX_NAME_BYTES);
    return check_size(planner, layer, &in) && layer->type->plan(layer, planner) &&
           check_size(planner, layer, &layer->out);
}

/* --- Stages ------------------------------------------------------------------------------------------------------ */

static bool is_rectified(const struct stage *stage) {
    for (int i = 0; i < stage->map_count; i++)
        if (stage->maps[i].type->rectifies)
            return true;
    return false;
}

static bool is_scaled(const struct stage *stage) {
    for (int i = 0; i < stage->map_count; i++)
        if (stage->maps[i].type->unmap)
            return true;
    return false;
}

/* A map joins the stage before it, unless its input would be rectified first: scale and shift come before that. */
static bool joins(const struct chain *chain, const struct layer_type *type) {
    if (!type->map || !chain->stage_count)
        return false;
    return !type->unmap || !is_rectified(&chain->stages[chain->stage_count - 1]);
}

/* A new stage that begins with `layer`, or with a copy of its input when that is a map. */
static void begin_stage(struct chain *chain, struct planner *planner, struct layer *layer,
                        const struct layer_type *type) {
    struct stage *stage = &chain->stages[chain->stage_count++];
    *stage = (struct stage){.layer = layer, .maps = layer + 1, .first_request = planner->request_count};
    if (type->map) {
        struct layer *copy = arena_alloc(planner->arena, sizeof *copy);
        *copy = (struct layer){
            .type = &layer_copy, .number = planner->layers, .in = chain->out, .out = chain->out, .in_place = true};
        stage->layer = copy;
        stage->maps = layer;
    }
    if (chain->level == 0)
        planner->work = planner->scratch = 0;
}

/* When its layers are planned. */
static void end_stage(const struct chain *chain, struct planner *planner) {
    if (!chain->stage_count)
        return;
    struct stage *stage = &chain->stages[chain->stage_count - 1];
    size_t channels = (size_t)stage->layer->out.channels, batch = (size_t)planner->batch;
    bool moments = false;
    for (int i = 0; i < stage->map_count; i++)
        moments = moments || stage->maps[i].type->wants_moments;
    plan_keep(planner, shape_size(&stage->layer->out) * batch, &stage->y);
    stage->inputs = arena_alloc(planner->arena, sizeof *stage->inputs * (size_t)stage->map_count);
    if (moments) {
        plan_keep(planner, batch * 2 * channels, &stage->moments);
        plan_keep(planner, channels, &stage->mean);
        plan_keep(planner, channels, &stage->variance);
    }
    if (is_scaled(stage)) {
        plan_keep(planner, batch * 2 * channels, &stage->sums);
        plan_keep(planner, 2 * channels, &stage->joined);
        plan_keep(planner, 3 * channels, &stage->coefficients);
    }
    stage->last_request = planner->request_count;
    stage->kept = planner->kept;
    stage->work = planner->work;
    stage->scratch = planner->scratch;
}

/* --- Where gradients go ------------------------------------------------------------------------------------------ */

/* Whether the gradient of a stage's values takes a pass before the stage can use it: gradient_write's work, undone. */
static bool is_unfinished(const struct stage *stage) {
    return is_rectified(stage) || is_scaled(stage);
}

bool chain_in_place(const struct chain *chain) {
    return chain->stage_count != 1 || is_unfinished(&chain->stages[0]) || chain->stages[0].layer->in_place;
}

static size_t output_reals(const struct planner *planner, const struct stage *stage) {
    return shape_size(&stage->layer->out) * (size_t)planner->batch;
}

/* A chain within a residual unit has two gradients, which take turns. */
static void plan_inner_gradients(const struct chain *chain, struct planner *planner) {
    int last = chain->stage_count - 1, turn = 0;
    if (last >= 0 && !is_unfinished(&chain->stages[last]))
        last--; /* that stage's gradient is the one that the chain is given */
    size_t offset[2] = {0}, most = 0;
    for (int s = 0; s <= last; s++)
        if (most < output_reals(planner, &chain->stages[s]))
            most = output_reals(planner, &chain->stages[s]);
    for (int i = 0; i < 2 && i <= last; i++)
        offset[i] = plan_work(planner, most);
    for (int s = last; s >= 0; s--) {
        if (s < last && !chain->stages[s + 1].layer->in_place)
            turn = 1 - turn;
        plan_work_at(planner, offset[turn], &chain->stages[s].gradient);
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
    struct piece live[2] = {{0, 0}, {0, 0}}; /* the gradients of a stage's output and of its input */
    for (int s = chain->stage_count - 1; s >= 0; s--) {
        struct stage *stage = &chain->stages[s], *before = stage - 1;
        size_t floor = stage->kept, work = real_aligned(stage->work);
        if (s == chain->stage_count - 1 && is_unfinished(stage)) {
            live[0] = first_fit(floor, output_reals(planner, stage), live);
            plan_place(planner, live[0].offset, live[0].reals, &stage->gradient);
        }
        live[1] = live[0];
        if (s > 0 && !(stage->layer->in_place && live[0].reals))
            live[1] = first_fit(floor, output_reals(planner, before), live);
        struct piece all = first_fit(floor, work + stage->scratch, live);
        plan_place(planner, all.offset + work, stage->scratch, &stage->backward_scratch);
        plan_place_work(planner, stage->first_request, stage->last_request, all.offset);
        plan_place(planner, floor, stage->scratch, &stage->forward_scratch);
        if (s > 0)
            plan_place(planner, live[1].offset, live[1].reals, &before->gradient);
        live[0] = live[1];
    }
}

bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in) {
    *chain = (struct chain){.count = list->count, .level = planner->depth, .in = in, .out = in};
    chain->layers = arena_alloc(planner->arena, sizeof *chain->layers * (size_t)list->count);
    chain->stages = arena_alloc(planner->arena, sizeof *chain->stages * (size_t)list->count);
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
        if (type->map)
            chain->stages[chain->stage_count - 1].map_count++;
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

static void join_moments(const struct stage *stage, const struct pass *pass) {
    int channels = stage->layer->out.channels;
    if (!stage->layer->type->fills_moments)
        moments_measure(stage->moments, stage->y, pass->n, positions(stage->layer), channels);
    moments_join(stage->mean, stage->variance, stage->moments, pass->n, positions(stage->layer), channels);
}

/* A stage of the outermost chain has scratch of its own, shared with the stages within. */
static struct pass pass_through(const struct pass *pass, real *scratch) {
    struct pass own = *pass;
    if (scratch)
        own.scratch = scratch;
    return own;
}

const struct view *chain_forward(struct chain *chain, const struct pass *pass, const struct view *x) {
    for (int s = 0; s < chain->stage_count; s++) {
        struct stage *stage = &chain->stages[s];
        struct pass own = pass_through(pass, stage->forward_scratch);
        real *moments = pass->training ? stage->moments : NULL;
        stage->layer->type->forward(stage->layer, &own, stage->y, x, moments);
        layer_times_add(pass->times, stage->layer, PASS_FORWARD);
        stage->view = (struct view){.data = stage->y, .channels = stage->layer->out.channels};
        if (moments) {
            join_moments(stage, pass);
            stage->view.mean = stage->mean;
            stage->view.variance = stage->variance;
        }
        for (int i = 0; i < stage->map_count; i++) {
            stage->inputs[i] = stage->view;
            stage->maps[i].type->map(&stage->maps[i], pass, &stage->view);
            layer_times_add(pass->times, &stage->maps[i], PASS_FORWARD);
        }
        x = &stage->view;
    }
    return x;
}

/* Turns the gradient of the stage's values into that of y, and sets the gradients of the maps' parameters. */
static void unmap(const struct stage *stage, const struct pass *pass, struct gradient *gradient) {
    int channels = stage->layer->out.channels;
    real *slope = stage->coefficients, *curve = slope + channels, *level = curve + channels;
    chunk_reduce(stage->joined, stage->sums, pass->n, 2 * channels);
    for (int c = 0; c < channels; c++) {
        slope[c] = 1;
        curve[c] = level[c] = 0;
    }
    for (int i = stage->map_count - 1; i >= 0; i--) {
        const struct view *in = &stage->inputs[i];
        struct map_gradient map = {
            .count = pass->n * positions(stage->layer),
            .slope = slope,
            .curve = curve,
            .level = level,
            .sum = stage->joined,
            .product = stage->joined + channels,
            .mean = in->mean,
            .variance = in->variance,
            .scale = in->scale,
            .shift = in->shift,
        };
        if (stage->maps[i].type->unmap)
            stage->maps[i].type->unmap(&stage->maps[i], pass, &map);
        layer_times_add(pass->times, &stage->maps[i], PASS_BACKWARD);
    }
    gradient->slope = slope;
    gradient->curve = curve;
    gradient->level = level;
}

static void stage_backward(const struct stage *stage, const struct pass *pass, const struct gradient_target *dx,
                           const real *d, const struct view *x) {
    struct gradient gradient = {.d = d, .of = stage->view};
    if (stage->sums)
        unmap(stage, pass, &gradient);
    struct pass own = pass_through(pass, stage->backward_scratch);
    stage->layer->type->backward(stage->layer, &own, dx, &gradient, x);
    layer_times_add(pass->times, stage->layer, PASS_BACKWARD);
}

void chain_backward(struct chain *chain, const struct pass *pass, const struct gradient_target *dx, const real *d,
                    const struct view *x) {
    int last = chain->stage_count - 1;
    if (last < 0 && dx)
        gradient_write_all(dx, x, pass->n, chain->in.height * chain->in.width, d);
    if (last >= 0 && is_unfinished(&chain->stages[last])) {
        const struct stage *stage = &chain->stages[last];
        struct gradient_target finished = {stage->gradient, false, stage->sums};
        gradient_write_all(&finished, &stage->view, pass->n, positions(stage->layer), d);
        d = finished.d;
    }
    for (int s = last; s > 0; s--) {
        const struct stage *before = &chain->stages[s - 1];
        struct gradient_target target = {before->gradient, false, before->sums};
        stage_backward(&chain->stages[s], pass, &target, d, &before->view);
        d = target.d;
    }
    if (last >= 0)
        stage_backward(&chain->stages[0], pass, dx, d, x);
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
