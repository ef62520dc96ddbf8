#include "run/stored_tensors.h"

#include <inttypes.h>
#include <string.h>

/* trainer NULL: the network's own tensors alone. */
static int stored_count(const struct model *model, const struct trainer *trainer) {
    int trained = 0;
    for (int i = 0; i < model->tensor_count; i++)
        trained += model->tensors[i]->trained;
    return model->tensor_count + (trainer ? trainer->optimizer->slots * trained : 0);
}

static struct tensor_info describe(const struct tensor *tensor, const char *name) {
    struct tensor_info info = {.name = name, .dims = tensor->dims};
    for (int d = 0; d < tensor->dims; d++)
        info.shape[d] = tensor->shape[d];
    return info;
}

static void list_slot(struct arena *arena, struct listing *list, const struct trainer *trainer, int slot) {
    for (int i = 0; i < trainer->model.tensor_count; i++) {
        const struct tensor *tensor = trainer->model.tensors[i];
        if (!tensor->trained)
            continue;
        const char *name = arena_printf(arena, "optimizer.%s.%s", trainer->optimizer->slot_names[slot], tensor->name);
        list->infos[list->count] = describe(tensor, name);
        list->places[list->count++] = (struct place){tensor, trainer->slots[slot] + tensor->offset};
    }
}

struct listing list_tensors(struct arena *arena, const struct model *model, const struct trainer *trainer) {
    size_t count = (size_t)stored_count(model, trainer);
    struct listing list = {.infos = arena_alloc(arena, count * sizeof *list.infos),
                           .places = arena_alloc(arena, count * sizeof *list.places)};
    for (int i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = model->tensors[i];
        list.infos[list.count] = describe(tensor, tensor->name);
        list.places[list.count++] = (struct place){tensor, tensor->value};
    }
    for (int slot = 0; trainer && slot < trainer->optimizer->slots; slot++)
        list_slot(arena, &list, trainer, slot);
    return list;
}

struct place *listing_find(const struct listing *list, const char *name) {
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->infos[i].name, name))
            return &list->places[i];
    return NULL;
}

/* --- In a file --------------------------------------------------------------------------------------------------- */

struct stored_tensors stored_tensors_of(struct arena *arena, struct safetensors *file, const char *path) {
    struct stored_tensors stored = {file, path, arena_alloc(arena, (size_t)file->tensor_count * sizeof *stored.names)};
    for (int i = 0; i < file->tensor_count; i++)
        stored.names[i] = file->tensors[i].name;
    return stored;
}

int stored_find(const struct stored_tensors *stored, const char *name) {
    for (int i = 0; i < stored->file->tensor_count; i++)
        if (!strcmp(stored->names[i], name))
            return i;
    return -1;
}

const char *shape_text(struct arena *arena, const struct tensor_info *tensor) {
    const char *text = "[";
    for (int d = 0; d < tensor->dims; d++)
        text = arena_printf(arena, "%s%s%" PRId64, text, d ? ", " : "", tensor->shape[d]);
    return arena_printf(arena, "%s]", text);
}

static bool is_one_value(const struct tensor_info *tensor) {
    return tensor->dims == 0 || (tensor->dims == 1 && tensor->shape[0] == 1);
}

static bool same_shape(const struct tensor_info *a, const struct tensor_info *b) {
    if (is_one_value(a))
        return is_one_value(b);
    return a->dims == b->dims && !memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape);
}

const char *stored_difference(struct arena *arena, const struct stored_tensors *stored, const struct listing *list,
                              int index) {
    const struct tensor_info *wanted = &list->infos[index];
    int found = stored_find(stored, wanted->name);
    if (found < 0)
        return arena_printf(arena, "has no tensor \"%s\", which the network needs", wanted->name);
    const struct tensor_info *tensor = &stored->file->tensors[found];
    const char *name = arena_printf(arena, "tensor \"%s\"", tensor->name);
    if (strcmp(tensor->name, wanted->name) != 0)
        name = arena_printf(arena, "%s, the network's \"%s\",", name, wanted->name);
    if (!same_shape(tensor, wanted))
        return arena_printf(arena, "%s has shape %s, the network's has %s", name, shape_text(arena, tensor),
                            shape_text(arena, wanted));
    if (tensor->values == TENSOR_REALS ||
        (tensor->values == TENSOR_INTEGERS && list->places[index].tensor->role == ROLE_COUNTER))
        return NULL;
    return arena_printf(arena, "%s has the dtype %.20s; F64, F32, F16 and BF16 can be read", name, tensor->dtype);
}

bool is_drawn(const char *tensor, const char *layer) {
    return layer && tensor_is_of(tensor, layer);
}

static void take(void *context, size_t first, size_t count, const real *values) {
    const struct place *place = context;
    tensor_from_stored(place->memory, place->tensor, values, first, count);
}

bool stored_read(const struct stored_tensors *stored, const struct listing *list, const char *drawn,
                 struct error *err) {
    for (int i = 0; i < stored->file->tensor_count; i++) {
        struct place *place = listing_find(list, stored->names[i]);
        if (place && !is_drawn(stored->names[i], drawn) && !safetensors_read(stored->file, i, take, place, err))
            return false;
    }
    return true;
}
