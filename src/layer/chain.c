#include "layer/chain.h"

#include "kernel/chunk.h"
#include "layer/times.h"

enum { MOST_VALUES = 1 << 27 };

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
    return check_size(planner, layer, &in) && layer->type->plan(layer, planner) &&
           check_size(planner, layer, &layer->out);
}

/* --- Stages ------------------------------------------------------------------------------------------------------ */

static bool is_map(const struct layer *layer) {
    return layer->type->map != NULL;
}

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
static bool joins(const struct chain *chain, const struct layer *map) {
    if (!chain->stage_count)
        return false;
    return !map->type->unmap || !is_rectified(&chain->stages[chain->stage_count - 1]);
}

static struct stage *add_stage(struct chain *chain, struct layer *layer) {
    struct stage *stage = &chain->stages[chain->stage_count++];
    *stage = (struct stage){.layer = layer, .maps = layer + 1};
    return stage;
}

/* Puts a copy of its input in front of a map that cannot join a stage. */
static struct stage *add_copy(struct chain *chain, struct planner *planner, struct layer *map) {
    struct layer *copy = arena_alloc(planner->arena, sizeof *copy);
    *copy = (struct layer){.type = &layer_copy, .name = map->name, .number = map->number, .in = map->in, .out = map->in, .in_place = true};
    struct stage *stage = add_stage(chain, copy);
    stage->maps = map;
    return stage;
}

static void add_layer(struct chain *chain, struct planner *planner, struct layer *layer) {
    if (!is_map(layer))
        add_stage(chain, layer);
    else if (joins(chain, layer))
        chain->stages[chain->stage_count - 1].map_count++;
    else
        add_copy(chain, planner, layer)->map_count++;
}

static void plan_stage(struct planner *planner, struct stage *stage) {
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
}

/* Which of a chain's two gradients takes that of a stage's input; `current` has that of its output, -1: neither. */
static int next_gradient(const struct stage *stage, int current) {
    if (stage->layer->in_place && current >= 0)
        return current;
    return current == 0 ? 1 : 0;
}

/* Whether the gradient of a stage's values takes a pass before the stage can use it: gradient_write's work, undone. */
static bool is_unfinished(const struct stage *stage) {
    return is_rectified(stage) || is_scaled(stage);
}

/* The same for the gradient that a chain is given. */
static int first_gradient(const struct chain *chain) {
    return chain->stage_count && is_unfinished(&chain->stages[chain->stage_count - 1]) ? 0 : -1;
}

bool chain_in_place(const struct chain *chain) {
    return chain->stage_count != 1 || first_gradient(chain) >= 0 || chain->stages[0].layer->in_place;
}

static void plan_gradients(const struct chain *chain, struct planner *planner) {
    int current = first_gradient(chain);
    if (current >= 0)
        plan_gradient(planner, chain->level, current, &chain->out);
    for (int s = chain->stage_count - 1; s > 0; s--) {
        current = next_gradient(&chain->stages[s], current);
        plan_gradient(planner, chain->level, current, &chain->stages[s].layer->in);
    }
}

bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in) {
    *chain = (struct chain){.count = list->count, .level = planner->depth, .in = in, .out = in};
    chain->layers = arena_alloc(planner->arena, sizeof *chain->layers * (size_t)list->count);
    chain->stages = arena_alloc(planner->arena, sizeof *chain->stages * (size_t)list->count);
    planner->depth++;
    for (int i = 0; i < list->count; i++) {
        /* After a mistake the shapes are unknown, and complaints about them would mislead. */
        if (!plan_layer(planner, &chain->layers[i], list->choices[i], chain->out))
            return false;
        chain->out = chain->layers[i].out;
        add_layer(chain, planner, &chain->layers[i]);
    }
    planner->depth--;
    for (int s = 0; s < chain->stage_count; s++)
        plan_stage(planner, &chain->stages[s]);
    plan_gradients(chain, planner);
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

const struct view *chain_forward(struct chain *chain, const struct pass *pass, const struct view *x) {
    for (int s = 0; s < chain->stage_count; s++) {
        struct stage *stage = &chain->stages[s];
        real *moments = pass->training ? stage->moments : NULL;
        stage->layer->type->forward(stage->layer, pass, stage->y, x, moments);
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
    stage->layer->type->backward(stage->layer, pass, dx, &gradient, x);
    layer_times_add(pass->times, stage->layer, PASS_BACKWARD);
}

void chain_backward(struct chain *chain, const struct pass *pass, const struct gradient_target *dx, const real *d,
                    const struct view *x) {
    real *const *own = pass->gradients[chain->level];
    int current = first_gradient(chain), last = chain->stage_count - 1;
    if (last < 0 && dx)
        gradient_write_all(dx, x, pass->n, chain->in.height * chain->in.width, d);
    if (current >= 0) {
        const struct stage *stage = &chain->stages[last];
        struct gradient_target finished = {own[current], false, stage->sums};
        gradient_write_all(&finished, &stage->view, pass->n, positions(stage->layer), d);
        d = finished.d;
    }
    for (int s = last; s > 0; s--) {
        const struct stage *before = &chain->stages[s - 1];
        current = next_gradient(&chain->stages[s], current);
        struct gradient_target target = {own[current], false, before->sums};
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
