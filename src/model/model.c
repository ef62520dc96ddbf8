#include "model/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* --- Building ---------------------------------------------------------------------------------------------------- */

static bool check_names(struct model *net, struct diagnostics *diags, const struct choice_list *layers) {
    bool good = true;
    for (int i = 0; i < net->tensor_count; i++)
        for (int j = 0; j < i; j++)
            if (!strcmp(net->tensors[i]->name, net->tensors[j]->name)) {
                diagnose(diags, layers->choices[0].source, layers->choices[0].line, "network",
                         "two layers make a tensor named \"%s\"; layer names must differ", net->tensors[i]->name);
                good = false;
                break; /* one message for each, not for each pair */
            }
    return good;
}

bool model_plan(struct model *net, const struct choice_list *layers, struct shape in, int classes, int batch,
                struct diagnostics *diags) {
    *net = (struct model){.batch = batch};
    struct planner *planner = &net->planner;
    *planner = (struct planner){.arena = &net->arena, .diags = diags, .batch = batch};
    assert(layers->count);
    if (!chain_plan(&net->chain, planner, layers, in))
        return false;
    const struct layer *last = &net->chain.layers[net->chain.count - 1];
    if (shape_size(&net->chain.out) != (size_t)classes)
        return plan_error(planner, last, "the last layer puts out %dx%dx%d values, but the dataset has %d classes",
                          net->chain.out.height, net->chain.out.width, net->chain.out.channels, classes);
    if (net->chain.blocks[net->chain.block_count - 1].fold_count)
        plan_keep(planner, (size_t)classes * (size_t)batch, &net->output);
    net->classifier = dense_operator(last);
    net->tensor_count = planner->tensor_count;
    net->tensors = arena_alloc(&net->arena, sizeof *net->tensors * (size_t)planner->tensor_count);
    for (int i = 0; i < planner->tensor_count; i++)
        net->tensors[i] = plan_tensor(planner, i);
    return check_names(net, diags, layers);
}

static void initialise(const struct tensor *tensor, struct rng rng) {
    for (size_t i = 0; i < tensor->count; i++)
        tensor->value[i] = (real)(tensor->initial_mean +
                                  (tensor->initial_deviation > 0 ? tensor->initial_deviation * rng_normal(&rng) : 0));
}

bool model_allocate(struct model *net, uint64_t seed, struct error *err) {
    if (!plan_allocate(&net->planner, &net->memory))
        return error_set(err,
                         "not enough memory: the network and a batch of %d need %.0f MB; lower train.batch_size or "
                         "the widths",
                         net->batch, (double)(plan_sizes(&net->planner).total * sizeof(real)) / 1e6);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < net->tensor_count; i++)
        initialise(net->tensors[i], rng_stream(seed, RNG_INITIAL_WEIGHTS, (uint64_t)i, 0));
    return true;
}

void model_free(struct model *net) {
    free(net->memory.block);
    arena_free(&net->arena);
    *net = (struct model){0};
}

/* --- Passes ------------------------------------------------------------------------------------------------------ */

static struct step pass_of(const struct model *net, int n, bool training) {
    profile_begin(net->times);
    return (struct step){n, training, NULL, net->times};
}

const real *model_forward(struct model *net, int n, const real *images, bool training) {
    struct step pass = pass_of(net, n, training);
    struct view x = {.data = images, .channels = net->chain.in.channels};
    const struct view *logits = chain_forward(&net->chain, &pass, &x);
    if (!net->output)
        return logits->data;
    int positions = net->chain.out.height * net->chain.out.width;
    view_read(logits, 0, n * positions, net->output, NULL);
    return net->output;
}

int model_feature_width(const struct model *net) {
    return conv_patch(&net->classifier->conv.g);
}

void model_features(const struct model *net, int n, const real *images, real *to) {
    const struct conv_geometry *g = &net->classifier->conv.g;
    struct view input = {.data = images, .channels = net->chain.in.channels};
    if (net->chain.block_count > 1)
        input = net->chain.blocks[net->chain.block_count - 2].view;
    view_read(&input, 0, n * g->height * g->width, to, NULL);
}

void model_backward(struct model *net, int n, const real *dlogits, const real *images) {
    struct step pass = pass_of(net, n, true);
    struct view x = {.data = images, .channels = net->chain.in.channels};
    chain_backward(&net->chain, &pass, NULL, dlogits, &x);
}

/* --- Tensors ----------------------------------------------------------------------------------------------------- */

/* A place in [filters][inputs][kernel], the stored order of a tensor. */
struct stored_place {
    size_t filter, input, position;
};

static struct stored_place stored_place(const struct tensor *tensor, size_t index) {
    size_t kernel = (size_t)tensor->kernel, inputs = (size_t)tensor->inputs;
    return (struct stored_place){index / kernel / inputs, index / kernel % inputs, index % kernel};
}

/* Where that value lies in memory, [filters][kernel][inputs]; goes on to the next one. */
static size_t next_in_memory(const struct tensor *tensor, struct stored_place *at) {
    size_t kernel = (size_t)tensor->kernel, inputs = (size_t)tensor->inputs;
    size_t offset = (at->filter * kernel + at->position) * inputs + at->input;
    if (++at->position == kernel) {
        at->position = 0;
        at->input++;
    }
    if (at->input == inputs) {
        at->input = 0;
        at->filter++;
    }
    return offset;
}

void tensor_to_stored(real *values, const struct tensor *tensor, const real *memory, size_t first, size_t count) {
    struct stored_place at = stored_place(tensor, first);
    for (size_t i = 0; i < count; i++)
        values[i] = memory[next_in_memory(tensor, &at)];
}

void tensor_from_stored(real *memory, const struct tensor *tensor, const real *values, size_t first, size_t count) {
    struct stored_place at = stored_place(tensor, first);
    for (size_t i = 0; i < count; i++)
        memory[next_in_memory(tensor, &at)] = values[i];
}
