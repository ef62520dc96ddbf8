#include "plan/plan.h"

/* A pointer to be filled in. */
struct request {
    real **place;
    size_t offset; /* in the region; of work, first in the outermost stage's */
    bool is_work;
};

struct tensor_place {
    struct tensor *tensor;
    real **value, **grad, **next;
};

struct tensor *planned_tensor(const struct planner *planner, int index) {
    return planner->tensors[index].tensor;
}

static int at_least_one(int count) {
    return count > 0 ? count : 1;
}

void plan_tensor(struct planner *planner, const char *owner, const struct tensor_request *request) {
    int kernel_h = at_least_one(request->kernel_h), kernel_w = at_least_one(request->kernel_w);
    int inputs = at_least_one(request->inputs), kernel = kernel_h * kernel_w, dims = at_least_one(request->dims);
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
    for (int i = 0; i < planner->tensor_count; i++)
        if (planner->tensors[i].next)
            sizes->next += real_aligned(planner->tensors[i].tensor->count);
}

struct plan_sizes plan_sizes(const struct planner *planner) {
    struct plan_sizes sizes = {.kept = planner->kept, .region = planner->region};
    place_tensors(planner, &sizes);
    sizes.total = 2 * sizes.trained + sizes.buffers + sizes.next + sizes.region;
    return sizes;
}

bool plan_allocate(struct planner *planner, struct plan_memory *memory) {
    struct plan_sizes sizes = plan_sizes(planner);
    memory->block = mem_block(sizes.total * sizeof(real));
    if (!memory->block)
        return false;
    memory->values = memory->block;
    memory->grads = memory->values + sizes.trained + sizes.buffers;
    real *next = memory->grads + sizes.trained, *region = next + sizes.next;
    for (int i = 0; i < planner->tensor_count; i++) {
        const struct tensor_place *place = &planner->tensors[i];
        struct tensor *tensor = place->tensor;
        *place->value = tensor->value = memory->values + tensor->offset;
        if (place->grad)
            *place->grad = tensor->grad = memory->grads + tensor->offset;
        if (!place->next)
            continue;
        *place->next = tensor->next = next;
        next += real_aligned(tensor->count);
    }
    for (int i = 0; i < planner->request_count; i++)
        *planner->requests[i].place = region + planner->requests[i].offset;
    return true;
}
