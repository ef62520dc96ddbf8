/* Building a chain: which layers fold into which, names and shapes. */
#include "layer/chain.h"

#include <string.h>

enum { MOST_VALUES = 1 << 27, MAX_NAME_BYTES = 200 };

/* Takes the next number, from which a name is made where none is given. */
static void number_layer(struct planner *planner, struct layer *layer) {
    const struct layer_config *config = layer->choice.config;
    layer->number = planner->layers;
    layer->name =
        *config->name ? config->name : arena_printf(planner->arena, "%s_%d", layer->type->kind.name, layer->number + 1);
    planner->names = arena_grow(planner->arena, planner->names, planner->layers, sizeof *planner->names);
    planner->names[planner->layers++] = layer->name;
}

/* Tensors are "LAYER.NAME", and "optimizer. ..." beside them in checkpoints. */
static bool check_name(struct planner *planner, const struct layer *layer) {
    if (strlen(layer->name) > MAX_NAME_BYTES)
        return layer_error(planner, layer, "a name of more than %d bytes", MAX_NAME_BYTES);
    if (!strcmp(layer->name, "optimizer") || !strncmp(layer->name, "optimizer.", 10))
        return layer_error(planner, layer, "such names are the optimizer's in checkpoints; give the layer another");
    for (int i = 0; i < layer->number; i++)
        if (!strcmp(planner->names[i], layer->name))
            return layer_error(planner, layer, "another layer has this name, too; layer names must differ");
    return true;
}

/* Counts of values stay well within int, so that sizes computed from them cannot overflow. */
static bool check_size(struct planner *planner, const struct layer *layer, const struct shape *shape) {
    double values = (double)shape->height * shape->width * shape->channels;
    double positions = (double)shape->height * shape->width * planner->whole_batch;
    if (values <= MOST_VALUES && positions <= MOST_VALUES)
        return true;
    return layer_error(planner, layer, "%dx%dx%d values in batches of %d are too many", shape->height, shape->width,
                       shape->channels, planner->whole_batch);
}

static bool plan_layer(struct planner *planner, struct layer *layer, struct choice choice, struct shape in) {
    *layer = (struct layer){.type = (const struct layer_type *)choice.kind, .choice = choice, .in = in, .out = in};
    number_layer(planner, layer);
    layer->state = arena_alloc(planner->arena, layer->type->state_size);
    if (!check_name(planner, layer))
        return false;
    const void *unit = planner->owner;
    planner->owner = layer;
    planner->scratch = planner->backward_scratch = 0;
    bool good =
        check_size(planner, layer, &in) && layer->type->plan(layer, planner) && check_size(planner, layer, &layer->out);
    layer->scratch = planner->scratch;
    layer->backward_scratch = planner->backward_scratch;
    planner->owner = unit;
    planner->scratch = planner->backward_scratch = 0;
    return good;
}

bool fusion_has_relu(const struct fusion *fusion) {
    for (int i = 0; i < fusion->fold_count; i++)
        if (fusion->folds[i].type->is_relu)
            return true;
    return false;
}

bool fusion_is_scaled(const struct fusion *fusion) {
    for (int i = 0; i < fusion->fold_count; i++)
        if (fusion->folds[i].type->unfold)
            return true;
    return false;
}

bool fusion_is_unfinished(const struct fusion *fusion) {
    return fusion_has_relu(fusion) || fusion_is_scaled(fusion);
}

/* A layer that folds joins the fusion before it, unless its input would go through ReLU first: scale and shift come
 * before that. */
static bool joins(const struct chain *chain, const struct layer_type *type) {
    if (!type->fold || !chain->fusion_count)
        return false;
    return !type->unfold || !fusion_has_relu(&chain->fusions[chain->fusion_count - 1]);
}

/* A new fusion that begins with layer number `i` of the chain, or with a copy of its input when that layer folds. */
static void begin_fusion(struct chain *chain, struct planner *planner, int i, const struct layer_type *type) {
    struct fusion *fusion = &chain->fusions[chain->fusion_count++];
    struct layer *layer = &chain->layers[i];
    *fusion = (struct fusion){.layer = layer, .folds = layer + 1};
    if (type->fold) {
        struct layer *copy = arena_alloc(planner->arena, sizeof *copy);
        *copy = (struct layer){.type = &layer_identity,
                               .name = i ? chain->layers[i - 1].name : "input",
                               .number = planner->layers,
                               .in = chain->out,
                               .out = chain->out,
                               .in_place = true};
        fusion->layer = copy;
        fusion->folds = layer;
    }
}

bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in) {
    *chain = (struct chain){.count = list->count, .depth = planner->depth, .in = in, .out = in};
    chain->layers = arena_alloc(planner->arena, sizeof *chain->layers * (size_t)list->count);
    chain->fusions = arena_alloc(planner->arena, sizeof *chain->fusions * (size_t)list->count);
    planner->depth++;
    for (int i = 0; i < list->count; i++) {
        const struct layer_type *type = (const struct layer_type *)list->choices[i].kind;
        if (!joins(chain, type))
            begin_fusion(chain, planner, i, type);
        /* After a mistake the shapes are unknown, and complaints about them would mislead. */
        if (!plan_layer(planner, &chain->layers[i], list->choices[i], chain->out))
            return false;
        chain->out = chain->layers[i].out;
        if (type->fold)
            chain->fusions[chain->fusion_count - 1].fold_count++;
    }
    planner->depth--;
    for (int f = 0; f < chain->fusion_count; f++)
        chain->fusions[f].inputs =
            arena_alloc(planner->arena, sizeof *chain->fusions[f].inputs * (size_t)chain->fusions[f].fold_count);
    return true;
}

void chain_visit(const struct chain *chain, void (*visit)(const struct layer *layer, int depth, void *context),
                 void *context) {
    for (int i = 0; i < chain->count; i++) {
        const struct layer *layer = &chain->layers[i];
        visit(layer, chain->depth, context);
        for (int b = 0; layer->type->branch && layer->type->branch(layer, b); b++)
            chain_visit(layer->type->branch(layer, b), visit, context);
    }
}
