#include "optim/penalty.h"

#include "kernel/gemm.h"
#include "kernel/vector.h"

static const char *const decay_names[] = {"weights", "sphere_weights", "norm", "bias", NULL}; /* enum tensor_role */
static const char *const orthogonality_names[] = {"weights", "sphere_weights", NULL};

const struct param penalty_params[] = {
    REAL_KEY(struct penalty_config, weight_decay, "weight_decay", "5e-4", 0, 10, "wd/2 times the sum of squares"),
    FLAGS_KEY(struct penalty_config, weight_decay_on, "weight_decay_on", "[weights, norm]", decay_names,
              "filters whose length matters, normalised filters, normalisation layers, biases"),
    REAL_KEY(struct penalty_config, orthogonality, "orthogonality", "2e-4", 0, 10,
             "lambda/2 times |W^T W - I|^2 over a layer's filters"),
    FLAGS_KEY(struct penalty_config, orthogonality_on, "orthogonality_on", "[sphere_weights]", orthogonality_names,
              "filters whose length matters, normalised filters"),
    END_OF_KEYS,
};

static bool applies(double strength, unsigned mask, const struct tensor *tensor) {
    return strength > 0 && tensor->trained && (mask >> tensor->role & 1);
}

static size_t gram_size(const struct penalty_config *config, const struct tensor *tensor) {
    if (!applies(config->orthogonality, config->orthogonality_on, tensor))
        return 0;
    return (size_t)tensor->filters * (size_t)tensor->filters;
}

size_t penalty_work(const struct penalty_config *config, const struct net *net) {
    size_t reals = 0;
    for (int i = 0; i < net->tensor_count; i++)
        reals += gram_size(config, net->tensors[i]);
    return reals;
}

static double add_decay(double decay, const struct tensor *tensor) {
#pragma omp simd
    for (size_t i = 0; i < tensor->count; i++)
        tensor->grad[i] += (real)decay * tensor->value[i];
    return 0.5 * decay * vector_squares(tensor->value, tensor->count);
}

/* With filters as rows of W, E = W W^T - I: value strength/2 |E|^2, gradient 2 strength E W. */
static double add_orthogonality(double strength, const struct tensor *tensor, real *gram) {
    int filters = tensor->filters, patch = tensor->kernel * tensor->inputs;
    size_t count = (size_t)filters * (size_t)filters;
    gemm_gram(filters, patch, tensor->value, patch, gram, filters);
    for (int f = 0; f < filters; f++)
        gram[(size_t)f * (size_t)filters + (size_t)f] -= 1;
    double value = 0.5 * strength * vector_squares(gram, count);
    for (size_t i = 0; i < count; i++)
        gram[i] *= (real)(2 * strength);
    gemm_nn(filters, patch, filters, gram, filters, tensor->value, patch, 1, tensor->grad, patch);
    return value;
}

struct penalty_values penalty_add(const struct penalty_config *config, struct net *net, real *work) {
    int count = net->tensor_count;
    double decay[count], orthogonality[count];
    real *grams[count];
    for (int i = 0; i < count; i++) {
        grams[i] = work;
        work += gram_size(config, net->tensors[i]);
    }
#pragma omp parallel for schedule(dynamic)
    for (int i = count - 1; i >= 0; i--) { /* the last layers are the largest: they go first */
        const struct tensor *tensor = net->tensors[i];
        bool decays = applies(config->weight_decay, config->weight_decay_on, tensor);
        decay[i] = decays ? add_decay(config->weight_decay, tensor) : 0;
        orthogonality[i] = gram_size(config, tensor) ? add_orthogonality(config->orthogonality, tensor, grams[i]) : 0;
    }
    struct penalty_values values = {0};
    for (int i = 0; i < count; i++) {
        values.weight_decay += decay[i];
        values.orthogonality += orthogonality[i];
    }
    return values;
}
