#include "model/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/rng.h"
#include "layer/chain_memory.h"

/* --- Building ---------------------------------------------------------------------------------------------------- */

static const struct layer *last_layer(const struct model *model) {
    return &model->chain.layers[model->chain.count - 1];
}

static bool plan_layers(struct model *model, const struct model_request *request, struct diagnostics *diags) {
    struct chain *chain = &model->chain;
    struct choice_list layers;
    assert(request->layers->count);
    if (!head_choose(&request->head, &model->arena, request->layers, &layers, diags) ||
        !chain_plan(chain, &model->planner, &layers, request->in))
        return false;
    if (shape_size(&chain->out) == (size_t)request->classes)
        return true;
    return layer_error(&model->planner, last_layer(model),
                       "the last layer puts out %dx%dx%d values, but the dataset has %d classes", chain->out.height,
                       chain->out.width, chain->out.channels, request->classes);
}

/* What the head's owner asks for is used between the passes. */
static void plan_head(struct model *model, const struct head_request *request) {
    struct planner *planner = &model->planner;
    model->head.kind = request->kind;
    head_of(&model->head, last_layer(model));
    planner->owner = &model->head;
    if (request->plan)
        request->plan(request->owner, planner, &model->head);
    plan_use_kept(planner, &model->head);
    planner->owner = NULL;
    plan_use(planner, plan_buffer(planner, planner->scratch, &model->scratch));
}

/* The passes of a step, acted out: forward, the loss, backward. */
static void plan_passes(struct model *model, const struct head_request *request) {
    struct planner *planner = &model->planner;
    size_t scores = shape_size(&model->chain.out) * (size_t)planner->batch;
    chain_plan_forward(&model->chain, planner, NULL);
    chain_plan_turn(&model->chain, planner);
    if (model->chain.fusions[model->chain.fusion_count - 1].fold_count)
        plan_use(planner, plan_buffer(planner, scores, &model->output));
    plan_head(model, request);
    if (planner->forward_only)
        return;
    int gradient = plan_buffer(planner, scores, &model->head.scores_gradient);
    plan_use(planner, gradient);
    chain_plan_backward(&model->chain, planner, (struct planned_gradient){.d = gradient, .dx = NO_BUFFER});
}

/* Of a step of at most `batch` images, those that one process can have. */
static int most_images(struct share share, int batch) {
    int most = 0;
    for (int n = 1; n <= batch; n++)
        most = larger(most, share_count(share, n));
    return most;
}

bool model_plan(struct model *model, const struct model_request *request, struct diagnostics *diags) {
    *model = (struct model){.batch = request->batch, .group = request->group, .share = request->share};
    struct planner *planner = &model->planner;
    *planner = (struct planner){.arena = &model->arena,
                                .diags = diags,
                                .batch = most_images(request->share, request->batch),
                                .whole_batch = request->batch,
                                .gradient_sums = request->gradient_sums,
                                .threads = request->threads,
                                .forward_only = request->forward_only};
    if (!plan_layers(model, request, diags))
        return false;
    plan_passes(model, &request->head);
    model->tensor_count = planner->tensor_count;
    model->tensors = arena_alloc(&model->arena, sizeof *model->tensors * (size_t)planner->tensor_count);
    for (int i = 0; i < planner->tensor_count; i++)
        model->tensors[i] = planned_tensor(planner, i);
    return true;
}

static void initialise(const struct tensor *tensor, struct rng rng) {
    for (size_t i = 0; i < tensor->count; i++)
        tensor->value[i] = (real)(tensor->initial_mean +
                                  (tensor->initial_deviation > 0 ? tensor->initial_deviation * rng_normal(&rng) : 0));
}

bool model_allocate(struct model *model, struct error *err) {
    if (!plan_allocate(&model->planner, &model->memory))
        return error_set(err,
                         "not enough memory: the network and a batch of %d need %.0f MB; lower train.batch_size or "
                         "the widths",
                         model->batch, (double)(plan_sizes(&model->planner).total * sizeof(real)) / 1e6);
    head_of(&model->head, last_layer(model));
    model->head.scores = model->output ? model->output : model->chain.fusions[model->chain.fusion_count - 1].y;
    return true;
}

void model_draw(struct model *model, uint64_t seed) {
#pragma omp parallel for schedule(dynamic) num_threads(model->planner.threads)
    for (int i = 0; i < model->tensor_count; i++)
        initialise(model->tensors[i], rng_stream(seed, RNG_INITIAL_WEIGHTS, (uint64_t)i, 0));
}

void model_free(struct model *model) {
    free(model->memory.block);
    arena_free(&model->arena);
    *model = (struct model){0};
}

/* --- Passes ------------------------------------------------------------------------------------------------------ */

struct step model_step(const struct model *model, int n, enum step_mode mode) {
    return (struct step){
        .n = share_count(model->share, n),
        .part = {model->group, share_first(model->share, n), n},
        .mode = mode,
        .threads = model->planner.threads,
        .scratch = model->scratch,
    };
}

const real *model_forward(struct model *model, struct step step, const real *images) {
    struct view x = {.data = images, .channels = model->chain.in.channels};
    profile_begin(step.profile);
    const struct view *scores = chain_forward(&model->chain, &step, &x);
    if (model->output)
        view_read(scores, 0, step.n * model->chain.out.height * model->chain.out.width, model->output, NULL);
    return model->head.scores;
}

void model_features(const struct model *model, int n, const real *images, real *to) {
    const struct shape *in = &last_layer(model)->in;
    struct view input = {.data = images, .channels = model->chain.in.channels};
    if (model->chain.fusion_count > 1)
        input = model->chain.fusions[model->chain.fusion_count - 2].view;
    view_read(&input, 0, n * in->height * in->width, to, NULL);
}

bool model_has_averages(const struct model *model) {
    for (int i = 0; i < model->tensor_count; i++)
        if (model->tensors[i]->role == ROLE_BUFFER)
            return true;
    return false;
}

void model_commit(struct model *model) {
    for (int i = 0; i < model->tensor_count; i++)
        if (model->tensors[i]->next)
            memcpy(model->tensors[i]->value, model->tensors[i]->next, model->tensors[i]->count * sizeof(real));
}

void model_backward(struct model *model, struct step step, const real *images) {
    struct view x = {.data = images, .channels = model->chain.in.channels};
    profile_begin(step.profile);
    chain_backward(&model->chain, &step, NULL, model->head.scores_gradient, &x);
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
