#include "layer/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A pointer to be filled in. */
struct request {
    real **place;
    size_t offset; /* in the region; of work, first in the outermost stage's */
    bool is_work;
};

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

static void add_request(struct planner *planner, struct request request) {
    planner->requests =
        arena_grow(planner->arena, planner->requests, planner->request_count, sizeof *planner->requests);
    planner->requests[planner->request_count++] = request;
}

void plan_place(struct planner *planner, size_t offset, size_t reals, real **place) {
    add_request(planner, (struct request){place, offset, false});
    if (planner->region < offset + real_aligned(reals))
        planner->region = offset + real_aligned(reals);
}

void plan_keep(struct planner *planner, size_t reals, real **place) {
    plan_place(planner, planner->kept, reals, place);
    planner->kept += real_aligned(reals);
}

void plan_scratch(struct planner *planner, size_t reals) {
    if (reals > planner->scratch)
        planner->scratch = reals;
}

size_t plan_work(struct planner *planner, size_t reals) {
    size_t offset = planner->work;
    planner->work += real_aligned(reals);
    return offset;
}

void plan_work_at(struct planner *planner, size_t offset, real **place) {
    add_request(planner, (struct request){place, offset, true});
}

void plan_place_work(struct planner *planner, int first, int end, size_t offset) {
    for (int i = first; i < end; i++) {
        struct request *request = &planner->requests[i];
        if (request->is_work)
            request->offset += offset;
        request->is_work = false;
    }
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
            offset += real_aligned(tensor->count);
        }
        if (trained)
            sizes->trained = offset;
    }
    sizes->buffers = offset - sizes->trained;
}

struct plan_sizes plan_sizes(const struct planner *planner) {
    struct plan_sizes sizes = {.kept = planner->kept, .region = planner->region};
    place_tensors(planner, &sizes);
    sizes.total = 2 * sizes.trained + sizes.buffers + sizes.region;
    return sizes;
}

bool plan_allocate(struct planner *planner, struct plan_memory *memory) {
    struct plan_sizes sizes = plan_sizes(planner);
    memory->block = mem_block(sizes.total * sizeof(real));
    if (!memory->block)
        return false;
    memory->values = memory->block;
    memory->grads = memory->values + sizes.trained + sizes.buffers;
    real *region = memory->grads + sizes.trained;
    for (int i = 0; i < planner->tensor_count; i++) {
        const struct planned_tensor *planned = &planner->tensors[i];
        struct tensor *tensor = planned->tensor;
        *planned->value = tensor->value = memory->values + tensor->offset;
        if (planned->grad)
            *planned->grad = tensor->grad = memory->grads + tensor->offset;
    }
    for (int i = 0; i < planner->request_count; i++)
        *planner->requests[i].place = region + planner->requests[i].offset;
    return true;
}
