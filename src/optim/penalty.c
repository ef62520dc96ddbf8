#include "optim/penalty.h"

#include "base/number.h"
#include "kernel/gemm.h"
#include "kernel/vector.h"

static const char *const decay_names[] = {"weights", "sphere_weights", "norm", "bias", NULL}; /* enum tensor_role */
static const char *const orthogonality_names[] = {"weights", "sphere_weights", NULL};

const struct param penalty_params[] = {
    REAL_KEY(struct penalty_config, weight_decay, "weight_decay", "5e-4", 0, 10,
             "wd/2 times the sum of squares; with adamw no penalty, but taken off the weights"),
    FLAGS_KEY(struct penalty_config, weight_decay_on, "weight_decay_on", "[weights, norm]", decay_names,
              "filters whose length matters, normalised filters, normalisation layers, biases"),
    REAL_KEY(struct penalty_config, orthogonality, "orthogonality", "2e-4", 0, 10,
             "lambda/2 times |W^T W - I|^2 over a layer's filters"),
    FLAGS_KEY(struct penalty_config, orthogonality_on, "orthogonality_on", "[sphere_weights]", orthogonality_names,
              "filters whose length matters, normalised filters"),
    END_OF_KEYS,
};

struct penalty_item {
    const struct tensor *tensor;
    double weight_decay, orthogonality; /* strengths; 0: none */
    real *gram;                         /* [filters][filters], where orthogonality */
    struct penalty_values values;       /* of the last penalties_add */
};

static bool applies(double strength, unsigned mask, const struct tensor *tensor) {
    return strength > 0 && tensor->trained && (mask >> tensor->role & 1);
}

bool penalty_decays(const struct penalty_config *config, const struct tensor *tensor) {
    return applies(config->weight_decay, config->weight_decay_on, tensor);
}

enum { COLUMNS = 512 }; /* of W, whose gradient one thread adds at a time */

static int column_blocks(const struct penalty_item *item) {
    return item->orthogonality > 0 ? ceil_div(item->tensor->kernel * item->tensor->inputs, COLUMNS) : 0;
}

static size_t gram_size(const struct penalty_item *item) {
    return item->orthogonality > 0 ? (size_t)item->tensor->filters * (size_t)item->tensor->filters : 0;
}

/* --- Planning ---------------------------------------------------------------------------------------------------- */

struct penalties penalties_plan(const struct penalty_config *config, const struct model *model, bool decoupled_decay,
                                struct arena *arena) {
    struct penalties penalties = {.items = NULL};
    for (int i = 0; i < model->tensor_count; i++) {
        struct penalty_item item = {.tensor = model->tensors[i]};
        if (!decoupled_decay && penalty_decays(config, item.tensor))
            item.weight_decay = config->weight_decay;
        if (applies(config->orthogonality, config->orthogonality_on, item.tensor))
            item.orthogonality = config->orthogonality;
        if (item.weight_decay <= 0 && item.orthogonality <= 0)
            continue;
        penalties.items = arena_grow(arena, penalties.items, penalties.count, sizeof item);
        penalties.items[penalties.count++] = item;
        penalties.work += gram_size(&item);
        penalties.most_blocks = larger(penalties.most_blocks, column_blocks(&item));
    }
    return penalties;
}

void penalties_place(struct penalties *penalties, real *work) {
    for (int i = 0; i < penalties->count; i++) {
        penalties->items[i].gram = work;
        work += gram_size(&penalties->items[i]);
    }
}

/* --- Values and gradients ---------------------------------------------------------------------------------------- */

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

/* The gradient 2 strength E W, columns of block `index`, if there are so many. */
static void add_orthogonality(const struct penalty_item *item, int index) {
    const struct tensor *tensor = item->tensor;
    int filters = tensor->filters, patch = tensor->kernel * tensor->inputs, first = index * COLUMNS;
    if (index >= column_blocks(item))
        return;
    gemm_nn(filters, smaller(patch - first, COLUMNS), filters, item->gram, filters, tensor->value + first, patch, 1,
            tensor->grad + first, patch);
}

static void add_values(struct penalty_item *item) {
    item->values = (struct penalty_values){0};
    if (item->weight_decay > 0)
        item->values.weight_decay = add_decay(item->weight_decay, item->tensor);
    if (item->orthogonality > 0)
        item->values.orthogonality = orthogonality_value(item->orthogonality, item->tensor, item->gram);
}

struct penalty_values penalties_add(const struct penalties *penalties, int threads) {
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (int i = penalties->count - 1; i >= 0; i--) /* the last layers are the largest: they go first */
            add_values(&penalties->items[i]);
#pragma omp for schedule(dynamic) collapse(2)
        for (int i = penalties->count - 1; i >= 0; i--)
            for (int block = 0; block < penalties->most_blocks; block++)
                add_orthogonality(&penalties->items[i], block);
    }
    struct penalty_values values = {0};
    for (int i = 0; i < penalties->count; i++) {
        values.weight_decay += penalties->items[i].values.weight_decay;
        values.orthogonality += penalties->items[i].values.orthogonality;
    }
    return values;
}
