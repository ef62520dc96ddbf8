/* Adam (Kingma and Ba 2015), epsilon added to the bias-corrected root as in the paper's algorithm 1. */
#include <math.h>

#include "optim/optimizer.h"

struct adam_config {
    struct optimizer_config optimizer;
    double beta1, beta2, epsilon;
};

static const struct param params[] = {
    OPTIMIZER_PARAMS("1e-3"),
    REAL_KEY(struct adam_config, beta1, "beta1", "0.9", 0, 0.999999, "decay of the mean gradient"),
    REAL_KEY(struct adam_config, beta2, "beta2", "0.999", 0, 0.999999, "decay of the mean squared gradient"),
    REAL_KEY(struct adam_config, epsilon, "epsilon", "1e-8", 1e-20, 1,
             "added to the root of the mean squared gradient"),
    END_OF_KEYS,
};

static void adam_step(const void *config, double rate, int64_t step, size_t count, real *weights, const real *grads,
                      real *const *slots) {
    const struct adam_config *adam = config;
    real *mean = slots[0], *square = slots[1];
    real beta1 = (real)adam->beta1, beta2 = (real)adam->beta2, epsilon = (real)adam->epsilon;
    real step_size = (real)(rate / (1 - pow(adam->beta1, (double)step)));
    real root_scale = (real)(1 / sqrt(1 - pow(adam->beta2, (double)step)));
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        mean[i] = beta1 * mean[i] + (1 - beta1) * grads[i];
        square[i] = beta2 * square[i] + (1 - beta2) * grads[i] * grads[i];
        weights[i] -= step_size * mean[i] / ((real)sqrt(square[i]) * root_scale + epsilon);
    }
}

const struct optimizer_type optimizer_adam = {
    .kind = {"adam", "Adam", params, sizeof(struct adam_config)},
    .slots = 2,
    .slot_names = {"exp_avg", "exp_avg_sq"},
    .step = adam_step,
};
