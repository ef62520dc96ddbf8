#include "plan/plan.h"

#include <assert.h>
#include <string.h>

#include "base/number.h"

/* A pointer to be filled in. */
struct request {
    real **place;
    int buffer;
    const void *owner; /* of what is kept; else NULL */
};

struct tensor_place {
    struct tensor *tensor;
    real **value, **grad, **next;
};

struct tensor *planned_tensor(const struct planner *planner, int index) {
    return planner->tensors[index].tensor;
}

bool tensor_is_of(const char *name, const char *owner) {
    const char *dot = strrchr(name, '.');
    size_t length = strlen(owner);
    return dot == name + length && !memcmp(name, owner, length);
}

void plan_tensor(struct planner *planner, const char *owner, const struct tensor_request *request) {
    int kernel_h = larger(1, request->kernel_h), kernel_w = larger(1, request->kernel_w);
    int inputs = larger(1, request->inputs), kernel = kernel_h * kernel_w, dims = larger(1, request->dims);
    struct tensor *tensor = arena_alloc(planner->arena, sizeof *tensor);
    *tensor = (struct tensor){
        .name = arena_printf(planner->arena, "%s.%s", owner, request->name),
        .role = request->role,
        .trained = request->grad != NULL,
        .dims = dims,
        .shape = {request->filters, dims > 2 ? inputs : inputs * kernel, kernel_h, kernel_w},
        .filters = request->filters,
        .kernel = kernel,
        .inputs = inputs,
        .initial_mean = request->mean,
        .initial_deviation = request->deviation,
        .count = (size_t)request->filters * (size_t)kernel * (size_t)inputs,
    };
    planner->tensors = arena_grow(planner->arena, planner->tensors, planner->tensor_count, sizeof *planner->tensors);
    planner->tensors[planner->tensor_count++] =
        (struct tensor_place){tensor, request->value, request->grad, request->next};
}

/* --- The region -------------------------------------------------------------------------------------------------- */

void plan_point(struct planner *planner, int buffer, real **place) {
    planner->requests =
        arena_grow(planner->arena, planner->requests, planner->request_count, sizeof *planner->requests);
    planner->requests[planner->request_count++] = (struct request){place, buffer, NULL};
}

int plan_buffer(struct planner *planner, size_t reals, real **place) {
    int buffer = memory_add(&planner->memory, planner->arena, reals * sizeof(real));
    if (place)
        plan_point(planner, buffer, place);
    return buffer;
}

void plan_keep(struct planner *planner, size_t reals, real **place) {
    assert(planner->owner);
    plan_buffer(planner, reals, place);
    planner->requests[planner->request_count - 1].owner = planner->owner;
}

void plan_scratch(struct planner *planner, size_t reals) {
    planner->scratch = size_larger(planner->scratch, reals);
    plan_backward_scratch(planner, reals);
}

void plan_backward_scratch(struct planner *planner, size_t reals) {
    planner->backward_scratch = size_larger(planner->backward_scratch, reals);
}

void plan_use(struct planner *planner, int buffer) {
    if (buffer != NO_BUFFER)
        memory_use(&planner->memory, buffer, planner->now);
}

void plan_use_kept(struct planner *planner, const void *owner) {
    for (int i = 0; i < planner->request_count; i++)
        if (planner->requests[i].owner == owner)
            plan_use(planner, planner->requests[i].buffer);
}

void plan_tick(struct planner *planner) {
    planner->now++;
}

/* --- Everything -------------------------------------------------------------------------------------------------- */

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
    if (planner->forward_only)
        return;
    sizes->grads = sizes->trained;
    for (int i = 0; i < planner->tensor_count; i++)
        if (planner->tensors[i].next)
            sizes->next += real_aligned(planner->tensors[i].tensor->count);
}

struct plan_sizes plan_sizes(const struct planner *planner) {
    struct memory_layout memory = planner->memory;
    struct plan_sizes sizes = {
        .region = memory_place(&memory) / sizeof(real),
        .kept = memory_living(&memory, planner->turn) / sizeof(real),
    };
    place_tensors(planner, &sizes);
    sizes.total = sizes.trained + sizes.grads + sizes.buffers + sizes.next + sizes.region;
    return sizes;
}

static void point_at_tensors(const struct planner *planner, const struct plan_memory *memory, real *next) {
    for (int i = 0; i < planner->tensor_count; i++) {
        const struct tensor_place *place = &planner->tensors[i];
        struct tensor *tensor = place->tensor;
        *place->value = tensor->value = memory->values + tensor->offset;
        if (planner->forward_only)
            continue;
        if (place->grad)
            *place->grad = tensor->grad = memory->grads + tensor->offset;
        if (!place->next)
            continue;
        *place->next = tensor->next = next;
        next += real_aligned(tensor->count);
    }
}

bool plan_allocate(struct planner *planner, struct plan_memory *memory) {
    struct plan_sizes sizes = plan_sizes(planner);
    memory->block = mem_block(sizes.total * sizeof(real));
    if (!memory->block)
        return false;
    memory->values = memory->block;
    memory->grads = memory->values + sizes.trained + sizes.buffers;
    real *next = memory->grads + sizes.grads;
    char *region = (char *)(next + sizes.next);
    point_at_tensors(planner, memory, next);
    for (int i = 0; i < planner->request_count; i++)
        *planner->requests[i].place =
            (real *)(void *)(region + planner->memory.buffers[planner->requests[i].buffer].offset);
    return true;
}
