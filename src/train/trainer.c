#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loss/loss.h"
#include "optim/gradient.h"
#include "optim/schedule.h"

/* Reals that the trainer holds beside the network's. */
struct state_sizes {
    size_t slots, work, logits, total;
};

static struct state_sizes state_sizes(const struct trainer *trainer) {
    const struct experiment *experiment = trainer->experiment;
    struct state_sizes sizes = {
        .slots = (size_t)trainer->optimizer->slots * trainer->trained,
        .work = trainer->penalties.work,
        .logits = (size_t)experiment->train.batch_size * (size_t)experiment->shape.classes,
    };
    sizes.total = sizes.slots + sizes.work + sizes.logits;
    return sizes;
}

/* Before anything is allocated: all that a training holds beside its images. */
static bool check_memory(const struct trainer *trainer, struct error *err) {
    const struct experiment *experiment = trainer->experiment;
    double net = (double)(plan_sizes(&trainer->model.planner).total * sizeof(real));
    double state = (double)(state_sizes(trainer).total * sizeof(real));
    double batches = (double)(loader_bytes(&experiment->shape, experiment->train.batch_size));
    double available = (double)mem_available("");
    if (net + state + batches <= available)
        return true;
    return error_set(err,
                     "not enough memory: the network and a batch of %d need %.0f MB, the optimizer %.0f MB, batches "
                     "of images %.0f MB; there are %.0f MB. Lower train.batch_size or the widths",
                     experiment->train.batch_size, net / 1e6, state / 1e6, batches / 1e6, available / 1e6);
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
    trainer->dlogits = next + sizes.work;
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
    bool planned = experiment_plan(experiment, &trainer->model, &diags);
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
    if (plan(trainer, err) && check_memory(trainer, err) &&
        model_allocate(&trainer->model, (uint64_t)experiment->seed, err) && allocate_state(trainer, err))
        return true;
    trainer_close(trainer);
    return false;
}

void trainer_close(struct trainer *trainer) {
    model_free(&trainer->model);
    free(trainer->block);
    trainer->block = NULL;
}

/* --- Training ---------------------------------------------------------------------------------------------------- */

static int largest(const real *logits, int classes) {
    int best = 0;
    for (int j = 1; j < classes; j++)
        if (logits[j] > logits[best])
            best = j;
    return best;
}

static double batch_accuracy(const real *logits, const int32_t *labels, int n, int classes) {
    int right = 0;
    for (int i = 0; i < n; i++)
        right += largest(logits + (size_t)i * (size_t)classes, classes) == labels[i];
    return (double)right / n;
}

static void phase_ends(const struct trainer *trainer, enum step_phase phase) {
    if (trainer->times)
        trainer->times->seconds[phase] += clock_lap(&trainer->times->last);
}

static struct loss_input loss_input(const struct trainer *trainer, const struct batch *batch, const real *scores) {
    const struct sphere_op *classifier = trainer->model.classifier;
    return (struct loss_input){
        .n = batch->count,
        .classes = trainer->experiment->shape.classes,
        .scores = scores,
        .lengths = classifier ? classifier->x_norm : NULL,
        .labels = batch->labels,
        .k = classifier ? classifier->k : NULL,
    };
}

static struct loss_gradient loss_gradient(const struct trainer *trainer) {
    const struct sphere_op *classifier = trainer->model.classifier;
    return (struct loss_gradient){
        .scores = trainer->dlogits,
        .lengths = classifier ? classifier->x_norm_gradient : NULL,
        .k = classifier ? classifier->dk : NULL,
    };
}

/* The gradient of a loss that is finite, penalties included. */
static void compute_gradient(struct trainer *trainer, struct step step, const struct batch *batch,
                             struct step_result *result) {
    model_backward(&trainer->model, step, trainer->dlogits, batch->images);
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
        .number = step.iteration,
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

static struct step training_step(const struct trainer *trainer, int n) {
    const struct experiment *experiment = trainer->experiment;
    struct step step = model_step(&trainer->model, n, STEP_TRAIN);
    step.seed = (uint64_t)experiment->seed;
    step.iteration = trainer->iteration + 1;
    step.first_image = trainer->iteration * experiment->train.batch_size;
    step.profile = trainer->profile;
    return step;
}

struct step_result trainer_step(struct trainer *trainer, const struct batch *batch) {
    const struct experiment *experiment = trainer->experiment;
    const struct optimizer_config *optimizer = experiment->optimizer.config;
    int n = batch->count, classes = experiment->shape.classes;
    struct step_result result = {0};
    phase_ends(trainer, STEP_INPUT);
    struct step step = training_step(trainer, n);
    const real *logits = model_forward(&trainer->model, step, batch->images);
    phase_ends(trainer, STEP_FORWARD);
    struct loss_input in = loss_input(trainer, batch, logits);
    struct loss_gradient gradient = loss_gradient(trainer);
    result.fit = loss_evaluate(experiment->loss, &in, step.iteration, &gradient);
    result.lambda = loss_lambda(experiment->loss, step.iteration);
    result.accuracy = batch_accuracy(logits, batch->labels, n, classes);
    phase_ends(trainer, STEP_LOSS);
    if (isfinite(result.fit))
        compute_gradient(trainer, step, batch, &result);
    result.updated = isfinite(result.fit) && isfinite(result.gradient_norm);
    result.rate =
        optimizer->learning_rate * schedule_factor(experiment->schedule, step.iteration, experiment->train.iterations);
    trainer->iteration = step.iteration;
    if (result.updated)
        accept_step(trainer, step, &result);
    phase_ends(trainer, STEP_OPTIMIZER);
    return result;
}

/* --- Evaluation -------------------------------------------------------------------------------------------------- */

/* Fewer than five classes have a larger logit than the label's; a NaN counts as larger. */
static bool in_top5(const real *logits, int classes, int label) {
    int larger = 0;
    for (int j = 0; j < classes; j++)
        larger += j != label && !(logits[j] <= logits[label]);
    return larger < 5;
}

struct tally {
    double loss;
    int64_t right, top5;
};

static bool allocate_evaluation(struct evaluation *result, int classes, struct error *err) {
    size_t count = (size_t)classes;
    bool confusion = classes <= CONFUSION_CLASSES;
    *result = (struct evaluation){
        .classes = classes,
        .class_images = mem_block(count * sizeof(int64_t)),
        .class_correct = mem_block(count * sizeof(int64_t)),
        .confusion = confusion ? mem_block(count * count * sizeof(int64_t)) : NULL,
    };
    if (result->class_images && result->class_correct && (result->confusion || !confusion))
        return true;
    return error_set_code(err, ERROR_NO_MEMORY, "not enough memory to count the predictions of %d classes", classes);
}

void evaluation_free(struct evaluation *evaluation) {
    free(evaluation->class_images);
    free(evaluation->class_correct);
    free(evaluation->confusion);
    evaluation->class_images = evaluation->class_correct = evaluation->confusion = NULL;
}

static void count_batch(struct tally *tally, struct evaluation *result, const struct batch *batch, const real *logits) {
    int classes = result->classes;
    for (int i = 0; i < batch->count; i++) {
        const real *row = logits + (size_t)i * (size_t)classes;
        int label = batch->labels[i], predicted = largest(row, classes);
        result->class_images[label]++;
        result->class_correct[label] += predicted == label;
        if (result->confusion)
            result->confusion[(size_t)label * (size_t)classes + (size_t)predicted]++;
        tally->right += predicted == label;
        tally->top5 += in_top5(row, classes, label);
    }
    result->images += batch->count;
}

/* Of the batch's images, the first of which is number `first` of the split. */
static void take_features(const struct trainer *trainer, const struct batch *batch, const real *logits,
                          struct features *features, int first) {
    int classes = trainer->experiment->shape.classes;
    model_features(&trainer->model, batch->count, batch->images,
                   features->values + (size_t)first * (size_t)features->width);
    for (int i = 0; i < batch->count; i++) {
        features->labels[first + i] = batch->labels[i];
        features->predictions[first + i] = largest(logits + (size_t)i * (size_t)classes, classes);
    }
}

bool trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, int split, struct evaluation *result,
                      struct features *features, struct error *err) {
    const struct experiment *experiment = trainer->experiment;
    if (!allocate_evaluation(result, experiment->shape.classes, err))
        return false;
    struct loader *loader =
        loader_evaluate(dataset, experiment_data(experiment), split, experiment->train.batch_size, err);
    if (!loader)
        return false;
    struct tally tally = {0};
    for (const struct batch *batch; (batch = loader_next(loader));) {
        struct step step = model_step(&trainer->model, batch->count, STEP_EVALUATE);
        const real *logits = model_forward(&trainer->model, step, batch->images);
        struct loss_input in = loss_input(trainer, batch, logits);
        if (features)
            take_features(trainer, batch, logits, features, result->images);
        tally.loss += batch->count * loss_evaluate(experiment->loss, &in, step.iteration, NULL);
        count_batch(&tally, result, batch, logits);
    }
    bool good = loader_good(loader, err);
    loader_close(loader);
    result->loss = tally.loss / result->images;
    result->accuracy = (double)tally.right / result->images;
    result->top5 = (double)tally.top5 / result->images;
    return good;
}
