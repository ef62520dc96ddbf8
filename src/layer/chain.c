#include "layer/chain.h"

#include <string.h>

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

static void note_gradient(struct planner *planner, int level, const struct shape *shape) {
    size_t reals = shape_size(shape) * (size_t)planner->batch;
    if (reals > planner->gradients[level])
        planner->gradients[level] = reals;
}

/* An output shares its input's memory when the layer allows it and nobody reads what was there in the backward pass;
 * never the chain's own input, which belongs to others. */
static void plan_outputs(struct chain *chain, struct planner *planner) {
    bool read_later = true;
    for (int i = 0; i < chain->count; i++) {
        const struct layer *layer = &chain->layers[i];
        bool share = i > 0 && layer->in_place && !read_later && !layer->reads_input;
        if (!share)
            plan_keep(planner, shape_size(&layer->out) * (size_t)planner->batch, &chain->outputs[i]);
        read_later =
            layer->reads_output || (share && read_later) || (i + 1 < chain->count && chain->layers[i + 1].reads_input);
    }
}

bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in) {
    *chain = (struct chain){.count = list->count, .level = planner->depth, .in = in, .out = in};
    chain->layers = arena_alloc(planner->arena, sizeof *chain->layers * (size_t)list->count);
    chain->outputs = arena_alloc(planner->arena, sizeof *chain->outputs * (size_t)list->count);
    planner->depth++;
    for (int i = 0; i < list->count; i++) {
        /* After a mistake the shapes are unknown, and complaints about them would mislead. */
        if (!plan_layer(planner, &chain->layers[i], list->choices[i], chain->out))
            return false;
        note_gradient(planner, chain->level, &chain->layers[i].in);
        chain->out = chain->layers[i].out;
        note_gradient(planner, chain->level, &chain->out);
    }
    planner->depth--;
    plan_outputs(chain, planner);
    return true;
}

/* A layer whose output was given no memory of its own works in place. */
static real *output_of(const struct chain *chain, int index) {
    while (!chain->outputs[index])
        index--;
    return chain->outputs[index];
}

const real *chain_forward(struct chain *chain, const struct pass *pass, const real *x) {
    for (int i = 0; i < chain->count; i++) {
        real *y = output_of(chain, i);
        struct layer *layer = &chain->layers[i];
        layer->type->forward(layer, pass, y, x);
        layer_times_add(pass->times, layer, PASS_FORWARD);
        x = y;
    }
    return x;
}

void chain_backward(struct chain *chain, const struct pass *pass, real *dx, const real *dy, const real *x) {
    real *const *own = pass->gradients[chain->level];
    const real *gradient = dy;
    if (!chain->count && dx)
        memcpy(dx, dy, shape_size(&chain->in) * (size_t)pass->n * sizeof *dx);
    for (int i = chain->count - 1; i >= 0; i--) {
        struct layer *layer = &chain->layers[i];
        real *target = gradient == own[0] ? own[1] : own[0];
        if (i == 0)
            target = dx;
        else if (layer->in_place && gradient != dy)
            target = gradient == own[0] ? own[0] : own[1];
        layer->type->backward(layer, pass, target, gradient, i ? output_of(chain, i - 1) : x, output_of(chain, i));
        layer_times_add(pass->times, layer, PASS_BACKWARD);
        gradient = target;
    }
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
