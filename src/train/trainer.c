#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/number.h"
#include "loss/loss.h"
#include "optim/gradient.h"
#include "optim/schedule.h"

/* Reals that the trainer holds beside the network's. */
struct state_sizes {
    size_t slots, work, total;
};

static struct state_sizes state_sizes(const struct trainer *trainer) {
    struct state_sizes sizes = {
        .slots = (size_t)trainer->optimizer->slots * trainer->trained,
        .work = trainer->penalties.work,
    };
    sizes.total = sizes.slots + sizes.work;
    return sizes;
}

/* Before anything is allocated: all that a training holds beside its images. */
static bool check_memory(const struct trainer *trainer, struct error *err) {
    const struct experiment *experiment = trainer->experiment;
    double net = (double)(plan_sizes(&trainer->model.planner).total * sizeof(real));
    double state = (double)(state_sizes(trainer).total * sizeof(real));
    size_t cache = experiment->shape.cache_bytes;
    double batches = (double)(loader_bytes(&experiment->shape, experiment->train.batch_size) + cache);
    struct mem_bound bound = mem_bound("");
    if (net + state + batches <= bound.bytes)
        return true;
    return error_set(err,
                     "not enough memory: the network and a batch of %d need %.0f MB, the optimizer %.0f MB, batches "
                     "of images%s %.0f MB; %s leaves %.0f MB. Lower train.batch_size%s or the widths",
                     experiment->train.batch_size, net / 1e6, state / 1e6, cache ? " and data.cache" : "",
                     batches / 1e6, bound.name, bound.bytes / 1e6, cache ? ", data.cache" : "");
}

static bool allocate_state(struct trainer *trainer, struct error *err) {
    struct state_sizes sizes = state_sizes(trainer);
    real *next = trainer->block = mem_block(sizes.total * sizeof *next);
    if (!next)
        return error_set(err, "not enough memory for the optimizer's state: %.0f MB",
                         (double)(sizes.total * sizeof *next) / 1e6);
    for (int i = 0; i < trainer->optimizer->slots; i++, next += trainer->trained)
        trainer->slots[i] = next;
    penalties_place(&trainer->penalties, next);
    return true;
}

static void plan_spans(struct trainer *trainer) {
    const struct penalty_config *penalty = &trainer->experiment->regularizer;
    struct model *model = &trainer->model;
    bool decoupled = trainer->optimizer->decouples_decay;
    trainer->spans = arena_alloc(&model->arena, (size_t)model->tensor_count * sizeof *trainer->spans);
    for (int i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = model->tensors[i];
        double decay = decoupled && penalty_decays(penalty, tensor) ? penalty->weight_decay : 0;
        if (tensor->trained)
            trainer->spans[trainer->span_count++] =
                (struct span){tensor->offset, tensor->count, tensor->role, tensor->filters, decay};
    }
}

/* What a checked experiment trains with, and its memory, which is not allocated yet. */
static bool plan(struct trainer *trainer, struct error *err) {
    const struct experiment *experiment = trainer->experiment;
    struct diagnostics diags = {0};
    bool planned = experiment_plan(experiment, STEP_TRAIN, &trainer->model, &trainer->loss, &diags);
    if (!planned)
        error_set(err, "%s", diags.text.data);
    text_free(&diags.text);
    if (!planned)
        return false;
    trainer->trained = plan_sizes(&trainer->model.planner).trained;
    trainer->penalties = penalties_plan(&experiment->regularizer, &trainer->model, trainer->optimizer->decouples_decay,
                                        &trainer->model.arena);
    plan_spans(trainer);
    return true;
}

bool trainer_open(struct trainer *trainer, const struct experiment *experiment, struct error *err) {
    *trainer = (struct trainer){
        .experiment = experiment,
        .optimizer = (const struct optimizer_type *)experiment->optimizer.kind,
    };
    if (!plan(trainer, err) || !check_memory(trainer, err) || !model_allocate(&trainer->model, err) ||
        !allocate_state(trainer, err)) {
        trainer_close(trainer);
        return false;
    }
    model_draw(&trainer->model, (uint64_t)experiment->seed);
    return true;
}

void trainer_close(struct trainer *trainer) {
    model_free(&trainer->model);
    free(trainer->block);
    trainer->block = NULL;
}

/* --- Training ---------------------------------------------------------------------------------------------------- */

static double batch_accuracy(const struct loss *loss, const struct step *step, const int32_t *labels) {
    int right = 0;
    for (int i = 0; i < step->n; i++)
        right += loss->rankings[i].best == labels[i];
    return group_sum(step->part.group, right) / step_whole(step);
}

/* Images of the whole batch: in training all batches of a group are of one size. */
static int whole_batch(const struct trainer *trainer, const struct batch *batch) {
    return trainer->model.group ? trainer->model.batch : batch->count;
}

static void phase_ends(const struct trainer *trainer, enum step_phase phase) {
    if (trainer->times)
        trainer->times->seconds[phase] += clock_lap(&trainer->times->last);
}

/* The gradient of a loss that is finite, penalties included. */
static void compute_gradient(struct trainer *trainer, struct step step, const struct batch *batch,
                             struct step_result *result) {
    model_backward(&trainer->model, step, batch->images);
    phase_ends(trainer, STEP_BACKWARD);
    struct penalty_values penalties = penalties_add(&trainer->penalties, step.threads);
    result->weight_decay = penalties.weight_decay;
    result->orthogonality = penalties.orthogonality;
    phase_ends(trainer, STEP_PENALTIES);
    result->gradient_norm = gradient_norm(trainer->model.memory.grads, trainer->trained, step.threads);
}

/* Everything of the model that a step which is finite moves. */
static void accept_step(struct trainer *trainer, struct step step, const struct step_result *result) {
    const struct optimizer_config *config = trainer->experiment->optimizer.config;
    const struct plan_memory *memory = &trainer->model.memory;
    if (config->clip_norm > 0)
        gradient_clip(memory->grads, trainer->trained, result->gradient_norm, config->clip_norm, step.threads);
    const struct update update = {
        .rate = result->rate,
        .number = step.iteration - trainer->left_out,
        .threads = step.threads,
        .count = trainer->trained,
        .weights = memory->values,
        .grads = memory->grads,
        .slots = trainer->slots,
        .spans = trainer->spans,
        .span_count = trainer->span_count,
    };
    trainer->optimizer->update(config, &update);
    model_commit(&trainer->model);
}

/* Clipping makes any finite gradient small. The largest value is no larger than the length, so it is seldom looked for.
 */
static bool can_update(const struct trainer *trainer, const struct step_result *result) {
    const struct optimizer_config *config = trainer->experiment->optimizer.config;
    double largest = trainer->optimizer->largest_gradient;
    if (!isfinite(result->fit) || !isfinite(result->gradient_norm))
        return false;
    return largest <= 0 || config->clip_norm > 0 || result->gradient_norm <= largest ||
           gradient_largest(trainer->model.memory.grads, trainer->trained) <= largest;
}

static struct step training_step(const struct trainer *trainer, int n) {
    const struct experiment *experiment = trainer->experiment;
    struct step step = model_step(&trainer->model, n, STEP_TRAIN);
    step.seed = (uint64_t)experiment->seed;
    step.iteration = trainer->iteration + 1;
    step.first_image = trainer->iteration * experiment->train.batch_size + step.part.first;
    step.profile = trainer->profile;
    return step;
}

bool trainer_average_anew(struct trainer *trainer, const struct dataset *dataset, struct error *err) {
    const struct experiment *experiment = trainer->experiment;
    int images = smaller(experiment->train.batch_norm_images, dataset->splits[SPLIT_TRAIN].count);
    int batch_size = experiment->train.batch_size, batches = ceil_div(images, batch_size);
    struct loader *loader = loader_train_share(dataset, experiment_data(experiment), (uint64_t)experiment->seed,
                                               batch_size, experiment->share, trainer->iteration, err);
    bool good = group_agree(experiment->group, loader, err);
    for (int i = 0; good && i < batches; i++) {
        const struct batch *batch = loader_next(loader);
        struct step step = training_step(trainer, batch_size);
        step.first_image += (int64_t)i * batch_size;
        step.averaged = i + 1;
        good = group_agree(experiment->group, batch || loader_good(loader, err), err) && batch;
        if (good) {
            model_forward(&trainer->model, step, batch->images);
            model_commit(&trainer->model);
        }
    }
    loader_close(loader);
    return good;
}

double trainer_test_batch(struct trainer *trainer, const struct batch *batch) {
    struct step step = model_step(&trainer->model, whole_batch(trainer, batch), STEP_EVALUATE);
    model_forward(&trainer->model, step, batch->images);
    loss_evaluate(&trainer->loss, &step, &trainer->model.head, batch->labels); /* which ranks the classes */
    return batch_accuracy(&trainer->loss, &step, batch->labels);
}

struct step_result trainer_step(struct trainer *trainer, const struct batch *batch) {
    const struct experiment *experiment = trainer->experiment;
    const struct optimizer_config *optimizer = experiment->optimizer.config;
    struct step_result result = {0};
    phase_ends(trainer, STEP_INPUT);
    struct step step = training_step(trainer, whole_batch(trainer, batch));
    model_forward(&trainer->model, step, batch->images);
    phase_ends(trainer, STEP_FORWARD);
    result.fit = loss_evaluate(&trainer->loss, &step, &trainer->model.head, batch->labels);
    result.lambda = loss_lambda(experiment->loss, step.iteration);
    result.accuracy = batch_accuracy(&trainer->loss, &step, batch->labels);
    phase_ends(trainer, STEP_LOSS);
    if (isfinite(result.fit))
        compute_gradient(trainer, step, batch, &result);
    result.updated = can_update(trainer, &result);
    result.rate =
        optimizer->learning_rate * schedule_factor(experiment->schedule, step.iteration, experiment->train.iterations);
    trainer->iteration = step.iteration;
    if (result.updated)
        accept_step(trainer, step, &result);
    else
        trainer->left_out++;
    phase_ends(trainer, STEP_OPTIMIZER);
    return result;
}
