#include "layer/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN_REALS = 16 }; /* 64 bytes of float */

/* A pointer to be filled in. */
struct request {
    real **place;
    size_t offset; /* in the kept block */
};

static size_t aligned(size_t reals) {
    return (reals + ALIGN_REALS - 1) / ALIGN_REALS * ALIGN_REALS;
}

struct planned_tensor {
    struct tensor *tensor;
    real **value, **grad;
};

struct tensor *plan_tensor(const struct planner *planner, int index) {
    return planner->tensors[index].tensor;
}

static struct tensor *add_tensor(struct planner *planner, const struct layer *layer, const char *name,
                                 enum tensor_role role, size_t count, real **value, real **grad) {
    struct tensor *tensor = arena_alloc(planner->arena, sizeof *tensor);
    tensor->name = arena_printf(planner->arena, "%s.%s", layer->name, name);
    tensor->role = role;
    tensor->trained = grad != NULL;
    tensor->count = count;
    planner->tensors = arena_grow(planner->arena, planner->tensors, planner->tensor_count, sizeof *planner->tensors);
    planner->tensors[planner->tensor_count++] = (struct planned_tensor){tensor, value, grad};
    return tensor;
}

void plan_vector(struct planner *planner, const struct layer *layer, const char *name, enum tensor_role role,
                 bool trained, int count, double initial, real **value, real **grad) {
    struct tensor *tensor = add_tensor(planner, layer, name, role, (size_t)count, value, trained ? grad : NULL);
    tensor->dims = 1;
    tensor->shape[0] = tensor->filters = count;
    tensor->kernel = tensor->inputs = 1;
    tensor->initial_mean = initial;
}

void plan_filters(struct planner *planner, const struct layer *layer, enum tensor_role role, bool dense, int filters,
                  int kernel_h, int kernel_w, int inputs, real **value, real **grad) {
    int kernel = kernel_h * kernel_w;
    size_t count = (size_t)filters * (size_t)kernel * (size_t)inputs;
    struct tensor *tensor = add_tensor(planner, layer, "weight", role, count, value, grad);
    tensor->dims = dense ? 2 : 4;
    int stored[4] = {filters, dense ? inputs * kernel : inputs, kernel_h, kernel_w};
    memcpy(tensor->shape, stored, sizeof stored);
    tensor->filters = filters;
    tensor->kernel = kernel;
    tensor->inputs = inputs;
    tensor->initial_deviation = sqrt(2.0 / ((double)kernel * inputs));
}

void plan_keep(struct planner *planner, size_t reals, real **place) {
    planner->requests =
        arena_grow(planner->arena, planner->requests, planner->request_count, sizeof *planner->requests);
    planner->requests[planner->request_count++] = (struct request){place, planner->kept};
    planner->kept += aligned(reals);
}

void plan_gradient(struct planner *planner, int depth, int index, const struct shape *shape) {
    size_t reals = shape_size(shape) * (size_t)planner->batch;
    if (reals > planner->gradients[depth][index])
        planner->gradients[depth][index] = reals;
}

void plan_scratch(struct planner *planner, size_t reals) {
    if (reals > planner->scratch)
        planner->scratch = reals;
}

bool plan_error(struct planner *planner, const struct layer *layer, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    diagnose(planner->diags, layer->choice.source, layer->choice.line, layer->choice.path, "%s %.80s: %s",
             layer->type->kind.name, layer->name, message);
    return false;
}

/* Trained tensors first, so that an optimizer sees one contiguous block. */
static void place_tensors(const struct planner *planner, struct plan_sizes *sizes) {
    size_t offset = 0;
    for (int trained = 1; trained >= 0; trained--) {
        for (int i = 0; i < planner->tensor_count; i++) {
            struct tensor *tensor = planner->tensors[i].tensor;
            if (tensor->trained != trained)
                continue;
            tensor->offset = offset;
            offset += aligned(tensor->count);
        }
        if (trained)
            sizes->trained = offset;
    }
    sizes->buffers = offset - sizes->trained;
}

struct plan_sizes plan_sizes(const struct planner *planner) {
    struct plan_sizes sizes = {.kept = planner->kept, .scratch = aligned(planner->scratch)};
    place_tensors(planner, &sizes);
    for (int level = 0; level < PLAN_LEVELS; level++)
        for (int i = 0; i < 3; i++)
            sizes.gradients += aligned(planner->gradients[level][i]);
    sizes.total = 2 * sizes.trained + sizes.buffers + sizes.kept + sizes.gradients + sizes.scratch;
    return sizes;
}

bool plan_allocate(struct planner *planner, struct plan_memory *memory) {
    struct plan_sizes sizes = plan_sizes(planner);
    real *next = memory->block = mem_block(sizes.total * sizeof *next);
    if (!next)
        return false;
    memory->values = next;
    memory->grads = next += sizes.trained + sizes.buffers;
    real *kept = next += sizes.trained;
    memory->scratch = next += sizes.kept;
    next += sizes.scratch;
    for (int level = 0; level < PLAN_LEVELS; level++)
        for (int i = 0; i < 3; i++) {
            memory->gradients[level][i] = next;
            next += aligned(planner->gradients[level][i]);
        }
    for (int i = 0; i < planner->tensor_count; i++) {
        const struct planned_tensor *planned = &planner->tensors[i];
        struct tensor *tensor = planned->tensor;
        *planned->value = tensor->value = memory->values + tensor->offset;
        if (planned->grad)
            *planned->grad = tensor->grad = memory->grads + tensor->offset;
    }
    for (int i = 0; i < planner->request_count; i++)
        *planner->requests[i].place = kept + planner->requests[i].offset;
    return true;
}
