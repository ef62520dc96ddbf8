#include "train/divergence.h"

#include <math.h>

#include "optim/gradient.h"

static size_t count_not_finite(const real *values, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += isfinite(values[i]) ? 0 : 1;
    return found;
}

/* --- Going forward ----------------------------------------------------------------------------------------------- */

/* The first layer whose output, of a step's images, n of which are here, is not finite, and how many values are not. A
 * residual unit's branches come before its sum. */
static const struct layer *first_output(const struct chain *chain, int n, const struct group *group, size_t *values) {
    for (int f = 0; f < chain->fusion_count; f++) {
        const struct fusion *fusion = &chain->fusions[f];
        const struct layer *layer = fusion->layer;
        for (int b = 0; layer->type->branch && layer->type->branch(layer, b); b++) {
            const struct layer *within = first_output(layer->type->branch(layer, b), n, group, values);
            if (within)
                return within;
        }
        *values = (size_t)group_sum(group, (double)count_not_finite(fusion->y, (size_t)n * shape_size(&layer->out)));
        if (*values)
            return layer;
    }
    return NULL;
}

static const struct tensor *first_value(const struct model *model) {
    for (int i = 0; i < model->tensor_count; i++)
        if (count_not_finite(model->tensors[i]->value, model->tensors[i]->count))
            return model->tensors[i];
    return NULL;
}

static void describe_loss(struct text *out, const struct model *model, int n, double loss) {
    size_t values = 0;
    const struct tensor *tensor = first_value(model);
    bool kept = !model->planner.forward_only; /* else a later layer's output may stand where an earlier one's was */
    const struct layer *layer = tensor || !kept ? NULL : first_output(&model->chain, n, model->group, &values);
    text_printf(out, "the loss is %s", isnan(loss) ? "nan" : "infinite");
    if (tensor)
        text_printf(out, ", and so are weights: first in tensor %s", tensor->name);
    else if (layer)
        text_printf(out, "; first in the output of layer %s, %zu values are not finite", layer->name, values);
    else if (kept)
        text_printf(out, ", though the outputs of all layers are finite");
}

/* --- Going back -------------------------------------------------------------------------------------------------- */

/* The gradient is finite, but more than the optimizer can take. */
static void describe_largest(struct text *out, const struct model *model) {
    const struct tensor *found = NULL;
    double largest = 0;
    for (int i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = model->tensors[i];
        double own = tensor->trained ? gradient_largest(tensor->grad, tensor->count) : 0;
        if (own > largest) {
            largest = own;
            found = tensor;
        }
    }
    if (found)
        text_printf(out, "the gradient is too large, since its square is not finite: up to %.2g in tensor %s", largest,
                    found->name);
}

/* Gradients go from the last layer to the first, so the last one is where it began. */
static void describe_gradient(struct text *out, const struct model *model) {
    for (int i = model->tensor_count - 1; i >= 0; i--) {
        const struct tensor *tensor = model->tensors[i];
        size_t values = tensor->trained ? count_not_finite(tensor->grad, tensor->count) : 0;
        if (values) {
            text_printf(out, "the loss is finite, but the gradient is not: first in tensor %s, %zu values of %zu",
                        tensor->name, values, tensor->count);
            return;
        }
    }
    describe_largest(out, model);
}

void divergence_describe(struct text *out, const struct model *model, int n, double loss) {
    if (isfinite(loss))
        describe_gradient(out, model);
    else
        describe_loss(out, model, n, loss);
}
