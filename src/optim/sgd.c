/* Stochastic gradient descent with momentum: v = momentum v + g, w -= rate v (nesterov: w -= rate (g + momentum v)). */
#include "optim/optimizer.h"

struct sgd_config {
    struct optimizer_config optimizer;
    double momentum;
    bool nesterov;
};

static const struct param params[] = {
    OPTIMIZER_PARAMS("0.1"),
    REAL_KEY(struct sgd_config, momentum, "momentum", "0.9", 0, 0.999999, "part of the last step that is kept"),
    BOOL_KEY(struct sgd_config, nesterov, "nesterov", "false", "look ahead along the momentum"),
    END_OF_KEYS,
};

static void sgd_update(const void *config, const struct update *update) {
    const struct sgd_config *sgd = config;
    real *velocity = update->slots[0], *weights = update->weights;
    const real *grads = update->grads;
    real momentum = (real)sgd->momentum, step_size = (real)update->rate;
    real ahead = sgd->nesterov ? momentum : 1, plain = sgd->nesterov ? 1 : 0;
#pragma omp parallel for simd schedule(static) num_threads(update->threads)
    for (size_t i = 0; i < update->count; i++) {
        velocity[i] = momentum * velocity[i] + grads[i];
        weights[i] -= step_size * (ahead * velocity[i] + plain * grads[i]);
    }
}

const struct optimizer_type optimizer_sgd = {
    .kind = {"sgd", "stochastic gradient descent with momentum", params, sizeof(struct sgd_config)},
    .slots = 1,
    .slot_names = {"momentum"},
    .update = sgd_update,
};
