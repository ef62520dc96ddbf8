/* Adam (Kingma and Ba 2015), epsilon added to the bias-corrected root as in the paper's algorithm 1, and AdamW
 * (Loshchilov and Hutter 2019, algorithm 2): the same, with weights that shrink by rate * decay in each update. */
#include <math.h>

#include "optim/optimizer.h"

struct adam_config {
    struct optimizer_config optimizer;
    double beta1, beta2, epsilon;
};

/* The square of a larger value, which is kept, would not be finite: a little less than the root of REAL_LARGEST. */
#ifdef SN_DOUBLE
#define LARGEST_GRADIENT 1.3e154
#else
#define LARGEST_GRADIENT 1.8e19
#endif

static const struct param params[] = {
    OPTIMIZER_PARAMS("1e-3"),
    REAL_KEY(struct adam_config, beta1, "beta1", "0.9", 0, 0.999999, "decay of the mean gradient"),
    REAL_KEY(struct adam_config, beta2, "beta2", "0.999", 0, 0.999999, "decay of the mean squared gradient"),
    REAL_KEY(struct adam_config, epsilon, "epsilon", "1e-8", 1e-20, 1,
             "added to the root of the mean squared gradient"),
    END_OF_KEYS,
};

/* What an update has in common for all values. */
struct constants {
    real beta1, beta2, epsilon, step_size, root_scale;
};

static struct constants constants_of(const struct adam_config *adam, const struct update *update) {
    double number = (double)update->number;
    return (struct constants){
        .beta1 = (real)adam->beta1,
        .beta2 = (real)adam->beta2,
        .epsilon = (real)adam->epsilon,
        .step_size = (real)(update->rate / (1 - pow(adam->beta1, number))),
        .root_scale = (real)(1 / sqrt(1 - pow(adam->beta2, number))),
    };
}

/* Called by all threads at once, which share the values. */
static void update_span(const struct constants *constants, const struct update *update, const struct span *span) {
    const struct constants a = *constants;
    real *mean = update->slots[0] + span->offset, *square = update->slots[1] + span->offset;
    real *weights = update->weights + span->offset, kept = (real)(1 - update->rate * span->decay);
    const real *grads = update->grads + span->offset;
#pragma omp for simd schedule(static) nowait
    for (size_t i = 0; i < span->count; i++) {
        mean[i] = a.beta1 * mean[i] + (1 - a.beta1) * grads[i];
        square[i] = a.beta2 * square[i] + (1 - a.beta2) * grads[i] * grads[i];
        weights[i] = kept * weights[i] - a.step_size * mean[i] / ((real)sqrt(square[i]) * a.root_scale + a.epsilon);
    }
}

static void adam_update(const void *config, const struct update *update) {
    struct constants constants = constants_of(config, update);
#pragma omp parallel num_threads(update->threads)
    for (int i = 0; i < update->span_count; i++)
        update_span(&constants, update, &update->spans[i]);
}

const struct optimizer_type optimizer_adam = {
    .kind = {"adam", "Adam", params, sizeof(struct adam_config)},
    .slots = 2,
    .slot_names = {"exp_avg", "exp_avg_sq"},
    .largest_gradient = LARGEST_GRADIENT,
    .update = adam_update,
};

const struct optimizer_type optimizer_adamw = {
    .kind = {"adamw",
             "Adam with decoupled weight decay: regularizer.weight_decay times the rate is taken off the weights",
             params, sizeof(struct adam_config)},
    .slots = 2,
    .slot_names = {"exp_avg", "exp_avg_sq"},
    .largest_gradient = LARGEST_GRADIENT,
    .decouples_decay = true,
    .update = adam_update,
};
