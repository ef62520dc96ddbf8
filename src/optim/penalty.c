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

size_t penalty_work(const struct penalty_config *config, const struct model *model) {
    size_t reals = 0;
    for (int i = 0; i < model->tensor_count; i++)
        reals += gram_size(config, model->tensors[i]);
    return reals;
}

static double add_decay(double decay, const struct tensor *tensor) {
#pragma omp simd
    for (size_t i = 0; i < tensor->count; i++)
        tensor->grad[i] += (real)decay * tensor->value[i];
    return 0.5 * decay * vector_squares(tensor->value, tensor->count);
}

/* With filters as rows of W, E = W W^T - I: the value is strength/2 |E|^2. gram becomes 2 strength E. */
static double orthogonality_value(double strength, const struct tensor *tensor, real *gram) {
    int filters = tensor->filters, patch = tensor->kernel * tensor->inputs;
    size_t count = (size_t)filters * (size_t)filters;
    gemm_gram(filters, patch, tensor->value, patch, gram, filters);
    for (int f = 0; f < filters; f++)
        gram[(size_t)f * (size_t)filters + (size_t)f] -= 1;
    double value = 0.5 * strength * vector_squares(gram, count);
    for (size_t i = 0; i < count; i++)
        gram[i] *= (real)(2 * strength);
    return value;
}

enum { COLUMNS = 512 }; /* of W, whose gradient one thread adds at a time */

static int column_blocks(const struct tensor *tensor) {
    return (tensor->kernel * tensor->inputs + COLUMNS - 1) / COLUMNS;
}

/* The gradient 2 strength E W, columns of block `index`. */
static void add_orthogonality(const struct tensor *tensor, const real *gram, int index) {
    int filters = tensor->filters, patch = tensor->kernel * tensor->inputs, first = index * COLUMNS;
    int columns = patch - first < COLUMNS ? patch - first : COLUMNS;
    gemm_nn(filters, columns, filters, gram, filters, tensor->value + first, patch, 1, tensor->grad + first, patch);
}

struct penalty_values penalty_add(const struct penalty_config *config, struct model *model, real *work) {
    int count = model->tensor_count;
    double decay[count], orthogonality[count];
    real *grams[count];
    int most_blocks = 0;
    for (int i = 0; i < count; i++) {
        size_t size = gram_size(config, model->tensors[i]);
        grams[i] = size ? work : NULL;
        work += size;
        if (size && column_blocks(model->tensors[i]) > most_blocks)
            most_blocks = column_blocks(model->tensors[i]);
    }
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
        for (int i = count - 1; i >= 0; i--) { /* the last layers are the largest: they go first */
            const struct tensor *tensor = model->tensors[i];
            bool decays = applies(config->weight_decay, config->weight_decay_on, tensor);
            decay[i] = decays ? add_decay(config->weight_decay, tensor) : 0;
            orthogonality[i] = grams[i] ? orthogonality_value(config->orthogonality, tensor, grams[i]) : 0;
        }
#pragma omp for schedule(dynamic) collapse(2)
        for (int i = count - 1; i >= 0; i--)
            for (int block = 0; block < most_blocks; block++)
                if (grams[i] && block < column_blocks(model->tensors[i]))
                    add_orthogonality(model->tensors[i], grams[i], block);
    }
    struct penalty_values values = {0};
    for (int i = 0; i < count; i++) {
        values.weight_decay += decay[i];
        values.orthogonality += orthogonality[i];
    }
    return values;
}
